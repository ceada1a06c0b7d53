"""
Backwards
=========

Training needs the gradient of the loss with respect to millions of numbers. This is how it is
computed, and why it is cheaper when most of BERT is frozen (Houlsby et al. 2019, `arXiv 1902.00751
<https://arxiv.org/abs/1902.00751>`_).

**You will learn** what a vector-Jacobian product is, those of softmax and LayerNorm, how to check
one, what autograd does and why the order matters, and what freezing saves. **Time:** 40 minutes to
read, a few seconds to run. **You need to know** the chain rule and a layer (`03_layer.py
<03_layer.py>`_).
"""

from dataclasses import replace
from functools import partial
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from autograd.extend import VJPNode, defvjp, primitive
from autograd.tracer import trace
from autograd.util import toposort

from adapters import method_named
from adapters.finetune import prepare
from adapters.pictures import save_picture
from adapters.run_folder import RunOptions
from minibert import Settings, fetch_model, fused, glue_data, load_base, ops
from minibert.training.gradients import value_and_grads

# %% [markdown]
# What is computed
# ----------------
# Let y = f(x) be one step on the way to the loss. When the way back has reached y, it knows the
# gradient of the loss with respect to y: call it g. Each :math:`x_j` moves the loss through every
# :math:`y_i`, so by the chain rule
#
# .. math:: dx_j = \sum_i g_i \, \frac{\partial y_i}{\partial x_j}
#
# This is the vector g times the matrix of all derivatives, the Jacobian of f: a **vector-Jacobian
# product** (VJP). A step need not know its Jacobian, only this product, and that often has a short
# formula. Here are two.
#
# Softmax
# -------
# .. math:: p_i = \frac{e^{s_i}}{\sum_k e^{s_k}}
#
# The score :math:`s_j` stands in the numerator of :math:`p_j` and in every denominator. The first
# adds :math:`p_j` to the derivative of :math:`p_j`, the second adds :math:`-p_i p_j` to that of
# every :math:`p_i`. With :math:`\delta_{ij}`, which is 1 if i = j, else 0:
#
# .. math:: \frac{\partial p_i}{\partial s_j} = p_i \, (\delta_{ij} - p_j)
#
# Put into the sum above, the whole Jacobian shrinks to one mean of g, weighted by p:
#
# .. math:: ds_j = p_j \, \Big( g_j - \sum_i g_i \, p_i \Big)


# %%
def softmax_vjp(g, s):
    """[N, T], [N, T] -> [N, T]"""
    p = ops.softmax(s)
    return p * (g - np.sum(g * p, axis=-1, keepdims=True))


scores, wanted = np.array([1.0, 2.0, 0.0]), np.array([1.0, 0.0, 0.0])
p = ops.softmax(scores)
jacobian = p[:, None] * (np.eye(3) - p)  # [i, j]
print("p", p.round(3), "and its Jacobian", jacobian.round(3), sep="\n")
print("g times the Jacobian", wanted @ jacobian, "the VJP", softmax_vjp(wanted, scores), sep="\n")
assert np.allclose(wanted @ jacobian, softmax_vjp(wanted, scores), atol=1e-15), "not the VJP"

# %% [markdown]
# The numbers say it again: a higher :math:`s_0` raises :math:`p_0`, the others lower it, and all
# three together change nothing (their sum is 0), for softmax looks at differences only.
#
# LayerNorm
# ---------
# .. math:: n_i = (x_i - \mu) \, r, \qquad r = \frac{1}{\sqrt{\sigma^2 + \epsilon}}
#
# One :math:`x_j` moves every :math:`n_i` in three ways.
#
# 1. Directly, if i = j: this adds :math:`r \, \delta_{ij}`.
# 2. Through the mean. As :math:`\partial \mu / \partial x_j = 1 / D`, this adds :math:`-r / D`.
# 3. Through the variance. As :math:`\partial \sigma^2 / \partial x_j = 2 (x_j - \mu) / D`, the
#    derivative of r is :math:`-r^2 n_j / D`, and this adds :math:`-r \, n_i n_j / D`.
#
# .. math:: \frac{\partial n_i}{\partial x_j}
#     = r \, \Big( \delta_{ij} - \frac{1}{D} - \frac{n_i n_j}{D} \Big)
#
# At the end LayerNorm has a gain and a bias, y = n w + b. So h = g w is what reaches n, and
#
# .. math:: dx = r \, \big( h - \mathrm{mean}(h) - n \, \mathrm{mean}(h \, n) \big)
#
# with a mean for each of the two sums. To see that each of the three is needed, we look at the
# first numbers of dx with one, two and three of them, and at the slopes that finite steps measure.


