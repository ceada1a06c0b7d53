"""What people read: tables, facts, predictions."""

import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.methods.method import Method, parameter_table
from adapters.methods.table import TABLE, adapter_parameters, method_rows
from adapters.predict import likeliest
from adapters.task_file import TaskFile
from adapters.task_model import POOLER, POOLINGS, TaskModel, base_tree, chosen_pooling
from minibert.checkpoint import Base
from minibert.data.labels import warnings
from minibert.data.tasks import Data, Task
from minibert.errors import visible
from minibert.tokenizer import Text
from minibert.tree import count, leaves

if TYPE_CHECKING:
    from adapters.finetune import Trained


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str], style: str = "simple") -> str:
    """Rows as text, numbers right-aligned; style "github" gives Markdown."""
    from tabulate import tabulate

    return tabulate(
        [[visible(str(cell)) for cell in row] for row in rows],
        headers,
        tablefmt=style,
        disable_numparse=True,
        colalign=["left"] + ["right"] * (len(headers) - 1),
    )


def facts(rows: Sequence[tuple[str, Any]]) -> str:
    """One `name  value` per line, values aligned."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {visible(str(value))}" for name, value in rows)


def trained_table(model: TaskModel) -> str:
    """What is trained and what is frozen, group by group; shares are of all parameters."""
    rows = parameter_table(model.tree, model.method)
    trained_total, frozen_total = sum(row[1] for row in rows), sum(row[2] for row in rows)
    body = []
    for group, trained, frozen in [*rows, ("all", trained_total, frozen_total)]:
        share = f"{100 * trained / (trained_total + frozen_total):.3f} %"
        if group == "task head" and model.pooling != POOLER:
            group = f"task head, on {POOLINGS[model.pooling]}"
        body.append(
            (
                group,
                f"{trained:,}" if trained else "-",
                f"{frozen:,}" if frozen else "-",
                share if trained else "-",
            )
        )
    return table(body, ("parameters", "trained", "frozen", "trained share"))


def methods_table(base: Base, chosen: Method | None = None) -> str:
    """Every kind of tuning method on a base: what it trains, and what share of all parameters that
    is. `chosen` takes the place of the table's method of its name. As in `trained_table`, the
    pooler counts only where the head reads it: by default, on this base."""
    config, rows, pooling = base.config, [], chosen_pooling(base, None)
    for method, what, trained in method_rows(config, chosen, pooling == POOLER):
        head = 2 * config.hidden_size + 2
        total = count(base_tree(base, pooling)) + adapter_parameters(config, method) + head
        rows.append((str(method), what, f"{trained:,}", f"{100 * trained / total:.3f} %"))
    return table(rows, ("method", "trains, besides the head", "trained parameters", "share"))


def counted(model: TaskModel) -> str:
    """What a model's head reads, and whether the pooler's parameters are counted with it."""
    pooler = "counts" if model.pooling == POOLER else "does not count"
    return f"on {POOLINGS[model.pooling]} (so the pooler {pooler})"


def metrics_text(metrics: Mapping[str, float], task: Task | None = None) -> str:
    """`accuracy 81.4, f1 of paraphrase 86.1`: metrics in hundredths, as GLUE prints them. The F1 of
    a task's two classes says of which it is."""
    return ", ".join(f"{metric_name(n, task)} {100 * v:.1f}" for n, v in metrics.items())


def metric_name(metric: str, task: Task | None) -> str:
    """A metric as people read it."""
    if metric == "f1" and task is not None and len(task.names) == 2:
        return f"f1 of {visible(task.names[1])}"
    return metric.replace("_", " ")


def class_table(data: Data, most: int = 30) -> str:
    """How many training and development examples each class has, and what to be wary of."""
    train, dev = (Counter(e.label for e in part) for part in (data.train, data.dev))
    names = data.task.names
    rows = [(name, f"{train[i]:,}", f"{dev[i]:,}") for i, name in enumerate(names)]
    lines = [table(rows[:most], ("class", "train", "dev"))]
    if len(rows) > most:
        lines.append(f"... and {len(rows) - most} more classes")
    warned = warnings(names, [e.label for e in data.train], [e.label for e in data.dev])
    return "\n".join([*lines, *(f"warning: {visible(text)}" for text in warned)])


