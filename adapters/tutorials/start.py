"""`minibert tutorials start DIR`: the scripts, their notebooks, and the files that they read."""

from pathlib import Path

from adapters.tutorials.links import FORMS, without_links_out
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


def scripts(top: Path | None = None) -> list[Path]:
    """The tutorials, in order: those of `material()`, or of the folder `top`."""
    return sorted((top or material()).glob(SCRIPTS))


def tutorial_files(top: Path | None = None) -> dict[str, bytes]:
    """All files of a reader's folder, by their path in it: what is in `tutorials/`, or the folder
    `top`, but for the exercises, and a notebook of each script. Where a text links to a file that
    is not among them, it keeps the words without the link."""
    top = top or material()
    found = {path.relative_to(top): path for path in sorted(top.rglob("*")) if path.is_file()}
    files = {
        name.as_posix(): path.read_bytes()
        for name, path in found.items()
        if not (LEFT_OUT & set(name.parts) or name.name.startswith("."))
    }
    notebooks = {f"{path.stem}.ipynb": path for path in scripts(top)}
    here = {*files, *notebooks}
    for name in files:
        if name.endswith(tuple(FORMS)):
            files[name] = without_links_out(name, files[name].decode(), here).encode()
    for name, path in notebooks.items():
        script = without_links_out(path.name, path.read_text("utf-8"), here)
        files[name] = notebook(script).encode()
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
