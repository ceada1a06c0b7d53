# says: ZeroDivisionError
def warm_up_then_decay(step: int, total: int, warm_up: int) -> float:
    return min(step / warm_up, (total - step) / (total - warm_up))


def learning_rates(peak: float, total: int, share: float) -> list[float]:
    warm_up = int(share * total)
    return [peak * warm_up_then_decay(step, total, warm_up) for step in range(total)]
