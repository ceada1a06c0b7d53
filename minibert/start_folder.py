"""The folder that the `minibert` command is started in: no module in it is imported.

`python -m minibert` makes it the first folder where Python looks for modules. Somebody else's files
may be in it: a tabulate.py of a student's would run where a teacher grades that folder. So this
comes before every other import, and needs nothing but what Python itself has loaded by then.
"""

import os
import sys


def is_command() -> bool:
    """Whether this process was started as the `minibert` command.

    As Python was started (`orig_argv`): argv changes while `-m` is looked for, and the processes of
    a pool are given that of their parent.
    """
    words = iter(sys.orig_argv[1:])
    for word in words:
        if not word.startswith("-"):  # a script
            return word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") == "minibert"
        if word in ("-W", "-X"):
            next(words, "")  # their value
        elif not word.startswith("--"):  # short options, which can stand together: -Bum minibert
            options, m, module = word.partition("m")
            if "c" not in options and m:
                return (module or next(words, "")) == "minibert"
            if "c" in options:
                return False
    return False


def leave_out(folder: str = os.curdir) -> None:
    """Import nothing from this folder from now on, unless it is the one that minibert itself is in
    (a checkout)."""
    try:
        left_out = os.path.realpath(folder)
        if left_out != os.path.realpath(f"{__file__}/../.."):
            sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != left_out]
    except OSError:  # the current folder has been deleted
        return
