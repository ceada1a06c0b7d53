# says: rounded down
def warm_up_then_decay(step: int, total: int, warm_up: int) -> float:
    if step < warm_up:
        return step / warm_up
    return (total - step) / (total - warm_up)


def learning_rates(peak: float, total: int, share: float) -> list[float]:
    warm_up = round(share * total)
    return [peak * warm_up_then_decay(step, total, warm_up) for step in range(total)]
