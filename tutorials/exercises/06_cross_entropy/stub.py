"""Exercise 6: the loss of a classifier, and its gradient.

The head gives each text a score for each class, its logits. Softmax turns a row of them into
probabilities, and the loss is how surprised the model is by the right answer, on average:

    p[b, c] = exp(logits[b, c]) / sum over k of exp(logits[b, k])
    loss    = mean over b of -log p[b, labels[b]]

The backward pass starts with the derivative of the loss with respect to each logit. Most of it
cancels:

    d loss / d logits[b, c] = (p[b, c] - (1 if c is labels[b], else 0)) / B

B texts, C classes; labels are whole numbers from 0 to C - 1.

Two things to look out for. exp of a large logit overflows, though the loss itself is a harmless
number; but subtracting a constant from a whole row changes no probability. And a probability may
round to 0, whose logarithm is -infinity; but log p is a difference that can be computed without p.

float32 in, float32 out for the gradient; the loss may be a number of any kind.
"""

import numpy as np


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.float32:
    """The mean of -log p over the texts. [B, C], [B] -> one number."""
    raise NotImplementedError


def cross_entropy_gradient(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The derivative of `cross_entropy` with respect to each logit. [B, C], [B] -> [B, C]"""
    raise NotImplementedError
