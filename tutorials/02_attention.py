"""
Attention by hand
=================

Attention is the one place in BERT where words look at each other: everything else works on each
token by itself.

**You will learn** attention as loops and as three lines of matrices, why its scores are divided by
the square root of d, why no padding mask is needed here, and what some heads of MiniLM look at.
**Time:** 25 minutes to read, a few seconds to run. **You need to know** matrix products, and where
the first vectors come from (`01_tokens.py <01_tokens.py>`_). This is section 3.2 of Vaswani et al.
2017 (`arXiv 1706.03762 <https://arxiv.org/abs/1706.03762>`_); a layer's first adapter (Houlsby et
al. 2019, `arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_) sits just behind it.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

from adapters.pictures import save_picture
from adapters.show import table
from minibert import encode, encode_texts, fetch_model, glue_data, load_base, make_batch, ops

base = load_base(fetch_model("minilm"))
config = base.config
tokenizer = base.tokenizer
H = config.num_attention_heads
d = config.hidden_size // H
FEATURES = [slice(head * d, (head + 1) * d) for head in range(H)]  # of each head

SENTENCE = "My sister lost her keys, so she climbed through the window."
batch = make_batch(encode_texts(tokenizer, [SENTENCE], max_length=64))
pieces = [tokenizer.id_to_token(int(i)) for i in batch.ids]
states = encode(base.params, batch, config)  # [T, D] before each layer, and after the last

# %% [markdown]
# Query, key and value
# --------------------
# From each token's vector, three linear maps make a query (what it looks for), a key (what it can
# be found by) and a value (what it has to tell). Query t and key s give a score. The softmax turns
# the scores of one query into weights that sum to 1, and its answer is the values, mixed with these
# weights. All this happens in H = 12 heads at once, each with d = 32 of the 384 features:
#
# :math:`\mathrm{attention}(Q, K, V) = \mathrm{softmax}(Q K^T / \sqrt{d}) \, V`.
#
# First one head, one token at a time; then as matrices, where one product does the work of the
# loops. The library computes all heads, for all texts of a batch. If a batch were filled up with
# [PAD] tokens, a mask would have to hide them from the softmax. Here each text attends within its
# own rows: there is no padding and no mask, and a text gets the same vectors alone and in company.


# %%
def project(layer, features, x):
    """The queries, keys and values of some features. [N, D] -> three of [N, number of features]"""
    maps = base.params["layers"][layer]["attention"]
    chosen = [maps[name] for name in ("query", "key", "value")]
    return [ops.linear(x, p["weight"][:, features], p["bias"][features]) for p in chosen]


def attend_by_loops(q, k, v):
    """One head, token by token. Three of [T, d] -> [T, d]"""
    answers = []
    for query in q:
        powers = [math.exp(query @ key / math.sqrt(d)) for key in k]
        mixed = sum(power * value for power, value in zip(powers, v, strict=True))
        answers.append(mixed / sum(powers))
    return np.array(answers)


def attend(q, k, v):
    """One head as matrices. Three of [T, d] -> [T, d], and the weights [T, T]"""
    scores = q @ k.T / math.sqrt(d)  # [T, d] x [d, T] -> [T, T]
    weights = ops.softmax(scores)  # [T, T]: row t is where token t looks
    return weights @ v, weights  # [T, T] x [T, d] -> [T, d]


LAYER, HEAD = 3, 1  # counted from 0, as everywhere in the code
q, k, v = project(LAYER, FEATURES[HEAD], states[LAYER])
slowly = attend_by_loops(q, k, v)
mixed, weights = attend(q, k, v)
assert np.abs(mixed - slowly).max() < 1e-5, "matrices and loops should agree up to rounding"
every_head = project(LAYER, slice(None), states[LAYER])  # three of [T, D]
library = ops.attention(*every_head, batch.lengths, batch.lengths, H)  # [T, D]
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
SIZES = (2, 8, 32, 128, 512)
measured = []
for size in SIZES:
    queries = rng.standard_normal((1000, 1, size), np.float32)
    keys = rng.standard_normal((1000, 16, size), np.float32)
    products = (queries * keys).sum(axis=-1)
    scores = np.stack([products, products / math.sqrt(size)])  # [2, 1000 trials, 16 keys]
    p = ops.softmax(scores)
    derivatives = (p * (1 - p)).sum(axis=-1)
    measured.append([scores.var(axis=(1, 2)), p.max(-1).mean(-1), derivatives.mean(-1)])
variance, largest, derivative = np.array(measured).transpose(1, 2, 0)  # [2, sizes] each
# 1,000 trials of 16 keys: a variance is known to a few per cent, hence 15 %
assert np.allclose(variance / [SIZES, np.ones(5)], 1, atol=0.15), f"not d and 1: {variance}"
rows = [(n, f"{a:.2f}", f"{b:.2f}") for n, a, b in zip(SIZES, *variance, strict=True)]
print(table(rows, ("d", "variance of the scores", "divided by √d")))
assert derivative[0, -1] < 0.1 < 0.7 < derivative[1, -1], "at d = 512 only divided scores can learn"


def draw_saturation():
    """The softmax with and without the division, by d."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    labels = ("largest of the 16 weights", "sum of the derivatives p (1 - p)")
    for axes, label, (raw, divided) in zip(panels, labels, (largest, derivative), strict=True):
        axes.semilogx(SIZES, raw, "s--", color="#c55a11", label="not divided")
        axes.semilogx(SIZES, divided, "o-", color="#1f4e79", label="divided by √d")
        axes.set(xlabel="d, size of a query and a key", ylabel=label, ylim=(0, 1.02))
    axes.legend(frameon=False)
    figure.suptitle("Undivided scores saturate the softmax (random queries, 16 random keys)")
    save_picture(figure, "02_why_divided")


