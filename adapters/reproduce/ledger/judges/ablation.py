"""How the claims of figure 6, left, are judged: adapters removed with no further training."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from adapters.reproduce.comparison.contributions import labels_are_here
from adapters.reproduce.comparison.estimates import Estimate, change
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement
from adapters.reproduce.ledger.verdicts import Rule, above, all_of, at_most
from adapters.reproduce.plans.choices import chosen
from adapters.reproduce.plans.plan import ADAPTERS, Plan
from adapters.reproduce.report.statistics import diverged_of
from adapters.reproduce.studies.ablation import Span, finished, halves
from adapters.reproduce.sweep.answers import packed
from adapters.reproduce.sweep.configured import parts_of
from adapters.reproduce.sweep.runs_file import Config, Results, Runs
from minibert.data.tasks import majority_logits, predictions

Measure = Callable[[Config, Results], list[Estimate]]  # of one task
MOST = 2.0  # points that a layer may cost, or that are left without any adapter


def _without(span: Span, results: Results) -> Results:
    """What the models score without the adapters of a span of layers."""
    return {
        key: next(s for s in result["spans"] if (s["first"], s["last"]) == span)
        for key, result in results.items()
    }


def _on_each_task(plan: Plan, runs: Runs, measure: Measure, rule: Rule, bound: float) -> Judgement:
    """The claim is about all that is measured on every task; the largest of each task is shown."""
    found: dict[str, list[Estimate]] = {}
    for task, results in finished(plan, runs).items():
        source = chosen(plan, runs, task, ADAPTERS)
        assert source is not None, "nothing else has ablations"
        diverged = diverged_of(runs, plan.with_seeds(source))
        measured = measure(source, results)
        found[task] = [replace(estimate, diverged=diverged) for estimate in measured]
    if len(found) < len(plan.tasks):
        return UNDECIDED
    every = [estimate for estimates in found.values() for estimate in estimates]
    text = []
    for task, estimates in found.items():
        largest = max(estimates, key=lambda estimate: estimate.value)
        text.append(f"{task} {largest.text(len(every))}")
    return ", ".join(text), all_of(rule, every, bound)


def one_layer_hardly_matters(plan: Plan, runs: Runs) -> Judgement:
    """Every single layer of each task."""

    def lost(source: Config, results: Results) -> list[Estimate]:
        return [change(source, results, _without((n, n), results)) for n in range(plan.layers)]

    return _on_each_task(plan, runs, lost, at_most, MOST)


def none_is_a_constant_guess(plan: Plan, runs: Runs) -> Judgement:
    """How far the scores without any adapter are above the constant guess."""

    def gain(source: Config, results: Results) -> list[Estimate]:
        bare = _without((0, plan.layers - 1), results)
        return [change(source, bare, _constant(source, results))]

    return _on_each_task(plan, runs, gain, at_most, MOST)


def _constant(source: Config, results: Results) -> Results:
    """What always guessing the majority class scores, once for each model."""
    kept = {}
    if labels_are_here(source):
        data, dev = parts_of(source)
        answers = predictions(data.task, majority_logits(data.task, data.train, len(dev)))
        kept = {"answers": packed(np.asarray(answers))}
    return {key: {"dev": result["constant"], **kept} for key, result in results.items()}


def higher_layers_matter_more(plan: Plan, runs: Runs) -> Judgement:
    """For each task: the loss without the upper half's adapters minus the loss without the lower
    half's, which is the score without the lower half's minus that without the upper half's."""
    lower, upper = halves(plan)

    def more(source: Config, results: Results) -> list[Estimate]:
        return [change(source, _without(lower, results), _without(upper, results))]

    return _on_each_task(plan, runs, more, above, 0.0)
