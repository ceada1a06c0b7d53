"""How the claims of figure 6, left, are judged: adapters removed with no further training."""

from adapters.reproduce.ledger.estimates import above, all_of, at_most, over_seeds
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judgement
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.statistics import main_score
from adapters.reproduce.studies.ablation import finished, losses
from adapters.reproduce.sweep.runs_file import Runs


def one_layer_hardly_matters(plan: Plan, runs: Runs) -> Judgement:
    """The worst single layer of each task, by its mean over the seeds."""
    worst = {}
    for task, results in finished(plan, runs).items():
        single = [over_seeds(v) for (a, b), v in losses(results, task).items() if a == b]
        worst[task] = max(single, key=lambda estimate: estimate.value)
    if len(worst) < len(plan.tasks):
        return UNDECIDED
    verdicts = [at_most(estimate, 2.0) for estimate in worst.values()]
    text = ", ".join(f"{task} {estimate}" for task, estimate in worst.items())
    return text, all_of(verdicts)


def none_is_a_constant_guess(plan: Plan, runs: Runs) -> Judgement:
    """How far the scores without any adapter are above the constant guess."""
    texts, verdicts = [], []
    found = finished(plan, runs)
    for task, results in found.items():
        gains = []
        for result in results:
            last = max(span["last"] for span in result["spans"])
            bare = next(s for s in result["spans"] if (s["first"], s["last"]) == (0, last))
            constant = main_score(task, result["constant"])
            gains.append(100 * (main_score(task, bare["dev"]) - constant))
        estimate = over_seeds(gains)
        texts.append(f"{task} {estimate}")
        verdicts.append(at_most(estimate, 2.0))
    if len(found) < len(plan.tasks):
        return UNDECIDED
    return ", ".join(texts), all_of(verdicts)


def higher_layers_matter_more(plan: Plan, runs: Runs) -> Judgement:
    """For each task and seed: the loss without the upper half's adapters minus the loss without the
    lower half's."""
    texts, verdicts = [], []
    found = finished(plan, runs)
    for task, results in found.items():
        lost_by, half = losses(results, task), max(1, plan.layers // 2)
        upper, lower = lost_by[plan.layers - half, plan.layers - 1], lost_by[0, half - 1]
        estimate = over_seeds([u - low for u, low in zip(upper, lower, strict=True)])
        texts.append(f"{task} {estimate}")
        verdicts.append(above(estimate, 0.0))
    if len(found) < len(plan.tasks):
        return UNDECIDED
    return ", ".join(texts), all_of(verdicts)
