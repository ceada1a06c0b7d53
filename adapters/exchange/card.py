"""The model card of a task on the hub: what it is, what it is for, how it was measured, how to use
it. Everything is from the task file, but the licence, which only its author can choose."""

import json
from pathlib import Path

from adapters.exchange.bases import public_name
from adapters.show import metrics_text, table
from adapters.task_file import TaskFile
from adapters.task_model import POOLINGS
from minibert.checkpoint import Base
from minibert.errors import InputError, visible
from minibert.fetch.manifest import known_models
from minibert.tree import count


def check_licence(licence: str) -> None:
    """Raises InputError for what is no licence's short name."""
    plain = licence.replace("-", "").replace(".", "").replace("+", "")
    if not (plain.isalnum() and plain.isascii() and len(licence) < 50):
        raise InputError(
            f"{licence!r} is no short name of a licence, as apache-2.0, mit, cc-by-4.0 or other"
        )


def model_card(task: TaskFile, base: Base, repository: str, licence: str, file: str) -> str:
    """The card's Markdown, which begins with the fields that the hub reads."""
    of_base = public_name(base)
    on_hub = not Path(of_base).is_absolute()
    fields = {
        "license": licence,
        "library_name": "minibert-adapters",
        "pipeline_tag": "text-classification",
        "tags": ["minibert", task.method.name, task.task.name],
        **({"base_model": of_base, "base_model_relation": "adapter"} if on_hub else {}),
    }
    head = "\n".join(f"{name}: {json.dumps(value)}" for name, value in fields.items())
    revision = next((m.revision for m in known_models().values() if m.repository == of_base), "")
    results = {name: value for name, value in task.results.items() if name != "epoch"}
    kind = "a number" if task.task.regression else ", ".join(task.task.names)
    rows = [
        ("task", task.task.name),
        ("takes", "pairs of texts" if task.task.pairs else "single texts"),
        ("answers", kind),
        ("base", f"{of_base if on_hub else task.base_name}{f' at {revision}' if revision else ''}"),
        ("base's weights, sha256", task.base_sha256),
        ("method", f"{task.method}; recipe {task.recipe}"),
        ("parameters of its own", f"{count(task.trained):,}"),
        ("the head reads", POOLINGS[task.pooling]),
        ("longest text", f"{task.max_length} tokens"),
        ("on its development set", metrics_text(results, task.task) or "not measured"),
    ]
    texts = '--pair "FIRST TEXT" "SECOND TEXT"' if task.task.pairs else '"A TEXT"'
    return f"""---
{head}
---

# {repository.partition("/")[2]}

{visible(task.task.name)}, learned on a frozen BERT by minibert: this repository holds the trained
parameters alone, and needs its base.

{table([(name, value.replace("|", " ")) for name, value in rows], ("", ""), "github")}

## Use

```
pip install "minibert-adapters[cli]"
minibert import {repository} --out {file}
minibert predict {file} {texts}
```
"""
