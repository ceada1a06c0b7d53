# says: each is to be multiplied with the peak rate
def warm_up_then_decay(step: int, total: int, warm_up: int) -> float:
    if step < warm_up:
        return step / warm_up
    return (total - step) / (total - warm_up)


def learning_rates(peak: float, total: int, share: float) -> list[float]:
    warm_up = int(share * total)
    return [warm_up_then_decay(step, total, warm_up) for step in range(total)]
