"""The `minibert` command line. Each command is one documented Python call with options around it.

Errors that a user can mend are one line on standard error and exit code 2.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.options import make_parser
from minibert.errors import InputError


def run(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name. Returns the exit code: 0 when all went
    well, 2 for an error of the input, 130 after Ctrl-C."""
    from minibert.train import Interrupted

    options = make_parser(COMMANDS).parse_args(arguments)
    try:
        return options.command(options) or 0
    except InputError as error:
        print(f"minibert: error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"minibert: error: {error}; the command line needs: pip install 'minibert[cli]'",
            file=sys.stderr,
        )
        return 2
    except Interrupted as stop:
        print(f"\nminibert: {stop}; continue with the same command and --resume", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nminibert: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone (`| head`)
        sys.stderr.close()
        return 0


def fetch_command(options: argparse.Namespace) -> None:
    """Python: `minibert.weights.fetch_model`, `minibert.glue_data.fetch_task`."""
    from minibert.glue_data import fetch_task
    from minibert.tasks import glue_task
    from minibert.weights import fetch_model

    for name in options.names:
        try:
            task = glue_task(name).name
        except InputError:
            task = None
        print(fetch_task(task) if task else fetch_model(name))


def load_data(options: argparse.Namespace) -> Any:
    """The data that the options ask for."""
    from minibert.datasets import glue_data, own_data

    own = options.train or options.dev
    if bool(options.task) == bool(own):
        raise InputError("give either --task NAME, or --train FILE.tsv and --dev FILE.tsv")
    if options.task:
        return glue_data(options.task, options.sample)
    if not (options.train and options.dev):
        raise InputError("--train and --dev go together")
    if len(options.text) > 2:
        raise InputError(f"--text takes one or two columns, not {len(options.text)}")
    return own_data(options.train, options.dev, tuple(options.text), options.label,
                    options.regression)  # fmt: skip


def train_command(options: argparse.Namespace) -> None:
    """Python: `adapters.finetune.train_task`."""
    from adapters.finetune import subset, train_task
    from adapters.recipes import default_rate_epochs, recipe_named
    from adapters.show import Progress, learning_curve, metrics_text, trained_table
    from adapters.tuning import init_task, method_named
    from minibert.checkpoint import load_base
    from minibert.train import Settings
    from minibert.weights import locate_model

    method = method_named(options.method, options.size, options.activation)
    recipe = recipe_named(options.recipe)
    data = load_data(options)
    rate, epochs = default_rate_epochs(method.name, data.task.name)
    settings = Settings(
        rate=rate if options.lr is None else options.lr,
        epochs=epochs if options.epochs is None else options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
    )
    if options.train_examples is not None:
        data = subset(data, options.train_examples, options.seed)
    base = load_base(locate_model(options.base))
    out = options.out or Path("runs") / f"{data.task.name}-{method.name}"
    print(f"data:   {data.source}, {len(data.train):,} train, {len(data.dev):,} dev")
    print(f"base:   {base.name}, weights sha256 {base.sha256[:12]}...")
    print(f"method: {method}, recipe {recipe.name}")
    print(f"steps:  peak rate {settings.rate:g}, {settings.epochs} epochs, seed {settings.seed}\n")
    print(trained_table(init_task(base, method, recipe, data.task.outputs, 0), method), flush=True)
    progress = Progress(data.task.name)
    try:
        trained = train_task(
            base, data, method, settings, recipe=options.recipe, max_length=options.max_length,
            out=out, resume=options.resume, on_report=progress,
        )  # fmt: skip
    finally:
        progress.close()
    picture = out / "curve.png"
    title = f"{data.task.name}: {method.name} on {base.name}"
    learning_curve(
        picture, {method.name: (trained.losses, trained.epochs)}, title, trained.constant
    )
    best = {name: trained.task.results[name] for name in data.task.metrics}
    print(f"\nconstant guess: {metrics_text(trained.constant)}")
    print(f"last epoch:     {metrics_text(trained.epochs[-1])}")
    print(f"best epoch {trained.task.results['epoch']}:   {metrics_text(best)}  (kept)")
    print(f"task file:      {trained.path} ({Path(str(trained.path)).stat().st_size / 1e6:.2f} MB)")
    print(f"picture:        {picture}")


def _open(options: argparse.Namespace) -> tuple[Any, Any]:
    """The task file, and the base it asks for or the one named."""
    from adapters.store import load_task, on_base
    from minibert.checkpoint import load_base
    from minibert.weights import locate_model

    task = load_task(options.file)
    base = load_base(locate_model(options.base or task.base_name))
    on_base(task, base, options.file)
    return task, base


def evaluate_command(options: argparse.Namespace) -> None:
    """Python: `adapters.finetune.evaluate_task`."""
    from adapters.finetune import evaluate_task
    from adapters.show import metrics_text
    from minibert.datasets import glue_examples
    from minibert.tasks import read_examples

    task, base = _open(options)
    if options.data:
        examples = read_examples(task.task, options.data)
    else:
        examples = glue_examples(task.task, options.split, options.sample)
    metrics = evaluate_task(task, base, examples)
    if options.json:
        print(json.dumps({"task": task.task.name, "examples": len(examples), **metrics}))
    else:
        print(f"{task.task.name}, {len(examples):,} examples: {metrics_text(metrics)}")


def predict_command(options: argparse.Namespace) -> None:
    """Python: `adapters.finetune.predict_texts`."""
    from adapters.finetune import predict_texts
    from minibert.files import atomic_write
    from minibert.heads import probabilities
    from minibert.tasks import read_texts

    task, base = _open(options)
    if options.texts or options.pair:
        texts = [*options.texts, *(tuple(pair) for pair in options.pair)]
        kinds = {len(task.task.text) == (1 if isinstance(text, str) else 2) for text in texts}
        if False in kinds:
            wanted = "pairs (--pair FIRST SECOND)" if len(task.task.text) == 2 else "single texts"
            raise InputError(f"{task.task.name} is a task on {wanted}")
    else:
        texts = read_texts(task.task, options.input)
    logits = predict_texts(task, base, texts)
    lines = []
    for text, row in zip(texts, logits, strict=True):
        shown = text if isinstance(text, str) else "\t".join(text)
        if task.task.regression:
            result: dict[str, Any] = {"score": round(float(row[0]), 6)}
            line = f"{row[0]:.3f}\t{shown}"
        else:
            chances = probabilities(row[None])[0]
            label = task.task.names[int(chances.argmax())]
            named = {n: round(float(p), 6) for n, p in zip(task.task.names, chances, strict=True)}
            result = {"label": label, "probabilities": named}
            line = f"{label}\t{chances.max():.3f}\t{shown}"
        lines.append(json.dumps({"text": text, **result}, ensure_ascii=False)
                     if options.json else line)  # fmt: skip
    output = "\n".join(lines) + "\n"
    if options.output:
        atomic_write(options.output, output)
    else:
        sys.stdout.write(output)


def info_command(options: argparse.Namespace) -> None:
    """Python: `minibert.load_base`, `adapters.store.load_task`, `adapters.tuning`."""
    from adapters.recipes import recipe_named
    from adapters.show import table, trained_table
    from adapters.store import load_task
    from adapters.tuning import init_task, method_named
    from minibert.checkpoint import load_base
    from minibert.tree import count, leaves
    from minibert.weights import locate_model

    path = Path(options.name)
    if path.is_file():
        task = load_task(path)
        rows = [
            ("task", task.task.name),
            ("labels", ", ".join(task.task.names) or "a number"),
            ("metrics", ", ".join(task.task.metrics)),
            ("method", str(task.method)),
            ("activation", task.method.activation),
            ("recipe", task.recipe),
            ("longest text", f"{task.max_length} tokens"),
            ("base", f"{task.base_name}, sha256 {task.base_sha256}"),
            ("parameters", f"{count(task.trained):,} in {len(list(leaves(task.trained)))} tensors"),
            *((f"dev {name}", f"{value:.4f}" if isinstance(value, float) else str(value))
              for name, value in task.results.items()),
        ]  # fmt: skip
        print(table(rows, ("task file", str(path))))
        return
    method = method_named(options.method, options.size)
    base = load_base(locate_model(options.name))
    print(table([(k, str(v)) for k, v in base.config.to_dict().items()], (base.name, "")))
    print(f"\nweights sha256 {base.sha256}")
    print(f"tensors that the encoder has no use for: {', '.join(base.extra) or 'none'}")
    print(f"\nTraining with method {method.name!r}, two classes:")
    print(trained_table(init_task(base, method, recipe_named("paper"), 2, 0), method))


def demo_command(options: argparse.Namespace) -> None:
    """Python: `adapters.demo.demo`."""
    from adapters.demo import demo

    demo(options.out)


COMMANDS = {
    "fetch": fetch_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "predict": predict_command,
    "info": info_command,
    "demo": demo_command,
}
