"""Tasks that arrive one after the other (section 1): adapters keep every earlier task to the bit,
fine-tuning one network for task after task forgets, and training one on all tasks together takes
all their data again for each further task."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, FULL, Plan
from adapters.reproduce.report.figures import image
from adapters.reproduce.report.pages import NO_RUNS, any_finished, glue_conditions, section
from adapters.reproduce.report.shares import parameters_of
from adapters.reproduce.report.statistics import all_diverged, diverged_of, results_of
from adapters.reproduce.studies import joint
from adapters.reproduce.studies.three_ways import Way, by_task, costs, draw
from adapters.reproduce.sweep.runs_file import Config, Runs, run_key

NAME = "many-tasks"
HEADING = "Section 1: many tasks, one after the other and all together"


def sequence(plan: Plan, runs: Runs, method: dict[str, Any], seed: int) -> Config | None:
    """All tasks in turn by one method, each at its own best rate and epochs; None until these are
    known."""
    steps = [chosen(plan, runs, task, method) for task in plan.tasks]
    if None in steps:
        return None
    return {
        "kind": "sequence",
        "shared": method["name"] == "full",
        "steps": [{**step, "seed": seed} for step in steps if step],
    }


def wanted(plan: Plan, runs: Runs) -> list[Config]:
    """The configurations known to be needed, given the results so far."""
    configs: list[Config] = []
    for method in (ADAPTERS, FULL):
        for task in plan.tasks:
            configs += plan.grid(task, method)
        for config in sequences(plan, runs, method):
            # adapters are those of table 1: only once trained, so that no two workers train one
            steps = [] if config["shared"] else config["steps"]
            configs += steps
            if all(run_key(step) in runs for step in steps):
                configs.append(config)
    return configs + joint.wanted(plan, runs)


def sequences(plan: Plan, runs: Runs, method: dict[str, Any]) -> list[Config]:
    """A method's sequence with each seed of the curves; none until its rates are known."""
    found = [sequence(plan, runs, method, seed) for seed in range(plan.curve_seeds)]
    return [config for config in found if config]


def finished(plan: Plan, runs: Runs, method: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a method's sequence, one for each seed that has run without diverging."""
    return [*results_of(runs, sequences(plan, runs, method)).values()]


def one_after_the_other(plan: Plan, runs: Runs, method: dict[str, Any], name: str) -> Way:
    """A method's sequences as one way to have many tasks."""
    results, last = finished(plan, runs, method), len(plan.tasks) - 1
    grids = [plan.grid(task, method) for task in plan.tasks]
    diverged = _diverged(runs, sequences(plan, runs, method), *grids)
    return Way(
        name,
        plan.curve_seeds,
        [dict(enumerate(result["scores"])) for result in results],
        dict.fromkeys(range(last + 1), diverged) if diverged else {},
        parameters=results[0]["parameters"] if results else None,
        added=_added(plan, runs, method),
        again=0 if results else None,
        changed=[sum(sum(one["changed"][i]) for one in results) for i in range(last + 1)]
        if results
        else None,
    )


def all_together(plan: Plan, runs: Runs, name: str) -> Way:
    """Joint training as another."""
    learned: dict[int, dict[int, list[dict[str, float]]]] = {}
    diverged = {}
    for tasks in joint.numbers_of_tasks(plan):
        seeds = joint.of_seeds(plan, runs, tasks).values()
        if number := _diverged(runs, seeds, joint.grid(plan)):
            diverged[tasks - 1] = number
        for seed, result in joint.finished(plan, runs, tasks).items():
            learned.setdefault(seed, {})[tasks - 1] = result["scores"][0]
    whole = next(iter(joint.finished(plan, runs, len(plan.tasks)).values()), None)
    return Way(
        name,
        plan.curve_seeds,
        list(learned.values()),
        diverged,
        parameters=whole["parameters"] if whole else None,
        added=_added(plan, runs, FULL),
        again=sum(whole["examples"][:-1]) if whole else None,
        changed=None,
    )


def _diverged(runs: Runs, seeds: Iterable[Config], *grids: list[Config]) -> int:
    """How many of a way's seeds diverged; 1 if there are none, as all of a grid did."""
    return diverged_of(runs, [*seeds]) or int(any(all_diverged(runs, grid) for grid in grids))


def _added(plan: Plan, runs: Runs, method: dict[str, Any]) -> int | None:
    """How many parameters the last task brings: a head, and its adapters and LayerNorms if it has
    such."""
    last = chosen(plan, runs, plan.tasks[-1], method)
    counts = parameters_of(runs, [last] if last else [])
    if counts is None:
        return None
    return counts["head"] + (0 if method == FULL else counts["task"])


def report(plan: Plan, runs: Runs, folder: Path) -> str:
    """Every task's score after each task was learned, by each way, what one more task costs, and
    the curves."""
    text = (
        "Each task is learned at its own best rate and epochs. With adapters the base stays frozen "
        "and every task keeps its own few parameters; with full fine-tuning one network goes from "
        "task to task, and every task keeps its head. After each task, all tasks so far are scored "
        "on their dev sets, in one process over one base. Joint training is full fine-tuning of "
        "one network, with a head for each task, on all tasks together, each batch of one of them "
        "(Liu et al. 2019, arXiv 1901.11504); its one rate and its epochs are those with the best "
        "mean validation score on all tasks. At these it is also made without the last task."
    )
    ways = [
        one_after_the_other(plan, runs, ADAPTERS, "adapters"),
        one_after_the_other(plan, runs, FULL, "sequential fine-tuning"),
        all_together(plan, runs, "joint training"),
    ]
    if not any_finished(runs, wanted(plan, runs)):
        return section(HEADING, text, NO_RUNS)
    picture = ""
    if any(way.learned for way in ways):
        draw(ways, plan.tasks, folder, NAME)
        picture = image(NAME, "Each task's score after every further task, a panel for each way")
    number = len(plan.tasks)
    return section(
        HEADING,
        text,
        glue_conditions(plan, plan.curve_seeds),
        by_task(ways, plan.tasks) if any(way.learned or way.diverged for way in ways) else "",
        costs(ways, plan.tasks),
        f"{number} networks, each fine-tuned in full and kept, are {number} times the base.",
        picture,
    )
