"""
Adam
====

A gradient says which way is down, not how far to go. Houlsby et al. 2019 (`arXiv 1902.00751
<https://arxiv.org/abs/1902.00751>`_, section 3.1) leave that to Adam, with a learning rate that
first rises and then falls.

**You will learn** Adam by hand, what its bias correction does, what warm-up and decay add to it,
and why adapters would be hard to train without it. **Time:** 25 minutes to read, a few seconds to
run. **You need to know** what a gradient is (`05_backward.py <05_backward.py>`_), and what a
running mean is.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from adapters import method_named
from adapters.finetune import prepare
from adapters.pictures import save_picture
from adapters.show import table
from minibert import Settings, fetch_model, glue_data, load_base
from minibert.training.gradients import value_and_grads
from minibert.training.optim import Adam, adam_start, adam_step, warm_up_then_decay

# %% [markdown]
# By hand
# -------
# Gradient descent (SGD) steps by rate times gradient g. Adam (Kingma & Ba 2015, `arXiv 1412.6980
# <https://arxiv.org/abs/1412.6980>`_, algorithm 1) keeps two running means for every single
# parameter, of g and of its square,
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
# multiplies x by 1 - rate and y by 1 - 500 rate in each step: above a rate of 1/250 y explodes,
# while x crawls. Adam divides each parameter's gradient by its usual size. As this valley
# lies along the axes, x and y then move equally fast, and how steep it is makes no difference.
# (In a valley turned by 45 degrees it does: both parameters then have the same large gradient, and
# in as many steps Adam hardly moves along the valley.)


# %%
def adam_by_hand(slope, p, rates, correct, b1=0.9, b2=0.999, eps=1e-8):
    """The parameters before, between and after the steps: [steps + 1, parameters]."""
    m, v = 0 * p, 0 * p
    path = [p]
    for t, rate in enumerate(rates, start=1):
        g = slope(p)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        fix_m, fix_v = (1 - b1**t, 1 - b2**t) if correct else (1, 1)
        p = p - rate * (m / fix_m) / (np.sqrt(v / fix_v) + eps)
        path.append(p)
    return np.array(path)


START = np.array([-4.0, 1.0])
STEEP = np.array([1, 500])
STEPS, RATE, SGD_RATE = 100, 0.1, 0.003
paths = {}
for correct, name in ((True, "Adam"), (False, "Adam without bias correction")):
    path = adam_by_hand(lambda p: STEEP * p, START, [RATE] * STEPS, correct)
    params = {"p": START}
    state = adam_start(params)
    for by_hand in path[1:]:
        grads = {"p": STEEP * params["p"]}
        params, state = adam_step(params, grads, state, RATE, Adam(bias_correction=correct))
        assert np.allclose(params["p"], by_hand, rtol=0, atol=1e-11), f"{name}: not the library's"
    less_steep = adam_by_hand(lambda p: [1, 5] * p, START, [RATE] * STEPS, correct)
    assert np.allclose(less_steep, path, rtol=0, atol=1e-6), f"{name}: steepness should not matter"
    paths[name] = path
paths["SGD"] = START * (1 - SGD_RATE * STEEP) ** np.arange(STEPS + 1)[:, None]  # in closed form
longest = {name: np.abs(np.diff(path, axis=0)).max() for name, path in paths.items()}
assert longest["Adam"] < 1.1 * RATE, f"Adam's steps should be about its rate: {longest['Adam']}"
assert longest["Adam without bias correction"] > 3 * RATE, "uncorrected steps should be longer"
assert abs(paths["Adam"][-1][0]) < 0.3 < 2.9 < -paths["SGD"][-1][0], "Adam should be far ahead"

# %% [markdown]
# Warm-up and decay
# -----------------
# Without the correction the step is too long, not too short, because :math:`\sqrt v` is even
# further below its true size than m. For a constant gradient the step is :math:`(1 - 0.9^t) /
# \sqrt{1 - 0.999^t}` times the rate: 3.2 in the first step, 6.6 in the twelfth, and still 1.26
# after 1,000. The authors' released code has no correction.
#
# The rate rises linearly over the first tenth of the steps, while v still knows little, and then
# falls linearly to 0, so that the last steps only polish. A warm-up of a thousand steps would hide
# the missing correction; in a run as short as this one, the same rate means several times as much
# without it.

# %%
TOTAL, PEAK = 200, 1e-3
rates = PEAK * np.array([warm_up_then_decay(step, TOTAL, TOTAL // 10) for step in range(TOTAL)])
steps = {}  # bias correction or not: the length of each step
for correct in (True, False):
    path = adam_by_hand(np.ones_like, np.zeros(1), rates, correct)
    steps[correct] = -np.diff(path[:, 0])
t = np.arange(1, TOTAL + 1)
excess = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
for correct, length in ((True, rates), (False, rates * excess)):
    assert np.allclose(steps[correct], length, rtol=1e-6), f"steps, corrected: {correct}"
assert (np.argmax(excess) + 1, round(excess.max(), 2)) == (12, 6.57), f"{excess.max()}"
assert (rates[0], np.argmax(rates), rates.max()) == (0, 20, PEAK), "the rate's rise"

# %% [markdown]
# Why adapters want it
# --------------------
# The two projections of a fresh adapter are small (`07_the_adapter.py <07_the_adapter.py>`_), and
# by the chain rule the gradient of each contains the other: that of :math:`W_{up}` has the factor
# :math:`f(z W_{down})`, that of :math:`W_{down}` the factor :math:`W_{up}`. So both are small. Here
# are the sizes (root mean square) for MiniLM and 32 sentences. No single SGD rate can suit them
# all. Adam's first step is the rate, whatever the gradient.


# %%
def root_mean_square(arrays):
    """Of all their numbers together."""
    return np.sqrt(np.mean(np.concatenate([array.ravel() for array in arrays]) ** 2))


base = load_base(fetch_model("minilm"))
data = glue_data("sst-2", sample=True)
few = replace(data, train=data.train[:32])
problem = prepare(base, few, method_named("adapters"), Settings(), max_length=64).problem()
flat = problem.leaves
_, grads = value_and_grads(lambda flat: problem.loss(flat, np.arange(32), None), flat)
new, _ = adam_step(flat, grads, adam_start(flat), PEAK, Adam())

GROUPS = {
    "head": "head.weight",
    "LayerNorm": "norm.weight",
    "W_up": "up.weight",
    "W_down": "down.weight",
}
sizes = {}  # group: size of the gradient, size of the first step
for group, ending in GROUPS.items():
    own = [path for path in flat if path.endswith(ending)]
    of_gradients = root_mean_square([grads[path] for path in own])
    sizes[group] = of_gradients, root_mean_square([new[path] - flat[path] for path in own])
rows = [(name, f"{gradient:.1e}", f"{step:.2e}") for name, (gradient, step) in sizes.items()]
print(table(rows, ("", "gradient", "Adam's first step")))
gradients, firsts = np.array(list(sizes.values())).T
assert gradients.max() > 100 * gradients.min(), f"gradients of similar sizes: {sizes}"
assert np.allclose(firsts, PEAK, rtol=0.05), f"Adam's first step should be the rate: {sizes}"


def draw_valley(axes):
    """The paths of SGD and of Adam over the valley's contour lines."""
    x, y = np.meshgrid(np.linspace(-4.5, 4.5, 99), np.linspace(-1.6, 1.6, 99))
    heights = (x**2 + 500 * y**2) / 2
    axes.contour(x, y, heights, 9 * np.arange(1, 9) ** 2, colors="0.85")
    for name, look in (("SGD", "k.:"), ("Adam without bias correction", "s-"), ("Adam", "o-")):
        axes.plot(*paths[name].T, look, ms=3, lw=1, label=name)
    axes.set(xlabel="x", ylabel="y", ylim=(-1.6, 2.6), title=f"{STEPS} steps in a valley")


