"""Roughly how long a run takes, in tokens trained by adapters.

Used for a sweep's order (longest runs first, so that no worker finishes alone) and for its ETA, and
for nothing else.
"""

from adapters.reproduce.sweep.runs_file import Config

# Each task's training examples and approximate tokens per example (BERT's uncased vocabulary).
SIZES = {
    "cola": (8551, 11),
    "sst-2": (67349, 13),
    "mrpc": (3668, 53),
    "rte": (2490, 67),
    "sts-b": (5749, 31),
}
SQUAD = (87599, 170)
SAMPLE = (300, 15)
OWN_LENGTH = 30  # of a text of table 2's tasks


def estimated_tokens(config: Config) -> float:
    """What a run costs."""
    kind = config["kind"]
    if kind == "ablation":
        source = config["of"]
        return 6.0 * _epoch(source) * (0.2 if not source["sample"] else 1.0)
    if kind == "joint":
        return sum(estimated_tokens(step) for step in config["steps"])
    if kind == "sequence":
        of_shared = sum(estimated_tokens(step) for step in config["steps"])
        return of_shared if config["shared"] else 0.2 * of_shared
    if kind == "tfidf":
        return 0.1 * _epoch(config)
    return _epoch(config) * (config["epochs"] * _relative_cost(config["method"]) + 0.1)


def _epoch(config: Config) -> float:
    """The tokens of one epoch."""
    if config["kind"] == "squad":
        (examples, length), most = SQUAD, config["examples"]
    elif config["kind"] in ("own", "tfidf"):
        (examples, length), most = (config["examples"], OWN_LENGTH), None
    elif config["sample"]:
        (examples, length), most = SAMPLE, None
    else:
        (examples, length), most = SIZES[config["task"]], config["examples"]
    return float(length * min(examples, most or examples))


def _relative_cost(method: dict[str, object]) -> float:
    """The cost of a method's training step, relative to a step with adapters."""
    if method["name"] == "head":
        return 0.05
    if method["name"] == "full":
        return 1.6 * 0.7 ** int(str(method.get("first_layer", 0)))  # the layers below are cached
    return 1.0 + int(str(method.get("size", 64))) / 1000
