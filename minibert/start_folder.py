"""The folder that the `minibert` command is started in: no module in it is imported.

`python -m minibert` makes it the first folder where Python looks for modules. Somebody else's files
may be in it: a tabulate.py of a student's would run where a teacher grades that folder. So this
comes before every other import, and needs nothing but what Python itself has loaded by then.
"""

import os
import sys


def is_command() -> bool:
    """Whether this process is the `minibert` command. While Python looks for the module of `-m`,
    argv[0] is "-m"."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        return ("-m", "minibert") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return program.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") == "minibert"


def leave_out(folder: str = os.curdir) -> None:
    """Import nothing from this folder from now on, unless it is the one that minibert itself is in
    (a checkout)."""
    try:
        left_out = os.path.realpath(folder)
        if left_out != os.path.realpath(f"{__file__}/../.."):
            sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != left_out]
    except OSError:  # the current folder has been deleted
        return
