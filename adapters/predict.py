"""From texts to predictions, and to a task's metrics on labelled examples."""

from collections.abc import Sequence

import numpy as np

from adapters.methods.table import Method
from adapters.task_file import TaskFile, on_base
from adapters.task_model import forward
from minibert.checkpoint import Base
from minibert.data.tasks import Example, score
from minibert.errors import InputError
from minibert.machine.threads import each, thread_count
from minibert.tokenizer import Encoded, Text, encode_texts, group_by_length, make_batch
from minibert.tree import Tree


def check_length(base: Base, max_length: int) -> int:
    """Raises InputError for a maximal length that the base has no positions for."""
    positions = base.config.max_position_embeddings
    if not 4 <= max_length <= positions:
        raise InputError(
            f"max length must be from 4 to {positions} ({base.name}), not {max_length}"
        )
    return max_length


def encode_examples(base: Base, examples: Sequence[Example], max_length: int) -> list[Encoded]:
    """The examples' texts as token ids."""
    return encode_texts(base.tokenizer, [e.text for e in examples], max_length)


def predict_logits(
    tree: Tree,
    base: Base,
    method: Method,
    encoded: Sequence[Encoded],
    threads: int | None = None,
    states: Sequence[np.ndarray] | None = None,
    fixed: int | None = None,
) -> np.ndarray:
    """The logits of every text, in the given order: [B, C].

    Texts of similar length are computed together, and `threads` such groups at once (default: as
    many as there are cores), which changes no bit. `states` are what left the `fixed` layers at
    the bottom, where known.
    """

    def run(chosen: list[int]) -> np.ndarray:
        batch = make_batch([encoded[i] for i in chosen])
        known = None if states is None else np.concatenate([states[i] for i in chosen])
        with np.errstate(over="ignore", invalid="ignore"):  # whoever asked looks at the logits
            return forward(tree, batch, base.config, method, fixed=fixed, states=known)

    groups = group_by_length([len(e.ids) for e in encoded])
    logits = np.empty((len(encoded), len(tree["head"]["bias"])), tree["head"]["bias"].dtype)
    for chosen, rows in zip(groups, each(run, groups, thread_count(threads)), strict=True):
        logits[chosen] = rows
    return logits


def evaluate_task(
    task: TaskFile, base: Base, examples: Sequence[Example], threads: int | None = None
) -> dict[str, float]:
    """A task file's metrics on examples. Raises InputError when it is of another base, or when
    there are no examples."""
    if not examples:
        raise InputError(f"{task.task.name}: there are no examples to score")
    encoded = encode_examples(base, examples, task.max_length)
    logits = predict_logits(on_base(task, base), base, task.method, encoded, threads)
    return score(task.task, logits, [e.label for e in examples])


def predict_texts(
    task: TaskFile, base: Base, texts: Sequence[Text], threads: int | None = None
) -> np.ndarray:
    """The logits [B, C] of texts. Raises InputError when the task is of another base."""
    encoded = encode_texts(base.tokenizer, texts, task.max_length)
    return predict_logits(on_base(task, base), base, task.method, encoded, threads)
