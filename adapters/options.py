"""The options of the `minibert` command, with help for newcomers. `cli` has what they do."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minibert import __version__

EPILOG = """examples:
  minibert fetch minilm rte
  minibert train --task rte --base minilm --method adapters --size 64
  minibert train --train mine.tsv --dev mine-dev.tsv --text review --label stars
  minibert predict runs/sst-2-adapters/task.safetensors "What a lovely day."
  minibert info minilm
"""

TASK_FILE = "a task.safetensors that `minibert train` wrote"
BASE = "model name or folder (default: the one it was trained on)"


def make_parser(commands: Mapping[str, Callable[[argparse.Namespace], Any]]) -> Any:
    """The whole command line; `commands` has the function of each command by name."""
    parser = argparse.ArgumentParser(
        prog="minibert",
        description="A BERT in NumPy: fetch public weights, train small task adapters on a frozen "
        "base, use them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minibert {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (text, add_options) in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.set_defaults(command=commands[name])
        add_options(lambda *flags, sub=sub, **rest: sub.add_argument(*flags, **rest))
    return parser


def _fetch(add: Any) -> None:
    add("names", nargs="+", metavar="MODEL|TASK",
        help="minilm, bert-base-uncased, a hub repository like org/name, or a GLUE task like rte")


def _train(add: Any) -> None:
    add("--task", help="a GLUE task: cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte or wnli")
    add("--sample", action="store_true",
        help="minibert's own small sample in the task's format, instead of GLUE")
    add("--train", type=Path, metavar="FILE.tsv",
        help="your own training data: tab-separated, UTF-8, with a header line")
    add("--dev", type=Path, metavar="FILE.tsv", help="your own development data")
    add("--text", nargs="+", default=["text"], metavar="COLUMN",
        help="one or two text columns of your files (default: text)")
    add("--label", default="label", metavar="COLUMN",
        help="label column of your files (default: label)")
    add("--regression", action="store_true", help="the label of your files is a number to predict")
    add("--base", default="minilm", help="model name or folder (default: minilm)")
    add("--method", default="adapters",
        help="what is trained: adapters (default), full, norms or head")
    add("--size", type=int, help="bottleneck size m of the adapters (default: 64)")
    add("--activation", default="gelu_tanh",
        help="inside the adapter: gelu_tanh (default), gelu, relu, tanh or swish")
    add("--recipe", default="paper",
        help="paper (default) or released-code: initialisation and optimiser")
    add("--lr", type=float, help="peak learning rate (default: by method and task)")
    add("--epochs", type=int, help="passes over the data (default: by method and task)")
    add("--batch-size", type=int, default=32, help="texts a step (default: 32)")
    add("--seed", type=int, default=0, help="seed of all randomness (default: 0)")
    add("--max-length", type=int, default=128,
        help="longest text in tokens, [CLS] and [SEP] included (default: 128)")
    add("--train-examples", type=int, help="train on that many examples only, drawn with the seed")
    add("--out", type=Path, help="folder for the results (default: runs/TASK-METHOD)")
    add("--resume", action="store_true", help="continue a stopped run in --out")


def _evaluate(add: Any) -> None:
    add("file", type=Path, help=TASK_FILE)
    add("--base", help=BASE)
    add("--data", type=Path, metavar="FILE.tsv",
        help="a labelled file in the task's format (default: the task's dev set)")
    add("--split", default="dev", help="dev (default), train or dev_mismatched")
    add("--sample", action="store_true", help="score on minibert's own sample")
    add("--json", action="store_true", help="print JSON")


def _predict(add: Any) -> None:
    add("file", type=Path, help=TASK_FILE)
    add("texts", nargs="*", metavar="TEXT",
        help="the texts; none: one a line from standard input")
    add("--pair", nargs=2, action="append", default=[], metavar=("FIRST", "SECOND"),
        help="a pair of texts, for tasks on pairs; may be repeated")
    add("--input", type=Path, metavar="FILE",
        help="read texts from a file, one a line, pairs separated by a tab")
    add("--output", type=Path, metavar="FILE", help="write there instead of printing")
    add("--base", help=BASE)
    add("--json", action="store_true", help="one JSON object a line, with all probabilities")


def _info(add: Any) -> None:
    add("name", help="model name or folder, or a task.safetensors")
    add("--method", default="adapters", help="whose trained parameters to count")
    add("--size", type=int, help="bottleneck size m of the adapters (default: 64)")


def _demo(add: Any) -> None:
    add("--out", type=Path, default=Path("runs/demo"),
        help="folder for the results (default: runs/demo)")


COMMANDS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "fetch": ("download and verify public weights and GLUE tasks", _fetch),
    "train": ("train one task on a frozen base and save it", _train),
    "evaluate": ("score a trained task on labelled examples", _evaluate),
    "predict": ("label texts with a trained task", _predict),
    "info": ("describe a model or a trained task", _info),
    "demo": ("train and use an adapter in a few minutes", _demo),
}
