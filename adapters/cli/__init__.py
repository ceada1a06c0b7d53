"""The `minibert` command line: from the words typed to an exit code. `options` has the options,
`commands` what they do.

Errors that a user can fix are one line on standard error and exit code 2.
"""

import os
import sys
from collections.abc import Sequence

from adapters.cli.commands import COMMANDS
from adapters.cli.options import make_parser
from minibert.errors import InputError


def run(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name. Returns the exit code: 0 when all went
    well, 1 for exercises that do not pass yet, 2 for an error of the input, 130 after Ctrl-C."""
    from minibert.machine.threads import thread_count
    from minibert.training.loop import Interrupted

    try:
        options = make_parser(COMMANDS).parse_args(arguments)
    except SystemExit as done:  # after --help, --version or a wrong option
        return int(done.code or 0)
    try:
        if getattr(options, "threads", None) is not None:
            thread_count(options.threads)  # a bad number is refused before anything is read
        code = options.command(options)
        sys.stdout.flush()
        return code or 0
    except InputError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        return _fail(f"{error}; the command line needs: pip install 'minibert-adapters[cli]'")
    except Interrupted as stop:
        print(f"\nminibert: {stop}; continue with the same command and --resume", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("\nminibert: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone (`| head`)
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _fail(f"{error.filename or 'standard output'}: {error.strerror or error}")


def _fail(message: str) -> int:
    print(f"minibert: error: {' '.join(message.splitlines())}", file=sys.stderr)
    return 2


def _drop_output() -> None:
    """Discard buffered output, so that flushing at exit cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
