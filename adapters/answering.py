"""Extractive question answering: SQuAD's questions -> a trained span head -> answers.

Houlsby et al. 2019, section 3.5 and figure 5. Everything below the head is what a classification
task has; the head reads every token's state instead of the pooled [CLS].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from adapters.cached_layers import fixed_layers
from adapters.methods.table import Method, split
from adapters.predict import check_length
from adapters.recipes import optimised, recipe_named
from adapters.run_folder import data_hash, described, own_folder, write_report
from adapters.task_model import adapt_of, init_task, settle
from minibert import fused
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.data.squad import Question, score
from minibert.data.windows import Window, make_windows
from minibert.errors import InputError
from minibert.heads import best_span, span_log_probabilities, span_logits, span_loss
from minibert.machine.threads import each, thread_count
from minibert.model import embed, encoder_layers
from minibert.ops import Array
from minibert.tokenizer import Batch, make_batch
from minibert.training.loop import Report, Settings, fit
from minibert.tree import Tree, from_leaves, leaves, merge

MAX_LENGTH, STRIDE = 384, 128  # tokens, as in BERT's released code
STATISTICS_WINDOWS = 64  # of training, for the statistics of batch normalisation


def span_forward(
    tree: Tree,
    batch: Batch,
    config: BertConfig,
    method: Method,
    *,
    rng: np.random.Generator | None = None,
    fixed: int | None = None,
    ops: ModuleType = fused,
) -> Array:
    """Tokens to start and end scores through the whole model: [N tokens] -> [N, 2]. `rng` switches
    dropout on; with `fixed`, not in the embeddings and that many layers."""
    base, adapt, lengths = tree["base"], adapt_of(tree, method, ops, config), batch.lengths
    layers = partial(encoder_layers, base, adapt=adapt, ops=ops, first_only=False)
    below = range(fixed or 0)
    states = embed(base, batch, config, rng if fixed is None else None, ops)
    states = layers(below, states, lengths, config)[-1]  # [N, D]
    above = range(len(below), config.num_hidden_layers)
    states = layers(above, states, lengths, config, rng=rng)[-1]  # [N, D]
    return span_logits(tree["head"], states, ops)


def answer_windows(
    tree: Tree,
    base: Base,
    method: Method,
    questions: Sequence[Question],
    windows: Sequence[Window],
    threads: int | None = None,
) -> list[str]:
    """Each question's answer, in the context's own characters: the span with the highest
    probability in any of its windows; "" for a context without tokens.

    Windows compete by probability alone, which serves as well as a rule about which window knows
    a token best and is simpler: one without the answer was trained to point at [CLS], so that its
    spans have next to none. Each window is computed by itself: they are long enough for that to
    cost little, and an answer then never depends, by not a bit, on which other questions are asked.
    `threads` of them run at once (default: as many as there are cores). Raises InputError when the
    scores are not finite.
    """

    def run(window: Window) -> tuple[float, int, int]:
        batch = make_batch([window.encoded])
        with np.errstate(over="ignore", invalid="ignore"):  # looked at below
            logits = span_forward(tree, batch, base.config, method)  # [T, 2]
            if not np.isfinite(logits).all():
                raise InputError("the scores are no longer finite")
            return best_span(span_log_probabilities(logits, batch.lengths)[window.rows])

    known = [window for window in windows if len(window.offsets)]
    answers = [""] * len(questions)
    best = [-np.inf] * len(questions)
    spans = each(run, known, thread_count(threads))
    for window, (total, start, end) in zip(known, spans, strict=True):
        number = window.question
        if total > best[number]:
            best[number] = total
            answers[number] = questions[number].context[window.characters(start, end)]
    return answers


def answer_questions(
    tree: Tree,
    base: Base,
    method: Method,
    questions: Sequence[Question],
    *,
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    threads: int | None = None,
) -> list[str]:
    """Each question's answer, a piece of its context; `tree` is a trained whole model. Raises
    InputError when the base has no positions for `max_length`."""
    check_length(base, max_length)
    windows = make_windows(base.tokenizer, questions, max_length, stride)
    return answer_windows(tree, base, method, questions, windows, threads)


@dataclass(frozen=True)
class TrainedSquad:
    """A finished run. `trained`: the parameters of its best epoch by F1, a sparse tree; `epochs`:
    {"f1", "exact_match"} on the development questions after each; `losses`: one a step."""

    base: Base
    method: Method
    max_length: int
    stride: int
    trained: Tree
    losses: list[float]
    epochs: list[dict[str, float]]

    def answers(self, questions: Sequence[Question], threads: int | None = None) -> list[str]:
        """Each question's answer by the best epoch."""
        tree = merge({"base": self.base.params}, self.trained)
        return answer_questions(
            tree, self.base, self.method, questions,
            max_length=self.max_length, stride=self.stride, threads=threads,
        )  # fmt: skip


