"""
Backwards
=========

Training needs the gradient of one number, the loss, with respect to millions. This is how it is
computed, and why freezing most of BERT (Houlsby et al. 2019, arXiv 1902.00751) makes it cheaper.

**You will learn** what a vector-Jacobian product is, those of softmax and LayerNorm, how to check
one, what autograd does and why the order matters, and what freezing saves. **Time:** 40 minutes
to read, some seconds to run. **You need to know** the chain rule, softmax and LayerNorm.
"""

import os
import time
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from autograd import make_vjp
from autograd.core import VJPNode
from autograd.extend import defvjp, primitive
from autograd.tracer import trace
from autograd.util import toposort

from adapters.finetune import task_loss
from adapters.predict import encode_examples
from adapters.recipes import recipe_named
from adapters.show import table
from adapters.task_model import init_task
from adapters.tuning import method_named, split, top_layers
from minibert import fused, load_base, ops
from minibert.datasets import glue_data
from minibert.differentiate import value_and_grads
from minibert.optim import Adam, adam_start, adam_step
from minibert.tree import count, leaves
from minibert.weights import fetch_model

# %% [markdown]
# Two gradients on paper
# ----------------------
# Let y = f(x) be a step on the way to the loss, and g the gradient of the loss with respect to y,
# which we have already. The one with respect to x is :math:`dx_j = \sum_i g_i \, \partial y_i /
# \partial x_j`: a vector times f's Jacobian. For a row of 384 numbers the Jacobian has 147,456
# entries, but the sum is often a short formula, the **vector-Jacobian product** (VJP).
#
# *Softmax*, :math:`p_i = e^{s_i} / \sum_k e^{s_k}`. Raising :math:`s_j` raises the numerator of
# :math:`p_j` and every denominator: :math:`\partial p_i / \partial s_j = p_i (\delta_{ij} - p_j)`,
# where :math:`\delta_{ij}` is 1 for i = j and else 0. So :math:`ds_j = p_j (g_j - \sum_i g_i p_i)`.
#
# *LayerNorm*, :math:`y = n w + b` with :math:`n_i = (x_i - \mu) r, \; r = 1 / \sqrt{\sigma^2 +
# \epsilon}`. One :math:`x_j` moves all :math:`n_i`: by itself, by the mean (:math:`\partial \mu /
# \partial x_j = 1/D`), by the variance (:math:`\partial \sigma^2 / \partial x_j = 2 (x_j - \mu) /
# D`, so :math:`\partial r / \partial x_j = -r^2 n_j / D`). In all :math:`\partial n_i / \partial
# x_j = r (\delta_{ij} - 1/D - n_i n_j / D)`, and with h = g w, the gradient with respect to n,
#
# :math:`dx = r \, (h - \mathrm{mean}(h) - n \, \mathrm{mean}(h n))`.


# %%
def softmax_vjp(g, s):  # [N, T], [N, T] -> [N, T]
    p = ops.softmax(s)
    return p * (g - np.sum(g * p, axis=-1, keepdims=True))


def layer_norm_vjp(g, x, weight, eps):  # [N, D], [N, D], [D] -> [N, D]
    r = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)  # [N, 1]
    n, h = (x - x.mean(-1, keepdims=True)) * r, g * weight  # [N, D]
    return r * (h - h.mean(-1, keepdims=True) - n * (h * n).mean(-1, keepdims=True))


# %% [markdown]
# **Finite differences** check them, knowing nothing of derivatives: step along a random direction u
# by t, forwards and back, and see what the loss, here the sum of g y, does; the gradient says that
# its slope is dx · u. They are wrong by some third derivative times :math:`t^2`, and by the loss's
# rounding over t; best is a t in between, and float64. A third formula, which forgets the
# variance, shows what a mistake looks like.

