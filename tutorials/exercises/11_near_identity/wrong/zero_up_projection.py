# says: The paper draws both weights
import numpy as np


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> np.ndarray:
    values = rng.standard_normal(shape, np.float32)
    while (beyond := np.abs(values) > 2.0).any():
        values[beyond] = rng.standard_normal(beyond.sum(), np.float32)
    return values * np.float32(std)


def init_adapter(seed: int, d: int, m: int, std: float) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "down": {"weight": truncated_normal(rng, (d, m), std), "bias": np.zeros(m, np.float32)},
        "up": {"weight": np.zeros((m, d), np.float32), "bias": np.zeros(d, np.float32)},
    }


def distance_bound(z_norm: float, d: int, m: int, std: float) -> float:
    return (2 * std) ** 2 * m * d * z_norm
