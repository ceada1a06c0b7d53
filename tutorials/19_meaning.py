"""
Meaning as a vector
===================

A sentence becomes 384 numbers, and what means the same lies in the same direction. That is enough
to search by meaning: the question "How do I get my money back?" finds an answer with other words.

**You will learn** how one vector is made of a sentence's many states, why the mean of them beats
[CLS] here, why the cosine beats the dot product and the distance, and how to measure a search.
**Time:** 15 minutes to read, a few seconds to run. **You need to know** what a state is
(`03_layer.py <03_layer.py>`_) and how the weights are loaded (`04_loading.py <04_loading.py>`_).
Papers: Reimers & Gurevych 2019 (`arXiv 1908.10084 <https://arxiv.org/abs/1908.10084>`_, section 3);
that one frozen base has many uses is the point of Houlsby et al. 2019 (`arXiv 1902.00751
<https://arxiv.org/abs/1902.00751>`_), too.
"""

import re
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

from adapters.embed import unit_length
from adapters.pictures import save_picture
from adapters.show import table
from minibert import encode, encode_texts, fetch_model, load_base, make_batch, pool
from minibert.data.glue import SAMPLE
from minibert.data.records import open_table
from minibert.heads import mean_pool

# %% [markdown]
# The sentences
# -------------
# 560 messages to a shop, written for this project; each is for one of eight teams, 70 for each. The
# base is MiniLM as it was downloaded. Nothing is trained here, and the teams are never shown to it.

# %%
rows = [
    list(row.cells.values())
    for part in ("train", "dev")
    for row in open_table(SAMPLE / "requests" / f"{part}.tsv").rows()
]
texts, teams = [text for text, _ in rows], np.array([team for _, team in rows])
print(f"data: minibert's own sample of support requests; {len(texts)} to {len(set(teams))} teams")
base = load_base(fetch_model("minilm"))

# %% [markdown]
# One vector from many
# --------------------
# The last layer has a state :math:`h_t` for each of a text's T tokens. Three vectors could stand
# for the text:
#
# - the state of [CLS], :math:`h_1`, which is there to gather what a classifier needs;
# - what BERT's pooler makes of it, :math:`\tanh(h_1 W + b)`, which the paper's head reads;
# - the mean of them all, :math:`\frac{1}{T} \sum_{t=1}^T h_t`.
#
# A fourth, to compare with: the mean of the states that *enter* the first layer. It knows the words
# and their places, but no word has seen its neighbours yet.


# %%
def vectors_of(texts):
    """{name: a vector for each text, [B, D]}"""
    parts = {"mean": [], "[CLS]": [], "pooler": [], "mean of embeddings": []}
    encoded = encode_texts(base.tokenizer, texts, max_length=128)
    for start in range(0, len(encoded), 40):
        batch = make_batch(encoded[start : start + 40])
        first, *_, last = encode(base.params, batch, base.config)  # each [N, D]
        parts["mean"].append(mean_pool(last, batch.lengths))
        parts["[CLS]"].append(last[batch.starts])
        parts["pooler"].append(pool(base.params, last, batch))
        parts["mean of embeddings"].append(mean_pool(first, batch.lengths))
    return {name: np.concatenate(part) for name, part in parts.items()}


vectors = vectors_of(texts)
tokens = np.array([len(text.ids) for text in encode_texts(base.tokenizer, texts, max_length=128)])

# %% [markdown]
# How near is near?
# -----------------
# Two vectors u and v can be compared in three ways:
#
# - the dot product :math:`u \cdot v`, large if they point the same way *or are long*;
# - the distance :math:`|u - v|`, small if they point the same way *and are equally long*;
# - the cosine :math:`u \cdot v \, / \, (|u| \, |v|)`, which has only the direction.
#
# For vectors of length 1 the three give the same order, as then :math:`|u - v|^2 = 2 - 2 \, u \cdot
# v`. So the question is only whether the lengths mean anything.


# %%
def dot(u, v):
    """[A, D], [B, D] -> [A, B]"""
    return u @ v.T


def nearness(u, v):
    """Minus the distance, so that more is nearer. [A, D], [B, D] -> [A, B]"""
    return -np.linalg.norm(u[:, None] - v[None], axis=2)


