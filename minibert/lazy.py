"""What is made when it is first used: a package's names, from their modules; an object's values."""

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


class kept:
    """A property that is computed once for each object, like `functools.cached_property`, but
    without the lock of Python 3.11's: that a thread may hold it would block a fork's child for
    ever. Two threads may both compute it; the first value is kept."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        return instance.__dict__.setdefault(self.name, self.compute(instance))
