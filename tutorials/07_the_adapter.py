"""
The adapter
===========

A BERT layer gets two small new modules, and little else is trained: that is the idea of Houlsby et
al. 2019, *Parameter-Efficient Transfer Learning for NLP* (`arXiv 1902.00751
<https://arxiv.org/abs/1902.00751>`_).

**You will learn** where an adapter sits, how many parameters it has, and why a BERT with fresh
adapters still computes almost what it did before. **Time:** 20 minutes to read, a few seconds to
run. **You need to know** matrix products, and what a transformer layer does (`03_layer.py
<03_layer.py>`_).
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from adapters import method_named
from adapters.methods import bottleneck as bn
from adapters.methods.table import adapter_parameters
from adapters.pictures import save_picture
from adapters.show import table
from minibert import BertConfig, encode, encode_texts, fetch_model, load_base, make_batch
from minibert.parameters import cast, parameter_shapes
from minibert.tree import count, from_leaves, leaves

# %% [markdown]
# Where it sits
# -------------
# An encoder layer is two sublayers, attention and feed-forward. The output z of each is added to
# its input x (the skip connection), and the sum is normalised. An adapter changes z just before
# that addition (section 2.1 and figure 2 of the paper), so each half of a layer computes
#
# :math:`x \leftarrow \mathrm{LayerNorm}(x + A(z))`.
#
# The adapter squeezes z from d numbers through a bottleneck of m, and has a skip connection of its
# own:
#
# :math:`A(z) = z + f(z W_{down} + b_{down}) \, W_{up} + b_{up}`.


# %%
ARROW = {"arrowprops": {"arrowstyle": "-|>", "facecolor": "k"}, "zorder": 0}
CIRCLE = {"bbox": {"boxstyle": "circle", "facecolor": "w"}, "ha": "center", "va": "center"}


def draw_skip(axes, x, bottom, top):
    """A skip connection, and the plus sign at its end."""
    right = x + 3.7
    axes.plot((x, right, right, x), (bottom, bottom, top, top), color="k", lw=1.2, zorder=0)
    axes.text(x, top, "+", **CIRCLE)


def draw_block(axes, x, y, text, trained=True, width=5.4):
    """A box with its name: dark if its parameters are trained."""
    colour, ink = ("#1f4e79", "w") if trained else ("0.9", "k")
    axes.barh(y, width, 1.2, x - width / 2, color=colour, edgecolor="0.1")
    axes.text(x, y, text, ha="center", va="center", color=ink)


def draw_layer(axes, x):
    """Two halves: a sublayer, its adapter, the skip connection and LayerNorm."""
    axes.text(x, -0.4, "$x$, from below", ha="center")
    axes.annotate("", (x, 16), (x, 0.1), **ARROW)
    for name, bottom in (("attention", 1.7), ("feed-forward", 9.2)):
        draw_block(axes, x, bottom, name, trained=False)
        axes.text(x + 0.4, bottom + 0.8, "$z$", ha="center")
        draw_block(axes, x, bottom + 2, "adapter")
        draw_skip(axes, x, bottom - 1.1, bottom + 3.6)
        draw_block(axes, x, bottom + 5.2, "LayerNorm")
    axes.text(x, 16.2, "to the layer above", ha="center")


def draw_adapter(axes, x):
    """The two projections with f between them, and the adapter's own skip connection."""
    axes.text(x, 3.4, "$z$", ha="center")
    axes.annotate("", (x, 13.3), (x, 4), **ARROW)
    draw_block(axes, x, 6.1, "$W_{down}$: d to m")
    draw_block(axes, x, 7.9, "$f$", trained=False, width=1.6)
    draw_block(axes, x, 9.7, "$W_{up}$: m to d")
    draw_skip(axes, x, 4.8, 11.9)
    axes.text(x, 13.5, "$A(z)$", ha="center")