def squad_loss(
    tree: Tree, base: Base, method: Method, windows: Sequence[Window]
) -> Callable[[dict[str, Any], np.ndarray, np.random.Generator], Any]:
    """The training loss as a function of the trained leaves {path: array} alone, for windows given
    by number."""
    fixed = fixed_layers(tree, method)
    trained, frozen = split(tree, method)
    paths = [path for path, _ in leaves(trained)]
    starts = np.array([window.start for window in windows])
    ends = np.array([window.end for window in windows])

    def batch_loss(flat: dict[str, Any], numbers: np.ndarray, rng: np.random.Generator) -> Any:
        whole = merge(frozen, from_leaves({path: flat[path] for path in paths}))
        batch = make_batch([windows[i].encoded for i in numbers])
        logits = span_forward(whole, batch, base.config, method, rng=rng, fixed=fixed)
        return span_loss(logits, batch.lengths, starts[numbers], ends[numbers])

    return batch_loss


def train_squad(
    base: Base,
    train_questions: Sequence[Question],
    dev_questions: Sequence[Question],
    method: Method,
    settings: Settings,
    *,
    recipe: str = "paper",
    max_length: int = MAX_LENGTH,
    stride: int = STRIDE,
    out: Path | str | None = None,
    resume: bool = False,
    threads: int | None = None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> TrainedSquad:
    """Train question answering on a frozen base; a batch is `settings.batch_size` windows. With
    `out`, that folder holds checkpoint.safetensors, to resume from, and report.json.

    The settings' optimiser constants are replaced by the recipe's. Raises InputError for bad
    settings, no questions, a length that the base has no positions for, a folder that holds another
    run or is in use, or a diverging loss; Interrupted after Ctrl-C, with the state saved.
    """
    chosen = recipe_named(recipe)
    settings = optimised(settings, chosen)
    check_length(base, max_length)
    for name, questions in (("train", train_questions), ("dev", dev_questions)):
        if not questions:
            raise InputError(f"squad: there are no {name} questions")
    tree = init_task(base, method, chosen, 2, settings.seed)
    windows = make_windows(base.tokenizer, train_questions, max_length, stride)
    dev = make_windows(base.tokenizer, dev_questions, max_length, stride)
    trained, _ = split(tree, method)
    sample = make_batch([window.encoded for window in windows[:STATISTICS_WINDOWS]])

    def whole(flat: dict[str, Any]) -> Tree:
        tree_now = merge(tree, from_leaves(flat))
        return settle(tree_now, sample, base.config, method, first_only=False)

    def evaluate(flat: dict[str, Any]) -> dict[str, float]:
        try:
            answers = answer_windows(whole(flat), base, method, dev_questions, dev, threads)
        except InputError as error:
            raise InputError(f"{error}: learning rate {settings.rate:g} diverges") from None
        return score(dev_questions, answers)

    identity = {
        "task": "squad",
        **described(method),
        "recipe": recipe,
        "max_length": max_length,
        "stride": stride,
        "base": base.sha256,
        "questions": len(train_questions),
        "data_sha256": data_hash(train_questions, dev_questions),
    }
    folder = Path(out) if out is not None else None
    with own_folder(folder, resume):
        state = fit(
            dict(leaves(trained)),
            squad_loss(tree, base, method, windows),
            evaluate,
            [len(window.encoded.ids) for window in windows],
            settings,
            folder=folder,
            identity=identity,
            resume=resume,
            on_report=on_report,
            threads=threads,
        )
        if folder:
            write_report(folder, identity, settings, state)
    best = from_leaves(state.best)
    if "adapters" in best:  # batch normalisation's statistics belong to them
        best["adapters"] = whole(state.best)["adapters"]
    return TrainedSquad(base, method, max_length, stride, best, state.losses, state.epochs)
