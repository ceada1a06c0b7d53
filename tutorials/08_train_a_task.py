"""
Train a task
============

Adapters against the two things one would try first: to train everything (full fine-tuning), and to
train only a new head. The task is SST-2 of the GLUE benchmark: is a sentence from a film review
positive or negative?

**You will learn** what is trained and what stays frozen, what each method costs in parameters, time
and disk space, what accuracy it reaches, and how a trained task is saved and used again. **Time:**
15 minutes to read, about a minute to run on two free cores. **You need to know** adapters
(`07_the_adapter.py <07_the_adapter.py>`_) and Adam (`06_adam.py <06_adam.py>`_). Paper: Houlsby et
al. 2019 (`arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_), sections 2.1 and 3.
"""

import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from adapters import (
    evaluate_task,
    load_task,
    method_named,
    new_task_model,
    predict_texts,
    recipe_named,
    save_task,
    subset,
    train_task,
)
from adapters.methods.method import split
from adapters.pictures import save_picture, tutorial_folder
from adapters.progress import Progress
from adapters.show import table, trained_table
from minibert import Settings, fetch_model, glue_data, load_base
from minibert.fetch.datasets import find_task
from minibert.heads import probabilities
from minibert.tree import count, leaves

# %% [markdown]
# The data
# --------
# The real SST-2, if it has been fetched (``minibert fetch sst-2``): of its 67,349 sentences we draw
# 800 to train on, and score every other one of its 872 dev sentences. Otherwise the small sample
# that comes with this project: the same format, but not GLUE's sentences, so its numbers cannot be
# compared with those of GLUE.

# %%
SEED = 0
real = find_task("sst-2") is not None
data = glue_data("sst-2", sample=not real)
if real:
    assert (len(data.train), len(data.dev)) == (67_349, 872), "this is not GLUE's SST-2"
    data = replace(subset(data, 800, SEED), dev=data.dev[::2])
print(f"data: {data.source}; {len(data.train):,} to train on, {len(data.dev):,} to score on (dev)")
base = load_base(fetch_model("minilm"))

# %% [markdown]
# What is trained
# ---------------
# A method is a rule that says of each parameter whether it is trained. The paper's method trains
# the adapters, every LayerNorm, and the head: a linear map from the pooled [CLS] state to the
# classes. (MiniLM was trained so that the mean of the last states stands for a text. Without
# ``pooling="pooler"`` the head reads that mean, which is the better choice here; the pooler is the
# paper's.)
#
# :math:`\mathrm{logits} = \tanh(h_{CLS} W_{pool} + b_{pool}) \, W_{head} + b_{head}`.
#
# All the rest is frozen: its gradient is never even computed.

# %%
NAMES = ("full", "adapters", "head")
methods = {name: method_named(name) for name in NAMES}
models = {
    name: new_task_model(base, method, recipe_named("paper"), data.task.outputs, SEED, "pooler")
    for name, method in methods.items()
}
print(trained_table(models["adapters"]))
sizes = {name: count(split(model.tree, model.method)[0]) for name, model in models.items()}
expected = {"full": 22_713_216 + 770, "adapters": 595_200 + 9_984 + 770, "head": 2 * 384 + 2}
assert sizes == expected, f"trained parameters: {sizes}, not {expected}"

# %% [markdown]
# Training
# --------
# Adam; the learning rate rises over the first tenth of the steps and then falls to 0 (section 3.1).
# Full fine-tuning wants a small rate, as it moves what the base has learned. The head needs a large
# one: the numbers in this base's pooled vectors are small, so a good head has large weights and has
# a long way to go. (At a hundredth of that rate it came to 70 % on the sample.)

# %%
RATES = {"full": 1e-4, "adapters": 1e-3, "head": 1e-1}
EPOCHS = {"full": 2, "adapters": 3 if real else 5, "head": 3 if real else 6}
frozen_before = {path: array.copy() for path, array in leaves(base.params)}
runs = {}
seconds = {}
for name, method in methods.items():
    settings = Settings(RATES[name], EPOCHS[name], batch_size=32 if real else 16, seed=SEED)
    begun = time.process_time()
    progress = Progress(name)
    runs[name] = train_task(base, data, method, settings, pooling="pooler", on_report=progress)
    seconds[name] = time.process_time() - begun
best = {name: run.task.results["accuracy"] for name, run in runs.items()}
majority = runs["head"].constant["accuracy"]
rows = [
    (
        name,
        f"{sizes[name]:,}",
        f"{100 * sizes[name] / sizes['full']:.3f} %",
        f"{100 * best[name]:.1f}",
        f"{seconds[name]:.0f}",
    )
    for name in NAMES
]
print(table(rows, ("", "trained", "share", "dev accuracy (%), best epoch", "processor seconds")))


def draw_training():
    """Left: the training loss by step. Right: the dev accuracy by epoch."""
    looks = {"full": ("0.35", "^-."), "adapters": ("#1f4e79", "o-"), "head": ("#c55a11", "s--")}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for name, (colour, look) in looks.items():
        smooth = np.convolve(runs[name].losses, np.ones(6) / 6, mode="valid")
        left.plot(6 + np.arange(len(smooth)), smooth, look[1:], color=colour)
        accuracies = [100 * metrics["accuracy"] for metrics in runs[name].epochs]
        label = f"{name}: {sizes[name]:,}"
        errors = [np.sqrt(a * (100 - a) / len(data.dev)) for a in accuracies]
        epochs = range(1, 1 + EPOCHS[name])
        right.errorbar(epochs, accuracies, errors, fmt=look, color=colour, capsize=3, label=label)
    right.axhline(100 * majority, color="0.4", ls=":", label="majority class: 0")
    left.set(xlabel="step", ylabel="training loss in nats, mean of 6 steps", ylim=(0, None))
    right.set(xlabel="epoch", ylabel="dev accuracy (%)", xticks=range(1, EPOCHS["head"] + 1))
    where = {"loc": "outside lower center", "ncols": 4, "frameon": False}
    figure.legend(*right.get_legend_handles_labels(), title="trained parameters", **where)
    figure.suptitle(f"{data.source}, on MiniLM")
    save_picture(figure, "08_train_a_task")


