"""What tasks cost in parameters, as the paper counts them."""

from collections.abc import Sequence

from adapters.reproduce.sweep.runs_file import Config, Runs, run_key


def parameters_of(runs: Runs, configs: Sequence[Config]) -> dict[str, int] | None:
    """The parameter counts of the first of these configurations whose result has them."""
    for config in configs:
        run = runs.get(run_key(config))
        if run is not None and "parameters" in run["result"]:
            counts: dict[str, int] = run["result"]["parameters"]
            return counts
    return None


def paper_share(counts: dict[str, int]) -> float:
    """The share of parameters that a task trains by the paper's count: its adapters, relative to
    the encoder's layers; 1 if the layers themselves are trained. `counts`: see
    `learning.parameter_counts`."""
    return 1.0 if counts["task"] == counts["all"] else counts["adapters"] / counts["layers"]


def paper_total(shares: Sequence[float]) -> float:
    """The parameters of all tasks together, relative to one network. Each task adds its share to
    the base that they share; where all are fully fine-tuned, each has a network of its own and
    there is none to share."""
    alone = all(share == 1 for share in shares)
    return sum(shares) if shares and alone else 1 + sum(shares)