def cosine(u, v):
    """[A, D], [B, D] -> [A, B]"""
    return dot(unit_length(u), unit_length(v))


MEASURES = {"cosine": cosine, "dot product": dot, "distance": nearness}
some = unit_length(vectors["mean"][:50])
orders = [np.argsort(-measure(some, some), axis=1)[:, :5] for measure in MEASURES.values()]
assert all((order == orders[0]).all() for order in orders), "at length 1 the orders should agree"

# %% [markdown]
# Do they? The mean of a short message is *longer* than that of a long one: the states of a long
# text point in more directions and cancel. A dot product prefers short answers for no better reason
# than that.

# %%
lengths = np.linalg.norm(vectors["mean"], axis=1)  # [B]
correlation = np.corrcoef(tokens, lengths)[0, 1]
print(f"correlation of tokens and length of the mean: {correlation:.2f}")
alike = {}  # the mean cosine of two messages
for name, some in vectors.items():
    alike[name] = cosine(some, some)[np.triu_indices(len(some), 1)].mean()
    print(f"{name:20} mean cosine of two messages {alike[name]:.2f}")

# %% [markdown]
# A search, measured
# ------------------
# Each message in turn is the question, and the other 559 are searched. A hit is a message for the
# same team. Precision at k is the share of hits among the first k; at random it would be 69 / 559 =
# 12.3 %. That is a harsh judge, since messages for two teams may well be about the same thing, but
# it is the same judge for all.
#
# A search by words to compare with: the cosine of vectors that have a number for each word of the
# vocabulary, how often the text has it, times log(560 / messages with that word). It is called
# TF-IDF, and was how search was done before.


# %%
def word_vectors(texts):
    """TF-IDF: [B, words]"""
    counts = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    in_texts = Counter(word for count in counts for word in count)
    rarity = {word: np.log(len(texts) / number) for word, number in in_texts.items()}
    return np.array([[count[word] * rarity[word] for word in rarity] for count in counts])


def search(scores):
    """For each text the numbers of the others, the best first. [B, B] -> [B, B - 1]"""
    alone = np.where(np.eye(len(scores), dtype=bool), -np.inf, scores)
    return np.argsort(-alone, axis=1)[:, :-1]


found = {("words (TF-IDF)", "cosine"): search(cosine(*[word_vectors(texts)] * 2))}
found |= {
    (name, how): search(measure(some, some))
    for name, some in vectors.items()
    for how, measure in MEASURES.items()
}
hits = {key: teams[order] == teams[:, None] for key, order in found.items()}  # [B, B - 1]
shown = [
    (*key, f"{100 * hit[:, 0].mean():.1f}", f"{100 * hit[:, :5].mean():.1f}")
    for key, hit in hits.items()
]
print(table(shown, ("vector", "compared by", "precision at 1", "at 5")))

# %% [markdown]
# The picture
# -----------
# Left, precision at 5, with two standard errors each way. Right, why the cosine: how long the mean
# vectors are, by how long the messages are.