# %%
def layer_norm_vjp(g, x, weight, eps, ways=3):
    """[N, D], [N, D], [D] -> [N, D]"""
    r = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)  # [N, 1]
    n = (x - x.mean(-1, keepdims=True)) * r  # [N, D]
    h = g * weight  # [N, D]
    terms = (h, -h.mean(-1, keepdims=True), -n * (h * n).mean(-1, keepdims=True))
    return r * sum(terms[:ways])


def slope(f, x, u, g, t):
    """Of the sum of g f(x), along the direction u, from -t to t."""
    return np.sum(g * (f(x + t * u) - f(x - t * u))) / (2 * t)


rng = np.random.default_rng(0)
x, g, u = rng.standard_normal((3, 4, 8))
weight, bias = rng.standard_normal((2, 8))
layer_norm = partial(ops.layer_norm, weight=weight, bias=bias, eps=1e-12)
for ways, name in ((1, "directly"), (2, "and the mean"), (3, "and the variance")):
    print(f"{name:17}", layer_norm_vjp(g, x, weight, 1e-12, ways)[0, :4].round(4))
corner = [np.eye(32)[j].reshape(4, 8) for j in range(4)]  # one x_j at a time
measured = np.array([slope(layer_norm, x, one, g, 1e-5) for one in corner])
print(f"{'measured':17}", measured.round(4))
assert np.allclose(measured, layer_norm_vjp(g, x, weight, 1e-12)[0, :4], atol=1e-8), measured

# %% [markdown]
# Checking a VJP
# --------------
# One number of dx after the other would be slow, and one direction says as much: the slope along a
# random direction u should be the sum of dx u. From -t to t it is measured with two errors. One
# comes from the curve, and goes with :math:`t^2`; the other comes from rounding, and goes with 1/t.
# So the error falls with t, has a least value, and rises again. A wrong formula shows at once: its
# error stays at the size of the mistake, however small t is.

# %%
GRADIENTS = {
    "softmax": (ops.softmax, softmax_vjp(g, x)),
    "LayerNorm": (layer_norm, layer_norm_vjp(g, x, weight, 1e-12)),
}
t = np.logspace(-1, -10, 28)
errors = {}
for name, (f, dx) in GRADIENTS.items():
    slopes = np.array([slope(f, x, u, g, step) for step in t])
    errors[name] = abs(slopes - np.sum(dx * u))
    power = np.polyfit(np.log(t[3:10]), np.log(errors[name][3:10]), 1)[0]
    assert abs(power - 2) < 0.05, f"{name}: the error should go with t squared, not t^{power:.2f}"
    assert errors[name].min() < 1e-9, f"{name}: off by {errors[name].min()} at the best t"

# %% [markdown]
# The tape, and its order
# -----------------------
# autograd runs a function once and records a node for every operation: its parents and its VJP. On
# the way back, each VJP adds a gradient to those of its parents. A node must wait until *all* parts
# of its gradient have come, so it comes after every node that uses it: a **topological order**.
# Take y = a + tanh(a) with a = 2x. Breadth first, a comes before tanh(a); the gradient that tanh(a)
# then has for a is lost, and dy/dx seems to be 2.


# %%
def gradient(order, root):
    """dy/dx, for the nodes from y back to the root x in some order."""
    gradients = {order[0]: 1.0}
    for node in order:
        for parent, part in zip(node.parents, node.vjp(gradients[node]), strict=True):
            gradients[parent] = gradients.get(parent, 0.0) + part
    return gradients[root]


def y_of(x):
    a = 2.0 * x
    return a + ops.tanh(a)


root = VJPNode.new_root()
_, end = trace(root, y_of, 0.3)
breadth_first = [end]
for node in breadth_first:  # which grows meanwhile
    breadth_first += [parent for parent in node.parents if parent not in breadth_first]
right = gradient(list(toposort(end)), root)
wrong = gradient(breadth_first, root)
true = 2 * (1 + 1 - np.tanh(2 * 0.3) ** 2)
assert abs(right - true) < 1e-14, f"dy/dx in topological order: {right}, not {true}"
assert abs(wrong - 2) < 1e-14, f"dy/dx breadth first: {wrong}, not 2"

