"""Goldens of the optimiser: trajectories, learning-rate schedule, gradient clipping."""

import math
from pathlib import Path

import numpy as np
import torch
from transformers import get_linear_schedule_with_warmup

Arrays = dict[str, np.ndarray]

STEPS, KEPT = 200, (1, 2, 10, 50, 100, 200)
SHAPES = {"weight": (5, 4), "bias": (4,)}
BETAS, DECAY, MAX_NORM, PEAK = (0.9, 0.999), 0.01, 1.0, 0.01
NORMS = (0.0, 1e-9, 0.3, 0.999999, 1.0, 1.000001, 2.5, 1e4)


def make_optim(out: Path) -> None:
    """Write optim.npz."""
    rng = np.random.default_rng(4)
    start = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    scale = 10 ** rng.uniform(-4, 1, STEPS)
    gradients = {
        name: rng.standard_normal((STEPS, *shape)) * scale.reshape(-1, *[1] * len(shape))
        for name, shape in SHAPES.items()
    }
    rates = learning_rates()
    arrays: Arrays = {"learning_rates": rates, "kept_steps": np.array(KEPT)}
    arrays |= {f"start/{name}": value for name, value in start.items()}
    arrays |= {f"gradients/{name}": value for name, value in gradients.items()}

    for precision, dtype in {"f64": torch.float64, "f32": torch.float32}.items():
        for kind in ("adam", "adamw", "adamw_clip"):
            trajectory = torch_trajectory(kind, start, gradients, rates, dtype)
            arrays |= {f"{precision}/{kind}/{name}": v for name, v in trajectory.items()}
    check_plain_loop(arrays, start, gradients, rates)
    for kind, clip in {"plain_google": False, "plain_google_clip": True}.items():
        trajectory = plain_trajectory(start, gradients, rates, clip=clip)
        arrays |= {f"f64/{kind}/{name}": v for name, v in trajectory.items()}

    arrays["schedule/573_57"] = schedule(573, 57)
    arrays |= clipping(rng)
    np.savez_compressed(out / "optim.npz", **arrays)
    norms = np.sqrt(sum((g.reshape(STEPS, -1) ** 2).sum(1) for g in gradients.values()))
    print(f"{(norms > MAX_NORM).sum()} of {STEPS} steps are clipped")


def learning_rates() -> np.ndarray:
    """The rate of each step: up over the first 10 %, then down. No step's rate is 0, so that
    every step shows."""
    warmup = STEPS // 10
    return np.array(
        [PEAK * min((t + 1) / warmup, (STEPS - t) / (STEPS - warmup)) for t in range(STEPS)]
    )


def torch_trajectory(
    kind: str, start: Arrays, gradients: Arrays, rates: np.ndarray, dtype: torch.dtype
) -> Arrays:
    """torch.optim.Adam or AdamW (weight decay on the weight only), perhaps with clipping.

    Returns the parameters after each of KEPT steps: name -> [len(KEPT), ...]."""
    parameters = {n: torch.nn.Parameter(torch.tensor(v, dtype=dtype)) for n, v in start.items()}
    weight, bias = parameters["weight"], parameters["bias"]
    if kind == "adam":
        optimiser = torch.optim.Adam([weight, bias], lr=1.0, betas=BETAS, eps=1e-8)
    else:
        groups = [
            {"params": [weight], "weight_decay": DECAY},
            {"params": [bias], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=1.0, betas=BETAS, eps=1e-8)
    kept: dict[str, list[np.ndarray]] = {name: [] for name in parameters}
    for step, rate in enumerate(rates):
        for group in optimiser.param_groups:
            group["lr"] = float(rate)
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[name][step], dtype=dtype)
        if kind == "adamw_clip":
            torch.nn.utils.clip_grad_norm_([weight, bias], MAX_NORM)
        optimiser.step()
        if step + 1 in KEPT:
            for name, parameter in parameters.items():
                kept[name].append(parameter.detach().numpy().copy())
    return {name: np.stack(values) for name, values in kept.items()}


