"""Running a tutorial from the shell, and what it must show for it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from minibert.fetch.datasets import glue_root
from minibert.fetch.home import home

TUTORIALS = Path(__file__).parents[1] / "tutorials"
ONE_PAGE, *LESSONS = sorted(TUTORIALS.glob("[0-9]*.py"))
LIMIT = 900  # seconds; on two free cores each takes at most two minutes


def run(path: Path, folder: Path, **environment: str) -> str:
    """Run a tutorial in an empty folder, without a display; what it printed."""
    # the places of weights and data as they are here, whatever folder the tutorial runs in
    places = {"MINIBERT_HOME": str(home()), "MINIBERT_GLUE": str(glue_root())}
    inherited = {n: v for n, v in os.environ.items() if n not in ("DISPLAY", "MPLBACKEND")}
    inherited.pop("MINIBERT_TUTORIAL_OUT", None)
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(TUTORIALS.parent), **places, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{path.name} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pictures(printed: str, folder: Path) -> list[str]:
    """The names of the pictures that a tutorial says it drew in a folder; each is a real one."""
    named = [Path(line) for line in re.findall(r"^picture: (.*)$", printed, re.MULTILINE)]
    assert sorted(p.name for p in named) == sorted(p.name for p in folder.glob("*.png"))
    for picture in named:
        pixels = imread(folder / picture.name)[..., :3]  # decodes all of it; raises if it cannot
        height, width, _ = pixels.shape
        assert width >= 800, f"{picture.name} is {width} x {height}"
        assert height >= 400, f"{picture.name} is {width} x {height}"
        ink = float(np.mean(np.any(pixels < 0.9, axis=-1)))
        assert 0.01 < ink < 0.5, f"{picture.name}: {100 * ink:.1f} % of it is not white"
    return [picture.name for picture in named]


def keeps_its_claims(path: Path, folder: Path) -> None:
    """Run a lesson without real data: its assertions hold, and it draws where it is told to."""
    drawn_into, nothing = folder / "pictures", str(folder / "no data here")
    printed = run(
        path,
        folder,
        MINIBERT_TUTORIAL_OUT=str(drawn_into),
        MINIBERT_GLUE=nothing,
        MINIBERT_SQUAD=nothing,
    )
    drawn = pictures(printed, drawn_into)
    assert drawn
    assert all(name.startswith(path.name[:3]) for name in drawn)
    assert not (folder / "runs").exists()
    for source in re.findall(r"^data: (.*);", printed, re.MULTILINE):
        assert source.startswith("minibert's own "), source
