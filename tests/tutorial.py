"""Running a tutorial from the shell."""

import os
import subprocess
import sys
from pathlib import Path

from minibert.fetch.datasets import glue_root
from minibert.fetch.home import home

TUTORIALS = Path(__file__).parents[1] / "tutorials"
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
