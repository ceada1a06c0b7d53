"""`minibert reproduce`: compute the runs that the studies need, and report the results."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import ModuleType

from adapters.reproduce.ledger.page import ledger
from adapters.reproduce.plans.budgets import Budget
from adapters.reproduce.plans.foreseen import foreseen, seedless_keys
from adapters.reproduce.plans.plan import Plan, TaskFolder
from adapters.reproduce.plans.table2_plan import TABLE2, table2_plan
from adapters.reproduce.report.spent import spent
from adapters.reproduce.studies import (
    ablation,
    epochs,
    extensions,
    init_scale,
    many_tasks,
    squad_sizes,
    table1,
    table2,
    tradeoff,
)
from adapters.reproduce.sweep.configured import base_of, parts_of, questions
from adapters.reproduce.sweep.cost import estimated_tokens
from adapters.reproduce.sweep.one_run import execute
from adapters.reproduce.sweep.run_sweep import run_sweep
from adapters.reproduce.sweep.runs_file import (
    FILE,
    MOST_SEEDS,
    Config,
    Runs,
    read_runs,
    run_key,
    seedless_key,
)
from adapters.reproduce.sweep.sweep_bar import SweepBar, new_bar
from adapters.reproduce.sweep.task_folder import read_tasks
from adapters.reproduce.sweep.tfidf import check_installed
from adapters.reproduce.sweep.workers import Workers
from minibert.data.glue import SAMPLE_TASKS
from minibert.errors import InputError, check_at_most, shown
from minibert.files import atomic_write

# In the paper's order; those that need no data but public ones.
_MODULES = (table1, tradeoff, squad_sizes, ablation, init_scale, extensions, many_tasks, epochs)
STUDIES: dict[str, ModuleType] = {study.NAME: study for study in _MODULES}


def studies_named(names: Sequence[str], with_folder: bool = False) -> list[ModuleType]:
    """The studies of these names; "all" means every one, among them table 2 only with a folder of
    tasks. Raises InputError for an unknown name, table 2 without a folder, or a folder without it.
    """
    known = {**STUDIES, table2.NAME: table2}
    for name in names:
        if name != "all" and name not in known:
            raise InputError(f"unknown study {name!r}; known: {', '.join(known)}, all")
    if table2.NAME in names and not with_folder:
        raise InputError("table2 needs a folder of tasks: --data DIR")
    if with_folder and not {table2.NAME, "all"} & {*names}:
        raise InputError("--data is for table2, which is not among the studies")
    return [
        study
        for name, study in known.items()
        if name in names or ("all" in names and (name in STUDIES or with_folder))
    ]


def make_plan(
    budget: Budget, base: str, seeds: int | None, sample: bool, data: Path | None = None
) -> Plan:
    """A budget on a base. `seeds`: None for the budget's own; `data`: table 2's folder of tasks.
    Raises InputError for a missing base or one without a name, as ".", fewer than 1 seed, or a
    folder with anything wrong."""
    if seeds is not None:
        if seeds < 1:
            raise InputError(f"seeds must be at least 1, not {shown(seeds)}")
        check_at_most("seeds", seeds, MOST_SEEDS)
    if Path(base).name in ("", ".."):
        raise InputError(f"--base {base}: give the folder's name, which runs and results go by")
    folder = None if data is None else TaskFolder(data.absolute(), read_tasks(data))
    loaded = base_of(base)
    tasks = tuple(task for task in budget.examples if not sample or task in SAMPLE_TASKS)
    layers = loaded.config.num_hidden_layers
    return Plan(budget, base, loaded.sha256, layers, seeds, tasks, sample, folder)


def only_table2(studies: Sequence[ModuleType]) -> bool:
    """Whether nothing but table 2 is run: it has a folder of results of its own, so that the page
    and the ledger of GLUE's studies stay as they are."""
    return list(studies) == [table2]


def described(studies: Sequence[ModuleType], plan: Plan) -> str:
    """What the budget means for these studies, in words."""
    return TABLE2[plan.budget.name].what if only_table2(studies) else plan.budget.what


def results_name(studies: Sequence[ModuleType], plan: Plan) -> str:
    """The name of the folder of results, BASE-BUDGET, and what sets it apart."""
    kind = "-table2" if only_table2(studies) else "-sample" if plan.sample else ""
    return f"{plan.base_name}-{plan.budget.name}{kind}"


def all_wanted(studies: Sequence[ModuleType], plan: Plan, runs: Runs) -> list[Config]:
    """The runs that the studies need, given the results so far, the longest first."""
    found = {run_key(c): c for study in studies for c in study.wanted(plan, runs)}
    return sorted(found.values(), key=lambda config: -estimated_tokens(config))


