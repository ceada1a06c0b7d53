"""
How large an adapter?
=====================

The bottleneck size m is the one number that one chooses about an adapter. It sets the cost of a
task; does it set the accuracy too? Figure 4 of the paper asks that, and so do we, on a small scale.

**You will learn** how many parameters each size trains, how accuracy depends on them, and how
little a small measurement can tell. **Time:** 15 minutes to read, less than a minute to run. **You
need to know** what is trained and how (`08_train_a_task.py <08_train_a_task.py>`_). Paper: Houlsby
et al. 2019 (`arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_), section 3.4 and figure 4.
"""

import math

import matplotlib.pyplot as plt

from adapters import method_named, top_layers, train_task
from adapters.methods.bottleneck import parameter_count
from adapters.pictures import save_picture
from adapters.progress import Progress
from adapters.show import table
from minibert import Settings, fetch_model, glue_data, load_base
from minibert.tree import count

# %% [markdown]
# A small experiment, honestly
# ----------------------------
# The paper trains every size on whole data sets, with several seeds and learning rates. We have a
# minute: the small sample that comes with this project (SST-2's format, not GLUE's sentences), one
# seed, three epochs, and adapters in the top two layers only. The output of the four layers below
# then never changes, and is computed once. ``minibert reproduce`` does the real thing, in hours.

# %%
data = glue_data("sst-2", sample="hard")
print(f"data: {data.source}; {len(data.train)} to train on, {len(data.dev)} to score on (dev)")
base = load_base(fetch_model("minilm"))
D = base.config.hidden_size
TOP = 2

# %% [markdown]
# The sizes
# ---------
# In each layer, two adapters and two LayerNorms (a gain and a bias for each of d features) are
# trained; above them, the head (two classes). For the top k layers, if they are not all of them,
# that is
#
# :math:`P(m) = k \, (2 \, (2md + d + m) + 4d) + 2d + 2`
#
# parameters. Without adapters, the LayerNorms and the head are left; without those, the head.

# %%
SIZES = (1, 8, 64, 256)
adapter_names = [f"adapters, m = {m}" for m in SIZES]
methods = {
    name: top_layers(method_named("adapters", m), TOP, base.config)
    for name, m in zip(adapter_names, SIZES, strict=True)
}
methods["LayerNorms and head"] = top_layers(method_named("norms"), TOP, base.config)
methods["head alone"] = method_named("head")

# %% [markdown]
# Training
# --------
# Each method has a learning rate that suits it: LayerNorms want a higher one than adapters, and the
# head a far higher one (`08_train_a_task.py <08_train_a_task.py>`_ says why). One rate for all
# would measure the rate.

# %%
RATES = {"norms": 1e-2, "head": 1e-1, "adapters": 3e-3}
sizes = {}
accuracy = {}
losses = {}
for name, method in methods.items():
    settings = Settings(rate=RATES[method.name], epochs=3, batch_size=16, seed=0)
    run = train_task(base, data, method, settings, on_report=Progress(name))
    sizes[name] = count(run.task.trained)
    accuracy[name] = run.epochs[-1]["accuracy"]  # not the best one: that would be chosen by dev
    losses[name] = sum(run.losses[-20:]) / 20
majority = run.constant["accuracy"]
error = math.sqrt(0.25 / len(data.dev))
total = count(base.params)
rows = [
    (
        name,
        f"{sizes[name]:,}",
        f"{100 * sizes[name] / total:.3f} %",
        f"{losses[name]:.2f}",
        f"{100 * accuracy[name]:.1f}",
    )
    for name in methods
]
print(table(rows, ("trained", "parameters", "of the base", "last loss", "dev accuracy (%)")))

# %% [markdown]
# The picture
# -----------
# The parameters span three powers of ten, so their axis is logarithmic. The bars are one standard
# error of an accuracy on n sentences, at most :math:`\sqrt{0.25 / n}`. Two methods whose bars
# overlap may well be equally good.