def plain_trajectory(
    start: Arrays,
    gradients: Arrays,
    rates: np.ndarray,
    *,
    clip: bool,
    bias_correction: bool = False,
    eps: float = 1e-6,
) -> Arrays:
    """Adam as in Google's adapter-bert, one number at a time in plain Python float64.

    Not made by a library: torch has no Adam without bias correction. The update is
    m / (sqrt(v) + eps) + decay * parameter, the decay on the weight only; with `clip`, gradients
    are first multiplied by MAX_NORM / max(norm, MAX_NORM), as tf.clip_by_global_norm does."""
    names = [name for name in start for _ in range(start[name].size)]
    values = [float(x) for name in start for x in start[name].ravel()]
    first, second = [0.0] * len(values), [0.0] * len(values)
    b1, b2 = BETAS
    kept = []
    for step, rate in enumerate(float(r) for r in rates):
        g = [float(x) for name in start for x in gradients[name][step].ravel()]
        if clip:
            norm = math.sqrt(math.fsum(x * x for x in g))
            g = [x * (MAX_NORM / max(norm, MAX_NORM)) for x in g]
        for i, name in enumerate(names):
            first[i] = b1 * first[i] + (1 - b1) * g[i]
            second[i] = b2 * second[i] + (1 - b2) * g[i] * g[i]
            m, v = first[i], second[i]
            if bias_correction:
                m, v = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
            decay = DECAY if name == "weight" else 0.0
            values[i] -= rate * (m / (math.sqrt(v) + eps) + decay * values[i])
        if step + 1 in KEPT:
            kept.append(list(values))
    table = np.array(kept)  # [len(KEPT), all the numbers]
    return {
        name: table[:, [n == name for n in names]].reshape(-1, *start[name].shape) for name in start
    }


def check_plain_loop(arrays: Arrays, start: Arrays, gradients: Arrays, rates: np.ndarray) -> None:
    """With bias correction and torch's eps the plain loop must be torch's AdamW."""
    plain = plain_trajectory(start, gradients, rates, clip=False, bias_correction=True, eps=1e-8)
    worst = max(np.abs(plain[name] - arrays[f"f64/adamw/{name}"]).max() for name in plain)
    print(f"plain loop with bias correction against torch's AdamW: {worst:.1e}")
    assert worst < 1e-13
    plain = plain_trajectory(start, gradients, rates, clip=True, bias_correction=True, eps=1e-8)
    worst = max(np.abs(plain[name] - arrays[f"f64/adamw_clip/{name}"]).max() for name in plain)
    print(f"the same with clipping, whose formulas differ by 1e-6: {worst:.1e}")
    assert worst < 1e-6


def schedule(total: int, warmup: int) -> np.ndarray:
    """transformers' linear warm-up and decay: the factor of each of `total` steps."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_linear_schedule_with_warmup(optimiser, warmup, total)
    factors = []
    for _ in range(total):
        factors.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return np.array(factors)


def clipping(rng: np.random.Generator) -> Arrays:
    """torch's clip_grad_norm_ to 1 for gradients of each of NORMS."""
    arrays: dict[str, list[np.ndarray]] = {"norm": []}
    for norm in NORMS:
        raw = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
        size = math.sqrt(sum(float((g * g).sum()) for g in raw.values()))
        parameters = {n: torch.nn.Parameter(torch.zeros(s).double()) for n, s in SHAPES.items()}
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(raw[name] * (norm / size))
            arrays.setdefault(f"before/{name}", []).append(parameter.grad.numpy().copy())
        total = torch.nn.utils.clip_grad_norm_(parameters.values(), MAX_NORM)
        arrays["norm"].append(total.numpy())
        for name, parameter in parameters.items():
            arrays.setdefault(f"after/{name}", []).append(parameter.grad.numpy().copy())
    return {f"clip/{name}": np.stack(values) for name, values in arrays.items()}
