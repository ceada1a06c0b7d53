"""A table answered by a Dask cluster: the same bytes, whoever is killed, and nothing to guess when
it cannot be done. The workers are real processes, of `tests/cluster_work.py`."""

import csv
import pickle
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pandas as pd
import pytest
import toy
from cluster_work import answered, start_worker, stop
from command_line import TINY, files, minibert, works

from adapters import load_task, predict_frame, save_task
from adapters import score_table as score_table_module
from adapters.blocks import Block, Unfinished
from adapters.cluster import connection, tables, worker
from adapters.cluster.connection import connected
from adapters.cluster.tables import answers_on_cluster
from adapters.cluster.worker import Asked, answer, held_base
from adapters.predict import NotFinite, predict_texts
from adapters.score_table import Scoring, score_to_file
from minibert.checkpoint import load_base
from minibert.data.records import open_table
from minibert.errors import InputError
from minibert.heads import probabilities
from minibert.tree import from_leaves, leaves

TEXTS = [example.text for example in toy.examples(40, 3)]
CHUNK = 3


@pytest.fixture(scope="module")
def task_file(tiny, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("task") / "task.safetensors"
    save_task(path, toy.train(tiny).task)
    return path


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as made:
        yield made


class Workers:
    """The worker processes of a test, on one scheduler."""

    def __init__(self, scheduler: Any, notes: Path) -> None:
        self.scheduler, self.notes = scheduler, notes
        self.address = scheduler.scheduler_address
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, number: int) -> None:
        self.processes += [start_worker(self.address, self.notes) for _ in range(number)]
        with distributed.Client(self.address) as client:
            client.wait_for_workers(sum(p.poll() is None for p in self.processes), timeout=100)

    def at_least(self, number: int) -> "Workers":
        alive = sum(process.poll() is None for process in self.processes)
        if alive < number:
            self.start(number - alive)
        return self

    def forget(self) -> None:
        """What has been answered so far."""
        for path in (*self.notes.glob("*.texts"), self.notes / "killed"):
            path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def processes(scheduler, tmp_path_factory) -> Iterator[Workers]:
    made = Workers(scheduler, tmp_path_factory.mktemp("workers"))
    yield made
    stop(made.processes)


