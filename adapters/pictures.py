"""Figures as PNG files; the folder for those of the tutorials. Needs matplotlib."""

import io
import os
from pathlib import Path
from typing import Any

from minibert.files import atomic_write


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
