"""Files that earlier versions wrote: they load as they are, and give what they gave.

`tests/format_1` has a task file for each kind of method, and the checkpoint of a run that was
stopped after 4 of its 9 steps, as commit 1161de0 wrote them; `made_by.py` there tells how. Here
they are read with the safetensors library itself, and by the code of today.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY, works
from runs import equal
from safetensors import safe_open
from safetensors.numpy import load_file
from toy import ADAPTERS, MAX_LENGTH, TASK, examples, toy_data, train

from adapters.methods.method import split
from adapters.methods.table import METHODS, method_named
from adapters.predict import evaluate_task, predict_texts
from adapters.recipes import RECIPES
from adapters.task_file import load_task, save_task
from adapters.task_model import new_task_model
from minibert.training.loop import Report
from minibert.training.resume import Checkpoint, load_state
from minibert.tree import leaves

FILES = Path(__file__).parents[1] / "format_1"
KEPT = {
    "adapters": ADAPTERS,
    "batch-norm": method_named("adapters", 4, variant="batch-norm"),
    "lora": method_named("lora", 2),
    "pfeiffer": method_named("pfeiffer", 4),
    "head": METHODS["head"],
}
EVERY_FILE = pytest.mark.parametrize("name", KEPT)
TEXTS = [example.text for example in examples(12, 9)]
# Another processor's kernels add up in another order: with those of Haswell, Sandybridge, Nehalem
# and Katmai, logits and losses moved by 1.5e-7 at most, parameters by 6e-8. On the machine that
# wrote the files, by nothing.
ROUNDING = 1e-6


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """What came out when the files were written."""
    with np.load(FILES / "expected.npz") as file:
        return dict(file)


def path_of(name: str) -> Path:
    return FILES / f"{name}.safetensors"


def in_our_layout(path: str, stored: np.ndarray) -> np.ndarray:
    """A linear map's weight is [out, in] in a file and [in, out] here."""
    return stored.T if path.endswith("weight") else stored


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def test_every_kind_of_method_has_a_file():
    """All but "full", "norms" and "biases": they hold parts of the base, as "adapters" does too."""
    parts_of_the_base = {"full", "norms", "biases"}
    assert {method.name for method in KEPT.values()} == set(METHODS) - parts_of_the_base
    assert {path.stem for path in FILES.glob("*.safetensors")} == {*KEPT, "checkpoint"}


@EVERY_FILE
class TestTaskFiles:
    def test_earlier_files_hold_the_arrays_of_their_safetensors_to_the_bit(self, name):
        stored = load_file(path_of(name))
        held = dict(leaves(load_task(path_of(name)).trained))
        assert held.keys() == stored.keys()
        assert len(held) >= 2
        for path, leaf in held.items():
            assert same_bits(leaf, in_our_layout(path, stored[path])), path

    def test_earlier_files_say_what_they_are_and_train_what_is_trained_today(self, tiny, name):
        task = load_task(path_of(name))
        assert task.task == TASK
        assert task.method == KEPT[name]
        assert (task.recipe, task.max_length) == ("paper", MAX_LENGTH)
        assert (task.base_name, task.base_sha256) == ("tiny", tiny.sha256)
        assert task.results.keys() == {"accuracy", "epoch"}
        held = {path for path, _ in leaves(task.trained)}
        fresh = dict(leaves(new_task_model(tiny, task.method, RECIPES["paper"], 2, 0).tree))
        assert {p for p in held if task.method.trains(p)} == {
            p for p in fresh if task.method.trains(p)
        }
        statistics = {p for p in held if p.endswith(("norm.mean", "norm.variance"))}
        assert {p for p in held if not task.method.trains(p)} == statistics
        assert bool(statistics) == (name == "batch-norm")

    def test_earlier_files_give_the_logits_and_the_score_that_they_gave(self, tiny, expected, name):
        task = load_task(path_of(name))
        logits = predict_texts(task, tiny, TEXTS)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected[f"logits/{name}"], rtol=0, atol=ROUNDING)
        assert np.ptp(logits[:, 0]) > 100 * ROUNDING
        scores = evaluate_task(task, tiny, toy_data().dev)
        assert scores == {"accuracy": task.results["accuracy"]}

    def test_earlier_files_saved_again_load_equal(self, tmp_path, name):
        task = load_task(path_of(name))
        again = tmp_path / "task.safetensors"
        save_task(again, task)
        assert equal(load_task(again), task)
        before, after = load_file(path_of(name)), load_file(again)
        assert before.keys() == after.keys()
        assert all(same_bits(before[path], after[path]) for path in before)

    def test_earlier_files_are_described_and_used_by_the_command_line(self, tiny, name):
        said = works("info", path_of(name)).out
        assert f"{KEPT[name]}" in said
        assert "a label: morulan, tikora" in said
        lines = works("predict", path_of(name), "--base", TINY, *TEXTS).out.splitlines()
        logits = predict_texts(load_task(path_of(name)), tiny, TEXTS)
        assert [line.split("\t")[0] for line in lines] == [TASK.names[i] for i in logits.argmax(1)]


class TestTheCheckpoint:
    PATH = FILES / "checkpoint.safetensors"

    def test_an_earlier_checkpoint_holds_its_safetensors_arrays_to_the_bit(self, tiny):
        stored = load_file(self.PATH)
        tree = new_task_model(tiny, ADAPTERS, RECIPES["paper"], 2, 0).tree
        like = dict(leaves(split(tree, ADAPTERS)[0]))
        state = load_state(Checkpoint(self.PATH, {}), like)
        groups = {
            "now": state.leaves,
            "best": state.best,
            "first": state.adam["first"],
            "second": state.adam["second"],
        }
        held = {f"{group}/{p}": x for group, arrays in groups.items() for p, x in arrays.items()}
        assert held.keys() == stored.keys()
        for path, leaf in held.items():
            assert same_bits(leaf, in_our_layout(path, stored[path])), path

    def test_an_earlier_checkpoint_resumes_as_it_did_then(self, tiny, tmp_path, expected):
        shutil.copy(self.PATH, tmp_path)
        steps: list[int] = []

        def note(report: Report) -> None:
            steps.append(report.step)

        run = train(tiny, tmp_path, resume=True, on_report=note)
        assert steps == [5, 6, 7, 8, 9]
        with safe_open(self.PATH, framework="np") as file:
            log = json.loads(file.metadata()["run"])
        assert run.losses[:4] == log["losses"] == expected["losses"][:4].tolist()
        np.testing.assert_allclose(run.losses, expected["losses"], rtol=0, atol=ROUNDING)
        trained = dict(leaves(run.task.trained))
        theirs = {p[8:]: leaf for p, leaf in expected.items() if p.startswith("resumed/")}
        assert trained.keys() == theirs.keys()
        for path, leaf in trained.items():
            np.testing.assert_allclose(leaf, theirs[path], rtol=0, atol=ROUNDING, err_msg=path)
        before = load_file(self.PATH)
        for path, leaf in theirs.items():  # there was some way to go
            assert not same_bits(leaf, in_our_layout(path, before[f"now/{path}"])), path
