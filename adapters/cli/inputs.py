"""What the options of a command mean: which data, which base, which texts.

Raises InputError where they contradict each other, or do not fit the task.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibert.errors import InputError

if TYPE_CHECKING:
    from adapters.task_file import TaskFile
    from minibert.checkpoint import Base
    from minibert.data.tasks import Data, Task


def load_data(options: argparse.Namespace) -> "Data":
    """The data that the options ask for. Raises InputError when they contradict each other."""
    from minibert.data.glue import glue_data
    from minibert.data.tables import own_data

    if bool(options.task) == bool(options.train or options.dev):
        raise InputError("give either --task NAME, or --train FILE.tsv and --dev FILE.tsv")
    if options.task:
        for name in ("text", "label", "regression"):
            if getattr(options, name):
                raise InputError(f"--{name} goes with --train and --dev, not with --task")
        return glue_data(options.task, options.sample)
    if not (options.train and options.dev):
        raise InputError("--train and --dev go together")
    if options.sample:
        raise InputError("--sample goes with --task, not with --train and --dev")
    text = options.text or ["text"]
    if len(text) > 2:
        raise InputError(f"--text takes one or two columns, not {len(text)}")
    return own_data(
        options.train, options.dev, tuple(text), options.label or "label", options.regression
    )


def find_base(options: argparse.Namespace, task: "TaskFile") -> "Base":
    """The base that --base names, or else the task file. Raises InputError if its weights are not
    those the task was trained on."""
    from adapters.task_file import on_base
    from minibert.checkpoint import load_base
    from minibert.fetch.models import locate_model

    try:
        # ORG/NAME of the hub is the folder ORG--NAME here
        folder = locate_model(options.base or task.base_name.replace("--", "/"))
    except InputError as error:
        if options.base:
            raise
        raise InputError(
            f"{options.file}: needs its base {task.base_name} (weights sha256 "
            f"{task.base_sha256[:12]}...), or the folder that it is in as --base: {error}"
        ) from None
    base = load_base(folder)
    on_base(task, base, options.file)
    return base


def check_output(path: Path) -> None:
    """Raises InputError for a file that cannot be written, before anything is computed."""
    if path.is_dir() or not path.parent.is_dir():
        what = "it is a folder" if path.is_dir() else "its folder does not exist"
        raise InputError(f"{path}: cannot be written: {what}")


def given_texts(options: argparse.Namespace, task: "Task") -> list[Any]:
    """The texts of the arguments, of --input, or of standard input."""
    from minibert.data.tables import read_texts

    given = [*options.texts, *(tuple(pair) for pair in options.pair)]
    if given and options.input:
        raise InputError("give the texts either as arguments or with --input")
    if not given:
        if options.input is None and sys.stdin.isatty():
            print("Type one text per line; end with Ctrl-D.", file=sys.stderr)
        return read_texts(task, options.input)
    pairs = len(task.text) == 2
    if any(pairs == isinstance(text, str) for text in given):
        wanted = "pairs of texts: --pair FIRST SECOND" if pairs else "single texts, not pairs"
        raise InputError(f"{task.name} is a task on {wanted}")
    try:
        "".join(part for text in given for part in text).encode()
    except UnicodeEncodeError:
        raise InputError("a text among the arguments is not UTF-8") from None
    return given