# %%
def draw_search():
    """Precision at 5 by vector and measure; the vectors' lengths by tokens."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    names = [*vectors, "words (TF-IDF)"]
    looks = zip(MEASURES, ("#1f4e79", "#c55a11", "0.6"), strict=True)
    for place, (how, colour) in enumerate(looks):
        chosen = [name for name in names if (name, how) in hits]
        shares = np.array([hits[name, how][:, :5].mean(axis=1) for name in chosen])
        errors = 200 * shares.std(axis=1) / np.sqrt(len(texts))
        at = np.arange(len(chosen)) + 0.27 * (place - 1)
        at[4:] = 4  # the words have one bar only
        left.bar(at, 100 * shares.mean(axis=1), 0.25, yerr=errors, color=colour, label=how)
    left.axhline(100 * 69 / 559, color="k", lw=1, ls=":", label="at random")
    left.set_xticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names])
    left.set(ylabel="precision at 5 (%)", title="How many of the first five are for the same team")
    left.legend()
    right.scatter(tokens, lengths, s=10, color="#1f4e79", alpha=0.6)
    right.set(xlabel="tokens of the message", ylabel="length of the mean vector")
    right.set_title(f"Long messages have short means (correlation {correlation:.2f})")
    right.grid(alpha=0.3)
    save_picture(figure, "19_meaning")


draw_search()

# %% [markdown]
# Questions of your own
# ---------------------
# The real use: the messages' vectors are computed once and kept; a question is one more vector and
# one product with them. (560 x 384 numbers here. From some hundred thousand texts on, people use an
# index that looks at a part only.) Look at how few words the questions share with what they find.

# %%
QUESTIONS = {
    "You charged me twice": "billing",
    "I cannot remember my password": "account",
    "The parcel never came": "delivery",
    "Does it contain nuts?": "product",
    "It does not fit, can I swap it?": "returns",
    "Your program hangs": "technical",
    "Is there any work for me at your company?": "careers",
}
asked = vectors_of(list(QUESTIONS))["mean"]  # [Q, D]
scores = cosine(asked, vectors["mean"])  # [Q, B]
best = np.argsort(-scores, axis=1)[:, :3]
for question, numbers, row in zip(QUESTIONS, best, scores, strict=True):
    print(f"\n{question}")
    for i in numbers:
        print(f"   {row[i]:.2f}  {teams[i]:9}  {texts[i]}")

# %% [markdown]
# The claims, checked
# -------------------
# All searches had the same questions, so they are compared question by question, by the hits among
# the first five. The standard error of such a mean difference is smaller than that of either
# mean. Each difference here is more than twice as large as its standard error.


# %%
def ahead(better, worse):
    """By how many points of precision at 5, and the standard error of that difference."""
    shares = [100 * hits[key][:, :5].mean(axis=1) for key in (better, worse)]  # each [B]
    difference = shares[0] - shares[1]
    return difference.mean(), difference.std() / np.sqrt(len(difference))


best_way = ("mean", "cosine")
others = [("[CLS]", "cosine"), ("pooler", "cosine"), ("mean of embeddings", "cosine")]
others += [("words (TF-IDF)", "cosine"), ("mean", "dot product"), ("mean", "distance")]
for other in others:
    points, error = ahead(best_way, other)
    print(f"mean and cosine against {', '.join(other)}: {points:+.1f} ± {error:.1f} points")
    assert points > 2 * error, f"{other}: {points:.1f} ± {error:.1f} is no clear difference"
assert hits[best_way][:, 0].mean() > 0.5, "more than half of the first answers should be hits"
assert alike["mean"] < 0.2 < 0.5 < min(alike["[CLS]"], alike["pooler"]), f"mean cosines: {alike}"
assert correlation < -0.5, f"tokens and length of the mean correlate by {correlation:.2f}"
answered = dict(zip(QUESTIONS, teams[best[:, 0]].tolist(), strict=True))
assert answered == QUESTIONS, f"the teams of the first answers: {answered}"

# %% [markdown]
# What next
# ---------
# 1. ``embed_texts(base, texts, normalize=True)`` gives the same unit vectors, as ``minibert embed``
#    does from the shell. Search your own texts with them.
# 2. Subtract the mean of all vectors from each before taking cosines. Which of the four vectors
#    gains, and why not the mean?
# 3. Why should MiniLM be better with its mean than with its [CLS]?
# 4. How many of the 560 messages are never among anyone's first five, by cosine and by distance?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. At 5, [CLS] gains 3 points, the pooler and the embeddings 4, the mean 1 or 2. All vectors of
#    the first three point nearly the same way (see the mean cosines above), and what they have in
#    common tells nothing apart. The means have hardly anything in common.
# 3. It was trained so. Its makers pulled the means of related sentences together and pushed those
#    of others apart; nobody asked anything of its [CLS]. A BERT as it comes from pre-training is
#    good with neither until it is trained for it.
# 4. 25 by cosine and 257 by distance: ``np.setdiff1d(range(560), found["mean", "cosine"][:, :5])``
#    has their numbers. By distance one message is among the first five of 176 others: what lies
#    near the middle is near to all. Such texts are called hubs.
#
# .. raw:: html
#
#    </details>
#
# Next: where such weights come from, `20_pretraining.py <20_pretraining.py>`_.
