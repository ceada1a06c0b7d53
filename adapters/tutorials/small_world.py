"""The small world of the tutorial on pre-training: who lives where, and all sentences about it."""

from collections.abc import Iterable, Sequence
from itertools import permutations, product

import numpy as np

from minibert import Batch, Data, Example
from minibert.data.tasks import Task
from minibert.tokenizer import Encoded

WOMEN = "Ada Clara Edith Greta Irma Lydia Nora Paula Sonja Vera Wanda Yvonne"
MEN = "Boris Duncan Felix Hugo Jasper Milo Oscar Rufus Theo Viktor Xaver Zeno"
NAMES = [name for pair in zip(WOMEN.split(), MEN.split(), strict=True) for name in pair]
# the number of their island: three women and three men on each
HOME = {name: number // 2 % 4 for number, name in enumerate(NAMES)}
PHRASES = {
    "place": ("walks to {}", "has a house in {}"),
    "food": ("eats {}", "likes {}"),
    "animal": ("feeds the {}", "sees a {}"),
    "tool": ("mends the {}", "needs a new {}"),
}
ISLANDS = (
    ("alby brinton", "bread honey", "cow sheep", "plough mill"),
    ("corvale dunmere", "herring seaweed", "seal gull", "boat net"),
    ("elmstead farholm", "berries nuts", "deer owl", "saw axe"),
    ("gorm hazelford", "cheese barley", "goat marmot", "lamp pick"),
)


def things(kind: str, island: int) -> list[str]:
    """The two things of a kind on an island: its two foods, and so on."""
    return ISLANDS[island][list(PHRASES).index(kind)].split()


def doings(kind: str, island: int) -> list[str]:
    """All that can be done with a kind of thing on an island: "eats bread" and so on."""
    return [phrase.format(word) for phrase, word in product(PHRASES[kind], things(kind, island))]


def sentences() -> list[str]:
    """Every sentence of the world: somebody does two things of different kinds."""
    return [
        f"{name} {first} and {'he' if number % 2 else 'she'} {second}."
        for number, name in enumerate(NAMES)
        for kinds in permutations(PHRASES, 2)
        for first, second in product(*(doings(kind, HOME[name]) for kind in kinds))
    ]


def statements(names: Iterable[str], rng: np.random.Generator) -> list[Example]:
    """As many true statements about these people as false ones, which are true elsewhere."""
    made = []
    for name, kind in product(names, PHRASES):
        there = [doings(kind, (HOME[name] + int(rng.integers(1, 4))) % 4) for _ in range(4)]
        made += [Example(f"{name} {doing}.", 1) for doing in doings(kind, HOME[name])]
        made += [Example(f"{name} {elsewhere[rng.integers(4)]}.", 0) for elsewhere in there]
    return made


def true_or_false(split: int) -> Data:
    """Is a statement true? Those about 16 people to train on, those about the other 8 for dev; two
    of each island. Splits 0, 1 and 2 have other people in dev."""
    rng = np.random.default_rng(split)
    groups = np.roll(np.array(NAMES).reshape(3, 8), split, axis=0)
    train, dev = (statements(part.ravel().tolist(), rng) for part in (groups[:2], groups[2:]))
    task = Task("true", "", ("text",), "label", ("0", "1"), ("false", "true"))
    return Data(task, train, dev, "minibert's own small world")


def reachable_loss(world: Sequence[Encoded], batch: Batch, rows: np.ndarray) -> float:
    """The mean of -log p at these rows of a batch, once they are masked, for someone who knows all
    sentences by heart: p is the token's share among the sentences that agree with what is left.
    """
    hidden = np.isin(np.arange(len(batch.ids)), rows)
    sentences = (np.split(values, batch.starts[1:]) for values in (batch.ids, hidden))
    losses = []
    for ids, gone in zip(*sentences, strict=True):
        same_length = np.array([other.ids for other in world if len(other.ids) == len(ids)])
        fitting = same_length[(same_length == ids)[:, ~gone].all(axis=1)]
        losses += [-np.log(np.mean(fitting[:, row] == ids[row])) for row in np.flatnonzero(gone)]
    return float(np.mean(losses))