@pytest.fixture(autouse=True)
def _small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of three rows, and no long waiting."""
    monkeypatch.setattr(score_table_module, "CHUNK", CHUNK)
    monkeypatch.setattr(tables, "PATIENCE", 0.3)
    monkeypatch.setattr(tables, "POLL", 0.1)


def write_table(path: Path, texts: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["n", "review"], *enumerate(texts)])
    return path


def predict(task_file: Path, table: Path, out: Path, *more: object) -> tuple[object, ...]:
    return ("predict", task_file, "--input", table, "--text", "review", "--output", out, *more)


class TestTheSameBytes:
    def test_with_two_workers_one_of_which_is_killed_while_it_computes(
        self, task_file, processes, tmp_path
    ):
        texts = [*TEXTS[:20], "deadly but once tikora", *TEXTS[20:], "word " * 200]
        table = write_table(tmp_path / "in.csv", texts)
        here = works(*predict(task_file, table, tmp_path / "here.csv", "--base", TINY))
        workers = processes.at_least(2)
        workers.forget()
        on = ("--base", TINY, "--cluster", workers.address)
        there = works(*predict(task_file, table, tmp_path / "there.csv", *on))
        assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
        assert there.out == here.out.replace("here.csv", "there.csv")
        assert there.err == ""
        assert "1 of 42 (2.4 %)" in there.out  # the long text was cut by a worker, and counted once
        assert sorted(p.name for p in tmp_path.iterdir()) == ["here.csv", "in.csv", "there.csv"]
        by = answered(workers.notes)
        assert len(by) == 2
        assert all(set(texts) >= set(own) for own in by.values())
        assert sum(texts[20] in own for own in by.values()) == 2  # by the killed one, and again
        assert sum(p.pid in by and p.poll() is not None for p in workers.processes) == 1
        assert {text for own in by.values() for text in own} == set(texts)

    def test_a_table_begun_here_is_resumed_there(self, task_file, tiny, processes, tmp_path):
        table = write_table(tmp_path / "in.csv", TEXTS)
        task, whole = load_task(task_file), tmp_path / "whole.csv"
        here = Scoring(task, tiny, open_table(table, ["review"]), ("review",))
        score_to_file(here, whole)

        def interrupt(rows: int) -> None:
            if rows == 2 * CHUNK:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            score_to_file(here, tmp_path / "out.csv", on_rows=interrupt)
        processes.at_least(1).forget()
        on = ("--base", TINY, "--cluster", processes.address, "--resume")
        works(*predict(task_file, table, tmp_path / "out.csv", *on))
        assert (tmp_path / "out.csv").read_bytes() == whole.read_bytes()
        there = [text for own in answered(processes.notes).values() for text in own]
        assert sorted(there) == sorted(TEXTS[2 * CHUNK :])

    def test_printed_as_json_lines(self, task_file, processes, tmp_path):
        table = write_table(tmp_path / "in.csv", TEXTS[:7])
        words = ("predict", task_file, "--input", table, "--text", "review", "--json")
        on = ("--base", TINY, "--cluster", processes.at_least(1).address)
        assert works(*words, *on) == works(*words, "--base", TINY)


class TestWhatIsStopped:
    def test_a_cluster_that_loses_all_its_workers_leaves_what_is_done_to_be_resumed(
        self, task_file, processes, tmp_path
    ):
        texts = [*TEXTS[:30], "deadly", *TEXTS[30:]]
        table = write_table(tmp_path / "in.csv", texts)
        out, on = tmp_path / "out.csv", ("--base", TINY, "--cluster", processes.at_least(1).address)
        result = minibert(*predict(task_file, table, out, *on))
        said = f"minibert: error: --cluster {processes.address}: has lost all its workers; the rows"
        assert (result.code, result.out) == (2, "")
        assert result.err == f"{said} that are done are kept for --resume\n"
        assert set(files(tmp_path)) == {"in.csv", ".out.csv.part", ".out.csv.part.json"}
        part = list(csv.reader((tmp_path / ".out.csv.part").open(encoding="utf-8")))
        assert [row[1] for row in part[1:]] == texts[: len(part) - 1]
        assert len(part) > 1
        works(*predict(task_file, table, tmp_path / "here.csv", "--base", TINY))
        works(*predict(task_file, table, out, "--base", TINY, "--resume"))  # texts kill nobody here
        assert out.read_bytes() == (tmp_path / "here.csv").read_bytes()

    def test_a_block_that_kills_every_worker_is_not_tried_for_ever(
        self, task_file, processes, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(processes.scheduler.scheduler, "allowed_failures", 0)
        table = write_table(tmp_path / "in.csv", ["deadly"])
        on = ("--base", TINY, "--cluster", processes.at_least(1).address)
        result = minibert(*predict(task_file, table, tmp_path / "out.csv", *on))
        assert result.code == 2
        assert "its workers were killed repeatedly by the system; perhaps too little" in result.err
        assert set(files(tmp_path)) == {"in.csv"}  # nothing was done

    def test_a_scheduler_that_goes_is_missed_soon(self, task_file, tiny, tmp_path):
        table = open_table(write_table(tmp_path / "in.csv", TEXTS), ["review"])
        task, out = load_task(task_file), tmp_path / "out.csv"
        cluster = distributed.LocalCluster(1, processes=False, dashboard_address=":0")
        with connected(cluster.scheduler_address, 0.5) as client:
            answers = answers_on_cluster(client, task, str(TINY))
            scoring = Scoring(task, None, table, ("review",), answers=answers)
            with pytest.raises(
                Unfinished, match=r"^--cluster \S+: its scheduler is gone[:;][^_]*--resume$"
            ):
                score_to_file(scoring, out, on_rows=lambda rows: cluster.close())
        scoring = Scoring(task, tiny, table, ("review",))
        assert score_to_file(scoring, out, resume=True) == len(TEXTS)


class TestWhatIsRefused:
    def refused(self, task_file: Path, cluster: str, folder: Path, *more: object) -> str:
        """The one line that is said of a table that cannot be begun."""
        folder.mkdir(exist_ok=True)
        table = write_table(folder / "in.csv", TEXTS)
        result = minibert(
            *predict(task_file, table, folder / "out.csv", "--cluster", cluster, *more)
        )
        assert (result.code, result.out) == (2, "")
        assert result.err.count("\n") == 1
        assert set(files(folder)) == {"in.csv"}
        return result.err

    def test_a_worker_without_the_base_or_with_another_one_is_named(
        self, task_file, processes, tmp_path
    ):
        other = tmp_path / "other"
        shutil.copytree(TINY, other)
        weights = bytearray((other / "model.safetensors").read_bytes())
        weights[-4:] = np.float32(0.5).tobytes()
        (other / "model.safetensors").write_bytes(weights)
        address = processes.at_least(1).address
        said = self.refused(task_file, address, tmp_path / "one", "--base", tmp_path / "nowhere")
        assert "minibert: error: worker tcp://127.0.0.1:" in said
        assert f"{tmp_path / 'nowhere'}: is neither a folder with a config.json nor a known" in said
        said = self.refused(task_file, address, tmp_path / "two", "--base", other)
        assert "worker tcp://127.0.0.1:" in said
        assert (
            f"was trained on tiny (weights sha256 {load_task(task_file).base_sha256[:12]}" in said
        )
        assert f"not on other ({load_base(other).sha256[:12]}" in said

    def test_a_worker_with_another_version_is_named(self, task_file, processes):
        with connected(processes.at_least(1).address) as client:
            asked = Asked(str(TINY), 1, "0.0.7")
            future = client.submit(answer, load_task(task_file), TEXTS[:1], asked)
            with pytest.raises(Unfinished, match=r"^worker tcp\S+: has minibert \S+, not 0\.0\.7$"):
                future.result()

    def test_a_worker_that_cannot_import_minibert(self, task_file, tmp_path, monkeypatch):
        """Here it finds a package `adapters` that is someone else's."""
        monkeypatch.setattr(tables, "PATIENCE", 20)
        (tmp_path / "adapters").mkdir()
        (tmp_path / "adapters" / "__init__.py").touch()
        with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
            address = cluster.scheduler_address
            other = start_worker(address, tmp_path, preload=False, PYTHONPATH=str(tmp_path))
            try:
                said = self.refused(task_file, address, tmp_path / "one", "--base", TINY)
            finally:
                stop([other])
        assert "error: worker tcp://127.0.0.1:" in said
        assert "cannot import this minibert: No module named 'adapters.cluster'" in said

    def test_an_address_where_nothing_listens(self, task_file, tmp_path, monkeypatch):
        monkeypatch.setattr(connection, "PATIENCE", 0.3)
        with socket.socket() as unused:  # bound, but not listening
            unused.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
            said = self.refused(task_file, address, tmp_path)
            assert f"--cluster {address}: no scheduler there" in said
        for address in ("nonsense", "tls://127.0.0.1:1"):
            assert f"--cluster {address}: " in self.refused(task_file, address, tmp_path)

    def test_a_text_without_finite_answer_by_its_row(self, task_file, processes, tmp_path):
        task = load_task(task_file)
        large = {
            path: np.full_like(leaf, 3e38) if path == "head.weight" else leaf
            for path, leaf in leaves(task.trained)
        }
        save_task(tmp_path / "large.safetensors", replace(task, trained=from_leaves(large)))
        address = processes.at_least(1).address
        said = self.refused(
            tmp_path / "large.safetensors", address, tmp_path / "one", "--base", TINY
        )
        assert "in.csv row 2: its logits are not finite: the task's parameters are too" in said

    def test_an_error_of_a_text_is_whole_in_another_process(self):
        there = pickle.loads(pickle.dumps(NotFinite("texts[3]: is too large", 3)))
        assert (str(there), there.number) == ("texts[3]: is too large", 3)

    def test_texts_that_are_no_table(self, task_file):
        result = minibert("predict", task_file, "a text", "--cluster", "tcp://127.0.0.1:1")
        assert result.err == (
            "minibert: error: --cluster goes with a table: --input TABLE --text COLUMN\n"
        )


