"""
Tokens and their vectors
========================

A network computes with numbers, so the first thing that BERT does to a text is to cut it into
pieces that it knows, and to put a vector of numbers in the place of each.

**You will learn** how a word that BERT has never seen becomes pieces that it has, what a pair of
sentences looks like to it, why a batch here has no padding, and from which three tables the first
vectors come. **Time:** 20 minutes to read, some seconds to run. **You need to know** Python and
what a matrix is. The weights of MiniLM (91 MB) are fetched when they are not here yet. This is
section 3 of BERT's paper (Devlin et al. 2018, arXiv 1810.04805), and the ground on which the
adapters of Houlsby et al. 2019 (arXiv 1902.00751) stand: they leave all of it as it is.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.show import table
from minibert import encode_texts, load_base, make_batch
from minibert.datasets import glue_data
from minibert.glue_data import find_task
from minibert.model import embed
from minibert.ops import layer_norm
from minibert.weights import fetch_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)
base = load_base(fetch_model("minilm"))
tokenizer, tables = base.tokenizer, base.params["embeddings"]
vocabulary = tokenizer.get_vocab()  # piece -> its number
assert len(vocabulary) == base.config.vocab_size == 30_522, f"{len(vocabulary)} pieces"

# %% [markdown]
# Words into pieces
# -----------------
# The vocabulary has 30,522 pieces: whole words, parts of words and single characters. A piece that
# goes on with a word begins with ##. WordPiece takes from a word the longest piece that the
# vocabulary has, then the longest that goes on from there, until nothing is left. Before that the
# text is put in lower case, loses its accents, and is cut at spaces and punctuation.


# %%
def longest_first(word):
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = (e for e in range(len(word), start, -1) if prefix + word[start:e] in vocabulary)
        end = next(ends, None)
        if end is None:
            return ["[UNK]"]  # one unknown character makes the whole word unknown
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def words_of(text):
    plain = tokenizer.normalizer.normalize_str(text)
    return [word for word, place in tokenizer.pre_tokenizer.pre_tokenize_str(plain)]


for text in ("Bookkeeping", "unaffable", "electroencephalography", "Zürich", "It's", "🦜"):
    print(f"{text:24}", *[" ".join(longest_first(word)) for word in words_of(text)], sep="  ")

# %% [markdown]
# That is all of WordPiece. It is what the tokenizer does with every sentence of a real data set:
# SST-2 when it is here (``minibert fetch sst-2``), else the sample that comes with this project.

# %%
data = glue_data("sst-2", sample=find_task("sst-2") is None)
texts = [example.text for example in data.dev]
encoded = encode_texts(tokenizer, texts, max_length=512)
cut = [[longest_first(word) for word in words_of(text)] for text in texts]
for text, words, its in zip(texts, cut, encoded, strict=True):
    by_hand = [vocabulary[piece] for pieces in words for piece in pieces]
    assert by_hand == its.ids[1:-1].tolist(), f"WordPiece by hand differs: {text}"
whole = np.mean([len(pieces) == 1 for words in cut for pieces in words])
print(f"data: {data.source}; {len(texts)} sentences, {100 * whole:.1f} % of the words in one piece")
assert 0.85 < whole < 0.98, f"most words should be one piece, but rare ones not; {whole:.3f} are"

# %% [markdown]
# What BERT reads
# ---------------
# A text begins with [CLS], whose last vector will stand for the whole of it, and ends with [SEP].
# A pair of sentences is one text with a [SEP] after each; its segment says to which sentence a
# token belongs. Texts differ in length. Elsewhere they are made equally long with empty [PAD]
# tokens, so that they fit into a rectangle; here a batch is simply all texts end to end, N tokens
# in all, and their lengths.

# %%
TEXTS = ("The greenhouse leaked, so Ann fixed it.",
         ("Did it rain?", "The bookkeeper's umbrella was dripping."),
         "Photosynthesis needs light.")  # fmt: skip
batch = make_batch(encode_texts(tokenizer, TEXTS, max_length=64))
n, width = len(batch.ids), int(batch.lengths.max())
print(f"N = {n}, lengths {batch.lengths}, starts {batch.starts}")
assert n == batch.lengths.sum() < len(TEXTS) * width, "texts of unequal length need less room"
assert set(batch.ids[batch.starts]) == {vocabulary["[CLS]"]}, "each text starts with [CLS]"
assert not batch.positions[batch.starts].any(), "positions count from 0 in each text"
ends = batch.starts + batch.lengths - 1
assert batch.segments[ends].tolist() == [0, 1, 0], "only a pair has a segment 1"

lengths = np.array([len(its.ids) for its in encoded])
groups = np.split(lengths, range(32, len(lengths), 32))
padded = sum(len(group) * group.max() for group in groups)
waste = 1 - lengths.sum() / padded
print(f"{data.source}, batches of 32: {100 * waste:.0f} % of the padded tokens would be empty")
assert 0.1 < waste < 0.7, f"padding should waste much of the work, measured {waste:.2f}"

# %%
LOOKS = {0: ("#eaf2fa", "-", "segment 0"), 1: ("#eda766", "-", "segment 1"),
         None: ("w", ":", "padding, left out")}  # fmt: skip
figure, axes = plt.subplots(figsize=(13, 4.4), layout="constrained")
for row, (start, length) in enumerate(zip(batch.starts, batch.lengths, strict=True)):
    for place in range(width):
        at = start + place if place < length else None
        fill, line, label = LOOKS[None if at is None else int(batch.segments[at])]
        axes.bar(place, 0.8, 0.94, row, color=fill, ec="k", ls=line, lw=0.8, label=label)
        if at is not None:
            piece = tokenizer.id_to_token(int(batch.ids[at]))
            text = f"{piece}\n\n{batch.ids[at]}"
            axes.text(place, row + 0.4, text, size=8, ha="center", va="center")
handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # one of each label
figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, frameon=False)
axes.set(xlabel="position in the text", xticks=range(width), xlim=(-0.55, width - 0.45))
axes.set_yticks([0.4, 1.4, 2.4], ["text 0", "text 1", "text 2"])
axes.invert_yaxis()
axes.spines[:].set_visible(False)
axes.set_title(f"Pieces and their numbers; {len(TEXTS) * width - n} tokens of padding are spared")
figure.savefig(out / "01_pieces.png", dpi=120)
print(f"picture: {out / '01_pieces.png'}")

# %% [markdown]
# From numbers to vectors
# -----------------------
# A piece's number is only the number of a row. Three learned tables have a row each for the piece,
# its position and its segment; BERT adds the three and normalises the sum (``03_layer.py`` is about
# LayerNorm):
#
# :math:`x_n = \mathrm{LayerNorm}(W_{id(n)} + P_{position(n)} + S_{segment(n)})`.

# %%
rows = [(name, *tables[name].shape, f"{tables[name].size:,}")
        for name in ("word", "position", "segment")]  # fmt: skip
print(table(rows, ("table", "rows", "numbers a row", "parameters")))
total = (tables["word"][batch.ids] + tables["position"][batch.positions]
         + tables["segment"][batch.segments])  # [N, D]  # fmt: skip
norm = tables["norm"]
x = layer_norm(total, norm["weight"], norm["bias"], base.config.layer_norm_eps)
difference = np.abs(x - embed(base.params, batch, base.config)).max()
assert difference < 1e-5, f"by hand and minibert.model.embed differ by {difference}"  # rounding
one, other = x[batch.ids == vocabulary["it"]]  # "it" is in two texts, at two positions
assert not np.allclose(one, other, atol=0.01), "position must tell two equal words apart"
print(f"x: {x.shape} {x.dtype}; by hand and by minibert.model.embed equal to {difference:.0e}")

# %% [markdown]
# Words of like meaning have like vectors
# ---------------------------------------
# Nobody told the tables what words mean; training moved together what can stand in the same place.
# The measure is the cosine of the angle between two vectors, from -1 to 1. For two random
# directions among 384 dimensions it is about 0, give or take :math:`1/\sqrt{384} \approx 0.05`.

# %%
SHOWN = {"piano": {"pianist", "violin"}, "monday": {"tuesday", "sunday"},
         "walked": {"walk", "walking"}, "##ing": {"##ed", "##ings"}}  # fmt: skip
directions = tables["word"] / np.linalg.norm(tables["word"], axis=1, keepdims=True)  # [V, D]
figure, panels = plt.subplots(2, 2, figsize=(9, 6), layout="constrained", sharex=True)
for (word, expected), axes in zip(SHOWN.items(), panels.flat, strict=True):
    cosines = directions @ directions[vocabulary[word]]  # [V]
    nearest = np.argsort(-cosines)[1:9]  # the very nearest is the word itself
    names = [tokenizer.id_to_token(int(i)) for i in nearest]
    assert expected <= set(names), f"{word}: {expected} should be near, found {names}"
    assert abs(np.median(cosines)) < 0.1, f"{word}: most words should not be near at all"
    axes.barh(names, cosines[nearest], color="#8fb0d0")
    axes.axvline(1 / np.sqrt(384), color="k", ls="--", label="two random directions")
    axes.set(title=f"nearest to “{word}”", xlim=(0, 1))
    axes.invert_yaxis()
for axes in panels[1]:
    axes.set_xlabel("cosine with the word's vector")
figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", frameon=False)
figure.savefig(out / "01_nearest_words.png", dpi=120)
print(f"picture: {out / '01_nearest_words.png'}")

# %% [markdown]
# What next
# ---------
# - Which words are nearest to "bank"? Why can a table never know which bank a sentence means?
# - Sort the texts by length before they are put into batches. How much padding is left?
# - Encode "Der Regen hat aufgehört." Why does it take so many pieces?
#
# So far each vector knows its own piece only. In ``02_attention.py`` they begin to talk, and after
# it comes the first exercise, ``minibert exercises check 01``.
