"""Table 2's plan: what is run on each task of a folder, by budget.

As in the paper, sizes, rates, epochs and the number of top layers are chosen on a task's own dev
set (the same for all runs), and nothing but the final score is taken on its test set.
"""

from dataclasses import dataclass, replace
from typing import Any

from adapters.recipes import enough_epochs
from adapters.reproduce.plans.budgets import Budget, Grid
from adapters.reproduce.plans.plan import BATCH_SIZE, Plan, TaskFolder
from adapters.reproduce.sweep.drawn import drawn
from adapters.reproduce.sweep.runs_file import Config
from adapters.reproduce.sweep.task_folder import FolderTask
from minibert.data.tasks import Example

EVERY = 1 << 40  # examples: all there are


@dataclass(frozen=True)
class Table2Budget:
    """The numbers of one budget that are table 2's own; the seeds are those of the curves.

    grids, best_of, swept and top: as in `Budget`. sweep_top: whether each number of top layers has
    the whole grid; otherwise the best of full fine-tuning. examples: of training, dev and test.
    texts: the most texts that a training sees; the grid's epochs are reduced to fit, but not below
    2 (None: never). steps: the fewest steps; epochs are added to reach them, up to
    `recipes.MOST_EPOCHS`.
    """

    what: str
    grids: dict[str, Grid]
    best_of: tuple[int, ...]
    swept: tuple[int, ...]
    top: tuple[int, ...]
    sweep_top: bool
    examples: tuple[int, int, int] = (EVERY, EVERY, EVERY)
    texts: int | None = None
    steps: int = 0


_PAPER = tuple((rate, n) for rate in (1e-5, 3e-5, 1e-4, 3e-3) for n in (20, 50, 100))
_PAPER_SIZES = (2, 4, 8, 16, 32, 64)

TABLE2 = {
    "quick": Table2Budget(
        "everything once, on at most 500 examples of each task",
        grids={"adapters": ((2e-3, 4),), "full": ((1e-4, 3),)},
        best_of=(8, 64),
        swept=(64,),
        top=(6,),
        sweep_top=False,
        examples=(500, 200, 400),
        steps=150,
    ),
    "full": Table2Budget(
        "all examples, 2 to 5 epochs (more for few examples), rates that suit MiniLM, in hours",
        grids={"adapters": ((6e-4, 5), (2e-3, 5)), "full": ((5e-5, 5), (1e-4, 5))},
        best_of=(8, 64),
        swept=(64,),
        top=(2, 6),
        sweep_top=False,
        texts=12_500,
        steps=300,
    ),
    "paper": Table2Budget(
        "the paper's own grid, for days on many machines",
        grids={"adapters": _PAPER, "full": _PAPER},
        best_of=_PAPER_SIZES,
        swept=_PAPER_SIZES,
        top=(1, 2, 3, 5, 7, 9, 11),  # and 12, full fine-tuning
        sweep_top=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Table2Plan(Plan):
    """A plan whose tasks are those of the folder: the choices and the statistics of the other
    studies work on it as they do on GLUE's."""

    numbers: Table2Budget

    def task_named(self, name: str) -> FolderTask:
        """The task of the folder."""
        return next(task for task in _folder(self).tasks if task.name == name)

    def task_config(self, task: str) -> Config:
        """What a run says of a task of the folder."""
        return {"kind": "own", **self._data_of(task)}

    def grid(self, task: str, method: dict[str, Any]) -> list[Config]:
        """The budget's grid for a method, with seed 0."""
        pairs = self.numbers.grids[method["name"]]
        return [self.classify(task, method, rate, self._epochs(task, most)) for rate, most in pairs]

    def without_bert(self, task: str) -> Config:
        """A run of TF-IDF and logistic regression. No base is in it, and no chance."""
        return {"kind": "tfidf", **self._data_of(task)}

    def parts(self, task: str) -> tuple[list[Example], list[Example], list[Example]]:
        """The training, development and test examples that the budget uses."""
        data, test = drawn(self.task_named(task), self.numbers.examples)
        return data.train, data.dev, test

    def _data_of(self, task: str) -> Config:
        """The examples, known by their sha256 and how many are drawn."""
        found = self.task_named(task)
        there = (len(found.data.train), len(found.data.dev), len(found.test))
        numbers = [min(pair) for pair in zip(there, self.numbers.examples, strict=True)]
        names = ("examples", "dev_examples", "test_examples")
        return {"data_sha256": found.sha256, **dict(zip(names, numbers, strict=True))}

    def _epochs(self, task: str, most: int) -> int:
        examples = self._data_of(task)["examples"]
        if self.numbers.texts is not None:
            most = min(most, max(2, self.numbers.texts // examples))
        return enough_epochs(most, examples, BATCH_SIZE, self.numbers.steps)


def table2_plan(plan: Plan) -> Table2Plan:
    """The plan of table 2 out of the plan of all studies, which has a folder of tasks."""
    folder, numbers = _folder(plan), TABLE2[plan.budget.name]
    names = tuple(task.name for task in folder.tasks)
    budget = _as_budget(plan.budget, numbers)
    shared = (plan.base, plan.base_sha256, plan.layers, plan.curve_seeds, names)
    return Table2Plan(budget, *shared, folder=folder, numbers=numbers)


def _as_budget(budget: Budget, numbers: Table2Budget) -> Budget:
    """The budget with table 2's numbers where it has them, for `choices` and `top_layers`."""
    return replace(
        budget, what=numbers.what, best_of=numbers.best_of, swept=numbers.swept, top=numbers.top
    )


def _folder(plan: Plan) -> TaskFolder:
    assert plan.folder is not None, "only `table2`, which has a folder, asks for it"
    return plan.folder
