"""Threads: a run's time depends on their number, its bits do not.

Batches are cut into shards and texts into groups by the data alone; each piece is computed by one
thread with one BLAS thread, and results are combined in the pieces' order. Small shards and groups
here, so that the toy task has several of them.
"""

import io
import math
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import autograd.tracer
import numpy as np
import pytest
from autograd import grad, value_and_grad
from command_line import ON_TINY, environment, minibert, works
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from runs import bits, contents, ctrl_c, stop_at, without_dropout
from threadpoolctl import ThreadpoolController, threadpool_limits
from toy import MAX_LENGTH, METHOD_LIST, SETTINGS, examples, toy_data, train

import adapters.cached_layers as cached_layers
import adapters.finetune as finetune
import adapters.predict as predict
import minibert.batch as batching
import minibert.machine.threads as threads_module
from adapters.finetune import prepare
from adapters.methods.table import METHODS
from adapters.predict import encode_examples, evaluate_task, predict_texts
from adapters.task_model import forward
from adapters.training_run import Training
from minibert import ops
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.errors import InputError, Interrupted
from minibert.heads import loss
from minibert.machine.doctor import threads_by
from minibert.machine.threads import VARIABLES, each, one_blas_thread, thread_count
from minibert.parameters import cast
from minibert.training import optim, shards
from minibert.training.gradients import value_and_grads
from minibert.training.shards import batch_gradients, cut
from minibert.tree import from_leaves, merge

NUMBERS = [1, 2, 3, 5]
LONG = 5.0  # seconds: nobody waits for another thread longer than that


@pytest.fixture
def small_pieces(monkeypatch) -> None:
    """A batch of 16 toy texts, of about 110 tokens, is 8 shards; a group of texts has 40 tokens."""
    monkeypatch.setattr(shards, "TOKENS", 16)
    monkeypatch.setattr(batching, "GROUP_TOKENS", 40)


def blas_threads() -> set[int]:
    """How many threads BLAS libraries use just now."""
    libraries = ThreadpoolController().select(user_api="blas").info()
    return {library["num_threads"] for library in libraries}


@pytest.fixture
def three_blas_threads() -> Iterator[None]:
    """Inside, BLAS uses three threads, unless told otherwise."""
    with threadpool_limits(3, user_api="blas"):
        if blas_threads() != {3}:
            pytest.skip("the threads of this BLAS cannot be set")
        yield


# ----------------------------------------------------------------------------- the same bits


@pytest.mark.usefixtures("small_pieces")
class TestAnyNumberOfThreads:
    """With dropout: each shard of each step has a generator of its own."""

    def run(self, tiny: Base, method: Any, threads: int | None) -> tuple[Any, ...]:
        """All that comes out of a run, and of a use of its task."""
        result = train(tiny, method=method, threads=threads)
        texts = [example.text for example in examples(40, seed=3)]
        logits = predict_texts(result.task, tiny, texts, threads)
        scores = evaluate_task(result.task, tiny, toy_data().dev, threads)
        return result.losses, result.epochs, bits(result.task.trained), logits.tobytes(), scores

    @pytest.mark.parametrize("method", METHOD_LIST, ids=lambda method: method.name)
    def test_any_number_of_threads_trains_and_predicts_the_same_bits(self, tiny, method):
        alone = self.run(tiny, method, 1)
        for threads in NUMBERS[1:]:
            assert self.run(tiny, method, threads) == alone, f"{threads} threads"

    def test_results_are_the_same_whatever_number_blas_was_limited_to_before(
        self, tiny, monkeypatch, three_blas_threads
    ):
        """Every loss and every forward pass sees one BLAS thread; afterwards it is three again."""
        alone, seen = self.run(tiny, METHODS["full"], 2), set()

        def watched(real: Any) -> Any:
            def look(*args: Any, **named: Any) -> Any:
                seen.update(blas_threads())
                return real(*args, **named)

            return look

        monkeypatch.setattr(finetune, "loss", watched(finetune.loss))
        monkeypatch.setattr(predict, "forward", watched(predict.forward))
        for threads in (1, 2):
            assert self.run(tiny, METHODS["full"], threads) == alone
        assert seen == {1}
        assert blas_threads() == {3}

    def test_any_number_of_threads_resumes_a_run_that_another_number_began(self, tiny, tmp_path):
        train(tiny, tmp_path / "whole", threads=1)
        with pytest.raises(Interrupted):
            train(tiny, tmp_path / "parts", threads=1, on_report=stop_at(5, ctrl_c))
        train(tiny, tmp_path / "parts", threads=3, resume=True)
        assert contents(tmp_path / "parts") == contents(tmp_path / "whole")

    def test_the_command_line_writes_the_same_with_any_number_of_threads(self, tmp_path):
        texts, seen = ("a lovely day", "never again", "well"), []
        for threads in (1, 3):
            out, number = tmp_path / str(threads), ("--threads", threads)
            works(
                "train",
                "--task",
                "sst-2",
                "--sample",
                "--train-examples",
                40,
                *ON_TINY,
                "--epochs",
                1,
                "--out",
                out,
                *number,
            )
            task = out / "task.safetensors"
            said = [works("evaluate", task, "--sample", "--json", *ON_TINY[:2], *number).out]
            said += [works("predict", task, *texts, "--json", *ON_TINY[:2], *number).out]
            seen.append((task.read_bytes(), *said))
        assert seen[0] == seen[1]


