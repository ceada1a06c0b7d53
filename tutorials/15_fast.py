"""
Fast
====

``minibert.ops`` is BERT as one would write it down; ``minibert.fused`` computes the same numbers
in a fraction of the time. Both are NumPy. What makes the difference?

**You will learn** what bounds a computation (the roofline), why fusing elementwise work pays and
rewriting matrix products does not, and what it saves to have no padding. **Time:** 25 minutes to
read, some seconds to run. **You need to know** what a VJP is (``05_backward.py``). The step that
is timed is an adapter step of Houlsby et al. 2019 (arXiv 1902.00751, section 2.1).
"""

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from autograd import make_vjp

from adapters.recipes import recipe_named
from adapters.show import table
from adapters.task_model import forward, init_task
from adapters.tuning import method_named, split
from minibert import encode, encode_texts, fused, load_base, make_batch, ops
from minibert.datasets import glue_data
from minibert.differentiate import value_and_grads
from minibert.glue_data import find_task
from minibert.heads import loss
from minibert.kernels import library
from minibert.threads import one_blas_thread
from minibert.tree import from_leaves, leaves, merge
from minibert.weights import fetch_model

# %% [markdown]
# The roofline
# ------------
# A processor does P operations a second and fetches B bytes a second from memory. Work that does I
# operations for every byte it has to move (its **arithmetic intensity**) runs at
#
# :math:`\min(P, \; I B)` operations a second
#
# at best (Williams et al. 2009). A product [N, K] @ [K, M] does 2NKM operations on 4 (NK + KM + NM)
# bytes of float32: the larger it is, the more for each byte. Adding two arrays does 1 for 12 bytes,
# whatever their size. So a product of many rows is bound by P, and everything elementwise by B.
# We measure both for one core, in processor time, which other programs disturb least.

# %%
rng = np.random.default_rng(0)


def seconds(work, rounds=4):
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def random(*shape):
    return rng.standard_normal(shape, np.float32)


K, M, N = 384, 1536, 1024  # MiniLM's feed-forward layer, and some tokens
large, wide = random(2048, 768), random(768, 3072)
one, two, three = (np.ones(1 << 23, np.float32) for _ in range(3))  # 34 MB each, beyond caches
weights = [random(M, K).T for _ in range(24)]  # of 24 layers, 57 MB: read from memory each time
points = {}  # {what: (operations for each byte, GFLOP/s, marker)}
with one_blas_thread:
    peak = 2 * 2048 * 768 * 3072 / seconds(lambda: large @ wide) / 1e9
    bandwidth = 12 * one.size / seconds(lambda: np.add(one, two, out=three)) / 1e9
    for rows in (1, 8, 64, N):
        x, work = random(rows, K), 2 * rows * K * M
        taken = seconds(lambda x=x: [x @ weight for weight in weights]) / 24
        intensity = work / (4 * (rows * K + K * M + rows * M))
        points[f"x W, {rows} rows"] = intensity, work / taken / 1e9, "o"
    x = random(4 * N, M)
    for level, marker in ((ops, "v"), (fused, "^")):  # 9 operations, tanh being one, on 8 bytes
        taken = seconds(lambda level=level: level.gelu_tanh(x))
        points[f"GELU, {level.__name__[9:]}"] = 9 / 8, 9 * x.size / taken / 1e9, marker
print(f"{library().name}: {peak:.0f} GFLOP/s a core; memory {bandwidth:.1f} GB/s")
assert points[f"x W, {N} rows"][0] > 10 * points["x W, 1 rows"][0], "intensity grows with the rows"

# %% [markdown]
# What fusing does
# ----------------
# In ``ops`` each elementwise step writes a new array to memory and the next reads it back; autograd
# then keeps and passes all of them again. ``fused`` makes one operation of them, works in blocks
# that stay in the cache, and has its VJP derived by hand. It must be the same function: values and
# every gradient are compared, relative to their largest, where float32 rounds to 6e-8.