figure, axes = plt.subplots(figsize=(8, 6.8), layout="constrained")
axes.set(title="A layer and its two adapters; dark: trained for each task")
axes.set(xlim=(0.8, 20.6), ylim=(-0.6, 17.2), aspect="equal")
axes.axis("off")
draw_layer(axes, x=4)
draw_adapter(axes, x=14.6)
frame = ((10.2, 20.2, 20.2, 10.2, 10.2), (14.6, 14.6, 3, 3, 14.6))
for line in (frame, ((6.7, 10.2), (11.8, 14.6)), ((6.7, 10.2), (10.6, 3))):
    axes.plot(*line, color="0.5", ls=":", zorder=0)
save_picture(figure, "07_where_it_sits")

# %% [markdown]
# What it costs
# -------------
# Two projections and their biases: :math:`2md + d + m` parameters an adapter, two adapters a layer.

# %%
D, M = 384, 64
adapter = bn.init_adapter(np.random.default_rng(0), D, M, std=0.01)
assert count(adapter) == bn.parameter_count(D, M) == 49_600, f"{count(adapter):,} parameters"

method = method_named("adapters", M)
base = load_base(fetch_model("minilm"), dtype=np.float64)  # to see very small distances below
large = BertConfig(
    hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
)
BASES = {"MiniLM": base.config, "BERT-base": BertConfig(), "BERT-large": large}
rows = []
for name, config in BASES.items():
    total = sum(int(np.prod(shape)) for shape in parameter_shapes(config).values())
    own = adapter_parameters(config, method)
    rows.append((name, f"{total:,}", f"{own:,}", f"{100 * own / total:.2f} %"))
print(table(rows, ("base", "parameters", f"all adapters, m = {M}", "share of the base")))
known = {"22,713,216": "595,200", "109,482,240": "2,379,264", "335,141,888": "6,343,680"}
assert {row[1]: row[2] for row in rows} == known, f"counts: {rows}"

# %% [markdown]
# A fresh adapter hardly does anything
# ------------------------------------
# Training should start from what the base can do. So both projections are drawn from a normal
# distribution with a small std, without what lies beyond two standard deviations (section 3.6; std
# 0.01 in the paper's text, 0.001 in its released code). The biases are 0, and A(z) is nearly z.
#
# How nearly? GELU halves its small inputs, and both projections are proportional to std, so the
# expected distance grows with its square (0.88 std is the standard deviation that is left after the
# truncation):
#
# :math:`|A(z) - z| \approx \tfrac{1}{2} \sqrt{md} \, (0.88 \, \mathrm{std})^2 \, |z|`.
#
# We look at the real z of all of MiniLM: ``encode`` hands each of them to ``adapt``.


# %%
SENTENCES = (
    "The ferry was late again, so we shared a pot of tea on the quay.",
    "Her telescope showed the rings, faint but unmistakable.",
)
batch = make_batch(encode_texts(base.tokenizer, SENTENCES, max_length=64))
activations = {}  # (layer, sublayer): its output z


def collect(layer, place, z, x):
    if place in ("attention", "feed_forward"):  # not the queries, keys and values
        activations[layer, place] = z
    return z


def states_with(adapters):
    """MiniLM's last states with these adapters. [N, d]"""
    adapt = bn.attach({"adapters": adapters}, base.config, method)
    return encode(base.params, batch, base.config, adapt=adapt)[-1]


def distance(moved, original):
    """How far apart, relative to the original's length."""
    return np.linalg.norm(moved - original) / np.linalg.norm(original)


plain = encode(base.params, batch, base.config, adapt=collect)[-1]  # [N, d]
stds = np.logspace(-7, 0, 15)  # 0.001, 0.01 and 1 are stds[8], stds[10] and stds[14]
single = []  # for each std, the distances of the twelve adapters
whole = []  # for each std, the distance of the last states
for std in stds:
    rng = np.random.default_rng(0)  # the same random numbers, times another std
    fresh = cast(bn.init(rng, base.config, replace(method, std=std)), np.float64)
    pairs = [(z, fresh[layer][place]) for (layer, place), z in activations.items()]
    single.append([distance(bn.bottleneck(a, z, method.activation), z) for z, a in pairs])
    whole.append(distance(states_with(fresh), plain))