draw_saturation()

# %% [markdown]
# What heads look at
# ------------------
# Nobody told the heads what to do. Three of MiniLM's 72 have a job that is easy to name: we measure
# the mean weight that they give to it in 60 sentences of the project's own sample. The fourth finds
# who "she" is and what was lost in our sentence; one sentence is an example, not a proof.

# %%
JOBS = {  # (layer, head): what it looks at, those keys of query t, the least mean weight
    (0, 2): ("the token before", lambda t: [t - 1], 0.9),
    (1, 8): ("the token after", lambda t: [t + 1], 0.5),
    (2, 9): ("[CLS] or [SEP]", lambda t: [0, -1], 0.6),
}
sentences = [example.text for example in glue_data("sst-2", sample=True).dev[:60]]
batches = [make_batch([one]) for one in encode_texts(tokenizer, sentences, 64)]
entering = [encode(base.params, one, config) for one in batches]  # each layer, of each sentence
titles = {}
for (layer, head), (job, keys, least) in JOBS.items():
    shares = []
    for x in entering:
        _, p = attend(*project(layer, FEATURES[head], x[layer]))
        words = np.arange(1, len(p) - 1)
        shares.append(sum(p[words, key] for key in keys(words)).mean())
    assert np.mean(shares) > least, f"head {layer, head} should look at {job}: {np.mean(shares)}"
    titles[layer, head] = f"{job} ({100 * np.mean(shares):.0f} % in 60 sentences)"
for word, found in (("she", "sister"), ("lost", "keys")):
    share = weights[pieces.index(word), pieces.index(found)]
    assert share > 0.6, f"{word} should look at {found}, but its weight is only {share:.2f}"
titles[LAYER, HEAD] = "“she” finds “sister”, “lost” finds “keys”"


def draw_heads():
    """The weights of the four heads in our sentence: a row is where one token looks."""
    figure, panels = plt.subplots(2, 2, figsize=(10, 10.8), layout="constrained")
    for ((layer, head), title), axes in zip(titles.items(), panels.flat, strict=True):
        _, weights = attend(*project(layer, FEATURES[head], states[layer]))
        image = axes.imshow(weights, cmap="Greys", vmin=0, vmax=1)
        axes.set_xticks(range(len(pieces)), pieces, rotation=90)
        axes.set_yticks(range(len(pieces)), pieces)
        axes.set(title=f"layer {layer}, head {head}:\n{title}")
        axes.set(xlabel="looks at (key)", ylabel="query")
    figure.colorbar(image, ax=panels, location="bottom", shrink=0.5, label="attention weight")
    save_picture(figure, "02_heads")


draw_heads()

# %% [markdown]
# What next
# ---------
# 1. Write it yourself: ``minibert exercises check 01``.
# 2. Write a sentence with "he" and two men in it. Which one does head 1 of layer 3 choose?
# 3. Shuffle the rows of x before a head attends. What would BERT be without its position table?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. In "My uncle phoned the plumber, but he was away." the uncle (0.69); in "My brother told the
#    baker that he had lost his keys." the baker (0.67), whom most people would not choose. It is a
#    guess at a noun for a person, made from what three layers know.
# 3. The answers are the same, shuffled alike: attention sees a set of vectors. Without positions,
#    "the dog bit the man" and "the man bit the dog" would be one text to BERT.
#
# .. raw:: html
#
#    </details>
#
# `03_layer.py <03_layer.py>`_ builds the layer around it.