# %%
def draw_sizes():
    """Dev accuracy by the number of trained parameters."""
    looks = {"adapters": ("o", "#1f4e79"), "norms": ("^", "0.45"), "head": ("s", "#c55a11")}
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    curve = [(sizes[name], 100 * accuracy[name]) for name in adapter_names]
    axes.plot(*zip(*curve, strict=True), color="#1f4e79", lw=1)
    for name, method in methods.items():
        marker, colour = looks[method.name]
        point = sizes[name], 100 * accuracy[name]
        axes.errorbar(*point, 100 * error, marker=marker, color=colour, ms=8, capsize=4, lw=1)
        label = name.removeprefix("adapters, ").removesuffix(" and head")
        axes.annotate(label, point, (7, -14), textcoords="offset points")
    axes.axhline(100 * majority, color="0.4", ls=":", label="majority class")
    axes.axvline(total, color="0.4", ls="--", label="all of MiniLM")
    axes.set(xscale="log", xlim=(400, 6e7), ylim=(100 * majority - 4, None))
    axes.set(xlabel="trained parameters", ylabel="dev accuracy (%)")
    axes.set_title("Size against accuracy, top two layers (sample, one seed; bars: standard error)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    save_picture(figure, "09_size")


draw_sizes()

# %% [markdown]
# The claims, checked
# -------------------
# The counts are exact. Of accuracy we claim little: the adapters learn (the best of them is two
# standard errors above the majority class), and m = 8 and m = 256 differ by less than 17 points,
# which is three standard errors of a difference (:math:`\sqrt{2}` times that of one accuracy). That
# agrees with the paper, where size hardly matters; so few sentences cannot show more.
#
# Look at the last losses, though: in sixty steps m = 1 and m = 8 have hardly begun to learn (log 2
# is 0.69), while 64 and 256 have. A short training shows which method learns fast; the paper
# measured which is good in the end.

# %%
for m, name in zip(SIZES, adapter_names, strict=True):
    wanted = TOP * (2 * parameter_count(D, m) + 4 * D) + 2 * D + 2
    assert sizes[name] == wanted, f"m = {m}: {sizes[name]:,} trained parameters, not {wanted:,}"
assert sizes["LayerNorms and head"] == TOP * 4 * D + 2 * D + 2, sizes
assert sizes["head alone"] == 2 * D + 2 == 770, sizes
best = max(accuracy[name] for name in adapter_names)
assert best > majority + 2 * error, f"the best adapter is at {best:.3f}, majority {majority:.3f}"
one, eight, _, largest = adapter_names
gap = accuracy[largest] - accuracy[eight]
assert abs(gap) < 3 * math.sqrt(2) * error, f"m = 256 leads m = 8 by {gap:.3f}"
assert losses[largest] < losses[one] - 0.03, f"m = 256 should be faster than 1: {losses}"
more = sizes[largest] / sizes[eight]
print(f"256 and 8: {more:.0f} times the parameters, {100 * gap:+.1f} points")
print(f"one standard error: {100 * error:.1f} points")

# %% [markdown]
# What next
# ---------
# - Run three seeds and draw their mean. The seeds share the dev sentences: do the bars shrink?
# - Give every method a rate of 1e-3. Which point falls most? Is that the method's fault?
# - Train m = 8 for ten epochs. Does it catch up with m = 256?
# - Train all six layers (TOP = 6; it takes some minutes). The check then finds 768 parameters more
#   than P(m): which are they?
# - The paper's mean accuracy over eight tasks was 86.2, 85.8 and 85.7 % for m = 8, 64 and 256. How
#   many sentences does it take to see 0.4 points?
# - Count by hand what ``minibert info`` prints, and have it checked:
#   ``minibert exercises check 10``.
#
# Next: in which layers the adapters do their work, `10_layers.py <10_layers.py>`_.
