"""
Attention by hand
=================

The one place in BERT where words look at each other. Everything else in it works on each token by
itself.

**You will learn** attention as loops and then as three lines of matrices, why its scores are
divided by the square root of d, why there is no padding mask here, and what some heads of a real
BERT look at. **Time:** 25 minutes to read, some seconds to run. **You need to know** matrix
products, and where the first vectors come from (``01_tokens.py``). The weights of MiniLM (91 MB)
are fetched when they are not here yet. This is section 3.2 of Vaswani et al. 2017 (arXiv
1706.03762); the first of a layer's two adapters (Houlsby et al. 2019, arXiv 1902.00751, figure 2)
sits just behind it.
"""

import math
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.show import table
from minibert import encode, encode_texts, load_base, make_batch, ops
from minibert.datasets import glue_data
from minibert.tokenizer import Encoded
from minibert.weights import fetch_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
base = load_base(fetch_model("minilm"))
config, tokenizer = base.config, base.tokenizer
H, d = config.num_attention_heads, config.hidden_size // config.num_attention_heads

SENTENCE = "My sister lost her keys, so she climbed through the window."
encoded = encode_texts(tokenizer, [SENTENCE], max_length=64)
batch = make_batch(encoded)
pieces = [tokenizer.id_to_token(int(i)) for i in batch.ids]
states = encode(base.params, batch, config)  # [T, D] before each layer, and after the last
print(f"{len(pieces)} tokens: {' '.join(pieces)}")

# %% [markdown]
# A question, a key and a value
# -----------------------------
# From each token's vector, three linear maps make a query (what it looks for), a key (what it can
# be found by) and a value (what it has to tell). Query t and key s give a score; the softmax turns
# the scores of one query into weights that sum to 1; its answer is the values, mixed with these
# weights:
#
# :math:`\mathrm{attention}(Q, K, V) = \mathrm{softmax}(Q K^T / \sqrt{d}) \, V`.
#
# All of that happens in H = 12 heads at once, each with its own d = 32 of the 384 features. First
# as it would be done with pen and paper: one head, one token at a time.


# %%
def project(layer, x):
    own = base.params["layers"][layer]["attention"]
    return [ops.linear(x, own[n]["weight"], own[n]["bias"]) for n in ("query", "key", "value")]


def attend_by_loops(q, k, v):
    answers = []
    for query in q:
        scores = [sum(a * b for a, b in zip(query, key, strict=True)) for key in k]
        powers = [math.exp(score / math.sqrt(len(query))) for score in scores]
        weights = [power / sum(powers) for power in powers]
        answers.append([sum(w * value[i] for w, value in zip(weights, v, strict=True))
                        for i in range(len(v[0]))])  # fmt: skip
    return answers


LAYER, HEAD = 3, 1  # counted from 0, as everywhere in the code
Q, K, V = project(LAYER, states[LAYER])  # [T, D] each
own = slice(HEAD * d, (HEAD + 1) * d)
q, k, v = Q[:, own], K[:, own], V[:, own]  # [T, d]
slowly = attend_by_loops(q.tolist(), k.tolist(), v.tolist())

# %% [markdown]
# The two outer loops are a matrix product, and so is the mix. The library computes all heads of all
# texts of a batch; one slice of what comes out is this head's. Loops in float64 and matrices in
# float32 differ by rounding, some 1e-7 of the values, and by no more.

# %%
scores = q @ k.T / math.sqrt(d)  # [T, d] x [d, T] -> [T, T]
weights = ops.softmax(scores)  # [T, T]: row t is where token t looks
mixed = weights @ v  # [T, T] x [T, d] -> [T, d]
assert np.abs(mixed - slowly).max() < 1e-5, "matrices and loops should agree"
library = ops.attention(Q, K, V, batch.lengths, H)[:, own]
assert np.abs(library - mixed).max() < 1e-5, "minibert.ops.attention should agree"
print(f"loops, matrices, minibert.ops: equal to {np.abs(library - slowly).max():.0e}")