# %%
rng = np.random.default_rng(0)
(x, g, u), (weight, bias) = rng.standard_normal((3, 4, 8)), rng.standard_normal((2, 8))
forgotten = (g * weight - (g * weight).mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
plain, fast = (lambda x, m=m: m.layer_norm(x, weight, bias, 1e-12) for m in (ops, fused))
GRADIENTS = {"softmax": (ops.softmax, softmax_vjp(g, x), "o-"),
             "LayerNorm": (plain, layer_norm_vjp(g, x, weight, 1e-12), "s--"),
             "variance forgotten": (plain, forgotten, "k:")}  # fmt: skip
t, errors = np.logspace(-1, -10, 28), {}
for name, (f, dx, _) in GRADIENTS.items():
    slopes = np.array([np.sum(g * (f(x + k * u) - f(x - k * u))) / (2 * k) for k in t])
    errors[name] = abs(slopes - np.sum(dx * u))
for name, f in (("softmax", ops.softmax), ("LayerNorm", plain), ("LayerNorm", fast)):
    power = np.polyfit(np.log(t[3:10]), np.log(errors[name][3:10]), 1)[0]
    assert abs(power - 2) < 0.05, f"{name}: the error should go with t squared, not t^{power:.2f}"
    assert errors[name].min() < 1e-9, f"{name}: off by {errors[name].min()} at the best t"
    gap = abs(make_vjp(f)(x)[0](g) - GRADIENTS[name][1]).max()  # from autograd's, and from fused's
    assert gap < 1e-13, f"{name}: {gap} from the library's gradient"
assert errors["variance forgotten"].min() > 0.1, "the wrong formula was not found out"

# %% [markdown]
# The tape, and its order
# -----------------------
# autograd runs a function once and records a node for every operation: its parents and its VJP.
# Then it goes back from the loss: each VJP passes a gradient on to the parents, and where several
# meet they are added. A node must wait for *all* of its gradient, so it comes after every node that
# uses it: a **topological order**. It matters wherever there is a skip connection::
#
#     x --> a = 2x --------------> y = a + tanh(a)
#                 \--> tanh(a) --/
#
# Breadth first, y's parents come next: a, before tanh(a), which has a share for it still to come.


# %%
def breadth_first(end):
    order = [end]
    for node in order:  # which grows meanwhile
        order += [parent for parent in node.parents if parent not in order]
    return order


root, at, found = VJPNode.new_root(), 0.3, []
_, end = trace(root, lambda x: (lambda a: a + ops.tanh(a))(2.0 * x), at)
for order in (toposort(end), breadth_first(end)):
    gradients = {end: 1.0}
    for node in order:
        for parent, part in zip(node.parents, node.vjp(gradients[node]), strict=True):
            gradients[parent] = gradients.get(parent, 0.0) + part
    found.append(gradients[root])
true = 2 * (1 + 1 - np.tanh(2 * at) ** 2)
print(f"dy/dx is {true:.6f}; topological order {found[0]:.6f}, breadth first {found[1]:.6f}")
assert abs(found[0] - true) < 1e-14, f"dy/dx is {true}, not {found[0]}"
assert found[1] == 2.0, f"breadth first should lose the path through tanh: {found[1]}"

# %% [markdown]
# What freezing saves
# -------------------
# A linear map y = x W takes one product forwards and up to two backwards: :math:`dx = g W^T` and
# :math:`dW = x^T g`. For a frozen W there is no dW, and dx is needed only if something *below* is
# trained. We lend BERT a linear map that counts, and take a step with each of four methods. (What
# attention multiplies without weights is not counted.)

# %%
tally = {}


def product(kind, a, b):
    number, work = tally.get(kind, (0, 0))
    tally[kind] = number + 1, work + 2 * a.shape[0] * a.shape[1] * b.shape[1]
    return a @ b


counting = primitive(lambda x, weight, bias: product("y", x, weight) + bias)
defvjp(counting, lambda y, x, weight, bias: lambda g: product("dx", g, weight.T),
       lambda y, x, weight, bias: lambda g: product("dW", x.T, g),
       lambda y, x, weight, bias: lambda g: g.sum(0))  # fmt: skip
base, examples = load_base(fetch_model("minilm")), glue_data("sst-2", sample=True).train[:16]
encoded = encode_examples(base, examples, 64)
labels, all_16 = np.array([e.label for e in examples]), np.arange(16)
head, adapters, full = (method_named(name) for name in ("head", "adapters", "full"))
methods = {"head": head, "top adapters": top_layers(adapters, 1, base.config),
           "adapters": adapters, "full": full}  # fmt: skip
counted, rows = {}, []
for name, method in methods.items():
    tree = init_task(base, method, recipe_named("paper"), 2, 0)
    flat, seconds = dict(leaves(split(tree, method)[0])), []
    loss = task_loss(tree, base, method, encoded, labels, False)
    for linear in (counting, *[fused.linear] * 3):
        begun = time.process_time()
        with patch.object(fused, "linear", linear):
            _, grads = value_and_grads(lambda flat, loss=loss: loss(flat, all_16, None), flat)
        adam_step(flat, grads, adam_start(flat), 1e-4, Adam())
        seconds.append(time.process_time() - begun)
    counted[name] = [tally.pop(kind, (0, 0)) for kind in ("y", "dx", "dW")]
    rows.append((name, f"{count(flat):,}", *(number for number, _ in counted[name]),
                 f"{1000 * min(seconds):.0f}"))  # fmt: skip
print(table(rows, ("trained", "parameters", "y", "dx", "dW", "processor ms a step")))

# %% [markdown]
# By hand: 6 linear maps in each of 6 layers, pooler and head are 38; adapters add 24. The head
# alone takes no dx. Adapters in the top layer: 4 dW and the head's; dx for the second adapter and
# the feed-forward (2 + 2), the first adapter's upper half, pooler and head: 7. All adapters: every
# dx, as the embeddings' LayerNorm is trained, but 25 dW only. So they save over a quarter of this
# work, not more, for the gradient passes through every frozen layer; and nearly all of Adam's.

# %%
expected = {"head": [38, 0, 1], "top adapters": [42, 7, 5], "adapters": [62, 62, 25],
            "full": [38, 38, 38]}  # fmt: skip
for name, numbers in expected.items():
    assert [n for n, _ in counted[name]] == numbers, f"{name}: {counted[name]}, not {numbers}"
assert len({work for _, work in counted["full"]}) == 1, "y, dx and dW should be the same work"
saved = 1 - sum(work for _, work in counted["adapters"]) / sum(w for _, w in counted["full"])
assert 0.25 < saved < 0.33, f"adapters save {saved:.3f} of full fine-tuning's products"

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for name, (_, _, look) in GRADIENTS.items():
    left.loglog(t, errors[name], look, mfc="w", label=name)
left.set(xlabel="length t of the step", ylabel="difference of the slopes", ylim=(1e-13, 1e4))
left.set_title("VJPs by hand against finite differences, float64")
start = np.zeros(4)
for k, (label, shade) in enumerate((("y = x W", "0.85"), ("dx", "#7fa6c9"), ("dW", "#1f4e79"))):
    gflop = np.array([counted[name][k][1] / 1e9 for name in expected])
    right.barh(list(expected), gflop, left=start, color=shade, hatch=["", "//", ""][k], label=label)
    start += gflop
right.set(xlabel=f"GFLOP of the linear maps in a step, {sum(len(e.ids) for e in encoded)} tokens")
right.set_title("What freezing saves (MiniLM)")
for axes, place in ((left, "upper left"), (right, "lower right")):
    axes.legend(frameon=False, loc=place, ncols=2 if axes is left else 1)
out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "05_backward.png", dpi=120)
print(f"picture: {out / '05_backward.png'}")

# %% [markdown]
# What next
# ---------
# - Write it yourself: ``minibert exercises check 05`` is LayerNorm's VJP, 06 the loss's gradient.
# - Which products would be left if the LayerNorms were frozen as well? Count before you try.
#
# With gradients one can take a step: ``06_adam.py``.
