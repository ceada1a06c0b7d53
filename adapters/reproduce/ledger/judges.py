"""How the ledger judges: from the runs to (what they have, the verdict), a function a claim."""

from collections.abc import Callable
from statistics import mean
from typing import Any

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
    spread,
)
from adapters.reproduce.report.statistics import dev_metric, parameters_of, scores_of
from adapters.reproduce.studies import (
    extensions,
    init_scale,
    many_tasks,
    squad_sizes,
    tradeoff,
)
from adapters.reproduce.studies.epochs import TASK as SST2
from adapters.reproduce.studies.epochs import longer
from adapters.reproduce.studies.plans import ADAPTERS, Plan, best, main_score, validation
from adapters.reproduce.studies.table1 import FULL, HEAD, best_size, chosen, of_size
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

Found = tuple[str, str]  # what these runs have, and the verdict
NOTHING: Found = ("-", OPEN)


def _found(estimate: Estimate | None, verdict: str) -> Found:
    return (str(estimate), verdict) if estimate else NOTHING


def _against_full(
    plan: Plan, runs: Runs, choose: Callable[[Plan, Runs, str], Config | None]
) -> Estimate | None:
    return difference(
        plan, runs, [(t, choose(plan, runs, t), chosen(plan, runs, t, FULL)) for t in plan.tasks]
    )


def best_size_is_enough(plan: Plan, runs: Runs) -> Found:
    """Table 1, the best size of each task."""
    found = _against_full(plan, runs, best_size)
    return _found(found, at_least(found, -MARGIN))


def size_64_is_enough(plan: Plan, runs: Runs) -> Found:
    """Table 1, one size for all tasks."""
    found = _against_full(plan, runs, lambda p, r, t: chosen(p, r, t, ADAPTERS))
    return _found(found, at_least(found, -MARGIN))


def better_than_features(plan: Plan, runs: Runs) -> Found:
    """Table 1, the feature-based baseline."""
    found = difference(
        plan, runs,
        [(t, chosen(plan, runs, t, ADAPTERS), chosen(plan, runs, t, HEAD)) for t in plan.tasks],
    )  # fmt: skip
    return _found(found, above(found, 0.0))


def few_parameters(plan: Plan, runs: Runs) -> Found:
    """The paper's own base and size: arithmetic, the same for any run."""
    from adapters.methods.bottleneck import parameter_count

    d, f, layers = 1024, 4096, 24
    layer = 4 * (d * d + d) + 2 * d * f + d + f + 4 * d
    share = 2 * parameter_count(d, 64) / layer
    right = f"{100 * share:.1f}" == "2.1" and f"{1 + 9 * share:.1f}" == "1.2"
    return f"{100 * share:.2f} %, {1 + 9 * share:.2f}x ({layers} layers)", HOLDS if right else FAILS


def orders_of_magnitude(plan: Plan, runs: Runs) -> Found:
    """Of the sizes with at most 1/100 of the parameters the smallest that is within the margin on
    average; if none is, the best of them."""
    tried: list[tuple[float, str]] = []
    verdicts = []
    for size in plan.budget.sizes:
        pairs = []
        for task in plan.tasks:
            config = of_size(plan, runs, task, size)
            pairs.append((task, config, chosen(plan, runs, task, FULL)))
        found = difference(plan, runs, pairs)
        counts = [parameters_of(runs, [config] if config else []) for config in pairs[0][1:]]
        few, many = (of_run["task"] if of_run else 0 for of_run in counts)
        if found is None or None in counts:
            verdicts.append(OPEN)
        elif 100 * few <= many:
            verdicts.append(at_least(found, -MARGIN))
            text = f"m = {size}: {found} points with 1/{many / few:.0f} of the parameters"
            if verdicts[-1] == HOLDS:
                return text, HOLDS
            tried.append((found.value, text))
    if not tried:
        return NOTHING
    return max(tried)[1], OPEN if OPEN in verdicts else FAILS


def fewer_top_layers_lose(plan: Plan, runs: Runs) -> Found:
    """Figure 4, the fewest top layers that the budget trains."""
    pairs = []
    for task in plan.tasks:
        configs = tradeoff.of_top_layers(plan, runs, task)
        if not configs:
            return NOTHING
        pairs.append((task, configs[0], chosen(plan, runs, task, FULL)))
    found = difference(plan, runs, pairs)
    least = tradeoff.top_layers(plan)[0]
    text, verdict = _found(found, below(found, 0.0))
    return (f"top {least}: {text}" if found else text), verdict


def norms_are_not_enough(plan: Plan, runs: Runs) -> Found:
    """Figure 4, LayerNorms and head alone."""
    found = _against_full(plan, runs, lambda p, r, t: chosen(p, r, t, tradeoff.NORMS))
    return _found(found, below(found, 0.0))


def sizes_are_alike(plan: Plan, runs: Runs) -> Found:
    """Mean validation scores over the tasks, as in the paper: seed 0."""
    means = []
    for size in plan.budget.best_of:
        values = []
        for task in plan.tasks:
            config = of_size(plan, runs, task, size)
            run = runs.get(run_key(config)) if config else None
            value = validation(run) if run else None
            if value is None:
                return NOTHING
            values.append(100 * value)
        means.append(mean(values))
    deviations = [spread(plan, runs, task) for task in plan.tasks]
    known = [d for d in deviations if d is not None]
    error = None
    if len(known) == len(plan.tasks):  # of the difference of two such means
        error = (2 * sum(d * d for d in known)) ** 0.5 / len(known)
    text = " / ".join(f"{value:.1f}" for value in means)
    return text, at_most(Estimate(max(means) - min(means), error), MARGIN)


