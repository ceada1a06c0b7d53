"""
Loading a real BERT
===================

A trained model is a file of numbers. Here it is read by hand, verified, and asked what texts mean.

**You will learn** what is in a safetensors file, what a sha256 protects from, how the file's names
and layouts become the parameters of this encoder, how to compare sentences by their meaning, and
what a model needs to fill in a missing word. **Time:** 20 minutes to read, a few seconds to run.
**You need to know** the parts of a layer (`03_layer.py <03_layer.py>`_). A public BERT was trained
once, on much text, and is then frozen; adapters are added to it (Houlsby et al. 2019, `arXiv
1902.00751 <https://arxiv.org/abs/1902.00751>`_, section 1).
"""

import hashlib
import json

import matplotlib.pyplot as plt
import numpy as np

from adapters.pictures import save_picture
from adapters.show import table
from minibert import (
    InputError,
    encode,
    encode_texts,
    fetch_model,
    load_base,
    locate_model,
    make_batch,
)
from minibert.checkpoint import our_path
from minibert.fetch.models import find_model
from minibert.heads import masked_tokens, probabilities
from minibert.tree import count, leaves

# %% [markdown]
# The file
# --------
# Eight bytes say how long the header is. The header is JSON, and gives each tensor's name, type,
# shape, and the place of its bytes. The bytes follow. That is the whole safetensors format. Unlike
# a pickle file it cannot hold code that would run when it is read.
#
# Is it the right file? Its sha256 is 256 bits that depend on every byte of it;
# ``weights/manifest.toml`` has that of the weights. Nobody would notice one wrong bit in 91 MB; the
# sha256 shows it.

# %%
folder = fetch_model("minilm")
content = (folder / "model.safetensors").read_bytes()
size = int.from_bytes(content[:8], "little")
header = json.loads(content[8 : 8 + size])
print(f"{len(content):,} bytes: 8, a header of {size:,}, and numbers; {header.pop('__metadata__')}")
end = 0
for start, stop in sorted(entry["data_offsets"] for entry in header.values()):
    assert start == end, f"a gap or an overlap at byte {end}"
    end = stop
assert 8 + size + end == len(content), "the last tensor ends with the file"

base = load_base(folder)
digest = hashlib.sha256(content).hexdigest()
promised = find_model("minilm").files["model.safetensors"]["sha256"]
assert digest == promised == base.sha256, f"{digest}, promised {promised}, loaded {base.sha256}"
spoilt = bytearray(content)
spoilt[50_000_000] ^= 1
assert hashlib.sha256(spoilt).hexdigest() != digest, "a flipped bit must show"
print(f"sha256 {digest}")

# %% [markdown]
# Names and layouts
# -----------------
# Each of the six layers has the same 16 tensors. Outside of them are the embeddings, the pooler
# (for the vector of [CLS]), and a list of the numbers 0 to 511, which this encoder does not need.
# ``minibert`` has names of its own: the paths through a nested dict.
#
# The file has a linear map's weight as [out, in]; on paper one writes x W, with W as [in, out]. So
# W is the file's matrix, transposed. In NumPy that is only another way to step through the same
# bytes: nothing is copied, and the frozen weights are a read-only view of the file.


# %%
def stored_array(entry):
    """A tensor as it lies in the file."""
    start, stop = (8 + size + offset for offset in entry["data_offsets"])
    return np.frombuffer(content[start:stop], "<f4").reshape(entry["shape"])


shown = [name for name in header if ".layer." not in name or ".layer.0." in name]
rows = [(name, our_path(name) or "(not used)", str(header[name]["shape"])) for name in shown]
print(table(rows, ("name in the file", "path here", "shape in the file")))
assert (len(header), len(shown)) == (8 + 6 * 16, 8 + 16), f"{len(header)} tensors"
params = dict(leaves(base.params))  # {path: array}
assert params.keys() == {our_path(name) for name in header} - {""}, "every other tensor is used"
assert base.extra == ("embeddings.position_ids",), f"not used: {base.extra}"
assert count(base.params) == 22_713_216, f"{count(base.params):,} parameters"
for name, entry in header.items():
    path = our_path(name)
    if not path:
        continue
    assert entry["dtype"] == "F32", f"{name} is not float32"
    stored = stored_array(entry)
    if path.endswith("weight") and stored.ndim == 2:  # of a linear map
        stored = stored.T
    assert np.array_equal(stored, params[path]), f"{name} is not {path}"
    assert not params[path].flags.owndata, f"{path} is a copy"
    assert not params[path].flags.writeable, f"{path} could be changed by mistake"