# ----------------------------------------------------------------------------- shards


LENGTHS = st.lists(st.integers(2, 64), min_size=1, max_size=40)


def doublings(tokens: int, aim: int) -> int:
    """The power of two that brings `tokens` nearest to the aim, as a ratio; 2 at least."""
    powers = [2**k for k in range(1, 20)]
    return min(powers, key=lambda power: abs(math.log(tokens / power / aim)))


class TestCut:
    """How a batch becomes shards."""

    @given(lengths=LENGTHS, more=LENGTHS, tokens=st.integers(8, 600), seed=st.integers(0, 99))
    @hypothesis_settings(max_examples=50)
    def test_every_example_is_in_one_shard_and_none_is_empty(self, lengths, more, tokens, seed):
        everybody = np.array(lengths + more)
        batch = np.random.default_rng(seed).permutation(len(everybody))[: len(lengths)]
        parts = cut(batch, everybody, tokens)
        assert all(len(part) for part in parts)
        assert sorted(np.concatenate(parts)) == sorted(batch)

    @given(lengths=LENGTHS, tokens=st.integers(8, 600))
    @hypothesis_settings(max_examples=50)
    def test_shards_go_from_short_to_long_and_leave_equal_lengths_in_order(self, lengths, tokens):
        numbers = np.arange(len(lengths))[::-1]
        order = np.concatenate(cut(numbers, np.array(lengths), tokens)).tolist()
        keys = [(lengths[i], -i) for i in order]
        assert keys == sorted(keys)

    @given(
        lengths=st.lists(st.integers(20, 40), min_size=1, max_size=60), tokens=st.integers(80, 600)
    )
    @hypothesis_settings(max_examples=50)
    def test_there_are_2_4_8_shards_of_about_the_wanted_size_or_one_an_example(
        self, lengths, tokens
    ):
        """Where no text is longer than a shard's share; else a shard's place can stay empty."""
        parts = cut(np.arange(len(lengths)), np.array(lengths), tokens)
        expected = doublings(sum(lengths), tokens)
        if expected > len(lengths):
            assert len(parts) <= len(lengths)
        elif max(lengths) <= sum(lengths) / expected:
            assert len(parts) == expected
        else:
            assert len(parts) <= expected

    @given(lengths=LENGTHS, tokens=st.integers(8, 600))
    @hypothesis_settings(max_examples=50)
    def test_shards_are_balanced_to_one_texts_length(self, lengths, tokens):
        """A text goes where its middle lies, so half a text sticks out at either end at most."""
        sizes = np.array(lengths)
        count = min(doublings(sum(lengths), tokens), len(lengths))
        for part in cut(np.arange(len(lengths)), sizes, tokens):
            assert sizes[part].sum() <= sum(lengths) / count + max(lengths)

    def test_the_shards_of_a_few_batches_are_those_by_hand(self):
        def shapes(lengths: list[int], tokens: int) -> list[list[int]]:
            sizes = np.array(lengths)
            return [sizes[part].tolist() for part in cut(np.arange(len(lengths)), sizes, tokens)]

        assert shapes([7], 512) == [[7]]
        assert shapes([9, 7], 512) == [[7], [9]]
        assert shapes([5, 3, 4, 4], 512) == [[3, 4], [4, 5]]
        assert shapes([10] * 8, 20) == [[10, 10]] * 4  # 80 tokens: 4 shards of 20
        assert shapes([10] * 8, 28) == [[10, 10]] * 4  # 2.9: 4 is nearer than 2, as a ratio
        assert shapes([10] * 8, 40) == [[10] * 4] * 2
        assert shapes([1, 1, 100, 1], 1) == [[1, 1, 1], [100]]


