"""
Tokens and their vectors
========================

BERT cuts a text into pieces that it knows, and looks up a vector of numbers for each.

**You will learn** how a word that BERT has never seen becomes pieces that it has seen, how it reads
a pair of sentences, why a batch here has no padding, and which three tables the first vectors come
from. **Time:** 20 minutes to read, a few seconds to run. **You need to know** Python and what a
matrix is. This is section 3 of Devlin et al. 2018 (`arXiv 1810.04805
<https://arxiv.org/abs/1810.04805>`_). Of all this, the method of Houlsby et al. 2019 (`arXiv
1902.00751 <https://arxiv.org/abs/1902.00751>`_) trains only the LayerNorm: the tables stay frozen.
"""

import matplotlib.pyplot as plt
import numpy as np

from adapters.pictures import save_picture
from adapters.show import facts
from minibert import encode_texts, fetch_model, glue_data, load_base, make_batch
from minibert.fetch.datasets import find_task
from minibert.model import ForwardPass, embed
from minibert.ops import layer_norm

base = load_base(fetch_model("minilm"))
tokenizer = base.tokenizer
vocabulary = tokenizer.get_vocab()  # piece -> its number
assert len(vocabulary) == base.config.vocab_size == 30_522, f"{len(vocabulary)} pieces"

# %% [markdown]
# Words into pieces
# -----------------
# The vocabulary has 30,522 pieces: whole words, parts of words, single characters. A piece that
# continues a word begins with ##. WordPiece takes the longest piece that the word begins with, then
# the longest that continues it, until nothing is left. Before that, the text is put in lower case,
# stripped of accents, and split at spaces and punctuation.
#
# By hand that takes a dozen lines. We compare them with the tokenizer on every sentence of the real
# SST-2's dev set, if it has been fetched (``minibert fetch sst-2``), otherwise on the sample that
# comes with this project.


# %%
def longest_first(word):
    """The word as pieces, each the longest that fits."""
    pieces = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = [e for e in range(len(word), start, -1) if prefix + word[start:e] in vocabulary]
        if not ends:
            return ["[UNK]"]  # one unknown character makes the whole word unknown
        pieces.append(prefix + word[start : ends[0]])
        start = ends[0]
    return pieces


def words_of(text):
    """The text's words and punctuation marks, in lower case and without accents."""
    plain = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(plain)]


def pieces_of(text):
    """A list of pieces for each word of the text."""
    return [longest_first(word) for word in words_of(text)]


EXAMPLES = ("Bookkeeping", "unaffable", "electroencephalography", "Zürich", "It's", "🦜")
shown = [[piece for pieces in pieces_of(text) for piece in pieces] for text in EXAMPLES]
print(facts([(text, " ".join(pieces)) for text, pieces in zip(EXAMPLES, shown, strict=True)]))

data = glue_data("sst-2", sample=find_task("sst-2") is None)
texts = [example.text for example in data.dev]
encoded = encode_texts(tokenizer, texts, max_length=512)
by_hand = [pieces_of(text) for text in texts]
for text, words, tokens in zip(texts, by_hand, encoded, strict=True):
    ids = [vocabulary[piece] for pieces in words for piece in pieces]
    assert ids == tokens.ids[1:-1].tolist(), f"WordPiece by hand differs: {text}"
whole = np.mean([len(pieces) == 1 for words in by_hand for pieces in words])
print(f"data: {data.source}; {len(texts)} sentences, {100 * whole:.1f} % of words in one piece")
assert 0.85 < whole < 0.98, f"most words should be one piece, but rare ones not; {whole:.3f} are"

# %% [markdown]
# What BERT reads
# ---------------
# A text begins with [CLS], whose last vector will stand for the whole text, and ends with [SEP]. A
# pair of sentences is one text with a [SEP] after each; a token's segment says which of the two
# sentences it belongs to.
#
# Texts differ in length. Other libraries fill the short ones up with [PAD] tokens, to get a
# rectangle. Here a batch is all texts end to end, N tokens in all, and their lengths. This saves
# time (`15_fast.py <15_fast.py>`_).

# %%
TEXTS = (
    "The greenhouse leaked, so Ann fixed it.",
    "Photosynthesis needs light.",
    ("Did it rain?", "The bookkeeper's umbrella was dripping."),
)
batch = make_batch(encode_texts(tokenizer, TEXTS, max_length=64))
width = int(batch.lengths.max())
saved = len(TEXTS) * width - len(batch.ids)
print(f"N = {len(batch.ids)}, lengths {batch.lengths}, starts {batch.starts}")
assert saved == sum(width - batch.lengths) > 0, "texts of unequal length need less room"
assert set(batch.ids[batch.starts]) == {vocabulary["[CLS]"]}, "each text starts with [CLS]"
assert not batch.positions[batch.starts].any(), "positions count from 0 in each text"
assert batch.segments[batch.starts + batch.lengths - 1].tolist() == [0, 0, 1], "one is a pair"


