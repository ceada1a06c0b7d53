"""The benchmarks: what they count, how they take turns, what they save and what they report.

Nothing is measured here, and no peer is needed.
"""

import ast
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import autograd.numpy as anp
import numpy as np
import pytest
from autograd.extend import defvjp, primitive
from conftest import GOLDENS

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import compare
import machine
import ours
import processes
import records
import report
from bench import fitted
from fixtures import random_checkpoint
from jobs import Setup, against, share
from products import products
from rows import QUICK, TABLE
from scaling import AXES, points
from texts import random_batch, tokens

from adapters.methods.method import split
from adapters.methods.table import method_named
from adapters.recipes import recipe_named
from adapters.task_model import forward, new_task_model
from minibert import fused
from minibert.batch import make_batch
from minibert.checkpoint import Base, load_base
from minibert.errors import InputError
from minibert.model import encode, pool
from minibert.parameters import parameter_shapes
from minibert.tokenizer import Encoded
from minibert.training import loop
from minibert.training.gradients import value_and_grads
from minibert.tree import from_leaves, leaves, merge

# ----------------------------------------------------------------------------- what is counted


def counting_ops() -> SimpleNamespace:
    """The fused operations, except that one function computes every product of two matrices and
    adds its multiply-adds to `done`; attention goes one head of one text at a time."""
    ops = SimpleNamespace(**{name: getattr(fused, name) for name in fused.__all__}, done=0)

    def count(a, b):
        ops.done += a.shape[0] * a.shape[1] * b.shape[1]
        return a @ b

    product = primitive(count)
    defvjp(
        product,
        lambda ans, a, b: lambda g: count(g, b.T),
        lambda ans, a, b: lambda g: count(a.T, g),
    )

    def linear(x, weight, bias):
        return product(x, weight) + bias

    def attention(query, key, value, query_lengths, key_lengths, heads, keep=None, rate=0.0):
        size, texts, start, asked = query.shape[1] // heads, [], 0, 0
        for asking, length in zip(query_lengths, key_lengths, strict=True):
            parts = []
            for head in range(heads):
                own = slice(head * size, (head + 1) * size)
                q = query[asked : asked + asking, own]
                k, v = (x[start : start + length, own] for x in (key, value))
                scores = product(q, anp.transpose(k))
                scores = anp.exp(scores) / anp.sum(anp.exp(scores), axis=1, keepdims=True)
                parts.append(product(scores, v))
            texts.append(anp.concatenate(parts, axis=1))
            start, asked = start + length, asked + asking
        return anp.concatenate(texts)

    ops.linear, ops.attention = linear, attention
    return ops


def batch_of(lengths):
    return make_batch([Encoded(np.arange(1, n + 1), np.zeros(n, np.int64)) for n in lengths])


LENGTHS = [3, 7, 7, 1]


@pytest.mark.parametrize("trained, size", [("nothing", None), ("adapters", 5), ("full", None)])
def test_the_counted_products_are_those_that_a_plain_model_computes(tiny: Base, trained, size):
    """The count equals the formula exactly: both are whole numbers."""
    ops, config = counting_ops(), tiny.config
    method = method_named("head" if trained == "nothing" else trained, size)
    model = new_task_model(tiny, method, recipe_named("paper"), 3, 0)
    own, frozen = split(model.tree, method)

    def loss(flat):
        whole = replace(model, tree=merge(frozen, from_leaves(flat)))
        logits = forward(whole, batch_of(LENGTHS), ops=ops)
        return fused.cross_entropy(logits, np.arange(len(LENGTHS)) % 3)

    flat = dict(leaves(own))
    if trained == "nothing":
        loss(flat)
    else:
        value_and_grads(loss, flat)
    assert ops.done == products(config, LENGTHS, trained=trained, size=size, outputs=3)


def test_the_counted_products_of_all_hidden_states_are_those_of_every_row(tiny: Base):
    ops, batch = counting_ops(), batch_of(LENGTHS)
    pool(tiny.params, encode(tiny.params, batch, tiny.config, ops=ops)[-1], batch, ops)
    assert ops.done == products(tiny.config, LENGTHS, first_only=False)
    assert ops.done > products(tiny.config, LENGTHS)


