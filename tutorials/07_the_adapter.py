"""
The adapter
===========

A BERT layer gets two small new modules, and little else is trained: that is the idea of Houlsby et
al. 2019, *Parameter-Efficient Transfer Learning for NLP* (arXiv 1902.00751).

**You will learn** where an adapter sits, how many parameters it has, and why a BERT with fresh
adapters still computes almost what it did before. **Time:** 20 minutes to read, a few seconds to
run. **You need to know** matrix products, and what a transformer layer does (``03_layer.py``).
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.methods import bottleneck as bn
from adapters.show import table
from minibert import BertConfig, encode, encode_texts, load_base, make_batch
from minibert.fetch.models import fetch_model
from minibert.parameters import cast, parameter_shapes
from minibert.tree import count, from_leaves, leaves

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Where it sits
# -------------
# An encoder layer is two sublayers, attention and feed-forward. What each of them puts out, z, is
# added to what it got, x (the skip connection), and normalised. An adapter takes z just before that
# addition (section 2.1 and figure 2 of the paper), so each half of a layer computes
#
# :math:`x \leftarrow \mathrm{LayerNorm}(x + A(z))`.
#
# The adapter squeezes z from d numbers through a bottleneck of m, and has a skip connection of its
# own:
#
# :math:`A(z) = z + f(z W_{down} + b_{down}) \, W_{up} + b_{up}`.

# %%
BLOCKS = [(4, 1.7, 5.4, "attention"), (4, 3.7, 5.4, "adapter"), (4, 6.9, 5.4, "LayerNorm"),
          (4, 9.2, 5.4, "feed-forward"), (4, 11.2, 5.4, "adapter"), (4, 14.4, 5.4, "LayerNorm"),
          (14.6, 6.1, 5.4, "$W_{down}$: d to m"), (14.6, 7.9, 1.6, "$f$"),
          (14.6, 9.7, 5.4, "$W_{up}$: m to d")]  # x, y, width, text  # fmt: skip
WORDS = [(4, -0.4, "$x$, from below"), (4, 16.2, "to the layer above"), (4.4, 2.5, "$z$"),
         (4.4, 10, "$z$"), (14.6, 3.4, "$z$"), (14.6, 13.5, "$A(z)$")]  # fmt: skip
ZOOM = ((6.7, 10.2, 20.2, 20.2, 10.2, 10.2, 10.2, 6.7), (11.8, 14.6, 14.6, 3, 3, 14.6, 3, 10.6))
figure, axes = plt.subplots(figsize=(8, 6.8), layout="constrained")
axes.set(xlim=(0.8, 20.6), ylim=(-0.6, 17.2), aspect="equal",
         title="A layer and its two adapters; dark: trained for each task")  # fmt: skip
axes.axis("off")
axes.plot(*ZOOM, color="0.5", ls=":", zorder=0)
for x, bottom, top in ((4, 0.1, 16), (14.6, 4, 13.3)):
    axes.annotate("", (x, top), (x, bottom), arrowprops={"arrowstyle": "-|>", "fc": "k"}, zorder=0)
for x, skip, plus in ((4, 0.6, 5.3), (4, 8.1, 12.8), (14.6, 4.8, 11.9)):
    axes.plot((x, x + 3.7, x + 3.7, x), (skip, skip, plus, plus), color="k", lw=1.2, zorder=0)
    axes.text(x, plus, "+", ha="center", va="center", bbox={"boxstyle": "circle", "fc": "w"})
for x, y, width, text in BLOCKS:
    frozen = text in ("attention", "feed-forward", "$f$")
    axes.barh(y, width, 1.2, x - width / 2, color="0.9" if frozen else "#1f4e79", ec="0.1")
    axes.text(x, y, text, ha="center", va="center", color="k" if frozen else "w")
for x, y, text in WORDS:
    axes.text(x, y, text, ha="center")
figure.savefig(out / "07_where_it_sits.png", dpi=120)
print(f"picture: {out / '07_where_it_sits.png'}")

# %% [markdown]
# What it costs
# -------------
# Two projections and their biases: :math:`2md + d + m` parameters an adapter, two adapters a layer.

# %%
D, M = 384, 64
adapter = bn.init_adapter(np.random.default_rng(0), D, M, std=0.01)
assert count(adapter) == 2 * M * D + D + M == bn.parameter_count(D, M) == 49_600, count(adapter)

base = load_base(fetch_model("minilm"), dtype=np.float64)  # to see very small distances below
large = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
                   intermediate_size=4096)  # fmt: skip
rows = []
for name, config in (("MiniLM", base.config), ("BERT-base", BertConfig()), ("BERT-large", large)):
    total = sum(int(np.prod(shape)) for shape in parameter_shapes(config).values())
    own = 2 * config.num_hidden_layers * bn.parameter_count(config.hidden_size, M)
    rows.append((name, f"{total:,}", f"{own:,}", f"{100 * own / total:.2f} %"))
print(table(rows, ("base", "parameters", f"all adapters, m = {M}", "share of the base")))
known = {"22,713,216": "595,200", "109,482,240": "2,379,264", "335,141,888": "6,343,680"}
assert {row[1]: row[2] for row in rows} == known, f"counts: {rows}"

# %% [markdown]
# A fresh adapter hardly does anything
# ------------------------------------
# Training should start from what the base can do. So both projections are drawn small, from a
# normal distribution without what lies beyond two standard deviations (section 3.6; std 0.01 in the
# paper's text, 0.001 in its released code), the biases are 0, and A(z) is nearly z. How nearly?
# GELU halves its small inputs, and both projections are proportional to std, so the distance to be
# expected grows with its square (0.88 std is the standard deviation that the truncation leaves):
#
# :math:`|A(z) - z| \approx \tfrac{1}{2} \sqrt{md} \, (0.88 \, \mathrm{std})^2 \, |z|`.
#
# We look at real z, from all of MiniLM: ``encode`` hands each of them to ``adapt``.


# %%
def collect(layer, place, z, x):
    activations[layer, place] = z
    return z


SENTENCES = ("The ferry was late again, so we shared a pot of tea on the quay.",
             "Her telescope showed the rings, faint but unmistakable.")  # fmt: skip
batch = make_batch(encode_texts(base.tokenizer, SENTENCES, max_length=64))
activations, norm = {}, np.linalg.norm
plain = encode(base.params, batch, base.config, adapt=collect)[-1]  # [N, d]
stds = np.logspace(-7, 0, 15)  # with 0.001, 0.01 and 1, which are stds[8], [10] and [14]
single, whole = np.zeros((len(stds), len(activations))), []  # of each adapter, of the last states
for row, std in zip(single, stds, strict=True):
    fresh = cast(bn.init_adapters(np.random.default_rng(0), base.config, M, std), np.float64)
    for k, ((layer, place), z) in enumerate(activations.items()):
        row[k] = norm(bn.bottleneck(fresh[layer][place], z, "gelu_tanh") - z) / norm(z)
    last = encode(base.params, batch, base.config, adapt=bn.attach(fresh))[-1]
    whole.append(norm(last - plain) / norm(plain))

# %% [markdown]
# On logarithmic axes a square is a line of slope 2. The last states keep to it until the adapters
# outweigh what they were added to; then LayerNorm holds the length of every state, and two vectors
# of one length are at most twice that length apart. Ten seeds gave slopes from 1.99 to 2.01; a mean
# over the twelve adapters of 0.97 to 1.04 times the expectation (std up to 0.001); last states
# 0.012 to 0.014 away at the paper's std of 0.01, and 1.7 to 1.8 at a std of 1.

# %%
expected = bn.expected_distance(1, D, M, stds)
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
axes.loglog(stds, expected, color="0.55", lw=4, label="|A(z) - z| / |z|, expected for small std")
axes.loglog(stds, single.mean(1), "o", color="#1f4e79", label="the same, measured (mean of 12)")
axes.loglog(stds, whole, "s-", color="#c55a11", mfc="w", label="MiniLM's last states, measured")
axes.axvline(0.01, color="0.6", ls=":", label="std of the paper")
axes.axvline(0.001, color="0.6", ls="-.", label="std of its released code")
axes.set(xlabel="std of the initial projections", ylabel="relative distance", ylim=(1e-13, 1e3),
         title=f"Fresh adapters are near the identity (MiniLM, m = {M})")  # fmt: skip
axes.legend(frameon=False)
figure.savefig(out / "07_near_identity.png", dpi=120)
print(f"picture: {out / '07_near_identity.png'}")

small = stds < 2e-3
slopes = np.polyfit(np.log(stds[small]), np.log(single[small]), 1)[0]  # [12]
assert np.allclose(slopes, 2, atol=0.03), f"distance should go with std squared, slopes {slopes}"
ratio = single.mean(1)[small] / expected[small]
assert np.allclose(ratio, 1, atol=0.1), f"measured / expected distance {ratio}"
assert 0.005 < whole[10] < 0.03, f"the paper's std moves the last states by {whole[10]}"
assert whole[14] > 1.3, f"std 1 should not be near the identity, distance {whole[14]}"
nothing = from_leaves({p: 0 * a if ".up." in p else a for p, a in leaves(fresh)})
last = encode(base.params, batch, base.config, adapt=bn.attach(nothing))[-1]
assert np.array_equal(last, plain), "with W_up = 0 an adapter must be exactly the identity"

# %% [markdown]
# What next
# ---------
# - Write it yourself: ``minibert exercises check 09``, 10 (its parameters), 11 (its start).
# - Change M to 8 and to 256. What share of the base is that? Which curves move, and by how much?
# - Put "relu" for "gelu_tanh". What holds still, the square of std or the factor of a half? Why?
# - Take float32 (leave out dtype and cast). From which std on is there any distance at all?
#
# The adapters are still untrained. That is next: ``08_train_a_task.py``.
