"""
In which layers?
================

Train the adapters of one task, then take some of them out again, without training anything anew:
what the network then gets wrong tells where the task was learned.

**You will learn** how to remove the adapters of any span of layers from a trained task, how to read
the triangle of figure 6, and what such an ablation does and does not show. **Time:** 15 minutes to
read, less than a minute to run. **You need to know** why a fresh adapter is nearly the identity
(``07_the_adapter.py``). Paper: Houlsby et al. 2019 (arXiv 1902.00751), section 3.6 and figure 6.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from adapters.finetune import train_task
from adapters.fixed import keep_states
from adapters.predict import encode_examples, predict_logits
from adapters.show import Progress
from adapters.store import on_base
from adapters.tuning import method_named
from minibert import load_base
from minibert.datasets import glue_data
from minibert.tasks import score
from minibert.threads import thread_count
from minibert.train import Settings
from minibert.tree import from_leaves, leaves
from minibert.weights import fetch_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# One trained task
# ----------------
# Adapters of size 64 in all six layers of MiniLM, on the small sample that comes with this project
# (SST-2's format, not GLUE's sentences). The paper did this on MNLI and CoLA with BERT-base;
# ``minibert reproduce`` does it on real GLUE.

# %%
data = glue_data("sst-2", sample=True)
print(f"data: {data.source}; {len(data.train)} to train on, {len(data.dev)} to score on (dev)")
base = load_base(fetch_model("minilm"))
method = method_named("adapters", 64)
settings = Settings(rate=2e-3, epochs=4, batch_size=16, seed=0)
run = train_task(base, data, method, settings, on_report=Progress("adapters"))
tree = on_base(run.task, base)  # the base's arrays under the task's own
majority = run.constant["accuracy"]

# %% [markdown]
# Taking adapters out
# -------------------
# An adapter is z plus something small that was learned, so that without it the layer does what it
# did before: for every layer i of the span from a to b,
#
# :math:`x \leftarrow \mathrm{LayerNorm}(x + A_i(z)) \quad \text{becomes} \quad
# x \leftarrow \mathrm{LayerNorm}(x + z)`.
#
# The gains and biases of the LayerNorms and the head stay as they were trained. A BERT without
# adapters is an encoder whose ``adapt`` finds none, so to remove them is to leave them out of a
# dictionary.

# %%
encoded = encode_examples(base, data.dev, run.task.max_length)
gold = [example.label for example in data.dev]
layers = base.config.num_hidden_layers


def accuracy_without(span, states=None):
    """Dev accuracy, and the logits, without the adapters of these layers; `states` are what enters
    the first of them."""
    kept = {number: pair for number, pair in tree["adapters"].items() if number not in span}
    fixed = None if states is None else span[0]
    logits = predict_logits({**tree, "adapters": kept}, base, method, encoded, None, states, fixed)
    return score(data.task, logits, gold)["accuracy"], logits


whole, logits = accuracy_without(range(0))
assert whole == run.task.results["accuracy"], f"all adapters: {whole}, in training {run.epochs}"

# %% [markdown]
# All spans
# ---------
# Six layers have 6 · 7 / 2 = 21 spans of neighbours. What enters the first layer of a span does not
# depend on the span's end; it is computed once for all spans that begin there.

# %%
accuracy = np.full((layers, layers), np.nan)  # [first removed, last removed]
for first in range(layers):
    states = keep_states(tree, base, method, encoded, first, thread_count()) if first else None
    for last in range(first, layers):
        accuracy[first, last], logits_without = accuracy_without(range(first, last + 1), states)
lost = 100 * (whole - accuracy)
print(f"all adapters {100 * whole:.1f} %, majority class {100 * majority:.1f} %; points lost:")
for first, row in enumerate(lost):
    cells = "".join(f"{points:7.1f}" for points in row[first:])
    print(f"from layer {first}{cells:>{7 * layers}}")

# %% [markdown]
# The picture
# -----------
# Rows: the first removed layer; columns: the last one. On the diagonal a single layer is without
# its two adapters; in the corner at the top right, all of them are. The darker, the more is lost.

# %%
figure, axes = plt.subplots(figsize=(7.4, 5.8), layout="constrained")
top = max(10.0, np.nanmax(lost))
shown = axes.imshow(lost, cmap="Greys", vmin=0, vmax=top)
for (first, last), points in np.ndenumerate(lost):
    if last >= first:
        color = "white" if points > 0.55 * top else "black"
        axes.text(last, first, f"{points:.1f}", ha="center", va="center", color=color)
        axes.add_patch(Rectangle((last - 0.5, first - 0.5), 1, 1, fill=False, ec="0.7"))
axes.set(xlabel="last removed layer", ylabel="first removed layer")
axes.set_xticks(range(layers))
axes.set_yticks(range(layers))
axes.spines[:].set_visible(False)
figure.colorbar(shown, label="points of dev accuracy lost", shrink=0.8)
axes.set_title(f"Adapters removed after training (with all: {100 * whole:.1f} %)")
figure.savefig(out / "10_layers.png", dpi=120)
print(f"picture: {out / '10_layers.png'}")

# %% [markdown]
# The claims, checked
# -------------------
# Removing is exact: an adapter whose W_up and b_up are 0 is the identity, so the network with
# zeros must give the logits of the network without. What is lost is then no accident of the code.
#
# Of the paper's findings two are large enough to be seen on 160 sentences, where one sentence is
# 0.6 points and one standard error almost 4: to remove a single layer's adapters costs, in the mean
# of the six, less than half of what it costs to remove all; and without any of them the accuracy is
# down to about the majority class (within 12 points, three standard errors).

# %%
zeros = from_leaves({path: 0 * array if ".up." in path else array
                     for path, array in leaves(tree["adapters"])})  # fmt: skip
silent = predict_logits({**tree, "adapters": zeros}, base, method, encoded)
_, without = accuracy_without(range(layers))
assert np.allclose(silent, without, rtol=0, atol=1e-5), np.abs(silent - without).max()
assert not np.allclose(logits, without, atol=0.1), "the adapters hardly changed the logits"
assert np.isfinite(accuracy[np.triu_indices(layers)]).all(), "a span has not been computed"
assert whole > majority + 0.08, f"only {whole:.3f} with all adapters: nothing to lose"
single, everything = np.diag(lost), lost[0, -1]
assert single.mean() < everything / 2, f"one layer costs {single.mean():.1f}, all {everything:.1f}"
assert abs(accuracy[0, -1] - majority) < 0.12, f"{accuracy[0, -1]:.3f} without any adapter"
half = layers // 2
print(f"without any {100 * accuracy[0, -1]:.1f} %; points lost: worst single layer "
      f"{single.max():.1f}, lower half {lost[0, half - 1]:.1f}, upper half "
      f"{lost[half, -1]:.1f}.")  # fmt: skip

# %% [markdown]
# What next
# ---------
# - Other seeds: which of the numbers stay, which are chance? Is the upper half always the worse
#   one to lose, as in the paper?
# - Train adapters in one half only (``adapters.tuning.layer_span``). Is what one loses by removing
#   a half after training the same as what one loses by never having it?
# - Reset the LayerNorms of the span to the base's too. Which of the two did the work?
# - Write the ablation yourself: ``minibert exercises check 14``.
#
# Next: how the adapters must begin, ``11_initial_scale.py``.
