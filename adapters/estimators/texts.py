"""What all estimators share: the base, and what people call a list of texts."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint import Base, load_base
from minibert.errors import InputError
from minibert.fetch.models import locate_model
from minibert.tokenizer import Text, check_texts


class BadInput(InputError, ValueError):
    """Something given to an estimator is wrong; a ValueError, as scikit-learn's callers expect."""


def shared_base(base: Base | Path | str) -> Base:
    """A base by name or folder, loaded once in this process. Raises InputError as `load_base`."""
    return base if isinstance(base, Base) else _loaded(locate_model(base).resolve())


@lru_cache(maxsize=4)
def _loaded(folder: Path) -> Base:
    return load_base(folder)


def as_texts(texts: Any) -> list[Text]:
    """What people call a list of texts: a list, a NumPy array or pandas Series of strings; for
    pairs a list of two-tuples, or a frame or array of two columns. Raises BadInput, naming the
    first that is no text."""
    rows = texts.to_numpy() if hasattr(texts, "to_numpy") else texts
    if isinstance(rows, np.ndarray):
        if rows.ndim not in (1, 2) or (rows.ndim == 2 and rows.shape[1] not in (1, 2)):
            raise BadInput(f"one or two columns of texts are needed, not shape {rows.shape}")
        rows = rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows
        rows = [tuple(row) for row in rows] if rows.ndim == 2 else list(rows)
    try:
        found = check_texts(rows, None)
    except InputError as error:
        raise BadInput(str(error)) from None
    if len({isinstance(text, str) for text in found}) == 2:
        raise BadInput("all must be single texts, or all pairs")
    return found


def without_base(state: dict[str, Any]) -> dict[str, Any]:
    """An estimator's state for pickle: a base that was given as one is left where it is."""
    if isinstance(state["base"], Base):
        state["base"] = state["base"].folder.resolve()
    return state


def text_tags(tags: Any) -> Any:
    """scikit-learn's tags of an estimator that takes texts, not numbers."""
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    return tags
