"""What the options of a command mean: which data, which base, which texts.

Raises InputError where they contradict each other, or do not fit the task.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibert.errors import InputError

if TYPE_CHECKING:
    from adapters.task_file import TaskFile
    from minibert.checkpoint import Base
    from minibert.data.tasks import Data, Example, Task


OWN = ("text", "label", "regression", "classes", "positive", "drop_unlabelled", "dev", "dev_share")


def load_data(options: argparse.Namespace) -> "Data":
    """The data that the options ask for. Raises InputError when they contradict each other."""
    from adapters.train_data import split_dev
    from minibert.data.glue import glue_data
    from minibert.data.own import own_data

    if options.table is not None and options.train is not None:
        raise InputError("give the table once: as TABLE or with --train")
    table = options.table if options.train is None else options.train
    if bool(options.task) == (table is not None):
        raise InputError("give either --task NAME, or a TABLE of your own")
    if options.task:
        for name in OWN:
            given = getattr(options, name)
            if given is not None and given is not False:  # but 0 is given
                shown = name.replace("_", "-")
                raise InputError(f"--{shown} goes with a TABLE of your own, not with --task")
        return glue_data(options.task, options.sample)
    if options.sample:
        raise InputError("--sample goes with --task, not with a TABLE of your own")
    if options.dev is not None and options.dev_share is not None:
        raise InputError("give either --dev or --dev-share")
    text = ["text"] if options.text is None else options.text
    if len(text) > 2:
        raise InputError(f"--text takes one or two columns, not {len(text)}")
    data = own_data(
        table,
        options.dev,
        text,
        "label" if options.label is None else options.label,
        options.regression,
        classes=options.classes or (),
        positive=options.positive or "",
        drop_unlabelled=options.drop_unlabelled,
    )
    if options.dev is None:
        share = 0.1 if options.dev_share is None else options.dev_share
        data = split_dev(data, share, options.seed)
    return data


def load_examples(options: argparse.Namespace, task: "Task") -> "list[Example]":
    """The labelled examples that `evaluate` is asked to score. Raises InputError as above."""
    from minibert.data.glue import glue_examples
    from minibert.data.own import Columns, own_examples
    from minibert.data.tables import read_examples

    chosen = options.text is not None or options.label is not None
    if options.data is None:
        if chosen or options.drop_unlabelled:
            raise InputError("--text, --label and --drop-unlabelled go with --data")
        return glue_examples(task, options.split or "dev", options.sample)
    if options.split or options.sample:
        raise InputError("give either --data TABLE, or --split and --sample")
    if task.folder and not chosen:  # GLUE's own files; none has missing labels
        if options.drop_unlabelled:
            raise InputError(
                f"--drop-unlabelled: {options.data} is read as a file of GLUE's; for a table of "
                "your own name its columns with --text and --label"
            )
        return read_examples(task, options.data)
    text = tuple(map(str, task.text)) if options.text is None else tuple(options.text)
    columns = Columns(text, str(task.label) if options.label is None else options.label)
    return own_examples(task, options.data, columns, options.drop_unlabelled)


def find_base(options: argparse.Namespace, task: "TaskFile") -> "Base":
    """The base that --base names, or else the task file. Raises InputError if its weights are not
    those the task was trained on."""
    from adapters.task_file import on_base
    from minibert.checkpoint import load_base
    from minibert.fetch.models import locate_model

    try:
        folder = locate_model(options.base or task.base_model)
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


def check_output(path: Path, *read: Path | str | None) -> None:
    """Raises InputError for a file that cannot be written, or is one of those that are read, before
    anything is computed."""
    from minibert.files import check_other

    if path.is_dir() or not Path(os.path.realpath(path)).parent.is_dir():
        what = "it is a folder" if path.is_dir() else "its folder does not exist"
        raise InputError(f"{path}: cannot be written: {what}")
    check_other(path, [one for one in read if one], "read, too")


def given_texts(options: argparse.Namespace, task: "Task") -> list[Any]:
    """The texts of the arguments, of --input, or of standard input."""
    from minibert.data.tables import read_texts

    given = [*options.texts, *(tuple(pair) for pair in options.pair)]
    if given and options.input:
        raise InputError("give the texts either as arguments or with --input")
    if not given:
        if options.input is None and sys.stdin.isatty():
            print("Type one text per line; end with Ctrl-D.", file=sys.stderr)
        path = None if options.input in (None, "-") else Path(options.input)
        if path and path.suffix.lower() in (".csv", ".jsonl", ".ndjson"):
            named = "name its text column with --text, or " if hasattr(options, "text") else ""
            raise InputError(
                f"{path}: looks like a table; {named}give plain lines by standard input"
            )
        return read_texts(task, path)
    pairs = task.pairs
    if any(pairs == isinstance(text, str) for text in given):
        wanted = "pairs of texts: --pair FIRST SECOND" if pairs else "single texts, not pairs"
        raise InputError(f"{task.name} is a task on {wanted}")
    try:
        "".join(part for text in given for part in text).encode()
    except UnicodeEncodeError:
        raise InputError("a text among the arguments is not UTF-8") from None
    return given
