"""A task's whole model: a frozen base, a tuning method, and one tree of all parameters; made, and
run from token ids to logits."""

from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from adapters.methods.bottleneck import truncated_normal
from adapters.methods.method import Method
from adapters.methods.table import adapters_of
from adapters.recipes import Recipe
from minibert import fused
from minibert.batch import Batch
from minibert.checkpoint import Base
from minibert.heads import classify
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


@dataclass(frozen=True)
class TaskModel:
    """The tree has "base" (the base's own arrays, or trained ones in their place), "adapters" if
    the method has any, and "head"."""

    base: Base
    method: Method
    tree: Tree

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
        first_only: bool = True,
    ) -> ForwardPass:
        """A forward pass of this model over a batch; the arguments are those of `ForwardPass`."""
        config = self.base.config
        return ForwardPass(config, batch.lengths, self.attach(ops), rng, ops, first_only)


def new_task_model(
    base: Base, method: Method, recipe: Recipe, outputs: int, seed: int
) -> TaskModel:
    """The model before training: the base's own arrays, fresh adapters and head.

    `outputs` is C, the number of classes, or 1 for regression.
    """
    rng = generator(seed, INIT)
    config = base.config
    tree: Tree = {"base": base.params}
    if method.size is not None:
        filled = replace(method, std=recipe.adapter_std if method.std is None else method.std)
        every = adapters_of(method).init(rng, config, filled)
        tree["adapters"] = {n: layer for n, layer in every.items() if method.has_layer(n)}
    tree["head"] = {
        "weight": truncated_normal(rng, (outputs, config.hidden_size), recipe.head_std).T,
        "bias": np.zeros(outputs, np.float32),
    }
    return TaskModel(base, method, tree)


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
    or the [CLS] rows [B, D] alone if that is every layer."""
    return _bottom(model, batch, model.run(batch, ops=ops), frozen)


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
    trained (None: nothing is frozen); `states` are their `frozen_states`, if known.
    """
    if frozen is None:
        states = embed(model.tree["base"], batch, run)
    elif states is None:
        states = _bottom(model, batch, run, frozen)
    above = range(frozen or 0, model.base.config.num_hidden_layers)
    return encoder_layers(model.tree["base"], above, states, run)[-1]


def forward(
    model: TaskModel,
    batch: Batch,
    rng: np.random.Generator | None = None,
    frozen: int | None = None,
    states: Array | None = None,
    ops: ModuleType = fused,
) -> Array:
    """Token ids to logits through the whole model: [N tokens] -> [B, C]. `rng` switches dropout on;
    `frozen` and `states` are those of `last_states`."""
    run = model.run(batch, rng, ops)
    first = last_states(model, batch, run, frozen, states)  # [B, D]
    return classify(model.tree["head"], pooler(model.tree["base"], first, ops), run)
