"""Sweeps: every configuration is computed once, and its result is kept once, whatever is killed.

What the runs do is in `tests/sweep_work.py`, which logs every execution in a file of its own.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import distributed
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_work import execute, names, note, noted, until, work

from adapters.reproduce.sweep import run_sweep as sweep_module
from adapters.reproduce.sweep import workers as workers_module
from adapters.reproduce.sweep.run_sweep import Reservations, run_sweep
from adapters.reproduce.sweep.runs_file import FILE, append_run, read_runs, run_key
from adapters.reproduce.sweep.workers import Pool, Workers
from minibert.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


def kept(folder: Path) -> list[str]:
    """The names in the runs file, read line by line without the project's own reader."""
    lines = (folder / FILE).read_text().splitlines()
    return sorted(json.loads(line)["config"]["name"] for line in lines)


def gone(process: int) -> bool:
    """Whether a process has ended, if only as a zombie."""
    try:
        return bool(psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def free(folder: Path, config: dict[str, Any]) -> bool:
    """Whether another sweep could reserve a run now."""
    reservations = Reservations(folder)
    reserved = reservations.reserve(run_key(config))
    reservations.release_all()
    return reserved


# ------------------------------------------------------------------------------------------- keys

# No name that has a meaning ("seed", "base", "answers"), which Hypothesis finds in the code.
NAMES = st.text().map(lambda name: f"{name}?")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
CONFIGS = st.dictionaries(NAMES, VALUES, max_size=5)


def canonical(value: Any) -> str:
    """JSON with sorted fields and no spaces, put together by hand except for the strings."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{canonical(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value)


def reordered(value: Any, draw: Any) -> Any:
    """The same value, with the fields of each dict in another order."""
    if isinstance(value, dict):
        return {k: reordered(value[k], draw) for k in draw(st.permutations(list(value)))}
    return [reordered(each, draw) for each in value] if isinstance(value, list) else value


def test_a_key_is_16_hexadecimal_digits_of_the_canonical_json():
    # printf '{"a":[1,null],"b":{"c":0.5,"d":"e"}}' | sha256sum
    config = {"b": {"d": "e", "c": 0.5}, "a": [1, None]}
    assert run_key(config) == "532bb2f95bc643f6"


@settings(max_examples=50)
@given(CONFIGS)
def test_a_key_is_the_hash_of_a_canonical_form_written_by_hand(config: dict[str, Any]):
    assert run_key(config) == hashlib.sha256(canonical(config).encode()).hexdigest()[:16]


@settings(max_examples=50)
@given(CONFIGS, st.data())
def test_a_key_does_not_depend_on_the_order_of_fields(config: dict[str, Any], data: Any):
    assert run_key(reordered(config, data.draw)) == run_key(config)


@settings(max_examples=50)
@given(CONFIGS.filter(bool), VALUES, st.data())
def test_a_key_changes_with_every_value(config: dict[str, Any], value: Any, data: Any):
    field = data.draw(st.sampled_from(sorted(config)))
    changed = {**config, field: value}
    same = canonical(changed) == canonical(config)
    assert (run_key(changed) == run_key(config)) == same


def test_1_and_one_point_zero_and_true_are_three_configurations_though_python_calls_them_equal():
    assert {"rate": 1} == {"rate": 1.0} == {"rate": True}
    assert len({run_key({"rate": value}) for value in (1, 1.0, True, "1", 0.0, -0.0)}) == 6


# ------------------------------------------------------------------------------------ the runs file


@settings(max_examples=20)  # each writes files to the disk
@given(st.lists(st.tuples(CONFIGS, CONFIGS), max_size=4))
def test_what_is_read_is_what_was_written(runs: list[tuple[dict[str, Any], dict[str, Any]]]):
    with tempfile.TemporaryDirectory() as name:
        expected: dict[str, Any] = {}
        for config, result in runs:
            key = run_key(config)
            assert append_run(Path(name), config, result) == (key not in expected)
            expected.setdefault(key, {"key": key, "config": config, "result": result})
        assert canonical(read_runs(Path(name))) == canonical(expected)


def test_a_folder_without_runs_has_none(tmp_path: Path):
    assert read_runs(tmp_path) == read_runs(tmp_path / "not there") == {}


def test_a_second_result_of_a_configuration_changes_no_byte(tmp_path: Path):
    assert append_run(tmp_path, {"a": 1, "b": 2}, {"score": 1})
    before = (tmp_path / FILE).read_bytes()
    assert not append_run(tmp_path, {"b": 2, "a": 1}, {"score": 2})
    assert (tmp_path / FILE).read_bytes() == before


def test_a_last_line_cut_at_any_byte_is_ignored_and_the_next_run_replaces_it(tmp_path: Path):
    for number in (1, 2):
        append_run(tmp_path, {"n": number}, {"score": number})
    path = tmp_path / FILE
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert [run["config"] for run in read_runs(tmp_path).values()] == [{"n": 1}]
        assert append_run(tmp_path, {"n": 2}, {"score": 2})
        assert path.read_bytes() == whole


def test_a_last_line_that_lacks_only_its_end_is_a_run_and_stays_one(tmp_path: Path):
    for number in (1, 2):
        append_run(tmp_path, {"n": number}, {"score": number})
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(whole.removesuffix(b"\n"))
    assert [run["config"] for run in read_runs(tmp_path).values()] == [{"n": 1}, {"n": 2}]
    assert not append_run(tmp_path, {"n": 2}, {"score": 2})
    assert append_run(tmp_path, {"n": 3}, {"score": 3})
    assert path.read_bytes().startswith(whole)
    assert len(read_runs(tmp_path)) == 3


def test_a_base_may_be_moved():
    """In runs of one task, and in those of several or of a trained one."""

    def keys(base: str, sha256: str = "5f") -> set[str]:
        one = {"kind": "classify", "base": base, "base_sha256": sha256}
        return {run_key(one), run_key({"steps": [one, one]}), run_key({"of": one})}

    assert len(keys("bert")) == 3
    assert keys("/home/me/bert") == keys("../bert") == keys("bert") == keys("some-org/bert")
    assert not keys("bert") & keys("bert", "60")
    assert not keys("bert") & keys("other")


def test_a_run_of_two_lines_is_one_where_it_found_the_same_twice(tmp_path: Path):
    """As when two files are joined by hand."""
    path, config = tmp_path / FILE, {"n": 1}

    def line(result: dict[str, Any]) -> str:
        return json.dumps({"key": run_key(config), "config": config, "result": result}) + "\n"

    path.write_text(line({"score": 1, "seconds": 2.0}) + line({"score": 1, "seconds": 3.0}))
    assert [run["result"]["seconds"] for run in read_runs(tmp_path).values()] == [2.0]
    path.write_text(line({"score": 1}) + line({"score": 2}))
    told = r"row 2: is the run of row 1 with another result; remove one$"
    with pytest.raises(InputError, match=told):
        read_runs(tmp_path)


@pytest.mark.parametrize("seed", [-1, 1000, 2.5, None, "0", True])
def test_a_seed_that_no_run_has_is_refused(tmp_path: Path, seed: Any):
    config = {"n": 1, "seed": seed}
    run = {"key": run_key(config), "config": config, "result": {}}
    (tmp_path / FILE).write_text(json.dumps(run) + "\n")
    with pytest.raises(InputError, match=r"row 1: is damaged: its configuration: seed is "):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        b'{"key": "',
        b'{"key": "0", "key": "1"}',
        b"",
        b"[]",
        b"1",
        b'{"key": "0"}',
        b"\xff",
        b'{"key": "0123456789abcdef", "config": {}, "result": {}}',
        b'{"key": "44136fa355b3678a", "config": {}}',
    ],
)
def test_a_damaged_line_in_the_middle_is_refused_naming_file_and_row(tmp_path: Path, line: bytes):
    for number in (1, 2):
        append_run(tmp_path, {"n": number}, {})
    path = tmp_path / FILE
    first, second = path.read_bytes().splitlines()
    damaged = b"\n".join([first, line, second, b""])
    path.write_bytes(damaged)
    for call in (lambda: read_runs(tmp_path), lambda: append_run(tmp_path, {"n": 3}, {})):
        with pytest.raises(InputError, match=r"runs\.jsonl row 2: ") as caught:
            call()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("in_the_way", ["", "under-way", FILE])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, in_the_way: str):
    folder = tmp_path / "sweep"
    obstacle = folder / in_the_way
    obstacle.parent.mkdir(exist_ok=True)
    if in_the_way == FILE:
        obstacle.mkdir()
    else:
        obstacle.write_text("a file where a folder should be")
    with pytest.raises(InputError, match="cannot be") as caught:
        run_sweep([work("a")], execute, folder, Workers())
    assert str(folder) in str(caught.value)
    if in_the_way != "under-way":
        with pytest.raises(InputError, match="cannot be"):
            append_run(folder, {}, {})


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"runs\.jsonl: cannot be written: No space left"):
        append_run(tmp_path, {}, {})


# ----------------------------------------------------------------------------------- local sweeps


def test_checkpoints_are_removed_once_the_result_is_recorded_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On a full disk, hours of training are not lost."""
    config = work("a")
    checkpoint = tmp_path / "under-way" / run_key(config) / "checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()

    def full(folder: Path, config: dict, result: dict) -> bool:
        raise InputError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("adapters.reproduce.sweep.run_sweep.append_run", full)
        with pytest.raises(InputError, match="no space left"):
            run_sweep([config], execute, tmp_path, Workers(1))
    assert checkpoint.exists()
    run_sweep([config], execute, tmp_path, Workers(1))
    assert not checkpoint.parent.exists()


def test_what_a_sweep_left_that_was_killed_after_recording_a_run_is_removed(tmp_path):
    config = work("a")
    run_sweep([config], execute, tmp_path, Workers(1))
    left = tmp_path / "under-way" / run_key(config)
    left.mkdir()
    (left.parent / f"{left.name}.lock").write_bytes(b"")
    (left.parent / "another.lock").write_bytes(b"")  # of a run that has not finished
    run_sweep([config], execute, tmp_path, Workers(1))
    assert [path.name for path in left.parent.iterdir()] == ["another.lock"]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_configuration_is_computed_once_in_another_process(tmp_path: Path, workers: int):
    configs = [work(name) for name in "abcde"]
    runs = run_sweep([*configs, configs[0]], execute, tmp_path, Workers(workers, threads=3))
    assert names(tmp_path, "end") == kept(tmp_path) == list("abcde")
    assert os.getpid() not in dict(noted(tmp_path, "end")).values()
    assert runs == read_runs(tmp_path)
    assert [*(tmp_path / "under-way").glob("*.lock")] == []
    for config in configs:
        result = runs[run_key(config)]["result"]
        assert result["twice"] == 2 * config["name"]
        assert result["threads"] == 3
        assert result["seconds"] >= 0
        assert result["machine"].endswith(f", {os.cpu_count()} processors")


def test_finished_runs_are_not_computed_again_and_only_wanted_ones_are_returned(tmp_path: Path):
    append_run(tmp_path, work("a"), {"twice": "kept from before"})
    append_run(tmp_path, work("other"), {})
    runs = run_sweep([work("a"), work("b")], execute, tmp_path, Workers())
    assert names(tmp_path, "begin") == ["b"]
    assert [run["result"]["twice"] for run in runs.values()] == ["kept from before", "bb"]


def test_a_run_that_another_sweep_has_finished_in_the_meantime_is_not_started(tmp_path: Path):
    def on_progress(config: dict[str, Any] | None, running: int, left: int) -> None:
        append_run(tmp_path, work("b"), {"twice": "the other's"})  # while "a" is under way

    runs = run_sweep([work("a"), work("b")], execute, tmp_path, Workers(), on_progress)
    assert names(tmp_path, "begin") == ["a"]
    assert [run["result"]["twice"] for run in runs.values()] == ["aa", "the other's"]


def test_a_run_whose_lock_file_is_removed_by_who_finished_it_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another sweep finishes it, and removes its lock file, just when this one has asked for it."""
    other, config = Reservations(tmp_path), work("a")
    reserve = Reservations.reserve

    def finished_before(reserved: Reservations, key: str) -> bool:
        assert reserve(other, key)
        append_run(tmp_path, config, {"by": "another"})
        other.finish(key)
        return reserve(reserved, key)

    monkeypatch.setattr(Reservations, "reserve", finished_before)
    runs = run_sweep([config], execute, tmp_path, Workers())
    assert runs[run_key(config)]["result"] == {"by": "another"}
    assert [*(tmp_path / "under-way").iterdir()] == []


def test_two_workers_compute_at_the_same_time(tmp_path: Path):
    configs = [work("a", ("begin", "b")), work("b", ("begin", "a"))]
    run_sweep(configs, execute, tmp_path, Workers(2))
    assert len({process for _, process in noted(tmp_path, "end")}) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_reserves_no_more_runs_than_it_has_workers(tmp_path: Path, workers: int):
    configs = [work(name) for name in "abcdefg"]
    events: list[tuple[bool, int, int]] = []

    def on_progress(config: dict[str, Any] | None, running: int, left: int) -> None:
        events.append((config is not None, running, left))
        assert sum(not free(tmp_path, each) for each in configs) == running

    run_sweep(configs, execute, tmp_path, Workers(workers), on_progress)
    finished = 0
    for ended, running, left in events:
        finished += ended
        assert finished + running + left == len(configs)
        assert running <= workers
    assert max(running for _, running, _ in events) == workers
    assert len(events) == 2 * len(configs)
    assert events[-1] == (True, 0, 0)


def test_an_exception_ends_the_sweep_its_workers_and_its_reservations_but_keeps_what_has_finished(
    tmp_path: Path,
):
    configs = [
        work("a"),
        work("b", ("begin", "c"), fails=True),
        work("c", ("never", "comes")),
        work("d"),
    ]
    with pytest.raises(InputError, match="b was asked to fail"):
        run_sweep(configs, execute, tmp_path, Workers(2))
    assert kept(tmp_path) == ["a"]
    assert names(tmp_path, "begin") == ["a", "b", "c"]
    assert all(free(tmp_path, config) for config in configs)
    for _, process in noted(tmp_path, "begin"):
        assert gone(process)


def test_what_finishes_at_the_moment_of_an_exception_is_kept(tmp_path: Path):
    class AllAtOnce(Executor):
        def submit(self, run: Any, function: Any, config: Any, *rest: Any) -> Future[Any]:  # type: ignore[override]
            future: Future[Any] = Future()
            if config["fails"]:
                future.set_exception(InputError("failed"))
            else:
                future.set_result((config, {}))
            return future

    configs = [work(str(number), fails=number == 7) for number in range(40)]
    results = sweep_module._results(
        Pool(AllAtOnce(), lambda: 40), execute, iter(configs), tmp_path, 1, lambda: None
    )
    seen = []
    with pytest.raises(InputError, match="failed"):
        for config, _ in results:
            seen.append(config["name"])
    assert sorted(seen, key=int) == [str(number) for number in range(40) if number != 7]


def test_a_killed_worker_costs_its_run_an_attempt_and_nothing_else(tmp_path: Path):
    configs = [work("a", dies=1), *(work(name) for name in "bcde")]
    runs = run_sweep(configs, execute, tmp_path, Workers(2))
    assert kept(tmp_path) == list("abcde")
    assert list(runs) == [run_key(config) for config in configs]
    assert names(tmp_path, "begin").count("a") == 2
    assert names(tmp_path, "end").count("a") == 1


def test_a_run_whose_worker_dies_every_time_ends_the_sweep_with_the_likely_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweep_module, "MOST_KILLS", 1)
    configs = [work("a"), work("b", ("end", "a"), dies=99)]
    with pytest.raises(InputError, match=r"killed repeatedly.*memory") as caught:
        run_sweep(configs, execute, tmp_path, Workers(1))
    assert "\n" not in str(caught.value)
    assert names(tmp_path, "begin").count("b") == 2
    assert kept(tmp_path) == ["a"]
    assert all(free(tmp_path, config) for config in configs)


def test_kills_of_different_runs_end_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As in weeks of a sweep beside other work."""
    monkeypatch.setattr(sweep_module, "MOST_KILLS", 1)
    configs = [work("a"), work("b", ("end", "a"), dies=1), work("c", ("end", "b"), dies=1)]
    run_sweep(configs, execute, tmp_path, Workers(1))
    assert kept(tmp_path) == ["a", "b", "c"]


# ------------------------------------------------------------------------------ sweeps as processes


def start(folder: Path, workers: int, configs: list[dict[str, Any]]) -> "subprocess.Popen[bytes]":
    """A sweep in a process of its own."""
    here = Path(__file__).parents[1]
    paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, here / "sweep_work.py", folder, str(workers), json.dumps(configs)],
        env={**os.environ, "PYTHONPATH": paths},
    )


