"""Extractive question answering: SQuAD's questions -> a trained span head -> answers.

Houlsby et al. 2019, section 3.5 and figure 5. Everything below the head is what a classification
task has; the head reads every token's state instead of the pooled [CLS].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from adapters.cached_layers import frozen_layers
from adapters.methods.method import Method
from adapters.recipes import optimised, recipe_named
from adapters.run_folder import RunOptions, data_hash, describe_method
from adapters.task_model import (
    CLS,
    TaskModel,
    check_length,
    check_pairs,
    last_states,
    new_task_model,
)
from adapters.train_data import spread
from adapters.training_run import Training, fit_training
from minibert import fused
from minibert.batch import Batch, make_batch
from minibert.checkpoint import Base
from minibert.data.squad import Question, Questions, score
from minibert.data.windows import Window, make_windows
from minibert.errors import Diverged, InputError, brief
from minibert.heads import best_span, span_log_probabilities, span_logits, span_loss
from minibert.machine.threads import each, thread_count
from minibert.ops import Array
from minibert.training.schedule import Settings
from minibert.tree import Tree, merge

MAX_LENGTH, STRIDE = 384, 128  # tokens, as in BERT's released code
METRICS = ("f1", "exact_match")
SAMPLE_WINDOWS = 64  # training windows for `settle`


class NotFinite(InputError):
    """A model's scores are infinite or not a number."""


def span_forward(
    model: TaskModel,
    batch: Batch,
    rng: np.random.Generator | None = None,
    frozen: int | None = None,
    ops: ModuleType = fused,
) -> Array:
    """Token ids to start and end scores through the whole model: [N tokens] -> [N, 2]. `rng`
    switches dropout on, but not in the embeddings and the `frozen` layers at the bottom."""
    run = model.run(batch, rng, ops, first_only=False)
    states = last_states(model, batch, run, frozen)  # [N, D]
    return span_logits(model.tree["head"], states, ops)


def answer_windows(
    model: TaskModel,
    questions: Sequence[Question],
    windows: Sequence[Window],
    threads: int | None = None,
) -> list[str]:
    """Each question's answer, in the context's own characters: the span with the highest
    probability in any of its windows; "" for a context without tokens.

    Windows compete by probability alone. No rule about which window knows a token best is needed: a
    window without the answer was trained to point at [CLS], so its spans have almost none. Each
    window is computed by itself: they are long enough for that to cost little, and no bit of an
    answer then depends on which other questions are asked. `threads` of them run at once (default:
    as many as there are cores). Raises InputError when the scores are not finite.
    """

    def run(window: Window) -> tuple[float, int, int]:
        batch = make_batch([window.encoded])
        with np.errstate(over="ignore", invalid="ignore"):  # looked at below
            logits = span_forward(model, batch)  # [T, 2]
            if not np.isfinite(logits).all():
                raise NotFinite("the scores are no longer finite")
            return best_span(span_log_probabilities(logits, batch.lengths)[window.rows])

    readable = [window for window in windows if len(window.offsets)]
    answers = [""] * len(questions)
    best = [-np.inf] * len(questions)
    spans = each(run, readable, thread_count(threads))
    for window, (total, start, end) in zip(readable, spans, strict=True):
        number = window.question
        if total > best[number]:
            best[number] = total
            answers[number] = questions[number].context[window.characters(start, end)]
    return answers


def answer_questions(
    model: TaskModel,
    questions: Sequence[Question],
    *,
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    threads: int | None = None,
) -> list[str]:
    """Each question's answer, a piece of its context, by a trained model. Raises InputError when
    the base has no positions for `max_length`."""
    check_length(model.base, max_length)
    check_pairs(model.base)
    windows = make_windows(model.base.tokenizer, questions, max_length, stride)
    return answer_windows(model, questions, windows, threads)


