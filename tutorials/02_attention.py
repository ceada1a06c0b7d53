"""
Attention by hand
=================

The one place in BERT where words look at each other: all else works on each token by itself.

**You will learn** attention as loops and as three lines of matrices, why its scores are divided by
the square root of d, why there is no padding mask here, and what some heads of MiniLM look at.
**Time:** 25 minutes to read, some seconds to run. **You need to know** matrix products, and where
the first vectors come from (``01_tokens.py``). This is section 3.2 of Vaswani et al. 2017 (arXiv
1706.03762); a layer's first adapter (Houlsby et al. 2019, arXiv 1902.00751) sits just behind it.
"""

import math
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.show import table
from minibert import encode, encode_texts, load_base, make_batch, ops
from minibert.data.glue import glue_data
from minibert.fetch.models import fetch_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
base = load_base(fetch_model("minilm"))
config, tokenizer = base.config, base.tokenizer
H, d = config.num_attention_heads, config.hidden_size // config.num_attention_heads
FEATURES = [slice(head * d, (head + 1) * d) for head in range(H)]  # of each head

SENTENCE = "My sister lost her keys, so she climbed through the window."
batch = make_batch(encode_texts(tokenizer, [SENTENCE], max_length=64))
pieces = [tokenizer.id_to_token(int(i)) for i in batch.ids]
states = encode(base.params, batch, config)  # [T, D] before each layer, and after the last

# %% [markdown]
# A question, a key and a value
# -----------------------------
# From each token's vector, three linear maps make a query (what it looks for), a key (what it can
# be found by) and a value (what it has to tell). Query t and key s give a score; the softmax turns
# the scores of one query into weights that sum to 1; its answer is the values, mixed with these
# weights (and that in H = 12 heads at once, each with its own d = 32 of the 384 features):
#
# :math:`\mathrm{attention}(Q, K, V) = \mathrm{softmax}(Q K^T / \sqrt{d}) \, V`.
#
# First one head, one token at a time. Then as matrices: the loops over tokens are one product, and
# so is the mix. The library computes all heads of all texts of a batch. Where a batch is filled up
# with [PAD] tokens, a mask must hide them from the softmax. Here each text attends within its own
# rows: no padding, no mask, and a text's vectors are the same alone and in company.


# %%
def project(layer, features, x):  # [T, D] -> q, k and v, [T, d] each
    own = [base.params["layers"][layer]["attention"][name] for name in ("query", "key", "value")]
    return [ops.linear(x, p["weight"][:, features], p["bias"][features]) for p in own]


def attend_by_loops(q, k, v):
    answers = []
    for query in q:
        powers = [math.exp(query @ key / math.sqrt(d)) for key in k]
        answers.append(sum(p * value for p, value in zip(powers, v, strict=True)) / sum(powers))
    return np.array(answers)


def attend(q, k, v):
    scores = q @ k.T / math.sqrt(d)  # [T, d] x [d, T] -> [T, T]
    weights = ops.softmax(scores)  # [T, T]: row t is where token t looks
    return weights @ v, weights  # [T, T] x [T, d] -> [T, d]


LAYER, HEAD = 3, 1  # counted from 0, as everywhere in the code
q, k, v = project(LAYER, FEATURES[HEAD], states[LAYER])
slowly = attend_by_loops(q, k, v)
mixed, weights = attend(q, k, v)
assert np.abs(mixed - slowly).max() < 1e-5, "matrices and loops should agree up to rounding"
library = ops.attention(*project(LAYER, slice(None), states[LAYER]), batch.lengths, H)  # [T, D]
assert np.abs(library[:, FEATURES[HEAD]] - slowly).max() < 1e-5, "ops.attention should agree, too"

company = make_batch(encode_texts(tokenizer, ["Tea?", SENTENCE, "The ferry was late."], 64))
inside = encode(base.params, company, config)[-1][company.starts[1] : company.starts[2]]
assert np.abs(inside - states[-1]).max() < 1e-4, "a text must not depend on its batch"

# %% [markdown]
# Why divide by the square root of d?
# -----------------------------------
# A score is a sum of d products. Let queries and keys be independent numbers of mean 0 and variance
# 1; then each product has variance 1 and the sum has variance d. Large scores are bad for learning:
# the softmax gives nearly all its weight p to one key, and its derivative, :math:`\partial p_s /
# \partial score_s = p_s (1 - p_s)`, is nearly 0 wherever p is nearly 0 or 1. Divided by
# :math:`\sqrt{d}` the scores have variance 1, whatever d is (footnote 4 of the paper).

