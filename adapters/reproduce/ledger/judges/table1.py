"""How the claims of table 1 are judged."""

import math
from functools import partial
from statistics import mean
from typing import Any

from adapters.methods.bottleneck import parameter_count
from adapters.reproduce.comparison.estimates import Estimate, difference, usual_variance
from adapters.reproduce.comparison.variances import total
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement, against_full, judgement
from adapters.reproduce.ledger.verdicts import FAILS, HOLDS, MARGIN, above, at_least, at_most
from adapters.reproduce.plans.choices import best_of_size, best_size, chosen, validation_score
from adapters.reproduce.plans.plan import ADAPTERS, FULL, HEAD, Plan
from adapters.reproduce.studies.table1_rows import by_mean
from adapters.reproduce.sweep.runs_file import Runs, run_key
from minibert.config import BertConfig
from minibert.parameters import parameter_shapes


def best_size_is_enough(plan: Plan, runs: Runs) -> Judgement:
    """Table 1, the best size of each task."""
    found = against_full(plan, runs, best_size)
    return judgement(found, at_least(found, -MARGIN))


def size_64_is_enough(plan: Plan, runs: Runs) -> Judgement:
    """Table 1, one size for all tasks."""
    found = against_full(plan, runs, partial(chosen, method=ADAPTERS))
    return _beside_mean(plan, runs, FULL, judgement(found, at_least(found, -MARGIN)))


def better_than_features(plan: Plan, runs: Runs) -> Judgement:
    """Table 1, the feature-based baseline."""
    pairs = [
        (chosen(plan, runs, task, ADAPTERS), chosen(plan, runs, task, HEAD)) for task in plan.tasks
    ]
    found = difference(plan, runs, pairs)
    return _beside_mean(plan, runs, HEAD, judgement(found, above(found, 0.0)))


def _beside_mean(plan: Plan, runs: Runs, other: dict[str, Any], judged: Judgement) -> Judgement:
    """A judgement on adapters against another method, with the same difference for heads that read
    the mean of the states, if these have run. It is told; the paper's pooling decides."""
    pairs = [
        (by_mean(plan, runs, task, ADAPTERS), by_mean(plan, runs, task, other))
        for task in plan.tasks
    ]
    found = difference(plan, runs, pairs)
    text, verdict = judged
    return (f"{text}; `mean`: {found}" if found else text), verdict


def few_parameters(plan: Plan, runs: Runs) -> Judgement:
    """On the paper's own base and size: arithmetic, independent of any run."""
    d, layers = 1024, 24
    large = BertConfig(
        hidden_size=d,
        num_hidden_layers=layers,
        num_attention_heads=16,
        intermediate_size=4 * d,
    )
    shapes = parameter_shapes(large)
    in_layers = sum(math.prod(shapes[path]) for path in shapes if path.startswith("layers."))
    share = layers * 2 * parameter_count(d, 64) / in_layers
    right = f"{100 * share:.1f}" == "2.1" and f"{1 + 9 * share:.1f}" == "1.2"
    return f"{100 * share:.2f} %, {1 + 9 * share:.2f}x ({layers} layers)", HOLDS if right else FAILS


def sizes_are_alike(plan: Plan, runs: Runs) -> Judgement:
    """The mean validation scores over the tasks with seed 0, as in the paper. The widest difference
    was looked for among all pairs. What a validation score varies by with its seed is taken to be
    what the task's dev score does."""
    means = []
    for size in plan.budget.best_of:
        values = []
        for task in plan.tasks:
            config = best_of_size(plan, runs, task, size)
            run = runs.get(run_key(config)) if config else None
            value = validation_score(run["result"]) if run else None
            if value is None:
                return UNDECIDED
            values.append(100 * value)
        means.append(mean(values))
    usual = [usual_variance(plan, runs, task) for task in plan.tasks]
    known = [variance for variance in usual if variance is not None]
    variance = None
    if len(known) == len(plan.tasks):  # of the difference of any two such means, of one seed each
        of_one = total(known) / len(known) ** 2
        variance = of_one / 0.5  # one estimate, though used twice
    widest = Estimate(max(means) - min(means), variance, seeds_only=True)
    pairs = len(means) * (len(means) - 1) // 2
    text = " / ".join(f"{value:.1f}" for value in means)
    return f"{text}: {widest.text(pairs)}", at_most(widest, MARGIN, pairs)