single = np.array(single)  # [15, 12]

# %% [markdown]
# On logarithmic axes a square is a line of slope 2. The last states follow it until the adapters
# outweigh what they are added to. Then LayerNorm fixes the length of every state, and two vectors
# of one length are at most twice that length apart.
#
# Ten seeds gave slopes from 1.99 to 2.01. The mean over the twelve adapters was 0.97 to 1.04 times
# the expectation (std up to 0.001). The last states moved by 0.012 to 0.014 at the paper's std of
# 0.01, and by 1.7 to 1.8 at a std of 1.

# %%
expected = bn.expected_distance(1, D, M, stds)


def draw_distances():
    """Expected and measured distances by std."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    axes.loglog(stds, expected, color="0.55", lw=4, label="|A(z) - z| / |z|, for small std")
    axes.loglog(stds, single.mean(1), "o", color="#1f4e79", label="the same, measured (mean of 12)")
    axes.loglog(stds, whole, "s-", color="#c55a11", mfc="w", label="MiniLM's last states, measured")
    axes.axvline(0.01, color="0.6", ls=":", label="std of the paper")
    axes.axvline(0.001, color="0.6", ls="-.", label="std of its released code")
    axes.set(xlabel="std of the initial projections", ylabel="relative distance", ylim=(1e-13, 1e3))
    axes.set(title=f"Fresh adapters are near the identity (MiniLM, m = {M})")
    axes.legend(frameon=False)
    save_picture(figure, "07_near_identity")


draw_distances()

small = stds < 2e-3
slopes = np.polyfit(np.log(stds[small]), np.log(single[small]), 1)[0]  # [12]
assert np.allclose(slopes, 2, atol=0.03), f"distance should go with std squared, slopes {slopes}"
ratio = single.mean(1)[small] / expected[small]
assert np.allclose(ratio, 1, atol=0.1), f"measured / expected distance {ratio}"
assert 0.005 < whole[10] < 0.03, f"the paper's std moves the last states by {whole[10]}"
assert whole[14] > 1.3, f"std 1 should not be near the identity, distance {whole[14]}"
nothing = from_leaves({p: 0 * a if ".up." in p else a for p, a in leaves(fresh)})
assert np.array_equal(states_with(nothing), plain), "with W_up = 0 an adapter is the identity"

# %% [markdown]
# What next
# ---------
# 1. Write it yourself: ``minibert exercises check 09``, 10 (its parameters), 11 (its start).
# 2. Change M to 8 and to 256. What share of the base is that? Which curves move, and by how much?
# 3. Make the method with ``method_named("adapters", M, activation="relu")``. Does the square of std
#    still hold, and the factor of a half? Why?
# 4. Take float32 (leave out dtype and cast). From which std on is there any distance at all?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. 0.35 % and 10.4 %. A distance goes with the root of m: at std 0.01 one adapter moves its z by
#    0.0021 and 0.0129 (0.0064 with M = 64), and the last states by 0.0039 and 0.0255 (0.0124).
# 3. The square holds, for relu, too, is proportional to the size of what goes in. The factor is
#    :math:`1/\sqrt{2}` and not a half (measured 0.68): relu passes half of the numbers whole, which
#    keeps half of the *squared* length, and GELU halves each small number, which keeps a quarter.
# 4. The last states differ from about 3e-7 on, but until 1e-4 that is only rounding (6e-7 of their
#    length). One adapter's z moves visibly from some 1e-5 on.
#
# .. raw:: html
#
#    </details>
#
# The adapters are still untrained. Training is next: `08_train_a_task.py <08_train_a_task.py>`_.
