"""How much is computed: the budgets quick, full and paper.

The paper sweeps learning rates 3e-5, 3e-4 and 3e-3 and 3 or 20 epochs for GLUE on BERT-large
(sections 3.2 and 3.5, its appendix). Small models need higher rates; the grids of the two smaller
budgets surround what works on MiniLM.
"""

from dataclasses import dataclass

from minibert.errors import InputError

Grid = tuple[tuple[float, int], ...]  # (learning rate, epochs)


@dataclass(frozen=True)
class Budget:
    """The numbers of one budget."""

    name: str
    what: str
    seeds: int  # of what has no curve_seeds
    examples: dict[str, int | None]  # each task, and how many of its training set: None for all
    dev_examples: int | None
    validation: float  # the share of the training set that is held out for choosing
    grids: dict[str, Grid]  # for each tuning method
    longer: dict[str, dict[str, Grid]]  # in addition, by method and task: where epochs are cheap
    best_of: tuple[int, ...]  # the sizes of "adapters, best size for each task"
    swept: tuple[int, ...]  # sizes with a grid of their own; the others use the best of m = 64
    sizes: tuple[int, ...]  # for figure 4
    top: tuple[int, ...]  # fine-tuning of the top k layers, k out of 12
    stds: tuple[float, ...]  # initial, for figure 6 right
    std_tasks: tuple[str, ...]
    variant_tasks: tuple[str, ...]
    variant_rates: tuple[float, ...]  # tried for each extension: times the adapter's chosen rate
    joint_grid: Grid  # for one network trained on all tasks together
    more_epochs: Grid  # on SST-2, in addition to the grid
    squad_examples: tuple[int | None, int | None]  # training and dev questions
    squad_sizes: tuple[int, ...]
    squad_grids: dict[str, Grid]
    curve_seeds: int  # of tradeoff, squad, many-tasks, table 2 and the other pooling
    both_poolings: bool  # whether table 1 has rows of the other pooling, too


_PAPER_TASKS = ("cola", "sst-2", "mrpc", "sts-b", "rte")


def _grid(rates: tuple[float, ...], epochs: tuple[int, ...]) -> Grid:
    """Every rate with every number of epochs."""
    return tuple((rate, number) for rate in rates for number in epochs)


_PAPER_GRID = _grid((3e-5, 3e-4, 3e-3), (3, 20))
_PAPER_SQUAD_GRIDS = {  # section 3.5
    "adapters": _grid((3e-5, 1e-4, 3e-4, 1e-3), (3, 10, 20)),
    "full": _grid((3e-5, 5e-5, 1e-4), (2, 3, 5)),
}
_PAPER_SIZES = tuple(2**n for n in range(10))

BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            "quick",
            "everything once, on a few hundred examples of each task",
            seeds=1,
            examples={"cola": 1000, "sst-2": 1000, "mrpc": 250, "rte": 200},
            dev_examples=200,
            validation=0.1,
            grids={
                "adapters": ((1e-3, 4),),
                "full": ((1e-4, 3),),
                "norms": ((3e-3, 4),),
                "head": ((1e-1, 10),),
            },
            longer={},
            best_of=(8, 64, 256),
            swept=(64,),
            sizes=(1, 8, 64, 256),
            top=(2, 6, 10),
            stds=(1e-7, 1e-2, 1e-1, 1.0),
            std_tasks=("cola", "sst-2"),
            variant_tasks=("sst-2",),
            variant_rates=(1.0,),
            joint_grid=((1e-4, 3),),
            more_epochs=(),
            squad_examples=(300, 100),
            squad_sizes=(2, 64),
            squad_grids={"adapters": ((1e-3, 2),), "full": ((1e-4, 2),)},
            curve_seeds=1,
            both_poolings=False,
        ),
        Budget(
            "full",
            "the real training sets (4,000 sentences of SST-2, at most 6,000 questions), in hours",
            seeds=8,
            examples={"cola": None, "sst-2": 4000, "mrpc": None, "rte": None},
            dev_examples=None,
            validation=0.1,
            grids={
                "adapters": ((6e-4, 3), (2e-3, 3)),
                "full": ((5e-5, 3), (1e-4, 3)),
                "norms": ((3e-3, 3),),
                "head": ((1e-2, 10), (1e-1, 10)),
            },
            longer={
                "adapters": {"cola": ((6e-4, 6),), "sst-2": ((6e-4, 6),)},
                "full": {"cola": ((5e-5, 6),), "sst-2": ((5e-5, 6),)},
            },
            best_of=(8, 64, 256),
            swept=(64, 256),  # rates that suit m = 64 may be too high for wide adapters
            sizes=(1, 8, 64, 256),
            top=(2, 6),
            stds=(1e-7, 1e-2, 1e-1, 1.0),
            std_tasks=("sst-2",),  # the cheapest
            variant_tasks=("sst-2",),
            variant_rates=(1.0, 1 / 3, 3.0),
            joint_grid=((5e-5, 3), (1e-4, 3), (5e-5, 6)),  # as for single tasks
            more_epochs=((1e-3, 20), (3e-3, 20)),
            squad_examples=(6000, 1600),
            squad_sizes=(2, 64),
            squad_grids={"adapters": ((1e-3, 2),), "full": ((1e-4, 2),)},
            curve_seeds=3,
            both_poolings=True,
        ),
        Budget(
            "paper",
            "the paper's own grids, with STS-B as a fifth task, for days on many machines",
            seeds=5,
            examples=dict.fromkeys(_PAPER_TASKS),
            dev_examples=None,
            validation=0.1,
            grids={
                "adapters": _PAPER_GRID,
                "full": _PAPER_GRID,
                "norms": _PAPER_GRID,
                "head": _grid((3e-4, 3e-3, 3e-2), (3, 20)),
            },
            longer={},
            best_of=(8, 64, 256),
            swept=_PAPER_SIZES,
            sizes=_PAPER_SIZES,
            top=(1, 2, 3, 5, 7, 9, 11),
            stds=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
            std_tasks=_PAPER_TASKS,
            variant_tasks=_PAPER_TASKS,
            variant_rates=(1.0, 1 / 3, 3.0),
            joint_grid=_PAPER_GRID,
            more_epochs=(),
            squad_examples=(None, None),
            squad_sizes=_PAPER_SIZES,
            squad_grids=_PAPER_SQUAD_GRIDS,
            curve_seeds=3,
            both_poolings=True,
        ),
    )
}


def budget_named(name: str) -> Budget:
    """The budget of that name. Raises InputError, listing the known ones, for any other."""
    if name not in BUDGETS:
        raise InputError(f"unknown budget {name!r}; known: {', '.join(BUDGETS)}")
    return BUDGETS[name]
