"""The names of a package, each imported from its module when it is first used."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str, where: dict[str, str]) -> Callable[[str], Any]:
    """The package's `__getattr__`, for names and the modules that they are in.

    >>> __getattr__ = lazy("minibert", {"encode": "minibert.model"})
    """

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(where[name]), name)

    return get
