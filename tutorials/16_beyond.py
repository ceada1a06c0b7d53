"""
Beyond the paper
================

After the adapters of Houlsby et al. 2019 (arXiv 1902.00751) came other ways to train few of many
parameters: Pfeiffer's adapters (Pfeiffer et al. 2020, arXiv 2005.00247), LoRA (Hu et al. 2021,
arXiv 2106.09685) and BitFit (Ben Zaken et al. 2021, arXiv 2106.10199). Here are all four.

**You will learn** what each adds to a layer and where, what it costs, what a fresh one changes, why
LoRA is free once trained, and how they compare when they may train equally many parameters.
**Time:** 20 minutes to read, less than a minute to run. **You need to know**
``07_the_adapter.py`` and ``09_size.py``.
"""

import math
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters import lora, pfeiffer
from adapters.bottleneck import parameter_count
from adapters.finetune import train_task
from adapters.recipes import recipe_named
from adapters.show import Progress, table
from adapters.task_model import forward, init_task
from adapters.tuning import method_named, split, top_layers
from minibert import encode_texts, load_base, make_batch
from minibert.checkpoint import cast
from minibert.datasets import glue_data
from minibert.train import Settings
from minibert.tree import count, leaves, merge
from minibert.weights import fetch_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Four ideas
# ----------
# **Houlsby's adapters** change what each of a layer's two sublayers puts out, z, before x is added:
#
# :math:`z + f(z W_{down} + b_{down}) \, W_{up} + b_{up}`.
#
# The LayerNorms are trained too. **Pfeiffer's** keep the second adapter only, and let it read z as
# it will be once x is added and the layer's LayerNorm has been over it, :math:`u = LN(x + z)`:
#
# :math:`z + f(u W_{down} + b_{down}) \, W_{up} + b_{up}`.
#
# **LoRA** (low-rank adaptation) leaves z alone. It changes two of the matrices in attention, those
# that make queries and values, by a product of two thin ones, A of r columns and B of r rows:
#
# :math:`x W + b + \tfrac{\alpha}{r} (x A) B = x (W + \tfrac{\alpha}{r} A B) + b`.
#
# **BitFit** adds nothing. It trains the biases that are there already, and no weight:
#
# :math:`x W + b`, with b trained.
#
# In the picture, what is trained is dark. A dark end of a box is a part of that linear map.

# %%
MAPS = [(1.5, 1.6, "query"), (4, 1.6, "key"), (6.5, 1.6, "value"), (4, 4.8, "output"),
        (4, 8.4, "LayerNorm"), (4, 10.2, "inner"), (4, 12, "output"), (4, 15.6, "LayerNorm"),
        (4, 3.2, "attention")]  # fmt: skip
PANELS = [("Houlsby's adapters", "LayerNorm", ""), ("Pfeiffer's adapter", "", ""),
          ("LoRA", "query value", "AB"),
          ("BitFit", "query key value output inner LayerNorm", "b")]  # fmt: skip
figure, panels = plt.subplots(1, 4, figsize=(12, 6.6), layout="constrained")
for axes, (title, parts, strip) in zip(panels, PANELS, strict=True):
    axes.set(xlim=(-0.2, 9.2), ylim=(-0.4, 17.4), title=title)
    axes.axis("off")
    axes.annotate("", (4, 17.3), (4, 3.2), arrowprops={"arrowstyle": "-|>", "fc": "k"}, zorder=0)
    for x in (1.5, 4, 6.5):
        axes.plot((4, 4, x, x, 4), (0, 0.5, 0.5, 3.2, 3.2), color="k", lw=1.2, zorder=0)
    boxes = [(x, y, text, text in parts.split() and not strip) for x, y, text in MAPS]
    if "adapter" in title:
        boxes.append((4, 13.6, "adapter of z" if parts else "adapter of LN(x + z)", True))
        boxes += [(4, 6.4, "adapter of z", True)] if parts else []
    for x, y, text, dark in boxes:
        width = 2.2 if y == 1.6 else 5.4
        axes.barh(y, width, 1.1, x - width / 2, color="#1f4e79" if dark else "0.9", ec="0.1")
        own = strip and text in parts.split()
        shift = 0.5 if own else 0
        axes.text(x - shift, y, text, ha="center", va="center", color="w" if dark else "k",
                  fontsize=8 if y == 1.6 else 10)  # fmt: skip
        if own:
            axes.barh(y, 0.9, 1.1, x + width / 2 - 0.9, color="#1f4e79", ec="0.1")
            axes.text(x + width / 2 - 0.45, y, strip, ha="center", va="center", color="w",
                      fontsize=8)  # fmt: skip
    for low, high in ((0.2, 7.4), (9.3, 14.6)):
        axes.plot((4, 8.4, 8.4, 4), (low, low, high, high), color="k", lw=1.2, zorder=0)
        axes.text(4, high, "+", ha="center", va="center", bbox={"boxstyle": "circle", "fc": "w"})
