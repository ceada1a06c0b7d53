"""The report pages of `minibert train` and `minibert evaluate --report`.

Everything heavy is imported inside: `minibert --help` is quick.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.cut_texts import CutTexts
    from adapters.finetune import Trained
    from adapters.report.page import About
    from adapters.task_file import TaskFile
    from minibert.checkpoint import Base
    from minibert.data.tasks import Data, Example


def write_page(
    path: Path,
    task: "TaskFile",
    base: "Base",
    examples: Sequence["Example"],
    about: "About",
    threads: int | None = None,
    cut: "CutTexts | None" = None,
) -> dict[str, float]:
    """Judge a task on labelled examples and write the page, atomically. Returns the metrics, as
    `adapters.evaluate_task` does. Raises InputError when the page cannot be written."""
    from adapters.cut_texts import CutTexts
    from adapters.predict import predict_texts
    from adapters.report.judgement import judge
    from adapters.report.page import report_page
    from minibert.files import atomic_write

    cut = cut or CutTexts(task.max_length)
    logits = predict_texts(task, base, [example.text for example in examples], threads, cut)
    about = replace(about, facts=[*about.facts, ("texts cut", cut.counts)])
    judgement = judge(task.task, examples, logits)
    atomic_write(path, report_page(task, judgement, about))
    return judgement.metrics


def about_training(trained: "Trained", data: "Data", options: str) -> "About":
    """What the page of a training says beside its figures. Its dev examples are judged; the guess
    to compare with comes from its training examples.

    The command is the one to type in the page's own folder, so that the page says the same
    wherever the folder is; `options` are those of it that find the base.
    """
    from adapters.report.judgement import judge
    from adapters.report.page import About
    from adapters.show import constant_name, untrained_row, use_command
    from minibert.data.tasks import majority_logits

    task, dev = data.task, data.dev
    command = use_command(task, Path("task.safetensors"), options)
    return About(
        data=f"the dev examples of {data.source}",
        facts=[
            ("data", f"{len(data.train):,} training and {len(dev):,} dev examples"),
            *untrained_row(trained),
        ],
        baseline=judge(task, dev, majority_logits(task, data.train, len(dev))),
        baseline_name=constant_name(task),
        trained=trained,
        command=f"# in the folder of this page\n{command}",
    )


def about_examples(
    task: "TaskFile", examples: Sequence["Example"], data: str, command: str
) -> "About":
    """What the page of an evaluation says beside its figures; `data` names the examples. The guess
    to compare with is the best constant one for these examples, as no others are known."""
    from adapters.report.judgement import judge
    from adapters.report.page import About
    from minibert.data.tasks import majority_logits

    name = "mean score" if task.task.regression else "commonest class"
    return About(
        data=data,
        baseline=judge(task.task, examples, majority_logits(task.task, examples, len(examples))),
        baseline_name=f"always the {name} of these texts",
        command=command,
    )
