"""Exercise 8: warm-up, then linear decay."""


def warm_up_then_decay(step: int, total: int, warm_up: int) -> float:
    """The factor on the learning rate at a step."""
    if step < warm_up:
        return step / warm_up
    return (total - step) / (total - warm_up)


def learning_rates(peak: float, total: int, share: float) -> list[float]:
    """The learning rate of every training step."""
    warm_up = int(share * total)
    return [peak * warm_up_then_decay(step, total, warm_up) for step in range(total)]