class TestTheMachinery:
    def test_the_table_is_read_a_few_blocks_ahead_only(self, task_file, processes):
        read = 0

        def blocks() -> Iterator[Block]:
            nonlocal read
            for _ in range(29):
                read += 1
                yield Block("table", [], TEXTS[:2])

        with connected(processes.at_least(1).address) as client:
            threads = sum(client.nthreads().values())
            answers = answers_on_cluster(client, load_task(task_file), str(TINY))
            for taken, _ in enumerate(answers(blocks()), start=1):
                assert read - taken < tables.AHEAD * threads
        assert taken == 29

    def test_a_base_is_loaded_once_for_all_its_tasks_by_its_content(
        self, task_file, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(worker, "_held", {})
        folder, task = tmp_path / "base", load_task(task_file)
        shutil.copytree(TINY, folder)
        base = held_base(task, str(folder))
        assert held_base(replace(task, trained={}, max_length=8), str(folder)) is base
        weights = bytearray((folder / "model.safetensors").read_bytes())
        weights[-4:] = np.float32(0.5).tobytes()
        (folder / "new").write_bytes(weights)
        (folder / "new").replace(folder / "model.safetensors")
        changed = load_base(folder)
        about = {"base_sha256": changed.sha256, "base_tensors_sha256": changed.tensors_sha256}
        assert held_base(replace(task, **about), str(folder)).sha256 == changed.sha256
        assert held_base(task, str(folder)) is base  # the file that it has mapped is still there
        monkeypatch.setattr(worker, "_held", {})
        with pytest.raises(InputError, match="was trained on tiny"):
            held_base(task, str(folder))
        (folder / "model.safetensors").write_bytes((TINY / "model.safetensors").read_bytes())
        assert held_base(task, str(folder)).sha256 == base.sha256  # a refusal is not remembered


FRAME = pd.DataFrame({"n": range(len(TEXTS)), "review": TEXTS}, index=[7] * len(TEXTS))


class TestFrames:
    def test_a_frame_gets_the_columns_of_a_table(self, task_file, tiny):
        got = predict_frame(FRAME, task_file, "review", TINY)
        task = load_task(task_file)
        expected = probabilities(predict_texts(task, tiny, TEXTS).astype(np.float64))
        pd.testing.assert_frame_equal(got[["n", "review"]], FRAME)
        assert list(got["predicted_label"]) == [task.task.names[i] for i in expected.argmax(1)]
        for column, name in enumerate(task.task.names):
            np.testing.assert_allclose(
                got[f"probability_{name}"], expected[:, column], rtol=0, atol=1e-6
            )

    def test_without_rows_it_has_the_same_types_and_needs_no_base(self, task_file, monkeypatch):
        monkeypatch.setattr(worker, "load_base", None)
        none = predict_frame(FRAME.iloc[:0], task_file, "review", "nowhere")
        monkeypatch.undo()
        full = predict_frame(FRAME, task_file, "review", TINY)
        assert none.dtypes.to_dict() == full.dtypes.to_dict()
        assert len(none) == 0

    def test_partitions_on_the_workers_of_a_cluster(self, task_file, processes):
        """What `map_partitions` does: the function and each frame go to a worker and back."""
        task, parts = load_task(task_file), [FRAME[:15], FRAME[15:]]
        with connected(processes.at_least(1).address) as client:
            sent = client.map(predict_frame, parts, task=task, text="review", base=TINY)
            got = pd.concat(client.gather(sent))
        expected = predict_frame(FRAME, task, "review", TINY)
        pd.testing.assert_frame_equal(got, expected, check_exact=False, rtol=0, atol=2e-6)

    def test_map_partitions_of_a_dask_frame(self, task_file, processes):
        dataframes = pytest.importorskip("dask.dataframe")
        task = load_task(task_file)
        table = dataframes.from_pandas(FRAME.reset_index(drop=True), npartitions=3)
        with connected(processes.at_least(1).address):
            meta = predict_frame(table._meta, task, "review")
            got = table.map_partitions(predict_frame, task, "review", TINY, meta=meta).compute()
        expected = predict_frame(FRAME.reset_index(drop=True), task, "review", TINY)
        assert got.dtypes.to_dict() == meta.dtypes.to_dict()
        pd.testing.assert_frame_equal(
            got, expected, check_exact=False, rtol=0, atol=2e-6, check_dtype=False
        )

    @pytest.mark.parametrize(
        "change, said",
        [
            (lambda f: f.drop(columns="review"), "the frame has no column 'review'"),
            (lambda f: pd.concat([f, f[["review"]]], axis=1), "has two columns 'review'"),
            (lambda f: f.assign(predicted_label=1), "has a column 'predicted_label' already"),
            (lambda f: f.assign(review=[None, *TEXTS[1:]]), "row 7: 'review' is (None|nan), not a"),
            (lambda f: f.assign(review=1.5), "row 7: 'review' is 1.5, not a text"),
        ],
    )
    def test_what_is_no_frame_of_texts_is_refused(
        self, task_file, change: Callable[[pd.DataFrame], pd.DataFrame], said
    ):
        with pytest.raises(InputError, match=said):
            predict_frame(change(FRAME), task_file, "review", TINY)

    def test_another_number_of_columns_is_refused(self, task_file):
        with pytest.raises(InputError, match="toy takes 1 text column, not 2"):
            predict_frame(FRAME, task_file, ["review", "n"], TINY)
