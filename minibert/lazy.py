"""The names of a package, each imported from its module when it is first used."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

Names = tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]


def lazy(package: str, modules: dict[str, str]) -> Names:
    """The package's `__all__`, `__getattr__` and `__dir__`, for {module: "its names"}.

    >>> __all__, __getattr__, __dir__ = lazy("minibert", {"model": "encode pool"})
    """
    where = {
        name: f"{package}.{module}" for module, names in modules.items() for name in names.split()
    }

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(where[name]), name)

    names = sorted(where)
    return names, get, lambda: sorted({*vars(sys.modules[package]), *names})
