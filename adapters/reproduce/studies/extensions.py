"""The extensions that the paper tried without gain (end of section 3.6), beside the adapter itself:
normalisation inside, another layer, other activations, attention only, parallel. Each has a rate of
its own, chosen on validation among the same multiples of the adapter's."""

from pathlib import Path
from typing import Any

from adapters.methods.table import VARIANTS
from adapters.pictures import STYLES
from adapters.reproduce.plans.choices import chosen, only_or_best
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.report.figures import (
    each_seed,
    image,
    legend,
    new_figure,
    save,
    score_line,
    tidy,
)
from adapters.reproduce.report.pages import (
    NO_RUNS,
    glue_conditions,
    markdown_table,
    section,
    title,
    with_metric,
)
from adapters.reproduce.report.shares import parameters_of
from adapters.reproduce.report.statistics import MISSING, Scores, all_diverged, chosen_scores
from adapters.reproduce.sweep.runs_file import Config, Runs

NAME = "extensions"
HEADING = "Section 3.6: the extensions"
ADAPTER = "serial"  # the paper's adapter itself
ACTIVATIONS = ("tanh",)
# Normalised features do not shrink with the initial weights, so these variants need a smaller std
# to start as close to the identity as the others.
NORMALISED, NORMALISED_STD = ("layer-norm", "batch-norm"), 1e-3


def methods() -> dict[str, dict[str, Any]]:
    """Each extension as a tuning method, by a readable name; first the paper's adapter."""
    found: dict[str, dict[str, Any]] = {ADAPTER: ADAPTERS}
    for name in NORMALISED:
        found[name] = {**ADAPTERS, "variant": name, "std": NORMALISED_STD}
    for name in VARIANTS:
        if name not in found:
            found[name] = {**ADAPTERS, "variant": name}
    for activation in ACTIVATIONS:
        found[activation] = {**ADAPTERS, "activation": activation}
    return found


def tasks(plan: Plan) -> list[str]:
    """The budget's tasks for this comparison, as far as the plan has them."""
    return [task for task in plan.budget.variant_tasks if task in plan.tasks]


def rate_grid(plan: Plan, runs: Runs, task: str, method: dict[str, Any]) -> list[Config]:
    """What is tried for an extension, or for the adapter itself, with seed 0: the rate and epochs
    that are best in the adapter's own grid, and the budget's multiples of that rate."""
    like = chosen(plan, runs, task, ADAPTERS)
    if like is None:
        return []
    like = {**like, "method": method}
    return [{**like, "rate": _times(like["rate"], factor)} for factor in plan.budget.variant_rates]


def _times(rate: float, factor: float) -> float:
    """A multiple of a rate, of two digits, as a rate is written."""
    return rate if factor == 1 else float(f"{rate * factor:.1e}")


def best_rate(plan: Plan, runs: Runs, task: str, method: dict[str, Any]) -> Config | None:
    """The best of these configurations."""
    return only_or_best(runs, rate_grid(plan, runs, task, method))


def always_diverged(plan: Plan, runs: Runs, method: dict[str, Any]) -> bool:
    """Whether, on some task, all the runs that would choose an extension's rate diverged."""
    return any(all_diverged(runs, rate_grid(plan, runs, task, method)) for task in tasks(plan))


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for task in tasks(plan):
        configs += plan.grid(task, ADAPTERS)
        for method in methods().values():
            configs += rate_grid(plan, runs, task, method)
            if config := best_rate(plan, runs, task, method):
                configs += plan.with_seeds(config)
    return configs


ScoresByExtension = dict[str, dict[str, Scores]]  # by extension, then by task


def _results(plan: Plan, runs: Runs) -> ScoresByExtension:
    found: ScoresByExtension = {}
    for name, method in methods().items():
        found[name] = {}
        for task in tasks(plan):
            config = best_rate(plan, runs, task, method)
            tried = rate_grid(plan, runs, task, method)
            if name == ADAPTER:
                tried = tried or plan.grid(task, method)  # all of which may have diverged
            found[name][task] = chosen_scores(plan, runs, config, tried)
    return found


def _table(plan: Plan, runs: Runs, found: ScoresByExtension) -> str:
    rows = []
    for name, method in methods().items():
        count, cells = MISSING, []
        for task in tasks(plan):
            tried, like = rate_grid(plan, runs, task, method), best_rate(plan, runs, task, method)
            if parameters := parameters_of(runs, tried):
                count = f"{parameters['adapters']:,}"
            cells += [f"{like['rate']:g}" if like else MISSING, str(found[name][task])]
        rows.append((name, count, *cells))
    columns = [(f"rate, {title(task)}", with_metric(task)) for task in tasks(plan)]
    return markdown_table(
        rows, ("extension", "adapters' parameters", *(name for pair in columns for name in pair))
    )


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """Each extension's scores as Markdown, and a figure."""
    text = (
        "What the paper tried without gain, each as `minibert train --variant NAME` or "
        "`--activation NAME`, at size 64 and the epochs that were chosen for the adapter itself "
        f"(`serial`, GELU). {_rates(plan)} The normalised ones start with std {NORMALISED_STD:g}, "
        "as close to the identity as the others."
    )
    found = _results(plan, runs)
    scores = [scores for by_task in found.values() for scores in by_task.values()]
    if not any(one.values or one.diverged for one in scores):
        return section(HEADING, text, NO_RUNS)
    picture = ""
    if any(one.values for one in scores):
        _draw(found, tasks(plan), folder)
        picture = image(NAME, "Dev score of each extension; dotted, the adapter itself")
    return section(HEADING, text, glue_conditions(plan), _table(plan, runs, found), picture)


def _rates(plan: Plan) -> str:
    """What the report says of the rates."""
    others = [factor for factor in sorted(plan.budget.variant_rates) if factor != 1]
    if not others:
        return "The rate is the one chosen for it, too."
    times = " and ".join(f"{factor:.2g}" for factor in others)
    return (
        f"Each, and the adapter, is tried at the rate chosen for it and at {times} times that; the "
        "best on validation with seed 0 is kept."
    )


def _draw(found: ScoresByExtension, tasks: list[str], folder: Path) -> None:
    figure = new_figure(8.0, 3.4)
    axes = figure.subplots()
    for number, (task, style) in enumerate(zip(tasks, STYLES, strict=False)):
        shift = 0.16 * (number - (len(tasks) - 1) / 2)
        points = [(i + shift, by_task[task]) for i, by_task in enumerate(found.values())]
        score_line(axes, points, style, ls="none", label=title(task))
        each_seed(axes, points, style)
        reference = found[ADAPTER][task].mean
        if reference is not None:
            axes.axhline(100 * reference, color=style.color, lw=0.8, ls=":")
    names = ["the\nadapter" if name == ADAPTER else name.replace("-", "-\n") for name in found]
    axes.set_xticks(range(len(found)), names)
    axes.set_title("the adapter and its extensions")
    axes.set_ylabel("dev score, hundredths")
    tidy(axes, "y")
    legend(figure)
    save(figure, folder, NAME)
