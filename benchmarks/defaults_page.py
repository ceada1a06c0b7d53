"""docs/defaults.md, from the runs of benchmarks/defaults.py.

python benchmarks/defaults_page.py
"""

from pathlib import Path

import defaults
from tabulate import tabulate

from adapters.methods.table import METHODS
from adapters.recipes import default_rate_epochs
from adapters.reproduce.report.statistics import Metric, scores_of
from adapters.reproduce.sweep.configured import base_of
from adapters.reproduce.sweep.runs_file import Config, Runs, read_runs
from adapters.task_model import COSINE, MEAN, POOLER
from minibert.files import atomic_write

PAGE = Path(__file__).parents[1] / "docs" / "defaults.md"
NAMES = {
    "sst-2": "SST-2, 4,000 sentences",
    "cola": "CoLA (Matthews)",
    "rte": "RTE",
    "mrpc": "MRPC (F1)",
}
TEXT = """# Defaults, measured

What `minibert train` begins with where nothing is said: the pooling, the learning rate and the
number of epochs. Pooling and rates belong to a base and are data: `weights/manifest.toml`.

All scores are on the dev set, in hundredths, at the epoch that is best on a tenth of the training
set; ± is the standard error over seeds 0, 1, 2, and `n` says how many of them have run. `-` has not
been measured yet. The runs are in `results/minilm-defaults`, made by `benchmarks/defaults.py`; this
page is made of them by `benchmarks/defaults_page.py`. MiniLM read at its pooler, with the rates of
every method searched for: [the paper, reproduced](reproduction.md).

## A score of two texts

On the project's own sample in STS-B's format, adapters, Pearson's correlation. Untrained, the
cosine of the two means has {untrained}.

{similarity}

## Rates

SST-2, its first 4,000 sentences, pooling `mean`, 3 epochs, seed 0: accuracy on the held-out tenth
(400 sentences: an error of 1.7) and on the dev set (872: 1.2). The rate in bold is the default. For
adapters, full and head it is the one found on four tasks
([the paper, reproduced](reproduction.md)), which no other here beats by an error; for the other
methods it is the best here on the held-out tenth.

{rates}

## Epochs

Adapters at their default rate, pooling `mean`, batches of 32, accuracy. The sample is the project's
own reviews. On so few, no number of steps is better than another beyond the error. On 2,250
sentences of SST-2 more steps gain, by up to two errors (one seed; 872 sentences). 300 steps take
some seconds, so the default is on the side of more: the task's number of epochs or, if that is
less, as many as have 300 steps, at most 40.

{epochs}

## Pooling and methods

Every method at its default rate and number of epochs, which for SST-2 is 3 with adapters and 5 with
the others (3 in full, 10 for the head). So a number may differ from that of 3 epochs above: for
lora by 2.3, less than two errors.

{methods}
"""


def first_epoch(config: Config, result: dict) -> float:
    """The first metric on the held-out part after the first epoch."""
    return float(next(iter(result["validation"][0].values())))


def held_out(config: Config, result: dict) -> float:
    """The first metric on the held-out part at the best epoch."""
    return max(float(next(iter(epoch.values()))) for epoch in result["validation"])


def of_dev(config: Config, result: dict) -> float:
    """Pearson's correlation, or the first metric, on the dev set."""
    return float(next(iter(result["dev"].values())))


def cell(runs: Runs, configs: list[Config], metric: Metric | None = None) -> str:
    """The score of configurations that differ in their seed."""
    return str(scores_of(runs, configs, metric) if metric else scores_of(runs, configs))


def table(rows: list[list[str]], headers: list[str]) -> str:
    """A table in Markdown."""
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def similarity(runs: Runs) -> str:
    """What the head reads of a pair."""
    rows = []
    for pooling in (COSINE, MEAN, POOLER):
        configs = [config for config in defaults.similarity() if config["pooling"] == pooling]
        first = cell(runs, configs, first_epoch)
        rows.append([f"`{pooling}`", cell(runs, configs, of_dev), first])
    return table(rows, ["pooling", "dev", "held out, after the first epoch"])


def rates(runs: Runs) -> str:
    """Each method's rates."""
    rows, sha256 = [], base_of(defaults.BASE).sha256
    for config in defaults.rates():
        name, rate = config["method"]["name"], config["rate"]
        chosen = default_rate_epochs(name, "", sha256)[0] == rate
        shown = f"**{rate:g}**" if chosen else f"{rate:g}"
        rows.append([name, shown, cell(runs, [config], held_out), cell(runs, [config])])
    return table(rows, ["method", "rate", "held out", "dev"])


def epochs(runs: Runs) -> str:
    """How many epochs on how many examples."""
    rows, configs = [], defaults.epochs()
    for sample, examples, tried, _ in defaults.LENGTHS:
        for number in tried:
            same = [
                config
                for config in configs
                if (config["sample"], config["examples"], config["epochs"])
                == (sample, examples, number)
            ]
            train = round(0.9 * (examples or 640))
            steps = number * -(-train // defaults.BATCH)
            where = "sample" if sample else "SST-2"
            rows.append([f"{where}, {train:,}", str(number), f"{steps:,}", cell(runs, same)])
    return table(rows, ["trained on", "epochs", "steps", "dev"])


def methods(runs: Runs) -> str:
    """Every method on every task with both poolings."""
    configs = defaults.methods()
    rows = []
    for method in METHODS:
        for pooling in (MEAN, POOLER):
            row = [method, f"`{pooling}`"]
            for task in defaults.TASKS:
                same = [
                    config
                    for config in configs
                    if (config["task"], config["pooling"], config["method"]["name"])
                    == (task, pooling, method)
                ]
                row.append(cell(runs, same))
            rows.append(row)
    return table(rows, ["method", "pooling", *(NAMES[task] for task in defaults.TASKS)])


def untrained() -> str:
    """Pearson's correlation of the scores with the cosine of the means, without any training."""
    import numpy as np

    from adapters.embed import embed_texts
    from minibert.data.glue import glue_data
    from minibert.data.metrics import pearson

    data = glue_data("sts-b", sample=True)
    texts = [text for example in data.dev for text in example.text]
    vectors = embed_texts(base_of(defaults.BASE), texts, normalize=True)
    cosines = (vectors[::2] * vectors[1::2]).sum(axis=1)
    return f"{100 * pearson(cosines, np.array([example.label for example in data.dev])):.1f}"


def main() -> None:
    """Write the page."""
    runs = read_runs(defaults.FOLDER)
    page = TEXT.format(
        untrained=untrained(),
        similarity=similarity(runs),
        rates=rates(runs),
        epochs=epochs(runs),
        methods=methods(runs),
    )
    atomic_write(PAGE, page)


if __name__ == "__main__":
    main()