# %%
rng = np.random.default_rng(0)
SIZES, measured = (2, 8, 32, 128, 512), []
for size in SIZES:
    queries, keys = (rng.standard_normal((1000, n, size), np.float32) for n in (1, 16))
    products = (queries * keys).sum(axis=-1)
    scores = np.stack([products, products / math.sqrt(size)])  # [2, 1000 trials, 16 keys]
    p = ops.softmax(scores)
    derivatives = (p * (1 - p)).sum(axis=-1)
    measured.append([scores.var(axis=(1, 2)), p.max(-1).mean(-1), derivatives.mean(-1)])
variance, largest, derivative = np.array(measured).transpose(1, 2, 0)  # [2, sizes] each
# 1,000 trials of 16 keys: a variance is known to some per cent, hence 15 %
assert np.allclose(variance / [SIZES, np.ones(5)], 1, atol=0.15), f"not d and 1: {variance}"
rows = [(n, f"{a:.2f}", f"{b:.2f}") for n, a, b in zip(SIZES, *variance, strict=True)]
print(table(rows, ("d", "variance of the scores", "divided by √d")))
assert derivative[0, -1] < 0.1 < 0.7 < derivative[1, -1], "at d = 512 only divided scores can learn"

figure, panels = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
LABELS = ("largest of the 16 weights", "sum of the derivatives p (1 - p)")
for axes, label, (raw, divided) in zip(panels, LABELS, (largest, derivative), strict=True):
    axes.semilogx(SIZES, raw, "s--", color="#c55a11", label="not divided")
    axes.semilogx(SIZES, divided, "o-", color="#1f4e79", label="divided by √d")
    axes.set(xlabel="d, size of a query and a key", ylabel=label, ylim=(0, 1.02))
axes.legend(frameon=False)
figure.suptitle("Undivided scores saturate the softmax (random queries, 16 random keys)")
figure.savefig(out / "02_why_divided.png", dpi=120)
print(f"picture: {out / '02_why_divided.png'}")

# %% [markdown]
# What heads look at
# ------------------
# Nobody told the heads what to do. Three of MiniLM's 72 have a task that is easy to name: we
# measure the mean weight on it in 60 sentences of the project's own sample. The fourth finds who
# "she" is and what was lost in our sentence; one sentence is an example and no proof.

# %%
TASKS = {(0, 2): ("the token before", lambda t: [t - 1], 0.9),  # layer, head; keys of query t
         (1, 8): ("the token after", lambda t: [t + 1], 0.5),
         (2, 9): ("[CLS] or [SEP]", lambda t: [0, -1], 0.6)}  # fmt: skip
dev = encode_texts(tokenizer, [e.text for e in glue_data("sst-2", sample=True).dev[:60]], 64)
entering = [encode(base.params, make_batch([one]), config) for one in dev]
titles = {}
for (layer, head), (task, keys, least) in TASKS.items():
    shares = []
    for x in entering:
        _, p = attend(*project(layer, FEATURES[head], x[layer]))
        t = np.arange(1, len(p) - 1)  # the words
        shares.append(sum(p[t, key] for key in keys(t)).mean())
    assert np.mean(shares) > least, f"head {layer, head} should look at {task}: {np.mean(shares)}"
    titles[layer, head] = f"{task} ({100 * np.mean(shares):.0f} % in 60 sentences)"
for word, found in (("she", "sister"), ("lost", "keys")):
    there = weights[pieces.index(word), pieces.index(found)]
    assert there > 0.6, f"{word} should look at {found}, but does so by {there:.2f} only"
titles[LAYER, HEAD] = "“she” finds “sister”, “lost” finds “keys”"

figure, panels = plt.subplots(2, 2, figsize=(10, 10.8), layout="constrained")
for ((layer, head), title), axes in zip(titles.items(), panels.flat, strict=True):
    _, weights = attend(*project(layer, FEATURES[head], states[layer]))
    image = axes.imshow(weights, cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks(range(len(pieces)), pieces, rotation=90)
    axes.set_yticks(range(len(pieces)), pieces)
    axes.set(title=f"layer {layer}, head {head}:\n{title}", xlabel="looks at (key)", ylabel="query")
figure.colorbar(image, ax=panels, location="bottom", shrink=0.5, label="attention weight")
figure.savefig(out / "02_heads.png", dpi=120)
print(f"picture: {out / '02_heads.png'}")

# %% [markdown]
# What next
# ---------
# - Write it yourself: ``minibert exercises check 01``.
# - Write a sentence with "he" and two men in it. Whom does head 1 of layer 3 choose?
# - Shuffle the rows of x before a head attends. What would BERT be without its position table?
#
# ``03_layer.py`` builds the layer around it.
