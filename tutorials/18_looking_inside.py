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

import matplotlib.pyplot as plt
import numpy as np
from autograd import grad

from adapters import method_named, new_task_model, on_base, recipe_named, train_task
from adapters.methods import bottleneck as bn
from adapters.pictures import save_picture
from adapters.progress import Progress
from adapters.tutorials import inside
from minibert import Settings, encode, encode_texts, fetch_model, glue_data, load_base, make_batch
from minibert.data.metrics import spearman
from minibert.heads import classify, mean_pool
from minibert.model import embed, encoder_layers
from minibert.ops import gelu_tanh

# %% [markdown]
# A task, trained
# ---------------
# Reviews, positive or negative, from this project's own sample; adapters of size 32 in all six
# layers of MiniLM. The head reads the mean of a text's last states. What is looked into afterwards
# are the 240 reviews of the dev part, which trained nothing. (Here the words and pictures count
# layers from 1; the code, as everywhere, from 0.)

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
# decomposition has them as the rows of :math:`V^T`, in order; component k has this share of the
# variance:
#
# .. math::
#
#    X = U S V^T, \qquad \mathrm{share}_k = S_k^2 \Big/ \sum_j S_j^2
#
# Nobody tells this decomposition which review is positive. If a component separates the classes
# nevertheless, then that is what the states differ in most.


# %%
def entering(model, batch):
    """The states that enter each layer, and those that leave the last. 7 times [N, D]"""
    params, run = model.tree["base"], model.run(batch)
    return encoder_layers(params, range(6), embed(params, batch, run), run)


def principal(points):
    """The points in their first two principal components [B, 2], and these components' shares."""
    centred = points - points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T, sizes[:2] ** 2 / np.sum(sizes**2)


figure, panels = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
apart = []
for axes, when, which in zip(panels, ("before", "after"), (fresh, model), strict=True):
    points, shares = principal(mean_pool(entering(which, batch)[-1], batch.lengths))
    apart.append(inside.best_threshold(points[:, 0], gold))
    print(f"{when} training, component 1 tells {100 * apart[-1]:.1f} % of the reviews apart")
    for label, look in enumerate(("C1v", "C0o")):
        axes.plot(*points[gold == label].T, look, ms=4, alpha=0.7, label=data.task.names[label])
    axes.set(title=f"{when} training: {100 * shares.sum():.0f} % of the variance")
    axes.set(xlabel="first component", ylabel="second component", xticks=[], yticks=[])
panels[0].legend()
save_picture(figure, "18_states")
assert apart[0] < 0.7 < 0.9 < apart[1], f"told apart by the first component: {apart}"

# %% [markdown]
# Before training, the direction in which the states differ most says little about the class, and
# afterwards nearly all.
#
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
MASK = base.tokenizer.token_to_id("[MASK]")


def margin(states, batch, layer=0):
    """f of each text, from the states that enter a layer. [N, D] -> [B]"""
    run = model.run(batch)
    last = encoder_layers(model.tree["base"], range(layer, 6), states, run)[-1]
    logits = classify(model.tree["head"], mean_pool(last, batch.lengths), run)
    return logits[:, 1] - logits[:, 0]


texts = [example.text for example in data.dev[:60]]
words = [inside.rows_of_words(base.tokenizer, text) for text in texts]
together = make_batch(encoded[:60])
states = entering(model, together)
answers = margin(states[0], together)  # [60]
erasure = []  # for each review what each of its words adds to f
for text, groups, answer in zip(encoded, words, answers, strict=False):
    without = make_batch([inside.erased(text, rows, MASK) for rows in groups])
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
# and then those that enter layer 4, when words have seen their neighbours.


# %%
def gradient_times_input(layer):
    """The product of each row that enters a layer with its gradient of f, by words."""
    x = states[layer]
    slope = grad(lambda x: margin(x, together, layer).sum())(x)
    return inside.by_words(np.sum(slope * x, axis=1), together.starts, words)