# %% [markdown]
# Why divide by the square root of d?
# -----------------------------------
# A score is a sum of d products. Let queries and keys be independent numbers of mean 0 and variance
# 1; then each product has variance 1 and the sum has variance d. Scores of size 20 are bad for
# learning: the softmax gives all its weight p to one key, and its derivative
# :math:`\partial p_s / \partial score_s = p_s (1 - p_s)` is nearly 0 wherever p is nearly 0 or 1.
# Divided by :math:`\sqrt{d}` the scores have variance 1, whatever d is (footnote 4 of the paper).

# %%
rng = np.random.default_rng(0)
SIZES, KEYS, TRIALS = (2, 8, 32, 128, 512), 16, 1000
measured = {"not divided": [], "divided by √d": []}
for size in SIZES:
    asked = rng.standard_normal((TRIALS, 1, size), np.float32)
    known = rng.standard_normal((TRIALS, KEYS, size), np.float32)
    products = (asked * known).sum(axis=-1)  # [TRIALS, KEYS]
    for name, s in zip(measured, (products, products / math.sqrt(size)), strict=True):
        p = ops.softmax(s)
        measured[name].append((s.var(), p.max(axis=1).mean(), (p * (1 - p)).sum(axis=1).mean()))
raw, divided = (np.array(rows) for rows in measured.values())  # [sizes, 3]
rows = [(n, f"{a[0]:.2f}", f"{b[0]:.2f}") for n, a, b in zip(SIZES, raw, divided, strict=True)]
print(table(rows, ("d", "variance of the scores", "divided by √d")))
# 1,000 trials of 16 keys: a variance is known to some per cent, hence 15 %
assert np.allclose(raw[:, 0] / SIZES, 1, atol=0.15), f"variance should be d: {raw[:, 0]}"
assert np.allclose(divided[:, 0], 1, atol=0.15), f"variance should be 1: {divided[:, 0]}"
assert raw[-1, 2] < 0.1 < 0.7 < divided[-1, 2], "at d = 512 only divided scores can learn"

figure, panels = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
LOOKS = {"not divided": {"color": "#c55a11", "marker": "s", "ls": "--"},
         "divided by √d": {"color": "#1f4e79", "marker": "o"}}  # fmt: skip
TITLES = ("largest of the 16 weights", "sum of the derivatives p (1 - p)")
for column, (axes, title) in enumerate(zip(panels, TITLES, strict=True), start=1):
    for name, rows in measured.items():
        axes.semilogx(SIZES, np.array(rows)[:, column], **LOOKS[name], label=name)
    axes.axvline(d, color="0.6", ls=":", label="MiniLM's d = 32")
    axes.set(xlabel="d, size of a query and a key", ylabel=title, ylim=(0, 1.02))
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.grid(alpha=0.3)
handles = panels[0].get_legend_handles_labels()
figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
figure.suptitle("Undivided scores saturate the softmax (random queries, 16 random keys)")
figure.savefig(out / "02_why_divided.png", dpi=120)
print(f"picture: {out / '02_why_divided.png'}")

# %% [markdown]
# Why there is no mask
# --------------------
# Where a batch is a rectangle, filled up with [PAD] tokens, attention must be told not to look at
# them: their scores are set to minus infinity. Here each text attends within its own rows and no
# padding exists. So a text's vectors do not depend on its company: alone or in a batch they are
# equal up to rounding, and another neighbour of the same length changes not one bit.

# %%
three = encode_texts(tokenizer, ["Tea?", SENTENCE, "The ferry was late again."], max_length=64)
swapped = [encode_texts(tokenizer, ["Rain?"], max_length=64)[0], *three[1:]]
assert len(swapped[0].ids) == len(three[0].ids), "the two neighbours should be equally long"
rows = slice(len(three[0].ids), len(three[0].ids) + len(pieces))
inside, beside = (encode(base.params, make_batch(e), config)[-1][rows] for e in (three, swapped))
assert np.abs(inside - states[-1]).max() < 1e-4, "a text must not depend on its batch"
assert np.array_equal(inside, beside), "another neighbour must not change one bit"

