"""
Questions and answers
=====================

A question, a paragraph, and an answer that stands somewhere in the paragraph: SQuAD v1.1
(Rajpurkar et al. 2016, arXiv 1606.05250). BERT must point at words instead of choosing a class.

**You will learn** how an answer becomes two tokens, how long paragraphs are read in windows, how
tokens are mapped back to characters, and how answers are scored. **Time:** 25 minutes to read, less
than a minute to run. **You need to know** how adapters are trained (``08_train_a_task.py``). Paper:
Houlsby et al. 2019 (arXiv 1902.00751), section 3.5.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapters.answering import span_forward, train_squad
from adapters.methods.table import method_named, top_layers
from adapters.show import Progress
from minibert import load_base, make_batch
from minibert.data import squad as qa
from minibert.data.windows import make_windows
from minibert.fetch.datasets import find_split
from minibert.fetch.models import fetch_model
from minibert.heads import best_span, span_log_probabilities
from minibert.training.schedule import Settings
from minibert.tree import count, merge

out = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials"))
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# The data
# --------
# The real SQuAD's shortest paragraphs when it is here (``minibert fetch squad``). Else 46 questions
# written for this project, on eleven short paragraphs, three of which are kept to score on.

# %%
LENGTH, STRIDE = 192, 64  # tokens of a window at most, and from one window to the next
folder = Path(globals().get("__file__", "tutorials/x")).parent / "questions"
train, dev = (qa.read_questions(folder / f"{split}.json") for split in ("train", "dev"))
name = "minibert's own sample in the format of SQuAD (not SQuAD's questions)"
asked = dev[2]
real = all(map(find_split, ("train", "dev")))
if real:
    name = "SQuAD v1.1, its shortest paragraphs"
    train, dev = (sorted(part, key=lambda q: len(q.context))[:most]
                  for part, most in zip(qa.squad_data(), (160, 40), strict=True))  # fmt: skip
print(f"data: {name}; {len(train)} questions to train on, {len(dev)} to score on (dev)")
assert not {q.context for q in train} & {q.context for q in dev}, "a dev paragraph is trained on"
base = load_base(fetch_model("minilm"))

# %% [markdown]
# Windows, and the way back
# -------------------------
# BERT reads ``[CLS] question [SEP] paragraph [SEP]``, of at most 512 tokens. Longer paragraphs are
# read in windows that overlap: an answer at the edge of one stands well inside the next. A window
# that lacks some of it has the target [CLS]. Each token knows of which characters it was made.

# %%
targets = []
for window in make_windows(base.tokenizer, [asked], max_length=32, stride=8):
    target = "[CLS]"
    if window.end:  # start and end count from [CLS], as rows of the window
        first, last = window.start - window.first, window.end - window.first
        target = asked.context[window.characters(first, last)]
    print(f"{asked.context[window.characters(0, -1)][:30]} ...: {target}")
    targets.append(target)
assert set(targets) == {asked.answers[0].text, "[CLS]"}, targets

# %% [markdown]
# The head
# --------
# It has two vectors, s and e. With h MiniLM's last states, token i begins the answer with
# probability :math:`p_i = \exp(s \cdot h_i) / \sum_k \exp(s \cdot h_k)`, a softmax over the tokens
# of one window. It ends the answer with :math:`q_i`, the same with e for s.
#
# The loss is the mean of the two cross-entropies. The answer is the span i ≤ j of at most 30 tokens
# with the largest product of the two. With i and j each chosen by itself, an answer can end before
# it begins:

# %%
scores = np.log([[0.1, 0.5], [0.2, 0.3], [0.7, 0.2]])  # [3 tokens, begin and end]
total, first, last = best_span(scores)
assert list(scores.argmax(axis=0)) == [2, 0], "each by itself: begins at token 2, ends at token 0"
assert (first, last) == (2, 2), f"best span {first} to {last}"
assert np.isclose(np.exp(total), 0.7 * 0.2), f"its probability {np.exp(total)}"

# %% [markdown]
# The two scores
# --------------
# Before two answers are compared, capitals, punctuation and the words a, an, the are taken away.
# "Exact match" asks whether they are then equal; F1 is twice the number of common words, divided
# by that of all words of both.

# %%
truth = asked.answers[0].text
for said, exact, f1 in (("The FIELD behind the railway station.", 1, 1),
                        ("railway station", 0, 2 * 2 / (2 + 4)), ("1968", 0, 0)):  # fmt: skip
    assert qa.exact_match(said, truth) == exact, f"exact match of {said}: not {exact}"
    assert qa.token_f1(said, truth) == f1, f"F1 of {said}: not {f1:.2f}"

# %% [markdown]
# Training
# --------
# The adapters are those of all tutorials, here in the top three layers; the head reads all tokens,
# not [CLS] alone. The epoch with the best F1 on dev is kept. It must beat whole paragraphs as
# answers: by 0.2 on ours (seed 0 led by 0.55, but questions are few), by 0.03 on SQuAD's.

# %%
method = top_layers(method_named("adapters", 64), 3, base.config)
settings = Settings(rate=3e-3, epochs=3 if real else 12, batch_size=8, seed=0)
done = train_squad(base, train, dev, method, settings, max_length=LENGTH, stride=STRIDE,
                   on_report=Progress("questions"))  # fmt: skip
size = count(done.trained)
assert size == 3 * 2 * 49_600 + 3 * 2 * 768 + 2 * 384 + 2, f"{size:,} trained parameters"
answers = done.answers(dev)
for q, said in zip(dev, answers, strict=True):
    assert said in q.context, f"{said!r} is not in the paragraph of {q.question!r}"
    print(f"{q.question} {said} (answer: {q.answers[0].text})")
f1, baseline = (qa.score(dev, given)["f1"] for given in (answers, [q.context for q in dev]))
print(f"dev: F1 {f1:.2f}; of whole paragraphs {baseline:.2f}")
assert f1 - baseline >= (0.03 if real else 0.2), f"F1 {f1:.2f}, of paragraphs {baseline:.2f}"

# %% [markdown]
# The picture: the probability of each token to begin and to end the answer to a dev question. (On
# our own questions the likeliest end stands before the likeliest beginning: that is the trap.)

# %%
question, said, tree = dev[2], answers[2], merge({"base": base.params}, done.trained)
window = make_windows(base.tokenizer, [question], LENGTH, STRIDE)[0]
batch = make_batch([window.encoded])
log_p = span_log_probabilities(span_forward(tree, batch, base.config, method), batch.lengths)
assert np.allclose(np.exp(log_p).sum(0), 1, atol=1e-5), "probabilities should sum to 1 in a window"
log_p = log_p[window.rows]  # [C, 2] the tokens of the paragraph
_, first, last = best_span(log_p)
shown = question.context[window.characters(first, last)]
assert shown == said, f"the picture says {shown!r}, the model {said!r}"
(begins, ends), place = np.exp(log_p).T, np.arange(len(log_p))
figure, axes = plt.subplots(figsize=(11, 4.6), layout="constrained")
axes.axvspan(first - 0.5, last + 0.5, color="0.88", zorder=0, label=f"best span: {said}")
axes.bar(place - 0.2, begins, 0.4, color="#1f4e79", label="begins the answer")
axes.bar(place + 0.2, ends, 0.4, color="#f4b183", hatch="///", label="ends the answer")
axes.set_xticks(place, [question.context[a:b] for a, b in window.offsets], rotation=90, fontsize=8)
axes.set(xlabel="tokens of the paragraph", ylabel="probability", xlim=(-1, len(place)),
         title=f"{question.question}\n(answer: {question.answers[0].text})")  # fmt: skip
figure.legend(loc="outside lower center", ncols=3, frameon=False)
figure.savefig(out / "14_questions.png", dpi=120)
print(f"picture: {out / '14_questions.png'}")

# %% [markdown]
# What next
# ---------
# - Ask something that the paragraph does not answer. What should a model say (SQuAD 2.0)?
# - Take size 2 instead of 64. In figure 5 of the paper, on all of SQuAD, that costs half a point.
# - Write the loss, a cross-entropy, and its gradient: ``minibert exercises check 06``.
#
# Next: what makes all this fast enough for NumPy, ``15_fast.py``.
