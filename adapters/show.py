"""What people look at: tables, progress bars, predictions, the learning curve."""

import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from adapters.finetune import Trained
from adapters.methods.method import parameter_table
from adapters.methods.table import TABLE, method_rows
from adapters.task_file import TaskFile
from adapters.task_model import TaskModel
from minibert.checkpoint import Base
from minibert.data.tasks import Task
from minibert.files import atomic_write
from minibert.heads import probabilities
from minibert.machine.doctor import Diagnosis
from minibert.tokenizer import Text
from minibert.training.loop import Report
from minibert.tree import count, leaves


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str], style: str = "simple") -> str:
    """Rows as text, numbers right-aligned; style "github" gives Markdown."""
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt=style, disable_numparse=True,
                    colalign=["left"] + ["right"] * (len(headers) - 1))  # fmt: skip


def facts(rows: Sequence[tuple[str, Any]]) -> str:
    """(name, value) one a line, the values below each other."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def trained_table(model: TaskModel, style: str = "simple") -> str:
    """What is trained and what is frozen, group by group; shares are of all parameters."""
    rows = parameter_table(model.tree, model.method)
    trained_total, frozen_total = sum(row[1] for row in rows), sum(row[2] for row in rows)
    body = []
    for group, trained, frozen in [*rows, ("all", trained_total, frozen_total)]:
        share = f"{100 * trained / (trained_total + frozen_total):.3f} %"
        body.append((
            group,
            f"{trained:,}" if trained else "-",
            f"{frozen:,}" if frozen else "-",
            share if trained else "-",
        ))  # fmt: skip
    return table(body, ("parameters", "trained", "frozen", "trained share"), style)


def methods_table(base: Base, size: int | None = None) -> str:
    """Every kind of tuning method on a base: what it trains, and how much that is. `size`: of
    "adapters", default as it has."""
    total = count(base.params) + 2 * base.config.hidden_size + 2  # with the head
    rows = [
        (str(method), what, f"{trained:,}", f"{100 * trained / total:.3f} %")
        for method, what, trained in method_rows(base.config, size)
    ]
    return table(rows, ("method", "trains, beside the head", "trained parameters", "share"))


def metrics_text(metrics: Mapping[str, float]) -> str:
    """`accuracy 81.4, f1 86.1`: metrics in hundredths, as GLUE prints them."""
    return ", ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())


def prediction_lines(
    task: Task, texts: Sequence[Text], logits: np.ndarray, as_json: bool = False
) -> Iterator[str]:
    """One line a text: label, its probability and the text, with tabs between (for regression
    score and text); or a JSON object with the probabilities of all labels."""
    for text, row in zip(texts, logits, strict=True):
        if task.regression:
            result: dict[str, Any] = {"score": round(float(row[0]), 6)}
            cells = [f"{row[0]:.3f}"]
        else:
            chances = probabilities(row.astype(np.float64))
            label = task.names[int(chances.argmax())]
            named = {n: round(float(p), 6) for n, p in zip(task.names, chances, strict=True)}
            result = {"label": label, "probabilities": named}
            cells = [label, f"{chances.max():.3f}"]
        if as_json:
            yield json.dumps({"text": text, **result}, ensure_ascii=False)
        else:
            shown = (text,) if isinstance(text, str) else text
            # a text's own tabs and line ends would make cells and lines that are none
            yield "\t".join([*cells, *(" ".join(part.split()) for part in shown)])


def describe_base(base: Base) -> str:
    """A model's configuration and weights."""
    return facts([
        ("model", base.folder),
        *base.config.to_dict().items(),
        ("parameters", f"{count(base.params):,}"),
        ("weights sha256", base.sha256),
        ("unused tensors", ", ".join(base.extra) or "none"),
    ])  # fmt: skip


def describe_task(task: TaskFile, path: Path) -> str:
    """What a task file holds, and what it needs."""
    results = {name: value for name, value in task.results.items() if name != "epoch"}
    has_activation = "activation" in TABLE[task.method.name].choices
    activation = f", activation {task.method.activation}" if has_activation else ""
    return facts([
        ("task file", path),
        ("task", task.task.name),
        ("takes", "pairs of texts" if len(task.task.text) == 2 else "single texts"),
        ("longest text", f"{task.max_length} tokens"),
        ("gives", "a number" if task.task.regression else f"a label: {', '.join(task.task.names)}"),
        ("base", f"{task.base_name}, weights sha256 {task.base_sha256}"),
        ("method", f"{task.method}{activation}; recipe {task.recipe}"),
        ("parameters", f"{count(task.trained):,} in {len(list(leaves(task.trained)))} tensors"),
        ("dev results", f"{metrics_text(results)} (epoch {task.results.get('epoch', '?')})"),
    ])  # fmt: skip


def describe_result(trained: Trained, picture: Path, options: str = "") -> str:
    """How a training run went, where its files are, and the command that uses them."""
    task, results, path = trained.task.task, trained.task.results, trained.path or Path()
    best = {name: results[name] for name in task.metrics}
    texts = '--pair "FIRST TEXT" "SECOND TEXT"' if len(task.text) == 2 else '"A TEXT"'
    return facts([
        (constant_name(task), f"dev {metrics_text(trained.constant)}"),
        (f"last epoch ({len(trained.epochs)})", f"dev {metrics_text(trained.epochs[-1])}"),
        (f"best epoch ({results['epoch']}), kept", f"dev {metrics_text(best)}"),
        ("task file", f"{path} ({path.stat().st_size / 1e6:.2f} MB)"),
        ("learning curve", picture),
        ("use it", f"minibert predict {path} {options}{texts}"),
    ])  # fmt: skip


