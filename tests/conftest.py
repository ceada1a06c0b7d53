"""What all tests share: where the data are, and what to do where they are missing.

Tests that need the real MiniLM weights or real GLUE skip without them. With MINIBERT_REQUIRE_DATA=1
(as in continuous integration) a missing one is a failure instead.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, settings
from loopback import home  # noqa: F401 (a fixture)

from minibert.checkpoint import Base, load_base
from minibert.data.glue import glue_data
from minibert.data.tasks import Data
from minibert.errors import InputError
from minibert.fetch.models import locate_model

GOLDENS = Path(__file__).parent / "goldens"

settings.register_profile("minibert", deadline=None, derandomize=True, print_blob=True)
# For `make mutants`, where most tests are run to fail: fewer examples, the same ones each time, and
# no shrinking, which takes a hundred times as long as finding a failure.
settings.register_profile(
    "mutants",
    settings.get_profile("minibert"),
    max_examples=20,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile("minibert")


def missing(what: str) -> None:
    """Skip the test, or fail it where data are required."""
    if os.environ.get("MINIBERT_REQUIRE_DATA") == "1":
        pytest.fail(f"required here, but missing: {what}")
    pytest.skip(f"missing: {what}")


@pytest.fixture(scope="session")
def tiny() -> Base:
    """The tiny random BERT whose weights are committed."""
    return load_base(GOLDENS / "tiny")


@pytest.fixture(scope="session")
def goldens() -> dict[str, np.ndarray]:
    """What torch computes for the tiny BERT."""
    with np.load(GOLDENS / "tiny.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def minilm() -> Base:
    """The real MiniLM."""
    try:
        return load_base(locate_model("minilm"))
    except InputError as error:
        missing(f"the weights of minilm ({error})")
        raise


def real_glue(name: str) -> Data:
    """A real GLUE task's data."""
    try:
        return glue_data(name)
    except InputError as error:
        missing(f"GLUE {name} ({error})")
        raise
