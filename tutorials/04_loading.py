"""
Loading a real BERT
===================

A trained model is a file of numbers and nothing else. Here it is read by hand, checked, put in its
places, and asked what sentences mean.

**You will learn** how a safetensors file is made, how its names and layouts become the parameters
of this encoder, what a sha256 protects from, how to compare sentences by their meaning, and what a
model must have to fill in a missing word. **Time:** 20 minutes to read, some seconds to run. **You
need to know** what the parts of a layer are (``03_layer.py``). The weights of MiniLM (91 MB) are
fetched when they are not here yet. A public BERT, trained once on much text and then kept frozen,
is what the adapters of Houlsby et al. 2019 (arXiv 1902.00751, section 1) are added to.
"""

import hashlib
import json
import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.show import table
from minibert import InputError, encode, encode_texts, load_base, make_batch
from minibert.checkpoint import our_path
from minibert.datasets import glue_data
from minibert.glue_data import find_task
from minibert.heads import masked_tokens, probabilities
from minibert.metrics import spearman
from minibert.tokenizer import group_by_length
from minibert.tree import count, leaves
from minibert.weights import fetch_model, find_model, locate_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The file
# --------
# Eight bytes say how long the header is; the header is JSON and says of each tensor its name, its
# type, its shape and where its bytes are; the bytes follow. That is the whole safetensors format.
# There can be no code in it, as there can be in a pickle file, so nothing is run by reading it.

# %%
folder = fetch_model("minilm")
content = (folder / "model.safetensors").read_bytes()
size = int.from_bytes(content[:8], "little")
header = json.loads(content[8 : 8 + size])
print(f"{len(content):,} bytes: 8, a header of {size:,}, and numbers; {header.pop('__metadata__')}")
assert len(header) == 104, f"{len(header)} tensors"
ends = sorted(entry["data_offsets"] for entry in header.values())
assert ends[0][0] == 0, "the first tensor begins right after the header"
assert all(a[1] == b[0] for a, b in pairwise(ends)), "no gap, no overlap"
assert 8 + size + ends[-1][1] == len(content), "the last tensor ends with the file"


def tensor(name):
    start, stop = (8 + size + offset for offset in header[name]["data_offsets"])
    assert header[name]["dtype"] == "F32", f"{name} is no float32"
    return np.frombuffer(content[start:stop], "<f4").reshape(header[name]["shape"])


# %% [markdown]
# Names
# -----
# The six layers have the same 16 tensors each. Outside of them are the embeddings, the pooler (a
# linear map for the vector of [CLS]), and a list of the numbers 0 to 511 that some library once
# stored with the parameters. ``minibert`` has names of its own, the paths through a nested dict.

# %%
kinds = Counter(re.sub(r"\.\d+\.", ".*.", name) for name in header)
rows = []
for kind, times in kinds.items():
    first = kind.replace(".*.", ".0.")
    path = our_path(first).replace(".0.", ".*.") or "(not used)"
    rows.append((kind, path, times, str(tuple(header[first]["shape"]))))
print(table(rows, ("name in the file", "path here", "times", "shape in the file")))

base = load_base(folder)
params = dict(leaves(base.params))  # {path: array}
assert params.keys() == {our_path(name) for name in header} - {""}, "every other tensor is used"
assert base.extra == ("embeddings.position_ids",), f"not used: {base.extra}"
total = sum(int(np.prod(header[name]["shape"])) for name in header if our_path(name))
assert total == count(base.params) == 22_713_216, f"{total:,} and {count(base.params):,}"
print(f"{len(params)} parameter tensors, {total:,} numbers")

# %% [markdown]
# Layouts
# -------
# The file has a linear map's weight as [out, in]; on paper one writes x W with W as [in, out]. So W
# is the file's matrix, transposed. In NumPy a transposed matrix is only another way of walking over
# the same bytes: nothing is copied, and the frozen weights are a read-only view of the file.

# %%
for name in header:
    if path := our_path(name):
        stored, seen = tensor(name), params[path]
        linear = path.endswith("weight") and stored.ndim == 2
        assert np.array_equal(stored.T if linear else stored, seen), f"{name} is not {path}"
        assert not seen.flags.writeable, f"{path} could be changed by mistake"
inner = params["layers.0.feed_forward.inner.weight"]
assert inner.shape == (384, 1536), "[in, out]"
assert inner.strides == (4, 4 * 384), "the next input is the next number: the file's own order"
print(f"inner.weight: {inner.shape} here, {inner.T.shape} in the file, strides {inner.strides}")

# %% [markdown]
# The right file?
# ---------------
# The sha256 of a file is 256 bits that depend on all of it; nobody knows how to make two files with
# the same one. ``weights/manifest.toml`` has that of the weights, and a trained task remembers on
# which it was trained. One wrong bit in 91 MB may do nothing that one would notice; the sha256 sees
# it.

# %%
digest = hashlib.sha256(content).hexdigest()
promised = find_model("minilm").files["model.safetensors"]["sha256"]
assert digest == promised == base.sha256, f"{digest}, promised {promised}, loaded {base.sha256}"
spoilt = bytearray(content)
spoilt[50_000_000] ^= 1
assert hashlib.sha256(spoilt).hexdigest() != digest, "a flipped bit must show"
print(f"sha256        {digest}\none bit wrong {hashlib.sha256(spoilt).hexdigest()}")

# %% [markdown]
# What a sentence means
# ---------------------
# The base was trained so that the mean of a sentence's last vectors is its meaning: sentences that
# say the same should point in the same direction. With unit vectors u and v that is their product:
#
# :math:`u = \frac{1}{T} \sum_{t=1}^T h_t \Big/ \Big| \frac{1}{T} \sum_{t=1}^T h_t \Big|, \qquad
# \cos(u, v) = u \cdot v`.


