"""Exercise 15: LoRA, a change of a weight that can be merged into it.

Adapters add modules, and every text goes through them. LoRA (Hu et al. 2021, arXiv 2106.09685,
section 4.1) trains a change of the frozen weight itself, one of low rank r:

    x W + (alpha / r) (x A) B + b        x [N, in], W [in, out], A [in, r], B [r, out], b [out]

alpha is a constant that is chosen once; alpha / r keeps the size of the change about the same for
every r. While training, A and B are apart from W: they are few numbers, r (in + out). Afterwards
they can be merged into the weight, and then the model costs no more than it did before:

    x W' + b,    W' = W + (alpha / r) A B

alpha is a Python number; r is for you to read off a shape. float32 in, float32 out.
"""

import numpy as np


def lora_linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float
) -> np.ndarray:
    """x W + (alpha / r) (x A) B + b, W and its change apart. -> [N, out] float32."""
    raise NotImplementedError


def merge(weight: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    """W', the weight with its change in it. -> [in, out] float32."""
    raise NotImplementedError


def unmerge(merged: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    """The weight W that `merge` was given, from W': so that the next task can have its own change
    of it. -> [in, out] float32 (equal to W but for rounding)."""
    raise NotImplementedError
