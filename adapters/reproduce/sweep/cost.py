"""Roughly how long a run takes, in tokens trained by adapters: for the order of a sweep (the
longest run first, so that no worker ends alone) and for its ETA. Nothing else depends on it."""

from adapters.reproduce.sweep.runs_file import Config

# A task's training examples and its tokens per example, roughly, under BERT's uncased vocabulary.
SIZES = {
    "cola": (8551, 11), "sst-2": (67349, 13), "mrpc": (3668, 53), "rte": (2490, 67),
    "sts-b": (5749, 31), "qqp": (363846, 30), "mnli": (392702, 39), "qnli": (104743, 50),
    "wnli": (635, 37),
}  # fmt: skip
SQUAD = (87599, 170)
SAMPLE = (300, 15)


def tokens(config: Config) -> float:
    """What a run costs."""
    kind = config["kind"]
    if kind == "ablation":
        source = config["of"]
        return 6.0 * _epoch(source) * (0.2 if not source["sample"] else 1.0)
    if kind == "sequence":
        of_shared = sum(tokens(step) for step in config["steps"])
        return of_shared if config["shared"] else 0.2 * of_shared
    return _epoch(config) * config["epochs"] * _relative(config["method"]) + _epoch(config) * 0.1


def _epoch(config: Config) -> float:
    if config["kind"] == "squad":
        (examples, length), most = SQUAD, config["examples"]
    elif config["sample"]:
        (examples, length), most = SAMPLE, None
    else:
        (examples, length), most = SIZES[config["task"]], config["examples"]
    return float(length * min(examples, most or examples))


def _relative(method: dict[str, object]) -> float:
    """A method's training step beside one of adapters."""
    if method["name"] == "head":
        return 0.05
    if method["name"] == "full":
        return 1.6 * 0.7 ** int(str(method.get("first_layer", 0)))  # the layers below are cached
    return 1.0 + int(str(method.get("size", 64))) / 1000
