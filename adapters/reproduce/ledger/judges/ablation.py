"""How the claims of figure 6, left, are judged: adapters removed with no further training."""

from collections.abc import Callable
from functools import partial

import numpy as np

from adapters.reproduce.ledger.contributions import labels_are_here
from adapters.reproduce.ledger.estimates import (
    Estimate,
    Scored,
    above,
    all_of,
    at_most,
    change,
)
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement
from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.studies.ablation import Span, finished
from adapters.reproduce.sweep.answers import packed
from adapters.reproduce.sweep.configured import parts_of
from adapters.reproduce.sweep.runs_file import Config, Runs
from minibert.data.tasks import majority_logits, predictions

Results = dict[str, Scored]  # a task's ablations, one for each seed, by their runs' keys
Measure = Callable[[Config, Results], Estimate]  # of one task


def _without(span: Span, results: Results) -> Results:
    """What the models score without the adapters of a span of layers."""
    return {
        key: next(s for s in result["spans"] if (s["first"], s["last"]) == span)
        for key, result in results.items()
    }


def _on_each_task(
    plan: Plan, runs: Runs, measure: Measure, verdict: Callable[[Estimate], str]
) -> Judgement:
    """The claim holds if it holds for every task."""
    found = {}
    for task, results in finished(plan, runs).items():
        source = chosen(plan, runs, task, ADAPTERS)
        assert source is not None, "nothing else has ablations"
        found[task] = measure(source, results)
    if len(found) < len(plan.tasks):
        return UNDECIDED
    text = ", ".join(f"{task} {estimate}" for task, estimate in found.items())
    return text, all_of([verdict(estimate) for estimate in found.values()])


def one_layer_hardly_matters(plan: Plan, runs: Runs) -> Judgement:
    """The worst single layer of each task, by its mean over the seeds."""

    def worst(source: Config, results: Results) -> Estimate:
        lost = (change(source, results, _without((n, n), results)) for n in range(plan.layers))
        return max(lost, key=lambda estimate: estimate.value)

    return _on_each_task(plan, runs, worst, partial(at_most, bound=2.0))


def none_is_a_constant_guess(plan: Plan, runs: Runs) -> Judgement:
    """How far the scores without any adapter are above the constant guess."""

    def gain(source: Config, results: Results) -> Estimate:
        bare = _without((0, plan.layers - 1), results)
        return change(source, bare, _constant(source, results))

    return _on_each_task(plan, runs, gain, partial(at_most, bound=2.0))


def _constant(source: Config, results: Results) -> Results:
    """What always guessing the majority class scores beside each of the models."""
    kept = {}
    if labels_are_here(source) and all("answers" in result for result in results.values()):
        data, dev = parts_of(source)
        answers = predictions(data.task, majority_logits(data.task, data.train, len(dev)))
        kept = {"answers": packed(np.asarray(answers))}
    return {key: {"dev": result["constant"], **kept} for key, result in results.items()}


def higher_layers_matter_more(plan: Plan, runs: Runs) -> Judgement:
    """For each task: the loss without the upper half's adapters minus the loss without the lower
    half's, which is the score without the lower half's minus that without the upper half's."""
    half = max(1, plan.layers // 2)
    upper, lower = (plan.layers - half, plan.layers - 1), (0, half - 1)

    def more(source: Config, results: Results) -> Estimate:
        return change(source, _without(lower, results), _without(upper, results))

    return _on_each_task(plan, runs, more, partial(above, bound=0.0))
