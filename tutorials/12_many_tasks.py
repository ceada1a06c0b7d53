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
from adapters.predict import encode_examples, predict_logits
from adapters.show import Progress, table
from adapters.store import on_base, save_task
from adapters.tuning import method_named, top_layers
from minibert import load_base
from minibert.datasets import glue_data
from minibert.tasks import score
from minibert.train import Settings
from minibert.tree import count, leaves
from minibert.weights import fetch_model

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# Three tasks
# -----------
# Sentiment, acceptability and similarity, from the small sample that comes with this project (in
# the formats of SST-2, CoLA and STS-B, but not GLUE's sentences). To be quick, both ways of
# learning change only the top two layers of MiniLM and what is above them.

# %%
TASKS, TOP, SEED = ("sst-2", "cola", "sts-b"), 2, 0
EPOCHS = {"sst-2": 3, "cola": 3, "sts-b": 6}  # 60 steps each: the last has half as many examples
data = {name: glue_data(name, sample=True) for name in TASKS}
for part in data.values():
    print(f"data: {part.source}; {len(part.train)} to train on, {len(part.dev)} to score on (dev)")
base = load_base(fetch_model("minilm"))
before = {path: array.copy() for path, array in leaves(base.params)}


def main_score(name, logits):
    """A task's first metric of its dev texts: accuracy, Matthews or Pearson correlation."""
    task = data[name].task
    return score(task, logits, [example.label for example in data[name].dev])[task.metrics[0]]


# %% [markdown]
# With adapters
# -------------
# Task k has its own few parameters φ_k beside the common w, which no task changes:
#
# :math:`\mathrm{logits}_k(x) = f(x; w, \varphi_k)`,
#
# so learning another task cannot change them: its gradient is taken with respect to other numbers.
# A ``Bank`` opens task files over one base, which is in memory once. After each new task we ask all
# earlier ones again.

# %%
bank, first_logits, kept, scores = Bank(base), {}, [], {"adapters": [], "one network": []}
method = top_layers(method_named("adapters", 64), TOP, base.config)
for name in TASKS:
    settings = Settings(rate=3e-3, epochs=EPOCHS[name], batch_size=16, seed=SEED)
    run = train_task(base, data[name], method, settings, on_report=Progress(f"{name}, adapters"))
    path = out / f"12_{name}.safetensors"
    save_task(path, run.task)
    bank.open(path)
    now = {task: bank.logits(task, [e.text for e in data[task].dev]) for task in bank.tasks}
    first_logits.setdefault(name, now[name])
    kept.append([np.array_equal(now[task], first_logits[task]) for task in now])
    scores["adapters"].append({task: main_score(task, logits) for task, logits in now.items()})

# %% [markdown]
# With one network for all
# ------------------------
# Now every weight of those layers is trained, first for one task, then on from there for the next.
# Each task keeps its own head; what it lacks in the end is the encoder that its head was made for.

# %%
network, method_full = base, top_layers(method_named("full"), TOP, base.config)
heads, files, moved = {}, {}, []
for name in TASKS:
    settings = Settings(rate=3e-4, epochs=EPOCHS[name], batch_size=16, seed=SEED)
    run = train_task(network, data[name], method_full, settings,
                     on_report=Progress(f"{name}, one network"))  # fmt: skip
    params = on_base(run.task, network)["base"]
    network = replace(network, params=params, sha256=f"after {name}")  # the next task starts here
    heads[name], files[name] = run.task.trained["head"], run.task
    now = {}
    for task, head in heads.items():
        encoded = encode_examples(base, data[task].dev, files[task].max_length)
        now[task] = predict_logits({"base": params, "head": head}, base, method_full, encoded)
    if name == TASKS[0]:
        then = now[name]
    moved.append(float(np.mean((now[TASKS[0]] != then).any(axis=1))))
    scores["one network"].append({task: main_score(task, logits) for task, logits in now.items()})

