"""
A whole layer
=============

Attention and a feed-forward network, each with a skip connection and a LayerNorm: a layer of BERT.

**You will learn** what LayerNorm does to a vector, that there are two functions called GELU and how
far apart they are, a layer in ten lines that equals the library's, and what becomes of BERT without
its skip connections. **Time:** 20 minutes to read, a few seconds to run. **You need to know**
attention (`02_attention.py <02_attention.py>`_). A layer is figure 1 (left) of Vaswani et al. 2017
(`arXiv 1706.03762 <https://arxiv.org/abs/1706.03762>`_). The code says where its adapters (Houlsby
et al. 2019, `arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_) will sit.
"""

import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from adapters.pictures import save_picture
from adapters.show import facts
from minibert import encode, encode_texts, fetch_model, load_base, make_batch, ops

# float64: where two ways must agree, they then agree to 1e-10, and no mistake is that small
base = load_base(fetch_model("minilm"), dtype=np.float64)
config = base.config
layer = base.params["layers"][0]
SENTENCE = "Snow fell all night, and in the morning the keeper's daughter cleared the road."
batch = make_batch(encode_texts(base.tokenizer, [SENTENCE], max_length=64))
states = encode(base.params, batch, config)  # [N, D] before each layer, and after the last

# %% [markdown]
# LayerNorm
# ---------
# Each token's vector by itself: subtract its mean, divide by its standard deviation; then apply a
# learned gain w and a learned bias b for each feature (Ba et al. 2016, `arXiv 1607.06450
# <https://arxiv.org/abs/1607.06450>`_):
#
# :math:`\mathrm{LayerNorm}(x) = \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}}
# \odot w + b`.
#
# So it does not matter how large x was, or what was added to all of it: LayerNorm(5 x + 3) is
# LayerNorm(x), up to :math:`\epsilon` = 1e-12. That keeps the numbers within bounds through all
# layers.


# %%
def norm_by_hand(x, norm):
    """[N, D] -> [N, D]"""
    centred = x - x.mean(axis=-1, keepdims=True)  # [N, D] - [N, 1]
    variance = (centred**2).mean(axis=-1, keepdims=True)  # [N, 1]
    return centred / np.sqrt(variance + config.layer_norm_eps) * norm["weight"] + norm["bias"]


norm = layer["attention"]["norm"]
x = states[0]
library = ops.layer_norm(x, norm["weight"], norm["bias"], config.layer_norm_eps)
for name, same in (("x", x), ("5 x + 3", 5 * x + 3)):
    assert np.abs(norm_by_hand(same, norm) - library).max() < 1e-9, f"LayerNorm by hand of {name}"

# %% [markdown]
# Two functions called GELU
# -------------------------
# Between the two linear maps of the feed-forward network stands GELU, a smooth step: x times the
# probability that a standard normal number is below x (Hendrycks & Gimpel 2016, `arXiv 1606.08415
# <https://arxiv.org/abs/1606.08415>`_). Google's BERT has an approximation with tanh, and so does
# the adapters' released code; the public checkpoints are run with the exact form. Here they have
# two names:
#
# ``gelu``: :math:`\tfrac{1}{2} x \, (1 + \mathrm{erf}(x / \sqrt{2}))`, and ``gelu_tanh``:
# :math:`\tfrac{1}{2} x \, (1 + \tanh(\sqrt{2 / \pi} \, (x + 0.044715 x^3)))`.

# %%
x = np.linspace(-4, 4, 20_001)
exact = np.array([0.5 * t * (1 + math.erf(t / math.sqrt(2))) for t in x])
approximate = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
assert np.abs(exact - ops.gelu(x)).max() < 1e-12, "gelu is the exact one"
assert np.abs(approximate - ops.gelu_tanh(x)).max() < 1e-12, "gelu_tanh is the approximation"
gap = approximate - exact
print(f"The two differ most at x = ±{abs(x[np.abs(gap).argmax()]):.2f}, by {np.abs(gap).max():.2e}")
assert 4.7e-4 < np.abs(gap).max() < 4.8e-4, f"the difference is said to be 4.7e-4: {gap.max()}"

other = encode(base.params, batch, replace(config, hidden_act="gelu_new"))[-1]  # gelu_tanh
moved = np.linalg.norm(other - states[-1]) / np.linalg.norm(states[-1])
print(f"MiniLM with the other one: last states move by {100 * moved:.2f} % of their length")
assert 3e-4 < moved < 5e-3, f"the wrong GELU should show, but not destroy: {moved}"


