"""`minibert reproduce`: compute the runs that the studies need, and report the results."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from adapters.reproduce.ledger.claims import ledger
from adapters.reproduce.plans.budgets import TASKS, Budget
from adapters.reproduce.plans.plan import Plan
from adapters.reproduce.report.spent import spent
from adapters.reproduce.studies import (
    ablation,
    epochs,
    extensions,
    init_scale,
    many_tasks,
    squad_sizes,
    table1,
    tradeoff,
)
from adapters.reproduce.sweep.cost import estimated_tokens
from adapters.reproduce.sweep.one_run import base_of, execute, parts_of, questions
from adapters.reproduce.sweep.run_sweep import run_sweep
from adapters.reproduce.sweep.runs_file import Config, Runs, read_runs, run_key
from adapters.reproduce.sweep.workers import Workers
from minibert.data.glue import SAMPLE_TASKS
from minibert.errors import InputError, check_at_most, shown
from minibert.files import atomic_write

# In the paper's order.
_MODULES = (table1, tradeoff, squad_sizes, ablation, init_scale, extensions, many_tasks, epochs)
STUDIES: dict[str, ModuleType] = {study.NAME: study for study in _MODULES}


def studies_named(names: Sequence[str]) -> list[ModuleType]:
    """The studies of these names; "all" means every one. Raises InputError for an unknown name."""
    for name in names:
        if name != "all" and name not in STUDIES:
            raise InputError(f"unknown study {name!r}; known: {', '.join(STUDIES)}, all")
    return [study for name, study in STUDIES.items() if name in names or "all" in names]


def make_plan(budget: Budget, base: str, seeds: int | None, sample: bool) -> Plan:
    """A budget on a base. `seeds`: None for the budget's own. Raises InputError for a missing base,
    or for fewer than 1 seed."""
    seeds = budget.seeds if seeds is None else seeds
    if seeds < 1:
        raise InputError(f"seeds must be at least 1, not {shown(seeds)}")
    check_at_most("seeds", seeds, 1000)
    loaded = base_of(base)
    tasks = tuple(task for task in TASKS if not sample or task in SAMPLE_TASKS)
    layers = loaded.config.num_hidden_layers
    return Plan(budget, base, loaded.sha256, layers, seeds, tasks, sample)


def all_wanted(studies: Sequence[ModuleType], plan: Plan, runs: Runs) -> dict[str, Config]:
    """The runs that the studies need, given the results so far, by key, the longest first."""
    found = {run_key(c): c for study in studies for c in study.wanted(plan, runs)}
    return dict(sorted(found.items(), key=lambda item: -estimated_tokens(item[1])))


@dataclass
class Progress:
    """A bar over all known runs, in units of cost, which makes its ETA meaningful."""

    bar: Any
    done: int = 0

    def __call__(self, config: Config | None, running: int, left: int) -> None:
        """Called by the sweep whenever a run starts or ends."""
        if config is not None:
            self.done += 1
            self.bar.update(estimated_tokens(config))
        self.bar.set_postfix_str(f"{self.done} done, {running} running, {left} left")

    def expect(self, wanted: dict[str, Config], runs: Runs) -> None:
        """Take in runs that have become known, some of which may have finished elsewhere."""
        cost = {key: estimated_tokens(config) for key, config in wanted.items()}
        self.done = sum(key in runs for key in wanted)
        self.bar.total = sum(cost.values())
        done = sum(cost[key] for key in wanted if key in runs)
        self.bar.initial += done - self.bar.n  # computed elsewhere: says nothing about our speed
        self.bar.n = done
        self.bar.refresh()


def sweep_studies(
    studies: Sequence[ModuleType], plan: Plan, folder: Path, workers: Workers
) -> Runs:
    """Compute the runs that the studies need, until their results call for no further ones. Returns
    all runs of the folder."""
    from tqdm import tqdm

    layout = "{percentage:3.0f}% |{bar}| {elapsed}, ETA {remaining}: {postfix}"
    with closing(tqdm(total=1.0, bar_format=layout, dynamic_ncols=True, smoothing=0)) as bar:
        progress = Progress(bar)
        while True:
            runs = read_runs(folder)
            wanted = all_wanted(studies, plan, runs)
            progress.expect(wanted, runs)
            missing = [config for key, config in wanted.items() if key not in runs]
            if not missing:
                return runs
            run_sweep(missing, execute, folder, workers, progress)


def write_reports(studies: Sequence[ModuleType], plan: Plan, runs: Runs, folder: Path) -> Path:
    """Write the studies' tables and figures and the ledger of claims: results.md, claims.md,
    figures/. They show whatever has finished by then. Returns the path of results.md."""
    command = _command(plan)
    parts = [study.report(plan, runs, folder) for study in studies]
    parts.append(spent({study.NAME: study.wanted(plan, runs) for study in studies}, runs))
    page = (
        f"# The paper on {plan.base_shown}, budget {plan.budget.name}\n\n"
        f"{plan.budget.what[0].upper()}{plan.budget.what[1:]}: `{command.format(study='all')}`.\n\n"
    )
    pages = {"results.md": page + "\n".join(parts), "claims.md": ledger(plan, runs, command)}
    for name, text in pages.items():
        atomic_write(folder / name, text)
    return folder / "results.md"


def _command(plan: Plan) -> str:
    """The command line of a plan, with {study} for the study's name."""
    words = [f"minibert reproduce {{study}} --budget {plan.budget.name} --base {plan.base_shown}"]
    if plan.seeds != plan.budget.seeds:
        words.append(f"--seeds {plan.seeds}")
    if plan.sample:
        words.append("--sample")
    return " ".join(words)


def check_data(plan: Plan, studies: Sequence[ModuleType]) -> None:
    """Raise InputError for missing data, before anything runs."""
    for config in all_wanted(studies, plan, {}).values():
        for step in config.get("steps", [config]):
            if step["kind"] == "squad":
                questions(step["examples"], step["dev_examples"])
            else:
                parts_of(step)
