"""Whose is the package `adapters`? AdapterHub's library has one of that name, too.

Both install into a folder adapters/: where one came after the other, files of both lie in it, and
neither works. A file that only one of them has tells them apart; neither is imported to find out.
"""

import importlib.util
from pathlib import Path

OURS, THEIRS = "task_file.py", "composition.py"
DISTRIBUTION = "minibert-adapters"


def check_mixed() -> None:
    """Raise ImportError, naming both distributions, where files of both are in one folder."""
    _, folders = _found()
    if _has(folders, OURS) and _has(folders, THEIRS):
        raise ImportError(_both(folders[0]))


def check_ours() -> None:
    """Raise ImportError, with advice, unless `adapters` is this project's."""
    origin, folders = _found()
    if not _has(folders, OURS):
        where = f" ({origin})" if origin else ""
        raise ImportError(
            f"the package `adapters` found here{where} belongs to {_owners()}, not to the "
            f"distribution {DISTRIBUTION}; use a virtual environment that has only one of the two"
        )


def _found() -> tuple[str | None, list[Path]]:
    """The file and the folders of the package `adapters` that Python would import."""
    spec = importlib.util.find_spec("adapters")
    if spec is None:
        return None, []
    return spec.origin, [Path(folder) for folder in spec.submodule_search_locations or ()]


def _has(folders: list[Path], name: str) -> bool:
    return any((folder / name).is_file() for folder in folders)


def _both(folder: Path) -> str:
    return (
        f"{folder} has files of {_owners()} and of the distribution {DISTRIBUTION}, which "
        "overwrite each other; install each in a virtual environment of its own"
    )


def _owners() -> str:
    """Who else has a package `adapters` here, as far as is recorded."""
    from importlib.metadata import packages_distributions

    others = {name for name in packages_distributions().get("adapters", ()) if name != DISTRIBUTION}
    return f"the distribution {' and '.join(sorted(others))}" if others else "another library"