figure.suptitle("One encoder layer, from x below to the next layer above: what is trained is dark")
figure.savefig(out / "16_where_they_sit.png", dpi=120)
print(f"picture: {out / '16_where_they_sit.png'}")

# %% [markdown]
# What each costs
# ---------------
# In one layer of d features, with F inside its feed-forward sublayer:
#
# - Houlsby: :math:`2 (2md + d + m) + 4d`, the last for two LayerNorms
# - Pfeiffer: :math:`2md + d + m`
# - LoRA: :math:`2 \cdot 2rd`
# - BitFit: :math:`7d + F`, as eight vectors are biases and that of the inner map has F numbers.
#   The pooler has one more for the whole model, d, and if all layers are trained so has the
#   embeddings' LayerNorm.
#
# For a comparison each may train about as much as Houlsby's with m = 16, in the top two layers
# (what leaves the four below is then computed once, as in ``09_size.py``). BitFit has the size it
# has, a sixth of that; so LoRA and Pfeiffer are made that small once more. The nearest r and m
# follow by dividing. The head, 2d + 2, comes on top for all.

# %%
base = load_base(fetch_model("minilm"))
D, F, TOP = base.config.hidden_size, base.config.intermediate_size, 2


def cost(name, size, d, f, k):
    """Parameters in the top k layers, without the head."""
    return {
        "adapters": k * (2 * (2 * size * d + d + size) + 4 * d),
        "pfeiffer": k * (2 * size * d + d + size),
        "lora": k * 2 * 2 * size * d,
        "biases": k * (7 * d + f) + d,
    }[name]


small, large = cost("biases", 0, D, F, TOP), cost("adapters", 16, D, F, TOP)
ranks = [round(budget / (TOP * 4 * D)) for budget in (small, large)]
widths = [round((budget / TOP - D) / (2 * D + 1)) for budget in (small, large)]
CHOSEN = [("biases", None), ("lora", ranks[0]), ("pfeiffer", widths[0]),
          ("adapters", 16), ("lora", ranks[1]), ("pfeiffer", widths[1])]  # fmt: skip
methods = [top_layers(method_named(name, size), TOP, base.config) for name, size in CHOSEN]
starts = [init_task(base, method, recipe_named("paper"), 2, seed=0) for method in methods]
sizes = [count(split(start, method)[0]) - (2 * D + 2)
         for start, method in zip(starts, methods, strict=True)]  # fmt: skip
assert (ranks, widths) == ([3, 18], [5, 34]), f"r = {ranks}, m = {widths}"
assert (small, large) == (8_832, 53_824), f"budgets: {small:,} and {large:,}"
for (name, size), own in zip(CHOSEN, sizes, strict=True):
    assert own == cost(name, size or 0, D, F, TOP), f"{name}, {size}: the tree has {own:,}"
    budget = small if own < 2 * small else large
    assert abs(own / budget - 1) < 0.05, f"{name}, {size}: {own:,} is not near {budget:,}"
known = {("biases", 0): 102_912 - 768, ("lora", 8): 294_912, ("pfeiffer", 48): 894_528}
for (name, size), own in known.items():  # in BERT-base, without the embeddings' LayerNorm
    found = cost(name, size, 768, 3072, 12)
    assert found == own, f"{name}, {size}, in all of BERT-base: {found:,}, not {own:,}"
assert sizes[1] == 2 * TOP * lora.parameter_count(D, 3), "LoRA: two projections a layer"
assert sizes[5] == pfeiffer.parameter_count(D, 34, TOP), "Pfeiffer: one adapter a layer"
assert sizes[3] == TOP * (2 * parameter_count(D, 16) + 4 * D), "Houlsby: two a layer and norms"

