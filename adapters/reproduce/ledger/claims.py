"""The ledger: each claim of the paper with its number, ours, and a verdict by a rule.

The bounds were fixed before any run: a margin in points (hundredths of the task's metric) and,
unless the claim is exact, a decision only where the bound is outside the 95 % interval. A claim
that does not hold on this base is recorded as not holding. What was changed after runs is in
CHANGED, which every ledger tells.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.reproduce.comparison.contributions import without_labels
from adapters.reproduce.comparison.estimates import SEEDS_ONLY
from adapters.reproduce.ledger.judges import (
    ablation,
    epochs,
    extensions,
    init_scale,
    many_tasks,
    squad,
    table1,
    tradeoff,
)
from adapters.reproduce.ledger.judges.judgement import UNDECIDED, Judge
from adapters.reproduce.ledger.verdicts import FAILS, HOLDS, MARGIN, OPEN
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.published import TABLE_1
from adapters.reproduce.sweep.runs_file import Runs
from adapters.show import table


@dataclass(frozen=True)
class Claim:
    """What the paper says, where, and with which number; our rule; the study with the runs; and the
    function that judges it."""

    where: str
    says: str
    number: str
    rule: str
    study: str
    judge: Judge


WITHIN = f"mean difference to full fine-tuning over the tasks at least -{MARGIN:g}"
SQUAD = f"difference at least -{MARGIN:g} F1"

CLAIMS = (
    Claim(
        "table 1",
        "Adapters of the best size for each task are about as good as full fine-tuning",
        "80.0 / 80.4",
        WITHIN,
        "table1",
        table1.best_size_is_enough,
    ),
    Claim(
        "table 1",
        "So are adapters of size 64",
        "79.6 / 80.4",
        WITHIN,
        "table1",
        table1.size_64_is_enough,
    ),
    Claim(
        "section 1",
        "Adapters are better than a head on frozen features",
        "-",
        "mean difference over the tasks above 0",
        "table1",
        table1.better_than_features,
    ),
    Claim(
        "table 1",
        "Size 64 trains 2.1 % for each task; nine tasks need 1.2x the parameters",
        "2.1 %, 1.2x",
        "equal when rounded, on BERT-large",
        "table1",
        table1.few_parameters,
    ),
    Claim(
        "section 3.5",
        "Sizes 8, 64 and 256 are alike on validation",
        "86.2 / 85.8 / 85.7",
        f"largest difference of the means at most {MARGIN:g}",
        "table1",
        table1.sizes_are_alike,
    ),
    Claim(
        "figures 1, 3",
        "Adapters keep the score with two orders of magnitude fewer parameters",
        "1/100",
        f"a size with at most 1/100 has a mean difference of at least -{MARGIN:g}",
        "tradeoff",
        tradeoff.orders_of_magnitude,
    ),
    Claim(
        "figures 3, 4",
        "Fine-tuning only the top layer loses score",
        "77.8 / 84.4 (MNLI, top layer)",
        "mean difference to full fine-tuning below 0",
        "tradeoff",
        tradeoff.fewer_top_layers_lose,
    ),
    Claim(
        "section 3.4",
        "Training LayerNorms alone is not enough",
        "-3.5 (CoLA), -4 (MNLI)",
        "mean difference to full fine-tuning below 0",
        "tradeoff",
        tradeoff.norms_are_not_enough,
    ),
    Claim(
        "figure 5",
        "SQuAD: size 64 is as good as full fine-tuning",
        "90.4 / 90.7 F1",
        SQUAD,
        "squad",
        squad.squad_by_size(64),
    ),
    Claim(
        "figure 5",
        "SQuAD: size 2 is nearly as good",
        "89.9 / 90.7 F1",
        SQUAD,
        "squad",
        squad.squad_by_size(2),
    ),
    Claim(
        "figure 6 left",
        "Removing any one layer's adapters costs little",
        "at most 2 % of the score",
        f"on each task, every layer's loss at most {ablation.MOST:g} points; the worst is shown",
        "ablation",
        ablation.one_layer_hardly_matters,
    ),
    Claim(
        "figure 6 left",
        "Removing all of them leaves a constant guess",
        "accuracy 37 (MNLI), 69 (CoLA)",
        f"on each task, at most {ablation.MOST:g} above the constant guess",
        "ablation",
        ablation.none_is_a_constant_guess,
    ),
    Claim(
        "figure 6 left",
        "Higher layers' adapters matter more",
        "-",
        "on each task, removing the upper half costs more than removing the lower half",
        "ablation",
        ablation.higher_layers_matter_more,
    ),
    Claim(
        "figure 6 right",
        "Initial stds of 1e-2 and below are alike",
        "-",
        f"each mean difference to 1e-2 at least -{MARGIN:g}",
        "init-scale",
        init_scale.small_stds_are_alike,
    ),
    Claim(
        "figure 6 right",
        "A std of 1 is worse",
        "-",
        "the largest std's mean difference to 1e-2 below 0",
        "init-scale",
        init_scale.large_stds_are_worse,
    ),
    Claim(
        "section 3.6",
        "The extensions bring no gain",
        "-",
        f"each extension's mean difference, both at their own best rates, at most {MARGIN:g}",
        "extensions",
        extensions.extensions_gain_nothing,
    ),
    Claim(
        "section 1",
        "Adapters remember earlier tasks perfectly",
        "to the bit",
        "no logit of an earlier task changes by a bit",
        "many-tasks",
        many_tasks.memory_is_perfect,
    ),
    Claim(
        "section 1",
        "Fine-tuning one network task after task forgets",
        "-",
        "mean change of the earlier tasks' scores below 0",
        "many-tasks",
        many_tasks.sequential_tuning_forgets,
    ),
    Claim(
        "section 3.2",
        "Enough epochs and rate: adapters reach full fine-tuning on SST-2",
        "94.2 / 94.9",
        f"difference at least -{MARGIN:g}",
        "epochs",
        epochs.more_epochs_close_the_gap,
    ),
)

# What the paper says that no run here can decide: (where, what, why).
LEFT_OUT = (
    (
        "table 2",
        "17 further tasks",
        "their data are not fetched; `table2 --data DIR` runs any folder, and reports on it",
    ),
    (
        "figure 7",
        "how robust adapters are to the learning rate",
        "no study compares methods over so wide a range of rates",
    ),
    ("table 1", "GLUE's test server", "its labels are held back; all scores here are dev scores"),
)

# What was changed after runs were in.
CHANGED = (
    "the extensions got learning rates of their own, since LayerNorm inside the adapter had "
    "collapsed at the plain adapter's",
    "RTE was left out of the study of initial stds, to save time, when its runs on MiniLM were in",
    "adapters of size 256 got rates of their own, when training with them had failed at size 64's",
    "what runs on one task got 8 seeds instead of 3: first layer-norm and the plain adapter, as "
    "their claim was open, and then the rest",
    "two claims were narrowed to what their rules test: only the top layer is fine-tuned; the std "
    "is 1",
    "the error: where runs kept their answers, it is of seeds and examples together, by Student's "
    "t; where not, seeds that vary more than is usual for the task have that larger error",
    "that error used to take answers from every run; now it takes them from half of a method's "
    "runs, and from at least two: the seeds' part uses the scores of all",
    "where one of several (layers, tasks, sizes, extensions) decides, its interval is wider, by "
    "Bonferroni; at first it was not wide enough with few seeds, as one Student's t stood for all "
    "parts of the error",
    "an error was corrected: the widest difference of sizes had counted its degrees of freedom "
    "twice; on MiniLM that turned 'does not hold' into 'not decided'",
    "SQuAD's error is no longer assumed; an estimate with a diverged run has no error, so it "
    "decides nothing; and an extension that diverges at every rate is no gain",
)

# The studies of many methods or tasks, which have `Plan.curve_seeds`.
FEWER_SEEDS = "tradeoff, squad and many-tasks"

HEADERS = ("where", "claim", "paper", "ours", "rule", "verdict")


def counted(verdicts: Iterable[str]) -> str:
    """How many claims hold, don't, and are open: "6 hold, 5 do not hold, 8 are not decided"."""
    of = Counter(verdicts)
    return (
        f"{of[HOLDS]} hold{'s' * (of[HOLDS] == 1)}, "
        f"{of[FAILS]} {'does' if of[FAILS] == 1 else 'do'} not hold, "
        f"{of[OPEN]} {'is' if of[OPEN] == 1 else 'are'} not decided by these runs"
    )