# %%
lengths = np.full(32, N // 32)
keep = ops.keep_mask(rng, N * K, 0.1).reshape(N, K)
CASES = {  # name: arguments that are differentiated, other arguments
    "linear": ((random(N, K), weights[0], random(M)), ()),
    "lookup": ((random(30522, K),), (rng.integers(0, 30522, N),)),
    "attention": ((random(N, K), random(N, K), random(N, K)), (lengths, 12)),
    "add_layer_norm": ((random(N, K), random(N, K), random(K), random(K)), (1e-12,)),
    "gelu": ((random(N, M),), ()),
    "gelu_tanh": ((random(N, M),), ()),
    "dropout": ((random(N, K),), (keep, 0.1)),
}
rows = []


def compare(name, run):
    """run(level) -> arrays, for both levels: the same numbers? how fast?"""
    results = [run(level) for level in (ops, fused)]
    gap = max(float(abs(a - b).max() / abs(a).max()) for a, b in zip(*results, strict=True))
    assert all(a.dtype == b.dtype == np.float32 for a, b in zip(*results, strict=True)), name
    plain, fast = (1000 * seconds(lambda level=level: run(level), 2) for level in (ops, fused))
    rows.append((name, f"{plain:.1f}", f"{fast:.1f}", f"{plain / fast:.1f}", f"{gap:.0e}"))
    return gap


with one_blas_thread:
    for name, (arguments, others) in CASES.items():
        g = random(*getattr(fused, name)(*arguments, *others).shape)

        def there_and_back(level, name=name, arguments=arguments, others=others, g=g):
            places = tuple(range(len(arguments)))
            vjp, y = make_vjp(getattr(level, name), places)(*arguments, *others)
            return y, *vjp(g)

        gap = compare(name, there_and_back)
        assert gap < 3e-6, f"{name}: fused differs from ops by {gap} of the largest number"

# %% [markdown]
# A product stays what it is: BLAS is near P already. Now the whole: forwards and backwards through
# MiniLM with adapters, for 8 sentences. Its products alone would take the time of the last line;
# with more tokens they dominate a step, and then nothing but fewer products makes it much faster.

# %%
base, method = load_base(fetch_model("minilm")), method_named("adapters")
real = find_task("sst-2") is not None
data = glue_data("sst-2", sample=not real)
encoded = encode_texts(base.tokenizer, [e.text for e in data.train[:1024]], max_length=128)
print(f"data: {data.source}; its first {len(encoded):,} training sentences")
batch, labels = make_batch(encoded[:8]), np.array([e.label for e in data.train[:8]])
trained, frozen = split(init_task(base, method, recipe_named("paper"), 2, 0), method)


def adapter_step(level):
    def step_loss(flat):
        tree = merge(frozen, from_leaves(flat))
        return loss(forward(tree, batch, base.config, method, ops=level), labels, False, level)

    value, grads = value_and_grads(step_loss, dict(leaves(trained)))
    return [np.array([value], np.float32), *(grads[path] for path in sorted(grads))]


with one_blas_thread:
    gap = compare("adapter step", adapter_step)
assert gap < 1e-4, f"a gradient of the whole step differs by {gap} of its largest number"
print(table(rows, ("forwards and backwards", "ops, ms", "fused, ms", "times", "difference")))
layers, d = base.config.num_hidden_layers, base.config.hidden_size
each_token = 12 * d * d * (layers - 1) + 2 * d * d  # of the last layer only keys and values
products = 2 * 2 * each_token * len(batch.ids) / peak / 1e6  # forwards and dx, in ms
print(f"the step's products with frozen weights alone, at the roof: {products:.0f} ms")

# %% [markdown]
# No padding
# ----------
# The fastest work is what is not done. Libraries make a batch a rectangle, all sentences as long as
# the longest one (or as 128), filled up with a token that a mask then hides. Here a batch is its
# sentences end to end. Every position-wise operation works on rows anyway; attention alone has to
# know where a sentence ends. So nothing is masked, and a sentence gets the same states in company
# as alone.

# %%
sizes = np.array([len(e.ids) for e in encoded])
batches = [np.arange(i, min(i + 32, len(sizes))) for i in range(0, len(sizes), 32)]
tokens = {
    "none (here)": sum(len(make_batch([encoded[i] for i in b]).ids) for b in batches),
    "to the batch's longest": sum(len(b) * int(sizes[b].max()) for b in batches),
    "to 128": 128 * len(sizes),
}
for name, number in tokens.items():
    print(f"padding {name}: {number:,} tokens, {number / sizes.sum():.2f} for each real one")
assert tokens["none (here)"] == sizes.sum(), "a batch should hold real tokens and nothing else"
saved = 1 - sizes.sum() / tokens["to the batch's longest"]
low, high = (0.67, 0.68) if real else (0.3, 0.4)  # phrases of SST-2 differ more than the sample's
assert low < saved < high, f"{saved:.2f} of a padded batch's tokens would be padding"
together = encode(base.params, batch, base.config)[-1]
for number in range(8):
    alone = encode(base.params, make_batch(encoded[number : number + 1]), base.config)[-1]
    gap = abs(together[batch.starts[number] :][: len(alone)] - alone).max()
    assert gap < 1e-5, f"sentence {number} has other states in company: {gap}"

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained",
                                     width_ratios=(3, 2))  # fmt: skip
reach = np.logspace(-1.5, 3, 100)
left.loglog(reach, np.minimum(peak, reach * bandwidth), "k", label="the roof")
for name, (intensity, gflops, marker) in points.items():
    left.plot(intensity, gflops, marker, color="#e08214" if "GELU" in name else "#1f4e79", ms=8)
    left.annotate(name, (intensity, gflops), (6, -12), textcoords="offset points", fontsize=9)
left.set(xlabel="operations for each byte from memory", ylabel="GFLOP/s", xlim=(0.03, 3000),
         title="One core's roofline, and what reaches it")  # fmt: skip
left.grid(alpha=0.3)
left.legend(frameon=False, loc="upper left")
right.barh(list(tokens), [n / sizes.sum() for n in tokens.values()], color="#7fa6c9", ec="k")
right.set(xlabel="tokens computed for each real token")
right.set_title("Padding, SST-2" if real else "Padding, the sample's sentences")
out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
figure.savefig(out / "15_fast.png", dpi=120)
print(f"picture: {out / '15_fast.png'}")

# %% [markdown]
# What next
# ---------
# - ``docs/performance.md`` has the whole machine's figures, and what was tried without gain.
# - Derive one yourself: ``minibert exercises check 05`` is LayerNorm's VJP, 03 GELU.
# - Sort the sentences by length before they are cut into batches. How much padding is left?
# - Set BLOCK in ``minibert/fused_activations.py`` to 1 << 30. What becomes of GELU, and why?