def draw_batch():
    """A row of boxes for each text: its pieces, their numbers, and the padding it does without."""
    text_of = np.repeat(np.arange(len(TEXTS)), batch.lengths)  # [N]
    figure, axes = plt.subplots(figsize=(13, 4.2), layout="constrained")
    box = {"height": 0.8, "edgecolor": "k"}
    for segment, colour in enumerate(("#eaf2fa", "#eda766")):
        own = batch.segments == segment
        left = batch.positions[own] - 0.47
        axes.barh(text_of[own], 0.94, left=left, color=colour, label=f"segment {segment}", **box)
    label = f"padding, left out: {saved} tokens saved"
    padding = width - batch.lengths
    axes.barh(range(3), padding, left=batch.lengths - 0.48, color="w", ls=":", label=label, **box)
    for number, text, place in zip(batch.ids, text_of, batch.positions, strict=True):
        piece = f"{tokenizer.id_to_token(int(number))}\n\n{number}"
        axes.text(place, text, piece, size=8, ha="center", va="center")
    axes.set(title="Three texts as BERT reads them: pieces and their numbers")
    axes.set(xlabel="position", xticks=range(width), ylabel="text", yticks=range(3))
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_picture(figure, "01_pieces")


draw_batch()

# %% [markdown]
# From numbers to vectors
# -----------------------
# Three learned tables have a row for each of 30,522 pieces, 512 positions and 2 segments. BERT adds
# a token's three rows and normalises the sum (`03_layer.py <03_layer.py>`_):
#
# :math:`x_n = \mathrm{LayerNorm}(W_{id(n)} + P_{position(n)} + S_{segment(n)})`.

# %%
tables = base.params["embeddings"]
W = tables["word"]
P = tables["position"]
S = tables["segment"]
norm = tables["norm"]
assert (W.shape, P.shape, S.shape) == ((30_522, 384), (512, 384), (2, 384)), "other tables"
total = W[batch.ids] + P[batch.positions] + S[batch.segments]  # [N, D]
x = layer_norm(total, norm["weight"], norm["bias"], base.config.layer_norm_eps)
library = embed(base.params, batch, ForwardPass(base.config, batch.lengths))
gap = np.abs(x - library).max()
assert gap < 1e-5, f"by hand and minibert.model.embed differ by {gap}, more than rounding"
one, other = x[batch.ids == vocabulary["it"]]  # in two texts, at two positions
assert not np.allclose(one, other, atol=0.01), "position must tell two equal words apart"

# %% [markdown]
# Similar words have similar vectors
# ----------------------------------
# Nobody told the tables what words mean; training moved words together that can stand in the same
# place. The measure is the cosine of the angle between two vectors, from -1 to 1. For two random
# directions in 384 dimensions it is about 0, give or take :math:`1/\sqrt{384} \approx 0.05`.

# %%
EXPECTED = {
    "piano": {"pianist", "violin"},
    "monday": {"tuesday", "sunday"},
    "walked": {"walk", "walking"},
    "##ing": {"##ed", "##ings"},
}
directions = W / np.linalg.norm(W, axis=1, keepdims=True)  # [V, D]
nearest = {}  # word: [(one of the eight nearest words, its cosine)]
for word, expected in EXPECTED.items():
    cosines = directions @ directions[vocabulary[word]]  # [V]
    order = np.argsort(-cosines)[1:9]  # the very nearest is the word itself
    nearest[word] = [(tokenizer.id_to_token(int(i)), cosines[i]) for i in order]
    found = {name for name, _ in nearest[word]}
    assert expected <= found, f"{word}: {expected} should be near, found {found}"
    assert abs(np.median(cosines)) < 0.1, f"{word}: most words should not be near at all"


def draw_nearest():
    """The eight nearest words of each, and their cosines."""
    figure, panels = plt.subplots(1, 4, figsize=(13, 3.5), layout="constrained")
    for (word, neighbours), axes in zip(nearest.items(), panels, strict=True):
        names, cosines = zip(*reversed(neighbours), strict=True)
        axes.barh(names, cosines, color="#8fb0d0")
        axes.axvline(1 / np.sqrt(384), color="k", ls="--")
        axes.set(title=f"nearest to “{word}”", xlim=(0, 1), xlabel="cosine")
    figure.suptitle("Words with similar vectors (dashed: two random directions)")
    save_picture(figure, "01_nearest_words")


draw_nearest()

# %% [markdown]
# What next
# ---------
# 1. Which words are nearest to "bank"? Why can a table never know which bank a sentence means?
# 2. What share of ``encoded`` would be padding, in batches of 32 as long as their longest text?
# 3. Encode "Der Regen hat aufgehört." Why does it take so many pieces?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 1. banks, banking, ##bank, bankers, banker: money, and not a river among the eight. The table has
#    one row for the word, whatever stands beside it; so the row is a mixture, mostly of what was
#    common.
# 2. On the project's own dev sentences, in their order, 39 %. Sorted by length it would be less.
# 3. Nine pieces: der, reg ##en, hat, auf ##ge ##hort and the full stop. The vocabulary was made
#    from English text, so German words are rare words, and ö has lost its dots before that.
#
# .. raw:: html
#
#    </details>
#
# So far each vector knows only its own piece. In `02_attention.py <02_attention.py>`_ they begin to
# exchange what they know; after it comes the first exercise, ``minibert exercises check 01``.