# %% [markdown]
# What a fresh one changes
# ------------------------
# LoRA's A is drawn at random and its B is 0. So A B is 0, and the logits are the base's to the last
# bit. Both cannot be 0: the gradient of A is a product with B and that of B one with A, so nothing
# would ever move. BitFit has nothing that could change anything. The two kinds of adapters begin
# near the identity, not at it. They could begin at it, with W_up = 0: the paper chose otherwise.

# %%
data = glue_data("sst-2", sample=True)
print(f"data: {data.source}; {len(data.train)} to train on, {len(data.dev)} to score on (dev)")
batch = make_batch(encode_texts(base.tokenizer, [e.text for e in data.dev[:32]], 128))
nothing = method_named("head")  # a plain BERT with a head
moved = []
for start, method in zip(starts, methods, strict=True):
    plain = forward({"base": start["base"], "head": start["head"]}, batch, base.config, nothing)
    fresh = forward(start, batch, base.config, method)  # [B, 2]
    moved.append(float(np.linalg.norm(fresh - plain) / np.linalg.norm(plain)))
    if method.name in ("lora", "biases"):
        assert fresh.tobytes() == plain.tobytes(), f"a fresh {method} changes the logits"
    else:
        assert 1e-4 < moved[-1] < 0.05, f"a fresh {method} moves the logits by {moved[-1]:.4f}"

# %% [markdown]
# A short training each
# ---------------------
# Four epochs on the sample that comes with this project, two seeds. The learning rate is 1e-2 for
# all. It was chosen by the *training* loss of a third seed, so that no dev sentence had a say: LoRA
# and both kinds of adapter came lower with it than with 3e-3, or as low (LoRA did not learn at
# 3e-2), and BitFit hardly learned with either.

# %%
SEEDS = (0, 1)
accuracy, losses, kept = np.zeros((len(methods), len(SEEDS))), [], []
for row, method in zip(accuracy, methods, strict=True):
    for i, seed in enumerate(SEEDS):
        settings = Settings(rate=1e-2, epochs=4, batch_size=16, seed=seed)
        run = train_task(base, data, method, settings, on_report=Progress(f"{method}, seed {seed}"))
        row[i] = run.epochs[-1]["accuracy"]
    losses.append(float(np.mean(run.losses[-20:])))
    kept.append(run.task)
majority = run.constant["accuracy"]
error = math.sqrt(0.25 / len(data.dev))
names = [str(method).removesuffix(", from layer 4") for method in methods]
names = [name.replace("adapters", "houlsby") for name in names]
rows = [
    (name, f"{own:,}", f"{shift:.4f}", f"{loss:.3f}", *(f"{100 * each:.1f}" for each in row))
    for name, own, shift, loss, row in zip(names, sizes, moved, losses, accuracy, strict=True)
]
print(table(rows, ("method", "parameters", "fresh: moves logits by", "last loss",
                   "dev (%), seed 0", "seed 1")))  # fmt: skip

# %% [markdown]
# Merging
# -------
# The right-hand side of LoRA's equation is an ordinary linear map. So after training A B is added
# to W, once, and what is left is a BERT like any other: no hook, no product more, the base's
# shapes. The logits are equal but for rounding, which float64 shows to be rounding. An adapter
# cannot vanish so, as there is an f in its middle; BitFit's biases are where the old ones were.

# %%
method = methods[4]
task_tree = merge({"base": base.params}, kept[4].trained)
gaps = []
for dtype in (np.float32, np.float64):
    tree = cast(task_tree, dtype)
    merged = lora.merge_lora(tree)
    apart, together = (forward(each, batch, base.config, kind)
                       for each, kind in ((tree, method), (merged, nothing)))  # fmt: skip
    plain = forward({**tree, "adapters": {}}, batch, base.config, method)
    gaps.append((float(abs(together - apart).max()), float(abs(together - plain).max())))
