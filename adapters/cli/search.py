"""`minibert search`: many configurations of one task, by successive halving.

Everything heavy is imported inside: `minibert --help` is quick.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.cli.inputs import load_data
from adapters.cli.train import (
    base_option,
    check_cache,
    chosen_examples,
    chosen_settings,
    data_and_base,
    tell_cut,
)
from minibert.errors import several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.search.configurations import Configuration
    from adapters.search.halving import Found
    from adapters.search.record import Tried
    from minibert.checkpoint import Base
    from minibert.data.tasks import Data


def search_command(options: argparse.Namespace) -> None:
    """Python: `adapters.search_task`."""
    from adapters.methods.table import method_named
    from adapters.recipes import recipe_named
    from adapters.search.configurations import grid
    from adapters.search.record import FILE
    from adapters.search.report import optimism, search_picture, search_table
    from adapters.show import facts, use_command
    from adapters.task_model import check_length, chosen_pooling, new_task_model
    from minibert.checkpoint import load_base
    from minibert.fetch.models import locate_model
    from minibert.machine.threads import thread_count

    method = method_named(options.method)
    recipe = recipe_named(options.recipe)
    data = chosen_examples(options, load_data(options))
    options.threads = thread_count(options.threads)
    base = load_base(locate_model(options.base))
    check_length(base, options.max_length)
    outputs, pooling = data.task.outputs, chosen_pooling(base, options.pooling, data.task)
    settings = chosen_settings(options, method, data, base)
    ways = grid(method, base.config, settings, options.rates, options.sizes, options.top_layers)
    if options.cache:
        head = outputs, settings.seed, pooling
        models = [new_task_model(base, way.method, recipe, *head) for way in ways]
        check_cache(models, "--top-layers")
    out = options.out or Path("runs") / f"{data.task.name}-{method.name}-search"
    announce(options, data, base, ways)
    if options.resume and not (out / FILE).exists():
        print(f"{out}: has no search yet; starting from the beginning", file=sys.stderr)
    found = run(options, data, base, ways, out)
    layers, picture = base.config.num_hidden_layers, out / "search.png"
    title = f"{data.task.name}: {several(len(ways), 'configuration')} on {base.name}"
    search_picture(picture, found, title, layers)
    print(f"\n{search_table(found, layers)}\n")
    command = use_command(data.task, found.path, base_option(options.base))
    print(facts([("task file", found.path), ("picture", picture), ("use it", command)]))
    print(f"\n{optimism(found, len(data.dev))}")


def announce(
    options: argparse.Namespace, data: "Data", base: "Base", ways: "Sequence[Configuration]"
) -> None:
    """Print what is about to be tried, on what and how."""
    from adapters.search.configurations import rungs
    from adapters.search.report import described
    from adapters.show import class_table, facts

    settings, names = ways[0].settings, described(ways, base.config.num_hidden_layers)
    ladder = rungs(len(ways), settings.epochs)
    steps = [f"{count:,} up to epoch {ways[0].until(divisor)}" for count, divisor in ladder]
    rows = [
        *data_and_base(data, base),
        ("method", f"{options.method}; recipe {options.recipe}"),
        *((f"  {what}", " ".join(dict.fromkeys(one[what] for one in names))) for what in names[0]),
        ("search", f"{several(len(ways), 'configuration')}: {', '.join(steps)}"),
        (
            "training",
            f"batches of {settings.batch_size}, seed {settings.seed}, texts up to "
            f"{options.max_length} tokens",
        ),
    ]
    print(f"{facts(rows)}\n", flush=True)
    if not data.task.regression:
        print(f"{class_table(data)}\n", flush=True)


def run(
    options: argparse.Namespace,
    data: "Data",
    base: "Base",
    ways: "Sequence[Configuration]",
    out: Path,
) -> "Found":
    """The search itself, under a progress bar."""
    from adapters.progress import StepBar, count_bar
    from adapters.search.halving import search_task
    from adapters.search.report import described, tried_line

    bar = StepBar(data.task.name)
    names = described(ways, base.config.num_hidden_layers)

    def on_tried(way: "Configuration", tried: "Tried") -> None:
        bar.write(tried_line(names[ways.index(way)], way, tried, data.task))

    try:
        return search_task(
            base,
            data,
            ways,
            out,
            recipe=options.recipe,
            max_length=options.max_length,
            class_weights=options.class_weights,
            pooling=options.pooling,
            resume=options.resume,
            threads=options.threads,
            cache=options.cache or True,
            on_step=bar,
            on_tried=on_tried,
            on_cache=count_bar("frozen layers"),
            on_encoded=tell_cut(options.max_length),
        )
    finally:
        bar.close()
