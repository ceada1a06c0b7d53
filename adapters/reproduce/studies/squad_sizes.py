"""Figure 5: F1 on SQuAD v1.1 by the adapters' size, against full fine-tuning."""

from pathlib import Path
from typing import NamedTuple

from adapters.reproduce.report.pages import NO_RUNS, any_finished, markdown_table, section
from adapters.reproduce.report.pictures import (
    REFERENCE,
    STYLES,
    image,
    legend,
    line,
    log2_axis,
    new_figure,
    save,
    tidy,
)
from adapters.reproduce.report.statistics import (
    MISSING,
    Scores,
    dev_metric,
    parameters_of,
    scores_of,
)
from adapters.reproduce.studies import table1
from adapters.reproduce.studies.plans import Plan, sized
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

NAME = "squad"


def methods(plan: Plan) -> list[dict[str, object]]:
    """Full fine-tuning, and adapters of the budget's sizes."""
    return [{"name": "full"}, *(sized(size) for size in plan.budget.squad_sizes)]


def grid(plan: Plan, method: dict[str, object], seed: int = 0) -> list[Config]:
    """A method with the rates and epochs of the budget."""
    grid = plan.budget.squad_grids[str(method["name"])]
    return [plan.squad(method, rate, epochs, seed) for rate, epochs in grid]


def seeds(plan: Plan) -> range:
    """The seeds of every configuration."""
    return range(min(plan.budget.curve_seeds, plan.seeds))


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """All configurations: SQuAD's grid does not depend on results."""
    if plan.sample:  # there is no sample of questions
        return []
    return [
        config
        for seed in seeds(plan)
        for method in methods(plan)
        for config in grid(plan, method, seed)
    ]


def tried(plan: Plan, method: dict[str, object]) -> list[list[Config]]:
    """For each rate and epochs of a method's grid, its configurations with all seeds."""
    columns = zip(*(grid(plan, method, seed) for seed in seeds(plan)), strict=True)
    return [list(column) for column in columns]


def best_of_grid(plan: Plan, runs: Runs, method: dict[str, object]) -> list[Config]:
    """The configurations, one a seed, at the rate and epochs whose mean F1 is highest; while none
    has a score, those that come first, of which all that have run diverged."""
    f1 = dev_metric("f1")
    ranked = [(scores_of(runs, configs, f1), configs) for configs in tried(plan, method)]
    scored = [(scores.mean, configs) for scores, configs in ranked if scores.mean is not None]
    if scored:
        return max(scored, key=lambda pair: pair[0])[1]
    all_diverged = all(scores.diverged for scores, _ in ranked)
    return ranked[0][1] if all_diverged else []


class Found(NamedTuple):
    """What came out for a method: its two metrics, at the configuration that was chosen."""

    name: str
    size: int | None
    configs: list[Config]
    f1: Scores
    exact: Scores


def results(plan: Plan, runs: Runs) -> list[Found]:
    """Full fine-tuning, then adapters by size."""
    found = []
    for method in methods(plan):
        configs, size = best_of_grid(plan, runs, method), method.get("size")
        name = "full fine-tuning" if size is None else f"adapters, m = {size}"
        f1, exact = (scores_of(runs, configs, dev_metric(key)) for key in ("f1", "exact_match"))
        found.append(Found(name, int(str(size)) if size is not None else None, configs, f1, exact))
    return found


def _table(runs: Runs, found: list[Found]) -> str:
    lines = []
    for one in found:
        counts = parameters_of(runs, one.configs)
        trained, shares = MISSING, [MISSING] * 2
        if counts is not None:
            trained = f"{counts['task']:,}"
            every = (table1.paper_share(counts), counts["task"] / counts["all"])
            shares = [f"{100 * share:.1f} %" for share in every]
        choice = [MISSING] * 2
        if one.f1.values:
            choice = [f"{one.configs[0]['rate']:g}", str(one.configs[0]["epochs"])]
        lines.append([one.name, trained, *shares, *choice, str(one.f1), str(one.exact)])
    headers = ["", "trained parameters", "as the paper counts", "of all", "learning rate", "epochs",
               "F1", "exact match"]  # fmt: skip
    return markdown_table(lines, headers)


def _draw(found: list[Found], folder: Path) -> bool:
    if not any(one.f1.values for one in found):
        return False
    figure = new_figure(9, 3.6)
    for axes, key, name in zip(
        figure.subplots(1, 2), ("f1", "exact"), ("F1", "exact match"), strict=True
    ):
        there = [(one.size, getattr(one, key)) for one in found if getattr(one, key).values]
        sized_ones = [(size, scores) for size, scores in there if size is not None]
        if sized_ones:
            errors = [100 * (scores.error or 0) for _, scores in sized_ones]
            line(axes, [size for size, _ in sized_ones],
                 [100 * scores.mean for _, scores in sized_ones], STYLES[0],
                 yerr=errors if any(errors) else None, label="adapters")  # fmt: skip
        for scores in (scores for size, scores in there if size is None):
            axes.axhline(100 * scores.mean, **REFERENCE, label="full fine-tuning")
            if error := scores.error:
                ends = [100 * (scores.mean + side * error) for side in (-1, 1)]
                axes.axhspan(*ends, color=REFERENCE["color"], alpha=0.12, lw=0)
        log2_axis(axes, [one.size for one in found if one.size is not None])
        axes.set(xlabel="adapter size m", ylabel=f"dev {name}, hundredths")
        tidy(axes)
    legend(figure)
    save(figure, folder, NAME)
    return True


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """The study as Markdown; its picture goes to folder/figures. Shows what there is by now."""
    heading = "Figure 5: SQuAD v1.1"
    number = len(seeds(plan))
    most, dev = plan.budget.squad_examples
    questions = f"at most {most:,} questions" if most else "all questions"
    what = (
        f"Question answering by adapters of several sizes and by full fine-tuning, trained on "
        f"{questions} of the training set and scored on {f'at most {dev:,}' if dev else 'all'} of "
        "the dev set after the last epoch."
    )
    for run in (runs[key] for key in map(run_key, wanted(plan, runs)) if key in runs):
        if "examples" in run["result"]:  # what was there
            what += " There were {:,} and {:,}.".format(*run["result"]["examples"])
            break
    if any(len(grid(plan, method)) > 1 for method in methods(plan)):
        what += (
            " Of each method's grid of rates and epochs, what is shown has the highest mean F1 on "
            "the dev set itself, full fine-tuning's like the adapters'."
        )
    common = (
        f"Base `{plan.base_shown}`, budget `{plan.budget.name}`, {number} seed{'s'[: number > 1]}; "
        "scores in hundredths, mean ± standard error over the seeds."
    )
    if not any_finished(runs, wanted(plan, runs)):
        return section(heading, what, common, NO_RUNS)
    found = results(plan, runs)
    drawn = _draw(found, folder)
    alt = "F1 and exact match by adapter size, with full fine-tuning as a line"
    return section(heading, what, common, _table(runs, found), image(NAME, alt) if drawn else "")
