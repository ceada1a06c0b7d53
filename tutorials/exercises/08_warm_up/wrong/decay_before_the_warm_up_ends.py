# says: That decay has been running since step 0
def warm_up_then_decay(step: int, total: int, warm_up: int) -> float:
    if step < warm_up:
        return step / warm_up
    return (total - step) / total


def learning_rates(peak: float, total: int, share: float) -> list[float]:
    warm_up = int(share * total)
    return [peak * warm_up_then_decay(step, total, warm_up) for step in range(total)]
