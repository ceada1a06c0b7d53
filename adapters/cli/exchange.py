"""`minibert import`, `export` and `push`: tasks from and to other libraries, and to the hub."""

import argparse
import sys


def import_command(options: argparse.Namespace) -> None:
    """Python: `adapters.exchange.import_adapter`."""
    from adapters.cli.inputs import check_output
    from adapters.cli.train import base_option
    from adapters.exchange.importing import Wanted, import_adapter
    from adapters.show import describe_task, use_command
    from minibert.checkpoint import load_base
    from minibert.errors import InputError
    from minibert.fetch.models import locate_model

    check_output(options.out)
    if options.out.is_file() and not options.force:
        raise InputError(f"{options.out}: exists; --force overwrites it")
    base = load_base(locate_model(options.base)) if options.base else None
    wanted = Wanted(
        options.task,
        tuple(options.labels or ()),
        options.pairs,
        options.max_length,
        options.head,
        options.ignore_base_name,
    )

    def doubt(what: str) -> None:
        print(f"minibert: {what}", file=sys.stderr)

    task = import_adapter(options.source, base, wanted, options.out, on_doubt=doubt)
    of_base = base_option(options.base) if options.base else ""
    print(describe_task(task, options.out))
    print(f"use it        {use_command(task.task, options.out, of_base)}")


def export_command(options: argparse.Namespace) -> None:
    """Python: `adapters.exchange.export_adapter`."""
    from adapters.cli.inputs import find_base
    from adapters.exchange.exporting import export_adapter
    from adapters.task_file import load_task

    task = load_task(options.file)
    base = find_base(options, task)
    export_adapter(task, base, options.out, options.format, options.merge_base)
    for path in sorted(options.out.rglob("*.*")):
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


def push_command(options: argparse.Namespace) -> None:
    """Python: `adapters.exchange.push_task`."""
    from adapters.cli.inputs import find_base
    from adapters.exchange.push import push_task
    from adapters.task_file import load_task

    base = find_base(options, load_task(options.file))
    print(
        push_task(
            options.file,
            base,
            options.repository,
            options.licence,
            private=options.private,
            force=options.force,
        )
    )
