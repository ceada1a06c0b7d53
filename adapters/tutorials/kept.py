"""Results of a longer run that a tutorial reads, with what they were made with; computed anew on
demand."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from adapters.methods.method import Method
from adapters.run_folder import data_hash
from adapters.task_file import described
from minibert.checkpoint import Base
from minibert.data.tasks import Data
from minibert.errors import InputError
from minibert.files import atomic_write
from minibert.json_files import read_json

AGAIN = "--again"


def kept(path: Path | str, made_with: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
    """What `compute` has returned before, from a JSON file. Where the file is missing, or the
    script is run with `--again`, it is computed now and kept there.

    made_with: all that the results depend on, by name: settings, methods, data, a base. Raises
    InputError for results that were made with anything else, for a damaged file, or one that cannot
    be written.
    """
    path, now = Path(path), _as_json(made_with)
    if AGAIN in sys.argv or not path.exists():
        results = {"made with": now, "results": compute()}
        atomic_write(path, json.dumps(results, indent=1) + "\n")
        return _as_json(results["results"])  # keys are strings, as they will be when it is read
    found = read_json(path)
    if not isinstance(found, dict) or found.keys() != {"made with", "results"}:
        raise InputError(f"{path}: does not say what its results were made with; {_mend(path)}")
    then = found["made with"]
    if then != now:
        then = then if isinstance(then, dict) else {}
        names = [name for name in {**now, **then} if then.get(name, ...) != now.get(name, ...)]
        raise InputError(f"{path}: was made with other {' and '.join(names)}; {_mend(path)}")
    return found["results"]


def _mend(path: Path) -> str:
    return f"make it anew: python {path.stem}.py {AGAIN}"


def _as_json(value: Any) -> Any:
    """A value as it is once it has been written and read. Data and a base are their hashes."""

    def plain(part: Any) -> Any:
        if isinstance(part, Base):
            return part.sha256
        if isinstance(part, Data):
            return data_hash(part.train, part.dev)
        if isinstance(part, Method):
            return described(part)
        if is_dataclass(part) and not isinstance(part, type):
            return asdict(part)
        raise TypeError(f"{type(part).__name__} cannot be written as JSON")

    return json.loads(json.dumps(value, default=plain))