class TestShardedGradients:
    """loss(batch) = sum_s (B_s / B) loss(shard s), and so are the gradients."""

    @staticmethod
    def training(tiny: Base, method: Any, regression: bool, dtype: Any) -> Training:
        """Of 21 examples, without dropout, all parameters of that dtype."""
        base = without_dropout(replace(tiny, params=cast(tiny.params, dtype)))
        data = toy_data(21, 4, regression)
        made = prepare(base, data, method, SETTINGS, max_length=MAX_LENGTH)
        return replace(made, model=replace(made.model, tree=cast(made.model.tree, dtype)))

    @pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
    @pytest.mark.parametrize("method", [*METHOD_LIST[:2]], ids=lambda method: method.name)
    @pytest.mark.usefixtures("small_pieces")
    def test_sharded_gradients_are_the_whole_batchs(self, tiny, method, regression):
        """Against autograd's own gradient of the plain `ops` over the batch in one piece, float64:
        sums of some 150 tokens' terms in another order."""
        training = self.training(tiny, method, regression, np.float64)
        problem, data = training.problem(), toy_data(21, 4, regression).train
        flat, everybody = problem.leaves, np.random.default_rng(0).permutation(21)
        encoded = encode_examples(tiny, data, MAX_LENGTH)
        batch = make_batch([encoded[i] for i in everybody])
        labels = np.array([data[i].label for i in everybody])
        if regression:  # standardised, as the head learns them
            scores = np.array([example.label for example in data])
            labels = ((labels - scores.mean()) / scores.std()).astype(np.float32)

        def whole(params: dict[str, Any]) -> Any:
            own = from_leaves({path: params[path] for path in flat})
            model = replace(training.model, tree=merge(training.model.tree, own))
            return loss(forward(model, batch, ops=ops), labels, regression, ops)

        value, expected = value_and_grad(whole)(flat)
        lengths = np.array([len(text.ids) for text in encoded])
        assert problem.lengths.tolist() == lengths.tolist()
        assert len(cut(everybody, lengths, shards.TOKENS)) == 8
        for threads in (1, 3):
            got, grads = batch_gradients(
                problem.loss, flat, everybody, lengths, np.random.default_rng, threads
            )
            np.testing.assert_allclose(got, value, rtol=1e-13)
            assert grads.keys() == expected.keys()
            for path, gradient in grads.items():
                np.testing.assert_allclose(
                    gradient, expected[path], rtol=0, atol=1e-12, err_msg=path
                )

    @pytest.mark.usefixtures("small_pieces")
    def test_sharded_gradients_of_float32_are_float32(self, tiny):
        problem = self.training(tiny, METHODS["full"], False, np.float32).problem()
        flat, lengths = problem.leaves, np.array(problem.lengths)
        _, grads = batch_gradients(
            problem.loss, flat, np.arange(21), lengths, np.random.default_rng, 2
        )
        assert {gradient.dtype for gradient in grads.values()} == {np.dtype(np.float32)}
        assert {path: g.shape for path, g in grads.items()} == {p: x.shape for p, x in flat.items()}

    def test_each_shard_draws_its_dropout_from_its_own_generator(self, monkeypatch):
        monkeypatch.setattr(shards, "TOKENS", 10)
        seen: dict[int, float] = {}

        def noisy(flat: dict[str, Any], numbers: np.ndarray, rng: np.random.Generator) -> Any:
            seen[int(numbers[0])] = rng.random()
            return flat["x"] * 1.0

        asked: list[int] = []

        def generator(shard: int) -> np.random.Generator:
            asked.append(shard)
            return np.random.default_rng(shard)

        lengths = np.array([10, 11, 12, 13])
        value, grads = batch_gradients(
            noisy, {"x": np.array(3.0)}, np.arange(4), lengths, generator, 3
        )
        assert sorted(asked) == [0, 1, 2, 3]
        assert seen == {s: np.random.default_rng(s).random() for s in range(4)}
        assert (value, grads["x"]) == (3.0, 1.0)

    def test_with_many_parameters_a_batch_is_cut_into_fewer_shards(self, monkeypatch):
        """Adding up large gradients costs more than larger shards do."""
        monkeypatch.setattr(shards, "MANY", 100)
        monkeypatch.setattr(shards, "TOKENS", 10)
        monkeypatch.setattr(shards, "TOKENS_OF_MANY", 40)
        for size, number in ((100, 8), (101, 2)):
            calls: list[int] = []

            def one(flat: dict[str, Any], batch: np.ndarray, rng: Any, calls: Any = calls) -> Any:
                calls.append(len(batch))
                return flat["x"][0]

            batch_gradients(
                one, {"x": np.zeros(size)}, np.arange(8), np.full(8, 10), lambda shard: None, 1
            )
            assert calls == [8 // number] * number


# ----------------------------------------------------------------------------- pieces


class TestEach:
    """`each(function, items, threads)`: map, with up to so many items at once."""

    @pytest.mark.parametrize("threads", NUMBERS)
    def test_results_come_in_the_items_order(self, threads):
        assert list(each(lambda i: i * i, range(40), threads)) == [i * i for i in range(40)]
        assert list(each(lambda i: i * i, [], threads)) == []

    def test_the_order_is_kept_when_a_later_piece_ends_first(self):
        second_ended = threading.Event()

        def piece(number: int) -> int:
            if number == 0:
                assert second_ended.wait(LONG)
            if number == 1:
                second_ended.set()
            return number

        assert list(each(piece, range(4), 2)) == [0, 1, 2, 3]

    @pytest.mark.parametrize("threads", [2, 3, 5])
    def test_as_many_pieces_as_threads_run_at_once_and_no_more(self, threads):
        """Each piece waits until so many are under way, so fewer would wait for ever."""
        together, lock, running, most = threading.Barrier(threads), threading.Lock(), [], []

        def piece(number: int) -> None:
            with lock:
                running.append(number)
                most.append(len(running))
            together.wait(LONG)
            with lock:
                running.remove(number)

        assert len(list(each(piece, range(4 * threads), threads))) == 4 * threads
        assert max(most) == threads

    def test_one_thread_is_the_callers_own(self):
        assert set(each(lambda i: threading.get_ident(), range(5), 1)) == {threading.get_ident()}
        assert threading.get_ident() not in each(lambda i: threading.get_ident(), range(5), 2)

    @pytest.mark.parametrize("threads", NUMBERS)
    def test_work_runs_ahead_of_who_takes_the_results_by_a_few_items_only(self, threads):
        """Even of endlessly many items."""
        ahead = 0 if threads == 1 else threads + 1
        taken_from: list[int] = []

        def items() -> Iterator[int]:
            for i in count():
                taken_from.append(i)
                yield i

        results = each(lambda i: -i, items(), threads)
        assert taken_from == []  # nothing is begun before somebody asks
        for number in range(20):
            assert next(results) == -number
            assert len(taken_from) == number + 1 + ahead
        results.close()
        assert list(each(abs, range(3), threads)) == [0, 1, 2]
        assert len(taken_from) == 20 + ahead

    def test_a_result_is_let_go_of_once_the_next_is_asked_for(self):
        """A shard's gradients are large: the second piece here waits until the first result, which
        nobody else has any more, is gone."""
        references: list[weakref.ref[Any]] = []
        taken = threading.Event()

        def piece(number: int) -> np.ndarray:
            if number == 1:
                assert taken.wait(LONG)
                until = time.monotonic() + LONG
                while references[0]() is not None:
                    assert time.monotonic() < until, "the first result is still kept"
                    time.sleep(0.001)
            return np.full(3, number)

        results = each(piece, range(3), 2)
        first = next(results)
        references.append(weakref.ref(first))
        del first
        taken.set()
        assert [int(result[0]) for result in results] == [1, 2]


@pytest.fixture
def terminal():
    """Ctrl-C as at a terminal: a job that a shell started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class TestMisfortunes:
    """An exception in a piece is the caller's; nothing goes on behind its back."""

    @pytest.mark.parametrize("threads", NUMBERS)
    @pytest.mark.parametrize("error", [ValueError, InputError, KeyboardInterrupt, SystemExit])
    def test_an_error_in_a_piece_surfaces_and_later_pieces_are_not_begun(self, threads, error):
        begun, ended, got = [], [], []

        def piece(number: int) -> int:
            begun.append(number)
            if number == 2:
                raise error("piece 2")
            time.sleep(0.01)
            ended.append(number)
            return number

        with pytest.raises(error, match=r"^piece 2$"):
            for result in each(piece, range(100), threads):
                got.append(result)
        assert got == [0, 1]
        assert sorted(ended) == sorted(set(begun) - {2}), "a piece was still running"
        assert set(begun) <= set(range(3 if threads == 1 else 3 + threads))
        before = list(begun)
        assert list(each(abs, range(9), threads)) == list(range(9))
        assert begun == before, "a piece was begun afterwards"

    @pytest.mark.parametrize("threads", [1, 2])
    def test_an_error_of_the_items_or_of_who_takes_the_results_ends_the_work(self, threads):
        def items() -> Iterator[int]:
            yield from range(5)
            raise InputError("no sixth item")

        with pytest.raises(InputError, match="no sixth item"):
            list(each(abs, items(), threads))
        ended: list[int] = []
        with pytest.raises(ZeroDivisionError):
            for number in each(lambda i: ended.append(i) or i, count(), threads):
                number // (3 - number)
        assert len(ended) <= 4 + 3

    @pytest.mark.skipif(sys.platform == "win32", reason="signals of a thread are POSIX")
    def test_ctrl_c_passes_through_after_the_pieces_under_way(self, three_blas_threads, terminal):
        begun, ended = [], []

        def piece(number: int) -> None:
            begun.append(number)
            time.sleep(0.1)
            if number == 0:  # while the main thread waits for this piece
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.1)
            ended.append(number)

        with pytest.raises(KeyboardInterrupt):
            list(each(piece, range(100), 2))
        assert sorted(ended) == sorted(begun)
        assert len(begun) <= 4
        assert blas_threads() == {3}

    def test_a_run_that_stops_with_an_error_on_several_threads_can_be_resumed(
        self, tiny, tmp_path, monkeypatch, small_pieces
    ):
        train(tiny, tmp_path / "whole", threads=1)
        real, numbers = finetune.loss, count(1)

        def stopped(*args: Any) -> Any:
            if next(numbers) == 8 * 4 + 3:  # in the fifth step
                raise KeyboardInterrupt
            return real(*args)

        monkeypatch.setattr(finetune, "loss", stopped)
        with pytest.raises(Interrupted, match=r"^stopped after step 4 of 9$"):
            train(tiny, tmp_path / "parts", threads=3)
        train(tiny, tmp_path / "parts", threads=3, resume=True)
        assert contents(tmp_path / "parts") == contents(tmp_path / "whole")

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_process_has_threads_of_its_own(self):
        """A fork inherits no thread, so a pool of its parent's would never answer."""
        assert list(each(abs, range(5), 2)) == list(range(5))
        child = os.fork()
        if child == 0:  # no test continues here, whatever happens
            try:
                signal.alarm(int(LONG))
                os._exit(0 if list(each(abs, range(5), 2)) == list(range(5)) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    @pytest.mark.parametrize("at", ["while it enters", "within"])
    def test_a_fork_while_another_thread_limits_blas_does_not_hang(
        self, at, three_blas_threads, monkeypatch
    ):
        """That thread, which would give back the lock and the limit, is not in the child."""
        there, leave = threading.Event(), threading.Event()
        real = threads_module._anyone_may_limit

        def wait() -> None:
            there.set()
            leave.wait(LONG)

        def entering() -> None:
            wait()
            real()

        def other() -> None:
            if at == "while it enters":
                monkeypatch.setattr(threads_module, "_anyone_may_limit", entering)
            with one_blas_thread:
                if at == "within":
                    wait()

        thread = threading.Thread(target=other)
        thread.start()
        there.wait(LONG)
        monkeypatch.undo()
        child = os.fork()
        if child == 0:  # no test continues here, whatever happens
            try:
                signal.alarm(int(LONG))
                fine = list(each(lambda i: blas_threads(), range(3), 2)) == [{1}] * 3
                os._exit(0 if fine and blas_threads() == {3} else 1)
            finally:
                os._exit(2)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        leave.set()
        thread.join(LONG)
        assert code == 0
        assert blas_threads() == {3}


@pytest.mark.usefixtures("three_blas_threads")
class TestOneBlasThread:
    """Two layers of threads would fight for the cores: BLAS gets one thread while `each` works."""

    @pytest.mark.parametrize("threads", [1, 2])
    def test_blas_has_one_thread_within_each_and_as_many_as_before_afterwards(self, threads):
        seen = list(each(lambda i: blas_threads(), range(4), threads))
        assert seen == [{1}] * 4
        assert blas_threads() == {3}

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_blas_limit_ends_with_an_exception_or_when_no_more_is_taken(self, threads):
        with pytest.raises(ZeroDivisionError):
            list(each(lambda i: 1 // i, range(3), threads))
        assert blas_threads() == {3}
        results = each(abs, count(), threads)
        next(results)
        assert blas_threads() == {1}
        results.close()
        assert blas_threads() == {3}

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_blas_limit_lasts_to_the_end_of_the_outer_of_two_nested_uses(self, threads):
        for _ in each(abs, range(3), threads):
            assert list(each(lambda i: blas_threads(), range(3), threads)) == [{1}] * 3
            assert blas_threads() == {1}
        assert blas_threads() == {3}

    def test_blas_has_one_thread_whichever_thread_asks_for_it(self):
        seen: list[set[int]] = []

        def use() -> None:
            seen.extend(each(lambda i: blas_threads(), range(2), 1))

        for _ in range(2):
            use()
            other = threading.Thread(target=use)
            other.start()
            other.join(LONG)
        assert seen == [{1}] * 8
        assert blas_threads() == {3}

    def test_the_blas_limit_lasts_to_the_end_of_the_later_of_two_users(self):
        """The first to come is the first to go here."""
        first_in, second_in, first_gone = (threading.Event() for _ in range(3))
        seen = []

        def first_piece(item: int) -> None:
            first_in.set()
            assert second_in.wait(LONG)

        def second_piece(item: int) -> None:
            assert first_in.wait(LONG)
            second_in.set()
            assert first_gone.wait(LONG)
            seen.append(blas_threads())

        def first() -> None:
            list(each(first_piece, [0], 1))
            first_gone.set()

        users = [
            threading.Thread(target=first),
            threading.Thread(target=lambda: list(each(second_piece, [0], 1))),
        ]
        for user in users:
            user.start()
        for user in users:
            user.join(LONG)
        assert seen == [{1}]
        assert blas_threads() == {3}


# ----------------------------------------------------------------------------- how many


def with_quota(monkeypatch: pytest.MonkeyPatch, cpu_max: str) -> None:
    """As in a container whose cgroup has this cpu.max: microseconds in each period, or "max"."""
    from joblib.externals.loky.backend import context

    def opened(path: str) -> io.StringIO:
        assert path == "/sys/fs/cgroup/cpu.max"
        return io.StringIO(cpu_max)

    monkeypatch.setattr(context, "open", opened, raising=False)
    real = os.path.exists  # matplotlib may be imported meanwhile, and looks for its own files
    monkeypatch.setattr(os.path, "exists", lambda path: str(path).endswith("cpu.max") or real(path))


class TestThreadCount:
    @pytest.fixture(autouse=True)
    def eight_cores(self, monkeypatch) -> None:
        """A process that may run on 8 of 64 cores, without a quota, and no variable set."""
        with_quota(monkeypatch, "max 100000")
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 64)
        for name in (*VARIABLES, "LOKY_MAX_CPU_COUNT"):
            monkeypatch.delenv(name, raising=False)

    def test_there_are_as_many_threads_as_cores_that_the_process_may_use(self):
        assert thread_count() == 8

    @pytest.mark.parametrize(
        "cpu_max, expected",
        [("100000 100000", 1), ("50000 100000", 1), ("150000 100000", 2), ("900000 100000", 8)],
    )
    def test_a_containers_quota_of_cores_counts_rounded_up(self, monkeypatch, cpu_max, expected):
        with_quota(monkeypatch, cpu_max)
        assert thread_count() == expected
        assert threads_by(os.environ, expected) == "one for each core that this process may use"

    @pytest.mark.parametrize("cores, expected", [(64, 64), (None, 1)])
    def test_all_cores_count_where_affinity_is_unknown(self, monkeypatch, cores, expected):
        """macOS does not tell; `os.cpu_count` may not know either."""
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setitem(sys.modules, "psutil", None)  # which joblib would ask
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        assert thread_count() == expected

    @pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"])
    @pytest.mark.parametrize(
        "said, expected",
        [
            ("3", 3),
            ("1", 1),
            ("007", 7),
            ("99", 8),
            (" 1", 1),
            ("2\t", 2),
            *(
                (garbage, 8)
                for garbage in ("", "0", "-2", "2.5", "many", "²", "1e1", "+", " ", ",")
            ),
        ],
    )
    def test_what_bounds_blas_bounds_the_thread_count_and_garbage_does_not(
        self, monkeypatch, name, said, expected
    ):
        monkeypatch.setenv(name, said)
        assert thread_count() == expected
        reason = f"{name}={said.strip()}" if expected < 8 else "one for each core"
        assert threads_by(os.environ, expected).startswith(reason)

    @pytest.mark.parametrize("said, expected", [("1,1", 1), ("4,2", 4), (" 3 , 2", 3), ("0,2", 8)])
    def test_the_first_number_of_a_list_for_nested_levels_counts(self, monkeypatch, said, expected):
        """OMP_NUM_THREADS may be a list: OpenMP 5.2, section 21.1.2."""
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        assert thread_count() == expected
        if expected < 8:
            assert threads_by(os.environ, expected) == f"OMP_NUM_THREADS={said.strip()}"

    @pytest.mark.parametrize("pieces, expected", [(1, 1), (3, 3), (9, 8), (None, 8)])
    def test_there_are_no_more_threads_than_pieces_of_work(self, pieces, expected):
        assert thread_count(None, pieces) == expected
        assert thread_count(5, pieces) == 5

    @pytest.mark.parametrize("bound", ["thread_count(None, 1)", "thread_count(3)"])
    def test_joblib_is_not_imported_where_the_thread_count_is_certain(self, bound):
        """Its import takes 80 ms; a sentence is classified in less."""
        script = f"import sys; from minibert.machine.threads import *; {bound}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=environment(),
        )
        assert "joblib" not in done.stdout.split()

    def test_the_smallest_bound_counts(self, monkeypatch):
        for name, said in zip(VARIABLES, ("5", "x", "4"), strict=True):
            monkeypatch.setenv(name, said)
        assert thread_count() == 4

    @pytest.mark.parametrize("asked", [1, 2, 100])
    def test_the_thread_count_asked_for_is_used_whatever_else_is_set(self, monkeypatch, asked):
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        assert thread_count(asked) == asked

    @pytest.mark.parametrize("asked", [0, -1])
    def test_a_thread_count_below_1_is_refused(self, tiny, asked):
        message = f"^threads must be at least 1, not {asked}$"
        for use in (
            lambda: thread_count(asked),
            lambda: train(tiny, threads=asked),
            lambda: train(tiny, threads=asked, method=METHODS["head"]),
        ):
            with pytest.raises(InputError, match=message):
                use()

    def test_the_thread_count_of_the_command_line_is_what_is_used(self, tmp_path, monkeypatch):
        """In the training loop, its evaluations and both other commands; 7 to know it again."""
        used: list[int] = []

        def watched(function: Any, items: Any, threads: int) -> Any:
            used.append(threads)
            return each(function, items, threads)

        for module in (shards, optim, predict, cached_layers):
            monkeypatch.setattr(module, "each", watched)
        out, seven = tmp_path / "run", ("--threads", 7)
        task = out / "task.safetensors"
        for words, least in (
            (
                (
                    "train",
                    "--task",
                    "sst-2",
                    "--sample",
                    "--train-examples",
                    20,
                    *ON_TINY,
                    "--method",
                    "head",
                    "--epochs",
                    2,
                    "--out",
                    out,
                ),
                1 + 2 + 2 + 2 + 1,  # the last for the report page
            ),
            (("evaluate", task, "--sample", *ON_TINY[:2]), 1),
            (("predict", task, "a text", *ON_TINY[:2]), 1),
        ):
            used.clear()
            works(*words, *seven)
            assert used == [7] * least, words[0]

    def test_the_command_line_refuses_threads_below_1_before_any_work(self, tmp_path):
        out, missing = tmp_path / "run", tmp_path / "task.safetensors"
        for words in (
            ("train", "--task", "sst-2", "--sample", *ON_TINY, "--out", out),
            ("evaluate", missing, "--sample"),
            ("predict", missing, "a text"),
        ):
            for asked in (0, -3):
                result = minibert(*words, f"--threads={asked}")
                expected = f"minibert: error: threads must be at least 1, not {asked}\n"
                assert result == (2, "", expected), words
        assert list(tmp_path.iterdir()) == []
        result = minibert("predict", missing, "a text", "--threads", "two")
        assert (result.code, len(result.err.splitlines())) == (2, 1)
        assert "argument --threads: invalid int value: 'two'" in result.err


# ----------------------------------------------------------------------------- autograd


class TestDifferentiatingInThreads:
    """autograd numbers differentiations by how deep they are nested, with one counter for the whole
    process. Of two threads, one would see the other's as nested in its own."""

    @pytest.mark.parametrize("turn", range(3))
    def test_a_nested_gradient_survives_that_of_another_thread_which_ends_meanwhile(self, turn):
        """d/dx x (d/dy x y^2 at y = 3) = d/dx 6 x^2 = 12 x. If x and y were of the same level, the
        inner derivative would be a number that has forgotten x.

        With a common counter: A is at level 0, B at 1; A ends, so B's inner one is at 1 again.
        """
        a_began, b_began, a_ended = (threading.Event() for _ in range(3))

        def a_function(x: Any) -> Any:
            a_began.set()
            assert b_began.wait(LONG)
            return x * x * x

        def b_function(x: Any) -> Any:
            b_began.set()
            assert a_ended.wait(LONG)
            return x * grad(lambda y: x * y * y)(3.0)

        def piece(number: int) -> float:
            if number == 0:
                slope = grad(a_function)(2.0)
                a_ended.set()
                return slope
            assert a_began.wait(LONG)
            return grad(b_function)(5.0)

        assert list(each(piece, [0, 1], 2)) == [12.0, 60.0]

    def test_the_gradients_of_a_dict_survive_those_of_another_thread(self):
        """The same with the training loop's own backward pass."""
        a_began, b_began, a_ended = (threading.Event() for _ in range(3))

        def a_loss(leaves: dict[str, Any]) -> Any:
            a_began.set()
            assert b_began.wait(LONG)
            return leaves["x"] ** 3

        def b_loss(leaves: dict[str, Any]) -> Any:
            b_began.set()
            assert a_ended.wait(LONG)
            x = leaves["x"]
            return x * grad(lambda y: x * y * y)(3.0)

        def piece(number: int) -> float:
            if number == 0:
                _, grads = value_and_grads(a_loss, {"x": np.array(2.0)})
                a_ended.set()
            else:
                assert a_began.wait(LONG)
                _, grads = value_and_grads(b_loss, {"x": np.array(5.0)})
            return float(grads["x"])

        assert list(each(piece, [0, 1], 2)) == [12.0, 60.0]

    def test_all_threads_can_differentiate_at_every_level_together(self):
        """x^2 d/dy (x y^2 at y = 3) = 6 x^3 with the slope 18 x^2."""
        threads = 4
        together = threading.Barrier(threads)

        def outer(x: Any) -> Any:
            def inner(y: Any) -> Any:
                together.wait(LONG)
                return x * y * y

            together.wait(LONG)
            slope = grad(inner)(3.0)
            together.wait(LONG)
            return x * x * slope

        got = list(each(lambda k: grad(outer)(1.0 + k), range(3 * threads), threads))
        assert got == [18 * (1.0 + k) ** 2 for k in range(3 * threads)]

    def test_levels_are_counted_back_when_a_function_raises(self):
        def failing(x: Any) -> Any:
            raise InputError("no")

        for _ in range(3):
            with pytest.raises(InputError):
                grad(failing)(1.0)
            assert autograd.tracer.trace_stack.top == -1  # as before anything
        assert grad(lambda x: x * grad(lambda y: x * y * y)(3.0))(5.0) == 60.0
        assert autograd.tracer.trace_stack.top == -1


def test_the_pairs_of_this_file_are_what_they_seem(tiny, small_pieces):
    """Several shards, several groups: else one thread would be as good as five."""
    encoded = encode_examples(tiny, toy_data().train, MAX_LENGTH)
    lengths = [len(text.ids) for text in encoded]
    assert len(cut(np.arange(16), np.array(lengths), shards.TOKENS)) == 8
    assert len(batching.group_by_length(lengths)) > 5
