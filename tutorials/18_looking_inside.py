"""
Looking inside
==============

A trained network answers. Why it does is another question, and one to which it is easy to get a
wrong answer that looks right. Here four ways to look inside are tried, and checked.

**You will learn** how to see a batch's states in two dimensions, which words decided an answer and
how much to believe of it, where in the network the gradient is large, and what single features of
an adapter respond to. **Time:** 25 minutes to read, less than a minute to run. **You need to know**
gradients (`05_backward.py <05_backward.py>`_), the adapter (`07_the_adapter.py
<07_the_adapter.py>`_) and how a task is trained (`08_train_a_task.py <08_train_a_task.py>`_).
Paper: Houlsby et al. 2019 (`arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_).
"""

from collections import Counter
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from autograd import grad

from adapters import TaskModel, method_named, new_task_model, on_base, recipe_named, train_task
from adapters.methods import bottleneck as bn
from adapters.pictures import save_picture
from adapters.progress import Progress
from adapters.task_model import forward
from minibert import (
    Settings,
    encode,
    encode_texts,
    fetch_model,
    fused,
    glue_data,
    load_base,
    make_batch,
)
from minibert.data.metrics import spearman
from minibert.heads import classify, loss, mean_pool
from minibert.model import PLACES, embed, encoder_layers
from minibert.training.gradients import value_and_grads
from minibert.tree import from_leaves, leaves, merge, partition

# %% [markdown]
# A task, trained
# ---------------
# Reviews, positive or negative, from this project's own sample; adapters of size 32 in all six
# layers of MiniLM. The head reads the mean of a text's last states. What is looked into afterwards
# are the 240 reviews of the dev part, which trained nothing.

# %%
data = glue_data("sst-2", sample=True)
print(f"data: {data.source}; {len(data.train)} to train on, {len(data.dev)} to look at")
base = load_base(fetch_model("minilm"))
method = method_named("adapters", 32)
settings = Settings(rate=3e-3, epochs=3, batch_size=16, seed=0)
progress = Progress("reviews", data.task)
trained = train_task(base, data, method, settings, pooling="mean", on_report=progress)
print(f"dev accuracy {100 * trained.epochs[-1]['accuracy']:.1f} %")
fresh = new_task_model(base, method, recipe_named("paper"), outputs=2, seed=0, pooling="mean")
model = on_base(trained.task, base)

gold = np.array([example.label for example in data.dev])
encoded = encode_texts(base.tokenizer, [example.text for example in data.dev], max_length=64)
batch = make_batch(encoded)

# %% [markdown]
# States in two dimensions
# ------------------------
# Each review is 384 numbers. *Principal components* are the directions in which a cloud of points
# varies most. With the points as the rows of X, and their mean subtracted, the singular value
# decomposition has them as the rows of :math:`V^T`, in order:
#
# .. math::
#
#    X = U S V^T, \qquad \mathrm{share}_k = S_k^2 \Big/ \sum_j S_j^2
#
# (share: the part of the variance that is along component k).
#
# Nobody tells this decomposition which review is positive. If a component separates the classes
# nevertheless, then that is what the states differ in most.


# %%
def entering(model: TaskModel, batch):
    """The states that enter each layer, and those that leave the last. 7 times [N, D]"""
    params, run = model.tree["base"], model.run(batch)
    return encoder_layers(params, range(6), embed(params, batch, run), run)


def mean_states(model: TaskModel):
    """The vector that the head reads, of each dev review. [B, D]"""
    return mean_pool(entering(model, batch)[-1], batch.lengths)


def principal(points):
    """The points in their first two principal components [B, 2], and these components' shares of
    the variance."""
    centred = points - points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T, sizes[:2] ** 2 / np.sum(sizes**2)


def best_threshold(values):
    """The share of reviews that one threshold along a line can tell apart, at best."""
    positives = gold[np.argsort(values)]  # 1 or 0, from left to right
    left = np.concatenate([[0], np.cumsum(1 - positives)])  # negatives to the left of each place
    right = positives.sum() - np.concatenate([[0], np.cumsum(positives)])  # positives to its right
    share = (left + right) / len(gold)
    return max(share.max(), 1 - share.min())


