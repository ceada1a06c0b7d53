"""
Fast
====

``minibert.ops`` is BERT as one would write it down; ``minibert.fused`` computes the same numbers in
a fraction of the time. Both are NumPy. What makes the difference?

**You will learn** what bounds a computation (the roofline), why fusing elementwise work pays and
rewriting matrix products does not, and what is saved by having no padding. **Time:** 25 minutes to
read, a few seconds to run. **You need to know** what a VJP is, and autograd's tape (`05_backward.py
<05_backward.py>`_). The adapters are those of Houlsby et al. 2019 (`arXiv 1902.00751
<https://arxiv.org/abs/1902.00751>`_), section 2.1.
"""

import time
from functools import partial
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from autograd import make_vjp
from autograd.core import VJPNode
from autograd.tracer import trace
from autograd.util import toposort

from adapters.methods.bottleneck import bottleneck, init_adapter
from adapters.pictures import save_picture
from minibert import encode_texts, fetch_model, fused, glue_data, load_base, make_batch, ops
from minibert.fetch.datasets import find_task
from minibert.machine.threads import one_blas_thread

# %% [markdown]
# The roofline
# ------------
# A processor does P operations a second and fetches B bytes a second from memory. Work that does I
# operations for every byte it has to move (its **arithmetic intensity**) does at best
# :math:`\min(P, \; I B)` operations a second (Williams et al. 2009).
#
# A product [N, K] @ [K, M] does 2NKM operations on 4 (NK + KM + NM) bytes of float32: the larger it
# is, the more operations for each byte. Adding two arrays does 1 for 12 bytes. So a product is
# bound by P once it has many rows, and everything elementwise is bound by B (both measured here for
# one core). GELU is drawn as if it moved 8 bytes a number. Fused, it does, and stays below the roof
# because tanh, which we count as one operation, is many to the processor. In ``ops`` each of its
# steps goes to memory and back, so it does far fewer operations for each byte than is drawn.


# %%
def seconds(work, rounds=4):
    """The shortest of some runs: whatever else the machine does can only add to the time."""
    return min(repeat(work, timer=time.process_time, number=1, repeat=rounds))


def product_point(rows, weights):
    """[rows, K] @ [K, M], each with another weight: (operations for each byte, GFLOP/s)."""
    K, M = weights[0].shape
    x = random((rows, K))
    taken = seconds(lambda: [x @ weight for weight in weights]) / len(weights)
    operations = 2 * rows * K * M
    return operations / (4 * (rows * K + K * M + rows * M)), operations / taken / 1e9


def gelu_point(gelu, x):
    """GELU of an array: (operations for each byte, GFLOP/s), tanh being one operation."""
    operations = 9 * x.size
    return operations / (8 * x.size), operations / seconds(lambda: gelu(x)) / 1e9


rng = np.random.default_rng(0)
random = partial(rng.standard_normal, dtype=np.float32)
K, M, N = 384, 1536, 1024  # MiniLM's feed-forward layer, and some tokens
weights = [random((M, K)).T for _ in range(24)]  # 57 MB, so that each comes from memory
large = random((2048, 768))
wide = random((768, 3072))
one, two, three = (np.ones(1 << 23, np.float32) for _ in range(3))  # 34 MB each, beyond caches
with one_blas_thread:
    peak = 2 * 2048 * 768 * 3072 / seconds(lambda: large @ wide) / 1e9
    bandwidth = 12 * one.size / seconds(lambda: np.add(one, two, out=three)) / 1e9
    points = {f"product, N = {rows}": product_point(rows, weights) for rows in (1, 8, 64, N)}
    features = random((4 * N, M))
    points["GELU, ops"] = gelu_point(ops.gelu_tanh, features)
    points["GELU, fused"] = gelu_point(fused.gelu_tanh, features)
print(f"one core: {peak:.0f} GFLOP/s; memory: {bandwidth:.1f} GB/s")
grown = points["product, N = 1024"][0] / points["product, N = 1"][0]
assert grown > 200, f"a product of 1,024 rows has only {grown:.0f} times the intensity of one row's"


def draw_roofline():
    """The roof, and what was measured below it."""
    figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
    intensity = np.logspace(-1.5, 3.3, 100)
    axes.loglog(intensity, np.minimum(peak, intensity * bandwidth), "k")
    for name, point in points.items():
        axes.plot(*point, "^" if "GELU" in name else "o", color="#1f4e79", ms=8)
        axes.annotate(name, point, (8, -12), textcoords="offset points")
    axes.set(xlabel="operations for each byte", ylabel="GFLOP/s", title="One core's roofline")
    save_picture(figure, "15_fast")


draw_roofline()

