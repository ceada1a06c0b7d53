"""A task's whole model: a frozen base, a tuning method, and one tree of all parameters; made, and
run from token ids to logits."""

from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from adapters.methods.bottleneck import truncated_normal
from adapters.methods.method import Method
from adapters.methods.table import adapters_of
from adapters.recipes import Recipe
from adapters.similarity import cosine_head, cosine_rows
from minibert import fused
from minibert.batch import Batch
from minibert.checkpoint import Base
from minibert.data.tasks import Task
from minibert.errors import InputError, shown
from minibert.fetch.manifest import defaults_of
from minibert.heads import classify, mean_pool
from minibert.json_files import read_json
from minibert.machine.threads import one_blas_thread
from minibert.model import (
    Adapt,
    ForwardPass,
    embed,
    encode,
    encoder_layers,
    no_adapters,
    pooler,
)
from minibert.ops import Array
from minibert.training.schedule import INIT, generator
from minibert.tree import Tree

# Which vector of a text the head reads. The paper's is "pooler".
POOLER, MEAN, CLS, COSINE = "pooler", "mean", "cls", "cosine"
POOLINGS = {
    POOLER: "the pooled [CLS]",
    MEAN: "the mean of all tokens' last states",
    CLS: "the last state of [CLS]",
    COSINE: "the product of two texts' means of length 1",
}


@dataclass(frozen=True)
class TaskModel:
    """The tree has "base" (the base's own arrays, or trained ones in their place), "adapters" if
    the method has any, and "head", which reads what `pooling` says."""

    base: Base
    method: Method
    tree: Tree
    pooling: str = POOLER

    def attach(self, ops: ModuleType = fused) -> Adapt:
        """The hook through which the encoder calls the tree's adapters."""
        if "adapters" not in self.tree:
            return no_adapters
        return adapters_of(self.method).attach(self.tree, self.base.config, self.method, ops)

    def run(
        self,
        batch: Batch,
        rng: np.random.Generator | None = None,
        ops: ModuleType = fused,
        first_only: bool | None = None,
    ) -> ForwardPass:
        """A forward pass of this model over a batch; the arguments are those of `ForwardPass`.
        `first_only`: None for what the pooling needs."""
        config, adapt = self.base.config, self.attach(ops)
        first_only = self.first_only if first_only is None else first_only
        return ForwardPass(config, batch.lengths, adapt, rng, ops, first_only)

    @property
    def first_only(self) -> bool:
        """Whether the pooling needs each text's [CLS] alone of the last layer."""
        return self.pooling not in (MEAN, COSINE)


def papers_pooling(base: Base) -> str:
    """The paper's, or "cls" on a base without pooler."""
    return POOLER if "pooler" in base.params else CLS


def chosen_pooling(base: Base, pooling: str | None, task: Task | None = None) -> str:
    """The pooling asked for; None is the one that suits the base and the task, of those that
    weights/manifest.toml has, or else the paper's. Raises InputError for an unknown name, for a
    pooler that the base does not have, or for the cosine where the task is no score of two texts.
    """
    scores_pairs = task is not None and task.regression and task.pairs
    if pooling is None:
        known = defaults_of(base.sha256)
        pooling = known.get("pooling", papers_pooling(base))
        return known.get("pair_scores", pooling) if scores_pairs else pooling
    if pooling not in POOLINGS:
        raise InputError(f"unknown pooling {pooling!r}; known: {', '.join(POOLINGS)}")
    if pooling == COSINE and task is not None and not scores_pairs:
        raise InputError(f"pooling {COSINE} is for a score of two texts, which {task.name} is not")
    if pooling == POOLER and "pooler" not in base.params:
        raise InputError(f"{base.folder}: has no pooler; choose pooling {CLS} or {MEAN}")
    return pooling


def check_pairs(base: Base) -> None:
    """Raises InputError for a base that cannot tell the second text of a pair from the first."""
    if base.config.type_vocab_size < 2:
        raise InputError(f"{base.folder}: takes no pairs of texts: its type_vocab_size is 1")


def check_head_dropout(base: Base) -> None:
    """Raises InputError for a base whose config.json wants another dropout before the head than in
    the layers. In training only: answers have no dropout."""
    path, dropout = base.folder / "config.json", base.config.hidden_dropout_prob
    wanted = read_json(path).get("classifier_dropout") if path.exists() else None
    if wanted not in (None, dropout):
        raise InputError(
            f"{path}: classifier_dropout is {shown(wanted)}; training knows hidden_dropout_prob, "
            f"{dropout:g}, alone"
        )


def check_length(base: Base, max_length: int) -> int:
    """Raises InputError for a maximum length that the base has no positions for."""
    positions = base.config.max_position_embeddings
    if not 4 <= max_length <= positions:
        raise InputError(
            f"max length must be from 4 to {positions} ({base.name}), not {shown(max_length)}"
        )
    return max_length


