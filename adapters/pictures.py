"""Figures as PNG files, and what they share; the folder for the tutorials'. Needs matplotlib."""

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

from minibert.files import atomic_write


class Style(NamedTuple):
    """How one curve or group of points looks; styles differ in darkness, line and marker, too, so
    that they are told apart in grey."""

    color: str
    linestyle: Any
    marker: str


STYLES = (
    Style("#1f4e79", "-", "o"),
    Style("#e08214", "--", "s"),
    Style("#35978f", "-.", "^"),
    Style("#9970ab", (0, (1, 1)), "D"),
    Style("#b2182b", (0, (5, 1, 1, 1, 1, 1)), "v"),
    Style("#4d4d4d", (0, (3, 2)), "<"),
)


def tidy_counted(axes: Any) -> None:
    """Whole numbers, steps or epochs, along the x axis, a faint grid, and no frame above."""
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def write_figure(figure: Any, path: Path | str) -> None:
    """Write a figure at 120 dots per inch, atomically. Raises InputError when the file cannot be
    written."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    atomic_write(path, picture.getvalue())


def tutorial_folder() -> Path:
    """Where the tutorials keep their files, made if need be: $MINIBERT_TUTORIAL_OUT, else
    runs/tutorials."""
    folder = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save_picture(figure: Any, name: str) -> None:
    """Keep a tutorial's figure as NAME.png, and say where. It stays open, so that a notebook and
    the site show it too."""
    path = tutorial_folder() / f"{name}.png"
    write_figure(figure, path)
    print(f"picture: {path}")