def constant_name(task: Task) -> str:
    """What the constant guess, which needs no model, is for this task."""
    return "always the training mean" if task.regression else "always the majority class"


def describe_machine(found: Diagnosis) -> str:
    """The machine, its BLAS, what was measured, and what to set."""
    words = {True: "yes", False: "no", None: "not known"}
    blas = found.blas
    text = facts([
        ("processor", found.processor),
        ("instructions", f"AVX2 {words[found.avx2]}, AVX-512 {words[found.avx512]}"),
        ("system", found.system),
        ("Python", found.python),
        ("NumPy", found.numpy),
        ("BLAS", f"{blas.name} {blas.version}"),
        ("kernels", f"{blas.kernels or 'not told'}, chosen by {found.chosen_by}"),
        ("threads", f"{found.threads}: {found.threads_by}"),
    ])  # fmt: skip
    numbers = sorted({1, found.threads})
    rows = [
        (speed.kernels + (" (in use)" if speed.kernels == blas.kernels else ""),
         *(_median_range(speed.gflops.get(number, [])) for number in numbers))
        for speed in found.speeds
    ]  # fmt: skip
    if rows:
        headers = ["kernels", *(f"{n} thread{'s'[: n > 1]}" for n in numbers)]
        text += "\n\nGFLOP/s, float32, 4096 x 768 by 768 x 3072: median (lowest to highest)\n\n"
        text += table(rows, headers)
    return f"{text}\n\n{found.advice}"


def _median_range(values: Sequence[float]) -> str:
    if not values:
        return "did not run"
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def progress_bar(name: str) -> Any:
    """A tqdm bar that goes away in the end, on standard error; nothing without a terminal."""
    from tqdm import tqdm

    # a terminal may say that it has 0 columns and lines; this says 80 then
    width = shutil.get_terminal_size().columns
    return tqdm(desc=name, disable=None, leave=False, ncols=width, nrows=20,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}")  # fmt: skip


def count_bar(name: str) -> Callable[[int, int], None]:
    """A function of (done, of so many) that shows a bar as long as there is something to do."""
    bar: list[Any] = []

    def show(done: int, total: int) -> None:
        if not bar:
            bar.append(progress_bar(name))
            bar[0].total = total
        bar[0].update(done - bar[0].n)
        if done == total:
            bar[0].close()

    return show


class Progress:
    """A progress bar over a run's steps with loss, tokens/s and ETA; a line after every epoch.

    Call it with each Report. Without a terminal only the epochs' lines are printed.
    """

    FORMAT = "{desc} {percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt}, ETA {remaining}{postfix}"

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None
        self.tokens = self.seconds = self.loss = 0.0

    def __call__(self, report: Report) -> None:
        """Show one finished step."""
        from tqdm import tqdm

        if self.bar is None:
            # a terminal may say that it has 0 columns and lines; this says 80 then
            width = shutil.get_terminal_size().columns
            self.bar = tqdm(
                total=report.total, initial=report.step - 1, desc=self.name,
                bar_format=self.FORMAT, disable=None, ncols=width, nrows=20,
            )  # fmt: skip
        self.tokens += report.tokens
        self.seconds += report.seconds
        # a running mean over about 20 steps: one batch's loss jumps too much to be read
        self.loss = report.loss if not self.loss else 0.95 * self.loss + 0.05 * report.loss
        speed = f"loss {self.loss:.3f}, {self.tokens / self.seconds:,.0f} tokens/s"
        self.bar.set_postfix_str(speed, refresh=False)
        self.bar.update(1)
        if report.scores:
            scores = metrics_text(report.scores)
            line = f"{self.name}: epoch {report.epoch + 1}, {speed}, dev {scores}"
            tqdm.write(line, file=sys.stderr)
        if report.step == report.total:
            self.close()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()


def learning_curve(
    path: Path | str,
    runs: Mapping[str, tuple[Sequence[float], Sequence[Mapping[str, float]]]],
    title: str,
    constant: Mapping[str, float] | None = None,
) -> None:
    """A picture of runs {name: (loss of each step, metrics of each epoch)}: the training loss,
    and the first dev metric with the constant guess as a dotted line. Needs matplotlib.

    Raises InputError when the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: a notebook keeps its own display

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    # told apart in grey too: by line style, marker and darkness
    styles = [("#1f4e79", "-", "o"), ("#e08214", "--", "s"), ("#35978f", "-.", "^"),
              ("#9970ab", (0, (1, 1)), "D")]  # fmt: skip
    metric, window = "", 1
    for (name, (losses, epochs)), (colour, line, marker) in zip(runs.items(), styles, strict=False):
        window = max(1, len(losses) // 25)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        steps = np.arange(len(losses)) + 1
        left.plot(steps, losses, color=colour, lw=0.8, alpha=0.3)
        left.plot(steps[window - 1 :], smooth, color=colour, ls=line)
        metric = next(iter(epochs[0]))
        values = [100 * epoch[metric] for epoch in epochs]
        right.plot(range(1, len(values) + 1), values, color=colour, ls=line, marker=marker,
                   label=name)  # fmt: skip
    if constant:
        right.axhline(100 * constant[metric], color="0.3", ls=":", lw=1.5, label="constant guess")
    mean = f" (line: mean of the last {window})" if window > 1 else ""
    left.set(xlabel=f"training step{mean}", ylabel="training loss")
    unit = "%" if metric in ("accuracy", "f1") else "× 100"
    right.set(xlabel="epoch", ylabel=f"dev {metric} ({unit})")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)  # never over the data
    figure.suptitle(title, fontsize=11)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    atomic_write(path, picture.getvalue())
