"""The tutorials from 13 on, run; in a file of their own so that two processes share the work."""

import pytest
from tutorial import LESSONS, keeps_its_claims


@pytest.mark.parametrize("path", LESSONS[12:], ids=lambda path: path.stem)
def test_a_tutorial_keeps_its_claims_and_draws_without_real_data(minilm, path, tmp_path):
    """The project's own sample is enough for each."""
    keeps_its_claims(path, tmp_path)
