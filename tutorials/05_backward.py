"""
Backwards
=========

Training needs the gradient of the loss with respect to millions of numbers. This is how it is
computed, and why freezing most of BERT (Houlsby et al. 2019, arXiv 1902.00751) makes it cheaper.

**You will learn** what a vector-Jacobian product is, those of softmax and LayerNorm, how to check
one, what autograd does and why the order matters, and what freezing saves. **Time:** 40 minutes to
read, some seconds to run. **You need to know** the chain rule and a layer (``03_layer.py``).
"""

import os
from functools import partial
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from autograd.extend import VJPNode, defvjp, primitive
from autograd.tracer import trace
from autograd.util import toposort

from adapters.finetune import task_loss
from adapters.methods.method import split
from adapters.methods.table import method_named
from adapters.predict import encode_examples
from adapters.recipes import recipe_named
from adapters.task_model import init_task
from minibert import fused, load_base, ops
from minibert.data.glue import glue_data
from minibert.fetch.models import fetch_model
from minibert.training.gradients import value_and_grads
from minibert.tree import leaves

# %% [markdown]
# Two gradients on paper
# ----------------------
# Let y = f(x) be a step on the way to the loss, and g the loss's gradient with respect to y. That
# with respect to x is :math:`dx_j = \sum_i g_i \, \partial y_i / \partial x_j`, a vector times f's
# Jacobian. The sum is often a short formula: the **vector-Jacobian product** (VJP).
#
# *Softmax*, :math:`p_i = e^{s_i} / \sum_k e^{s_k}`. Raising :math:`s_j` raises the numerator of
# :math:`p_j` and every denominator: :math:`\partial p_i / \partial s_j = p_i (\delta_{ij} - p_j)`,
# where :math:`\delta_{ij}` is 1 for i = j and else 0. So :math:`ds_j = p_j (g_j - \sum_i g_i p_i)`.
#
# *LayerNorm*, :math:`y = n w + b` with :math:`n_i = (x_i - \mu) r, \; r = 1 / \sqrt{\sigma^2 +
# \epsilon}`. One :math:`x_j` moves all :math:`n_i`: by itself, by the mean (:math:`\partial \mu /
# \partial x_j = 1/D`) and by the variance (:math:`\partial r / \partial x_j = -r^2 n_j / D`). So
# :math:`\partial n_i / \partial x_j = r (\delta_{ij} - 1/D - n_i n_j / D)`, and with h = g w
# :math:`dx = r \, (h - \mathrm{mean}(h) - n \, \mathrm{mean}(h n))`.
#
# **Finite differences** check both: the slope of the loss, here the sum of g y, from -t to t along
# a random direction u should be dx · u, but for errors of :math:`t^2` and of rounding / t.


# %%
def softmax_vjp(g, s):  # [N, T], [N, T] -> [N, T]
    p = ops.softmax(s)
    return p * (g - np.sum(g * p, axis=-1, keepdims=True))


def layer_norm_vjp(g, x, weight, eps):  # [N, D], [N, D], [D] -> [N, D]
    r = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)  # [N, 1]
    n, h = (x - x.mean(-1, keepdims=True)) * r, g * weight  # [N, D]
    return r * (h - h.mean(-1, keepdims=True) - n * (h * n).mean(-1, keepdims=True))


rng = np.random.default_rng(0)
(x, g, u), (weight, bias) = rng.standard_normal((3, 4, 8)), rng.standard_normal((2, 8))
norm = partial(ops.layer_norm, weight=weight, bias=bias, eps=1e-12)
GRADIENTS = {"softmax": (ops.softmax, softmax_vjp(g, x)),
             "LayerNorm": (norm, layer_norm_vjp(g, x, weight, 1e-12))}  # fmt: skip
t, errors = np.logspace(-1, -10, 28), {}
for name, (f, dx) in GRADIENTS.items():
    slopes = np.array([np.sum(g * (f(x + k * u) - f(x - k * u))) / (2 * k) for k in t])
    errors[name] = abs(slopes - np.sum(dx * u))
    power = np.polyfit(np.log(t[3:10]), np.log(errors[name][3:10]), 1)[0]
    assert abs(power - 2) < 0.05, f"{name}: the error should go with t squared, not t^{power:.2f}"
    assert errors[name].min() < 1e-9, f"{name}: off by {errors[name].min()} at the best t"

