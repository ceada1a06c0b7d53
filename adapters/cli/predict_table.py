"""`minibert predict --input TABLE --text COLUMN`: a table in, the same table with answers out."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.cli.inputs import find_base
from minibert.errors import InputError

if TYPE_CHECKING:
    from adapters.cut_texts import CutTexts
    from adapters.score_table import Scoring
    from adapters.task_file import TaskFile


def predict_table(options: argparse.Namespace, task: "TaskFile") -> None:
    """Python: `adapters.score_table.score_to_file`."""
    from adapters.cut_texts import CutTexts
    from adapters.score_table import Scoring, glue_test_columns
    from minibert.data.records import open_table

    if options.texts or options.pair:
        raise InputError("give the texts either as arguments or as a table with --input")
    if options.input is None:
        raise InputError("--text and --submission go with --input TABLE")
    if options.submission and options.text is not None:
        raise InputError("--submission knows the text columns of GLUE's files; leave out --text")
    if options.json and options.output:
        raise InputError("a table's --output says how it is written: .jsonl instead of --json")
    if options.resume and not options.output:
        raise InputError("--resume goes with --output FILE")
    table = open_table(options.input, options.text or ())
    text = tuple(options.text or ())
    if options.submission:
        table, text = glue_test_columns(task.task, table)
        table = table.with_columns(text)
    cut = CutTexts(task.max_length)
    if not options.cluster:
        base = find_base(options, task)
        scoring = Scoring(task, base, table, text, options.submission, options.threads, cut)
        _write(options, scoring, cut)
        return
    from adapters.cluster.connection import connected
    from adapters.cluster.tables import answers_on_cluster

    with connected(options.cluster) as client:
        threads = options.threads or 1
        answers = answers_on_cluster(client, task, options.base or "", threads, cut.add)
        _write(options, Scoring(task, None, table, text, options.submission, answers=answers), cut)


def _write(options: argparse.Namespace, scoring: "Scoring", cut: "CutTexts") -> None:
    """Write the result to --output, or print it."""
    from adapters.output import write_as_it_is
    from adapters.progress import count_bar
    from adapters.score_table import delimiter_of, result_lines, score_to_file
    from minibert.files import check_other

    scoring.columns()
    total = scoring.count()  # a damaged row is named before anything is scored
    if options.output:
        check_other(Path(options.output), [options.file], "the task file")
        bar = count_bar(f"{total:,} rows")
        score_to_file(scoring, options.output, options.resume, lambda rows: bar(rows, total))
        print(f"{options.output}: {total:,} rows; {cut}")
        return
    for line in result_lines(scoring, "" if options.json else delimiter_of(None, scoring)):
        if sys.stdout.isatty():
            sys.stdout.write(line)
        else:
            write_as_it_is(line)  # cells are data
    if cut.cut:
        print(f"minibert: {cut}", file=sys.stderr)
