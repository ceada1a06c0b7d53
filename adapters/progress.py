"""Progress bars on standard error, for training and for anything that is counted."""

import shutil
import sys
from collections.abc import Callable
from typing import Any

from adapters.show import metrics_text
from minibert.data.tasks import Task
from minibert.errors import visible
from minibert.training.loop import Report

COUNT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
RECENT = 0.95  # the weight of what came before in a running mean: over about 20 steps
STEPS = "{desc} {percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt}, ETA {remaining}{postfix}"


def progress_bar(name: str, form: str = COUNT, **options: Any) -> Any:
    """A tqdm bar on standard error; nothing without a terminal, unless `disable` is False."""
    from tqdm import tqdm

    # some terminals report 0 columns; this then gives 80
    width = shutil.get_terminal_size().columns
    options = {"disable": None, **options}
    return tqdm(desc=name, bar_format=form, ncols=width, nrows=20, **options)


def count_bar(name: str) -> Callable[[int, int], None]:
    """show(done, total), which draws a bar until done is total."""
    bar: list[Any] = []

    def show(done: int, total: int) -> None:
        if not bar:
            bar.append(progress_bar(name, total=total, leave=False))
        bar[0].update(done - bar[0].n)
        if done == total:
            bar.pop().close()

    return show


class StepBar:
    """A bar with ETA over the steps of many runs: call it with (steps done, all steps)."""

    def __init__(self, name: str) -> None:
        self.name = visible(name)
        self.bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Show that so many steps are done."""
        if self.bar is None:  # what is resumed does not start at 0
            self.bar = progress_bar(self.name, STEPS, total=total, initial=done - 1)
        self.bar.update(done - self.bar.n)

    def write(self, line: str) -> None:
        """Write a line above the bar."""
        from tqdm import tqdm

        tqdm.write(f"{self.name}: {line}", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar is not None:
            self.bar.close()


class Progress:
    """A progress bar over a run's steps with loss, tokens/s and ETA; a line after every epoch.

    Call it with each Report; `task` says whose F1 is shown. Loss and tokens/s are running means
    over about the last 20 steps. Without a terminal only the epochs' lines are printed.
    """

    def __init__(self, name: str, task: Task | None = None) -> None:
        self.name, self.task = visible(name), task
        self.bar: Any = None
        self.tokens = self.seconds = self.loss = 0.0

    def __call__(self, report: Report) -> None:
        """Show one finished step."""
        if self.bar is None:
            first = report.step - 1  # a resumed run does not start at 0
            self.bar = progress_bar(self.name, STEPS, total=report.total, initial=first)
        # one batch's loss jumps too much to read; and the speed is that of now, not of the start,
        # when libraries are still being loaded, or of before the machine had other work
        self.tokens = RECENT * self.tokens + report.tokens
        self.seconds = RECENT * self.seconds + report.seconds
        new = 1 - RECENT if self.loss else 1.0
        self.loss += new * (report.loss - self.loss)
        speed = f"loss {self.loss:.3f}, {self.tokens / self.seconds:,.0f} tokens/s"
        self.bar.set_postfix_str(speed, refresh=False)
        self.bar.update(1)
        if report.scores:
            scores = metrics_text(report.scores, self.task)
            line = f"{self.name}: epoch {report.epoch + 1}, {speed}, dev {scores}"
            self.bar.write(line, file=sys.stderr)
        if report.step == report.total:
            self.close()

    def close(self) -> None:
        """Leave the bar as it stands; another training has a new one."""
        if self.bar is not None:
            self.bar.close()
            self.bar, self.tokens, self.seconds, self.loss = None, 0.0, 0.0, 0.0