empty = np.zeros(4, np.int64)  # the id of [PAD] is 0
padded = make_batch([Encoded(*(np.append(part, empty) for part in encoded[0]))])
careless = encode(base.params, padded, config)[-1]  # as if the four [PAD] were words
moved = np.linalg.norm(careless[: len(pieces)] - states[-1]) / np.linalg.norm(states[-1])
assert moved > 0.05, f"attending to padding should do harm, but moved the states by {moved}"
print(f"Four [PAD] tokens without a mask move the last states by {100 * moved:.0f} %.")

# %% [markdown]
# What heads look at
# ------------------
# Nobody told the heads what to do. Three of MiniLM's 72 have a task that is easy to name: we
# measure the mean weight on it in 60 sentences of the project's own sample. The fourth finds who
# "she" is and what was lost, in this sentence; one sentence is an example and no proof.


# %%
def look(layer, head, x):  # [T, D] -> [T, T]
    q, k, _ = (rows[:, head * d : (head + 1) * d] for rows in project(layer, x))
    return ops.softmax(q @ k.T / math.sqrt(d))


TASKS = {(0, 2): ("the token before", lambda t: [t - 1], 0.9),  # layer, head; keys of query t
         (1, 8): ("the token after", lambda t: [t + 1], 0.5),
         (2, 9): ("[CLS] or [SEP]", lambda t: [0, -1], 0.6)}  # fmt: skip
data = glue_data("sst-2", sample=True)
shares = {place: [] for place in TASKS}
for one in encode_texts(tokenizer, [example.text for example in data.dev[:60]], max_length=64):
    entering = encode(base.params, make_batch([one]), config)
    t = np.arange(1, len(one.ids) - 1)  # the words
    for (layer, head), (_, keys, _) in TASKS.items():
        p = look(layer, head, entering[layer])
        shares[layer, head].append(sum(p[t, key] for key in keys(t)).mean())
print(f"data: {data.source}; 60 sentences")
titles = {}
for place, (task, _, least) in TASKS.items():
    mean = np.mean(shares[place])
    assert mean > least, f"head {place} should look at {task}, but does so by {mean:.2f} only"
    titles[place] = f"{task} ({100 * mean:.0f} % in 60 sentences)"
for word, found in (("she", "sister"), ("lost", "keys")):
    there = weights[pieces.index(word), pieces.index(found)]
    assert there > 0.6, f"{word} should look at {found}, but does so by {there:.2f} only"
titles[LAYER, HEAD] = "“she” finds “sister”, “lost” finds “keys”"

figure, panels = plt.subplots(2, 2, figsize=(10, 10.4), layout="constrained")
for ((layer, head), title), axes in zip(titles.items(), panels.flat, strict=True):
    image = axes.imshow(look(layer, head, states[layer]), cmap="Greys", vmin=0, vmax=1)
    axes.set_title(f"layer {layer}, head {head}: {title}", fontsize=10)
    axes.set_xticks(range(len(pieces)), pieces, rotation=90, fontsize=9)
    axes.set_yticks(range(len(pieces)), pieces, fontsize=9)
    axes.set(xlabel="looks at this token (key)", ylabel="this token (query)")
figure.colorbar(image, ax=panels, location="bottom", shrink=0.5, aspect=40,
                label="attention weight; each row sums to 1")  # fmt: skip
figure.suptitle("Where four of MiniLM's heads look")
figure.savefig(out / "02_heads.png", dpi=120)
print(f"picture: {out / '02_heads.png'}")

# %% [markdown]
# What next
# ---------
# - Write it yourself: ``minibert exercises check 01``.
# - Write a sentence with "he" and two men in it. Whom does head 1 of layer 3 choose?
# - Many heads look at [CLS], which is no word. What could that be good for? (Clark et al. 2019,
#   arXiv 1906.04341, ask the same of [SEP] in BERT.)
# - Shuffle the rows of x before a head attends. What would BERT be without its position table?
#
# ``03_layer.py`` builds the layer around it.
