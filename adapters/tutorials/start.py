"""`minibert tutorials start DIR`: the scripts, their notebooks, and the files that they read."""

from pathlib import Path

from adapters.tutorials.notebook import notebook
from minibert.errors import InputError
from minibert.files import atomic_write

SCRIPTS = "[0-9][0-9]_*.py"
LEFT_OUT = {"exercises", "__pycache__"}  # the exercises have a command of their own


def material() -> Path:
    """The folder with the tutorials: tutorials/ in a checkout, adapters/tutorials/material in an
    installed package. Raises InputError where there is neither."""
    package = Path(__file__).parent
    for folder in (package / "material", package.parents[1] / "tutorials"):
        if any(folder.glob(SCRIPTS)):
            return folder
    raise InputError("this installation has no tutorials")


def scripts() -> list[Path]:
    """The tutorials, in order."""
    return sorted(material().glob(SCRIPTS))


def tutorial_files() -> dict[str, bytes]:
    """All files of a reader's folder, by their path in it: what is in `tutorials/` but for the
    exercises, and a notebook of each script."""
    top = material()
    found = {path.relative_to(top): path for path in sorted(top.rglob("*")) if path.is_file()}
    files = {
        name.as_posix(): path.read_bytes()
        for name, path in found.items()
        if not (LEFT_OUT & set(name.parts) or name.name.startswith("."))
    }
    for path in scripts():
        files[f"{path.stem}.ipynb"] = notebook(path.read_text("utf-8")).encode()
    return files


def start(folder: Path | str) -> list[Path]:
    """Write the tutorials into a folder, which is created if necessary. -> the files written.

    Raises InputError, before anything is written, if one of them is there already, and when they
    cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but the tutorials need a folder")
    files = {folder / name: content for name, content in tutorial_files().items()}
    for path in files:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path}: is there already, and stays as it is; choose a new folder")
    for path, content in files.items():
        atomic_write(path, content)
    return list(files)