def test_a_share_of_the_machine_is_a_works_speed_over_that_of_sgemm():
    """By hand, for 4 texts of 8 tokens: the scale is the ratio of the multiply-adds."""
    setup = Setup("python", "peer", 2, Path())
    job = share("tiny", "4x8", "classification", setup)
    work = products(_config("tiny"), [8] * 4, outputs=2)
    assert job.scale == work / (4 * 4096 * 768 * 3072)
    assert job.sides["sgemm"].work["products"] == 4
    record = {"scale": job.scale, "sides": {"ours": _times([2.0]), "sgemm": _times([6.0])}}
    assert records.figure_of("share", record).value == pytest.approx(3 * job.scale, rel=1e-15)


def _config(model):
    from texts import MODELS

    return MODELS[model]


def test_both_sides_get_the_same_texts_and_only_ours_can_import_this_project():
    setup = Setup("python", "peer", 2, Path())
    job = against("tiny", "4x8", {"what": "forward"}, "torch forward", "Haswell", setup)
    ours, peer = job.sides["ours"], job.sides["peer"]
    assert ours.work["batches"] == peer.work["batches"]
    assert ours.work["config"] == peer.work["config"]
    assert ours.work["threads"] == peer.work["threads"] == 2
    assert job.tokens == 32 == tokens(ours.work["batches"])
    assert ours.env == {"PYTHONPATH": str(ROOT), "OPENBLAS_CORETYPE": "Haswell"}
    assert peer.env == {}


def test_random_texts_follow_from_their_seed_and_stay_within_the_vocabulary():
    first = random_batch(3, 50, 20)
    assert first == random_batch(3, 50, 20) != random_batch(3, 50, 20, seed=1)
    ids = {i for text in first[0] for i in text}
    assert [len(text) for text in first[0]] == [50] * 3
    assert 1 <= min(ids) <= max(ids) < 20


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.symbol)
def test_along_an_axis_only_its_own_quantity_changes(axis):
    for at, work in points(axis).items():
        (texts,) = work["batches"]
        seen = {
            "N": tokens(work["batches"]),
            "T": len(texts[0]),
            "L": work["config"]["num_hidden_layers"],
            "m": work["size"],
        }
        assert seen == {"N": 2048, "T": 64, "L": 6, "m": 64} | {axis.symbol: at}


def test_the_line_fitted_to_points_of_a_line_is_that_line():
    axis = AXES[0]
    found = fitted(axis, axis.title, [0.5 + 0.25 * at for at in axis.at], "s")
    # double precision; the points span a factor of 32
    np.testing.assert_allclose([found["start"], found["slope"]], [0.5, 0.25], rtol=1e-10)
    assert found["worst"] < 1e-10


def test_the_line_fitted_to_other_points_minimises_the_squared_relative_errors():
    """At the minimum, the errors are orthogonal to their derivatives: 1/v and at/v."""
    axis = AXES[0]
    at, values = np.array(axis.at, float), np.array([1.0, 3.0, 2.0, 9.0, 4.0, 30.0])
    found = fitted(axis, axis.title, values.tolist(), "s")
    errors = (np.array(found["line"]) - values) / values
    assert abs(np.sum(errors / values)) < 1e-12  # double precision; the terms are of order 1
    assert abs(np.sum(errors * at / values)) < 1e-9  # and here of order 1000
    # the same formula in another order, which may round the last bit of double precision otherwise
    assert found["worst"] == pytest.approx(np.max(np.abs(errors)), rel=1e-14)


def test_the_random_checkpoint_has_every_parameter_under_its_public_name(tiny: Base, tmp_path):
    loaded = load_base(random_checkpoint(tmp_path / "random", tiny.config))
    assert {p: leaf.shape for p, leaf in leaves(loaded.params)} == parameter_shapes(tiny.config)
    assert loaded.extra == ()


STEPS = {"what": "steps", "method": "adapters", "size": 4}
WORKS = [
    {"what": "forward"},
    {"what": "classify", "method": "head"},
    STEPS,
    {**STEPS, "top": 1},
    {**STEPS, "top": 1, "cache": True},
    {"what": "steps", "method": "full"},
]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: " ".join(map(str, work.values())))
def test_our_side_can_repeat_each_work_any_number_of_times(monkeypatch, work):
    done, real = [], ours.train_step

    def watched(problem, settings, state, step, threads):
        done.append(real(problem, settings, state, step, threads))
        return done[-1]

    monkeypatch.setattr(ours, "train_step", watched)
    batches = [random_batch(4, 9, 199, seed)[0] for seed in range(2)]
    given = {"config": vars(_config("tiny")), "batches": batches, "threads": 2, **work}
    run = ours.prepare(given)
    for _ in range(3):
        run()
    assert [state.step for state in done] == list(range(1, 7 if work["what"] == "steps" else 1))
    assert all(np.isfinite(state.losses).all() for state in done)