# %% [markdown]
# The tape, and its order
# -----------------------
# autograd runs a function once and records a node for every operation: its parents and its VJP.
# Going back, each VJP adds a gradient to its parents'. A node must wait for *all* of its own, so it
# comes after every node that uses it: a **topological order**. Take y = a + tanh(a) with a = 2x:
# breadth first, a comes before tanh(a); what that then has for a is lost, and dy/dx seems to be 2.

# %%
root, at = VJPNode.new_root(), 0.3
_, end = trace(root, lambda x: (lambda a: a + ops.tanh(a))(2.0 * x), at)
true = 2 * (1 + 1 - np.tanh(2 * at) ** 2)
breadth_first = [end]
for node in breadth_first:  # which grows meanwhile
    breadth_first += [parent for parent in node.parents if parent not in breadth_first]
for order, expected in ((toposort(end), true), (breadth_first, 2.0)):
    gradients = {end: 1.0}
    for node in order:
        for parent, part in zip(node.parents, node.vjp(gradients[node]), strict=True):
            gradients[parent] = gradients.get(parent, 0.0) + part
    assert abs(gradients[root] - expected) < 1e-14, f"dy/dx: {gradients[root]}, not {expected}"

# %% [markdown]
# What freezing saves
# -------------------
# A linear map y = x W takes one product forwards and up to two backwards: :math:`dx = g W^T` and
# :math:`dW = x^T g`. For a frozen W there is no dW; dx is needed if something *below* is trained.
# MiniLM has 38 linear maps, 6 in each layer, pooler and head; adapters add 24. They take every dx,
# as the embeddings' LayerNorm is trained, but only 25 dW. That saves over a quarter of this work,
# not more: the gradient passes through every frozen layer. We lend BERT a linear map that counts.


# %%
def product(kind, a, b):
    tally[kind].append(2 * a.shape[0] * a.shape[1] * b.shape[1])
    return a @ b


counting = primitive(lambda x, weight: product("y", x, weight))
defvjp(counting, lambda y, x, weight: lambda g: product("dx", g, weight.T),
       lambda y, x, weight: lambda g: product("dW", x.T, g))  # fmt: skip
base, examples = load_base(fetch_model("minilm")), glue_data("sst-2", sample=True).train[:16]
encoded, labels = encode_examples(base, examples, 64), np.array([e.label for e in examples])
EXPECTED = {"head": [38, 0, 1], "adapters": [62, 62, 25], "full": [38, 38, 38]}  # y, dx, dW
work = {}
for name, expected in EXPECTED.items():
    method = method_named(name)
    tree = init_task(base, method, recipe_named("paper"), 2, 0)
    loss = task_loss(tree, base, method, encoded, labels, False)
    tally = {"y": [], "dx": [], "dW": []}
    with patch.object(fused, "linear", lambda x, weight, bias: counting(x, weight) + bias):
        trained = dict(leaves(split(tree, method)[0]))
        value_and_grads(partial(loss, numbers=np.arange(16), rng=None), trained)
    numbers = [len(products) for products in tally.values()]
    assert numbers == expected, f"{name}: {numbers} products, not {expected}"
    work[name] = [sum(products) / 1e9 for products in tally.values()]  # GFLOP
assert len(set(work["full"])) == 1, "y, dx and dW should be the same work"
saved = 1 - sum(work["adapters"]) / sum(work["full"])
assert 0.25 < saved < 0.33, f"adapters save {saved:.3f} of full fine-tuning's products"

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
left.loglog(t, errors["softmax"], "o-", mfc="w", label="softmax")
left.loglog(t, errors["LayerNorm"], "s--", mfc="w", label="LayerNorm")
left.set(xlabel="length t of the step", ylabel="error of the slope", title="VJPs by hand")
gflop = np.array(list(work.values()))  # [method, product]
for k, (label, shade) in enumerate((("y = x W", "0.85"), ("dx", "#7fa6c9"), ("dW", "#1f4e79"))):
    right.barh(list(work), gflop[:, k], left=gflop[:, :k].sum(1), color=shade, label=label)
right.set(xlabel="GFLOP of the linear maps", title=f"Adapters save {100 * saved:.0f} % of the work")
figure.legend(loc="outside lower center", ncols=5, frameon=False)
out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "05_backward.png", dpi=120)
print(f"picture: {out / '05_backward.png'}")

# %% [markdown]
# What next
# ---------
# - Write it yourself: ``minibert exercises check 05`` is LayerNorm's VJP, 06 the loss's gradient.
# - Leave the last term out of ``layer_norm_vjp``: that forgets the variance. What is drawn then?
# - With gradients one can take a step: ``06_adam.py``.