def _squad(plan: Plan, runs: Runs, method: dict[str, Any]) -> float | None:
    """F1 in hundredths, the best mean over seeds in the grid, as in the study's table; None while a
    run of the grid is missing or when all diverged."""
    grid = [config for configs in squad_sizes.tried(plan, method) for config in configs]
    if any(run_key(config) not in runs for config in grid):
        return None
    f1 = scores_of(runs, squad_sizes.best_of_grid(plan, runs, method), dev_metric("f1")).mean
    return None if f1 is None else 100 * f1


# One SQuAD run's F1 scatters with its seed and with the questions asked. With a single seed the
# rule takes 1 point for both, about the standard error of F1 on 1,500 questions.
SQUAD_ERROR = 1.0


def squad_by_size(size: int) -> Callable[[Plan, Runs], Found]:
    """The judge of adapters of the budget's size nearest to that."""

    def judge(plan: Plan, runs: Runs) -> Found:
        if plan.sample:
            return NOTHING
        nearest = min(plan.budget.squad_sizes, key=lambda other: abs(other - size))
        ours = _squad(plan, runs, {**ADAPTERS, "size": nearest})
        full = _squad(plan, runs, FULL)
        if ours is None or full is None:
            return NOTHING
        found = Estimate(ours - full, SQUAD_ERROR)
        return f"m = {nearest}: {ours:.1f} against {full:.1f}", at_least(found, -MARGIN)

    return judge


def _std_difference(plan: Plan, runs: Runs, std: float) -> Estimate | None:
    """The scores at an initial std less those at the usual one, over the tasks."""
    pairs = []
    for task in init_scale.tasks(plan):
        by_std = dict(init_scale.of_stds(plan, runs, task))
        if std not in by_std:
            return None
        pairs.append((task, by_std[std], by_std[init_scale.DEFAULT_STD]))
    return difference(plan, runs, pairs)


def small_stds_are_alike(plan: Plan, runs: Runs) -> Found:
    """Figure 6, each std below the usual one."""
    stds = [std for std in plan.budget.stds if std < init_scale.DEFAULT_STD]
    found = {std: _std_difference(plan, runs, std) for std in stds}
    if None in found.values():
        return NOTHING
    verdicts = [at_least(estimate, -MARGIN) for estimate in found.values()]
    return ", ".join(f"{std:g}: {estimate}" for std, estimate in found.items()), all_of(verdicts)


def large_stds_are_worse(plan: Plan, runs: Runs) -> Found:
    """Figure 6, the largest std."""
    found = _std_difference(plan, runs, max(plan.budget.stds))
    return _found(found, below(found, 0.0))


def extensions_gain_nothing(plan: Plan, runs: Runs) -> Found:
    """Every extension against the adapter itself, over the tasks."""
    found: dict[str, Estimate] = {}
    for name, method in extensions.methods().items():
        pairs = []
        for task in extensions.tasks(plan):
            like = chosen(plan, runs, task, ADAPTERS)
            pairs.append((task, {**like, "method": method} if like else None, like))
        estimate = difference(plan, runs, pairs)
        if name != "serial":
            if estimate is None:
                return NOTHING
            found[name] = estimate
    verdicts = [at_most(estimate, MARGIN) for estimate in found.values()]
    return ", ".join(f"{name} {estimate}" for name, estimate in found.items()), all_of(verdicts)


def memory_is_perfect(plan: Plan, runs: Runs) -> Found:
    """Exact: logits are compared bit by bit."""
    result = many_tasks.finished(plan, runs, ADAPTERS)
    if result is None:
        return NOTHING
    changed = sum(sum(row) for row in result["changed"])
    return f"{changed} texts with other logits", HOLDS if changed == 0 else FAILS


def sequential_tuning_forgets(plan: Plan, runs: Runs) -> Found:
    """The mean change of the earlier tasks' scores, from just learned to the end."""
    result = many_tasks.finished(plan, runs, FULL)
    if result is None or len(plan.tasks) < 2:
        return NOTHING
    scores = result["scores"]
    changes, square = [], 0.0
    for j, task in enumerate(plan.tasks[:-1]):
        changes.append(100 * (main_score(task, scores[-1][j]) - main_score(task, scores[j][j])))
        square += 2 * (spread(plan, runs, task) or 0.0) ** 2
    known = all(spread(plan, runs, task) is not None for task in plan.tasks[:-1])
    found = Estimate(mean(changes), square**0.5 / len(changes) if known else None)
    return _found(found, below(found, 0.0))


def more_epochs_close_the_gap(plan: Plan, runs: Runs) -> Found:
    """SST-2: adapters 64, rate and epochs chosen on validation among all that were tried, against
    full fine-tuning."""
    if SST2 not in plan.tasks:
        return NOTHING
    tried = plan.grid(SST2, ADAPTERS) + longer(plan)
    like, full = best(runs, tried), chosen(plan, runs, SST2, FULL)
    found = difference(plan, runs, [(SST2, like, full)])
    if found is None or like is None:
        return NOTHING
    return f"{like['rate']:g}, {like['epochs']} epochs: {found}", at_least(found, -MARGIN)
