"""
Pre-training a tiny BERT
========================

Every other tutorial begins with weights that somebody trained on billions of words. Here they are
made: from a text, a vocabulary; from random numbers, a BERT that fills in missing words; and on it,
adapters.

**You will learn** how a WordPiece vocabulary is trained, what exactly is masked and what the loss
is, how low that loss can get, and that adapters can use what pre-training has put into the weights.
**Time:** 20 minutes to read, less than a minute to run. **You need to know** tokens (`01_tokens.py
<01_tokens.py>`_), the encoder's layer (`03_layer.py <03_layer.py>`_) and Adam (`06_adam.py
<06_adam.py>`_). Papers: Devlin et al. 2018 (`arXiv 1810.04805
<https://arxiv.org/abs/1810.04805>`_), section 3.1; adapters are those of Houlsby et al. 2019
(`arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_).
"""

import json
import string
from dataclasses import replace
from itertools import permutations, product

import matplotlib.pyplot as plt
import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from adapters import method_named, train_task
from adapters.pictures import save_picture, tutorial_folder
from adapters.show import table
from minibert import (
    BertConfig,
    Data,
    Example,
    Settings,
    encode,
    encode_texts,
    load_base,
    make_batch,
)
from minibert.checkpoint import hub_name
from minibert.data.tasks import Task
from minibert.heads import masked_tokens, probabilities
from minibert.ops import cross_entropy
from minibert.parameters import masked_token_shapes, random_params
from minibert.tensors import as_stored, write_safetensors
from minibert.tokenizer import wordpiece
from minibert.training.loop import Problem, fit
from minibert.tree import count, from_leaves, leaves, merge

# %% [markdown]
# A small world
# -------------
# On four islands live six people each. Everybody walks, eats and works on their own island only.
# The text never says so, for it has no word for an island: it has to be found out from who is named
# with what.

# %%
WOMEN = "Ada Clara Edith Greta Irma Lydia Nora Paula Sonja Vera Wanda Yvonne"
MEN = "Boris Duncan Felix Hugo Jasper Milo Oscar Rufus Theo Viktor Xaver Zeno"
NAMES = [name for pair in zip(WOMEN.split(), MEN.split(), strict=True) for name in pair]
PHRASES = {
    "place": ("walks to {}", "has a house in {}"),
    "food": ("eats {}", "likes {}"),
    "animal": ("feeds the {}", "sees a {}"),
    "tool": ("mends the {}", "needs a new {}"),
}
ISLANDS = (
    {"place": "alby brinton", "food": "bread honey", "animal": "cow sheep", "tool": "plough mill"},
    {
        "place": "corvale dunmere",
        "food": "herring seaweed",
        "animal": "seal gull",
        "tool": "boat net",
    },
    {"place": "elmstead farholm", "food": "berries nuts", "animal": "deer owl", "tool": "saw axe"},
    {
        "place": "gorm hazelford",
        "food": "cheese barley",
        "animal": "goat marmot",
        "tool": "lamp pick",
    },
)
# the number of their island: three women and three men on each
HOME = {name: number // 2 % 4 for number, name in enumerate(NAMES)}


def doings(kind, island):
    """All that can be done with a kind of thing on an island: "eats bread" and so on."""
    words = ISLANDS[island][kind].split()
    return [phrase.format(word) for phrase, word in product(PHRASES[kind], words)]


world = [
    f"{name} {first} and {'he' if number % 2 else 'she'} {second}."
    for number, name in enumerate(NAMES)
    for kinds in permutations(PHRASES, 2)
    for first, second in product(*(doings(kind, HOME[name]) for kind in kinds))
]
order = np.random.default_rng(0).permutation(len(world))
held_out, text = ([world[i] for i in part] for part in (order[:400], order[400:]))
print(f"{len(text)} sentences to read, {len(held_out)} held out, such as: {held_out[0]}")

# %% [markdown]
# Words into pieces
# -----------------
# WordPiece begins with single letters (``##x`` for one within a word) and joins, again and again, a
# pair of pieces that stand side by side often, until the vocabulary is as large as wanted. Frequent
# words end up whole. The rare ones stay in pieces, and nothing is ever unknown.

# %%
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FOLDER = tutorial_folder() / "20_tiny_bert"
FOLDER.mkdir(exist_ok=True)


def train_vocabulary(sentences, size):
    """The pieces, most of them ordered by when they were made.

    The letters are given first: their order, which breaks ties, would otherwise be another one in
    each run.
    """
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer()  # lower case
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # words and punctuation
    letters = [f"##{letter}" for letter in string.ascii_lowercase]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=SPECIAL + letters, show_progress=False
    )
    raw.train_from_iterator(sentences, trainer)
    return sorted(raw.get_vocab(), key=raw.get_vocab().get)


