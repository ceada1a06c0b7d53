"""
An adapter from elsewhere
=========================

AdapterHub's library is where most adapters are trained, with torch. Here is one of its folders,
opened without torch: what is in it, that it answers as it did there, and what its bottlenecks do.

**You will learn** what an adapter's files hold, what they leave out, what decides whether two
libraries compute the same, and how to see an adapter at work. **Time:** 10 minutes to read, a few
seconds to run. **You need to know** what an adapter is (`07_the_adapter.py <07_the_adapter.py>`_).
Papers: Houlsby et al. 2019 (`arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_), section 2.1;
Poth et al. 2023 (`arXiv 2311.11077 <https://arxiv.org/abs/2311.11077>`_), the library.
"""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.exchange import import_adapter
from adapters.methods.bottleneck import branch
from adapters.pictures import save_picture
from adapters.predict import predict_texts
from adapters.show import table
from adapters.task_file import on_base
from minibert import encode, encode_texts, fetch_model, load_base, make_batch
from minibert.data.glue import glue_data
from minibert.data.tasks import score
from minibert.ops import gelu_tanh
from minibert.tensors import read_safetensors

FOLDER = Path(globals().get("__file__", "x")).parent / "adapterhub"
TOLERANCE = 2e-5  # of a logit: both libraries compute in float32, in another order

# %% [markdown]
# What is in the folder
# ---------------------
# Two files of settings and two of tensors. It was trained on the project's own 640 reviews, by
# ``train_with_adapterhub.py`` in ``tests/goldens``, which has put a ``logits.json`` beside them.
# ``double_seq_bn`` is that library's name of Houlsby's adapter; the ``reduction_factor`` is d / m.

# %%
settings = json.loads((FOLDER / "adapter_config.json").read_text())
print(f"for {settings['model_name']}, hidden size {settings['hidden_size']}")
for name in ("mh_adapter", "output_adapter", "reduction_factor", "non_linearity", "scaling"):
    print(f"{name:18}{settings['config'][name]}")
