"""The `minibert` command: `minibert` in the shell, or `python -m minibert`.

The command line itself is `adapters.cli`, which uses both packages. This file does only what must
happen before that can be imported.
"""

import sys

from minibert.adapters_folder import check_mixed, check_ours
from minibert.process import ctrl_c, open_closed_streams, say
from minibert.start_folder import leave_out

STOPPED = 130  # what the command line returns after KeyboardInterrupt, whichever signal raised it


def main() -> int:
    """Run the command line; the exit code."""
    leave_out()
    ctrl_c.watch()
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # what the terminal cannot show is escaped
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        check_mixed()
        check_ours()
        from adapters.cli import run
    except ImportError as error:
        say(f"minibert: error: {error}")
        return 2
    try:
        ctrl_c.begin()
        code = run(sys.argv[1:])
        return ctrl_c.code if ctrl_c.came and code == STOPPED else code
    except BaseException:
        if not ctrl_c.came:
            raise
        say("\nminibert: stopped")  # whatever a library has made of Ctrl-C
        return ctrl_c.code
    finally:
        ctrl_c.end()


if __name__ == "__main__":
    sys.exit(main())