def draw_steps(axes):
    """The length of each step for a constant gradient."""
    axes.plot(t, steps[False], label="without bias correction")
    axes.plot(t, steps[True], "--", label="with it: the rate itself")
    axes.set(xlabel="step", ylabel="length of the step", title="A constant gradient")


def draw_sizes(axes):
    """The size of the gradients and of Adam's first step, by group."""
    axes.semilogx(gradients, list(sizes), "ks", ms=8, mfc="w", label="gradient")
    axes.semilogx(firsts, list(sizes), "ko", ms=8, label="Adam's first step")
    axes.set(xlabel="root mean square", ylim=(-0.5, 4.9), title="Fresh adapters in MiniLM")


widths = (5, 4, 3)
figure, panels = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", width_ratios=widths)
for draw, axes in zip((draw_valley, draw_steps, draw_sizes), panels, strict=True):
    draw(axes)
    axes.legend(frameon=False, loc="upper right")
save_picture(figure, "06_adam")

# %% [markdown]
# What next
# ---------
# 1. Write them yourself: ``minibert exercises check 07`` is Adam, 08 the warm-up.
# 2. Take 0.0041 as SGD's rate, and 0.9 as Adam's. What breaks, and what does it look like? (Widen
#    the picture's ``ylim``, and run it with ``python -O``, which skips the assertions.)
# 3. What do :math:`\beta_2 = 0.9` and no correction do? Work out the excess first.
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. SGD explodes: y is multiplied by 1 - 500 · 0.0041 = -1.05 in each step, so it jumps from side
#    to side, each time a little farther (132 after 100 steps). Adam's steps are nine times as long,
#    and it swings past the minimum and back; yet it arrives (-0.008, 0.003), as no step is longer
#    than about its rate.
# 3. The excess is :math:`(1 - 0.9^t) / \sqrt{1 - 0.9^t} = \sqrt{1 - 0.9^t}`: steps that are too
#    short rather than too long, 0.32 of the rate at first and 0.94 after 21 steps.
#
# .. raw:: html
#
#    </details>
#
# What Adam trains here: `07_the_adapter.py <07_the_adapter.py>`_.