def check_report(studies: Sequence[ModuleType], plan: Plan, runs: Runs, folder: Path) -> None:
    """Raise InputError where a report would be empty: the folder has no run of this base, budget
    and data. (The ledger judges all studies, whichever are asked for.)"""
    judged = studies if only_table2(studies) else [*STUDIES.values(), *studies]
    mine = seedless_keys(partial(all_wanted, judged, plan), runs)
    if not any(seedless_key(run["config"]) in mine for run in runs.values()):
        raise InputError(f"{folder / FILE}: has no run of this base, budget and data")


def sweep_studies(
    studies: Sequence[ModuleType], plan: Plan, folder: Path, workers: Workers
) -> Runs:
    """Compute the runs that the studies need, until their results call for no further ones. Returns
    all runs of the folder."""
    with closing(new_bar()) as bar:
        progress = SweepBar(bar, monotonic)
        while True:
            runs = read_runs(folder)
            wanted = all_wanted(studies, plan, runs)
            missing = [config for config in wanted if run_key(config) not in runs]
            expected = foreseen(partial(all_wanted, studies, plan), runs)
            progress.expect(expected, missing, runs)
            tasks = plan.folder.path if plan.folder else None
            run_one = partial(execute, tasks=tasks)
            # all that is wanted: of what has run, checkpoints that are still there are removed
            run_sweep(wanted, run_one, folder, workers, progress, progress.tick)
            if not missing:
                return runs


def reported(studies: Sequence[ModuleType], folder: Path) -> list[ModuleType]:
    """These studies, and those that the folder's report has already: it does not lose them. (Table
    2, where it is one of several, is reported with its folder of tasks only.)"""
    if only_table2(studies):
        return list(studies)
    page = folder / "results.md"
    there = page.read_text("utf-8", errors="replace").splitlines() if page.is_file() else []
    shown = [s for s in STUDIES.values() if s in studies or f"## {s.HEADING}" in there]
    return [*shown, *(study for study in studies if study is table2)]


def write_reports(studies: Sequence[ModuleType], plan: Plan, runs: Runs, folder: Path) -> Path:
    """Write the studies' tables and figures and the ledger of claims: results.md, claims.md,
    figures/. They show whatever has finished by then, of the folder's other studies too. Returns
    the path of results.md. No claim is judged by table 2, so alone it writes no ledger."""
    command, studies = _command(plan), reported(studies, folder)
    pages: dict[str, str | bytes] = {}
    with TemporaryDirectory() as aside:  # in the folder all is as before if answers are damaged
        sections = [study.report(plan, runs, Path(aside)) for study in studies]
        for picture in sorted(Path(aside).rglob("*.png")):
            pages[picture.relative_to(aside).as_posix()] = picture.read_bytes()
    needed = {s.NAME: foreseen(partial(s.wanted, plan), runs).values() for s in studies}
    sections.append(spent(needed, runs))
    what = described(studies, plan)
    asked = " ".join(study.NAME for study in studies)
    name = "all" if list(studies) == studies_named(["all"]) else asked
    subject = "Table 2" if only_table2(studies) else "The paper"
    page = (
        f"# {subject} on {plan.base_shown}, budget {plan.budget.name}\n\n"
        f"{what[0].upper()}{what[1:]}: `{command.format(study=name)}`.\n\n"
    )
    pages["results.md"] = page + "\n".join(sections)
    if not only_table2(studies):
        pages["claims.md"] = ledger(plan, runs, command)
    for file, content in pages.items():
        atomic_write(folder / file, content)
    return folder / "results.md"


def _command(plan: Plan) -> str:
    """The command line of a plan, with {study} for the study's name."""
    words = [f"minibert reproduce {{study}} --budget {plan.budget.name} --base {plan.base_shown}"]
    if plan.asked_seeds is not None:
        words.append(f"--seeds {plan.asked_seeds}")
    if plan.sample:
        words.append("--sample")
    if plan.folder:
        words.append("--data DIR")
    return " ".join(words)


def check_data(plan: Plan, studies: Sequence[ModuleType]) -> None:
    """Raise InputError for missing data, before anything runs. Table 2's are read already, but not
    drawn."""
    if table2 in studies:
        own = table2_plan(plan)
        for task in own.tasks:
            own.parts(task)
    for config in all_wanted(studies, plan, {}):
        for step in config.get("steps", [config]):
            if step["kind"] == "tfidf":
                check_installed()
            elif step["kind"] == "squad":
                questions(step["examples"], step["dev_examples"])
            elif step["kind"] != "own":
                parts_of(step)