draw_training()

# %% [markdown]
# The claims, checked
# -------------------
# With 1,000 sentences of the real SST-2 and its whole dev set, seeds 0 to 4 gave 77.3 to 80.5 % for
# adapters and 63.6 to 65.0 % for the head, at least 12.2 points apart for each seed. On the sample,
# whose reviews are plainer, seed 0 gave 96.2 % and 78.3 %, and the majority class 50.0 %. All these
# are the best of a few epochs, chosen on the sentences that are scored, so they are a little too
# good. Other machines differ, and half the dev set has a standard error of 2 points. So less is
# asked for here: a lead of 18 points over the majority class and of 6 over the head.
#
# Of full fine-tuning with so few sentences, nothing is claimed but its cost: the paper's comparison
# needs whole tasks (``minibert reproduce table1``).

# %%
lead = best["adapters"] - majority
assert lead >= 0.18, f"adapters beat the majority class by only {lead:.3f}, not 0.18"
lead = best["adapters"] - best["head"]
assert lead >= 0.06, f"adapters beat the head by only {lead:.3f}, not 0.06"

start = dict(leaves(models["adapters"].tree))
trained = dict(leaves(runs["adapters"].task.trained))
wanted = {path for path in start if methods["adapters"].trains(path)}
assert trained.keys() == wanted, f"trained, or not, by mistake: {trained.keys() ^ wanted}"
for path, array in leaves(base.params):
    assert np.array_equal(array, frozen_before[path]), f"{path} of the frozen base has changed"
for path, array in trained.items():
    assert not np.array_equal(array, start[path]), f"{path} should be trained, but has not moved"

# %% [markdown]
# Save it, use it again
# ---------------------
# A task is one file with everything that was trained, and the hash of the base that it belongs to:
# 2.4 MB for adapters. Full fine-tuning would take another 91 MB for every task. Read back, the file
# gives the same logits to the last bit.

# %%
path = tutorial_folder() / "08_sst-2.safetensors"
save_task(path, runs["adapters"].task)
task = load_task(path)
size = path.stat().st_size
assert 4 * sizes["adapters"] < size < 4 * sizes["adapters"] + 50_000, f"{size} bytes"
texts = [example.text for example in data.dev[:32]]
before = predict_texts(runs["adapters"].task, base, texts)
after = predict_texts(task, base, texts)
assert np.array_equal(before, after), "the reloaded task gives other logits"
print(f"task file: {path}, {size / 1e6:.1f} MB; full fine-tuning: {4e-6 * sizes['full']:.0f} MB")

SENTENCES = (
    "The soup was cold and the waiter could not have cared less.",
    "I have read it three times and will read it again.",
    "A tender, funny story.",
)
for text, row in zip(SENTENCES, probabilities(predict_texts(task, base, SENTENCES)), strict=True):
    print(f"{task.task.names[row.argmax()]:8}  {row.max():.2f}  {text}")

# %% [markdown]
# How good is that?
# -----------------
# It depends on the sentences. Most reviews say what they think in so many words. In a **contrast
# set** (Gardner et al. 2020, `arXiv 2004.02709 <https://arxiv.org/abs/2004.02709>`_) each sentence
# has a twin on the same matter with the opposite label, and hardly a word tells the two apart. The
# project's hard sample (``--sample hard``) is of that kind. The same task file answers it:

# %%
hard = glue_data("sst-2", sample="hard")
for example in hard.dev[:4]:
    print(f"{data.task.names[example.label]:8}  {example.text}")
on_hard = evaluate_task(task, base, hard.dev)["accuracy"]
error = (0.25 / len(hard.dev)) ** 0.5
print(f"{100 * best['adapters']:.1f} % on its own dev set, {100 * on_hard:.1f} % on contrast pairs")
assert on_hard < best["adapters"] - 2 * error, "contrast pairs should be far harder"
assert on_hard > 0.5 - 2 * error, "and yet not worse than guessing"

# %% [markdown]
# Trained on the sample's plain reviews, seed 0 is right on 58.1 % of them, two standard errors (4
# points each) above guessing: it has learned which words people praise and blame with. An accuracy
# says how hard the sentences are as much as how good the model is. Nothing trained on the hard
# sample itself went beyond 76 % there.
#
# What next
# ---------
# 1. Write it yourself: ``minibert exercises check 12``, what is trained; 13, CoLA's metric.
# 2. Add "norms" (LayerNorms and head; rate 1e-2) to NAMES, and to the tables that have an entry for
#    each name. What is left for the adapters to do?
# 3. Give the head the adapters' rate of 1e-3. How much of the gap would then be an artefact?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 2. Nothing that so plain reviews could show: at a rate of 1e-2 the LayerNorms and the head came to
#    94.6 % on the sample. On whole tasks they were 7.6 points behind full fine-tuning on average in
#    this project's own run (``results/minilm-full/claims.md``).
# 3. The head then ends at 70.0 instead of 78.3 % on the sample. Of the 26 points that it would
#    seem to lag behind the adapters, 8 would be the rate's.
#
# .. raw:: html
#
#    </details>
#
# How large must an adapter be? `09_size.py <09_size.py>`_.
