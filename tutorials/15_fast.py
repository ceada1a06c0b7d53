"""
Fast
====

``minibert.ops`` is BERT as one would write it down; ``minibert.fused`` computes the same numbers
in a fraction of the time. Both are NumPy. What makes the difference?

**You will learn** what bounds a computation (the roofline), why fusing elementwise work pays and
rewriting matrix products does not, and what it saves to have no padding. **Time:** 25 minutes to
read, some seconds to run. **You need to know** what a VJP is, and autograd's tape
(``05_backward.py``). The adapters are those of Houlsby et al. 2019 (arXiv 1902.00751), section 2.1.
"""

import os
import time
from functools import partial
from pathlib import Path
from timeit import repeat

import matplotlib.pyplot as plt
import numpy as np
from autograd import make_vjp
from autograd.core import VJPNode
from autograd.tracer import trace
from autograd.util import toposort

from adapters.methods.bottleneck import bottleneck, init_adapter
from minibert import encode_texts, fused, load_base, make_batch, ops
from minibert.data.glue import glue_data
from minibert.fetch.datasets import find_task
from minibert.fetch.models import fetch_model
from minibert.machine.threads import one_blas_thread

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The roofline
# ------------
# A processor does P operations a second and fetches B bytes a second from memory. Work that does I
# operations for every byte it has to move (its **arithmetic intensity**) does at best
# :math:`\min(P, \; I B)` operations a second (Williams et al. 2009).
#
# A product [N, K] @ [K, M] does 2NKM operations on 4 (NK + KM + NM) bytes of float32: the larger it
# is, the more for each byte. Adding two arrays does 1 for 12 bytes. So a product is bound by P once
# its rows are many, and everything elementwise by B (measured here for one core). GELU stays below
# the roof, as tanh is one operation to us but many to the processor; fused, it comes nearer.


# %%
def seconds(work, rounds=4):  # the least: what else the machine does can only add to it
    return min(repeat(work, timer=time.process_time, number=1, repeat=rounds))


rng = np.random.default_rng(0)
random = partial(rng.standard_normal, dtype=np.float32)
K, M, N = 384, 1536, 1024  # MiniLM's feed-forward layer, and some tokens
large, wide = random((2048, 768)), random((768, 3072))
one, two, three = (np.ones(1 << 23, np.float32) for _ in range(3))  # 34 MB each, beyond caches
weights = [random((M, K)).T for _ in range(24)]  # 57 MB, so that each comes from memory
points = {}  # {what: (operations for each byte, GFLOP/s)}
with one_blas_thread:
    peak = 2 * 2048 * 768 * 3072 / seconds(lambda: large @ wide) / 1e9
    bandwidth = 12 * one.size / seconds(lambda: np.add(one, two, out=three)) / 1e9
    for rows in (1, 8, 64, N):
        x, work = random((rows, K)), 2 * rows * K * M
        taken = seconds(lambda x=x: [x @ weight for weight in weights]) / 24
        intensity = work / (4 * (rows * K + K * M + rows * M))
        points[f"product, N = {rows}"] = intensity, work / taken / 1e9
    x = random((4 * N, M))
    for name, gelu in (("ops", ops.gelu_tanh), ("fused", fused.gelu_tanh)):
        taken = seconds(lambda gelu=gelu: gelu(x))
        points[f"GELU, {name}"] = 9 / 8, 9 * x.size / taken / 1e9  # tanh being one operation
print(f"one core: {peak:.0f} GFLOP/s; memory: {bandwidth:.1f} GB/s")
grown = points["product, N = 1024"][0] / points["product, N = 1"][0]
assert grown > 200, f"a product of 1,024 rows has only {grown:.0f} times the intensity of one row's"

figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
reach = np.logspace(-1.5, 3.3, 100)
axes.loglog(reach, np.minimum(peak, reach * bandwidth), "k")
for name, point in points.items():
    axes.plot(*point, "^" if "GELU" in name else "o", color="#1f4e79", ms=8)
    axes.annotate(name, point, (8, -12), textcoords="offset points")
axes.set(xlabel="operations for each byte", ylabel="GFLOP/s", title="One core's roofline")
figure.savefig(out / "15_fast.png", dpi=120)
print(f"picture: {out / '15_fast.png'}")