def prediction_lines(
    task: Task, texts: Sequence[Text], logits: np.ndarray, as_json: bool = False
) -> Iterator[str]:
    """One line per text: label, its probability and the text, with tabs between (for regression
    score and text); or a JSON object with the probabilities of all labels."""
    for text, row in zip(texts, logits, strict=True):
        if task.regression:
            score = float(str(row[0]))  # the shortest that is this float32
            result: dict[str, Any] = {"score": score}
            cells = [f"{score:.6g}"]
        else:
            label, chances = likeliest(task, row)
            named = {name: round(chance, 6) for name, chance in chances.items()}
            result = {"label": label, "probabilities": named}
            cells = [visible(label), f"{chances[label]:.3f}"]
        if as_json:
            yield json.dumps({"text": text, **result})  # ASCII, so valid whatever reads it
        else:
            shown = (text,) if isinstance(text, str) else text
            # a text's own tabs and line breaks would look like new cells and lines
            yield "\t".join([*cells, *(visible(" ".join(part.split())) for part in shown)])


def describe_base(base: Base) -> str:
    """A model's configuration and weights."""
    return facts(
        [
            ("model", base.folder),
            *base.config.to_dict().items(),
            ("parameters", f"{count(base.params):,}"),
            *_of_pooler(base),
            ("weights sha256", base.sha256),
            ("unused tensors", ", ".join(base.extra) or "none"),
        ]
    )


def _of_pooler(base: Base) -> list[tuple[str, str]]:
    pooler = base.params.get("pooler")
    return [("of which the pooler's", f"{count(pooler):,}")] if pooler else []


def describe_task(task: TaskFile, path: Path) -> str:
    """What a task file holds, and what it needs."""
    results = {name: value for name, value in task.results.items() if name != "epoch"}
    of_epoch = f" (epoch {task.results.get('epoch', '?')})"
    entry = TABLE.get(task.method.name)
    has_activation = entry and "activation" in entry.choices
    activation = f", activation {task.method.activation}" if has_activation else ""
    return facts(
        [
            ("task file", path),
            ("task", task.task.name),
            ("takes", "pairs of texts" if task.task.pairs else "single texts"),
            ("longest text", f"{task.max_length} tokens"),
            (
                "gives",
                "a number" if task.task.regression else f"a label: {', '.join(task.task.names)}",
            ),
            ("base", f"{task.base_name}, weights sha256 {task.base_sha256}"),
            ("head reads", POOLINGS[task.pooling]),
            ("method", f"{task.method}{activation}; recipe {task.recipe}"),
            ("parameters", f"{count(task.trained):,} in {len(list(leaves(task.trained)))} tensors"),
            (
                "dev results",
                metrics_text(results, task.task) + of_epoch if results else "not measured here",
            ),
        ]
    )


def describe_result(trained: "Trained", picture: Path, page: Path, command: str) -> str:
    """How a training run went, where its files are (the task, the learning curve's picture, the
    report page), and the command that uses the task."""
    task, results, path = trained.task.task, trained.task.results, trained.path or Path()
    best, last = {name: results[name] for name in task.metrics}, trained.epochs[-1]
    return facts(
        [
            (constant_name(task), f"dev {metrics_text(trained.constant, task)}"),
            *untrained_row(trained),
            (
                f"last epoch ({len(trained.epochs)})",
                f"dev {metrics_text(last, task)}",
            ),
            (f"best epoch ({results['epoch']}), kept", f"dev {metrics_text(best, task)}"),
            ("task file", f"{path} ({path.stat().st_size / 1e6:.2f} MB)"),
            ("learning curve", picture),
            ("report", page),
            ("use it", command),
        ]
    )


def untrained_row(trained: "Trained") -> list[tuple[str, str]]:
    """What the base does without training, as a line of facts: for a score of two texts it is the
    one to beat, far above the constant guess. Nothing where training begins with nothing."""
    if trained.untrained is None:
        return []
    said = f"dev {metrics_text(trained.untrained, trained.task.task)}"
    return [("the base's own cosine, untrained", said)]


def use_command(task: Task, path: Path, options: str = "") -> str:
    """The command that uses a task file; `options` ends in a space."""
    texts = '--pair "FIRST TEXT" "SECOND TEXT"' if task.pairs else '"A TEXT"'
    return f"minibert predict {shlex.quote(str(path))} {options}{texts}"


def constant_name(task: Task) -> str:
    """What the constant guess, which needs no model, is for this task."""
    return "always the training mean" if task.regression else "always the majority class"
