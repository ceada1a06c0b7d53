"""The model card of a task on the hub: what it is, what it is for, how it was measured, how to use
it. Everything is from the task file, but the licence, which only its author can choose."""

import re
from typing import Any

from adapters.exchange.bases import name_on_hub
from adapters.show import metrics_text, table
from adapters.task_file import TaskFile
from adapters.task_model import POOLINGS
from minibert.checkpoint import Base
from minibert.errors import InputError, brief, visible
from minibert.fetch.manifest import find_model, known_models
from minibert.tree import count

MARKUP = re.compile(r"[\\`*_~<>\[\]#|&$]")  # what Markdown, or HTML in it, may take for its own
MOST_LABELS = 30  # that are named


def check_licence(licence: str) -> None:
    """Raises InputError for what is no licence's short name."""
    plain = licence.replace("-", "").replace(".", "").replace("+", "")
    if not (plain.isalnum() and plain.isascii() and len(licence) < 50):
        raise InputError(
            f"{licence!r} is no short name of a licence, as apache-2.0, mit, cc-by-4.0 or other"
        )


def model_card(task: TaskFile, base: Base, repository: str, licence: str, file: str) -> str:
    """The card's Markdown, which begins with the fields that the hub reads."""
    on_hub = name_on_hub(base)
    name = repository.partition("/")[2]
    needs = (
        f"of {on_hub}, which it needs"
        if on_hub
        else "of a base that is not on the hub: whoever uses the task needs that, too, in a folder"
    )
    return f"""---
{_head(task, on_hub, licence)}
---

# {name}

The task {_plain(brief(task.task.name))}, learned by minibert. This repository holds the trained
parameters alone, without the rest {needs}.

{table(_rows(task, base, on_hub), ("", ""), "github")}

## Use

```
pip install "minibert-adapters[cli]"
{_use(task, on_hub, repository, file)}
```
"""


def _revision(base: Base, on_hub: str) -> str:
    """The commit of a base on the hub, "" where it is not known."""
    known = next((m.revision for m in known_models().values() if m.repository == on_hub), "")
    return known or base.name.partition("@")[2]


def _head(task: TaskFile, on_hub: str, licence: str) -> str:
    """The fields that the hub reads, in YAML."""
    from huggingface_hub import ModelCardData

    fields: dict[str, Any] = {
        "license": licence,
        "library_name": "minibert-adapters",
        "pipeline_tag": "text-classification",
        "tags": ["minibert", task.method.name, _one_line(brief(task.task.name))],
    }
    if on_hub:
        fields |= {"base_model": on_hub, "base_model_relation": "adapter"}
    return ModelCardData(**fields).to_yaml()


def _rows(task: TaskFile, base: Base, on_hub: str) -> list[tuple[str, str]]:
    """What there is to know of a task, as (name, Markdown)."""
    about, revision = task.task, _revision(base, on_hub)
    labels = ", ".join(map(brief, about.names[:MOST_LABELS]))
    more = len(about.names) - MOST_LABELS
    results = {name: value for name, value in task.results.items() if name != "epoch"}
    where = f" at {revision}" if revision else ""
    rows = [
        ("task", brief(about.name)),
        ("takes", "pairs of texts" if about.pairs else "single texts"),
        ("answers", "a number" if about.regression else labels + f" and {more} more" * (more > 0)),
        ("base", f"{on_hub}{where}" if on_hub else f"{task.base_name}, which is not on the hub"),
        ("base's weights, sha256", task.base_sha256),
        ("method", f"{task.method}; recipe {task.recipe}"),
        ("parameters of its own", f"{count(task.trained):,}"),
        ("the head reads", POOLINGS[task.pooling]),
        ("longest text", f"{task.max_length} tokens"),
        ("on its development set", metrics_text(results, about) or "not measured"),
    ]
    return [(name, _plain(value)) for name, value in rows]


def _use(task: TaskFile, on_hub: str, repository: str, file: str) -> str:
    """The commands that fetch the base, get the task, and use it. The base is named where the task
    file does not name it so that it would be found."""
    texts = '--pair "FIRST TEXT" "SECOND TEXT"' if task.task.pairs else '"A TEXT"'
    base = "" if _finds(task, on_hub) else f" --base {on_hub or 'FOLDER'}"
    lines = [f"minibert import {repository} --out {file}{base}"]
    lines.append(f"minibert predict {file} {texts}{base}")
    if on_hub:
        lines.insert(0, f"minibert fetch {on_hub if base else task.base_model}")
    return "\n".join(lines)


def _finds(task: TaskFile, on_hub: str) -> bool:
    """Whether the name that a task file gives to its base is that of the base on the hub."""
    try:
        return find_model(task.base_model).repository == on_hub
    except InputError:
        return False


def _one_line(text: str) -> str:
    """Text from outside without control characters, and without what UTF-8 cannot hold."""
    return visible(" ".join(text.split())).encode("utf-8", "backslashreplace").decode()


def _plain(text: str) -> str:
    """Text from outside as Markdown that shows just that."""
    return MARKUP.sub(r"\\\g<0>", _one_line(text))