def draw_gelu():
    """The two functions, and their difference."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.plot(x, np.maximum(x, 0), "k:", label="ReLU: max(x, 0)")
    left.plot(x, exact, color="0.7", lw=5, label="gelu (exact)")
    left.plot(x, approximate, color="#1f4e79", ls="--", label="gelu_tanh")
    left.set(xlabel="x", ylabel="f(x)")
    left.legend(frameon=False)
    right.plot(x, gap * 1e4, color="#c55a11")
    right.set(xlabel="x", ylabel="gelu_tanh(x) - gelu(x), in 0.0001")
    figure.suptitle("The two kinds of GELU, and their difference")
    save_picture(figure, "03_gelu")


draw_gelu()

# %% [markdown]
# The layer, by hand
# ------------------
# Attention's result goes through one more linear map: that is z. The skip connection adds the
# layer's input, and LayerNorm comes last (hence "post-LayerNorm"). Then the same again with the
# feed-forward network, which widens each token's D = 384 numbers to F = 1,536 and narrows them to
# 384 again.


# %%
def project(x, p):
    """[N, in] -> [N, out]"""
    return x @ p["weight"] + p["bias"]


x = states[0]
attention = layer["attention"]
query, key, value = (project(x, attention[name]) for name in ("query", "key", "value"))  # [N, D]
heads = config.num_attention_heads
mixed = ops.attention(query, key, value, batch.lengths, batch.lengths, heads)  # [N, D]
z = project(mixed, attention["output"])  # [N, D]; the first adapter will sit here
y = norm_by_hand(x + z, attention["norm"])  # [N, D]

feed_forward = layer["feed_forward"]
inner = ops.gelu(project(y, feed_forward["inner"]))  # [N, F]
z = project(inner, feed_forward["output"])  # [N, D]; the second adapter will sit here
by_hand = norm_by_hand(y + z, feed_forward["norm"])  # [N, D]

distance = np.abs(by_hand - states[1]).max()
assert distance < 1e-10, f"the layer by hand and by minibert.encode differ by {distance}"

# %% [markdown]
# What the skip connection is for
# -------------------------------
# ``encode`` hands every z to a function of ours, ``adapt``, and goes on with what that returns. It
# is made for adapters, but also good for experiments. A sublayer's z comes with the x that will be
# added to it. If we return z - x, the sum is :math:`x + (z - x) = z`: the skip connection is gone.
# We measure how alike the tokens of our text are: the mean cosine of the angle between the states
# of two of them.


# %%
def without_skip(number, place, z, x):
    """What takes z's place. (The queries, keys and values, which come here too, have no skip.)"""
    return z - x if place in ("attention", "feed_forward") else z


def likeness(x):
    """The mean cosine of two different tokens' states. [N, D] -> scalar"""
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (np.sum(rows @ rows.T) - len(x)) / (len(x) * (len(x) - 1))


without = encode(base.params, batch, config, adapt=without_skip)
alike = {"with": [likeness(x) for x in states], "without": [likeness(x) for x in without]}
print(facts([(name, np.round(values, 3)) for name, values in alike.items()]))
assert alike["without"][4] > 0.99, "without skip connections all tokens should become the same"
assert max(alike["with"]) < 0.6, "with them tokens should stay different"


def draw_likeness():
    """How alike the tokens are after each layer."""
    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for name, look, colour in (("without", "s--", "#c55a11"), ("with", "o-", "#1f4e79")):
        axes.plot(alike[name], look, color=colour, label=f"{name} skip connections")
    axes.set(title="How alike a text's tokens are", xlabel="layers passed")
    axes.set(ylabel="mean cosine of two tokens' states", ylim=(0, 1.03))
    axes.legend(frameon=False, loc="center right")
    save_picture(figure, "03_skip_connections")


draw_likeness()

# %% [markdown]
# Attention averages, and averages of averages are all alike: without skip connections only one
# direction is left after four layers (Dong et al. 2021, `arXiv 2103.03404
# <https://arxiv.org/abs/2103.03404>`_, prove it for attention alone). With them each token keeps a
# part of what it was.
#
# What next
# ---------
# 1. Write it yourself: ``minibert exercises check 02`` (LayerNorm) and 03 (GELU).
# 2. Cut only the skip connections around attention, or only the others. Which of the two are needed
#    more?
# 3. Put relu for gelu in the configuration. By how much do the last states move now?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. Those around attention: without them the tokens are alike (0.97) after three layers. Without
#    the others they stay different (0.23 in the end, even less than with all), for the feed-forward
#    network looks at each token alone and averages nothing.
# 3. By 79 % of their length, against 0.13 % for the other GELU. The two curves look similar, but a
#    network of six layers was trained with one of them.
#
# .. raw:: html
#
#    </details>
#
# Where do all these numbers come from? `04_loading.py <04_loading.py>`_.
