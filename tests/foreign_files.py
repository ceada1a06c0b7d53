"""What other libraries have saved (goldens/exchange), to be changed by a test."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minibert.tensors import read_safetensors, write_safetensors

GOLDENS = Path(__file__).parent / "goldens"
EXCHANGE = GOLDENS / "exchange"


def copied(name: str, to: Path) -> Path:
    """A copy of one of the goldens, to be changed."""
    return Path(shutil.copytree(EXCHANGE / name, to / name))


def change_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))


def change_tensors(path: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    tensors = dict(read_safetensors(path)[0])
    change(tensors)
    write_safetensors(path, {name: np.array(values) for name, values in tensors.items()})
