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
# Two gradients on paper
# ----------------------
# Let y = f(x) be a step on the way to the loss, and g the gradient of the loss with respect to y.
# Its gradient with respect to x is :math:`dx_j = \sum_i g_i \, \partial y_i / \partial x_j`, a
# vector times the Jacobian of f. The sum often has a short formula: the **vector-Jacobian product**
# (VJP).
#
# *Softmax*, :math:`p_i = e^{s_i} / \sum_k e^{s_k}`. Raising :math:`s_j` raises the numerator of
# :math:`p_j` and every denominator: :math:`\partial p_i / \partial s_j = p_i (\delta_{ij} - p_j)`,
# where :math:`\delta_{ij}` is 1 if i = j, else 0. So :math:`ds_j = p_j (g_j - \sum_i g_i p_i)`.
#
# *LayerNorm*, :math:`y = n w + b` with :math:`n_i = (x_i - \mu) r, \; r = 1 / \sqrt{\sigma^2 +
# \epsilon}`. One :math:`x_j` moves every :math:`n_i`: directly, through the mean (:math:`\partial
# \mu / \partial x_j = 1/D`), and through the variance (:math:`\partial r / \partial x_j = -r^2 n_j
# / D`). So :math:`\partial n_i / \partial x_j = r (\delta_{ij} - 1/D - n_i n_j / D)`, and with h =
# g w: :math:`dx = r \, (h - \mathrm{mean}(h) - n \, \mathrm{mean}(h n))`.
#
# **Finite differences** check both. Take the sum of g y as the loss. Its slope from -t to t along a
# random direction u should be dx · u, apart from an error of order :math:`t^2` and a rounding error
# of order 1/t.


# %%
def softmax_vjp(g, s):
    """[N, T], [N, T] -> [N, T]"""
    p = ops.softmax(s)
    return p * (g - np.sum(g * p, axis=-1, keepdims=True))


def layer_norm_vjp(g, x, weight, eps):
    """[N, D], [N, D], [D] -> [N, D]"""
    r = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)  # [N, 1]
    n = (x - x.mean(-1, keepdims=True)) * r  # [N, D]
    h = g * weight  # [N, D]
    return r * (h - h.mean(-1, keepdims=True) - n * (h * n).mean(-1, keepdims=True))


def slope(f, x, u, g, t):
    """Of the sum of g f(x), along the direction u, from -t to t."""
    return np.sum(g * (f(x + t * u) - f(x - t * u))) / (2 * t)


rng = np.random.default_rng(0)
x, g, u = rng.standard_normal((3, 4, 8))
weight, bias = rng.standard_normal((2, 8))
layer_norm = partial(ops.layer_norm, weight=weight, bias=bias, eps=1e-12)
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
# the way back, each VJP adds a gradient to those of its parents. A node must wait for *all* of its
# own, so it comes after every node that uses it: a **topological order**. Take y = a + tanh(a) with
# a = 2x. Breadth first, a comes before tanh(a); the gradient that tanh(a) then has for a is lost,
# and dy/dx seems to be 2.


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
# A linear map y = x W takes one matrix product forwards and up to two backwards: :math:`dx = g W^T`
# and :math:`dW = x^T g`. A frozen W needs no dW, but it needs dx if anything *below* it is trained.
#
# MiniLM has 38 linear maps: 6 in each layer, pooler and head. Adapters add 24. They need every dx,
# as the embeddings' LayerNorm is trained, but only 25 of the dW. That saves more than a quarter of
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
data = glue_data("sst-2", sample="hard")
sixteen = replace(data, train=data.train[:16])
uncached = RunOptions(cache=False)  # otherwise the frozen layers would be computed beforehand
EXPECTED = {"head": [38, 0, 1], "adapters": [62, 62, 25], "full": [38, 38, 38]}  # y, dx, dW
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
# - Write it yourself: ``minibert exercises check 05`` is LayerNorm's VJP, 06 the loss's gradient.
# - Leave out the last term of ``layer_norm_vjp``: that forgets the variance. What does the picture
#   show then?
# - With gradients one can take a step: `06_adam.py <06_adam.py>`_.
