"""The `minibert` command line: from the words typed to an exit code. `options` has the options,
`commands` what they do.

Errors that a user can fix are one line on standard error and exit code 2.
"""

import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from adapters.cli.commands import COMMANDS, only_prints
from adapters.cli.options import make_parser
from adapters.output import Output
from minibert.errors import InputError, Interrupted, bounded


def run(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name. Returns the exit code: 0 when all went
    well, 1 for exercises that do not pass yet, 2 for an error of the input, 130 after Ctrl-C."""
    out, err = Output(sys.stdout, goes_on=False), Output(sys.stderr, bars=True)
    with redirect_stdout(out), redirect_stderr(err):
        return _run(arguments, out)


def _run(arguments: Sequence[str], out: Output) -> int:
    try:
        options = make_parser(COMMANDS).parse_args(arguments)
        out.goes_on = not only_prints(options)
        if getattr(options, "threads", None) is not None:
            from minibert.machine.threads import thread_count

            thread_count(options.threads)  # a bad number is refused before anything is read
        code = options.command(options)
        sys.stdout.flush()
        return code or 0
    except SystemExit as done:  # after --help, --version or a wrong option
        out.goes_on = True
        return _flushed(out, int(done.code or 0))
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
    except BrokenPipeError:  # the reader of our output has gone (`| head`), and had enough
        return 0
    except OSError as error:
        out.drop()
        return _fail(f"{error.filename or 'standard output'}: {error.strerror or error}")


def _flushed(out: Output, code: int) -> int:
    """The exit code, or 2 where what was printed cannot be written, as on a full disk."""
    try:
        sys.stdout.flush()
    except OSError as error:
        out.drop()
        return _fail(f"standard output: {error.strerror or error}")
    return code


def _fail(message: str) -> int:
    print(f"minibert: error: {bounded(' '.join(message.splitlines()))}", file=sys.stderr)
    return 2