# %% [markdown]
# What freezing saves
# -------------------
# A linear map y = x W takes one matrix product forwards and up to two backwards:
#
# .. math:: dx = g \, W^T, \qquad dW = x^T g
#
# A frozen W needs no dW, but it needs dx if anything *below* it is trained.
#
# On the way to the loss there are 37 linear maps: 6 in each layer of MiniLM, and the head, which
# reads the mean of the states here, and not the pooler. Adapters add 24. They need every dx, as
# the embeddings' LayerNorm is trained, but only 25 of the dW. That saves more than a quarter of
# this work, though not more than a third: the gradient still passes through every frozen layer. To
# measure it, we give BERT a linear map that counts.


# %%
def counting_linear(tally):
    """`ops.linear` that appends each product's operations to tally["y"], ["dx"] or ["dW"]."""

    def product(kind, a, b):
        tally[kind].append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return a @ b

    matmul = primitive(lambda x, weight: product("y", x, weight))
    defvjp(
        matmul,
        lambda y, x, weight: lambda g: product("dx", g, weight.T),
        lambda y, x, weight: lambda g: product("dW", x.T, g),
    )
    return lambda x, weight, bias: matmul(x, weight) + bias


base = load_base(fetch_model("minilm"))
data = glue_data("sst-2", sample=True)
sixteen = replace(data, train=data.train[:16])
uncached = RunOptions(cache=False)  # otherwise the frozen layers would be computed beforehand
EXPECTED = {"head": [37, 0, 1], "adapters": [61, 61, 25], "full": [37, 37, 37]}  # y, dx, dW
work = {}
for name, expected in EXPECTED.items():
    training = prepare(base, sixteen, method_named(name), Settings(), max_length=64, run=uncached)
    problem = training.problem()
    tally = {"y": [], "dx": [], "dW": []}
    with patch.object(fused, "linear", counting_linear(tally)):
        value_and_grads(partial(problem.loss, numbers=np.arange(16), rng=None), problem.leaves)
    numbers = [len(products) for products in tally.values()]
    assert numbers == expected, f"{name}: {numbers} products, not {expected}"
    work[name] = [sum(products) / 1e9 for products in tally.values()]  # GFLOP
assert len(set(work["full"])) == 1, "y, dx and dW should be the same work"
saved = 1 - sum(work["adapters"]) / sum(work["full"])
assert 0.25 < saved < 0.33, f"adapters save {saved:.3f} of full fine-tuning's products"


def draw_errors_and_work():
    """Left: the error of the slope by the length of the step. Right: the matrix products."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    left.loglog(t, errors["softmax"], "o-", mfc="w", label="softmax")
    left.loglog(t, errors["LayerNorm"], "s--", mfc="w", label="LayerNorm")
    left.set(xlabel="length t of the step", ylabel="error of the slope", title="VJPs by hand")
    gflop = np.array(list(work.values()))  # [method, product]
    for k, (label, shade) in enumerate((("y = x W", "0.85"), ("dx", "#7fa6c9"), ("dW", "#1f4e79"))):
        below = gflop[:, :k].sum(axis=1)
        right.barh(list(work), gflop[:, k], left=below, color=shade, label=label)
    right.set(xlabel="GFLOP of the linear maps")
    right.set(title=f"Adapters save {100 * saved:.0f} % of the work")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    save_picture(figure, "05_backward")


draw_errors_and_work()

# %% [markdown]
# What next
# ---------
# 1. Write it yourself: ``minibert exercises check 05`` is LayerNorm's VJP, 06 the loss's gradient.
# 2. Leave out the last term of ``layer_norm_vjp`` (``ways=2``): that forgets the variance. What
#    does the picture show then? (``python -O`` runs the script without its assertions.)
# 3. Scores that are all the same have p = 1/T. What is the gradient of a score then, in words?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. The assertion on the power of t fails, and LayerNorm's line is level: the error stays at 0.40
#    for every t below 0.01. No step is small enough to mend a wrong formula.
# 3. :math:`ds_j = (g_j - \mathrm{mean}(g)) / T`: how much better than the mean it is to look there.
#
# .. raw:: html
#
#    </details>
#
# With gradients one can take a step: `06_adam.py <06_adam.py>`_.
