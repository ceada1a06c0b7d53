"""`minibert train`: from the options to a trained task, in steps.

Everything heavy is imported inside: `minibert --help` is quick.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.cli.inputs import load_data
from minibert.errors import InputError, several

if TYPE_CHECKING:
    from adapters.finetune import Trained
    from adapters.methods.method import Method
    from adapters.recipes import Recipe
    from adapters.task_model import TaskModel
    from minibert.checkpoint import Base
    from minibert.data.tasks import Data
    from minibert.tokenizer import Encoded
    from minibert.training.schedule import Settings


def train_command(options: argparse.Namespace) -> None:
    """Python: `adapters.train_task`."""
    from adapters.methods.table import method_named
    from adapters.recipes import recipe_named
    from adapters.task_model import check_length, chosen_pooling, new_task_model
    from minibert.checkpoint import load_base
    from minibert.fetch.models import locate_model
    from minibert.machine.threads import thread_count

    method = method_named(
        options.method,
        options.size,
        options.activation,
        options.variant,
        options.std,
        targets=options.lora_targets,
        alpha=options.lora_alpha,
        freeze_layernorm=options.freeze_layernorm,
    )
    recipe = recipe_named(options.recipe)
    data = load_data(options)
    options.threads = thread_count(options.threads)
    data = chosen_examples(options, data)
    base = load_base(locate_model(options.base))
    settings = chosen_settings(options, method, data, base)
    check_length(base, options.max_length)
    method = chosen_layers(options, method, base)
    out = options.out or Path("runs") / f"{data.task.name}-{method.name}"
    outputs, pooling = data.task.outputs, chosen_pooling(base, options.pooling, data.task)
    model = new_task_model(base, method, recipe, outputs, options.seed, pooling)
    if options.cache:
        check_cache([model], "--fast, --top-layers, --layers")
    announce(options, data, model, recipe, settings)
    if options.resume and not (out / "checkpoint.safetensors").exists():
        print(f"{out}: has no checkpoint yet; starting from the beginning", file=sys.stderr)
    trained = run(options, data, model, settings, out)
    report(options, data, base, trained, out)


def check_cache(models: "Sequence[TaskModel]", fewer: str) -> None:
    """Refuse `--cache` where none of the models has a frozen layer, whose states could be kept.
    fewer: the command's options that train fewer layers."""
    from adapters.cached_layers import frozen_layers

    if not any(frozen_layers(model) for model in models):
        raise InputError(
            "--cache: no layer below what is trained stays as it is, so there is nothing to keep; "
            f"train fewer layers ({fewer}) or --method head"
        )


def chosen_settings(
    options: argparse.Namespace, method: "Method", data: "Data", base: "Base"
) -> "Settings":
    """Rate and epochs as asked for, else those that suit the base, the method and the task."""
    from adapters.fast import fast_stop
    from adapters.recipes import default_rate_epochs, enough_epochs
    from minibert.training.schedule import Settings

    name = data.task.name if data.task.folder else ""
    rate, epochs = default_rate_epochs(method.name, name, base.sha256)
    epochs = enough_epochs(epochs, len(data.train), options.batch_size)
    epochs = epochs if options.epochs is None else options.epochs
    return Settings(
        rate=rate if options.lr is None else options.lr,
        epochs=epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        stop_after=fast_stop(options.stop_after, epochs) if options.fast else options.stop_after,
    )


def chosen_examples(options: argparse.Namespace, data: "Data") -> "Data":
    """All training examples, or as many as asked for."""
    from adapters.train_data import subset

    if options.train_examples is None:
        return data
    return subset(data, options.train_examples, options.seed)


def chosen_layers(options: argparse.Namespace, method: "Method", base: "Base") -> "Method":
    """The method in all layers, or in those asked for."""
    from adapters.fast import fast_method
    from adapters.methods.table import layer_span, top_layers

    if options.top_layers is not None and options.layers is not None:
        raise InputError("give either --top-layers or --layers")
    if options.top_layers is not None:
        return top_layers(method, options.top_layers, base.config)
    if options.layers is not None:
        first, last = options.layers
        return layer_span(method, first, last, base.config)
    return fast_method(method, base.config) if options.fast else method


def data_and_base(data: "Data", base: "Base") -> list[tuple[str, str]]:
    """What is trained on and from, as lines of facts."""
    examples = f"{len(data.train):,} training and {len(data.dev):,} dev examples"
    return [
        ("data", f"{data.source}: {examples}"),
        *(("", note) for note in data.notes),
        ("base", f"{base.folder} (weights sha256 {base.sha256[:12]}...)"),
    ]