clouds = {"before training": principal(mean_states(fresh)), "after": principal(mean_states(model))}
for when, (points, shares) in clouds.items():
    print(
        f"{when}: the first component has {100 * shares[0]:.0f} % of the variance, and a threshold "
        f"on it tells {100 * best_threshold(points[:, 0]):.1f} % of the reviews apart"
    )

# %% [markdown]
# Which words decided: erasure
# ----------------------------
# What did a word do for the answer? Take it away and see. The answer is one number for each text,
# the difference of its two logits,
#
# .. math::
#
#    f = \mathrm{logit}_{positive} - \mathrm{logit}_{negative},
#
# and a word's share in it is what f loses when the word becomes [MASK]. That needs one more pass
# for each word. Here it is done for 60 reviews.

# %%
CHOSEN = 60
MASK = base.tokenizer.token_to_id("[MASK]")


def margin(states, batch, layer=0):
    """f of each text, from the states that enter a layer. [N, D] -> [B]"""
    run = model.run(batch)
    last = encoder_layers(model.tree["base"], range(layer, 6), states, run)[-1]
    logits = classify(model.tree["head"], mean_pool(last, batch.lengths), run)
    return logits[:, 1] - logits[:, 0]


def words_of(text):
    """The tokens of each word of a text, as row numbers; [CLS] and [SEP] belong to none."""
    numbers = base.tokenizer.encode(text).word_ids
    every = range(max(n for n in numbers if n is not None) + 1)
    return [np.flatnonzero([n == word for n in numbers]) for word in every]


def erased(text, rows):
    """An encoded text with [MASK] at these rows."""
    return text._replace(ids=np.where(np.isin(np.arange(len(text.ids)), rows), MASK, text.ids))


some, words = encoded[:CHOSEN], [words_of(example.text) for example in data.dev[:CHOSEN]]
together = make_batch(some)
states = entering(model, together)  # for 60 reviews
answers = margin(states[0], together)  # [60]
erasure = []  # for each review what each of its words adds to f
for text, groups, answer in zip(some, words, answers, strict=True):
    without = make_batch([erased(text, rows) for rows in groups])
    erasure.append(answer - margin(entering(model, without)[0], without))

# %% [markdown]
# Gradient times input
# --------------------
# One backward pass gives the gradient of f for all rows x of the input at once. If f were linear,
# f would be the sum over the words of
#
# .. math::
#
#    x \cdot \nabla_x f,
#
# and so this product is often shown as "what the network looked at". Does it agree with erasure? As
# the sizes may differ, we ask for the *order* of the words in each review: Spearman's rank
# correlation, 1 for the same order, 0 for none. The x here are the rows that enter the first layer,
# and then those that enter a middle one, when words have seen their neighbours.


# %%
def by_words(rows, batch):
    """Numbers of tokens added up to those of words. [N] -> for each review [words]"""
    parts = np.split(rows, batch.starts[1:])
    return [
        np.array([part[r].sum() for r in groups]) for part, groups in zip(parts, words, strict=True)
    ]


def gradient_times_input(layer):
    """The product of each row that enters a layer with its gradient of f. -> [N]"""
    x = states[layer]
    slope = grad(lambda x: margin(x, together, layer).sum())(x)
    return np.sum(slope * x, axis=1)


ESTIMATES = {
    "gradient x input,\nlayer 1": by_words(gradient_times_input(0), together),
    "gradient x input,\nlayer 4": by_words(gradient_times_input(3), together),
}
agreement = {}  # with erasure: the mean rank correlation and its standard error
for name, estimate in ESTIMATES.items():
    each = [spearman(guess, truth) for guess, truth in zip(estimate, erasure, strict=True)]
    agreement[name] = np.mean(each), np.std(each) / np.sqrt(len(each))
    print(f"{' '.join(name.split())}: {agreement[name][0]:+.2f} ± {agreement[name][1]:.2f}")


def pieces_of(number):
    """The words of a review, as they are read."""
    tokens = base.tokenizer.encode(data.dev[number].text).tokens
    return ["".join(tokens[r].removeprefix("##") for r in rows) for rows in words[number]]