# %% [markdown]
# What fusing does
# ----------------
# In ``ops`` each elementwise step writes a new array to memory, which the next one reads back, and
# autograd then does the same for the gradient. ``fused`` makes one operation of them, in blocks
# that stay in the cache, with a VJP derived by hand. It must be the same function: values and
# gradients are compared. A product stays what it is, as BLAS already comes near P.


# %%
def there_and_back(level, function, arrays):
    """The function's value, and a gradient for each array."""
    vjp, y = make_vjp(partial(function, level), tuple(range(len(arrays))))(*arrays)
    return y, *vjp(np.cos(y))  # any gradient of y will do


def tape_length(level):
    """The operations on autograd's tape of one GELU."""
    _, end = trace(VJPNode.new_root(), level.gelu_tanh, random((2, 2)))
    return len(list(toposort(end))) - 1  # without the input


on_tape = [tape_length(level) for level in (ops, fused)]
assert on_tape == [9, 1], f"operations on the tape of GELU, in ops and fused: {on_tape}"

lengths = np.full(32, N // 32)
adapter = init_adapter(rng, K, 64, std=0.01)
x, y, z = random((3, N, K))
features = random((N, M))
CASES = {  # name: a function of a level and arrays, and the arrays
    "linear": (lambda level, *arrays: level.linear(*arrays), (x, weights[0], random(M))),
    "adapter": (lambda level, z: bottleneck(adapter, z, "gelu_tanh", level), (z,)),
    "attention": (lambda level, *qkv: level.attention(*qkv, lengths, lengths, 12), (x, y, z)),
    "add_layer_norm": (
        lambda level, *arrays: level.add_layer_norm(*arrays, 1e-12),
        (x, z, random(K), random(K)),
    ),
    "gelu": (lambda level, x: level.gelu(x), (features,)),  # ops: Python's erf, one by one
    "gelu_tanh": (lambda level, x: level.gelu_tanh(x), (features,)),
}
print("forwards and backwards, ops -> fused")
with one_blas_thread:
    for name, (function, arrays) in CASES.items():
        both = [partial(there_and_back, level, function, arrays) for level in (ops, fused)]
        pairs = list(zip(both[0](), both[1](), strict=True))
        gap = max(float(abs(a - b).max() / abs(a).max()) for a, b in pairs)  # rounding: 6e-8
        assert gap < 3e-6, f"{name}: fused differs from ops by {gap} of the largest number"
        assert all(a.dtype == b.dtype == np.float32 for a, b in pairs), f"{name}: not float32"
        plain, fast = (1000 * seconds(run, rounds=2) for run in both)
        print(f"{name:15} {plain:6.1f} -> {fast:5.1f} ms: {plain / fast:4.1f} times as fast")

# %% [markdown]
# No padding
# ----------
# The fastest work is the work that is not done. Many libraries pad all sentences of a batch to the
# length of the longest, and mask what they have added. Here a batch is its sentences end to end,
# and each has the same states in company as alone (`02_attention.py <02_attention.py>`_).

# %%
real = find_task("sst-2") is not None
data = glue_data("sst-2", sample=not real)
print(f"data: {data.source}; its first {len(data.train[:1024]):,} training sentences")
base = load_base(fetch_model("minilm"))
encoded = encode_texts(base.tokenizer, [e.text for e in data.train[:1024]], max_length=128)
sizes = np.array([len(e.ids) for e in encoded])
longest = sizes.reshape(-1, 32).max(axis=1)  # of each batch of 32
padded = 32 * longest.sum() / sizes.sum()
print(f"tokens computed for each real one: here 1, padded to the batch's longest {padded:.2f}")
assert len(make_batch(encoded).ids) == sizes.sum(), "a batch should hold real tokens alone"
low, high = (3.0, 3.2) if real else (1.4, 1.7)  # the lengths vary more in SST-2 than in the sample
assert low < padded < high, f"tokens computed for each real one: {padded:.2f}"

# %% [markdown]
# What next
# ---------
# 1. How fast are whole trainings, and which part of one costs most? The documentation's page on
#    `performance <../docs/performance.md>`_ has figures; ``make bench``, in a
#    checkout, measures yours.
# 2. Derive one yourself: ``minibert exercises check 05`` is LayerNorm's VJP, 03 GELU.
# 3. Set BLOCK in ``minibert/fused/activations.py`` to 1 << 30. What becomes of GELU, and why?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 3. It took 23 ms instead of 12 for 4,096 rows of 1,536. All its steps then run over the whole
#    array, so each reads from memory what the one before has written there. A block of 65,536
#    numbers stays in the cache from the first step to the last.
#
# .. raw:: html
#
#    </details>
#
# Next: other ways to train few of many parameters, `16_beyond.py <16_beyond.py>`_.
