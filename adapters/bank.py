"""Many tasks over one frozen base: the paper's setting (section 1), as a small class.

Each task costs its own few parameters; the base is in memory once, whatever their number.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.predict import encode_for, finite_logits
from adapters.task_file import TaskFile, load_task, on_base
from adapters.task_model import TaskModel
from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.tokenizer import Text, check_texts
from minibert.tree import count


class Bank:
    """Task files opened over one base; no base weight is ever copied.

    >>> bank = Bank(load_base(locate_model("minilm")))           # doctest: +SKIP
    >>> bank.open("runs/rte/task.safetensors")                   # doctest: +SKIP
    >>> bank.logits("rte", [("It rains.", "The sun shines.")])   # doctest: +SKIP
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self.tasks: dict[str, TaskFile] = {}
        self.models: dict[str, TaskModel] = {}

    def open(self, path: Path | str, name: str | None = None) -> TaskFile:
        """Add a task file under its own name or another. Raises InputError when it is of another
        base or the name is taken."""
        task = load_task(path)
        name = name or task.task.name
        if name in self.tasks:
            raise InputError(f"{path}: a task named {name!r} is already open")
        self.models[name] = on_base(task, self.base, path)
        self.tasks[name] = task
        return task

    def logits(self, name: str, texts: Sequence[Text]) -> np.ndarray:
        """One task's logits of texts: [B, C]. Raises InputError for a name that is not open, or for
        the first text that is none for this task."""
        if name not in self.tasks:
            raise InputError(f"no task named {name!r} is open; open: {', '.join(self.tasks)}")
        task = self.tasks[name]
        texts = check_texts(texts, task.task.pairs)
        encoded = encode_for(self.base, texts, task.max_length, task.pooling)
        return finite_logits(self.models[name], encoded)

    def parameters(self) -> int:
        """All parameters in memory: the base once, and every task's own."""
        return count(self.base.params) + sum(count(task.trained) for task in self.tasks.values())