@pytest.mark.parametrize("how, epochs", [("search", 12 + 4 * 2), ("single runs", 12 * 3)])
def test_a_search_and_single_runs_train_the_same_configurations(monkeypatch, how, epochs):
    """Of 3 epochs; on the tiny base, which has one top half, the grid's six are made twelve."""
    done = []
    texts = ["ba bi", "tikora da", "bo", "morulan di do"] * 3
    work = {"what": "configurations", "how": how, "texts": texts, "train": 8, "epochs": 3}
    six = ours.grid

    def twelve(*arguments):
        return six(*arguments, tops=[1, 2])

    scored = loop.finish_epoch
    monkeypatch.setattr(ours, "grid", twelve)
    monkeypatch.setattr(loop, "finish_epoch", lambda *given: done.append(1) or scored(*given))
    run = ours.prepare({**work, "folder": str(GOLDENS / "tiny"), "threads": 1})
    run()
    assert len(done) == epochs
    run()  # as often as wanted
    assert len(done) == 2 * epochs


# ----------------------------------------------------------------------------- taking turns

WORKER = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
from worker import serve

def prepare(work):
    if work.get("fails") == "at once":
        raise ValueError("no such work")
    print("a library prints something while it is imported")
    def run():
        print("and while it works")
        if work.get("fails"):
            raise ValueError("it broke")
        with open(work["log"], "a") as log:
            log.write(f"{{work['name']}} {{os.getpid()}}\\n")
        block = b"x" * work.get("bytes", 0)
    return run

serve(prepare)
"""


@pytest.fixture
def side(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "PAUSE", 0)
    script = tmp_path / "fake.py"
    script.write_text(WORKER)

    def make(name="a", **more):
        work = {"name": name, "log": str(tmp_path / "log"), **more}
        return processes.Side((sys.executable, str(script)), work)

    return make


def logged(tmp_path):
    return [line.split() for line in (tmp_path / "log").read_text().splitlines()]


def test_sides_take_turns_each_in_one_process_after_a_warm_up_run(side, tmp_path):
    rounds = []
    answers = processes.take_turns(
        {"a": side("a"), "b": side("b")}, 2, 1, lambda: rounds.append(len(logged(tmp_path)))
    )
    assert [name for name, _ in logged(tmp_path)] == ["a", "b"] * 3
    assert len({tuple(line) for line in logged(tmp_path)}) == 2
    assert rounds == [2, 4, 6]
    for given in answers.values():
        assert len(given) == 2
        assert all(answer.keys() == {"seconds", "peak_mb"} for answer in given)
        assert all(answer["seconds"] > 0 for answer in given)


def test_a_memory_round_starts_new_processes_that_run_twice(side, tmp_path):
    answers = processes.start_afresh({"a": side("a"), "b": side("b")}, 2, 1, lambda: None)
    assert [name for name, _ in logged(tmp_path)] == ["a", "a", "b", "b"] * 2
    assert len({pid for _, pid in logged(tmp_path)}) == 4
    assert [len(given) for given in answers.values()] == [2, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_a_workers_peak_memory_is_its_own_and_not_the_drivers(side):
    """A bare Python takes some 10 MB. ru_maxrss of a child would include the driver's 300 MB."""
    ours = bytearray(b"x") * (300 << 20)
    sides = {"small": side(), "large": side(bytes=100 << 20)}
    answers = processes.start_afresh(sides, 1, 1, lambda: None)
    del ours
    small, large = (given[0]["peak_mb"] for given in answers.values())
    assert small < 60
    assert large - small == pytest.approx(100, abs=5)  # MB for malloc and the interpreter


@pytest.mark.parametrize("when, said", [("at once", "no such work"), ("later", "it broke")])
def test_a_worker_that_dies_is_reported_with_its_last_line_of_output(side, when, said):
    with pytest.raises(InputError, match=rf"fake\.py failed: ValueError: {said}$"):
        processes.take_turns({"a": side(fails=when)}, 1, 1, lambda: None)


def test_a_missing_python_is_reported_in_one_line():
    with pytest.raises(InputError, match="cannot start /no/python: No such file"):
        processes.Worker(processes.Side(("/no/python",), {}), 1)
    with pytest.raises(InputError, match="cannot start the peers' /no/python"):
        machine.peers("/no/python")
    with pytest.raises(InputError, match=r"Error: .*; see benchmarks/requirements\.txt$"):
        machine.peers(sys.executable)


