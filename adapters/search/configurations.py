"""What a search tries: every combination of some values; and how far how many of them go."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from adapters.methods.method import HEAD, Method
from adapters.methods.table import check_method, method_named, top_layers
from adapters.run_folder import describe_method
from minibert.config import BertConfig
from minibert.errors import InputError
from minibert.training.schedule import Settings

KEEP = 3  # one in so many goes on


@dataclass(frozen=True)
class Configuration:
    """One way to train a task."""

    method: Method
    settings: Settings

    @property
    def values(self) -> dict[str, Any]:
        """All that two configurations can differ in, by name, as JSON has it."""
        told: dict[str, Any] = describe_method(self.method) | asdict(self.settings)
        return dict(json.loads(json.dumps(told)))

    def until(self, divisor: int) -> int:
        """How many epochs a 1/divisor of its training is: at least one."""
        return max(1, round(self.settings.epochs / divisor))


def grid(
    method: Method,
    config: BertConfig,
    settings: Settings,
    rates: Sequence[float] = (),
    sizes: Sequence[int] = (),
    tops: Sequence[int] = (),
) -> list[Configuration]:
    """Every combination of peak learning rates, sizes of the adapters and numbers of top layers.

    By default 12: the settings' rate, 0.3 and 3 times as much; the method's size and a quarter of
    it; the top half of the layers and half of that. What the method does not have is not varied.
    Raises InputError for a value that cannot be. (Six arguments: what is varied, and what around
    it.)
    """
    for values, what in ((rates, "rates"), (sizes, "sizes"), (tops, "top layers")):
        if twice := [value for i, value in enumerate(values) if value in values[:i]]:
            raise InputError(f"{what}: {twice[0]:g} is there twice")
    layers, size = config.num_hidden_layers, method.size
    lower, higher = (float(f"{factor * settings.rate:.2g}") for factor in (0.3, 3))
    rates = rates or [lower, settings.rate, higher]
    if size is not None:
        sizes = sizes or sorted({max(1, size // 4), size})
    elif sizes:
        raise InputError(f"method {method.name!r} takes no size")
    if method.trained == (HEAD,) and not tops:
        tops = [layers]
    half = max(1, layers // 2)
    tops = tops or sorted({(half + 1) // 2, half})
    sized = [replace(method, size=method_named(method.name, m).size) for m in sizes] or [method]
    methods = [
        one if top == layers else top_layers(one, top, config) for top in tops for one in sized
    ]
    for one in methods:
        check_method(one)
    return [Configuration(one, replace(settings, rate=rate)) for one in methods for rate in rates]


def rungs(count: int, epochs: int, keep: int = KEEP) -> list[tuple[int, int]]:
    """The steps of the ladder: (how many configurations go on, the divisor of the part of their
    epochs that they go on to), the last divisor being 1. Where so few epochs are cut alike, two
    rungs are one.

    >>> rungs(12, 18)
    [(12, 9), (4, 3), (1, 1)]
    """
    counts = [count]
    while counts[-1] > 1:
        counts.append(max(1, counts[-1] // keep))
    divisors = [keep**power for power in reversed(range(len(counts)))]
    distinct = {max(1, round(epochs / divisor)): divisor for divisor in divisors}
    return list(zip(counts, distinct.values(), strict=False))
