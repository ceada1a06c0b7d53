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
from adapters.methods.table import method_named
from adapters.predict import encode_examples, predict_logits
from adapters.show import Progress
from adapters.task_file import on_base
from minibert import load_base
from minibert.data.glue import glue_data
from minibert.data.tasks import score
from minibert.fetch.models import fetch_model
from minibert.training.schedule import Settings
from minibert.tree import from_leaves, leaves

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
# An adapter is z plus something learned; without it z passes as it is. In both halves of every
# layer i of the span,
#
# :math:`x \leftarrow \mathrm{LayerNorm}(x + A_i(z)) \quad \text{becomes} \quad
# x \leftarrow \mathrm{LayerNorm}(x + z)`.
#
# The LayerNorms and the head stay as they were trained. The encoder looks a layer's adapters up in
# a dictionary, so to remove them is to leave them out of it.

# %%
encoded = encode_examples(base, data.dev, run.task.max_length)
gold = [example.label for example in data.dev]
layers = base.config.num_hidden_layers


def accuracy_without(span):
    """Dev accuracy, and the logits [B, 2], without the adapters of these layers."""
    kept = {number: pair for number, pair in tree["adapters"].items() if number not in span}
    logits = predict_logits({**tree, "adapters": kept}, base, method, encoded)
    return score(data.task, logits, gold)["accuracy"], logits


whole, logits = accuracy_without(span=())
assert whole == run.task.results["accuracy"], f"all adapters: {whole}, in training {run.epochs}"

# %% [markdown]
# All spans
# ---------
# Six layers have 6 · 7 / 2 = 21 spans of neighbours, which make a triangle.

# %%
accuracy = np.full((layers, layers), np.nan)  # [first removed, last removed]
for first in range(layers):
    for last in range(first, layers):
        accuracy[first, last], _ = accuracy_without(range(first, last + 1))
lost = 100 * (whole - accuracy)
print(f"all adapters {100 * whole:.1f} %, majority class {100 * majority:.1f} %; points lost:")
for first, row in enumerate(lost):
    cells = "".join(f"{points:7.1f}" for points in row[first:])
    print(f"from layer {first}{cells:>{7 * layers}}")

# %% [markdown]
# The picture
# -----------
# Rows: the first removed layer; columns: the last one. On the diagonal one layer is without its two
# adapters; at the top right all six are. The darker, the more is lost; below 0 it is a gain.

# %%
figure, axes = plt.subplots(figsize=(7.4, 5.8), layout="constrained")
top = max(10.0, np.nanmax(lost))
shown = axes.imshow(lost, cmap="Greys", vmin=0, vmax=top)
for (first, last), points in np.ndenumerate(lost):
    if last >= first:
        color = "white" if points > 0.55 * top else "black"
        axes.text(last, first, f"{points:.1f}", ha="center", va="center", color=color)
        axes.add_patch(Rectangle((last - 0.5, first - 0.5), 1, 1, fill=False, ec="0.7"))
axes.set(xlabel="last removed layer", ylabel="first removed layer",
         xticks=range(layers), yticks=range(layers),
         title=f"Adapters removed after training (with all: {100 * whole:.1f} %)")  # fmt: skip
axes.spines[:].set_visible(False)
figure.colorbar(shown, label="points of dev accuracy lost", shrink=0.8)
figure.savefig(out / "10_layers.png", dpi=120)
print(f"picture: {out / '10_layers.png'}")

# %% [markdown]
# The claims, checked
# -------------------
# An adapter whose W_up and b_up are 0 is the identity: with such adapters the network must give the
# logits that it gives without any.
#
# Two of the paper's findings are large enough to be seen on 160 sentences, where one sentence is
# 0.6 points and one standard error almost 4. To remove a single layer's adapters costs, in the mean
# of the six, less than half of what it costs to remove all. And without any the accuracy is about
# that of the majority class (within 12 points, three standard errors). All this shows on what the
# trained network relies; it does not show how well a network would do that never had the adapters.

# %%
zeros = from_leaves({path: 0 * array if ".up." in path else array
                     for path, array in leaves(tree["adapters"])})  # fmt: skip
silent = predict_logits({**tree, "adapters": zeros}, base, method, encoded)
_, without = accuracy_without(range(layers))
apart = np.abs(silent - without).max()
assert apart < 1e-5, f"adapters of zeros and none at all: logits {apart} apart"
assert not np.allclose(logits, without, atol=0.1), "the adapters hardly changed the logits"
assert np.isfinite(accuracy).sum() == 21, f"spans computed: {np.isfinite(accuracy).sum()}"
assert whole > majority + 0.08, f"only {whole:.3f} with all adapters: nothing to lose"
single, everything = np.diag(lost), lost[0, -1]
assert single.mean() < everything / 2, f"one layer costs {single.mean():.1f}, all {everything:.1f}"
assert abs(accuracy[0, -1] - majority) < 0.12, f"{accuracy[0, -1]:.3f} without any adapter"
print(f"without any {100 * accuracy[0, -1]:.1f} %; points lost: worst single layer "
      f"{single.max():.1f}, lower half {lost[0, 2]:.1f}, upper {lost[3, 5]:.1f}.")  # fmt: skip

# %% [markdown]
# What next
# ---------
# - Other seeds: which numbers stay, which are chance? Is the upper half always the worse one to
#   lose, as in the paper?
# - Train adapters in one half only (``adapters.methods.table.layer_span``). Does it cost as much never to
#   have a half as to lose it after training?
# - Reset the span's LayerNorms to the base's too. Which of the two did the work?
# - Write the ablation yourself: ``minibert exercises check 14``.
#
# Next: how the adapters must begin, ``11_initial_scale.py``.
