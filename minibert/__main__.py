"""The `minibert` command: `minibert` in the shell, or `python -m minibert`.

The command line itself is `adapters.cli`, which uses both packages. This file does only what must
happen before that can be imported.
"""

import importlib.util
import sys
from pathlib import Path


def main() -> int:
    """Run the command line; the exit code."""
    for stream in (sys.stdout, sys.stderr):  # what the terminal cannot show is escaped
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        check_adapters_folder()
        from adapters.cli import run
    except ImportError as error:
        print(f"minibert: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return run(sys.argv[1:])


def check_adapters_folder() -> None:
    """Raise ImportError, with advice, if AdapterHub's library of the same name shadows this
    project's `adapters`. Neither is imported to find out."""
    spec = importlib.util.find_spec("adapters")
    folders = spec.submodule_search_locations or [] if spec else []
    if not any((Path(folder) / "methods" / "bottleneck.py").is_file() for folder in folders):
        where = f" ({spec.origin})" if spec else ""
        raise ImportError(
            f"the package `adapters` found here{where} is not minibert's but another library of "
            "that name (AdapterHub's?); use a virtual environment that has only one of the two"
        )


if __name__ == "__main__":
    sys.exit(main())