def test_a_sweep_killed_midway_resumes_and_its_workers_exit(tmp_path: Path):
    slow = [work(name, ("go", "on")) for name in "cd"]
    configs = [work("a"), work("b"), *slow, work("e")]
    first = start(tmp_path, 2, configs)
    until(lambda: {"c", "d"} <= set(names(tmp_path, "begin")))
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert kept(tmp_path) == ["a", "b"]
    for _, process in noted(tmp_path, "begin"):
        until(lambda process=process: gone(process))
    note(tmp_path, "go", "on")
    second = start(tmp_path, 2, configs)
    assert second.wait() == 0
    assert kept(tmp_path) == list("abcde")
    assert names(tmp_path, "begin") == list("abccdde")
    assert names(tmp_path, "end") == list("abcde")


def test_two_sweeps_in_one_folder_share_the_work_and_wait_for_each_other(tmp_path: Path):
    held = work(
        "held", ("end", "last")
    )  # the first sweep has it until the second has done the rest
    shared = [work(f"{number:02}") for number in range(12)]
    alone, last = work("alone"), work("last", *(("end", each["name"]) for each in shared))
    first = start(tmp_path, 2, [held, *shared, alone])
    until(lambda: "held" in names(tmp_path, "begin"))
    second = start(tmp_path, 2, [*reversed(shared), held, last])
    assert first.wait() == second.wait() == 0
    everything = sorted(each["name"] for each in [held, alone, last, *shared])
    assert names(tmp_path, "begin") == names(tmp_path, "end") == kept(tmp_path) == everything


