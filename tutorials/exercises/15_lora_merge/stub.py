"""Exercise 15: LoRA, a change to a weight that can be merged into it.

Adapters add modules, and every text passes through them. LoRA (Hu et al. 2021, arXiv 2106.09685,
section 4.1) instead trains a change to the frozen weight itself, one of low rank r:

    x W + (alpha / r) (x A) B + b        x [N, in], W [in, out], A [in, r], B [r, out], b [out]

alpha is a constant that is chosen once; alpha / r keeps the size of the change about the same for
every r. During training, A and B are separate from W, and they are only r (in + out) numbers.
Afterwards they can be merged into the weight, so that the model costs no more than before:

    x W' + b,    W' = W + (alpha / r) A B

alpha is a Python number; read r off a shape. float32 in, float32 out.
"""

import numpy as np


def lora_linear(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float
) -> np.ndarray:
    """x W + (alpha / r) (x A) B + b, with W and its change separate. -> [N, out] float32."""
    raise NotImplementedError


def merge(weight: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    """W', the weight with its change merged in. -> [in, out] float32."""
    raise NotImplementedError


def unmerge(merged: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float) -> np.ndarray:
    """The original weight W, from W', so that the next task can have its own change to it.
    -> [in, out] float32 (equal to W except for rounding)."""
    raise NotImplementedError
