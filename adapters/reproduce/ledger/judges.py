"""How each claim is judged, by a function from the runs to (what they show, the verdict)."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import mean
from typing import Any

from adapters.methods.bottleneck import parameter_count
from adapters.reproduce.ledger.estimates import (
    FAILS,
    HOLDS,
    MARGIN,
    OPEN,
    Estimate,
    above,
    all_of,
    at_least,
    at_most,
    below,
    difference,
    over_seeds,
    spread,
)
from adapters.reproduce.plans.choices import best, best_of_size, best_size, chosen, validation_score
from adapters.reproduce.plans.plan import ADAPTERS, FULL, HEAD, NORMS, Plan
from adapters.reproduce.report.shares import parameters_of
from adapters.reproduce.report.statistics import main_score
from adapters.reproduce.studies import (
    epochs,
    extensions,
    init_scale,
    many_tasks,
    tradeoff,
)
from adapters.reproduce.studies.table1 import by_mean
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key
from minibert.config import BertConfig
from minibert.parameters import parameter_shapes

Judgement = tuple[str, str]  # what these runs show, and the verdict
Judge = Callable[[Plan, Runs], Judgement]
UNDECIDED: Judgement = ("-", OPEN)


def _judgement(estimate: Estimate | None, verdict: str) -> Judgement:
    """The estimate as text, with the verdict; undecided without an estimate."""
    return (str(estimate), verdict) if estimate else UNDECIDED


def _against_full(
    plan: Plan, runs: Runs, choose: Callable[[Plan, Runs, str], Config | None]
) -> Estimate | None:
    """The mean difference between what `choose` picks for each task and full fine-tuning."""
    return difference(
        plan, runs, [(t, choose(plan, runs, t), chosen(plan, runs, t, FULL)) for t in plan.tasks]
    )


def best_size_is_enough(plan: Plan, runs: Runs) -> Judgement:
    """Table 1, the best size of each task."""
    found = _against_full(plan, runs, best_size)
    return _judgement(found, at_least(found, -MARGIN))


def size_64_is_enough(plan: Plan, runs: Runs) -> Judgement:
    """Table 1, one size for all tasks."""
    found = _against_full(plan, runs, lambda p, r, t: chosen(p, r, t, ADAPTERS))
    return _beside_mean(plan, runs, FULL, _judgement(found, at_least(found, -MARGIN)))


def better_than_features(plan: Plan, runs: Runs) -> Judgement:
    """Table 1, the feature-based baseline."""
    pairs = [
        (task, chosen(plan, runs, task, ADAPTERS), chosen(plan, runs, task, HEAD))
        for task in plan.tasks
    ]
    found = difference(plan, runs, pairs)
    return _beside_mean(plan, runs, HEAD, _judgement(found, above(found, 0.0)))


def _beside_mean(plan: Plan, runs: Runs, other: dict[str, Any], judgement: Judgement) -> Judgement:
    """A judgement on adapters against another method, with the same difference for heads that read
    the mean of the states, if these have run. It is told; the paper's pooling decides."""
    found = difference(
        plan,
        runs,
        [
            (task, by_mean(plan, runs, task, ADAPTERS), by_mean(plan, runs, task, other))
            for task in plan.tasks
        ],
    )
    text, verdict = judgement
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


def orders_of_magnitude(plan: Plan, runs: Runs) -> Judgement:
    """Among the sizes with at most 1/100 of the parameters, the smallest that is within the margin
    on average; if none is, the best of them."""
    tried: list[tuple[float, str]] = []
    verdicts = []
    for size in plan.budget.sizes:
        found = _against_full(plan, runs, partial(best_of_size, size=size))
        fewer = _times_fewer_parameters(plan, runs, size)
        if found is None or fewer is None:
            verdicts.append(OPEN)
        elif fewer >= 100:
            verdicts.append(at_least(found, -MARGIN))
            text = f"m = {size}: {found} points with 1/{fewer:.0f} of the parameters"
            if verdicts[-1] == HOLDS:
                return text, HOLDS
            tried.append((found.value, text))
    if not tried:
        return UNDECIDED
    return max(tried)[1], OPEN if OPEN in verdicts else FAILS


def _times_fewer_parameters(plan: Plan, runs: Runs, size: int) -> float | None:
    """How many times fewer parameters adapters of this size train than full fine-tuning does."""
    task = plan.tasks[0]  # the number is the same for every task
    ours, full = best_of_size(plan, runs, task, size), chosen(plan, runs, task, FULL)
    few, many = (parameters_of(runs, [config] if config else []) for config in (ours, full))
    return many["task"] / few["task"] if few and many else None


def fewer_top_layers_lose(plan: Plan, runs: Runs) -> Judgement:
    """Figure 4, with the fewest top layers that the budget trains."""
    pairs = []
    for task in plan.tasks:
        configs = tradeoff.of_top_layers(plan, runs, task)
        if not configs:
            return UNDECIDED
        pairs.append((task, configs[0], chosen(plan, runs, task, FULL)))
    found = difference(plan, runs, pairs)
    least = tradeoff.top_layers(plan)[0]
    text, verdict = _judgement(found, below(found, 0.0))
    return (f"top {least}: {text}" if found else text), verdict