def base_tree(base: Base, pooling: str) -> Tree:
    """The base's parameters that a model with this pooling has: without a pooler that no head
    reads, so that it is neither trained nor counted."""
    return {name: p for name, p in base.params.items() if name != "pooler" or pooling == POOLER}


def new_task_model(
    base: Base,
    method: Method,
    recipe: Recipe,
    outputs: int,
    seed: int,
    pooling: str | None = None,
) -> TaskModel:
    """The model before training: the base's own arrays, fresh adapters and head.

    `outputs` is C, the number of classes, or 1 for regression; `pooling` as in `chosen_pooling`.
    """
    rng = generator(seed, INIT)
    config = base.config
    pooling = chosen_pooling(base, pooling)
    if pooling == COSINE and outputs != 1:
        raise InputError(f"pooling {COSINE} gives one score, not {outputs} classes")
    tree: Tree = {"base": base_tree(base, pooling)}
    if method.size is not None:
        filled = replace(method, std=recipe.adapter_std if method.std is None else method.std)
        every = adapters_of(method).init(rng, config, filled)
        tree["adapters"] = {n: layer for n, layer in every.items() if method.has_layer(n)}
    if pooling == COSINE:
        tree["head"] = cosine_head(config.hidden_size)
    else:
        tree["head"] = {
            "weight": truncated_normal(rng, (outputs, config.hidden_size), recipe.head_std).T,
            "bias": np.zeros(outputs, np.float32),
        }
    return TaskModel(base, method, tree, pooling)


def settle(model: TaskModel, sample: Batch, first_only: bool = True) -> TaskModel:
    """The model ready for use after training. Only some adapters have something left to do then
    (`batch_norm.settle`), with a batch of training texts; any other model is returned as it is.

    `first_only`: the last layer computes [CLS] alone, as it did in training.
    """
    tree, config = model.tree, model.base.config
    finish = getattr(adapters_of(model.method), "settle", None) if "adapters" in tree else None
    if finish is None:
        return model

    def run(adapt: Adapt) -> None:
        encode(tree["base"], sample, config, adapt=adapt, first_only=first_only)

    with one_blas_thread:  # the same bits for any number of threads
        return replace(
            model, tree={**tree, "adapters": finish(tree["adapters"], model.method, run)}
        )


def frozen_states(model: TaskModel, batch: Batch, frozen: int, ops: ModuleType = fused) -> Array:
    """What leaves the embeddings and the `frozen` layers at the bottom, without dropout. -> [N, D],
    or if that is every layer, the row of each text that is pooled, [B, D]."""
    run = model.run(batch, ops=ops)
    states = _bottom(model, batch, run, frozen)
    every = frozen == model.base.config.num_hidden_layers
    return text_rows(model, states, run) if every else states


def _bottom(model: TaskModel, batch: Batch, run: ForwardPass, frozen: int) -> Array:
    params, run = model.tree["base"], replace(run, rng=None)
    return encoder_layers(params, range(frozen), embed(params, batch, run), run)[-1]


def last_states(
    model: TaskModel,
    batch: Batch,
    run: ForwardPass,
    frozen: int | None = None,
    states: Array | None = None,
) -> Array:
    """What leaves the last layer: [N, D], or the [CLS] rows [B, D] with `run.first_only`.

    There is no dropout in the embeddings and the `frozen` layers at the bottom, which are not
    trained (None: nothing is frozen); `states` are what leaves them, if known.
    """
    if frozen is None:
        states = embed(model.tree["base"], batch, run)
    elif states is None:
        states = _bottom(model, batch, run, frozen)
    above = range(frozen or 0, model.base.config.num_hidden_layers)
    return encoder_layers(model.tree["base"], above, states, run)[-1]


def text_rows(model: TaskModel, states: Array, run: ForwardPass) -> Array:
    """One row a text: its tokens' mean, or its [CLS], which the last layer then gives alone; of a
    pair read apart, the product of both means. [N, D] or [B, D] -> [B, D]"""
    if model.first_only:
        return states
    means = mean_pool(states, run.lengths)
    return cosine_rows(means) if model.pooling == COSINE else means


def forward(
    model: TaskModel,
    batch: Batch,
    rng: np.random.Generator | None = None,
    frozen: int | None = None,
    states: Array | None = None,
    ops: ModuleType = fused,
) -> Array:
    """Token ids to logits through the whole model: [N tokens] -> [B, C]. `rng` switches dropout on;
    `frozen` is that of `last_states`, `states` are the `frozen_states`, if known."""
    run = model.run(batch, rng, ops)
    if states is None or frozen != model.base.config.num_hidden_layers:
        states = text_rows(model, last_states(model, batch, run, frozen, states), run)
    if model.pooling == POOLER:
        states = pooler(model.tree["base"], states, ops)
    return classify(model.tree["head"], states, run)