# ------------------------------------------------------------------------------------------- Dask


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes of one thread each; a killed one is restarted."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as made:
        yield made


def on_cluster(cluster: Any) -> Workers:
    return Workers(cluster=cluster.scheduler_address)


def test_a_sweep_uses_all_workers_of_a_cluster_and_then_disconnects(tmp_path: Path, cluster: Any):
    clients = set(cluster.scheduler.clients)
    configs = [work("a", ("begin", "b")), work("b", ("begin", "a")), *map(work, "cdef")]
    most = 0

    def on_progress(config: dict[str, Any] | None, running: int, left: int) -> None:
        nonlocal most
        most = max(most, running)

    runs = run_sweep(configs, execute, tmp_path, on_cluster(cluster), on_progress)
    assert names(tmp_path, "begin") == names(tmp_path, "end") == kept(tmp_path) == list("abcdef")
    assert list(runs) == [run_key(config) for config in configs]
    assert most == 2
    processes = {process for _, process in noted(tmp_path, "begin")}
    assert len(processes) == 2
    assert os.getpid() not in processes
    until(lambda: set(cluster.scheduler.clients) == clients)


def test_a_killed_worker_of_a_cluster_loses_no_run_and_records_none_twice(
    tmp_path: Path, cluster: Any
):
    configs = [work("a", ("begin", "b"), dies=1), *map(work, "bcde")]
    run_sweep(configs, execute, tmp_path, on_cluster(cluster))
    assert kept(tmp_path) == list("abcde")
    assert names(tmp_path, "begin").count("a") == 2
    assert names(tmp_path, "end").count("a") == 1