def test_whole_commands_are_timed_and_must_succeed_and_print_something(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "PAUSE", 0)

    def python(code):
        return {"a": processes.Side((sys.executable, "-c", code))}

    log = str(tmp_path / "log")
    code = f"open({log!r}, 'a').write('ran ' * 2 + chr(10)); print(1)"
    answers = processes.time_commands(python(code), 2, 1, lambda: None)
    assert len(answers["a"]) == 2
    assert len(logged(tmp_path)) == 3
    failing = "print(1); raise SystemExit('no weights')"
    for bad, said in ((failing, "no weights"), ("", "it printed nothing")):
        with pytest.raises(InputError, match=f"-c .*{said}$"):
            processes.time_commands(python(bad), 1, 1, lambda: None)


def test_both_sides_get_the_same_threads_and_no_variable_that_affects_only_one(monkeypatch):
    for name in ("PYTHONPATH", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    given = processes.environment(2, {"OPENBLAS_CORETYPE": "Haswell"})
    changed = {name: value for name, value in given.items() if os.environ.get(name) != value}
    assert changed == {
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "1",
        "OPENBLAS_CORETYPE": "Haswell",
    }
    assert not given.keys() & {"PYTHONPATH", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}


def imports(name):
    """The top-level packages that a file of the benchmarks imports, directly or through others."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
    for neighbour in found & {path.stem for path in (ROOT / "benchmarks").glob("*.py")}:
        found |= imports(neighbour)
    return found


def test_the_two_packages_called_adapters_never_meet():
    """The peers' processes import nothing of this project, and ours nothing of the peers."""
    assert "adapters" in imports("peer")  # AdapterHub's
    for name in ("peer", "peer_predict"):
        assert "minibert" not in imports(name)
    for path in (ROOT / "benchmarks").glob("*.py"):
        if not path.stem.startswith("peer"):
            assert not imports(path.stem) & {"torch", "transformers", "onnxruntime", "onnx"}


# ----------------------------------------------------------------------------- what is saved

MACHINE = {
    "processor": "A processor",
    "cores": 2,
    "memory_gb": 23.5,
    "system": "Linux 6",
    "threads": 2,
    "python": "3.11.7",
    "ours": {"numpy": "2.4.6"},
    "blas": "OpenBLAS 0.3.31",
    "minibert": "0.1.0",
    "commit": "abc",
    "date": "2026-01-01",
    "sgemm": {"ours": 150.0, "torch": 160.0},
    "peers": {"torch": "2.13.0"},
    "torch_kernels": "AVX512",
}


def _times(seconds):
    return {"seconds": seconds, "peak_mb": [1000 * s for s in seconds]}


def record(name, ours, peer, **more):
    sides = {"ours": _times(ours), "sgemm" if "share" in name else "peer": _times(peer)}
    return {
        "row": name,
        "scale": 1.0,
        "tokens": 2048,
        "note": "",
        "rounds": len(ours),
        "commit": "abc",
        "sides": sides,
    } | more


def every_row():
    return {row.name: record(row.name, [1.0, 2.0, 4.0], [3.0, 3.0, 3.0]) for row in TABLE}


def some(number):
    return dict(list(every_row().items())[:number])


def test_a_truncated_file_keeps_its_complete_rows(tmp_path):
    path = tmp_path / "compare.jsonl"
    records.write_lines(path, MACHINE, some(3))
    whole = path.read_bytes()
    third = whole.rindex(b"\n", 0, -1) + 1
    for cut in (third, third + 1, (third + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert records.read_lines(path) == (MACHINE, some(2))
    old, done = compare.earlier(path, {**MACHINE, "date": "later", "commit": "def"}, [], False)
    assert (old, done) == (MACHINE, some(2))


def test_a_file_that_is_not_a_result_is_refused_naming_the_line(tmp_path):
    path = tmp_path / "compare.jsonl"
    assert records.read_lines(path) == (None, {})
    records.write_lines(path, MACHINE, some(2))
    lines = path.read_text().split("\n")
    for bad in ('{"row":', "3", "{}"):
        path.write_text("\n".join([lines[0], bad, *lines[2:]]))
        with pytest.raises(InputError, match=r"compare\.jsonl: line 2 is not a result"):
            records.read_lines(path)


def test_rows_from_another_machine_are_never_mixed_with_new_ones(tmp_path):
    path = tmp_path / "compare.jsonl"
    records.write_lines(path, MACHINE, some(2))
    other = {**MACHINE, "ours": {"numpy": "3.0"}}
    assert compare.earlier(path, other, [], again=False) == (None, {})
    assert compare.earlier(path, other, ["base-step"], again=True) == (None, {})
    with pytest.raises(InputError, match="is from another machine or other libraries"):
        compare.earlier(path, other, ["base-step"], again=False)


def test_a_complete_comparison_starts_over_unless_rows_are_named(tmp_path):
    path = tmp_path / "compare.jsonl"
    records.write_lines(path, MACHINE, every_row())
    assert compare.earlier(path, MACHINE, [], again=False) == (None, {})
    assert compare.earlier(path, MACHINE, ["base-step"], again=False) == (MACHINE, every_row())


def test_every_row_is_saved_as_it_finishes_and_memory_takes_three_rounds(tmp_path, monkeypatch):
    path, asked = tmp_path / "compare.jsonl", []
    chosen = [row for row in TABLE if row.name in ("minilm-step", "base-memory", "top-1")]
    last = max(chosen, key=TABLE.index).name

    def measured(row, setup, rounds, bar):
        if row.name == last:
            raise KeyboardInterrupt
        asked.append((row.name, rounds))
        return record(row.name, [1.0], [2.0])

    monkeypatch.setattr(compare, "measure_row", measured)
    with pytest.raises(KeyboardInterrupt):
        compare.measure_rows(chosen, Setup("", "", 2, tmp_path), 7, path, MACHINE, {})
    assert asked == [("minilm-step", 7), ("base-memory", 3)]
    machine_then, rows = records.read_lines(path)
    assert machine_then == MACHINE
    assert list(rows) == ["minilm-step", "base-memory"]


def test_bad_options_of_the_comparison_are_refused_in_one_line():
    names = [row.name for row in TABLE]
    assert len(set(names)) == len(names)
    assert set(QUICK) <= set(names)
    quick = compare.options(["--quick"])
    assert (quick.rows, quick.rounds, quick.out) == (list(QUICK), 3, ROOT / "runs/compare-quick")
    assert compare.options([]).rounds >= 5
    with pytest.raises(InputError, match="no row 'nonsense'; --list"):
        compare.main(["--rows", "base-step", "nonsense"])
    with pytest.raises(InputError, match="at least 1"):
        compare.options(["--rounds", "0"])


# ----------------------------------------------------------------------------- what is reported


def test_a_figure_is_the_ratio_of_the_medians_with_the_range_of_single_rounds():
    """By hand: the medians are 2 and 9; the ratios of single rounds are 9, 3 and 2.5."""
    canned = record("x", [1.0, 2.0, 4.0], [9.0, 6.0, 10.0])
    speed = records.figure_of("speed", canned)
    assert speed == records.Figure(4.5, 3.0, 2.5, 9.0)
    assert records.figure_of("time", canned).value == 2 / 9
    assert records.figure_of("memory", canned) == records.Figure(2 / 9, 1 / 3, 1 / 9, 0.4)
    assert records.figure_of("seconds", canned) == records.Figure(2.0, 2.0, 1.0, 4.0)
    halved = {**canned, "scale": 1 / 2000}
    assert records.figure_of("file", halved).value == 1.0


def test_speed_and_share_should_be_high_and_all_other_figures_low():
    figure = records.Figure(2.0, 2.0, 2.0, 2.0)
    for kind, more in [
        ("speed", True),
        ("share", True),
        ("time", False),
        ("memory", False),
        ("seconds", False),
        ("file", False),
    ]:
        assert figure.meets(kind, 2.0)
        assert figure.meets(kind, 1.9) == more
        assert figure.meets(kind, 2.1) != more


def test_the_report_describes_every_row_and_the_machine(tmp_path):
    records.write_lines(tmp_path / "compare.jsonl", MACHINE, every_row())
    text = report.report_compare(tmp_path)
    assert (tmp_path / "compare.md").read_text() == text
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    for told in (
        "A processor",
        "numpy 2.4.6",
        "torch 2.13.0",
        "AVX512",
        "ours 150, torch 160",
        "24 GB",
        "commit abc",
        "Medians of 3 rounds",
    ):
        assert told in text
    lines = {line.split("|")[1].strip(): line for line in text.split("\n") if line.count("|") > 5}
    for row in TABLE:
        assert row.title in lines
    step = [cell.strip() for cell in lines["BERT-base adapter step, 32 x 128"].split("|")[2:-1]]
    assert step == [
        "AdapterHub",
        "2 s, 1,024 tokens/s",
        "3 s, 683 tokens/s",
        "**1.5**",
        "1.5 (0.75–3)",
        "at least 2.5",
        "**no**",
    ]
    share = lines["BERT-base adapter step, 32 x 128: share of sgemm"]
    assert "2 s, 1,024 tokens/s" in share
    assert "26 GFLOP/s" in share  # 4 products of 19.3 GFLOP in 3 s
    memory = lines["BERT-base adapter step, 32 x 128: peak memory"]
    assert "2,000 MB" in memory
    assert "at most 0.45" in memory


def test_the_report_shows_the_time_of_all_layers_beside_that_of_the_top_ones(tmp_path):
    canned = record("top-1", [0.5], [2.0])
    canned["sides"]["all layers"] = _times([4.0])
    records.write_lines(tmp_path / "compare.jsonl", MACHINE, {"top-1": canned})
    assert "2 s, 1,024 tokens/s; all layers 4 s" in report.report_compare(tmp_path)


def test_a_report_has_only_the_measured_rows_and_without_any_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match="run make compare"):
        report.report_compare(tmp_path)
    records.write_lines(tmp_path / "compare.jsonl", MACHINE, some(1))
    text = report.report_compare(tmp_path)
    assert TABLE[0].title in text
    assert TABLE[2].title not in text
    assert "On our own" not in text


def test_the_results_of_bench_become_tables_and_charts(tmp_path):
    row = {
        "title": "MiniLM",
        "texts": "32 x 64",
        "work": "adapter step",
        "tokens": 2048,
        "seconds": 0.512,
        "share": 0.765,
        "peak_mb": 1234.5,
    }
    axes = [fitted(AXES[0], AXES[0].title, [0.001 * at for at in AXES[0].at], "s")]
    axes.append({"title": "memory", "symbol": "N", "unit": "MB", "at": [1, 2], "values": [5, 7.5]})
    for name, found in (("bench", {"rows": [row]}), ("scaling", {"axes": axes})):
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine": MACHINE, **found}))
    text = report.report_bench(tmp_path)
    cells = re.split(r"\s*\|\s*", next(line for line in text.split("\n") if "MiniLM" in line))
    assert cells[1:-1] == ["MiniLM", "32 x 64", "adapter step", "512 ms", "4,000", "76 %", "1,234"]
    assert "ms + 1 ms × N, at most 0 % off" in text
    assert re.search(r"\| MB +\| +5 \| +7.5 \|", text)
    for name in ("bench", "scaling"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_section_is_filled_between_its_own_markers_only():
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n<!-- y -->\nkept\n<!-- end of y -->\n"
    new = report.fill(page, "x", "new \\1")
    assert new == page.replace("old", "\nnew \\1\n")
    assert report.fill(new, "x", "new \\1") == new
    with pytest.raises(InputError, match="has no section z"):
        report.fill(page, "z", "")


def test_the_page_shows_the_committed_results():
    """Every section holds what `benchmarks/report.py` writes for the committed results."""
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    texts = report.page_texts(ROOT / "benchmarks" / "results")
    for name in ("compare", "jobs", "bench", "scaling"):
        section = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", page, flags=re.S)
        assert section, name
        assert texts.get(name, "Not measured yet.").strip() in section[1]
    assert "wanted" not in page  # the wanted figures are only in the results' folder
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", page):
        if target != "../benchmarks/results":  # exists once something has been measured
            assert (ROOT / "docs" / target).exists(), target


def test_the_makefile_has_both_commands_and_keeps_the_peers_apart():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^bench: \$\(VENV\)/installed-cli$", makefile, flags=re.M)
    assert re.search(r"^compare: \$\(VENV\)/installed-cli \$\(PEERS\)/installed$", makefile, re.M)
    peers = re.search(r"^\$\(PEERS\)/installed: .*?\n\n", makefile, flags=re.M | re.S)
    assert peers
    assert "--editable" not in peers[0]
    pinned = (ROOT / "benchmarks" / "requirements.txt").read_text("utf-8").split("\n")[1:-1]
    assert {line.split("==")[0] for line in pinned} == set(machine.PEERS)
