"""What `make mutants` tells: a table, and every survivor with the reason why it may live."""

import tomllib
from pathlib import Path
from typing import NamedTuple

from ledger import Mutant
from tabulate import tabulate

Reasons = dict[tuple[str, str, str], str]  # (module, was, becomes) -> reason

HEADERS = ("module", "mutants", "killed", "timed out", "survived", "not tried", "share")
ENOUGH = 0.9  # of a module's mutants noticed
INTRODUCTION = """# Mutants

How much the tests notice: each module is changed in one small way at a time (another operator or
number, an argument left out, a value lost), and the tests that specify it are run. A change that no
test notices has survived; below is why each may. `make mutants` makes this page, in an hour or so,
and goes on where it was stopped. The changes are [mutmut](https://github.com/boxed/mutmut)'s; which
tests specify which module is said in [`mutants/modules.toml`](../mutants/modules.toml). "Timed out"
is noticed, too: a loop without end.
"""


class Count(NamedTuple):
    """The verdicts on one module's mutants."""

    mutants: int
    killed: int
    late: int
    untried: int
    survivors: list[Mutant]

    @classmethod
    def of(cls, verdicts: list[tuple[Mutant, str | None]]) -> "Count":
        """Counted."""
        words = [verdict for _, verdict in verdicts]
        survivors = [mutant for mutant, verdict in verdicts if verdict == "survived"]
        late, untried = words.count("timed out"), words.count(None)
        return cls(len(words), words.count("killed"), late, untried, survivors)

    @property
    def share(self) -> float:
        """Of the mutants that were tried, those that were noticed."""
        tried = self.mutants - self.untried
        return (self.killed + self.late) / tried if tried else 0.0

    def row(self, module: str) -> tuple[str | int, ...]:
        """For the table."""
        share = f"{100 * self.share:.1f} %" if self.mutants > self.untried else "-"
        survived = len(self.survivors)
        return module, self.mutants, self.killed, self.late, survived, self.untried, share


def read_reasons(path: Path) -> Reasons:
    """survivors.toml: why a mutant may live. One reason may be given for several at once."""
    data = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    return {
        (entry["module"], entry["was"].strip(), becomes.strip()): entry["reason"]
        for entry in data.get("survivor", [])
        for becomes in entry["becomes"]
    }


def reason_of(mutant: Mutant, reasons: Reasons) -> str | None:
    """None when nobody has given one."""
    return reasons.get((mutant.module, mutant.was, mutant.becomes))


def _rows(counts: dict[str, Count]) -> list[tuple[str | int, ...]]:
    rows = [count.row(module) for module, count in counts.items()]
    if len(rows) > 1:
        numbers = [count[:4] for count in counts.values()]
        survivors = [m for count in counts.values() for m in count.survivors]
        total = Count(*(sum(column) for column in zip(*numbers, strict=True)), survivors)
        rows.append(total.row("all"))
    return rows


def table(counts: dict[str, Count], form: str = "simple") -> str:
    """A row for each module."""
    return tabulate(_rows(counts), HEADERS, tablefmt=form, disable_numparse=True, stralign="right")


def change(mutant: Mutant) -> str:
    """What was changed, as a diff."""
    minus = [f"- {line}" for line in mutant.was.splitlines()]
    return "\n".join([*minus, *(f"+ {line}" for line in mutant.becomes.splitlines())])


def survivors(counts: dict[str, Count], reasons: Reasons) -> str:
    """Every survivor and why it may live, for the terminal."""
    parts = [
        f"{m.module}, {m.place}\n{change(m)}\n= {reason_of(m, reasons) or 'NO REASON IS GIVEN'}"
        for count in counts.values()
        for m in count.survivors
    ]
    return "\n\n".join(parts)


def complete(counts: dict[str, Count], reasons: Reasons) -> bool:
    """Whether every module has been tried, enough was noticed, and every survivor has a reason."""
    return all(
        not count.untried
        and count.share >= ENOUGH
        and all(reason_of(mutant, reasons) for mutant in count.survivors)
        for count in counts.values()
    )


def page(counts: dict[str, Count], reasons: Reasons) -> str:
    """docs/mutants.md."""
    parts = [INTRODUCTION, table(counts, "github") + "\n"]
    for module, count in counts.items():
        if count.survivors:
            parts.append(f"## {module}\n")
        told: dict[tuple[str, str], list[Mutant]] = {}
        for mutant in count.survivors:
            reason = reason_of(mutant, reasons) or "**No reason is known: a gap in the tests.**"
            told.setdefault((mutant.place, reason), []).append(mutant)
        for (place, reason), those in told.items():
            diffs = "\n".join(dict.fromkeys(change(mutant) for mutant in those))
            parts.append(f"`{place}`: {reason}\n\n```diff\n{diffs}\n```\n")
    return "\n".join(parts)
