"""The names of a package, each imported from its module when it is first used."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str, modules: dict[str, str]) -> tuple[list[str], Callable[[str], Any]]:
    """The package's `__all__` and `__getattr__`, for {module: the names that it has, with blanks}.

    >>> __all__, __getattr__ = lazy("minibert", {"model": "encode pool"})
    """
    where = {
        name: f"{package}.{module}" for module, names in modules.items() for name in names.split()
    }

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(where[name]), name)

    return sorted(where), get