# %% [markdown]
# The picture
# -----------
# A line a task, from when it was learned. Chance is 50 for the first task (accuracy), 0 for the
# others (correlations).

# %%
LOOKS = {"sst-2": ("o-", "#1f4e79"), "cola": ("s--", "#c55a11"), "sts-b": ("^:", "0.35")}
figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
for axes, (way, rows) in zip(panels, scores.items(), strict=True):
    for begin, name in enumerate(TASKS):
        look, color = LOOKS[name]
        values = [100 * row[name] for row in rows[begin:]]
        metric = data[name].task.metrics[0]
        axes.plot(range(begin, len(TASKS)), values, look, color=color, label=f"{name} ({metric})")
    axes.axhline(50, color="0.7", lw=1, ls="-.", label="sst-2: majority class")
    axes.set(title=way, xlabel="task just learned")
    axes.set_xticks(range(len(TASKS)), TASKS)
    axes.grid(alpha=0.3)
panels[0].set_ylabel("dev score (hundredths)")
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
              frameon=False)  # fmt: skip
figure.savefig(out / "12_many_tasks.png", dpi=120)
print(f"picture: {out / '12_many_tasks.png'}")

# %%
rows = [(f"{way}, after {name}", *(f"{100 * row[t]:.1f}" if t in row else "" for t in TASKS))
        for way, steps in scores.items()
        for name, row in zip(TASKS, steps, strict=True)]  # fmt: skip
print(table(rows, ("learned by", *TASKS)))
own = {name: count(task.trained) for name, task in bank.tasks.items()}
separate = len(TASKS) * count(base.params)  # a network of its own for each task, without heads
print(f"in memory: base {count(base.params):,} + tasks {sum(own.values()):,} = "
      f"{bank.parameters():,}; {len(TASKS)} networks of their own {separate:,}")  # fmt: skip

# %% [markdown]
# The claims, checked
# -------------------
# That adapters do not forget is no matter of degree: every logit of every earlier task is the same
# to the last bit, and so is the base. Of the one network we claim that all logits of the first task
# have changed, and that it has forgotten: at least 5 points of accuracy are gone in the end.

# %%
assert kept == [[True], [True] * 2, [True] * 3], f"logits of an earlier task have changed: {kept}"
for path, array in leaves(base.params):
    assert np.array_equal(array, before[path]), f"{path} of the frozen base has changed"
wanted = {name: TOP * (2 * 49_600 + 4 * 384) + 385 * part.task.outputs
          for name, part in data.items()}  # fmt: skip
assert own == wanted, f"{own} parameters a task, not {wanted}"
assert bank.parameters() == 22_713_216 + sum(wanted.values()) < 1.03 * count(base.params), own
learned = [rows[0]["sst-2"] for rows in scores.values()]
assert min(learned) > 0.5 + 0.08, f"sst-2 has not been learned, so none can forget it: {learned}"
assert moved == [0, 1, 1], f"share of the first task's texts with other logits: {moved}"
lost = [100 * (rows[0]["sst-2"] - rows[-1]["sst-2"]) for rows in scores.values()]
assert lost[0] == 0, f"the adapters of sst-2 have lost {lost[0]} points"
assert lost[1] >= 5, f"one network for all has lost only {lost[1]:.1f} points of sst-2"
print(f"sst-2 lost {lost[0]:.1f} points with adapters, {lost[1]:.1f} with one network for all.")

# %% [markdown]
# What next
# ---------
# - Learn the tasks in another order. Which task is forgotten most, and which teaches the next one?
# - Give the one network all six layers (TOP = 6; some minutes) and a rate of 5e-5. Does it forget
#   less?
# - From how many tasks on do adapters of this size take more memory than one network more?
# - Split a task's parameters into trained and frozen yourself: ``minibert exercises check 12``.
#
# Next: what else the authors tried, ``13_extensions.py``.