def test_a_cluster_whose_workers_die_every_time_ends_the_sweep(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    configs = [work("a"), work("b", ("end", "a"), dies=99)]
    with pytest.raises(InputError, match=r"--cluster tcp.*killed repeatedly.*memory"):
        run_sweep(configs, execute, tmp_path, on_cluster(cluster))
    assert kept(tmp_path) == ["a"]
    assert names(tmp_path, "begin") == ["a", "b"]


def test_an_exception_on_a_cluster_is_not_tried_again(tmp_path: Path, cluster: Any):
    configs = [work("a"), work("b", ("end", "a"), fails=True)]
    with pytest.raises(InputError, match="b was asked to fail"):
        run_sweep(configs, execute, tmp_path, on_cluster(cluster))
    assert kept(tmp_path) == ["a"]
    assert names(tmp_path, "begin") == ["a", "b"]
    assert all(free(tmp_path, config) for config in configs)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "nonsense://127.0.0.1:{port}"])
def test_an_address_without_a_scheduler_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
):
    monkeypatch.setattr(workers_module, "PATIENCE", 0.3)
    with socket.socket() as unused:  # bound, but not listening
        unused.bind(("127.0.0.1", 0))
        address = address.format(port=unused.getsockname()[1])
        with pytest.raises(InputError, match=f"--cluster {address}: no scheduler") as caught:
            run_sweep([work("a")], execute, tmp_path, Workers(cluster=address))
    assert "\n" not in str(caught.value)


def test_a_scheduler_without_workers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty:
        monkeypatch.setattr(workers_module, "PATIENCE", 0.3)
        with pytest.raises(InputError, match=r"--cluster tcp.*has no workers"):
            run_sweep([work("a")], execute, tmp_path, on_cluster(empty))


def test_a_cluster_without_dask_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'minibert-adapters\[cluster\]'"):
        run_sweep([work("a")], execute, tmp_path, Workers(cluster="tcp://127.0.0.1:1"))