for number in (2, 1):
    print(f"\n{data.dev[number].text} (f = {answers[number]:+.1f})")
    for name, shares in {"erasure": erasure, **ESTIMATES}.items():
        best = np.argsort(-np.abs(shares[number]))[:4]
        said = [f"{pieces_of(number)[i]} {shares[number][i]:+.2f}" for i in best]
        print(f"   {' '.join(name.split()):26}", ", ".join(said))

# %% [markdown]
# Gradients by depth
# ------------------
# Which adapters does the loss pull at? The length of the gradient of each layer's adapters, for 64
# training reviews, before training and after it.


# %%
def gradient_lengths(model):
    """For each layer, the length of the gradient for its two adapters. [6]"""
    examples = data.train[:64]
    texts = make_batch(encode_texts(base.tokenizer, [e.text for e in examples], max_length=64))
    labels = np.array([example.label for example in examples])
    adapters, others = partition(model.tree, lambda path: path.startswith("adapters."))

    def loss_of(flat):
        changed = replace(model, tree=merge(others, from_leaves(flat)))
        return loss(forward(changed, texts), labels, regression=False)

    _, slopes = value_and_grads(loss_of, dict(leaves(adapters)))
    squares = np.zeros(6)
    for path, slope in slopes.items():
        squares[int(path.split(".")[1])] += np.sum(slope.astype(np.float64) ** 2)
    return np.sqrt(squares)


depth = {"before training": gradient_lengths(fresh), "after": gradient_lengths(model)}
for when, lengths in depth.items():
    print(f"{when}: " + ", ".join(f"{length:.1e}" for length in lengths))

# %% [markdown]
# What a feature responds to
# --------------------------
# Inside an adapter each token has m numbers, :math:`f(z W_{down} + b_{down})`: its *features*. How
# much a feature does is how much it varies, times the length of its row of :math:`W_{up}`. For the
# features that do most, in a middle layer and in the last, we look up the 100 tokens where they
# are largest.


# %%
def features_of(model):
    """{layer: the features of its second adapter at every token [N, m]}"""
    found, activation = {}, getattr(fused, method.activation)

    def look(layer, place, z, x):
        if place not in PLACES:  # the queries, keys and values
            return z
        adapter = model.tree["adapters"][layer][place]
        down = adapter["down"]
        found[layer] = activation(z @ down["weight"] + down["bias"])  # the second one's stays
        return bn.bottleneck(adapter, z, method.activation)

    encode(model.tree["base"], batch, base.config, adapt=look)
    return found


def telling_apart(features):
    """How well the best feature's mean over a review tells its class, by one threshold."""
    means = mean_pool(features, batch.lengths)  # [B, m]
    return max(best_threshold(column) for column in means.T)


features = {"before training": features_of(fresh), "after": features_of(model)}
apart = {when: [telling_apart(found[n]) for n in range(6)] for when, found in features.items()}
token_label = np.repeat(gold, batch.lengths)
kinds = {}  # layer: how many different tokens are among the 100 highest, on average
for layer in (2, 5):
    found = features["after"][layer]  # [N, m]
    up = model.tree["adapters"][layer]["feed_forward"]["up"]["weight"]  # [m, D]
    does_most = np.argsort(-found.std(axis=0) * np.linalg.norm(up, axis=1))[:4]
    highest = np.argsort(-found[:, does_most], axis=0)[:100].T  # [4, 100]
    tokens = [Counter(base.tokenizer.id_to_token(int(batch.ids[i])) for i in h) for h in highest]
    kinds[layer] = np.mean([len(counter) for counter in tokens])
    for j, rows, counter in zip(does_most, highest, tokens, strict=True):
        share = 100 * token_label[rows].mean()
        said = ", ".join(f"{token} ({n})" for token, n in counter.most_common(7))
        print(f"layer {layer + 1}, feature {j}: {share:.0f} % in positive reviews; {said}")

# %% [markdown]
# In layer 3 these features know words of praise: "great", "excellent", "brilliant". In layer 6 the
# tokens are of many kinds and mean little by themselves; they have taken in from their neighbours
# what the review says.

