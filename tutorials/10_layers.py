"""
In which layers?
================

Train the adapters of one task, then take some of them out again, without any further training: the
accuracy that is lost shows where the task was learned.

**You will learn** how to remove the adapters of any span of layers from a trained task, how to read
the triangle of figure 6, and what such an ablation shows and what it does not. **Time:** 15 minutes
to read, less than a minute to run. **You need to know** why a fresh adapter is nearly the identity
(`07_the_adapter.py <07_the_adapter.py>`_). Paper: Houlsby et al. 2019 (`arXiv 1902.00751
<https://arxiv.org/abs/1902.00751>`_), section 3.6 and figure 6.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from adapters import method_named, on_base, train_task
from adapters.pictures import save_picture
from adapters.predict import encode_examples, predict_logits
from adapters.progress import Progress
from minibert import Settings, fetch_model, glue_data, load_base
from minibert.data.tasks import score
from minibert.tree import from_leaves, leaves

# %% [markdown]
# One trained task
# ----------------
# Adapters of size 64 in all six layers of MiniLM, on the small sample that comes with this project
# (SST-2's format, not GLUE's sentences). The paper did this on MNLI and CoLA with BERT-base;
# ``minibert reproduce`` does it on real GLUE.

# %%
data = glue_data("sst-2", sample="hard")
print(f"data: {data.source}; {len(data.train)} to train on, {len(data.dev)} to score on (dev)")
base = load_base(fetch_model("minilm"))
settings = Settings(rate=2e-3, epochs=4, batch_size=16, seed=0)
method = method_named("adapters", 64)
run = train_task(base, data, method, settings, on_report=Progress("adapters"))
model = on_base(run.task, base)  # the task's own arrays over those of the base
majority = run.constant["accuracy"]

# %% [markdown]
# Taking adapters out
# -------------------
# An adapter adds something learned to z; without it, z passes unchanged. In both halves of every
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


def logits_with(adapters):
    """The dev texts' logits with these adapters in the place of the trained ones. [B, 2]"""
    changed = replace(model, tree={**model.tree, "adapters": adapters})
    return predict_logits(changed, encoded)


def logits_without(span):
    """The dev texts' logits without the adapters of these layers. [B, 2]"""
    trained = model.tree["adapters"]
    return logits_with({number: pair for number, pair in trained.items() if number not in span})


def accuracy_without(span):
    """Dev accuracy without the adapters of these layers."""
    return score(data.task, logits_without(span), gold)["accuracy"]


whole = accuracy_without(span=())
assert whole == run.task.results["accuracy"], f"all adapters: {whole}, in training {run.epochs}"

# %% [markdown]
# All spans
# ---------
# Six layers have 6 · 7 / 2 = 21 spans of neighbours, which make a triangle.

# %%
accuracy = np.full((layers, layers), np.nan)  # [first removed, last removed]
for first in range(layers):
    for last in range(first, layers):
        accuracy[first, last] = accuracy_without(range(first, last + 1))
lost = 100 * (whole - accuracy)
print(f"all adapters {100 * whole:.1f} %, majority class {100 * majority:.1f} %; points lost:")
for first, row in enumerate(lost):
    cells = "".join(f"{points:7.1f}" for points in row[first:])
    print(f"from layer {first}{cells:>{7 * layers}}")

# %% [markdown]
# The picture
# -----------
# Rows: the first removed layer; columns: the last one. On the diagonal, one layer is without its
# two adapters; at the top right, all six are. The darker, the more is lost; below 0 it is a gain.


# %%
def draw_triangle():
    """The points of accuracy that each span costs."""
    figure, axes = plt.subplots(figsize=(7.4, 5.8), layout="constrained")
    top = max(10.0, np.nanmax(lost))
    shades = axes.imshow(lost, cmap="Greys", vmin=0, vmax=top)
    for (first, last), points in np.ndenumerate(lost):
        if last >= first:
            colour = "white" if points > 0.55 * top else "black"
            axes.text(last, first, f"{points:.1f}", ha="center", va="center", color=colour)
            axes.add_patch(Rectangle((last - 0.5, first - 0.5), 1, 1, fill=False, ec="0.7"))
    axes.set(xlabel="last removed layer", xticks=range(layers))
    axes.set(ylabel="first removed layer", yticks=range(layers))
    axes.set(title=f"Adapters removed after training (with all: {100 * whole:.1f} %)")
    axes.spines[:].set_visible(False)
    figure.colorbar(shades, label="points of dev accuracy lost", shrink=0.8)
    save_picture(figure, "10_layers")


draw_triangle()

# %% [markdown]
# The claims, checked
# -------------------
# An adapter whose W_up and b_up are 0 is the identity: with such adapters the network must give the
# same logits as without any.
#
# Two of the paper's findings are large enough to be seen on 160 sentences, where one sentence is
# 0.6 points and one standard error almost 4. Removing a single layer's adapters costs, on average
# over the six, less than half of what removing all costs. And without any, the accuracy is about
# that of the majority class (within 12 points, three standard errors).
#
# All this shows what the trained network relies on. It does not show how well a network would do
# that never had the adapters.

# %%
zeros = from_leaves(
    {path: 0 * array if ".up." in path else array for path, array in leaves(model.tree["adapters"])}
)
silent = logits_with(zeros)
without = logits_without(range(layers))
apart = np.abs(silent - without).max()
assert apart < 1e-5, f"adapters of zeros and none at all: logits {apart} apart"
trained = logits_without(span=())
assert not np.allclose(trained, without, atol=0.1), "the adapters hardly changed the logits"
assert np.isfinite(accuracy).sum() == 21, f"spans computed: {np.isfinite(accuracy).sum()}"
assert whole > majority + 0.08, f"only {whole:.3f} with all adapters: nothing to lose"
single = np.diag(lost)
everything = lost[0, -1]
assert single.mean() < everything / 2, f"one layer costs {single.mean():.1f}, all {everything:.1f}"
assert abs(accuracy[0, -1] - majority) < 0.12, f"{accuracy[0, -1]:.3f} without any adapter"
print(f"without any adapter: {100 * accuracy[0, -1]:.1f} %")
print(f"points lost without the worst single layer: {single.max():.1f}")
print(f"points lost without the lower half: {lost[0, 2]:.1f}, the upper: {lost[3, 5]:.1f}")

# %% [markdown]
# What next
# ---------
# - Other seeds: which numbers stay, which are chance? Is the upper half always the worse one to
#   lose, as in the paper?
# - Train adapters in one half only (``adapters.layer_span``). Does it cost as much never to have a
#   half as to lose it after training?
# - Reset the span's LayerNorms to the base's too. Which of the two did the work?
# - Write the ablation yourself: ``minibert exercises check 14``.
#
# Next: how the adapters must begin, `11_initialisation.py <11_initialisation.py>`_.