@dataclass(frozen=True)
class TrainedSquad:
    """A finished run. `trained`: the parameters of its best epoch by F1, a sparse tree; `last`:
    those of its last epoch; `epochs`: {"f1", "exact_match"} on the development questions after
    each; `losses`: one a step."""

    base: Base
    method: Method
    max_length: int
    stride: int
    trained: Tree
    last: Tree
    losses: list[float]
    epochs: list[dict[str, float]]

    @property
    def model(self) -> TaskModel:
        """The best epoch's model."""
        return TaskModel(self.base, self.method, merge({"base": self.base.params}, self.trained))

    def answers(self, questions: Sequence[Question], threads: int | None = None) -> list[str]:
        """Each question's answer by the best epoch."""
        length, stride = self.max_length, self.stride
        return answer_questions(
            self.model, questions, max_length=length, stride=stride, threads=threads
        )


def train_squad(
    base: Base,
    data: Questions,
    method: Method,
    settings: Settings,
    *,
    recipe: str = "paper",
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    **options: Any,
) -> TrainedSquad:
    """Train question answering on a frozen base; a batch is `settings.batch_size` windows.
    `options` are those of `RunOptions` (nothing is cached). With `out`, that folder holds
    checkpoint.safetensors, to resume from, and report.json.

    The settings' optimiser constants are replaced by the recipe's. Raises InputError for bad
    settings, no questions, a length that the base has no positions for, or a folder that holds
    another run or is in use; Diverged for a learning rate that is too high; Interrupted after
    Ctrl-C, with the state saved. (Eight arguments: as `train_task`, and the stride.)
    """
    run = RunOptions(**options)
    training = prepare(base, data, method, settings, recipe, max_length, stride, run)
    state = fit_training(training, run)
    best, last = training.best(state), training.best(replace(state, best=state.leaves))
    return TrainedSquad(base, method, max_length, stride, best, last, state.losses, state.epochs)


def prepare(
    base: Base,
    data: Questions,
    method: Method,
    settings: Settings,
    recipe: str = "paper",
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    run: RunOptions | None = None,
) -> Training:
    """The training of a span head: the questions read in windows, the model made. The arguments are
    those of `train_squad`, hence eight."""
    run = run or RunOptions()
    chosen = recipe_named(recipe)
    settings = optimised(settings, chosen)
    check_length(base, max_length)
    check_pairs(base)
    for name, questions in data._asdict().items():
        if not questions:
            raise InputError(f"squad: there are no {name} questions")
    if lacking := next((q for q in data.dev if not q.answers), None):
        raise InputError(f"squad: dev question {brief(lacking.id)} has no answer to score by")
    model = new_task_model(base, method, chosen, 2, settings.seed, CLS)  # it reads no pooler
    windows, dev = (make_windows(base.tokenizer, part, max_length, stride) for part in data)
    run.on_encoded([window.encoded for window in (*windows, *dev)])
    frozen = frozen_layers(model)
    starts = np.array([window.start for window in windows])
    ends = np.array([window.end for window in windows])

    def batch_loss(model: TaskModel, numbers: np.ndarray, rng: np.random.Generator) -> Any:
        batch = make_batch([windows[i].encoded for i in numbers])
        logits = span_forward(model, batch, rng, frozen)
        return span_loss(logits, batch.lengths, starts[numbers], ends[numbers])

    def dev_score(model: TaskModel) -> dict[str, float]:
        try:
            answers = answer_windows(model, data.dev, dev, run.threads)
        except NotFinite as error:
            raise Diverged(f"{error}: learning rate {settings.rate:g} diverges") from None
        return score(data.dev, answers)

    return Training(
        model,
        settings,
        batch_loss,
        dev_score,
        lengths=[len(window.encoded.ids) for window in windows],
        sample=make_batch([window.encoded for window in spread(windows, SAMPLE_WINDOWS)]),
        first_only=False,
        identity={
            "task": "squad",
            **describe_method(method),
            "recipe": recipe,
            "max_length": max_length,
            "stride": stride,
            "base": base.sha256,
            "questions": len(data.train),
            "data_sha256": data_hash(data.train, data.dev),
        },
        metrics=METRICS,
    )