# %% [markdown]
# The pictures
# ------------
# The states first. Then how well the estimates agree with erasure (with two standard errors), the
# gradients by depth, and by layer how well the best single feature tells the classes apart.


# %%
def draw_states():
    """The dev reviews in two dimensions, before and after."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    for axes, (when, (points, shares)) in zip(panels, clouds.items(), strict=True):
        for label, colour, mark in ((0, "#c55a11", "v"), (1, "#1f4e79", "o")):
            rows = points[gold == label]
            axes.plot(*rows.T, mark, color=colour, ms=4, alpha=0.7, label=data.task.names[label])
        axes.set(title=f"{when}: {100 * shares.sum():.0f} % of the variance", xticks=[], yticks=[])
        axes.set(xlabel="first component", ylabel="second component")
    panels[0].legend()
    save_picture(figure, "18_states")


def draw_measures():
    """Agreement with erasure, gradients by depth, features by depth."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    values, errors = np.array(list(agreement.values())).T
    left.bar(list(agreement), values, yerr=2 * errors, color="#1f4e79", width=0.6)
    left.set(ylabel="rank correlation with erasure", title="Which words decided")
    for when, look in (("before training", "s--"), ("after", "o-")):
        middle.plot(range(1, 7), depth[when], look, label=when)
        right.plot(range(1, 7), 100 * np.array(apart[when]), look, label=when)
    middle.set(xlabel="layer", ylim=(0, None), title="Length of the adapters' gradient")
    right.set(xlabel="layer", ylabel="told apart (%)", title="The best feature of an adapter")
    for axes in (middle, right):
        axes.legend()
        axes.grid(alpha=0.3)
    save_picture(figure, "18_measures")


draw_states()
draw_measures()

# %% [markdown]
# The claims, checked
# -------------------
# Before training, the direction in which the states differ most says little about the class, and
# afterwards nearly all. Gradient times input in the first layer is hardly better than chance at
# saying which words decided; in a middle layer it agrees with erasure much better, though not
# fully. After training a single feature tells most reviews apart, and the gradient is shortest for
# the last adapters.

# %%
before, after = (best_threshold(points[:, 0]) for points, _ in clouds.values())
assert before < 0.7 < 0.9 < after, f"told apart by the first component: {before:.2f}, {after:.2f}"
assert clouds["after"][1][0] > 2 * clouds["before training"][1][0], "the share should grow"
(first, error), (middle, its_error) = agreement.values()
assert middle - first > 2 * (error + its_error), f"layer 1 {first:.2f}, layer 4 {middle:.2f}"
assert max(apart["after"][3:]) > max(apart["before training"]) + 0.1, f"best features: {apart}"
assert kinds[2] < kinds[5], f"different tokens among the highest, layers 3 and 6: {kinds}"
rest, end = depth["after"][:-1], depth["after"][-1]
assert rest.mean() > 1.2 * end, f"lengths of the gradients after training: {depth['after']}"

# %% [markdown]
# What next
# ---------
# 1. Take words away instead of masking them: ``np.delete`` of their rows. How well do the two kinds
#    of erasure agree with each other? No estimate should be expected to agree better with either.
# 2. Take as x the sums of the three embedding tables, *before* the LayerNorm, with their mean
#    subtracted. What is gradient times input now, and why?
# 3. "Not bad": erase one word, then the other, then both. Can shares of single words explain it?
# 4. Look at the features of layer 1. What do those that do most respond to?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 1. With each other they have a rank correlation of about 0.74. They ask different questions:
#    without its rows, the text is shorter and every later word has another position.
# 2. It is 0 for every token, whatever the token did. LayerNorm divides by the length of x, so a
#    longer x gives the same f, and the gradient has no part along x (Euler's theorem on homogeneous
#    functions). A picture of it would be rounding errors in colour.
# 3. No. Without "not" the text is bad, without "bad" there is little left to judge, and the two
#    losses don't add up to that of both. Shares of single words describe sums.
# 4. Put 0 beside 2 and 5. Those that do most there respond to [CLS] or to [SEP], in every review,
#    and to no word at all: it is a constant that they add at that place.
#
# .. raw:: html
#
#    </details>
#
# Next: sentences as vectors, `19_meaning.py <19_meaning.py>`_.