# %%
def meanings(texts):
    encoded = encode_texts(base.tokenizer, texts, max_length=128)
    means = np.empty((len(texts), base.config.hidden_size), np.float32)
    for group in group_by_length([len(one.ids) for one in encoded]):
        batch = make_batch([encoded[i] for i in group])
        last = encode(base.params, batch, base.config)[-1]  # [N, D]
        means[group] = np.add.reduceat(last, batch.starts) / batch.lengths[:, None]  # [B, D]
    return means / np.linalg.norm(means, axis=1, keepdims=True)


SENTENCES = ("The kitten is asleep on the sofa.", "A young cat naps on the couch.",
             "Our cat dozes in an armchair.", "The bank raised its interest rates.",
             "Borrowing money has become more expensive.", "Loans cost more this year.",
             "The river burst its banks after the storm.", "Heavy rain flooded the valley.",
             "Streets were under water after the downpour.")  # fmt: skip
found = meanings(SENTENCES)
cosines = found @ found.T  # [9, 9]
topic = np.arange(9) // 3
others = np.where(np.eye(9, dtype=bool), -1, cosines)
assert (topic[others.argmax(axis=1)] == topic).all(), "the nearest should be of the same topic"
same = topic[:, None] == topic
print(f"cosines: in a topic from {cosines[same].min():.2f}, else up to {cosines[~same].max():.2f}")

figure, axes = plt.subplots(figsize=(11, 5.8), layout="constrained")
image = axes.imshow(cosines, cmap="Greys", vmin=0, vmax=1)
for i, j in np.ndindex(9, 9):
    colour = "w" if cosines[i, j] > 0.6 else "k"
    axes.text(j, i, f"{cosines[i, j]:.2f}", ha="center", va="center", size=9, color=colour)
axes.set_yticks(range(9), [f"{text}  {i + 1}" for i, text in enumerate(SENTENCES)])
axes.set_xticks(range(9), range(1, 10))
axes.set(xlabel="sentence", title="Cosine of the mean vectors: topics of three sentences each")
for edge in (2.5, 5.5):
    axes.axhline(edge, color="k", lw=1)
    axes.axvline(edge, color="k", lw=1)
figure.colorbar(image, ax=axes, label="cosine (below 0 is white, too)")
figure.savefig(out / "04_meanings.png", dpi=120)
print(f"picture: {out / '04_meanings.png'}")

# %% [markdown]
# Nine sentences prove little. In STS-B pairs of sentences are rated from 0 (different) to 5 (they
# mean the same). Does the cosine put them in the same order? Spearman's correlation of the ranks
# tells: 1 is the same order, 0 none. Beside it the share of words that the two have in common.

# %%
data = glue_data("sts-b", sample=find_task("sts-b") is None)
pairs = [example.text for example in data.dev]
gold = np.array([example.label for example in data.dev])
first, second = (meanings([pair[i] for pair in pairs]) for i in (0, 1))
bags = [[set(text.lower().rstrip(".").split()) for text in pair] for pair in pairs]
shared = np.array([len(a & b) / len(a | b) for a, b in bags])
by_meaning = spearman((first * second).sum(axis=1), gold)
by_words = spearman(shared, gold)
print(f"data: {data.source}; {len(pairs)} pairs. Spearman with the ratings:")
print(f"  cosine of the meanings {by_meaning:.2f}, share of common words {by_words:.2f}")
assert by_meaning > 0.5, f"MiniLM should know much of it, but has {by_meaning:.2f}"
assert by_meaning > by_words + 0.05, f"{by_meaning:.2f}, by counting words {by_words:.2f}"

# %% [markdown]
# A missing word
# --------------
# BERT's first training was to guess words behind [MASK]. The head for that gives a score to each of
# the V words of the vocabulary: one more linear map, GELU and LayerNorm, then the product with the
# word embeddings themselves and a bias a word (Devlin et al. 2018, arXiv 1810.04805, section 3.1),
# :math:`\mathrm{scores} = \mathrm{LayerNorm}(\mathrm{gelu}(h \, W + b)) \, E^T + c`.
# MiniLM was published without this head, BERT-base with it: ``minibert fetch bert-base-uncased``
# (440 MB).

# %%
GAPS = ("The capital of France is [MASK].", "She plays the [MASK] in an orchestra.",
        "In winter the lake is covered with [MASK].")  # fmt: skip
assert "masked_tokens" not in base.params, "MiniLM should have no head for masked words"
try:
    bert = load_base(locate_model("bert-base-uncased"), pooler=False)
except InputError as error:
    print(f"No word is guessed: MiniLM has no head for it, and {error}")
else:
    for text in GAPS:
        batch = make_batch(encode_texts(bert.tokenizer, [text], max_length=64))
        rows = np.flatnonzero(batch.ids == bert.tokenizer.token_to_id("[MASK]"))
        last = encode(bert.params, batch, bert.config)[-1]
        chances = probabilities(masked_tokens(bert.params, last, rows, bert.config))[0]  # [V]
        best = [bert.tokenizer.id_to_token(int(i)) for i in np.argsort(-chances)[:5]]
        print(f"{text:44} {chances.max():.2f}", *best)
        assert text != GAPS[0] or "paris" in best, f"{text} should be paris, guessed {best}"

# %% [markdown]
# What next
# ---------
# - Write it yourself: ``minibert exercises check 04`` reads such a file.
# - Sentences 4 and 7 share a word with two meanings. What is their cosine when the "banks" of
#   sentence 7 become "dykes"?
# - Take the vector of [CLS] instead of the mean. How much of the correlation is left?
# - Write two sentences that differ in one word and mean the opposite. What does the cosine say?
#
# So far nothing was learnt. It takes gradients: ``05_backward.py``.
