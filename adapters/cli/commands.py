"""What the commands do: each is one documented Python call with options around it.

Everything heavy is imported inside the command that needs it: `minibert --help` is quick.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.cli.exchange import export_command, import_command, push_command
from adapters.cli.inputs import check_output, find_base, given_texts, load_examples
from adapters.cli.predict_table import predict_table
from adapters.cli.programs import python_program
from adapters.cli.search import search_command
from adapters.cli.train import base_option, train_command
from minibert.errors import InputError, check_at_most, shown, visible

if TYPE_CHECKING:
    from adapters.reproduce.sweep.workers import Workers
    from adapters.task_file import TaskFile


def fetch_command(options: argparse.Namespace) -> None:
    """Python: `minibert.fetch_model`, `minibert.fetch_task`."""
    from minibert.data.tasks import GLUE
    from minibert.fetch.datasets import fetch_squad, fetch_task
    from minibert.fetch.manifest import known_models
    from minibert.fetch.models import fetch_model

    for name in options.names:
        if name.lower().replace("-", "") in {task.replace("-", "") for task in GLUE}:
            print(fetch_task(name), flush=True)
        elif name.lower() == "squad":
            print(fetch_squad(), flush=True)
        elif name in known_models() or "/" in name:
            print(fetch_model(name), flush=True)
        else:
            models, tasks = ", ".join(known_models()), ", ".join([*GLUE, "squad"])
            raise InputError(f"{name}: unknown; models: {models}, or any ORG/NAME; tasks: {tasks}")


def evaluate_command(options: argparse.Namespace) -> None:
    """Python: `adapters.evaluate_task`."""
    from adapters.cli.reports import about_examples, write_page
    from adapters.cut_texts import CutTexts
    from adapters.predict import evaluate_task
    from adapters.show import metrics_text
    from adapters.task_file import load_task

    task = load_task(options.file)
    if options.report:
        check_output(options.report, options.file, options.data)
    examples = load_examples(options, task.task)
    base, cut = find_base(options, task), CutTexts(task.max_length)
    if options.report:
        about = about_examples(task, examples, *_data_and_command(options, task))
        metrics = write_page(options.report, task, base, examples, about, options.threads, cut)
    else:
        metrics = evaluate_task(task, base, examples, options.threads, cut)
    if options.json:
        about_task = {"task": task.task.name, "examples": len(examples)}
        positive = {"positive": task.task.names[1]} if "f1" in metrics else {}
        lost = {"texts_cut": cut.cut, "tokens_lost": cut.lost}
        print(json.dumps({**about_task, **metrics, **positive, **lost}))
    else:
        print(f"{task.task.name}, {len(examples):,} examples: {metrics_text(metrics, task.task)}")
        print(cut)


def _data_and_command(options: argparse.Namespace, task: "TaskFile") -> tuple[str, str]:
    """What a report page says of an evaluation: what was judged, and how to use the task."""
    from adapters.show import use_command

    split = f"{options.split or 'dev'} examples of {task.task.name}"
    source = "minibert's own sample" if options.sample else "GLUE"
    data = str(options.data) if options.data else f"the {split}, {source}"
    base = base_option(options.base) if options.base else ""
    return data, use_command(task.task, options.file, base)


def predict_command(options: argparse.Namespace) -> None:
    """Python: `adapters.predict_texts`; of a table `adapters.score_table.score_to_file`."""
    from adapters.cut_texts import CutTexts
    from adapters.predict import predict_texts
    from adapters.show import prediction_lines
    from adapters.task_file import load_task
    from minibert.files import atomic_write

    task, to = load_task(options.file), options.output
    if to:
        check_output(to)
    if options.text is not None or options.submission:
        predict_table(options, task)
        return
    if options.cluster:
        raise InputError("--cluster goes with a table: --input TABLE --text COLUMN")
    if options.resume:
        raise InputError("--resume goes with a table: --input TABLE --text COLUMN --output FILE")
    if to:
        check_output(to, options.file, options.input)
    texts = given_texts(options, task.task)
    cut = CutTexts(task.max_length)
    logits = predict_texts(task, find_base(options, task), texts, options.threads, cut)
    if cut.cut:
        print(f"minibert: {cut}", file=sys.stderr)
    output = "\n".join(prediction_lines(task.task, texts, logits, options.json)) + "\n"
    if to:
        atomic_write(to, output.encode("utf-8", "backslashreplace"))
    else:
        sys.stdout.write(output)


def embed_command(options: argparse.Namespace) -> None:
    """Python: `adapters.embed_texts`."""
    import numpy as np

    from adapters.embed import embed_blocks, json_line, save_vectors
    from adapters.task_model import check_length
    from minibert.checkpoint import load_base
    from minibert.data.tasks import Task
    from minibert.fetch.models import locate_model

    if options.output:
        check_output(options.output, options.input)
        if options.output.suffix != ".npy":
            raise InputError(f"{options.output}: vectors are written to a file named .npy only")
    base = load_base(locate_model(options.base), pooler=False)
    if options.max_length is not None:
        check_length(base, options.max_length)
    texts = given_texts(options, Task("minibert embed", "", ("text",), ""))
    blocks = embed_blocks(
        base, texts, options.pooling, options.normalize, options.max_length, options.threads
    )
    if options.output:
        save_vectors(options.output, np.concatenate([vectors for _, vectors in blocks]))
        return
    for block, vectors in blocks:
        for text, vector in zip(block, vectors, strict=True):
            print(json_line(text, vector))


def info_command(options: argparse.Namespace) -> None:
    """Python: `minibert.load_base`, `adapters.load_task`."""
    from adapters.methods.table import method_named
    from adapters.recipes import recipe_named
    from adapters.show import counted, describe_base, describe_task, methods_table, trained_table
    from adapters.task_file import load_task
    from adapters.task_model import new_task_model
    from minibert.checkpoint import load_base
    from minibert.fetch.models import locate_model

    path = Path(options.name)
    # a training's folder, of which load_task says which file is meant
    of_training = (path / "task.safetensors").is_file() and not (path / "config.json").exists()
    if path.is_file() or path.suffix == ".safetensors" or of_training:
        if options.method is not None or options.size is not None:
            raise InputError("--method and --size go with a model, not with a task file")
        print(describe_task(load_task(path), path))
        return
    method = method_named(options.method or "adapters", options.size)
    base = load_base(locate_model(options.name))
    model = new_task_model(base, method, recipe_named("paper"), 2, 0)
    print(describe_base(base))
    print(f"\nWith method {method}, for a task of two classes:\n")
    print(trained_table(model))
    print(f"\nThe methods, each with a head for two classes {counted(model)}:\n")
    print(methods_table(base, method))


def reproduce_command(options: argparse.Namespace) -> None:
    """Python: `adapters.reproduce.pipeline.sweep_studies` and `write_reports`."""
    from adapters.reproduce.comparison.contributions import without_labels
    from adapters.reproduce.pipeline import (
        check_data,
        check_report,
        described,
        make_plan,
        only_table2,
        results_name,
        studies_named,
        sweep_studies,
        write_reports,
    )
    from adapters.reproduce.plans.budgets import budget_named
    from adapters.reproduce.studies.table2 import left_out, with_seeds_of
    from adapters.reproduce.sweep.runs_file import read_runs
    from adapters.reproduce.sweep.task_folder import check_outside

    studies = studies_named(options.studies, options.data is not None)
    budget = budget_named(options.budget)
    if only_table2(studies) and options.sample:
        raise InputError("--sample is for the studies on GLUE; table2 reads --data")
    workers = _workers(options)
    plan = make_plan(budget, options.base, options.seeds, options.sample, options.data)
    if not options.report_only:
        check_data(plan, studies)
    folder = options.out or Path("results") / results_name(studies, plan)
    if options.data is not None:
        check_outside(options.data, folder)
    print(f"{budget.name}: {described(studies, plan)}; runs in {folder / 'runs.jsonl'}", flush=True)
    for task in plan.folder.tasks if plan.folder else ():
        for note in task.data.notes:
            print(visible(f"{task.name}: {note}"), flush=True)
    runs = read_runs(folder)
    others = left_out(plan, runs) if only_table2(studies) else 0
    if options.report_only:
        check_report(studies, plan, runs, folder)
    if others:
        what = f"{others} of the {len(runs)} runs in {folder / 'runs.jsonl'}"
        print(f"{what} are of other data, another base or budget: left out", flush=True)
    if not options.report_only:
        runs = sweep_studies(studies, plan, folder, workers)
    if only_table2(studies) and options.seeds is None:
        plan = with_seeds_of(plan, runs)
    unlabelled = [] if only_table2(studies) else without_labels(plan)
    if unlabelled:
        where = f"{', '.join(unlabelled)}: no data here to compare answers with"
        print(f"{where}; their intervals, and those of means, are of the seeds alone", flush=True)
    page = write_reports(studies, plan, runs, folder)
    print(f"tables and figures  {page}")
    if not only_table2(studies):
        print(f"claims              {folder / 'claims.md'}")


def _workers(options: argparse.Namespace) -> "Workers":
    """One worker for each core, or as many as asked for, which share the cores' threads."""
    from adapters.reproduce.sweep.workers import Workers
    from minibert.machine.threads import MOST_THREADS, thread_count

    cores = thread_count()
    number = cores if options.workers is None else options.workers
    if number < 1:
        raise InputError(f"workers must be at least 1, not {shown(number)}")
    check_at_most("workers", number, MOST_THREADS)
    if options.cluster and options.workers is not None:
        raise InputError("give --workers or --cluster, not both: a cluster has its own workers")
    share = 1 if options.cluster else max(1, cores // number)
    threads = share if options.threads is None else thread_count(options.threads)
    return Workers(number, threads, options.cluster)


def exercises_command(options: argparse.Namespace) -> int:
    """Python: `adapters.exercises.workbook.start`, `adapters.exercises.grade.grade`."""
    from adapters.exercises.actions import run

    return run(options)


def tutorials_command(options: argparse.Namespace) -> None:
    """Python: `adapters.tutorials.start.start`."""
    from adapters.tutorials.start import scripts, start

    action, *folders = options.words or [""]
    if action != "start" or len(folders) != 1:
        raise InputError("tutorials needs start and a folder: minibert tutorials start DIR")
    folder = Path(folders[0])
    written, first = start(folder), scripts()[0].name
    print(f"{len(written)} files written to {folder}: each tutorial as a script and as a notebook")
    print(f"now: {python_program()} {shlex.quote(str(folder / first))}")
    print(f"or:  pip install jupyterlab && jupyter lab {shlex.quote(str(folder))}")


def doctor_command(options: argparse.Namespace) -> None:
    """Python: `minibert.machine.doctor.diagnose`."""
    from dataclasses import asdict

    from adapters.cli.machine_report import describe_machine
    from adapters.progress import progress_bar
    from minibert.machine.doctor import diagnose

    with progress_bar("measuring", leave=False) as bar:

        def on_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        found = diagnose(on_progress=on_progress)
    print(json.dumps(asdict(found), indent=2) if options.json else describe_machine(found))


def demo_command(options: argparse.Namespace) -> None:
    """Python: `adapters.cli.demo.demo`."""
    from adapters.cli.demo import demo

    demo(options.out)


def only_prints(options: argparse.Namespace) -> bool:
    """Whether a command is run for what it prints alone, so that it ends when nobody reads that any
    more. The others go on with their work."""
    if options.command is exercises_command:
        return "grade" not in options.words  # which may also write a table
    return options.command in (predict_command, embed_command, info_command, doctor_command)


COMMANDS = {
    "fetch": fetch_command,
    "train": train_command,
    "search": search_command,
    "evaluate": evaluate_command,
    "predict": predict_command,
    "embed": embed_command,
    "import": import_command,
    "export": export_command,
    "push": push_command,
    "info": info_command,
    "reproduce": reproduce_command,
    "exercises": exercises_command,
    "tutorials": tutorials_command,
    "doctor": doctor_command,
    "demo": demo_command,
}
