"""
Train on GLUE
=============

Adapters against the cheaper thing that one would try first: a new head on a BERT that stays as it
is. The task is SST-2 of the GLUE benchmark: is a sentence from a film review positive or negative?

**You will learn** what is trained and what stays frozen, what that costs in parameters, memory on
disk and time, what it brings, and how a trained task is kept and used again. **Time:** 15 minutes
to read, about a minute to run on two free cores. **You need to know** what an adapter is
(``07_the_adapter.py``) and what a loss and a learning rate are. Paper: Houlsby et al. 2019 (arXiv
1902.00751), sections 2.1 and 3.1.
"""

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.finetune import subset, train_task
from adapters.predict import predict_texts
from adapters.recipes import recipe_named
from adapters.show import Progress, table, trained_table
from adapters.store import load_task, save_task
from adapters.tuning import init_task, method_named, split
from minibert import load_base
from minibert.datasets import glue_data
from minibert.glue_data import find_task
from minibert.heads import probabilities
from minibert.train import Settings
from minibert.tree import count, leaves
from minibert.weights import fetch_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The data
# --------
# The real SST-2 when it is here (``minibert fetch sst-2`` gets it): of its 67,349 sentences we draw
# 1,000 to train on. Else the small sample that comes with this project: the same format, but not
# GLUE's sentences, so the numbers are then the sample's alone.

# %%
SEED = 0
real = find_task("sst-2") is not None
data = glue_data("sst-2", sample=not real)
if real:
    assert (len(data.train), len(data.dev)) == (67_349, 872), "this is not GLUE's SST-2"
    data = subset(data, 1000, SEED)
print(f"data: {data.source}; {len(data.train):,} to train on, {len(data.dev):,} to score on (dev)")
base = load_base(fetch_model("minilm"))
print(f"base: {base.name}, {count(base.params):,} parameters")

# %% [markdown]
# What is trained
# ---------------
# A method is a rule that says of each parameter whether it is trained. The paper's trains the
# adapters, every LayerNorm and the head, a linear map from the pooled [CLS] state to the two
# classes:
#
# :math:`\mathrm{logits} = \tanh(h_{CLS} W_{pool} + b_{pool}) \, W_{head} + b_{head}`.
#
# All the rest is frozen: the gradient with respect to it is never even computed.

# %%
METHODS = {name: method_named(name) for name in ("adapters", "head")}
starts = {
    name: init_task(base, method, recipe_named("paper"), data.task.outputs, SEED)
    for name, method in METHODS.items()
}
for name, method in METHODS.items():
    print(f"\nmethod: {method}\n{trained_table(starts[name], method)}")
sizes = {name: count(split(starts[name], method)[0]) for name, method in METHODS.items()}
assert sizes == {"adapters": 595_200 + 9_984 + 770, "head": 2 * 384 + 2}, sizes

# %% [markdown]
# Training
# --------
# Adam; the learning rate rises over the first tenth of the steps and falls to 0 (section 3.1). The
# head's rate is a hundred times the adapters', for a fair comparison: the numbers in this base's
# pooled vectors are small, so a good head has large weights and must go a long way. At a thirtieth
# of that rate it stayed within two points of the majority class.

# %%
RATES = {"adapters": 1e-3, "head": 1e-1}
epochs, batch_size = (3, 32) if real else (6, 16)
frozen_before = {path: array.copy() for path, array in leaves(base.params)}
runs, seconds = {}, {}
for name, method in METHODS.items():
    settings = Settings(rate=RATES[name], epochs=epochs, batch_size=batch_size, seed=SEED)
    begun = time.perf_counter()
    runs[name] = train_task(base, data, method, settings, on_report=Progress(name))
    seconds[name] = time.perf_counter() - begun

# %% [markdown]
# The picture: the loss of the training batches (a running mean), and the accuracy on the dev
# sentences after each epoch, beside that of always guessing the more frequent class.