tensors, _ = read_safetensors(FOLDER / "adapter.safetensors")
first = [(name, values.shape) for name, values in sorted(tensors.items())[:4]]
print(table(first, ("the first tensors", "[out, in]")))
d, m = (
    settings["hidden_size"],
    int(settings["hidden_size"] // settings["config"]["reduction_factor"]),
)
total = sum(values.size for values in tensors.values())
print(f"{total:,} numbers: 6 layers x 2 adapters x (2md + d + m), m = {m}")
assert total == 6 * 2 * (2 * m * d + d + m), f"{total:,} is not 12 (2md + d + m)"

# %% [markdown]
# Is it the same function?
# ------------------------
# The shapes do not say. Another activation, another place of the skip connection or of the
# LayerNorm, and every number fits while every answer is another one. So each setting is looked at,
# and one that is not computed here is refused by its name. Then the task is one like any other, and
# its logits can be compared with those that AdapterHub gave for the same sentences.

# %%
base = load_base(fetch_model("minilm"))
task = import_adapter(FOLDER, base)
data = glue_data("sst-2", sample=True)
texts = [example.text for example in data.dev]
logits = predict_texts(task, base, texts)  # [B, C]
there = np.array(json.loads((FOLDER / "logits.json").read_text()))  # [B, C]
error = abs(logits - there).max()
print(f"data: {data.source}; {len(data.dev)} to score on (dev)")
accuracy = score(data.task, logits, [example.label for example in data.dev])["accuracy"]
print(f"dev accuracy {100 * accuracy:.1f} %")
print(f"logits up to {abs(there).max():.1f}, off by {error:.1e} at most")
assert error < TOLERANCE, f"{error:.1e}: not the same function"

# %% [markdown]
# ``gelu_new`` is the tanh form of GELU, ``gelu`` the exact one. What if we had mixed them up? And
# if we had taken swish, that library's default?

# %%
off = {}
for activation in ("gelu", "swish"):
    mistaken = replace(task, method=replace(task.method, activation=activation))
    theirs = predict_texts(mistaken, base, texts)
    changed = (theirs.argmax(axis=1) != logits.argmax(axis=1)).sum()
    off[activation] = abs(theirs - logits).max()
    print(f"read as {activation:6}logits off by {off[activation]:.4f}, {changed} answers changed")
assert task.method.activation == "gelu_tanh", f"{task.method.activation} is not gelu_new"
assert 5 * TOLERANCE < off["gelu"] < 0.02 < off["swish"], f"logits off by {off}"

# %% [markdown]
# At work
# -------
# The m features of a bottleneck are few enough to be shown. Of two sentences, the four features of
# the adapter after the last layer's feed-forward sublayer, for every token,
#
# .. math::
#
#    h = f(z W_{down} + b_{down}),
#
# and how far the adapters move a sublayer's output z, :math:`|B(z)| / |z|` with :math:`B(z) = h
# W_{up} + b_{up}`, layer by layer.

# %%
SENTENCES = (
    "The soup was cold and the waiter was rude.",
    "What a lovely place, friendly and warm.",
)
model = on_base(task, base)
adapters = model.tree["adapters"]
encoded = encode_texts(base.tokenizer, SENTENCES, 64)
hook, features, moved = model.attach(), {}, {}


def kept_in_view(layer, place, z, x):
    """Call the adapters as always, and keep what they do."""
    adapter = adapters[layer].get(place)
    if adapter is not None:
        inner = z @ adapter["down"]["weight"] + adapter["down"]["bias"]  # [N, m]
        features[layer, place] = gelu_tanh(inner)
        change = branch(adapter, z, task.method.activation)  # [N, d]
        moved[layer, place] = np.linalg.norm(change, axis=1) / np.linalg.norm(z, axis=1)
    return hook(layer, place, z, x)


batch = make_batch(encoded)
encode(model.tree["base"], batch, base.config, adapt=kept_in_view)
last = features[5, "feed_forward"]  # [N, m]
middle = len(encoded[0].ids)
words = [base.tokenizer.id_to_token(int(token)) for token in batch.ids]

figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), width_ratios=(1, 1, 1.1), layout="constrained")
limit = np.abs(last).max()
for axis, part, title in zip(
    axes, (slice(0, middle), slice(middle, None)), SENTENCES, strict=False
):
    axis.imshow(last[part], cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    axis.set_yticks(range(len(words[part])), words[part])
    axis.set_xticks(range(m), [f"{n + 1}" for n in range(m)])
    axis.set_xlabel("bottleneck feature, last layer")
    axis.set_title(title, fontsize=9)
for place, color in (("attention", "tab:blue"), ("feed_forward", "tab:orange")):
    by_layer = [100 * moved[layer, place].mean() for layer in range(6)]
    axes[2].plot(range(1, 7), by_layer, "o-", color=color, label=f"after {place.replace('_', '-')}")
axes[2].set_xlabel("layer")
axes[2].set_ylabel("mean length of B(z), % of that of z")
axes[2].set_ylim(bottom=0)
axes[2].legend(frameon=False)
save_picture(figure, "21_other_libraries")

# %% [markdown]
# Two of the four features answer to the complaint, and the other two to the praise. Is that so of
# these two sentences only? Their means at [CLS] over all dev sentences, by what people said:

# %%
by_class = {0: [], 1: []}
for start in range(0, len(data.dev), 40):
    part = data.dev[start : start + 40]
    batch = make_batch(encode_texts(base.tokenizer, [example.text for example in part], 128))
    encode(model.tree["base"], batch, base.config, adapt=kept_in_view)
    first_rows = features[5, "feed_forward"][batch.starts]  # [B, m], at [CLS]
    for example, row in zip(part, first_rows, strict=True):
        by_class[example.label].append(row)
means = {name: np.mean(by_class[label], axis=0) for label, name in enumerate(task.task.names)}
rows = [(name, *(f"{value:.2f}" for value in mean)) for name, mean in means.items()]
print(table(rows, ("said", *(f"feature {n + 1}" for n in range(m)))))
late, early = (moved[layer, "attention"].mean() for layer in (5, 1))
assert late > 2 * early, f"moved by {late:.2f} at the top, {early:.2f} in layer 2"
more = means["positive"] > means["negative"]
assert more.tolist() == [True, False, True, False], "1 and 3 for praise, 2 and 4 for complaints"

# %% [markdown]
# What next
# ---------
# 1. Take one of your own adapters the other way: ``minibert export FILE DIR --format adapterhub``.
#    What does it say of the LayerNorms, and why?
# 2. Which test would notice that the two forms of GELU have been mixed up?
#
# .. raw:: html
#
#    <details><summary>Answers</summary>
#
# 1. That they have no place there: the paper trains them, AdapterHub keeps them frozen. Train with
#    ``--freeze-layernorm``, or export the changed base too, with ``--merge-base``.
# 2. Not the accuracy, as you saw. Only logits that the other library computed, compared to 2e-5 as
#    above, tell. That is how all of this is tested here.
#
# .. raw:: html
#
#    </details>
#
# All that travels, and all that is refused: the documentation's page on
# `other libraries <../docs/exchange.md>`_. This is the last tutorial. The exercises begin with
# ``minibert exercises start my-exercises``.
