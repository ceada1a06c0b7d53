"""Many tasks over one frozen base: the paper's setting (section 1), as a small class.

Each task costs its own few parameters; the base is in memory once, whatever their number.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import overload

import numpy as np

from adapters.predict import check_finite, encode_for, finite_logits
from adapters.task_file import TaskFile, load_task, on_base
from adapters.task_model import COSINE, TaskModel
from adapters.together import logits_apart, logits_together
from minibert.checkpoint import Base
from minibert.errors import InputError, shown
from minibert.tokenizer import Encoded, Text, check_texts
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

    @overload
    def logits(self, name: str, texts: Iterable[Text]) -> np.ndarray: ...

    @overload
    def logits(
        self, name: list[str] | tuple[str, ...], texts: Iterable[Text]
    ) -> list[np.ndarray]: ...

    def logits(
        self, name: str | Iterable[str], texts: Iterable[Text]
    ) -> np.ndarray | list[np.ndarray]:
        """One task's logits of texts: [B, C]; with a name for each text, B arrays [C], the same
        bits as asking task by task.

        Raises InputError for a name that is not open, for the first text that is none for its task,
        or as `finite_logits` does.
        """
        if isinstance(name, str):
            task = self._task(name)
            return finite_logits(self.models[name], self._encoded(task, texts))
        names = [str(own) for own in check_texts(name, False, "names")]
        texts = check_texts(texts, None)
        if len(names) != len(texts):
            raise InputError(f"{len(names)} names of tasks are given for {len(texts)} texts")
        numbers = defaultdict(list)  # of each task's own texts
        for number, (own, text) in enumerate(zip(names, texts, strict=True)):
            if isinstance(text, tuple) != self._task(own).task.pairs:
                wanted = "one text" if isinstance(text, tuple) else "a pair of texts"
                raise InputError(f"texts[{number}] is {shown(text)}; task {own} reads {wanted}")
            numbers[own].append(number)
        encoded = {
            own: self._encoded(self.tasks[own], [texts[i] for i in rows])
            for own, rows in numbers.items()
        }
        logits: list[np.ndarray] = [np.empty(0)] * len(texts)
        for own, computed in logits_apart(self.models, encoded).items():
            check_finite(self.models[own], encoded[own], computed, numbers[own])
            for number, values in zip(numbers[own], computed, strict=True):
                logits[number] = values
        return logits

    def logits_all(self, texts: Iterable[Text]) -> dict[str, np.ndarray]:
        """Every open task's logits of the same texts: {name: [B, C]}, the same bits as asking one
        by one.

        What tasks read alike is tokenized once, and layers that they leave as they are are computed
        once. Raises InputError for the first text that is none for a task, or as `finite_logits`.
        """
        texts = check_texts(texts, None)
        alike = defaultdict(list)  # names of tasks that read texts as the same tokens
        for name, task in self.tasks.items():
            alike[task.task.pairs, task.max_length, task.pooling == COSINE].append(name)
        found: dict[str, np.ndarray] = {}
        for names in alike.values():
            encoded = self._encoded(self.tasks[names[0]], texts)
            models = {name: self.models[name] for name in names}
            found |= logits_together(models, encoded)
            for name, model in models.items():
                check_finite(model, encoded, found[name])
        return {name: found[name] for name in self.tasks}

    def _task(self, name: str) -> TaskFile:
        if name not in self.tasks:
            raise InputError(f"no task named {shown(name)} is open; open: {', '.join(self.tasks)}")
        return self.tasks[name]

    def _encoded(self, task: TaskFile, texts: Iterable[Text]) -> list[Encoded]:
        checked = check_texts(texts, task.task.pairs)
        return encode_for(self.base, checked, task.max_length, task.pooling)

    def parameters(self) -> int:
        """All parameters in memory: the base once, and every task's own."""
        return count(self.base.params) + sum(count(task.trained) for task in self.tasks.values())