# %% [markdown]
# What fusing does
# ----------------
# In ``ops`` each elementwise step writes a new array to memory, which the next reads back; autograd
# goes through all again. ``fused`` makes one operation of them, in blocks that stay in the cache,
# with a VJP derived by hand. It must be the same function: values and gradients are compared. A
# product stays what it is: BLAS is near P already.


# %%
def there_and_back(level, function, arrays):
    """The function's value, and a gradient for each array."""
    vjp, y = make_vjp(partial(function, level), tuple(range(len(arrays))))(*arrays)
    return y, *vjp(np.cos(y))  # any gradient of y will do


ends = [trace(VJPNode.new_root(), level.gelu_tanh, random((2, 2)))[1] for level in (ops, fused)]
on_tape = [len(list(toposort(end))) - 1 for end in ends]  # without the input
assert on_tape == [9, 1], f"operations on the tape of GELU, in ops and fused: {on_tape}"

lengths = np.full(32, N // 32)
adapter = init_adapter(rng, K, 64, std=0.01)
(x, y, z), wide = random((3, N, K)), random((N, M))
CASES = {  # name: (a function of arrays, with either level's operations; the arrays)
    "linear": (lambda level, x, W, b: level.linear(x, W, b), (x, weights[0], random(M))),
    "adapter": (lambda level, z: bottleneck(adapter, z, "gelu_tanh", level), (z,)),
    "attention": (lambda level, q, k, v: level.attention(q, k, v, lengths, 12), (x, y, z)),
    "add_layer_norm": (lambda level, *given: level.add_layer_norm(*given, 1e-12),
                       (x, z, random(K), random(K))),
    "gelu": (lambda level, x: level.gelu(x), (wide,)),  # ops: Python's erf, one by one
    "gelu_tanh": (lambda level, x: level.gelu_tanh(x), (wide,)),
}  # fmt: skip

print("forwards and backwards, ops -> fused")
with one_blas_thread:
    for name, case in CASES.items():
        both = [partial(there_and_back, level, *case) for level in (ops, fused)]
        pairs = list(zip(both[0](), both[1](), strict=True))
        gap = max(float(abs(a - b).max() / abs(a).max()) for a, b in pairs)  # rounding: 6e-8
        assert gap < 3e-6, f"{name}: fused differs from ops by {gap} of the largest number"
        assert all(a.dtype == b.dtype == np.float32 for a, b in pairs), f"{name}: not float32"
        plain, fast = (1000 * seconds(run, rounds=2) for run in both)
        print(f"{name:15} {plain:6.1f} -> {fast:5.1f} ms: {plain / fast:4.1f} times")

# %% [markdown]
# No padding
# ----------
# The fastest work is what is not done. Many libraries fill all sentences of a batch up to the
# longest and mask what they have added. Here a batch is its sentences end to end, and each has the
# same states in company as alone (``02_attention.py``).

# %%
real = find_task("sst-2") is not None
data = glue_data("sst-2", sample=not real)
print(f"data: {data.source}; its first {len(data.train[:1024]):,} training sentences")
base, texts = load_base(fetch_model("minilm")), [e.text for e in data.train[:1024]]
encoded = encode_texts(base.tokenizer, texts, max_length=128)
sizes = np.array([len(e.ids) for e in encoded])
longest = sizes.reshape(-1, 32).max(axis=1)  # of each batch of 32
padded = 32 * longest.sum() / sizes.sum()
print(f"tokens computed for each real one: here 1, padded to the batch's longest {padded:.2f}")
assert len(make_batch(encoded).ids) == sizes.sum(), "a batch should hold real tokens alone"
low, high = (3.0, 3.2) if real else (1.4, 1.7)  # phrases of SST-2 differ more than the sample's
assert low < padded < high, f"tokens computed for each real one: {padded:.2f}"

# %% [markdown]
# What next
# ---------
# - ``docs/performance.md`` has the whole machine's figures, and what was tried without gain.
# - Derive one yourself: ``minibert exercises check 05`` is LayerNorm's VJP, 03 GELU.
# - Set BLOCK in ``minibert/fused/activations.py`` to 1 << 30. What becomes of GELU, and why?
#
# Next: other ways to train few of many parameters, ``16_beyond.py``.
