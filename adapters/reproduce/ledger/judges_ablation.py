"""How the ledger judges the claims of figure 6, left: adapters removed without training again."""

from adapters.reproduce.ledger.estimates import above, all_of, at_most, over_seeds
from adapters.reproduce.ledger.judges import NOTHING, Found
from adapters.reproduce.studies.ablation import finished, losses
from adapters.reproduce.studies.plans import Plan, main_score
from adapters.reproduce.sweep.runs_file import Runs


def one_layer_hardly_matters(plan: Plan, runs: Runs) -> Found:
    """The worst single layer of each task, by its mean over seeds."""
    worst = {}
    for task, results in finished(plan, runs).items():
        single = [over_seeds(v) for (a, b), v in losses(results, task).items() if a == b]
        worst[task] = max(single, key=lambda estimate: estimate.value)
    if len(worst) < len(plan.tasks):
        return NOTHING
    verdicts = [at_most(estimate, 2.0) for estimate in worst.values()]
    text = ", ".join(f"{task} {estimate}" for task, estimate in worst.items())
    return text, all_of(verdicts)


def none_is_a_constant_guess(plan: Plan, runs: Runs) -> Found:
    """How far the scores without any adapter are above the constant guess."""
    texts, verdicts = [], []
    found = finished(plan, runs)
    for task, results in found.items():
        above = []
        for result in results:
            last = max(span["last"] for span in result["spans"])
            bare = next(s for s in result["spans"] if (s["first"], s["last"]) == (0, last))
            constant = main_score(task, result["constant"])
            above.append(100 * (main_score(task, bare["dev"]) - constant))
        estimate = over_seeds(above)
        texts.append(f"{task} {estimate}")
        verdicts.append(at_most(estimate, 2.0))
    if len(found) < len(plan.tasks):
        return NOTHING
    return ", ".join(texts), all_of(verdicts)


def higher_layers_matter_more(plan: Plan, runs: Runs) -> Found:
    """Per task and seed: the loss without the upper half's adapters less that without the lower
    half's."""
    texts, verdicts = [], []
    found = finished(plan, runs)
    for task, results in found.items():
        lost_by, half = losses(results, task), max(1, plan.layers // 2)
        upper, lower = lost_by[plan.layers - half, plan.layers - 1], lost_by[0, half - 1]
        estimate = over_seeds([u - low for u, low in zip(upper, lower, strict=True)])
        texts.append(f"{task} {estimate}")
        verdicts.append(above(estimate, 0.0))
    if len(found) < len(plan.tasks):
        return NOTHING
    return ", ".join(texts), all_of(verdicts)