def tell_cut(max_length: int) -> "Callable[[Sequence[Encoded]], None]":
    """The `on_encoded` of a training that prints how many texts were cut."""
    from adapters.cut_texts import CutTexts

    cut = CutTexts(max_length)

    def on_encoded(encoded: "Sequence[Encoded]") -> None:
        cut(encoded)
        print(f"{cut}\n", flush=True)

    return on_encoded


def announce(
    options: argparse.Namespace,
    data: "Data",
    model: "TaskModel",
    recipe: "Recipe",
    settings: "Settings",
) -> None:
    """Print what is about to be trained, on what and how."""
    from adapters.show import class_table, facts, trained_table
    from adapters.task_model import POOLINGS

    base, method = model.base, model.method
    rows = [
        *data_and_base(data, base),
        ("method", f"{method}; recipe {recipe.name}"),
        (
            "training",
            f"{several(settings.epochs, 'epoch')} in batches of {settings.batch_size}, peak "
            f"learning rate {settings.rate:g}, seed {settings.seed}, texts up to "
            f"{options.max_length} tokens",
        ),
    ]
    if options.fast:
        top = base.config.num_hidden_layers - 1
        last = top if method.last_layer is None else method.last_layer
        rows.append(
            (
                "fast",
                f"layers {method.first_layer} to {last}, and an end after "
                f"{several(settings.stop_after or 0, 'epoch')} without gain (what that "
                "costs: the documentation's page on performance)",
            )
        )
    rows.append(("pooling", f"{model.pooling}: {POOLINGS[model.pooling]}"))
    print(f"{facts(rows)}\n\n{trained_table(model)}\n", flush=True)
    if not data.task.regression:
        print(f"{class_table(data)}\n", flush=True)


def run(
    options: argparse.Namespace,
    data: "Data",
    model: "TaskModel",
    settings: "Settings",
    out: Path,
) -> "Trained":
    """The training itself, under a progress bar."""
    from adapters.finetune import train_task
    from adapters.progress import Progress, count_bar

    progress = Progress(data.task.name, data.task)
    tell = tell_cut(options.max_length)

    def on_encoded(encoded: "Sequence[Encoded]") -> None:
        tell(encoded)
        if not options.cache:
            tell_states(model, encoded)

    try:
        return train_task(
            model.base,
            data,
            model.method,
            settings,
            recipe=options.recipe,
            max_length=options.max_length,
            class_weights=options.class_weights,
            pooling=options.pooling,
            out=out,
            resume=options.resume,
            threads=options.threads,
            cache=options.cache or True,
            on_report=progress,
            on_cache=count_bar("frozen layers"),
            on_encoded=on_encoded,
        )
    finally:
        progress.close()


def tell_states(model: "TaskModel", encoded: "Sequence[Encoded]") -> None:
    """Print it where the frozen layers' states are more than are kept in memory."""
    from adapters.cached_layers import LIMIT, frozen_layers, states_bytes

    frozen = frozen_layers(model)
    needed = states_bytes(model, encoded, frozen) if frozen else 0
    if needed > LIMIT:
        print(
            f"The frozen layers' states would take {needed / 2**30:,.2f} GB; more than "
            f"{LIMIT / 2**30:g} GB are not kept in memory, but computed anew in every epoch. "
            "--cache DIR keeps them in files.\n",
            flush=True,
        )


def report(
    options: argparse.Namespace, data: "Data", base: "Base", trained: "Trained", out: Path
) -> None:
    """Draw the learning curve, write the report page, and print how it went and how to use it."""
    from adapters.cli.reports import about_training, write_page
    from adapters.learning_curve import learning_curve
    from adapters.predict import evaluate_task
    from adapters.show import describe_result, metrics_text, use_command
    from minibert.data.glue import glue_examples
    from minibert.fetch.home import expanded

    picture, method = out / "curve.png", trained.task.method
    curves = {method.name: (trained.losses, trained.epochs)}
    title = f"{data.task.name}: {method} on {base.name.partition('@')[0]}"
    learning_curve(picture, curves, title, trained.constant)
    page, task_file = out / "report.html", trained.path or Path()
    command = use_command(data.task, task_file, base_option(options.base))
    about = about_training(trained, data, base_option(str(expanded(options.base).resolve())))
    write_page(page, trained.task, base, data.dev, about, options.threads)
    print(describe_result(trained, picture, page, command))
    for split in data.task.files.keys() - {"train", "dev"} if options.task else ():
        examples = glue_examples(data.task, split, options.sample)  # MNLI's mismatched genres
        metrics = evaluate_task(trained.task, base, examples, options.threads)
        print(f"{split}: {metrics_text(metrics, data.task)}")


def base_option(base: str) -> str:
    """What to add to a command line for it to find the same base: nothing for a known name."""
    from minibert.fetch.home import expanded

    return f"--base {shlex.quote(base)} " if (expanded(base) / "config.json").is_file() else ""
