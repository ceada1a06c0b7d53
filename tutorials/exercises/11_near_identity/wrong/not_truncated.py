# says: numbers beyond two std
import numpy as np


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...], std: float) -> np.ndarray:
    return rng.standard_normal(shape, np.float32) * np.float32(std)


def init_adapter(seed: int, d: int, m: int, std: float) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "down": {"weight": truncated_normal(rng, (d, m), std), "bias": np.zeros(m, np.float32)},
        "up": {"weight": truncated_normal(rng, (m, d), std), "bias": np.zeros(d, np.float32)},
    }


def distance_bound(z_norm: float, d: int, m: int, std: float) -> float:
    return (2 * std) ** 2 * m * d * z_norm
