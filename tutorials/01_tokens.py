"""
Tokens and their vectors
========================

BERT cuts a text into pieces that it knows, and puts a vector of numbers in the place of each.

**You will learn** how a word that BERT has never seen becomes pieces that it has, what a pair of
sentences looks like to it, why a batch here has no padding, and from which three tables the first
vectors come. **Time:** 20 minutes to read, some seconds to run. **You need to know** Python and
what a matrix is. This is section 3 of Devlin et al. 2018 (arXiv 1810.04805). Of all this, the
method of Houlsby et al. 2019 (arXiv 1902.00751) trains the LayerNorm only: the tables stay frozen.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.show import facts
from minibert import encode_texts, load_base, make_batch
from minibert.data.glue import glue_data
from minibert.fetch.datasets import find_task
from minibert.fetch.models import fetch_model
from minibert.model import embed
from minibert.ops import layer_norm

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
base = load_base(fetch_model("minilm"))
tokenizer, tables = base.tokenizer, base.params["embeddings"]
vocabulary = tokenizer.get_vocab()  # piece -> its number
assert len(vocabulary) == base.config.vocab_size == 30_522, f"{len(vocabulary)} pieces"

# %% [markdown]
# Words into pieces
# -----------------
# The vocabulary has 30,522 pieces: whole words, parts of words, single characters. A piece that
# goes on with a word begins with ##. WordPiece takes from a word the longest piece that there is,
# then the longest that goes on from there, until nothing is left. Before that the text is put in
# lower case, loses its accents, and is cut at spaces and punctuation. By hand it takes ten lines,
# which we compare with the tokenizer on every sentence of the real SST-2's dev set when it is here
# (``minibert fetch sst-2``), else of the sample that comes with this project.


# %%
def longest_first(word):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = [e for e in range(len(word), start, -1) if prefix + word[start:e] in vocabulary]
        if not ends:
            return ["[UNK]"]  # one unknown character makes the whole word unknown
        pieces.append(prefix + word[start : ends[0]])
        start = ends[0]
    return pieces


def words_of(text):
    plain = tokenizer.normalizer.normalize_str(text)
    return [word for word, place in tokenizer.pre_tokenizer.pre_tokenize_str(plain)]


TRIED = ("Bookkeeping", "unaffable", "electroencephalography", "Zürich", "It's", "🦜")
print(facts([(t, " ".join(p for word in words_of(t) for p in longest_first(word))) for t in TRIED]))

data = glue_data("sst-2", sample=find_task("sst-2") is None)
encoded = encode_texts(tokenizer, [example.text for example in data.dev], max_length=512)
pieces_of = [[longest_first(word) for word in words_of(example.text)] for example in data.dev]
for example, words, its in zip(data.dev, pieces_of, encoded, strict=True):
    by_hand = [vocabulary[piece] for pieces in words for piece in pieces]
    assert by_hand == its.ids[1:-1].tolist(), f"WordPiece by hand differs: {example.text}"
whole = np.mean([len(pieces) == 1 for words in pieces_of for pieces in words])
print(f"data: {data.source}; {len(encoded)} sentences, {100 * whole:.1f} % of words in one piece")
assert 0.85 < whole < 0.98, f"most words should be one piece, but rare ones not; {whole:.3f} are"

# %% [markdown]
# What BERT reads
# ---------------
# A text begins with [CLS], whose last vector will stand for the whole of it, and ends with [SEP]. A
# pair of sentences is one text with a [SEP] after each; a token's segment says to which sentence it
# belongs. Texts differ in length. Elsewhere empty [PAD] tokens make a rectangle of them; here a
# batch is all texts end to end, N tokens in all, and their lengths (it saves time: ``15_fast.py``).

# %%
TEXTS = ("The greenhouse leaked, so Ann fixed it.", "Photosynthesis needs light.",
         ("Did it rain?", "The bookkeeper's umbrella was dripping."))  # fmt: skip
batch = make_batch(encode_texts(tokenizer, TEXTS, max_length=64))
width = int(batch.lengths.max())
spared = len(TEXTS) * width - len(batch.ids)
print(f"N = {len(batch.ids)}, lengths {batch.lengths}, starts {batch.starts}")
assert spared == sum(width - batch.lengths) > 0, "texts of unequal length need less room"
assert set(batch.ids[batch.starts]) == {vocabulary["[CLS]"]}, "each text starts with [CLS]"
assert not batch.positions[batch.starts].any(), "positions count from 0 in each text"
assert batch.segments[batch.starts + batch.lengths - 1].tolist() == [0, 0, 1], "one is a pair"

text_of = np.repeat(np.arange(len(TEXTS)), batch.lengths)  # [N]
figure, axes = plt.subplots(figsize=(13, 4.2), layout="constrained")
for segment, colour in enumerate(("#eaf2fa", "#eda766")):
    its = batch.segments == segment
    axes.barh(text_of[its], 0.94, 0.8, batch.positions[its] - 0.47, color=colour, ec="k",
              label=f"segment {segment}")  # fmt: skip
axes.barh(range(3), width - batch.lengths, 0.8, batch.lengths - 0.48, color="w", ec="k", ls=":",
          label=f"padding, left out: {spared} tokens spared")  # fmt: skip
for number, text, place in zip(batch.ids, text_of, batch.positions, strict=True):
    piece = f"{tokenizer.id_to_token(int(number))}\n\n{number}"
    axes.text(place, text, piece, size=8, ha="center", va="center")
axes.set(title="Three texts as BERT reads them: pieces and their numbers", ylabel="text",
         yticks=range(3), ylim=(2.6, -0.6), xlabel="position", xticks=range(width))  # fmt: skip
figure.legend(loc="outside lower center", ncols=3, frameon=False)
figure.savefig(out / "01_pieces.png", dpi=120)
print(f"picture: {out / '01_pieces.png'}")

# %% [markdown]
# From numbers to vectors
# -----------------------
# A piece's number is that of a row. Three learned tables have one for each of 30,522 pieces, 512
# positions and 2 segments; BERT adds a token's three rows and normalises the sum (``03_layer.py``):
#
# :math:`x_n = \mathrm{LayerNorm}(W_{id(n)} + P_{position(n)} + S_{segment(n)})`.

# %%
W, P, S, norm = (tables[name] for name in ("word", "position", "segment", "norm"))
assert (W.shape, P.shape, S.shape) == ((30_522, 384), (512, 384), (2, 384)), "other tables"
total = W[batch.ids] + P[batch.positions] + S[batch.segments]  # [N, D]
x = layer_norm(total, norm["weight"], norm["bias"], base.config.layer_norm_eps)
gap = np.abs(x - embed(base.params, batch, base.config)).max()
assert gap < 1e-5, f"by hand and minibert.model.embed differ by {gap}, more than rounding"
one, other = x[batch.ids == vocabulary["it"]]  # in two texts, at two positions
assert not np.allclose(one, other, atol=0.01), "position must tell two equal words apart"

# %% [markdown]
# Words of like meaning have like vectors
# ---------------------------------------
# Nobody told the tables what words mean; training moved together what can stand in the same place.
# The measure is the cosine of the angle between two vectors, from -1 to 1. For two random
# directions among 384 dimensions it is about 0, give or take :math:`1/\sqrt{384} \approx 0.05`.

# %%
SHOWN = {"piano": {"pianist", "violin"}, "monday": {"tuesday", "sunday"},
         "walked": {"walk", "walking"}, "##ing": {"##ed", "##ings"}}  # fmt: skip
directions = W / np.linalg.norm(W, axis=1, keepdims=True)  # [V, D]
figure, panels = plt.subplots(1, 4, figsize=(13, 3.5), layout="constrained")
for (word, expected), axes in zip(SHOWN.items(), panels, strict=True):
    cosines = directions @ directions[vocabulary[word]]  # [V]
    nearest = np.argsort(-cosines)[1:9]  # the very nearest is the word itself
    names = [tokenizer.id_to_token(int(i)) for i in nearest]
    assert expected <= set(names), f"{word}: {expected} should be near, found {names}"
    assert abs(np.median(cosines)) < 0.1, f"{word}: most words should not be near at all"
    axes.barh(names[::-1], cosines[nearest[::-1]], color="#8fb0d0")
    axes.axvline(1 / np.sqrt(384), color="k", ls="--")
    axes.set(title=f"nearest to “{word}”", xlim=(0, 1), xlabel="cosine")
figure.suptitle("Words with like vectors (dashed: two random directions)")
figure.savefig(out / "01_nearest_words.png", dpi=120)
print(f"picture: {out / '01_nearest_words.png'}")

# %% [markdown]
# What next
# ---------
# - Which words are nearest to "bank"? Why can a table never know which bank a sentence means?
# - What share of ``encoded`` would be padding, in batches of 32 as long as their longest text?
# - Encode "Der Regen hat aufgehört." Why does it take so many pieces?
#
# So far each vector knows its own piece only. In ``02_attention.py`` they begin to talk, and after
# it comes the first exercise, ``minibert exercises check 01``.
