"""The two recipes of the paper, side by side: what its text says, and what its code does.

Houlsby et al. 2019, section 3.1 and 3.6, against github.com/google-research/adapter-bert. Where
the text is silent, the head is as in BERT's fine-tuning, epsilon is Adam's own 1e-8, and nothing is
clipped or decayed.
"""

import math
from dataclasses import dataclass, replace

from minibert.errors import InputError, shown
from minibert.fetch.manifest import defaults_of
from minibert.training.optim import Adam
from minibert.training.schedule import Settings


@dataclass(frozen=True)
class Recipe:
    """How adapters are initialised and everything is optimised."""

    name: str
    adapter_std: float  # of the projections, truncated at two std; biases 0
    head_std: float  # of the head, truncated likewise; bias 0
    adam: Adam
    warm_up: float  # share of all steps
    rebased: bool  # whether the decay starts where the warm-up ends


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("paper", 1e-2, 0.02, Adam(), 0.1, rebased=True),
        Recipe(
            "released-code",
            1e-3,
            0.02,
            Adam(eps=1e-6, bias_correction=False, weight_decay=0.01, clip=1.0),
            0.1,
            rebased=False,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """Raises InputError, listing the known ones, for another name."""
    if name not in RECIPES:
        raise InputError(f"unknown recipe {shown(name)}; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def optimised(settings: Settings, recipe: Recipe) -> Settings:
    """The settings with the recipe's constants of the optimiser."""
    return replace(settings, adam=recipe.adam, warm_up=recipe.warm_up, rebased=recipe.rebased)


# Peak learning rate and epochs where the user gives none: (rate, epochs) by tuning method, and for
# some tasks. Those of adapters, full and head were tried on MiniLM's pooler with RTE, MRPC, CoLA
# and 4,000 sentences of SST-2 (docs/accuracy.md); the other large tasks have SST-2's number of
# epochs. What suits a base better is in weights/manifest.toml.
DEFAULTS = {
    "adapters": (1e-3, 5),
    "full": (5e-5, 3),
    "norms": (1e-3, 5),
    "head": (1e-1, 10),
    "lora": (1e-3, 5),
    "pfeiffer": (1e-3, 5),
    "biases": (1e-3, 5),
}
TASK_DEFAULTS = {
    ("adapters", "cola"): (3e-4, 5),  # at 1e-3 it can collapse to the majority class
    **{("adapters", task): (1e-3, 3) for task in ("sst-2", "qqp", "mnli", "qnli")},
}


def default_rate_epochs(method: str, task: str, base_sha256: str = "") -> tuple[float, int]:
    """The learning rate and number of epochs to start from: the task's own, or else the rate that
    weights/manifest.toml has for the base."""
    if (method, task) in TASK_DEFAULTS:
        return TASK_DEFAULTS[method, task]
    rate, epochs = DEFAULTS[method]
    return defaults_of(base_sha256).get("rates", {}).get(method, rate), epochs


# A rate that suits a thousand steps learns next to nothing in twenty-five: few examples are seen in
# more epochs, though not in any number.
STEPS, MOST_EPOCHS = 300, 40


def enough_epochs(epochs: int, examples: int, batch_size: int, steps: int | None = None) -> int:
    """The epochs, or more, up to MOST_EPOCHS, if they have fewer than so many steps on so many
    examples (None: STEPS)."""
    per_epoch = max(1, math.ceil(examples / max(1, batch_size)))
    wanted = STEPS if steps is None else steps
    return max(epochs, min(MOST_EPOCHS, math.ceil(wanted / per_epoch)))
