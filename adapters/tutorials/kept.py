"""Results of a longer run that a tutorial reads, and computes anew on demand."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minibert.files import atomic_write
from minibert.json_files import read_json

AGAIN = "--again"


def kept(path: Path | str, compute: Callable[[], Any]) -> Any:
    """What `compute` has returned before, from a JSON file. Where the file is missing, or the
    script is run with `--again`, it is computed now and kept there.

    Raises InputError for a damaged file, or one that cannot be written.
    """
    path = Path(path)
    if AGAIN not in sys.argv and path.exists():
        return read_json(path)
    found = compute()
    atomic_write(path, json.dumps(found, indent=1) + "\n")
    return json.loads(json.dumps(found))  # keys are strings, as they will be when it is read