estimates = {"layer 1": gradient_times_input(0), "layer 4": gradient_times_input(3)}
agreement = {}  # with erasure: the mean rank correlation and its standard error
for name, estimate in estimates.items():
    each = [spearman(guess, truth) for guess, truth in zip(estimate, erasure, strict=True)]
    agreement[name] = np.mean(each), np.std(each) / np.sqrt(len(each))
    print("gradient x input, {}: {:+.2f} ± {:.2f}".format(name, *agreement[name]))
print(texts[2])
for name, share in {"erasure": erasure, **estimates}.items():
    best = np.argsort(-np.abs(share[2]))[:4]
    said = [f"{inside.spelled(base.tokenizer, texts[2])[i]} {share[2][i]:+.2f}" for i in best]
    print(f"   {name:8}", ", ".join(said))
(first, error), (later, its_error) = agreement.values()
assert later - first > 2 * (error + its_error), f"layer 1 {first:.2f}, layer 4 {later:.2f}"
assert 2 * error < first < 0.3, f"layer 1: {first:.2f} ± {error:.2f}"

# %% [markdown]
# In the first layer it is only a little better than chance at saying which words decided: it even
# takes "awful" for praise. (The errors are for other reviews, not for another training: with seed 1
# it was no better than chance, 0.02 ± 0.04.) In layer 4 it agrees with erasure much better, though
# far from fully.
#
# Gradients by depth
# ------------------
# Which adapters does the loss pull at? The length of the gradient of each layer's adapters, for 64
# training reviews, before training and after it. (``adapters/tutorials/inside.py`` adds the squares
# up, layer by layer.)

# %%
some = data.train[:64]
some_batch = make_batch(encode_texts(base.tokenizer, [e.text for e in some], max_length=64))
labels = np.array([example.label for example in some])
depth = {}
for when, which in {"before training": fresh, "after": model}.items():
    depth[when] = inside.gradient_lengths(which, some_batch, labels)
    print(f"{when}: " + ", ".join(f"{length:.1e}" for length in depth[when]))
assert depth["after"][:-1].mean() > 1.2 * depth["after"][-1], "shortest for the last adapters"
alike = depth["before training"].max() / depth["before training"].min()
longer = depth["after"] / depth["before training"]
assert alike < 1.5, f"before training, the longest is {alike:.1f} times the shortest"
assert longer.min() > 2, f"after training, {longer} times as long as before"

# %% [markdown]
# Before training, at those of all layers about equally: the longest gradient is less than 1.5 times
# the shortest. Afterwards each is more than twice as long as it was, and that of the last layer is
# shorter than the mean of the others.
#
# What a feature responds to
# --------------------------
# Inside an adapter each token has m numbers, :math:`f(z W_{down} + b_{down})`: its *features*. How
# much a feature does is how much it varies, times the length of its row of :math:`W_{up}`. For the
# features that do most, we look up the 100 tokens where they are largest, of how many such tokens
# there are, and how many stand in positive reviews. And how well does the best feature of a layer,
# averaged over a review, tell the classes apart by one threshold?


# %%
def features_of(model):
    """{layer: the features of its second adapter at every token [N, m]}"""
    found = {}

    def look(layer, place, z, x):
        if place not in ("attention", "feed_forward"):  # the queries, keys and values
            return z
        adapter = model.tree["adapters"][layer][place]
        found[layer] = gelu_tanh(z @ adapter["down"]["weight"] + adapter["down"]["bias"])
        return bn.bottleneck(adapter, z, method.activation)

    encode(model.tree["base"], batch, base.config, adapt=look)
    return found