# %%
LOOKS = {"adapters": {"color": "#1f4e79", "marker": "o"},
         "head": {"color": "#c55a11", "marker": "s", "ls": "--"}}  # fmt: skip
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
steps = np.arange(1, 1 + len(runs["head"].losses))
window = max(1, len(steps) // 10)
for name, run in runs.items():
    smooth = np.convolve(run.losses, np.ones(window) / window, mode="valid")
    left.plot(steps[window - 1 :], smooth, **{**LOOKS[name], "marker": ""})
    accuracies = [100 * metrics["accuracy"] for metrics in run.epochs]
    right.plot(range(1, epochs + 1), accuracies, **LOOKS[name], label=name)
majority = runs["head"].constant["accuracy"]
right.axhline(100 * majority, color="0.4", ls=":", label="majority class")
left.set(xlabel="step", ylabel=f"training loss in nats, mean of {window} steps", ylim=(0, None))
right.set(xlabel="epoch", ylabel="dev accuracy (%)", xticks=range(1, epochs + 1))
left.grid(alpha=0.3)
right.grid(alpha=0.3)
handles = right.get_legend_handles_labels()
figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
figure.suptitle(f"{data.source}, on MiniLM")
figure.savefig(out / "08_train_a_task.png", dpi=120)
print(f"picture: {out / '08_train_a_task.png'}")

# %%
best = {name: run.task.results["accuracy"] for name, run in runs.items()}
rows = [
    (name, f"{sizes[name]:,}", f"{100 * best[name]:.1f}", f"{seconds[name]:.0f}") for name in runs
]
rows.append(("majority class", "0", f"{100 * majority:.1f}", "0"))
print(table(rows, ("trained", "parameters", "dev accuracy (%)", "seconds")))

# %% [markdown]
# The claims, checked. Seeds 0 to 4 gave, on one machine (dev accuracy, %):
#
# - real SST-2: adapters 77.3 to 80.5, head 63.6 to 65.0, majority class 50.9; the adapters led the
#   head of their seed by 12.2 points or more;
# - the sample: adapters 68.1 to 71.2, head 59.4 to 65.0, majority class 50.0.
#
# Other seeds and machines differ, so less is asked for: on real SST-2 a lead of 18 points over the
# majority class and of 6 over the head; on the sample 8 over the majority class.

# %%
gains = {"majority class": best["adapters"] - majority, "head": best["adapters"] - best["head"]}
least = {"majority class": 0.18, "head": 0.06} if real else {"majority class": 0.08}
for other, gain in least.items():
    assert gains[other] >= gain, f"adapters beat {other} by {gains[other]:.3f} only, not {gain}"
trained = dict(leaves(runs["adapters"].task.trained))
start = dict(leaves(starts["adapters"]))
wanted = {path for path in start if METHODS["adapters"].trains(path)}
assert trained.keys() == wanted, f"trained, or not, by mistake: {trained.keys() ^ wanted}"
for path, array in leaves(base.params):
    assert np.array_equal(array, frozen_before[path]), f"{path} of the frozen base has changed"
for path, array in trained.items():
    assert not np.array_equal(array, start[path]), f"{path} should be trained, but has not moved"
print(f"The base is as it was, bit for bit; all {len(trained)} trained arrays have moved.")

# %% [markdown]
# Keep it, use it again
# ---------------------
# A task is one small file with all that was trained, and the hash of the base that it belongs to.
# Read back, it gives the same logits to the last bit.

# %%
path = out / "08_sst-2.safetensors"
save_task(path, runs["adapters"].task)
task, size = load_task(path), path.stat().st_size
texts = [example.text for example in data.dev[:32]]
same = predict_texts(task, base, texts) == predict_texts(runs["adapters"].task, base, texts)
assert same.all(), "the reloaded task gives other logits"
weights = (base.folder / "model.safetensors").stat().st_size
print(f"task file: {path}, {size / 1e6:.1f} MB; the base has {weights / 1e6:.0f} MB")
assert 4 * sizes["adapters"] < size < 4 * sizes["adapters"] + 50_000, f"{size} bytes"

SENTENCES = ("The soup was cold and the waiter could not have cared less.",
             "I have read it three times and will read it again.",
             "A tender, funny story that never puts a foot wrong.")  # fmt: skip
chances = probabilities(predict_texts(task, base, SENTENCES))  # [3, 2]
for text, row in zip(SENTENCES, chances, strict=True):
    print(f"{task.task.names[row.argmax()]:8}  {row.max():.2f}  {text}")

# %% [markdown]
# What next
# ---------
# - Train on 4,000 sentences. Who gains more from them?
# - Add "norms" (LayerNorms and head) and "full" to the methods, "full" with a rate of 5e-5. What
#   does the last percent of accuracy cost in parameters?
# - Give the head the adapters' rate of 1e-3. How much of the gap would then be an artefact?
