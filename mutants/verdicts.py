"""The verdicts of `make mutants`: a table, and every survivor with the reason why it may live."""

import tomllib
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome
from tabulate import tabulate

Reasons = dict[tuple[str, str, str], str]  # (module, was, becomes) -> reason
HEADERS = ("module", "mutants", "killed", "survived", "share")
ENOUGH = 0.9  # the share of a module's mutants that must be noticed
INTRODUCTION = """# Mutants

How much the tests notice: each module is changed in one small way at a time (another operator or
number, a condition negated, a decorator removed), and the tests that specify it are run. A change
that no test notices has survived; below are the reasons why each may. `make mutants` makes this
page in an hour or so, and resumes if it was stopped. The changes are those of
[Cosmic Ray](https://github.com/sixty-north/cosmic-ray);
[`mutants/modules.toml`](../mutants/modules.toml) says which of them are used, and which tests
specify which module.
"""


class Count(NamedTuple):
    """The verdicts on one module's mutants. A survivor is (the function or class that it is in, the
    original lines, the changed lines)."""

    killed: int
    survivors: list[tuple[str, str, str]]

    @classmethod
    def of(cls, folder: Path) -> "Count":
        """The verdicts of a complete session."""
        with use_db(folder / "session.sqlite", WorkDB.Mode.open) as database:
            tried = [(item.mutations[0], one) for item, one in database.completed_work_items]
        if failed := [one for _, one in tried if one.worker_outcome == WorkerOutcome.EXCEPTION]:
            raise RuntimeError(f"Cosmic Ray failed: {failed[0].output}")
        alive = [pair for pair in tried if pair[1].test_outcome == TestOutcome.SURVIVED]
        alive.sort(key=lambda pair: (pair[0].start_pos, pair[0].operator_name, pair[0].occurrence))
        survivors = [
            (where.definition_name or "(module)", *lines(one.diff)) for where, one in alive
        ]
        killed = sum(one.test_outcome == TestOutcome.KILLED for _, one in tried)
        return cls(killed, survivors)

    def row(self) -> tuple[int | str, ...]:
        """The cells for the table."""
        mutants = self.killed + len(self.survivors)
        return mutants, self.killed, len(self.survivors), f"{100 * self.killed / mutants:.1f} %"


def lines(diff: str) -> tuple[str, str]:
    """The original and the changed lines of a unified diff."""
    changes = diff.split("@@\n", 1)[1].splitlines()
    was, becomes = ([line[1:].strip() for line in changes if line[:1] == sign] for sign in "-+")
    return "\n".join(was).strip(), "\n".join(becomes).strip()


def read_reasons(path: Path) -> Reasons:
    """The reasons in survivors.toml why mutants may live. One reason may serve several of them."""
    return {
        (entry["module"], entry["was"].strip(), becomes.strip()): entry["reason"]
        for entry in tomllib.loads(path.read_text("utf-8"))["survivor"]
        for becomes in entry["becomes"]
    }


def complete(counts: dict[str, Count], reasons: Reasons) -> bool:
    """Whether enough mutants of each module were noticed, and every survivor has a reason."""
    return all(
        count.killed >= ENOUGH * (count.killed + len(count.survivors))
        and all((module, was, becomes) in reasons for _, was, becomes in count.survivors)
        for module, count in counts.items()
    )


def page(counts: dict[str, Count], reasons: Reasons) -> str:
    """The text of docs/mutants.md."""
    rows = [(module, *count.row()) for module, count in counts.items()]
    parts = [INTRODUCTION, tabulate(rows, HEADERS, tablefmt="github") + "\n"]
    for module, count in counts.items():
        parts += [f"## {module}\n"] if count.survivors else []
        diffs: dict[str, list[str]] = {}
        for place, was, becomes in count.survivors:
            reason = reasons.get(
                (module, was, becomes), "**no reason is known: a gap in the tests.**"
            )
            minus, plus = was.replace("\n", "\n- "), becomes.replace("\n", "\n+ ")
            diffs.setdefault(f"`{place}`: {reason}", []).append(f"- {minus}\n+ {plus}")
        parts += ["\n".join([why, "", "```diff", *those, "```\n"]) for why, those in diffs.items()]
    return "\n".join(parts)