def norms_are_not_enough(plan: Plan, runs: Runs) -> Judgement:
    """Figure 4, LayerNorms and head alone."""
    found = _against_full(plan, runs, lambda p, r, t: chosen(p, r, t, NORMS))
    return _judgement(found, below(found, 0.0))


def sizes_are_alike(plan: Plan, runs: Runs) -> Judgement:
    """The mean validation scores over the tasks with seed 0, as in the paper."""
    means = []
    for size in plan.budget.best_of:
        values = []
        for task in plan.tasks:
            config = best_of_size(plan, runs, task, size)
            run = runs.get(run_key(config)) if config else None
            value = validation_score(run) if run else None
            if value is None:
                return UNDECIDED
            values.append(100 * value)
        means.append(mean(values))
    deviations = [spread(plan, runs, task) for task in plan.tasks]
    known = [d for d in deviations if d is not None]
    error = None
    if len(known) == len(plan.tasks):  # the error of the difference of two such means
        error = (2 * sum(d * d for d in known)) ** 0.5 / len(known)
    text = " / ".join(f"{value:.1f}" for value in means)
    return text, at_most(Estimate(max(means) - min(means), error), MARGIN)


def _std_difference(plan: Plan, runs: Runs, std: float) -> Estimate | None:
    """The scores at an initial std minus those at the default one, over the tasks."""
    pairs = []
    for task in init_scale.tasks(plan):
        by_std = init_scale.of_stds(plan, runs, task)
        if std not in by_std:
            return None
        pairs.append((task, by_std[std], by_std[init_scale.DEFAULT_STD]))
    return difference(plan, runs, pairs)


def small_stds_are_alike(plan: Plan, runs: Runs) -> Judgement:
    """Figure 6, each std below the default."""
    stds = [std for std in plan.budget.stds if std < init_scale.DEFAULT_STD]
    found = {std: _std_difference(plan, runs, std) for std in stds}
    if None in found.values():
        return UNDECIDED
    verdicts = [at_least(estimate, -MARGIN) for estimate in found.values()]
    return ", ".join(f"{std:g}: {estimate}" for std, estimate in found.items()), all_of(verdicts)


def large_stds_are_worse(plan: Plan, runs: Runs) -> Judgement:
    """Figure 6, with the largest std."""
    found = _std_difference(plan, runs, max(plan.budget.stds))
    return _judgement(found, below(found, 0.0))


def extensions_gain_nothing(plan: Plan, runs: Runs) -> Judgement:
    """Every extension compared with the adapter itself, over the tasks, each at its own rate."""
    found: dict[str, Estimate] = {}
    for name, method in extensions.methods().items():
        pairs = []
        for task in extensions.tasks(plan):
            ours, plain = (
                extensions.best_rate(plan, runs, task, one) for one in (method, ADAPTERS)
            )
            pairs.append((task, ours, plain))
        estimate = difference(plan, runs, pairs)
        if name != extensions.ADAPTER:
            if estimate is None:
                return UNDECIDED
            found[name] = estimate
    verdicts = [at_most(estimate, MARGIN) for estimate in found.values()]
    return ", ".join(f"{name} {estimate}" for name, estimate in found.items()), all_of(verdicts)


def memory_is_perfect(plan: Plan, runs: Runs) -> Judgement:
    """Exact: the logits are compared bit by bit, with every seed."""
    results = many_tasks.finished(plan, runs, ADAPTERS)
    if not results:
        return UNDECIDED
    changed = sum(sum(row) for result in results for row in result["changed"])
    return f"{changed} texts with changed logits", HOLDS if changed == 0 else FAILS


def sequential_tuning_forgets(plan: Plan, runs: Runs) -> Judgement:
    """The mean change of the earlier tasks' scores, from right after learning to the end, over the
    seeds."""
    results = many_tasks.finished(plan, runs, FULL)
    if not results or len(plan.tasks) < 2:
        return UNDECIDED
    found = over_seeds([_mean_change(plan.tasks[:-1], result["scores"]) for result in results])
    return _judgement(found, below(found, 0.0))


def _mean_change(tasks: Sequence[str], scores: list[list[dict[str, float]]]) -> float:
    """The mean over tasks of the last score minus the first, in hundredths. `scores`: see
    `sweep.many_tasks.sequence`."""
    changes = [
        main_score(task, scores[-1][j]) - main_score(task, scores[j][j])
        for j, task in enumerate(tasks)
    ]
    return 100 * mean(changes)


def more_epochs_close_the_gap(plan: Plan, runs: Runs) -> Judgement:
    """SST-2: adapters of size 64, at the rate and epochs that are best on validation among all that
    were tried, compared with full fine-tuning."""
    task = epochs.TASK
    if task not in plan.tasks:
        return UNDECIDED
    like = best(runs, plan.grid(task, ADAPTERS) + epochs.longer(plan))
    found = difference(plan, runs, [(task, like, chosen(plan, runs, task, FULL))])
    if found is None or like is None:
        return UNDECIDED
    return f"{like['rate']:g}, {like['epochs']} epochs: {found}", at_least(found, -MARGIN)