# %% [markdown]
# What a sentence means
# ---------------------
# The base was trained so that the mean of a sentence's last vectors stands for its meaning:
# sentences that say the same should point in the same direction. For unit vectors u and v the
# cosine of their angle is their product:
#
# :math:`u = \frac{1}{T} \sum_{t=1}^T h_t \Big/ \Big| \frac{1}{T} \sum_{t=1}^T h_t \Big|, \qquad
# \cos(u, v) = u \cdot v`.

# %%
SENTENCES = (
    "The kitten is asleep on the sofa.",
    "A young cat naps on the couch.",
    "Our cat dozes in an armchair.",
    "The bank raised its interest rates.",
    "Borrowing money has become more expensive.",
    "Loans cost more this year.",
    "The river burst its banks after the storm.",
    "Heavy rain flooded the valley.",
    "Streets were under water after the downpour.",
)
batch = make_batch(encode_texts(base.tokenizer, SENTENCES, max_length=128))
last = encode(base.params, batch, base.config)[-1]  # [N, D]
means = np.add.reduceat(last, batch.starts) / batch.lengths[:, None]  # [B, D]
units = means / np.linalg.norm(means, axis=1, keepdims=True)
cosines = units @ units.T  # [B, B]
topic = np.arange(9) // 3
nearest = np.where(np.eye(9, dtype=bool), -1, cosines).argmax(axis=1)
assert (topic[nearest] == topic).all(), f"the nearest should be of the same topic: {nearest}"


def draw_cosines():
    """The cosine of every two sentences, as a table with shades."""
    figure, axes = plt.subplots(figsize=(11, 5.4), layout="constrained")
    axes.imshow(cosines, cmap="Greys", vmin=0, vmax=1.8)
    for i, j in np.ndindex(9, 9):
        axes.text(j, i, f"{cosines[i, j]:.2f}", ha="center", va="center")
    axes.set_yticks(range(9), [f"{text}  {i + 1}" for i, text in enumerate(SENTENCES)])
    axes.set_xticks(range(9), range(1, 10))
    axes.set_title("Cosine of the mean vectors: topics of three sentences each")
    save_picture(figure, "04_meanings")


draw_cosines()

# %% [markdown]
# A missing word
# --------------
# BERT was first trained to guess words hidden behind [MASK]. The head for that gives a score to
# each of the V words of the vocabulary: one more linear map, GELU and LayerNorm, then the product
# with the word embeddings themselves plus a bias for each word (Devlin et al. 2018, `arXiv
# 1810.04805 <https://arxiv.org/abs/1810.04805>`_, section 3.1, and their released code),
# :math:`\mathrm{scores} = \mathrm{LayerNorm}(\mathrm{gelu}(h \, W + b)) \, E^T + c`. MiniLM comes
# without this head, BERT-base (440 MB) with it: ``minibert fetch bert-base-uncased``.


# %%
def guess(bert, text):
    """The five likeliest words for the [MASK] in a text, with their probabilities."""
    batch = make_batch(encode_texts(bert.tokenizer, [text], max_length=64))
    rows = np.flatnonzero(batch.ids == bert.tokenizer.token_to_id("[MASK]"))
    last = encode(bert.params, batch, bert.config)[-1]  # [N, D]
    chances = probabilities(masked_tokens(bert.params, last, rows, bert.config))[0]  # [V]
    return {bert.tokenizer.id_to_token(int(i)): chances[i] for i in np.argsort(-chances)[:5]}


assert "masked_tokens" not in base.params, "MiniLM should have no head for masked words"
try:
    bert = load_base(locate_model("bert-base-uncased"), pooler=False)
except InputError as error:
    print(f"No word is guessed: MiniLM has no head for it, and {error}")
else:
    for text in ("The capital of France is [MASK].", "In winter the lake is covered with [MASK]."):
        words = guess(bert, text)
        print(text, *(f"{word} {chance:.4f}" for word, chance in words.items()))
        assert "France" not in text or "paris" in words, f"{text} should be paris, not {words}"

# %% [markdown]
# What next
# ---------
# 1. Write it yourself: ``minibert exercises check 04`` reads such a file.
# 2. Sentences 4 and 7 share a word with two meanings. What is their cosine when the "banks" of
#    sentence 7 become "dykes"?
# 3. In STS-B, people rated how similar two sentences are. Does the cosine order the pairs as they
#    did (``minibert.data.metrics.spearman``)?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. 0.19 instead of 0.36. Half of the likeness came from the word itself: context tells the two
#    meanings apart, though not entirely.
# 3. Largely. On the 240 pairs of the project's own sample, Spearman's correlation is 0.63, without
#    any training.
#
# .. raw:: html
#
#    </details>
#
# So far nothing was learned. That takes gradients: `05_backward.py <05_backward.py>`_.