def studies_of_claims() -> str:
    """The studies, each with where in the paper the claims stand that it decides."""
    places: dict[str, list[str]] = {}
    for claim in CLAIMS:
        known = places.setdefault(claim.study, [])
        if claim.where not in known:
            known.append(claim.where)
    return "\n".join(f"- `{study}`: {'; '.join(where)}." for study, where in places.items())


def _about_the_paper(plan: Plan) -> str:
    """What the paper's numbers for table 1 are, and what they are on the plan's tasks, with a blank
    line; "" if it has no number for one of these."""
    means = [row.mean(plan.tasks) for row in TABLE_1]
    if None in means:
        return ""
    full, best, size_64 = (f"{mean:.1f}" for mean in means)
    return (
        "The paper's numbers for table 1 are BERT-large's on the test server, the best of 5 runs "
        "on validation, in the mean over nine columns. On the tasks here it has "
        f"{full} with full fine-tuning, {best} with adapters of the best size, and {size_64} with "
        "those of size 64.\n\n"
    )


def ledger(plan: Plan, runs: Runs, command: str) -> str:
    """The claims as Markdown: how many hold; then of each the paper's number, ours, the rule, the
    verdict; then how to compute them. `command`: the command line that computes a study, with
    {study} in it."""
    judged = [(claim, *claim.judge(plan, runs)) for claim in CLAIMS]
    rows = [
        (claim.where, claim.says, claim.number, ours, claim.rule, f"**{verdict}**")
        for claim, ours, verdict in judged
    ]
    curves = plan.curve_seeds
    seeds = f"seeds, where all have run: {plan.seeds}"
    if curves != plan.seeds:
        seeds += f" ({curves} for methods that only {FEWER_SEEDS} train)"
    on = "tasks"
    if plan.sample:
        on = "not on GLUE but on the project's own sample sentences for the tasks"
    idle = sum(ours == UNDECIDED[0] for _, ours, _ in judged)
    without = f", {idle} of them for want of runs" if idle else ""
    unlabelled = ", ".join(without_labels(plan))
    alone = (
        f"**The data of {unlabelled} are not on the machine that made this page**, so that answers "
        f"could not be compared there: all intervals of these tasks are of the seeds alone. "
        if unlabelled
        else ""
    )
    changed = "\n".join(f"- {what}." for what in CHANGED)
    left_out = "\n".join(f"- {where}, {what}: {why}." for where, what, why in LEFT_OUT)
    return (
        f"# Claims of the paper on {plan.base_shown}\n\n"
        f"Of {len(CLAIMS)} claims, {counted(verdict for *_, verdict in judged)}{without}.\n\n"
        f"Budget `{plan.budget.name}`, {seeds}, {on} {', '.join(plan.tasks)}. Numbers are in "
        "hundredths of each task's metric on its dev set; differences are ours minus the other's. "
        "In brackets are 95 % intervals, and a claim is decided only where the rule's bound is "
        "outside. An interval is about the choice of seeds and of dev examples: methods are "
        "compared on the same examples, one by one, and few seeds make it wider, by Student's t. "
        f"With {SEEDS_ONLY}, where too few runs kept answers to compare, it is about the seeds "
        "alone, for these very examples; the spread over seeds is then that of the task's runs in "
        "table 1, or the method's own where that is larger (on SQuAD, where adapters are removed, "
        f"and where tasks are learned in turn: its own). {alone}"
        "Where one of several is enough to decide, as the worst layer or the widest difference, "
        "the interval shown is right for all of them together (Bonferroni); where all have to "
        "agree, each one's own decides. Rates, epochs and sizes are those that were chosen with "
        "seed 0 (SQuAD's, where there are several, by the mean on this very dev set): no interval "
        "includes what another choice would have given.\n\n"
        f"{table(rows, HEADERS, 'github')}\n\n{_about_the_paper(plan)}"
        f"Not among the runs:\n\n{left_out}\n\n"
        "The bounds were fixed before any run. What was changed afterwards, and why:\n\n"
        f"{changed}\n\n"
        f"The numbers are those of `{command.format(study='all')}`, or of one study at a time, "
        f"with its name for `all`:\n\n{studies_of_claims()}\n"
    )
