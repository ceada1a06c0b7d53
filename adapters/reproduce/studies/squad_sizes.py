"""Figure 5: F1 on SQuAD v1.1 by adapter size, compared with full fine-tuning."""

from pathlib import Path
from typing import Any, NamedTuple

from adapters.pictures import STYLES
from adapters.reproduce.plans.plan import FULL, Plan, sized
from adapters.reproduce.report.figures import (
    REFERENCE_LINE,
    each_seed,
    image,
    legend,
    log2_axis,
    new_figure,
    save,
    score_line,
    tidy,
)
from adapters.reproduce.report.pages import (
    NO_RUNS,
    any_finished,
    conditions,
    markdown_table,
    section,
)
from adapters.reproduce.report.shares import paper_share, parameters_of
from adapters.reproduce.report.statistics import MISSING, Scores, dev_metric, scores_of
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

NAME = "squad"
HEADING = "Figure 5: SQuAD v1.1"


def methods(plan: Plan) -> list[dict[str, Any]]:
    """Full fine-tuning, and adapters of the budget's sizes."""
    return [FULL, *(sized(size) for size in plan.budget.squad_sizes)]


def tried(plan: Plan, method: dict[str, Any]) -> list[list[Config]]:
    """For each rate and number of epochs of a method's grid, its configurations with all seeds."""
    grid = [plan.squad(method, *numbers) for numbers in plan.budget.squad_grids[method["name"]]]
    return [plan.with_seeds(config, plan.curve_seeds) for config in grid]


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """All configurations: SQuAD's grid does not depend on results."""
    if plan.sample:  # the project has no sample of questions
        return []
    found = [configs for method in methods(plan) for configs in tried(plan, method)]
    return [config for seeds in zip(*found, strict=True) for config in seeds]  # seed 0 first


def best_of_grid(plan: Plan, runs: Runs, method: dict[str, Any]) -> list[Config]:
    """The configurations, one for each seed, at the rate and epochs with the highest mean F1 among
    those at which the fewest runs diverged. If all have diverged, those at the first; before that,
    none."""
    f1 = dev_metric("f1")
    found = [(scores_of(runs, configs, f1), configs) for configs in tried(plan, method)]
    ranked = [(-one.diverged, one.mean, configs) for one, configs in found if one.mean is not None]
    if ranked:
        return max(ranked, key=lambda one: one[:2])[2]
    return found[0][1] if all(scores.diverged for scores, _ in found) else []


class MethodResult(NamedTuple):
    """A method's two metrics, at its best rate and epochs. `size`: None for full fine-tuning."""

    name: str
    size: int | None
    configs: list[Config]
    f1: Scores
    exact: Scores


def results(plan: Plan, runs: Runs) -> list[MethodResult]:
    """Full fine-tuning, then adapters by size."""
    found = []
    for method in methods(plan):
        configs, size = best_of_grid(plan, runs, method), method.get("size")
        name = "full fine-tuning" if size is None else f"adapters, m = {size}"
        f1, exact = (scores_of(runs, configs, dev_metric(key)) for key in ("f1", "exact_match"))
        found.append(MethodResult(name, size, configs, f1, exact))
    return found


def _cells(runs: Runs, one: MethodResult) -> list[str]:
    trained, shares, choice = MISSING, [MISSING] * 2, [MISSING] * 2
    counts = parameters_of(runs, one.configs)
    if counts is not None:
        trained = f"{counts['task']:,}"
        both = (paper_share(counts), counts["task"] / counts["all"])
        shares = [f"{100 * share:.1f} %" for share in both]
    if one.f1.values:
        choice = [f"{one.configs[0]['rate']:g}", str(one.configs[0]["epochs"])]
    return [one.name, trained, *shares, *choice, str(one.f1), str(one.exact)]


HEADERS = (
    "",
    "trained parameters",
    "as the paper counts",
    "of all",
    "learning rate",
    "epochs",
    "F1",
    "exact match",
)


def _draw_full(axes: Any, scores: Scores) -> None:
    """A line for full fine-tuning, and a band of one standard error on each side."""
    if scores.mean is None:
        return
    axes.axhline(100 * scores.mean, **REFERENCE_LINE, label="full fine-tuning")
    if error := scores.error:
        ends = [100 * (scores.mean + side * error) for side in (-1, 1)]
        looks = {"color": REFERENCE_LINE["color"], "alpha": 0.12, "lw": 0}
        axes.axhspan(*ends, **looks, label="full fine-tuning ± standard error")


def _draw(found: list[MethodResult], folder: Path) -> bool:
    if not any(one.f1.values for one in found):
        return False
    figure = new_figure(9, 3.6)
    panels = zip(figure.subplots(1, 2), ("f1", "exact"), ("F1", "exact match"), strict=True)
    for axes, key, name in panels:
        by_size = [(one.size, getattr(one, key)) for one in found if one.size is not None]
        score_line(axes, by_size, STYLES[0], label="adapters")
        each_seed(axes, by_size, STYLES[0])
        for one in found:
            if one.size is None:
                _draw_full(axes, getattr(one, key))
        log2_axis(axes, [size for size, _ in by_size])
        axes.set(xlabel="adapter size m", ylabel=f"dev {name}, hundredths")
        tidy(axes)
    legend(figure)
    save(figure, folder, NAME)
    return True


def _introduction(plan: Plan, runs: Runs) -> str:
    most, dev = plan.budget.squad_examples
    text = (
        "Question answering by adapters of several sizes and by full fine-tuning, trained on "
        f"{f'at most {most:,} questions' if most else 'all questions'} of the training set and "
        f"scored on {f'at most {dev:,}' if dev else 'all'} of the dev set after the last epoch."
    )
    for run in (runs[key] for key in map(run_key, wanted(plan, runs)) if key in runs):
        if "examples" in run["result"]:
            text += " There were {:,} and {:,}.".format(*run["result"]["examples"])
            break
    if any(len(tried(plan, method)) > 1 for method in methods(plan)):
        text += (
            " Of the rates and epochs in each method's grid, the table shows those with the "
            "highest mean F1 on the dev set itself, for full fine-tuning as for adapters; those at "
            "which a run diverged come last."
        )
    return text


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown, with whatever has finished; its figure is saved in folder/figures."""
    beginning = (HEADING, _introduction(plan, runs), conditions(plan, plan.curve_seeds))
    if not any_finished(runs, wanted(plan, runs)):
        return section(*beginning, NO_RUNS)
    found = results(plan, runs)
    drawn = _draw(found, folder)
    table = markdown_table([_cells(runs, one) for one in found], HEADERS)
    alt = "F1 and exact match by adapter size, with full fine-tuning as a line"
    return section(*beginning, table, image(NAME, alt) if drawn else "")
