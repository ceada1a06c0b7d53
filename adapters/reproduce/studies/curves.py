"""The points of figures 1, 3 and 4, and the curves through them: what they train, and score."""

from typing import Any, NamedTuple

from adapters.reproduce.plans.choices import best_of_size, chosen, of_top_layers, top_layers
from adapters.reproduce.plans.plan import ADAPTERS, FULL, NORMS, Plan, sized
from adapters.reproduce.report.shares import parameters_of
from adapters.reproduce.report.statistics import Scores, chosen_scores
from adapters.reproduce.sweep.runs_file import Config, Runs


class Point(NamedTuple):
    """A point of a curve: its group and name, the method whose grid it was chosen from, and each
    task's configuration (None: not known yet)."""

    group: str
    name: str
    like: dict[str, Any]
    configs: dict[str, Config | None]


ADAPTER_GROUP = "adapters"
TOP_GROUP = "fine-tuning of the top layers"
NORM_GROUP = "LayerNorms only"


def points(plan: Plan, runs: Runs) -> list[Point]:
    """Adapters by size, LayerNorms alone, then top-k fine-tuning by k."""
    return [
        *(_size_point(plan, runs, size) for size in plan.budget.sizes),
        _chosen_point(plan, runs, NORM_GROUP, NORM_GROUP, NORMS),
        *_top_points(plan, runs),
    ]


def full_point(plan: Plan, runs: Runs) -> Point:
    """Full fine-tuning, with which the others are compared."""
    return _chosen_point(plan, runs, "", "full fine-tuning", FULL)


def _size_point(plan: Plan, runs: Runs, size: int) -> Point:
    like = sized(size) if size in plan.budget.swept else ADAPTERS
    configs = {task: best_of_size(plan, runs, task, size) for task in plan.tasks}
    return Point(ADAPTER_GROUP, f"adapters, m = {size}", like, configs)


def _chosen_point(plan: Plan, runs: Runs, group: str, name: str, method: dict[str, Any]) -> Point:
    return Point(
        group, name, method, {task: chosen(plan, runs, task, method) for task in plan.tasks}
    )


def _top_points(plan: Plan, runs: Runs) -> list[Point]:
    by_task = {task: of_top_layers(plan, runs, task) for task in plan.tasks}
    found = []
    for number, top in enumerate(top_layers(plan)):
        configs = {task: tops[number] if tops else None for task, tops in by_task.items()}
        found.append(Point(TOP_GROUP, f"top {top} of {plan.layers} layers", FULL, configs))
    return found


def point_scores(plan: Plan, runs: Runs, point: Point) -> dict[str, Scores]:
    """A point's dev scores for each task: as in the claims, with all seeds that have run, which
    for the methods of table 1 are more than a curve needs."""
    return {
        task: chosen_scores(
            plan, runs, config, plan.grid(task, point.like), enough=plan.curve_seeds
        )
        for task, config in point.configs.items()
    }


def relative(scores: dict[str, Scores], full: dict[str, Scores]) -> list[float]:
    """The mean score minus that of full fine-tuning, for each task for which both are known."""
    return [
        one.mean - full[task].mean  # type: ignore[operator]
        for task, one in scores.items()
        if one.mean is not None and full[task].mean is not None
    ]


def trained_parameters(plan: Plan, runs: Runs, point: Point) -> dict[str, int] | None:
    """A point's parameter counts: the same for every task, as they leave out the head."""
    there = [config for config in point.configs.values() if config is not None]
    return parameters_of(runs, [c for like in there for c in plan.with_seeds(like)])


class Curve(NamedTuple):
    """What is drawn of a group: each number of trained parameters with the tasks' scores."""

    parameters: list[int]
    scores: list[dict[str, Scores]]


def curves(plan: Plan, runs: Runs) -> dict[str, Curve]:
    """Each group's points that have any result, in the order of their trained parameters."""
    found: dict[str, list[tuple[int, dict[str, Scores]]]] = {}
    for point in points(plan, runs):
        counts = trained_parameters(plan, runs, point)
        if counts is not None:
            pair = (counts["task"], point_scores(plan, runs, point))
            found.setdefault(point.group, []).append(pair)
    drawn = {}
    for group, pairs in found.items():
        pairs.sort(key=lambda pair: pair[0])
        drawn[group] = Curve([count for count, _ in pairs], [scores for _, scores in pairs])
    return drawn