features = {"before training": features_of(fresh), "after": features_of(model)}
told = {
    when: [
        max(inside.best_threshold(f, gold) for f in mean_pool(by[n], batch.lengths).T) for n in by
    ]
    for when, by in features.items()
}
occurs = Counter(map(base.tokenizer.id_to_token, batch.ids.tolist()))
print(f"{len(batch.ids):,} tokens, of them {occurs['.']} full stops")
praise = np.repeat(gold, batch.lengths)  # is the token's review positive? [N]
kinds, positive, tokens = {}, {}, {}  # of the 100 highest: different ones, in positive reviews, all
for layer in (2, 5):
    found = features["after"][layer]  # [N, m]
    up = model.tree["adapters"][layer]["feed_forward"]["up"]["weight"]  # [m, D]
    does_most = np.argsort(-found.std(axis=0) * np.linalg.norm(up, axis=1))[:4]
    highest = np.argsort(-found[:, does_most], axis=0)[:100].T  # [4, 100]
    ids = batch.ids[highest].tolist()
    tokens[layer] = [Counter(map(base.tokenizer.id_to_token, row)) for row in ids]
    kinds[layer] = np.mean([len(counter) for counter in tokens[layer]])
    positive[layer] = praise[highest].sum(axis=1)  # [4]
    for j, counter, n in zip(does_most, tokens[layer], positive[layer], strict=True):
        said = ", ".join(f"{token} ({k} of {occurs[token]})" for token, k in counter.most_common(4))
        print(f"layer {layer + 1}, feature {j}, {n} in positive reviews: {said}")
for counter in tokens[2]:
    assert counter.most_common(1)[0][0] == ".", f"the commonest is not the full stop: {counter}"
    share = {token: counter[token] / occurs[token] for token in (".", "great", "excellent")}
    assert share["."] < 0.2 < 0.5 < min(share["great"], share["excellent"]), f"of all: {share}"
assert positive[2].min() > 95, f"layer 3, in positive reviews: {positive[2]}"
assert positive[5].min() < 25 < 75 < positive[5].max(), f"layer 6: {positive[5]}"
assert 0.9 < max(told["after"][3:]) <= 1, f"a single feature should tell most: {told['after']}"
assert kinds[2] < kinds[5], f"different tokens among the highest, layers 3 and 6: {kinds}"
assert max(told["after"]) > max(told["before training"]) + 0.1, f"best features: {told}"

# %% [markdown]
# The commonest token of all four features in layer 3 is the full stop, as it is in the reviews; but
# fewer than one in five of all full stops are there, and more than half of the words "great" and
# "excellent". What unites the 100 tokens is that nearly all stand in positive reviews, as only half
# of the reviews are. These features know praise, in its words and in full stops, which are all the
# same to begin with and have taken it in from their neighbours. In layer 6 the tokens are of many
# kinds and mean little by themselves, and the four features are not all for the same class.

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
values, errors = np.array(list(agreement.values())).T
left.bar(list(agreement), values, yerr=2 * errors, color="#1f4e79", width=0.6)
left.set(ylabel="rank correlation with erasure", title="Gradient x input (2 standard errors)")
for when, look in (("before training", "s--"), ("after", "o-")):
    middle.plot(range(1, 7), depth[when], look, label=when)
    right.plot(range(1, 7), 100 * np.array(told[when]), look, label=when)
middle.set(xlabel="layer", ylim=(0, None), title="Length of the adapters' gradient")
right.set(xlabel="layer", ylabel="told apart (%)", title="The best feature of an adapter")
right.legend()
save_picture(figure, "18_measures")

# %% [markdown]
# What next
# ---------
# 1. Take as x the sums of the three embedding tables, *before* the LayerNorm, with their mean
#    subtracted. What is gradient times input now, and why?
# 2. "Not bad": erase one word, then the other, then both. Can shares of single words explain it?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 1. It is 0 for every token, whatever the token did. LayerNorm divides by the length of x, so a
#    longer x gives the same f, and the gradient has no part along x (Euler's theorem on homogeneous
#    functions). A picture of it would be rounding errors in colour.
# 2. No. Without "not" the text is bad, without "bad" there is little left to judge, and the two
#    losses don't add up to that of both. Shares of single words describe sums.
#
# .. raw:: html
#
#    </details>
#
# Next: sentences as vectors, `19_meaning.py <19_meaning.py>`_.
