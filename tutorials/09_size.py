"""
How large an adapter?
=====================

The bottleneck m is the one number that one chooses about an adapter. It sets the cost of a task;
does it set the accuracy too? Figure 4 of the paper asks that, and so do we, in small.

**You will learn** how many parameters each size trains, how accuracy goes with them, and how little
a small measurement can tell. **Time:** 15 minutes to read, less than a minute to run. **You need to
know** what is trained and how (``08_train_a_task.py``). Paper: Houlsby et al. 2019 (arXiv
1902.00751), section 3.4 and figure 4.
"""

import math
import os
from pathlib import Path

import matplotlib.pyplot as plt

from adapters.finetune import train_task
from adapters.methods.bottleneck import parameter_count
from adapters.methods.table import method_named, top_layers
from adapters.show import Progress, table
from minibert import load_base
from minibert.data.glue import glue_data
from minibert.fetch.models import fetch_model
from minibert.training.schedule import Settings
from minibert.tree import count

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# A small experiment, honestly
# ----------------------------
# The paper trains every size on whole data sets, with several seeds and learning rates. We have a
# minute: the small sample that comes with this project (SST-2's format, not GLUE's sentences), one
# seed, three epochs, and adapters in the top two layers only. What leaves the four layers below
# then never changes, and is computed once. ``minibert reproduce`` does the real thing, in hours.

# %%
data = glue_data("sst-2", sample=True)
print(f"data: {data.source}; {len(data.train)} to train on, {len(data.dev)} to score on (dev)")
base = load_base(fetch_model("minilm"))
D, TOP = base.config.hidden_size, 2

# %% [markdown]
# The sizes
# ---------
# Trained are two adapters and two LayerNorms a layer (a gain and a bias for each of d features),
# and the head (two classes). For the top k layers, fewer than all, that is
#
# :math:`P(m) = k \, (2 \, (2md + d + m) + 4d) + 2d + 2`
#
# parameters. Without adapters the LayerNorms and the head are left; without those, the head.

# %%
SIZES = (1, 8, 64, 256)
methods = {f"adapters, m = {m}": top_layers(method_named("adapters", m), TOP, base.config)
           for m in SIZES}  # fmt: skip
methods["LayerNorms and head"] = top_layers(method_named("norms"), TOP, base.config)
methods["head alone"] = method_named("head")

# %% [markdown]
# Training
# --------
# Each method has a learning rate that suits it: LayerNorms want a higher one than adapters, and the
# head a far higher one (``08_train_a_task.py`` says why). One rate for all would measure the rate.

# %%
RATES = {"norms": 1e-2, "head": 1e-1, "adapters": 3e-3}
sizes, accuracy, losses = {}, {}, {}
for name, method in methods.items():
    settings = Settings(rate=RATES[method.name], epochs=3, batch_size=16, seed=0)
    run = train_task(base, data, method, settings, on_report=Progress(name))
    sizes[name] = count(run.task.trained)
    accuracy[name] = run.epochs[-1]["accuracy"]  # not the best one: that would be chosen by dev
    losses[name] = sum(run.losses[-20:]) / 20
majority = run.constant["accuracy"]
error = math.sqrt(0.25 / len(data.dev))
total = count(base.params)
rows = [(name, f"{sizes[name]:,}", f"{100 * sizes[name] / total:.3f} %", f"{losses[name]:.2f}",
         f"{100 * accuracy[name]:.1f}") for name in methods]  # fmt: skip
print(table(rows, ("trained", "parameters", "of the base", "last loss", "dev accuracy (%)")))

# %% [markdown]
# The picture
# -----------
# The parameters span three powers of ten, so their axis is logarithmic. The bars are one standard
# error of an accuracy on n sentences, at most :math:`\sqrt{0.25 / n}`. Two methods whose bars
# overlap may well be equally good.

# %%
LOOKS = {"adapters": ("o", "#1f4e79"), "norms": ("^", "0.45"), "head": ("s", "#c55a11")}
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
curve = [name for name in methods if name.startswith("adapters")]
axes.plot([sizes[n] for n in curve], [100 * accuracy[n] for n in curve], color="#1f4e79", lw=1)
for name, method in methods.items():
    marker, color = LOOKS[method.name]
    point = sizes[name], 100 * accuracy[name]
    axes.errorbar(*point, 100 * error, marker=marker, color=color, ms=8, capsize=4, lw=1)
    label = name.removeprefix("adapters, ").removesuffix(" and head")
    axes.annotate(label, point, (7, -14), textcoords="offset points")
axes.axhline(100 * majority, color="0.4", ls=":", label="majority class")
axes.axvline(total, color="0.4", ls="--", label="all of MiniLM")
axes.set(xscale="log", xlim=(400, 6e7), ylim=(100 * majority - 4, None))
axes.set(xlabel="trained parameters", ylabel="dev accuracy (%)")
axes.set_title("Size against accuracy, top two layers (sample, one seed; bars: standard error)")
axes.grid(alpha=0.3)
figure.legend(loc="outside lower center", ncols=2, frameon=False)
figure.savefig(out / "09_size.png", dpi=120)
print(f"picture: {out / '09_size.png'}")

# %% [markdown]
# The claims, checked
# -------------------
# The counts are exact. Of accuracy we claim little: the adapters learn (the best of them is two
# standard errors above the majority class), and m = 8 and m = 256 differ by less than 17 points,
# three standard errors of a difference (:math:`\sqrt{2}` times that of one accuracy). That agrees
# with the paper, where size hardly matters; so few sentences cannot show more.
#
# Look at the last losses, though: in sixty steps m = 1 and m = 8 have hardly begun to learn (log 2
# is 0.69), while 64 and 256 have. A short training shows who learns fast; the paper measured who is
# good in the end.

# %%
for m, name in zip(SIZES, curve, strict=True):
    wanted = TOP * (2 * parameter_count(D, m) + 4 * D) + 2 * D + 2
    assert sizes[name] == wanted, f"m = {m}: {sizes[name]:,} trained parameters, not {wanted:,}"
assert sizes["LayerNorms and head"] == TOP * 4 * D + 2 * D + 2, sizes
assert sizes["head alone"] == 2 * D + 2 == 770, sizes
best = max(accuracy[name] for name in curve)
assert best > majority + 2 * error, f"the best adapter is at {best:.3f}, majority {majority:.3f}"
one, eight, _, largest = curve
gap = accuracy[largest] - accuracy[eight]
assert abs(gap) < 3 * math.sqrt(2) * error, f"m = 256 leads m = 8 by {gap:.3f}"
assert losses[largest] < losses[one] - 0.03, f"m = 256 should be faster than 1: {losses}"
print(f"256 and 8: {sizes[largest] / sizes[eight]:.0f} times the parameters, "
      f"{100 * gap:+.1f} points; one standard error is {100 * error:.1f}.")  # fmt: skip

# %% [markdown]
# What next
# ---------
# - Run three seeds and draw their mean. The seeds share the dev sentences: do the bars shrink?
# - Give every method a rate of 1e-3. Which point falls most? Is that the method's fault?
# - Train m = 8 for ten epochs. Does it catch up with m = 256?
# - Put all six layers in (TOP = 6; some minutes). The check then finds 768 parameters more than
#   P(m): which are they?
# - The paper's mean accuracy over eight tasks was 86.2, 85.8 and 85.7 % for m = 8, 64 and 256. How
#   many sentences does it take to see 0.4 points?
# - Count by hand what ``minibert info`` prints, then let it be checked:
#   ``minibert exercises check 10``.
#
# Next: in which layers the adapters do their work, ``10_layers.py``.
