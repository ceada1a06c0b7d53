"""From texts to predictions, and to a task's metrics on labelled examples."""

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real

import numpy as np

from adapters.cached_layers import Bottom
from adapters.similarity import encode_apart
from adapters.task_file import TaskFile, on_base
from adapters.task_model import COSINE, POOLER, TaskModel, forward
from minibert.batch import group_by_length, make_batch
from minibert.checkpoint import Base
from minibert.data.tasks import Example, Task, score
from minibert.errors import InputError, shown
from minibert.heads import probabilities
from minibert.machine.threads import each, thread_count
from minibert.model import encode
from minibert.tokenizer import Encoded, Text, check_texts, encode_texts


def likeliest(task: Task, logits: np.ndarray) -> tuple[str, dict[str, float]]:
    """The name of a text's likeliest class, and every class's probability, from logits [C]."""
    chances = probabilities(logits.astype(np.float64))
    named = zip(task.names, map(float, chances), strict=True)
    return task.names[int(chances.argmax())], dict(named)


def check_labels(task: Task, examples: Sequence[Example]) -> None:
    """Raises InputError, naming the first, for a label that is no class number of the task, or no
    finite score."""
    for number, example in enumerate(examples):
        label = example.label
        if task.regression:
            fine = isinstance(label, Real) and math.isfinite(label)
        else:
            fine = isinstance(label, Integral) and 0 <= label < task.outputs
        if not fine:
            classes = f"a class from 0 to {task.outputs - 1}"
            wanted = "a finite score" if task.regression else classes
            raise InputError(f"examples[{number}] has label {shown(label)}; {wanted} is expected")


def encode_examples(
    base: Base,
    examples: Sequence[Example],
    max_length: int,
    pairs: bool | None = None,
    pooling: str = POOLER,
) -> list[Encoded]:
    """The examples' texts as token ids, as the pooling reads them. Raises InputError for what is no
    example, or holds no text (`pairs`: no pair, or not a single text)."""
    for number, example in enumerate(examples):
        if not isinstance(example, Example):
            raise InputError(f"examples[{number}] is {shown(example)}, which is no Example")
    texts = check_texts([e.text for e in examples], pairs, "example texts")
    return encode_for(base, texts, max_length, pooling)


def encode_for(base: Base, texts: Sequence[Text], max_length: int, pooling: str) -> list[Encoded]:
    """Checked texts as token ids: a pair as one sequence, or for the cosine as two."""
    encode = encode_apart if pooling == COSINE else encode_texts
    return encode(base.tokenizer, texts, max_length)


def predict_logits(
    model: TaskModel,
    encoded: Sequence[Encoded],
    threads: int | None = None,
    bottom: Bottom | None = None,
) -> np.ndarray:
    """The logits of every text, in the given order: [B, C].

    Texts of similar length are computed together, and `threads` such groups at once (default: one
    per core), which changes no bit. `bottom` has the states of the texts' frozen layers, if cached.
    """
    bottom = bottom or Bottom(None)

    def run(numbers: list[int]) -> np.ndarray:
        batch = make_batch([encoded[i] for i in numbers])
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the logits
            states = bottom.batch_states(numbers)
            return forward(model, batch, None, bottom.layers, states)

    bias = model.tree["head"]["bias"]
    groups = group_by_length([len(text.ids) for text in encoded])
    logits = np.empty((len(encoded), len(bias)), bias.dtype)
    number = thread_count(threads, len(groups))
    for rows, computed in zip(groups, each(run, groups, number), strict=True):
        logits[rows] = computed
    return logits


class NotFinite(InputError):
    """The logits of a text, by its `number` from 0, are infinite or not a number."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number

    def at(self, where: str) -> InputError:
        """The same error, with the text named by where it stands: a row of a table."""
        return InputError(str(self).replace(f"texts[{self.number}]", where, 1))

    def __reduce__(self) -> tuple[type, tuple[str, int]]:  # between processes
        return NotFinite, (self.args[0], self.number)


def finite_logits(
    model: TaskModel, encoded: Sequence[Encoded], threads: int | None = None
) -> np.ndarray:
    """`predict_logits` for an answer, looked at as in `check_finite`."""
    logits = predict_logits(model, encoded, threads)
    check_finite(model, encoded, logits)
    return logits


def check_finite(
    model: TaskModel,
    encoded: Sequence[Encoded],
    logits: np.ndarray,
    numbers: Sequence[int] | None = None,
) -> None:
    """Raises NotFinite, naming the first text and the cause, where float32 has overflowed; by its
    place in `encoded`, or by those that the texts have elsewhere."""
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if not len(bad):
        return
    row, base = int(bad[0]), model.base
    batch = make_batch([encoded[row]])
    with np.errstate(over="ignore", invalid="ignore"):  # looked at below
        alone = encode(base.params, batch, base.config)[-1]
    cause = "the task's parameters are too large for float32"
    if not np.isfinite(alone).all():
        cause = f"the weights of the base {base.name} are too large for float32 on this text"
    number = row if numbers is None else numbers[row]
    raise NotFinite(f"texts[{number}]: its logits are not finite: {cause}", number)


OnEncoded = Callable[[Sequence[Encoded]], None]


def ignore(encoded: Sequence[Encoded]) -> None:
    """The `on_encoded` that does nothing."""


def evaluate_task(
    task: TaskFile,
    base: Base,
    examples: Sequence[Example],
    threads: int | None = None,
    on_encoded: OnEncoded = ignore,
) -> dict[str, float]:
    """A task file's metrics on examples. on_encoded(texts as token ids) is called once, with a
    `CutTexts` for example. Raises InputError when it belongs to another base, when
    there are no examples, when one's text is no text for this task, or as `finite_logits` does."""
    if not examples:
        raise InputError(f"{task.task.name}: there are no examples to score")
    encoded = encode_examples(base, examples, task.max_length, task.task.pairs, task.pooling)
    check_labels(task.task, examples)
    on_encoded(encoded)
    logits = finite_logits(on_base(task, base), encoded, threads)
    return score(task.task, logits, [e.label for e in examples])


def predict_texts(
    task: TaskFile,
    base: Base,
    texts: Sequence[Text],
    threads: int | None = None,
    on_encoded: OnEncoded = ignore,
) -> np.ndarray:
    """The logits [B, C] of texts. `on_encoded` as in `evaluate_task`.

    Raises InputError when the task belongs to another base, for the first text that is none for
    this task, or as `finite_logits` does.
    """
    texts = check_texts(texts, task.task.pairs)
    encoded = encode_for(base, texts, task.max_length, task.pooling)
    on_encoded(encoded)
    return finite_logits(on_base(task, base), encoded, threads)
