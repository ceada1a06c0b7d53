"""The ledger, a page: each claim of the paper with its number, ours, the rule and the verdict."""

from collections import Counter
from collections.abc import Iterable

from adapters.reproduce.comparison.contributions import without_labels
from adapters.reproduce.comparison.estimates import SEEDS_ONLY
from adapters.reproduce.ledger.claims import CHANGED, CLAIMS, LEFT_OUT
from adapters.reproduce.ledger.judges.judgement import UNDECIDED
from adapters.reproduce.ledger.verdicts import FAILS, HOLDS, OPEN
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.published import TABLE_1
from adapters.reproduce.sweep.runs_file import Runs
from adapters.show import table
from minibert.errors import several

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
    """The studies, each with the places in the paper whose claims it decides."""
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
    seeds = f"up to {several(plan.seeds, 'seed')}"
    if plan.curve_seeds != plan.seeds:
        seeds += f" (up to {plan.curve_seeds} for what only {FEWER_SEEDS} train)"
    on = "not GLUE but the project's own sample sentences, for the " if plan.sample else ""
    idle = sum(ours == UNDECIDED[0] for _, ours, _ in judged)
    without = f", {idle} of them without a number" if idle else ""
    unlabelled = ", ".join(without_labels(plan))
    alone = (
        f"**The data of {unlabelled} are not on the machine that made this page**, so that answers "
        "could not be compared there: the intervals of these tasks, and of every mean that has one "
        "of them in it, are of the seeds alone. "
        if unlabelled
        else ""
    )
    changed = "\n".join(f"- {what}." for what in CHANGED)
    left_out = "\n".join(f"- {where}, {what}: {why}." for where, what, why in LEFT_OUT)
    return (
        f"# Claims of the paper on {plan.base_shown}\n\n"
        f"Of {len(CLAIMS)} claims, {counted(verdict for *_, verdict in judged)}{without}.\n\n"
        f"Budget `{plan.budget.name}`; {on}tasks {', '.join(plan.tasks)}; {seeds}. Numbers are in "
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
        "The bounds were fixed before any run. What was changed afterwards:\n\n"
        f"{changed}\n\n"
        f"The numbers are those of `{command.format(study='all')}`, or of one study at a time, "
        f"with its name for `all`:\n\n{studies_of_claims()}\n"
    )
