"""The options of the `minibert` command, with help for newcomers. `commands` has what they do."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from adapters.cli.help_text import EXAMPLES, OVERVIEW
from minibert import __version__
from minibert.errors import shown, visible

TASK_FILE = "a task.safetensors that `minibert train` wrote"
BASE = "model name or folder (default: the model that the task was trained on, by its name)"
CACHE = (
    "keep what the frozen layers compute in files of this folder, for all runs that need the same "
    "(default: in memory, up to 2 GB); with --fast, --top-layers, --layers or --method head"
)
CACHE_OF_SEARCH = (
    "keep what the frozen layers compute in files of this folder, for later runs and searches, too "
    "(default: in --out, removed at the end)"
)


def filled(text: str) -> str:
    """An option's text, which must not be empty: the folder "" would be the current one."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def whole(text: str) -> int:
    """An option's whole number; its range is checked where it is used."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {shown(text)}") from None


def number(text: str) -> float:
    """An option's number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid float value: {shown(text)}") from None


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line, not a page; options cannot be abbreviated, so that a
    script means the same when an option is added."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
                         **settings)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read more; exit code 2."""
        self.exit(2, f"{self.prog}: error: {visible(message)}; see {self.prog} --help\n")


class CommandParser(Parser):
    """The parser of one command. Options may come before, between and after the arguments. argparse
    does that only in `parse_known_intermixed_args`, which itself calls `parse_known_args`."""

    intermixed = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # every option's text goes through one of these, unless it may be anything (type=str)
        self.register("type", None, filled)
        self.register("type", Path, lambda text: Path(filled(text)))
        self.register("type", int, whole)
        self.register("type", float, number)

    def parse_known_args(self, *args: Any) -> Any:  # type: ignore[override]
        """What argparse calls for the words after the command."""
        if not self.intermixed:
            return super().parse_known_args(*args)
        self.intermixed = False
        try:
            options, rest = self.parse_known_intermixed_args(*args)
        finally:
            self.intermixed = True
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return options, []


def make_parser(commands: Mapping[str, Callable[[argparse.Namespace], Any]]) -> Parser:
    """The whole command line; `commands` has the function of each command by name."""
    parser = Parser(
        prog="minibert",
        description="A BERT in NumPy: fetch public weights, train small task adapters on a frozen\n"
        "base, use them.",
        epilog=OVERVIEW,
    )
    parser.add_argument("--version", action="version", version=f"minibert {__version__}",
                        help="show the version and exit")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands",
                                       parser_class=CommandParser)
    for name, (text, add_options) in COMMANDS.items():
        examples, python = EXAMPLES[name]
        sub = subparsers.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"examples:\n{examples}\nthe same in Python:\n{python}",
        )
        sub.set_defaults(command=commands[name])
        add_options(sub)
    return parser


ONE_PER_CORE = "one per core, at most OPENBLAS_NUM_THREADS, OMP_NUM_THREADS and MKL_NUM_THREADS"


def _add_threads(add: Callable[..., Any], default: str = ONE_PER_CORE) -> None:
    add("--threads", type=int, metavar="N",
        help=f"number of threads; the result is the same to the bit (default: {default})")


def _fetch(parser: Parser) -> None:
    parser.add_argument("names", nargs="+", metavar="MODEL|TASK",
        help="minilm, bert-base-uncased, a hub repository like org/name, a GLUE task like rte, or "
        "squad")


def _add_data(parser: Parser) -> None:
    add = parser.add_argument_group("data: a GLUE task, or files of your own").add_argument
    add("--task", metavar="NAME",
        help="a GLUE task: cola, sst-2, mrpc, sts-b, qqp, mnli, qnli, rte or wnli")
    add("--sample", nargs="?", const="plain", metavar="KIND",
        help="with --task: minibert's own small sample in the task's format, instead of GLUE: "
        "plain (default), or for sst-2 hard, of contrast pairs")
    add("table", nargs="?", metavar="TABLE",
        help="your own labelled texts: CSV, TSV or JSON lines in UTF-8 with named columns; - for "
        "standard input")
    add("--train", metavar="TABLE", help="the same as TABLE")
    add("--dev", metavar="TABLE",
        help="your own development data, same columns; every epoch is scored on it (default: a "
        "part of TABLE)")
    add("--dev-share", type=float, metavar="SHARE",
        help="without --dev: the share of TABLE that is split off with the seed, class by class "
        "(default: 0.1)")
    add("--text", nargs="+", metavar="COLUMN",
        help="the text column of your table, or two for pairs of texts (default: text)")
    add("--label", metavar="COLUMN", help="the label column of your table (default: label)")
    add("--regression", action="store_true",
        help="the label of your table is a number to predict, not a class")
    add("--classes", nargs="+", metavar="LABEL",
        help="the labels that your table may have, in this order (default: those that it has)")
    add("--positive", metavar="LABEL",
        help="of two classes the one that F1 is of (default: the last)")
    add("--drop-unlabelled", action="store_true",
        help="leave out rows whose label is missing, and count them (default: an error)")
    add("--train-examples", type=int, metavar="N",
        help="train on this many examples only, drawn with the seed (default: all)")


def _add_steps(add: Callable[..., Any]) -> None:
    """The options of every training, whatever is trained."""
    add("--class-weights", metavar="NAME",
        help="balanced: all classes weigh alike in the loss, however rare (default: every example "
        "does)")
    add("--batch-size", type=int, default=32, metavar="N", help="texts per step (default: 32)")
    add("--max-length", type=int, default=128, metavar="N",
        help="longest text in tokens, [CLS] and [SEP] included; longer ones are cut "
        "(default: 128)")
    add("--seed", type=int, default=0, metavar="N",
        help="seed of all randomness: the same seed gives the same bits (default: 0)")
    _add_threads(add)


def _train(parser: Parser) -> None:
    _add_data(parser)
    add = parser.add_argument_group("what is trained").add_argument
    add("--base", default="minilm", metavar="MODEL",
        help="the frozen BERT: a model name or a folder (default: minilm)")
    add("--method", default="adapters", metavar="NAME",
        help="adapters with LayerNorms and head (default), full (everything), norms (LayerNorms "
        "and head) or head; beyond the paper: lora, pfeiffer (an adapter after each feed-forward "
        "sublayer only) or biases (BitFit)")
    add("--size", type=int, metavar="M",
        help="bottleneck size m of the adapters; each has 2md + d + m parameters (default: 64; 48 "
        "with pfeiffer); with lora the rank (default: 8)")
    add("--activation", metavar="NAME",
        help="inside the adapter: gelu_tanh (default), gelu, relu (default of pfeiffer), tanh or "
        "swish")
    add("--variant", default="serial", metavar="NAME",
        help="the adapter's form: serial (the paper's, default), or one of the extensions that it "
        "tried: layer-norm, batch-norm, deep, attention-only, parallel or multiplicative")
    add("--freeze-layernorm", action="store_true",
        help="leave the LayerNorms as they are, so that the adapters fit into AdapterHub's files")
    add("--lora-targets", nargs="+", metavar="MAP",
        help="the linear maps that lora adapts: query, key, value, attention_output, "
        "feed_forward_inner, feed_forward_output (default: query value)")
    add("--lora-alpha", type=float, metavar="ALPHA",
        help="lora's change is multiplied by ALPHA / rank (default: 8)")
    add("--std", type=float, metavar="STD",
        help="standard deviation of the adapters' initial weights (default: the recipe's)")
    add("--top-layers", type=int, metavar="K",
        help="train in the top K layers only; what the layers below compute is cached, so that "
        "every epoch runs only the top ones (default: all layers)")
    add("--layers", type=int, nargs=2, metavar=("FIRST", "LAST"),
        help="train in these layers only, counted from 0, both included (default: all layers)")
    add("--pooling", metavar="NAME",
        help="the vector of a text that the head reads: pooler (the paper's), mean (of all tokens' "
        "last states), cls (the last state of [CLS]) or cosine (for a score of two texts); "
        "default: what suits the base, see weights/manifest.toml")
    add = parser.add_argument_group("how it is trained").add_argument
    add("--recipe", default="paper", metavar="NAME",
        help="initialisation and optimiser as in the paper's text (paper, the default) or in its "
        "published code (released-code)")
    add("--fast", action="store_true",
        help="half the time, at a price, least where texts are judged by their words: train in the "
        "top half of the layers only, and stop when a fifth of the epochs, at least 3, has gained "
        "nothing; unless --top-layers, --layers or --stop-after say otherwise")
    add("--lr", type=float, metavar="RATE",
        help="peak learning rate (default: one that works for the base, method and task)")
    add("--epochs", type=int, metavar="N",
        help="passes over the training data (default: by method and task; more of few examples, "
        "for some 300 steps)")
    add("--stop-after", type=int, metavar="N",
        help="stop after N epochs in turn that are no better on the development data")
    _add_steps(add)
    add = parser.add_argument_group("results").add_argument
    add("--out", type=Path, metavar="DIR",
        help="folder for the task file, the report page, the learning curve and the checkpoint "
        "(default: runs/TASK-METHOD)")
    add("--resume", action="store_true",
        help="resume the stopped run in --out; all other options must be the same")
    add("--cache", type=Path, metavar="DIR", help=CACHE)


def _search(parser: Parser) -> None:
    _add_data(parser)
    parser.set_defaults(lr=None, stop_after=None, fast=False)  # as if `train` were asked for none
    add = parser.add_argument_group("what is tried: every combination of").add_argument
    add("--rates", type=float, nargs="+", default=(), metavar="RATE",
        help="peak learning rates (default: 0.3, 1 and 3 times what works for the base, method "
        "and task)")
    add("--sizes", type=int, nargs="+", default=(), metavar="M",
        help="bottleneck sizes m of the adapters; with lora ranks (default: the method's, and a "
        "quarter of it)")
    add("--top-layers", type=int, nargs="+", default=(), metavar="K",
        help="train in the top K layers only; what the layers below compute is computed once, for "
        "all configurations (default: the top half, and half of that)")
    add = parser.add_argument_group("what all have in common").add_argument
    add("--base", default="minilm", metavar="MODEL",
        help="the frozen BERT: a model name or a folder (default: minilm)")
    add("--method", default="adapters", metavar="NAME",
        help="adapters with LayerNorms and head (default), full, norms, head, lora, pfeiffer or "
        "biases, as in `minibert train`")
    add("--pooling", metavar="NAME",
        help="the vector of a text that the head reads: pooler, mean, cls or cosine (default: what "
        "suits the base)")
    add("--recipe", default="paper", metavar="NAME",
        help="paper (default) or released-code, as in `minibert train`")
    add("--epochs", type=int, metavar="N",
        help="epochs of a whole training; only the best configurations come so far (default: by "
        "method and task; more of few examples, for some 300 steps)")
    _add_steps(add)
    add = parser.add_argument_group("results").add_argument
    add("--out", type=Path, metavar="DIR",
        help="folder for the winner's task file, the picture and all runs (default: "
        "runs/TASK-METHOD-search)")
    add("--resume", action="store_true",
        help="resume the stopped search in --out; all other options must be the same")
    add("--cache", type=Path, metavar="DIR", help=CACHE_OF_SEARCH)


def _evaluate(parser: Parser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=TASK_FILE)
    add("--base", metavar="MODEL", help=BASE)
    add("--data", type=Path, metavar="TABLE",
        help="labelled texts: for a GLUE task a file in its format, else CSV, TSV or JSON lines "
        "(default: the GLUE task's dev set)")
    add("--text", nargs="+", metavar="COLUMN",
        help="the text columns of --data (default: those of the training)")
    add("--label", metavar="COLUMN", help="the label column of --data (default: the training's)")
    add("--drop-unlabelled", action="store_true", help="leave out rows whose label is missing")
    add("--split", metavar="NAME",
        help="the part of the GLUE task's data: dev (default), train, or MNLI's dev_mismatched")
    add("--sample", nargs="?", const="plain", metavar="KIND",
        help="score on minibert's own sample instead of GLUE: plain (default) or hard")
    add("--json", action="store_true",
        help="print one JSON object, with metrics as fractions instead of hundredths")
    add("--report", type=Path, metavar="FILE.html",
        help="also write a report page: class by class, confusion matrix, calibration, the most "
        "confident mistakes; one file that needs no network")
    _add_threads(add)


def _predict(parser: Parser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=TASK_FILE)
    add("texts", nargs="*", default=[], type=str, metavar="TEXT",
        help="the texts; without any, they are read from standard input, one per line (write -- "
        "before a text that begins with a dash)")
    add("--pair", nargs=2, action="append", default=[], type=str, metavar=("FIRST", "SECOND"),
        help="a pair of texts, for a task on pairs; may be given several times")
    add("--input", metavar="FILE",
        help="read the texts from a file, one per line, the two of a pair separated by a tab; with "
        "--text a table: CSV, TSV or JSON lines; - for standard input")
    add("--text", nargs="+", metavar="COLUMN",
        help="the text column of the table --input, or two for pairs: every column is kept, the "
        "label and the probabilities are added")
    add("--submission", action="store_true",
        help="--input is GLUE's test.tsv; write the file that GLUE's site takes")
    add("--output", type=Path, metavar="FILE",
        help="write to a file instead of printing; of a table as its suffix says: .csv, .tsv or "
        ".jsonl")
    add("--resume", action="store_true", help="continue a table whose scoring was stopped")
    add("--cluster", metavar="tcp://HOST:PORT",
        help="compute a table's answers on the workers of this Dask cluster, which need minibert "
        "and the base; --base is then its name or folder there")
    add("--base", metavar="MODEL", help=BASE)
    add("--json", action="store_true",
        help="one JSON object per line, with the probabilities of all labels (default: label, its "
        "probability and the text, separated by tabs)")
    _add_threads(add, f"{ONE_PER_CORE}; 1 for each block of a table with --cluster")


def _embed(parser: Parser) -> None:
    add = parser.add_argument
    parser.set_defaults(pair=[])  # texts are single here
    add("texts", nargs="*", default=[], type=str, metavar="TEXT",
        help="the texts; without any, they are read from standard input, one per line (write -- "
        "before a text that begins with a dash)")
    add("--input", metavar="FILE",
        help="read the texts from a file, one per line; - for standard input")
    add("--output", type=Path, metavar="FILE.npy",
        help="write the vectors as a NumPy array, float32, one row a text (default: print a JSON "
        "object per line, with the text and its vector)")
    add("--base", default="minilm", metavar="MODEL",
        help="the BERT: a model name or a folder (default: minilm)")
    add("--pooling", choices=("mean", "cls"), default="mean",
        help="the vector is the mean of the last layer over the text's tokens (default), or its "
        "[CLS] token alone")
    add("--normalize", action="store_true",
        help="scale each vector to length 1, so that a dot product is a cosine")
    add("--max-length", type=int, metavar="N",
        help="longest text in tokens, [CLS] and [SEP] included; longer ones are cut (default: what "
        "the model's sentence_bert_config.json says, else 256)")
    _add_threads(add)


def _import(parser: Parser) -> None:
    add = parser.add_argument
    add("source", metavar="DIR|ORG/NAME",
        help="a folder that AdapterHub, PEFT or transformers wrote, in safetensors, or such a "
        "repository of the hub; which of them, its files say")
    add("--out", type=Path, required=True, metavar="FILE", help="the task file to write")
    add("--base", metavar="MODEL",
        help="model name or folder (default: the base that the files name, if it is fetched)")
    add("--ignore-base-name", action="store_true",
        help="--base is the right one, whatever name the files give to theirs (default: a model of "
        "the hub of another name is an error)")
    add("--task", metavar="NAME",
        help="the GLUE task that it is: how its labels are read and scored (default: a task of its "
        "own, scored by accuracy, or by Pearson's correlation for one output)")
    add("--labels", nargs="+", metavar="LABEL",
        help="the names of its outputs, in order (default: those in the files, else 0 1 ...)")
    add("--pairs", action="store_true", help="it reads pairs of texts (default: single ones)")
    add("--max-length", type=int, metavar="N",
        help="longest text in tokens, [CLS] and [SEP] included (default: 128)")
    add("--head", type=Path, metavar="DIR",
        help="AdapterHub: the folder with the head (default: that of the adapter)")
    add("--force", action="store_true",
        help="overwrite the file --out (default: one that exists is an error)")


def _export(parser: Parser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=TASK_FILE)
    add("out", type=Path, metavar="DIR", help="the folder to write, new or empty")
    add("--format", required=True, metavar="NAME",
        help="adapterhub (methods adapters and pfeiffer), peft (lora) or transformers (a whole "
        "model: full, norms, biases, head, and lora merged)")
    add("--merge-base", action="store_true",
        help="AdapterHub has no place for trained LayerNorms: write a base that has them, too, in "
        "DIR/base")
    add("--base", metavar="MODEL", help=BASE)


def _push(parser: Parser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=TASK_FILE)
    add("repository", metavar="ORG/NAME", help="a repository of the hub, made if there is none")
    add("--licence", required=True, metavar="NAME",
        help="under which others may use the task: apache-2.0, mit, cc-by-4.0, ...; it stands on "
        "the model card")
    add("--private", action="store_true", help="a new repository is for you alone")
    add("--force", action="store_true",
        help="overwrite the task file and card of a repository that has files (default: an error)")
    add("--base", metavar="MODEL", help=BASE)


def _info(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="MODEL|FILE", help=f"a model name or folder, or {TASK_FILE}")
    add("--method", metavar="NAME",
        help="show how many parameters this method trains: adapters (default), full, norms, head, "
        "lora, pfeiffer or biases")
    add("--size", type=int, metavar="M",
        help="bottleneck size m of the adapters, or lora's rank (default: the method's)")


def _reproduce(parser: Parser) -> None:
    add = parser.add_argument
    add("studies", nargs="*", default=["all"], metavar="STUDY",
        help="table1, table2 (with --data), tradeoff, squad, ablation, init-scale, extensions, "
        "many-tasks, epochs or all (default: all; table2 only with --data)")
    add("--data", type=Path, metavar="DIR",
        help="for table2, by itself or with all: a folder of tasks, each with train.tsv, dev.tsv, "
        "test.tsv and task.toml")
    add("--budget", default="quick", metavar="NAME",
        help="quick: small subsets, once (default); full: the real training sets, in hours; paper: "
        "the paper's whole grid, in days")
    add("--base", default="minilm", metavar="MODEL",
        help="the frozen BERT: a model name or a folder (default: minilm)")
    add("--seeds", type=int, metavar="N",
        help="number of seeds, of every study (default: the budget's)")
    add("--sample", action="store_true",
        help="minibert's own small samples instead of GLUE (and no SQuAD)")
    add("--workers", type=int, metavar="N",
        help="runs at a time, each in its own process (default: one per core)")
    add("--cluster", metavar="tcp://HOST:PORT",
        help="compute the runs on the workers of this Dask cluster, which need minibert, the "
        "weights and the data")
    _add_threads(add, "the cores divided by the workers; 1 with --cluster")
    add("--out", type=Path, metavar="DIR",
        help="folder for the runs, tables, figures and the ledger of claims; a sweep that was "
        "stopped resumes there (default: results/BASE-BUDGET; for table2 alone, "
        "results/BASE-BUDGET-table2)")
    add("--report-only", action="store_true", help="run nothing; report what has run so far")


def _exercises(parser: Parser) -> None:
    add = parser.add_argument
    add("words", nargs="*", default=[], metavar="WORD",
        help="start DIR: copy the exercises into DIR. DIR (default: this folder): check each file "
        "when it is saved. list, hint [NN], check [NN]: where you are, a hint, one check. reset "
        "NN: restore the stub. solution NN: show ours. grade DIR...: for teachers, check every "
        "exercise of these folders")
    add("--in", dest="folder", metavar="DIR",
        help="the folder for list, hint, check, reset and solution (default: this one)")
    add("--once", action="store_true",
        help="check all exercises once, up to the first that fails; exit code 1 if one does")
    add("--seconds", type=float, default=20.0, metavar="S",
        help="the time limit of each exercise, in seconds (default: 20)")
    add("--json", action="store_true",
        help="with grade: one JSON object per folder, each on a line of its own")
    add("--table", type=Path, metavar="FILE",
        help="with grade: also write one table of the class to this file (.txt, .csv or .html)")
    add("--workers", type=int, metavar="N",
        help="with grade: folders graded at the same time (default: the cores)")
    add("--no-solutions", action="store_true",
        help="with start: first remove the solutions from this installation, for a class's image")


def _tutorials(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", default=[], metavar="WORD",
        help="start DIR: write the tutorials into DIR, as scripts and as Jupyter notebooks; a file "
        "that is there already is never replaced")


def _doctor(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true",
        help="print one JSON object, with the GFLOP/s of every round")


def _demo(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR",
        help="folder for the results (default: runs/demo)")


# command: (what it does, its options)
COMMANDS: dict[str, tuple[str, Callable[[Parser], None]]] = {
    "fetch": ("download and verify public weights, GLUE tasks and SQuAD", _fetch),
    "train": ("train one task on a frozen base and save it", _train),
    "search": ("try many configurations of one task, and train the best of them", _search),
    "evaluate": ("score a trained task on labelled examples", _evaluate),
    "predict": ("label texts with a trained task", _predict),
    "embed": ("turn texts into sentence vectors of a model", _embed),
    "import": ("make a task file of an adapter of AdapterHub, PEFT or transformers", _import),
    "export": ("write a task in the files of AdapterHub, PEFT or transformers", _export),
    "push": ("put a task on the Hugging Face hub, with a model card", _push),
    "info": ("describe a model or a trained task", _info),
    "reproduce": ("run the tables, figures and claims of the paper", _reproduce),
    "exercises": ("write BERT and its adapters yourself, checked as you save", _exercises),
    "tutorials": ("the tutorials as scripts and notebooks, in a folder of your own", _tutorials),
    "doctor": ("describe this machine, measure its matrix products, say what to set", _doctor),
    "demo": ("train and use an adapter in about a minute", _demo),
}
