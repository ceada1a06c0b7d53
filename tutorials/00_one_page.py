"""
One page
========

The whole method of Houlsby et al. 2019 (`arXiv 1902.00751 <https://arxiv.org/abs/1902.00751>`_) on
one page: a public BERT, frozen but for its LayerNorms, learns a task through adapters, which are
saved, loaded again, and used. Each function is its formula, for one text at a time and without
dropout. The rest of this project computes the same numbers, faster.

**You will learn** what happens from a text to a trained adapter. **Time:** 10 minutes to read, 30
if transformers are new to you; 2 to run. **You need to know** NumPy, what a gradient is, and
roughly what a transformer's layer does: 01 to 07 explain every line. Shapes: T tokens of a text, D
features, H attention heads, F features inside the feed-forward sublayer, m inside an adapter, C
classes.
"""

import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one text is too little work for more

import autograd.numpy as np
from autograd import value_and_grad

from minibert import encode_texts, fetch_model, glue_data, load_base, ops
from minibert.tree import from_leaves, leaves, merge, partition


# %%
def affine(x, p):  # [T, in] -> [T, out]
    return x @ p["weight"] + p["bias"]


def norm(x, p):  # [T, D] -> [T, D]
    return ops.layer_norm(x, p["weight"], p["bias"], eps=1e-12)


def attention(x, p, heads):  # [T, D] -> [T, D]
    q, k, v = (ops.split_heads(affine(x, p[name]), heads) for name in ("query", "key", "value"))
    scores = q @ np.swapaxes(k, 1, 2) / q.shape[-1] ** 0.5  # [H, T, D/H] -> [H, T, T]
    mixed = ops.softmax(scores) @ v  # [H, T, T] -> [H, T, D/H]
    return affine(ops.join_heads(mixed), p["output"])


def feed_forward(x, p):  # [T, D] -> [T, F] -> [T, D]
    return affine(ops.gelu(affine(x, p["inner"])), p["output"])


def adapter(z, p):  # [T, D] -> [T, m] -> [T, D]
    return z + affine(ops.gelu_tanh(affine(z, p["down"])), p["up"])


def layer(x, p, adapters, heads):  # [T, D] -> [T, D]; an adapter stands before each skip, x + ...
    z = attention(x, p["attention"], heads)
    x = norm(x + adapter(z, adapters["attention"]), p["attention"]["norm"])
    z = feed_forward(x, p["feed_forward"])
    return norm(x + adapter(z, adapters["feed_forward"]), p["feed_forward"]["norm"])


def logits(tree, text, heads):  # T tokens -> [1, C]
    tables = tree["base"]["embeddings"]
    x = tables["word"][text.ids] + tables["segment"][text.segments]
    x = norm(x + tables["position"][: len(text.ids)], tables["norm"])
    for number in sorted(tree["base"]["layers"]):
        x = layer(x, tree["base"]["layers"][number], tree["adapters"][number], heads)
    pooled = np.tanh(affine(x[:1], tree["base"]["pooler"]))  # of the first token, [CLS]: [1, D]
    return affine(pooled, tree["head"])


# %%
def new_affine(rng, size_in, size_out, std):  # normal; what is beyond 2 std is drawn again
    weight = rng.standard_normal((size_in, size_out), np.float32)
    while (beyond := np.abs(weight) > 2).any():
        weight[beyond] = rng.standard_normal(beyond.sum(), np.float32)
    return {"weight": std * weight, "bias": np.zeros(size_out, np.float32)}


def new_adapter(rng, D, m):  # nearly the identity, as std is small
    return {"down": new_affine(rng, D, m, std=0.01), "up": new_affine(rng, m, D, std=0.01)}


def new_tree(rng, params, m, C):
    D = len(params["pooler"]["bias"])
    places = ("attention", "feed_forward")
    adapters = {n: {p: new_adapter(rng, D, m) for p in places} for n in sorted(params["layers"])}
    return {"base": params, "adapters": adapters, "head": new_affine(rng, D, C, std=0.02)}


def is_trained(path):  # such as adapters.0.attention.down.weight; all else is frozen
    norms = path.startswith(("base.embeddings.norm.", "base.layers.")) and ".norm." in path
    return path.startswith(("adapters.", "head.")) or norms


# %%
def loss(trained, frozen, examples, heads):  # the mean of -log p(label)
    tree = merge(frozen, from_leaves(trained))
    losses = [ops.cross_entropy(logits(tree, text, heads), [label]) for text, label in examples]
    return sum(losses) / len(losses)


def adam(p, g, m, v, t, rate):  # step t = 1, 2, ... of a parameter p with gradient g
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    p = p - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p, m, v


def learning_rate(t, steps, peak):  # up from 0 in the first tenth of the steps, then down to 0
    return peak * min((t - 1) / (0.1 * steps), (steps - t + 1) / (0.9 * steps))


def train(rng, tree, examples, heads, epochs=2, batch=8, peak=5e-4):  # -> {path: trained array}
    trained, frozen = partition(tree, is_trained)
    p = dict(leaves(trained))
    m = dict.fromkeys(p, 0.0)
    v = dict.fromkeys(p, 0.0)
    orders = [rng.permutation(len(examples)) for _ in range(epochs)]
    batches = np.reshape(orders, (-1, batch))  # [steps, batch]
    for t, numbers in enumerate(batches, start=1):
        value, g = value_and_grad(loss)(p, frozen, [examples[i] for i in numbers], heads)
        rate = learning_rate(t, len(batches), peak)
        for path in p:
            p[path], m[path], v[path] = adam(p[path], g[path], m[path], v[path], t, rate)
        if t == 1 or t % 10 == 0:
            print(f"step {t} of {len(batches)}: loss {value:.3f}", flush=True)
    return p


def load(path, params):  # what was trained, from its file, over the base's own parameters
    return merge({"base": params}, from_leaves(np.load(path)))


# %%
if __name__ == "__main__":
    base = load_base(fetch_model("minilm"))
    heads = base.config.num_attention_heads
    data = glue_data("sst-2", sample=True)  # sentences, positive or negative

    def encoded(text):
        return encode_texts(base.tokenizer, [text], max_length=64)[0]

    rng = np.random.default_rng(0)
    examples = [(encoded(text), label) for text, label in data.train]
    trained = train(rng, new_tree(rng, base.params, m=64, C=2), examples, heads)
    path = Path(os.environ.get("MINIBERT_TUTORIAL_OUT", "runs/tutorials")) / "00_one_page.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **trained)

    tree = load(path, base.params)
    right = [logits(tree, encoded(text), heads).argmax() == label for text, label in data.dev]
    ones = np.mean([label for _, label in data.dev])
    print(f"dev accuracy {np.mean(right):.1%}, majority class {max(ones, 1 - ones):.1%}")
    for text in ("The soup was cold.", "I will read it again.", "A tender, funny story."):
        print(data.task.names[logits(tree, encoded(text), heads).argmax()], text, sep=": ")
