"""
What did not help
=================

The authors of the paper tried other forms of adapter: normalisation inside, one more layer, other
activations, adapters after attention only, beside the sublayer, or multiplied with it. None was
better, and they say so in a paragraph. ``adapters.methods.variants`` has them all.

**You will learn** what these forms compute, what they cost, how near to the identity each begins,
and what a comparison on few sentences can and cannot show. **Time:** 20 minutes to read, less than
a minute to run. **You need to know** ``07_the_adapter.py`` and ``09_size.py``. Paper: Houlsby et
al. 2019 (arXiv 1902.00751), the end of section 3.6.
"""

import math
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.finetune import train_task
from adapters.methods.table import method_named, top_layers
from adapters.methods.variants import VARIANTS, apply_variant, init_variant, parameter_count
from adapters.show import Progress
from minibert import encode, encode_texts, load_base, make_batch
from minibert.data.glue import glue_data
from minibert.fetch.models import fetch_model
from minibert.parameters import cast
from minibert.training.schedule import Settings
from minibert.tree import count

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The forms
# ---------
# Let z be what a sublayer puts out, x what it got, and B the adapter without its skip connection:
#
# :math:`B(v) = f(\mathrm{norm}(v W_{down} + b_{down})) \, W_{up} + b_{up}`.
#
# The paper's adapter is serial, z + B(z), without norm. The others change one thing each (the
# multiplicative one two). The size m is 64 for all, so they do not cost quite the same: one more
# layer inside takes :math:`m^2 + m` parameters, a norm 2m.

# %%
data = glue_data("sst-2", sample=True)
print(f"data: {data.source}; {len(data.train)} to train on, {len(data.dev)} to score on (dev)")
base = load_base(fetch_model("minilm"))
D, M, TOP = base.config.hidden_size, 64, 2
for name, form in VARIANTS.items():
    own = len(form.places) * parameter_count(D, M, form)
    print(f"{name:15} {own:7,} parameters a layer   {form.what}")

# %% [markdown]
# How near to the identity they begin
# -----------------------------------
# B has two small projections, so ten times smaller weights make it a hundred times smaller. (The
# deep form has three.) Normalisation undoes the first: what it puts out is of size 1 for any input,
# and only W_up is left to be small. The normalised forms therefore begin with an std of 0.001 here,
# not the paper's 0.01. We measure one adapter on the real z and x of MiniLM's fifth layer.

# %%
batch = make_batch(encode_texts(base.tokenizer, [e.text for e in data.dev[:32]], 128))
activations = {}


def collect(layer, place, z, x):
    activations[layer, place] = z.astype(np.float64), x.astype(np.float64)
    return z


encode(base.params, batch, base.config, adapt=collect)
z, x = activations[4, "attention"]  # [N, d] each
distance = {}  # (form, std): root mean square over the tokens, relative to z's
for name, form in VARIANTS.items():
    for std in (1e-3, 1e-2):
        fresh = cast(init_variant(np.random.default_rng(0), D, M, std, form), np.float64)
        assert count(fresh) == parameter_count(D, M, form), f"{name}: {count(fresh):,} each"
        change = apply_variant(fresh, z, x, "gelu_tanh", form) - z
        distance[name, std] = np.linalg.norm(change) / np.linalg.norm(z)

# %% [markdown]
# A short training each
# ---------------------
# As in ``09_size.py``: top two layers, three epochs, one seed, the project's own sample. The rate
# suits the serial adapter. An eighth row is the serial form with tanh for f.

# %%
std_of = {name: 1e-3 if form.norm else 1e-2 for name, form in VARIANTS.items()}
methods = {name: method_named("adapters", M, variant=name, std=std_of[name]) for name in VARIANTS}
methods["serial, tanh"] = method_named("adapters", M, activation="tanh")
accuracy = {}
for name, method in methods.items():
    settings = Settings(rate=3e-3, epochs=3, batch_size=16, seed=0)
    chosen = top_layers(method, TOP, base.config)
    run = train_task(base, data, chosen, settings, on_report=Progress(name))
    accuracy[name] = run.epochs[-1]["accuracy"]
    print(f"{name:15} {100 * accuracy[name]:.1f} % of the dev sentences")
majority, error = run.constant["accuracy"], math.sqrt(0.25 / len(data.dev))

# %% [markdown]
# The picture
# -----------
# Left: how far a fresh adapter moves its z. Right: the accuracies, each with one standard error.
# The grey band is the serial adapter's; the dotted line is the majority class.

# %%
names = list(methods)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
for std, marker, color in ((1e-3, "o", "#1f4e79"), (1e-2, "s", "#c55a11")):
    moved = [distance[name, std] for name in VARIANTS]
    left.plot(moved, range(len(moved)), marker, color=color, label=f"std {std:g}")
left.set(xscale="log", xlabel="root mean square of |A(z) - z|, relative to |z|")
left.set_yticks(range(len(names)), names)
left.invert_yaxis()
left.legend(frameon=False)
percent, bar = [100 * accuracy[name] for name in names], 100 * error
right.axvspan(percent[0] - bar, percent[0] + bar, color="0.9", zorder=0)
right.errorbar(percent, range(len(names)), xerr=bar, fmt="o", color="#1f4e79", capsize=4)
right.axvline(100 * majority, color="0.4", ls=":")
right.set(xlabel="dev accuracy (%)")
figure.suptitle("Other forms of adapter (sample, top two layers, one seed)")
figure.savefig(out / "13_extensions.png", dpi=120)
print(f"picture: {out / '13_extensions.png'}")

# %% [markdown]
# The claims, checked
# -------------------
# With ten times the std the plain forms move z a hundredfold, the deep one a thousandfold, the
# normalised ones ten- to thirtyfold. With the paper's std those would begin more than ten times as
# far from the identity as the serial form.
#
# And "no gain"? The difference of two accuracies on 160 sentences has a standard error of up to 5.6
# points. Of seven differences one may be large by chance, so only 2.7 standard errors, 15 points,
# would be evidence (at 5 %). No form leads by so much. To see a point or two takes many runs.

# %%
for name, form in VARIANTS.items():
    growth = distance[name, 1e-2] / distance[name, 1e-3]
    low, high = (9, 30) if form.norm else (700, 1300) if form.hidden == 2 else (80, 120)
    assert low < growth < high, f"{name}: ten times the std moves z {growth:.0f} times as far"
    assert distance[name, std_of[name]] < 0.05, f"{name} does not begin near the identity"
    far = distance[name, 1e-2] > 10 * distance["serial", 1e-2]
    assert far == bool(form.norm), f"{name}, std 0.01: {distance[name, 1e-2]:.4f}"
assert accuracy["serial"] > majority + 2 * error, f"serial has not learned: {accuracy['serial']}"
lead = {name: accuracy[name] - accuracy["serial"] for name in names[1:]}
best = max(lead, key=lead.get)
assert lead[best] < 2.7 * math.sqrt(2) * error, f"{best} leads by {100 * lead[best]:.1f} points"
print(f"Best of the others: {best}, {100 * lead[best]:+.1f} points")

# %% [markdown]
# What next
# ---------
# - Train layer-norm with the std of the others, 0.01. Does where it begins matter?
# - Give attention-only m = 128, so that it costs as much as serial. Was it the place or the size?
# - Another idea is LoRA. Merge one into its weight: ``minibert exercises check 15``.
#
# Next: pointing at words instead of choosing a class, ``14_questions.py``.
