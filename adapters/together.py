"""Many tasks at once over one base: all of them on the same texts, or each on its own.

On the same texts, what they leave as it is, is computed once. Layers below the lowest one that a
task changes are the base's own, and give every such task the same states. Tasks are taken by that
depth, the lowest first; each goes on from the states that the one before it has reached. A task
that trains the embeddings, as the paper's method trains their LayerNorm, has nothing to share.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from adapters.cached_layers import frozen_layers
from adapters.task_model import TaskModel, forward
from minibert.batch import Batch, group_by_length, make_batch
from minibert.machine.threads import each, thread_count
from minibert.model import ForwardPass, embed, encoder_layers
from minibert.ops import Array
from minibert.tokenizer import Encoded


def logits_together(
    models: Mapping[str, TaskModel], encoded: Sequence[Encoded], threads: int | None = None
) -> dict[str, np.ndarray]:
    """The logits of every text for each of the models, which share one base: {name: [B, C]}.

    The same bits as `predict_logits` of each, for any number of threads.
    """

    def run(numbers: list[int]) -> dict[str, Array]:
        batch = make_batch([encoded[i] for i in numbers])
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the logits
            return dict(_upwards(models, batch))

    logits = {name: _empty(model, encoded) for name, model in models.items()}
    groups = _groups(encoded)
    number = thread_count(threads, len(groups))
    for rows, computed in zip(groups, each(run, groups, number), strict=True):
        for name, values in computed.items():
            logits[name][rows] = values
    return logits


def logits_apart(
    models: Mapping[str, TaskModel],
    encoded: Mapping[str, Sequence[Encoded]],
    threads: int | None = None,
) -> dict[str, np.ndarray]:
    """The logits of each model's own texts, {name: [B, C]}, on all threads at once, however few
    texts a model has. The same bits as `predict_logits` of each, for any number of threads."""

    def run(piece: tuple[str, list[int]]) -> Array:
        name, rows = piece
        batch = make_batch([encoded[name][i] for i in rows])
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the logits
            return forward(models[name], batch)

    logits = {name: _empty(models[name], texts) for name, texts in encoded.items()}
    pieces = [(name, rows) for name, texts in encoded.items() for rows in _groups(texts)]
    number = thread_count(threads, len(pieces))
    for (name, rows), computed in zip(pieces, each(run, pieces, number), strict=True):
        logits[name][rows] = computed
    return logits


def _empty(model: TaskModel, texts: Sequence[Encoded]) -> np.ndarray:
    """Room for the texts' logits: [B, C]."""
    bias = model.tree["head"]["bias"]
    return np.empty((len(texts), len(bias)), bias.dtype)


def _groups(texts: Sequence[Encoded]) -> list[list[int]]:
    return group_by_length([len(text.ids) for text in texts])


def shared_layers(model: TaskModel) -> int | None:
    """How many layers at the bottom are the base's own and computed for every token, so that other
    tasks can share them; None where not even the embeddings are."""
    frozen = frozen_layers(model)
    # The last layer may compute [CLS] alone for one task, and every token for another.
    return None if frozen is None else min(frozen, model.base.config.num_hidden_layers - 1)


def _upwards(models: Mapping[str, TaskModel], batch: Batch) -> Iterator[tuple[str, Array]]:
    """(name, logits [B, C]) of each model, by the number of layers that it shares."""
    depths = {name: shared_layers(model) for name, model in models.items()}
    states, reached = None, 0
    for name in sorted(models, key=lambda name: depths[name] or 0):
        model, depth = models[name], depths[name]
        if depth is None:
            yield name, forward(model, batch)
            continue
        params, run = model.base.params, ForwardPass(model.base.config, batch.lengths)
        states = embed(params, batch, run) if states is None else states
        states = encoder_layers(params, range(reached, depth), states, run)[-1]  # [N, D]
        reached = depth
        yield name, forward(model, batch, None, depth, states)
