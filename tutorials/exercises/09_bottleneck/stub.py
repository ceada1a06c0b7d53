"""Exercise 9: the adapter, and where it sits.

The paper's module (section 2.1, figure 2) squeezes each token's d numbers through a bottleneck of
m, and adds the result to what came in, its skip connection:

    A(z) = z + f(z W_down + b_down) W_up + b_up

In the released code f is the tanh kind of GELU, and so it is here. An encoder layer has two
adapters, one for each sublayer. Each takes the sublayer's output z *before* the layer's own skip
connection adds the sublayer's input x, and before LayerNorm:

    new x = LayerNorm(x + A(z))

N tokens; x and z are [N, d]. An adapter is a dict of dicts of arrays:

    {"down": {"weight": [d, m], "bias": [m]}, "up": {"weight": [m, d], "bias": [d]}}

You have written `gelu_tanh(x)` and `layer_norm(x, weight, bias, eps)` in earlier exercises; here
they come from the library.

float32 in, float32 out.
"""

import numpy as np

from minibert.ops import gelu_tanh, layer_norm  # noqa: F401  use both


def bottleneck(adapter: dict, z: np.ndarray) -> np.ndarray:
    """A(z). [N, d] -> [N, d]."""
    raise NotImplementedError


def sublayer_end(adapter: dict, x: np.ndarray, z: np.ndarray, norm: dict, eps: float) -> np.ndarray:
    """LayerNorm(x + A(z)), which the sublayer passes on. [N, d], [N, d] -> [N, d].

    `norm` is {"weight": [d], "bias": [d]}, LayerNorm's gain and bias.
    """
    raise NotImplementedError