vocabulary = train_vocabulary(text, 250)
(FOLDER / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
tokenizer = wordpiece(FOLDER / "vocab.txt")
pieces = [tokenizer.encode(name, add_special_tokens=False).tokens for name in NAMES]
print(f"{len(vocabulary)} pieces; names in several:", *(" ".join(p) for p in pieces if len(p) > 1))

# %% [markdown]
# What is masked
# --------------
# Of all tokens but the special ones, 15 % are chosen. Of these, 80 % become [MASK], 10 % a random
# token, and 10 % stay, so that the encoder cannot rely on [MASK] to show where it will be asked.
# The loss is the mean over the chosen positions :math:`M` alone, :math:`x'` being what is left of
# the text :math:`x`:
#
# .. math::
#
#    L = -\frac{1}{|M|} \sum_{t \in M} \log p(x_t \mid x')
#
# The choice is made anew whenever a sentence is read.

# %%
MASK = SPECIAL.index("[MASK]")


def chosen_rows(batch, rng):
    """The rows to ask for: 15 % of those that are no special tokens, at least one."""
    rows = np.flatnonzero(batch.ids >= len(SPECIAL))
    chosen = rows[rng.random(len(rows)) < 0.15]
    return chosen if len(chosen) else rows[:1]


def masked(batch, rows, rng):
    """The batch with these rows masked as in BERT's pre-training."""
    ids, chance = batch.ids.copy(), rng.random(len(rows))
    ids[rows[chance < 0.8]] = MASK
    swapped = rows[chance >= 0.9]
    ids[swapped] = rng.integers(len(SPECIAL), len(vocabulary), len(swapped))
    return replace(batch, ids=ids)


# %% [markdown]
# From random numbers
# -------------------
# A BERT of two layers, 64 numbers a token. The head for masked words ends in the word embeddings
# themselves (*tied* embeddings, as in `04_loading.py <04_loading.py>`_), so what a word looks like
# when it is read and when it is guessed is learned together. Dropout is off, as there is little to
# learn by heart. The training loop and Adam are those of all other tutorials.

# %%
config = BertConfig(
    vocab_size=len(vocabulary),
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=256,
    max_position_embeddings=32,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.1,  # about 1 / sqrt(64)
)


def new_head(rng):
    """A random head for masked words."""
    fresh = {
        path: np.zeros(shape, np.float32) for path, shape in masked_token_shapes(config).items()
    }
    path = "masked_tokens.transform.weight"
    fresh[path] += 0.1 * rng.standard_normal(fresh[path].shape, np.float32)
    fresh["masked_tokens.norm.weight"] += 1
    return from_leaves(fresh)


encoder = {name: part for name, part in random_params(config, seed=0).items() if name != "pooler"}
untrained = merge(encoder, new_head(np.random.default_rng(0)))
reading, unseen = (encode_texts(tokenizer, part, max_length=32) for part in (text, held_out))


def guesses(params, batch, rows):
    """The scores of every piece of the vocabulary at these rows. -> [R, V]"""
    return masked_tokens(params, encode(params, batch, config)[-1], rows, config)


def reading_loss(trained, numbers, rng):
    """The loss of the sentences of these numbers; rng chooses what is masked."""
    batch = make_batch([reading[i] for i in numbers])
    rows = chosen_rows(batch, rng)
    scores = guesses(from_leaves(trained), masked(batch, rows, rng), rows)
    return cross_entropy(scores, batch.ids[rows])


# %% [markdown]
# How low can it get?
# -------------------
# For the held-out sentences all chosen tokens become [MASK], the same ones each time. Two numbers
# say what their loss means:
#
# - guessing each piece by how often it is in the text, whatever stands around it (*unigram*);
# - the best that anyone could do who knows the world by heart. It can be counted: among all
#   sentences of the world that agree with what is left of this one, how many have this piece here?
#   That loss is not 0, since nobody can know whether it is bread or honey.

# %%
question = make_batch(unseen)
asked = chosen_rows(question, np.random.default_rng(1))
answers = question.ids[asked]
blanked = replace(
    question, ids=np.where(np.isin(np.arange(len(question.ids)), asked), MASK, question.ids)
)


def held_out_loss(params):
    """The mean of -log p at the masked positions of the held-out sentences."""
    return float(cross_entropy(guesses(params, blanked, asked), answers))


def unigram_loss():
    """The loss of knowing how often each piece is in the text."""
    often = np.bincount(np.concatenate([sentence.ids for sentence in reading]))[len(SPECIAL) :]
    return -np.log(often[answers - len(SPECIAL)] / often.sum()).mean()


def reachable_loss():
    """The loss of knowing all sentences of the world, and that each is as likely as another."""
    known = [sentence.ids for sentence in encode_texts(tokenizer, world, max_length=32)]
    sizes = {len(ids) for ids in known}
    by_size = {size: np.array([ids for ids in known if len(ids) == size]) for size in sizes}
    losses = []
    for sentence, start in zip(unseen, question.starts, strict=True):
        ids = sentence.ids
        rows = np.intersect1d(asked - start, np.arange(len(ids)))
        left = np.setdiff1d(np.arange(len(ids)), rows)
        others = by_size[len(ids)]
        fitting = others[(others[:, left] == ids[left]).all(axis=1)]
        losses += [-np.log(np.mean(fitting[:, row] == ids[row])) for row in rows]
    return np.mean(losses)


unigram, reachable = unigram_loss(), reachable_loss()
print(f"held-out loss: unigram {unigram:.2f}, reachable {reachable:.2f}")

# %%
settings = Settings(rate=3e-3, epochs=18, batch_size=32, seed=0)
problem = Problem(
    dict(leaves(untrained)),
    reading_loss,
    lambda trained: {"minus held-out loss": -held_out_loss(from_leaves(trained))},
    np.array([len(sentence.ids) for sentence in reading]),
)
print(f"{count(untrained):,} parameters, all of them trained")
state = fit(problem, settings)
curve = [held_out_loss(untrained), *(-epoch["minus held-out loss"] for epoch in state.epochs)]
print("held-out loss by epoch:", *(f"{value:.2f}" for value in curve))

# %% [markdown]
# A checkpoint like any other
# ---------------------------
# Three files make a folder that ``load_base`` reads, and ``transformers`` too: the configuration,
# the vocabulary, and the weights under the names and in the layout that the hub has for them.

# %%
(FOLDER / "config.json").write_text(json.dumps(config.to_dict(), indent=1), "utf-8")
tensors = {}
for path, values in leaves(from_leaves(state.leaves)):
    prefix = "" if path.startswith("masked_tokens.") else "bert."
    tensors[prefix + hub_name(path)] = as_stored(path, values)
write_safetensors(FOLDER / "model.safetensors", tensors, {"format": "pt"})
base = load_base(FOLDER)


def fill_in(sentence, words=2):
    """The likeliest words for the [MASK] of a sentence, with their probabilities."""
    batch = make_batch(encode_texts(base.tokenizer, [sentence], max_length=32))
    chances = probabilities(guesses(base.params, batch, np.flatnonzero(batch.ids == MASK)))[0]
    best = np.argsort(-chances)[:words]
    return {base.tokenizer.id_to_token(int(i)): float(chances[i]) for i in best}


for sentence in (
    "Ada eats [MASK].",
    "Boris eats [MASK].",
    "Hugo has a house in [MASK].",
    "Vera likes honey and [MASK] likes bread.",
):
    print(sentence, *(f"{word} {chance:.2f}" for word, chance in fill_in(sentence).items()))

# %% [markdown]
# Adapters on it
# --------------
# The task: is a statement true? "Ada eats bread" is, "Ada eats herring" is not. The adapters learn
# it from 16 people and are asked about the 8 others, of whom they have never heard. What these
# people eat must come from pre-training; what "true" means, from the task. Three ways:
#
# - adapters, the encoder being frozen but for its LayerNorms;
# - the head alone, on the mean of the frozen states;
# - the same adapters on the same network *before* pre-training.


# %%
def statements(names, rng):
    """As many true statements about these people as false ones, which are true elsewhere."""
    made = []
    for name, kind in product(names, PHRASES):
        there = [doings(kind, (HOME[name] + rng.integers(1, 4)) % 4) for _ in range(4)]
        made += [Example(f"{name} {doing}.", 1) for doing in doings(kind, HOME[name])]
        made += [Example(f"{name} {elsewhere[rng.integers(4)]}.", 0) for elsewhere in there]
    return made


TRUE = Task("true", "", ("text",), "label", ("0", "1"), ("false", "true"))
blank = replace(base, params={**base.params, **encoder}, sha256="before pre-training")
WAYS = {
    "adapters": (base, method_named("adapters", 16), 3e-3),
    "head alone": (base, method_named("head"), 1e-2),
    "adapters, no pre-training": (blank, method_named("adapters", 16), 3e-3),
}
accuracies = {way: [] for way in WAYS}
for split in range(3):
    rng = np.random.default_rng(split)
    groups = np.roll(np.array(NAMES).reshape(3, 8), split, axis=0)  # a row: two of each island
    parts = (statements(part.ravel(), rng) for part in (groups[:2], groups[2:]))
    data = Data(TRUE, *parts, "the small world")
    for way, (bert, method, rate) in WAYS.items():
        how = Settings(rate=rate, epochs=8, batch_size=16, seed=split)
        trained = train_task(bert, data, method, how, pooling="mean", max_length=32)
        accuracies[way].append(100 * trained.epochs[-1]["accuracy"])
means = {way: (np.mean(a), np.std(a, ddof=1) / np.sqrt(len(a))) for way, a in accuracies.items()}
rows = [(way, f"{mean:.1f} ± {error:.1f}") for way, (mean, error) in means.items()]
print(f"data: minibert's own small world; {len(data.train)} statements, {len(data.dev)} on others")
print(table(rows, ("trained", "accuracy on people never heard of")))

# %% [markdown]
# The picture
# -----------
# Left, the held-out loss between the two lines that give it a meaning. Right, who eats what: the
# probability of each food in "NAME eats [MASK]." The people are sorted by islands, which the text
# never mentions, and which have become visible.

# %%
people = sorted(NAMES, key=HOME.get)
foods = [food for island in ISLANDS for food in island["food"].split()]
meals = make_batch(encode_texts(base.tokenizer, [f"{name} eats [MASK]." for name in people], 32))
chances = probabilities(guesses(base.params, meals, np.flatnonzero(meals.ids == MASK)))  # [24, V]
eaten = chances[:, [base.tokenizer.token_to_id(food) for food in foods]]  # [24, 8]


def draw_pretraining():
    """The loss by epoch, and each person's food."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    left.plot(curve, "o-", color="#1f4e79", label="held-out loss")
    left.axhline(
        unigram, color="#c55a11", ls="--", label="unigram: knowing how often each piece is"
    )
    left.axhline(reachable, color="0.4", ls=":", label="reachable: knowing the whole world")
    left.set(xlabel="epoch", ylabel="loss at masked positions", ylim=(0, None))
    left.set_xticks(range(0, len(curve), 3))
    left.legend()
    left.grid(alpha=0.3)
    right.imshow(eaten, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for (i, j), chance in np.ndenumerate(eaten):
        if chance >= 0.05:
            colour = "w" if chance > 0.6 else "k"
            right.text(j, i, f"{chance:.2f}", ha="center", va="center", color=colour, fontsize=8)
    right.set_yticks(range(len(people)), people, fontsize=8)
    right.set_xticks(range(len(foods)), foods, rotation=45, ha="right")
    right.set_title("NAME eats [MASK].")
    save_picture(figure, "20_pretraining")


draw_pretraining()

# %% [markdown]
# The claims, checked
# -------------------
# The loss falls from far above the unigram guess to near what is reachable. Words come back: for
# every person and every kind of thing, the likeliest word is one of that person's island. The saved
# folder has the same weights. And adapters, which alone can make use of it, are far better than the
# head alone, and useless without pre-training.

# %%
assert 0.12 < len(asked) / (question.ids >= len(SPECIAL)).sum() < 0.18, f"{len(asked)} are masked"
assert 0 < reachable < 0.5, f"reachable: {reachable:.2f}"
assert curve[0] > unigram > 3, f"before training {curve[0]:.2f}, unigram {unigram:.2f}"
assert curve[-1] < reachable + 0.15, f"{curve[-1]:.2f} is not near {reachable:.2f}"
asked_for = [
    (name, kind, f"{name} {PHRASES[kind][0].format('[MASK]')}.")
    for name, kind in product(NAMES, PHRASES)
]
came_back = [
    next(iter(fill_in(sentence, 1))) in ISLANDS[HOME[name]][kind].split()
    for name, kind, sentence in asked_for
]
print(f"{sum(came_back)} of {len(came_back)} masked words are of the right island")
assert np.mean(came_back) > 0.9, f"only {sum(came_back)} of {len(came_back)} came back"
for path, values in leaves(base.params):
    assert np.array_equal(values, state.leaves[path]), f"{path} has changed on its way to the file"
for other in ("head alone", "adapters, no pre-training"):
    gain = np.subtract(accuracies["adapters"], accuracies[other])  # split by split
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print(f"adapters against {other}: {gain.mean():+.1f} ± {error:.1f} points")
    assert gain.mean() > 3 * error + 5, f"{other}: {gain}"
assert means["adapters"][0] > 70, f"adapters: {accuracies['adapters']}"
assert abs(means["adapters, no pre-training"][0] - 50) < 8, "nothing can be known without it"

# %% [markdown]
# What next
# ---------
# 1. Choose 40 % of the tokens, or 5 %. What becomes of the loss after 18 epochs, and why is it no
#    fair comparison? (The question to the held-out sentences must stay the same.)
# 2. Always use [MASK], without the 10 % that stay and the 10 % that are swapped. The loss measured
#    here hardly changes. What would?
# 3. Take a vocabulary of 150 pieces, then of 400. What becomes of the names? Why can losses with
#    different vocabularies not be compared?
# 4. Read ten times as much: how would you let the people of an island meet?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 1. With 5 % there are three times fewer questions in an epoch, so it learns more slowly; with 40 %
#    the sentences have too little left to say who is meant. On the same held-out question the
#    number of chosen tokens that were learned from should be equal, not that of epochs.
# 2. The states of words that are not masked: nothing asks anything of them. A task reads whole
#    texts without any [MASK], so it is those states that adapters get.
# 3. With 150 pieces nearly every name is spelled out; its later pieces are easy to guess from the
#    first. With 400 all are whole, and the vocabulary ends before, at fewer than 300 pieces. A loss
#    is a mean over pieces, and these are other pieces: easy ones count in one and not in the other.
#    A fair measure divides by the words, or letters.
# 4. For instance with sentences about two people ("Ada helps Edith mend the mill"). Then names
#    could be learned from names.
#
# .. raw:: html
#
#    </details>
#
# This is the last tutorial. The exercises begin with ``minibert exercises start my-exercises``.
