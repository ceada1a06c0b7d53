"""
Adam
====

A gradient says which way is down, not how far to go. Houlsby et al. 2019 (arXiv 1902.00751,
section 3.1) leave that to Adam, with a learning rate that first rises and then falls.

**You will learn** Adam by hand, what its bias correction does, what warm-up and decay add to it,
and why adapters would be hard to train without it. **Time:** 25 minutes to read, some seconds to
run. **You need to know** what a gradient is (``05_backward.py``) and a running mean.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.finetune import task_loss
from adapters.methods.method import split
from adapters.methods.table import method_named
from adapters.predict import encode_examples
from adapters.recipes import recipe_named
from adapters.show import table
from adapters.task_model import init_task
from minibert import load_base
from minibert.data.glue import glue_data
from minibert.fetch.models import fetch_model
from minibert.training.gradients import value_and_grads
from minibert.training.optim import Adam, adam_start, adam_step, warm_up_then_decay
from minibert.tree import leaves

# %% [markdown]
# By hand
# -------
# Gradient descent (SGD) steps by rate times gradient g. Adam (Kingma & Ba 2015, arXiv 1412.6980,
# algorithm 1) keeps two running means for every single parameter, of g and of its square,
#
# :math:`m_t = \beta_1 m_{t-1} + (1 - \beta_1) g, \quad v_t = \beta_2 v_{t-1} + (1 - \beta_2) g^2`,
#
# with :math:`\beta_1 = 0.9`, a memory of about 10 steps, and :math:`\beta_2 = 0.999`, about 1,000.
# Both start at 0 and are too small at first: had g been constant, :math:`m_t = (1 - \beta_1^t) g`.
# The **bias correction** divides that factor out, and the step is
#
# :math:`p \leftarrow p - rate \; \frac{\hat m}{\sqrt{\hat v} + \epsilon}, \quad \hat m = m_t / (1 -
# \beta_1^t), \quad \hat v = v_t / (1 - \beta_2^t)`.
#
# We try it in a valley, :math:`(x^2 + 500 y^2) / 2`, 500 times as steep across as along. SGD
# multiplies x by 1 - rate and y by 1 - 500 rate in each step: beyond a rate of 1/250 y explodes; x
# crawls. Adam divides each parameter's gradient by its usual size, so it goes along as fast as
# across, and how steep the valley is does not matter to it at all.


# %%
def adam_by_hand(slope, p, rates, correct, b1=0.9, b2=0.999, eps=1e-8):
    m, v, path = 0 * p, 0 * p, [p]
    for t, rate in enumerate(rates, start=1):
        g = slope(p)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        fix_m, fix_v = (1 - b1**t, 1 - b2**t) if correct else (1, 1)
        p = p - rate * (m / fix_m) / (np.sqrt(v / fix_v) + eps)
        path.append(p)
    return np.array(path)  # [steps + 1, parameters]


START, STEEP = np.array([-4.0, 1.0]), np.array([1, 500])
STEPS, RATE, SGD_RATE = 100, 0.1, 0.003
paths = {}
for correct, name in ((True, "Adam"), (False, "Adam without bias correction")):
    path = paths[name] = adam_by_hand(lambda p: STEEP * p, START, [RATE] * STEPS, correct)
    params, settings = {"p": START}, Adam(bias_correction=correct)
    state = adam_start(params)
    for by_hand in path[1:]:
        params, state = adam_step(params, {"p": STEEP * params["p"]}, state, RATE, settings)
        assert np.allclose(params["p"], by_hand, rtol=0, atol=1e-11), f"{name}: not the library's"
    less = adam_by_hand(lambda p: [1, 5] * p, START, [RATE] * STEPS, correct)
    assert np.allclose(less, path, rtol=0, atol=1e-6), f"{name}: steepness should not matter"
paths["SGD"] = START * (1 - SGD_RATE * STEEP) ** np.arange(STEPS + 1)[:, None]  # in closed form
longest = {name: np.abs(np.diff(path, axis=0)).max() for name, path in paths.items()}
assert longest["Adam"] < 1.1 * RATE, f"Adam's steps should be about its rate: {longest['Adam']}"
assert longest["Adam without bias correction"] > 3 * RATE, "uncorrected steps should be longer"
assert abs(paths["Adam"][-1][0]) < 0.3 < 2.9 < -paths["SGD"][-1][0], "Adam should be far ahead"

# %% [markdown]
# Warm-up and decay
# -----------------
# Without the correction the step is too long, not too short: :math:`\sqrt v` starts smaller
# than m. For a constant gradient it is :math:`(1 - 0.9^t) / \sqrt{1 - 0.999^t}` times the rate: 3.2
# in the first step, 6.6 in the twelfth, and still 1.26 after 1,000. The authors' released code has
# no correction.
#
# The rate rises linearly over the first tenth of the steps, when v knows little, and falls linearly
# to 0, so that the last steps only polish. A warm-up of a thousand steps would hide the missing
# correction; in a run as short as this one, a rate means several times as much without it.

# %%
TOTAL, PEAK = 200, 1e-3
rates = PEAK * np.array([warm_up_then_decay(step, TOTAL, TOTAL // 10) for step in range(TOTAL)])
steps = {c: -np.diff(adam_by_hand(np.ones_like, np.zeros(1), rates, c)[:, 0])
         for c in (True, False)}  # fmt: skip
t = np.arange(1, TOTAL + 1)
excess = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
for correct, length in ((True, rates), (False, rates * excess)):
    assert np.allclose(steps[correct], length, rtol=1e-6), f"steps, corrected: {correct}"
assert (np.argmax(excess) + 1, round(excess.max(), 2)) == (12, 6.57), f"{excess.max()}"
assert (rates[0], np.argmax(rates), rates.max()) == (0, 20, PEAK), "the rate's rise"

# %% [markdown]
# Why adapters want it
# --------------------
# Fresh adapters are nearly the identity (``07_the_adapter.py``), and what is nearly nothing gets
# nearly no gradient: here are the sizes (root mean square) for MiniLM and 32 sentences. One SGD
# rate cannot suit them all. Adam's first step is the rate, whatever the gradient.

# %%
GROUPS = {"head": "head.weight", "LayerNorm": "norm.weight",
          "W_up": "up.weight", "W_down": "down.weight"}  # fmt: skip
base, method = load_base(fetch_model("minilm")), method_named("adapters")
examples = glue_data("sst-2", sample=True).train[:32]
tree = init_task(base, method, recipe_named("paper"), 2, 0)
flat, labels = dict(leaves(split(tree, method)[0])), np.array([e.label for e in examples])
loss = task_loss(tree, base, method, encode_examples(base, examples, 64), labels, False)
_, grads = value_and_grads(lambda flat: loss(flat, np.arange(32), None), flat)
new, _ = adam_step(flat, grads, adam_start(flat), PEAK, Adam())
sizes = {}
for group, ending in GROUPS.items():
    mine = [path for path in flat if path.endswith(ending)]
    moves = [new[path] - flat[path] for path in mine]
    sizes[group] = [np.sqrt(np.mean(np.concatenate([array.ravel() for array in arrays]) ** 2))
                    for arrays in ([grads[path] for path in mine], moves)]  # fmt: skip
print(table([(n, f"{g:.1e}", f"{s:.2e}") for n, (g, s) in sizes.items()],
            ("", "gradient", "Adam's first step")))  # fmt: skip
gradients, firsts = np.array(list(sizes.values())).T
assert gradients.max() > 100 * gradients.min(), f"gradients of alike sizes: {sizes}"
assert np.allclose(firsts, PEAK, rtol=0.05), f"Adam's first step should be the rate: {sizes}"

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained",
                                             width_ratios=(5, 4, 3))  # fmt: skip
grid_x, grid_y = np.meshgrid(np.linspace(-4.5, 4.5, 99), np.linspace(-1.6, 1.6, 99))
heights = (grid_x**2 + 500 * grid_y**2) / 2
left.contour(grid_x, grid_y, heights, 9 * np.arange(1, 9) ** 2, colors="0.85")
for name, look in (("SGD", "k.:"), ("Adam without bias correction", "s-"), ("Adam", "o-")):
    left.plot(*paths[name].T, look, ms=3, lw=1, label=name)
left.set(xlabel="x", ylabel="y", ylim=(-1.6, 2.6), title=f"{STEPS} steps in a valley")
middle.plot(t, steps[False], label="without bias correction")
middle.plot(t, steps[True], "--", label="with it: the rate itself")
middle.set(xlabel="step", ylabel="length of the step", title="A constant gradient")
right.semilogx(gradients, list(sizes), "ks", ms=8, mfc="w", label="gradient")
right.semilogx(firsts, list(sizes), "ko", ms=8, label="Adam's first step")
right.set(xlabel="root mean square", ylim=(-0.5, 4.9), title="Fresh adapters in MiniLM")
for axes in (left, middle, right):
    axes.legend(frameon=False, loc="upper right")
out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "06_adam.png", dpi=120)
print(f"picture: {out / '06_adam.png'}")

# %% [markdown]
# What next
# ---------
# - Write them yourself: ``minibert exercises check 07`` is Adam, ``check 08`` the warm-up.
# - Take 0.0041 for SGD's rate, and 0.9 for Adam's. What breaks, and how does it look?
# - What do :math:`\beta_2 = 0.9` and no correction do? Compute the excess first.
#
# What it is that Adam trains: ``07_the_adapter.py``.
