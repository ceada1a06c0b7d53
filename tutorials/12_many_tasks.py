"""
Many tasks, one base
====================

Tasks arrive one after the other. A network that is fine-tuned for each of them in turn forgets the
earlier ones; adapters leave the base alone and cannot forget. That is what the paper is about.

**You will learn** how several tasks share one frozen base, that the earlier ones stay as they were
to the last bit, what sequential fine-tuning does to them, and what either costs. **Time:** 15
minutes to read, less than a minute to run. **You need to know** how a task is trained and kept
(``08_train_a_task.py``). Paper: Houlsby et al. 2019 (arXiv 1902.00751), section 1.
"""

import os
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.bank import Bank
from adapters.finetune import train_task
from adapters.methods.table import method_named, top_layers
from adapters.predict import encode_examples, predict_logits
from adapters.show import Progress
from adapters.task_file import on_base, save_task
from minibert import load_base
from minibert.data.glue import glue_data
from minibert.data.tasks import score
from minibert.fetch.models import fetch_model
from minibert.training.schedule import Settings
from minibert.tree import count

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Three tasks
# -----------
# Sentiment, acceptability and similarity, from the small sample that comes with this project (in
# the formats of SST-2, CoLA and STS-B, but not GLUE's sentences). To be quick, both ways of
# learning change only the top two layers of MiniLM and what is above them.

# %%
TASKS, TOP = ("sst-2", "cola", "sts-b"), 2
EPOCHS = {"sst-2": 3, "cola": 3, "sts-b": 6}  # 60 steps each: the last has half as many examples
data = {name: glue_data(name, sample=True) for name in TASKS}
for part in data.values():
    print(f"data: {part.source}; {len(part.train)} to train on, {len(part.dev)} to score on (dev)")
base = load_base(fetch_model("minilm"))


def train(base, name, method, rate):
    settings = Settings(rate=rate, epochs=EPOCHS[name], batch_size=16, seed=0)
    progress = Progress(f"{name}, {method.name}")
    return train_task(base, data[name], method, settings, on_report=progress).task


# %% [markdown]
# With adapters
# -------------
# Task k has a few parameters φ_k of its own beside the common w, which no task changes:
#
# :math:`\mathrm{logits}_k(x) = f(x; w, \varphi_k)`.
#
# To learn another task cannot change them: its gradient is taken with respect to other numbers. A
# ``Bank`` opens task files over one base, which is in memory once. After each new task we ask it
# for the logits of all tasks so far.

# %%
bank = Bank(base)
history = {"adapters": [], "one network": []}  # after each task: {task: logits of its dev texts}
method = top_layers(method_named("adapters", 64), TOP, base.config)
for name in TASKS:
    path = out / f"12_{name}.safetensors"
    save_task(path, train(base, name, method, rate=3e-3))
    bank.open(path)
    logits = {task: bank.logits(task, [e.text for e in data[task].dev]) for task in bank.tasks}
    history["adapters"].append(logits)

# %% [markdown]
# With one network for all
# ------------------------
# Now every weight of those layers is trained for the first task, and from there on for the next.
# Each task keeps its own head; what it loses is the encoder that its head was made for.

# %%
network, heads = base, {}
method = top_layers(method_named("full"), TOP, base.config)
for name in TASKS:
    task = train(network, name, method, rate=3e-4)
    heads[name], params = task.trained["head"], on_base(task, network)["base"]
    network = replace(network, params=params, sha256=f"after {name}")  # the next one starts here
    logits = {}
    for known, head in heads.items():
        encoded = encode_examples(base, data[known].dev, task.max_length)
        logits[known] = predict_logits({"base": params, "head": head}, base, method, encoded)
    history["one network"].append(logits)

# %% [markdown]
# The picture
# -----------
# A line is a task's first metric, accuracy, Matthews or Pearson correlation, from when it was
# learned. Chance is 50 for the accuracy and 0 for the correlations.

# %%
LOOKS = {"sst-2": ("o-", "#1f4e79"), "cola": ("s--", "#c55a11"), "sts-b": ("^:", "0.35")}
scores = {}
figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
for axes, (way, steps) in zip(panels, history.items(), strict=True):
    for begin, (name, (look, color)) in enumerate(LOOKS.items()):
        task, gold = data[name].task, [example.label for example in data[name].dev]
        metric = task.metrics[0]
        values = [100 * score(task, step[name], gold)[metric] for step in steps[begin:]]
        print(f"{way:12} {name:6}", *(f"{value:5.1f}" for value in values))
        axes.plot(TASKS[begin:], values, look, color=color, label=f"{name} ({metric})")
        scores[way, name] = values
    axes.axhline(50, color="0.7", lw=1, ls="-.", label="sst-2: majority class")
    axes.set(title=way, xlabel="task just learned")
    axes.grid(alpha=0.3)
panels[0].set_ylabel("dev score (hundredths)")
handles = panels[0].get_legend_handles_labels()
figure.legend(*handles, loc="outside lower center", ncols=4, frameon=False)
figure.savefig(out / "12_many_tasks.png", dpi=120)
print(f"picture: {out / '12_many_tasks.png'}")

# %% [markdown]
# The claims, checked
# -------------------
# That adapters do not forget is no matter of degree: all logits of the earlier tasks are the same
# to the last bit. (So is the base: ``08_train_a_task.py``.) With one network for all, each text of
# the first task has other logits after each later task, and in the end 5 points of accuracy or more
# are gone.

# %%
for begin, name in enumerate(TASKS):
    learned, *later = (step[name] for step in history["adapters"][begin:])
    same = [np.array_equal(logits, learned) for logits in later]
    assert all(same), f"logits of {name} are the same after the later tasks: {same}"
learned, *later = (step["sst-2"] for step in history["one network"])
for name, logits in zip(TASKS[1:], later, strict=True):
    assert (logits != learned).any(axis=1).all(), f"after {name} an sst-2 text has the same logits"
wanted = [TOP * (2 * 49_600 + 4 * 384) + 385 * part.task.outputs for part in data.values()]
memory, separate = bank.parameters(), len(TASKS) * count(base.params)
assert memory == 22_713_216 + sum(wanted), f"{memory:,} parameters in memory, tasks: {wanted}"
print(f"in memory: a base with three tasks {memory:,}, three networks {separate:,} parameters")
kept, lost = (scores[way, "sst-2"][0] - scores[way, "sst-2"][-1] for way in history)
firsts = [scores[way, "sst-2"][0] for way in history]
assert min(firsts) > 50 + 8, f"sst-2 has not been learned, so none can forget it: {firsts}"
assert kept == 0, f"the adapters of sst-2 have lost {kept} points"
assert lost >= 5, f"one network for all has lost only {lost:.1f} points of sst-2"
print(f"sst-2 lost {kept:.1f} points with adapters, {lost:.1f} with one network for all.")

# %% [markdown]
# What next
# ---------
# - Learn the tasks in another order. Which task is forgotten most, and which teaches the next one?
# - Give the one network all six layers (without ``top_layers``; some minutes) and a rate of 5e-5.
#   Does it forget less?
# - From how many tasks on do adapters of this size take more memory than one network more?
# - Split a task's parameters into trained and frozen yourself: ``minibert exercises check 12``.
#
# Next: what else the authors tried, ``13_extensions.py``.