(single, effect), (double, _) = gaps
assert effect > 0.1, f"training A and B changed the logits by {effect:.4f} only"
assert single < 1e-5, f"merged, float32: {single:.1e} from the logits before"
assert double < 1e-13, f"merged, float64: {double:.1e} from the logits before"
shapes = {path: leaf.shape for path, leaf in leaves(merged["base"])}
assert shapes == {path: leaf.shape for path, leaf in leaves(base.params)}, "not a plain BERT"
assert merged.keys() == {"base", "head"}, f"more than a BERT and a head: {list(merged)}"
print(f"LoRA changes the logits by up to {effect:.2f}; merging it, by {single:.0e} (float32) "
      f"or {double:.0e} (float64).")  # fmt: skip

# %% [markdown]
# The picture
# -----------

# %%
LOOKS = {"biases": ("^", "0.4"), "lora": ("o", "#1f4e79"), "pfeiffer": ("D", "#548235"),
         "adapters": ("s", "#c55a11")}  # fmt: skip
figure, panels = plt.subplots(1, 2, figsize=(9, 5), sharey=True, layout="constrained")
for axes, half in zip(panels, (slice(0, 3), slice(3, 6)), strict=True):
    axes.axhline(100 * majority, color="0.4", ls=":")
    for method, own, row in zip(methods[half], sizes[half], 100 * accuracy[half], strict=True):
        marker, color = LOOKS[method.name]
        axes.errorbar(own, row.mean(), 100 * error, marker=marker, color=color, ms=9, capsize=4)
        axes.plot([own] * len(row), row, marker, color=color, mfc="none", ms=5)
    labels = [f"{name.replace(', ', chr(10))}\n{own:,}"
              for name, own in zip(names[half], sizes[half], strict=True)]  # fmt: skip
    axes.set(xscale="log", xlim=(0.985 * min(sizes[half]), 1.015 * max(sizes[half])))
    axes.set_xticks(sizes[half], labels)
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
panels[0].set_ylabel("dev accuracy (%)")
panels[1].text(max(sizes), 100 * majority, "majority class", ha="center", va="bottom", color="0.3")
figure.supxlabel("trained parameters without the head, logarithmic")
figure.suptitle("Top two layers, sample. Small: each seed; large: their mean; bars: standard error")
figure.savefig(out / "16_beyond.png", dpi=120)
print(f"picture: {out / '16_beyond.png'}")

# %% [markdown]
# The claims, checked
# -------------------
# Exact are the counts, LoRA's start and its merging: they hold for any data. Of accuracy, little
# can be said. On 160 sentences it has a standard error of up to 4 points, a difference of two up to
# 5.6; and the two seeds share those sentences, so their mean is hardly surer. We claim that the
# three large ones learn (together two standard errors above the majority class), and that this run
# finds no winner among them (they are less than three standard errors of a difference apart).
#
# It does *not* show that BitFit is worse. On our machine one of its seeds stayed at 50.0 % and the
# other came to 68.1: either alone would have told a story. It had two layers, 320 sentences and 80
# steps here; its authors trained all biases on whole tasks, and found it on a par with full
# fine-tuning where data were few. Nor does it show that LoRA is better: a point or two, which is
# what such papers report, takes many times the sentences, all layers, more seeds, and a rate chosen
# for each method.

# %%
mean = dict(zip(names, accuracy.mean(1), strict=True))
three = names[3:]
together = float(np.mean([mean[name] for name in three]))
assert together > majority + 2 * error, f"the three large ones: {together:.3f} on average"
assert max(losses[3:]) < math.log(2), f"one of {three} fits no better than guessing: {losses[3:]}"
apart = max(mean[name] for name in three) - min(mean[name] for name in three)
assert apart < 3 * math.sqrt(2) * error, f"{three} are {100 * apart:.1f} points apart"
print(f"The three large ones are {100 * apart:.1f} points apart; the standard error of a "
      f"difference is {100 * math.sqrt(2) * error:.1f}.")  # fmt: skip

# %% [markdown]
# What next
# ---------
# - Write LoRA and its merging yourself: ``minibert exercises check 15``.
# - Change ALPHA / r to ALPHA in a copy of ``adapters/lora.py``. Which claims still hold, and what
#   must you do to the rate for r = 18?
# - Draw B at random too, as an adapter's W_up. What does a fresh LoRA then change?
# - Give BitFit 16 epochs, or the real SST-2 (``minibert fetch sst-2``). Does it catch up?
# - Merge two tasks' LoRA into the same W, one after the other. Whose logits are still right?
