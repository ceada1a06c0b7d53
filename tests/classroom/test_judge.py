"""The judge of the exercises: what its assertions say about a wrong result, that only data passes
between the student's process and the judge's, and that no trick in a student's file can pass."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from command_line import environment
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from wrong_solutions import wrong_source

from adapters.exercises.assertions import StudentError, Wrong, exactly, raises, same, untouched
from adapters.exercises.catalogue import exercises
from adapters.exercises.grade import grade
from adapters.exercises.judge import judge
from adapters.exercises.messages import Garbled, Other, pack, unpack
from adapters.exercises.student import Process, Student
from minibert import ops

F32 = np.float32
RIGHT = np.array([[1.0, 2.0], [3.0, 4.0]])  # as an oracle has it, in float64
NET = 300  # seconds; a safety net that nothing here needs


def told(check, *args, **kwargs) -> str:
    """The message of an assertion that must fail."""
    with pytest.raises(Wrong) as caught:
        check(*args, **kwargs)
    return str(caught.value)


class TestSame:
    def test_the_right_result_in_float32_is_accepted(self):
        same(RIGHT.astype(F32), RIGHT, "f(x)")

    def test_a_result_of_the_wrong_type_is_named_first(self):
        assert told(same, None, RIGHT, "f(x)") == (
            "f(x) returned None, but should be an array: is the return missing?"
        )
        assert "is a set" in told(same, {1}, RIGHT, "f(x)")
        assert "is a list" in told(same, [1.0], RIGHT, "f(x)")

    def test_after_the_type_come_shape_dtype_nan_and_the_first_wrong_value(self):
        """A result with all of these faults, fixed one after the other."""
        got = np.array([1.0, np.nan, 3.0])
        assert told(same, got, RIGHT, "f(x)") == "f(x) has shape (3,), but should have (2, 2)"
        got = np.array([[1.0, 2.5], [np.nan, 5.0]])
        message = told(same, got, RIGHT, "f(x)")
        assert message.startswith("f(x) has dtype float64, but should have float32\nA float64")
        message = told(same, got.astype(F32), RIGHT, "f(x)")
        assert message.startswith("f(x) at [1, 0] is nan, but should be 3: ")
        got[1, 0] = 3.0
        assert told(same, got.astype(F32), RIGHT, "f(x)") == (
            "f(x) at [0, 1] is 2.5, but should be 2, the first of 2 wrong values among 4"
        )
        got[1, 1] = 4.0
        assert told(same, got.astype(F32), RIGHT, "f(x)") == (
            "f(x) at [0, 1] is 2.5, but should be 2, the only wrong value among 4"
        )

    def test_the_tolerance_is_relative_to_1_plus_the_value(self):
        for value in (0.0, 1.0, -1000.0):
            edge = 1e-3 * (1 + abs(value))
            same(np.array(value + 0.99 * edge), np.array(value), "f", 1e-3, dtype=None)
            told(same, np.array(value + 1.01 * edge), np.array(value), "f", 1e-3, dtype=None)

    def test_a_known_wrong_result_is_explained(self):
        meanings = [(RIGHT + 1, "plus one"), (lambda: RIGHT.T[:1], "a row")]
        got = (RIGHT + 1).astype(F32)
        assert told(same, got, RIGHT, "f(x)", meanings=meanings).endswith("\nplus one")
        got = RIGHT.T[:1].astype(F32)
        assert told(same, got, RIGHT, "f(x)", meanings=meanings).endswith("\na row")
        assert "\n" not in told(same, (RIGHT * 7).astype(F32), RIGHT, "f(x)", meanings=meanings)

    def test_infinity_is_accepted_only_where_it_is_expected(self):
        right = np.array([-np.inf, 0.0])
        same(right.astype(F32), right, "f(x)")
        assert "at [0] is -1" in told(same, np.array([-1, 0], F32), right, "f(x)")
        assert "is inf" in told(same, np.array([np.inf, 0], F32), right, "f(x)")

    def test_integers_and_bools_must_be_of_that_kind(self):
        same(np.array([1, 2], np.int32), np.array([1, 2]), "f(x)")
        assert "should have integers" in told(same, np.array([1.0]), np.array([1]), "f(x)")
        assert "at [1] is 3" in told(same, np.array([1, 3]), np.array([1, 2]), "f(x)")
        assert "should have bool" in told(same, np.array([1]), np.array([True]), "f(x)")

    def test_a_number_may_be_of_any_type(self):
        for got in (0.5, F32(0.5), np.array(0.5)):
            same(got, 0.5, "f(x)")
        assert told(same, 0.25, 0.5, "f(x)") == "f(x) is 0.25, but should be 0.5"

    def test_nested_results_are_compared_part_by_part_and_the_part_is_named(self):
        right = {"down": {"weight": RIGHT}, "pair": (1.0, 2.0)}
        good = {"down": {"weight": RIGHT.astype(F32)}, "pair": (1.0, 2.0)}
        same(good, right, "f(x)")
        bad = {**good, "down": {"weight": RIGHT.astype(F32) * 2}}
        meanings = [({"down": {"weight": RIGHT * 2}}, "twice")]
        message = told(same, bad, right, "f(x)", meanings=meanings)
        assert message.startswith("f(x)['down']['weight'] at [0, 0] is 2, but should be 1")
        assert message.endswith("\ntwice")
        assert "has no 'pair'; it has 'down'" in told(same, {"down": {}}, right, "f(x)")
        assert "has 'more'" in told(same, {**good, "more": 1}, right, "f(x)")
        assert "should be a dict" in told(same, 1, right, "f(x)")
        assert "should be 2 values" in told(same, {**good, "pair": (1.0,)}, right, "f(x)")
        assert "['pair'][1] is 3" in told(same, {**good, "pair": (1.0, 3.0)}, right, "f(x)")


class TestOtherAssertions:
    def test_exactly_compares_counts_and_words(self):
        exactly(3, 3, "f(x)")
        exactly(np.array(3), 3, "f(x)")
        exactly(["a", "b"], ["a", "b"], "f(x)")
        assert told(exactly, 4, 3, "f(x)") == "f(x) is 4, but should be 3"
        assert told(exactly, 4, 3, "f(x)", [(4, "one more")]).endswith("\none more")
        assert "a float" in told(exactly, 3.0, 3, "f(x)")
        assert "is True" in told(exactly, True, 1, "f(x)")
        assert "return missing" in told(exactly, None, 3, "f(x)")
        assert "array of shape (1,)" in told(exactly, np.array([3]), 3, "f(x)")

    def test_raises_requires_the_kind_and_the_name(self):
        def failing(kinds, text):
            raise StudentError("message", kinds, text)

        raises(lambda: failing(["ValueError", "Exception"], "bad row 3"), ValueError, "f", "row 3")
        assert "should raise a ValueError; instead:\nmessage" in told(
            raises, lambda: failing(["KeyError"], ""), ValueError, "f"
        )
        assert "does not name 'row 4'" in told(
            raises, lambda: failing(["ValueError"], "bad row 3"), ValueError, "f", "row 4"
        )
        assert "should raise a ValueError, but is 5" in told(raises, lambda: 5, ValueError, "f")

    def test_untouched_accepts_code_that_only_reads(self):
        x, tree = np.ones(3), {"a": {"b": np.ones(2)}, "c": [1, "two", None]}
        with untouched(x=x, tree=tree):
            tree["a"] = {"b": x[:2] * 1}  # another dict with the same content
            tree["c"] = list(tree["c"])

    @pytest.mark.parametrize(
        "change, says",
        [
            (lambda x, tree: x.__imul__(2), "x in place: x += y changes x itself"),
            (lambda x, tree: x.__setitem__(0, np.nextafter(1, 2)), "x in place: x += y"),
            (lambda x, tree: tree["a"]["b"].sort(), "tree['a']['b'] in place: x += y"),
            (lambda x, tree: tree.pop("a"), "tree: tree['a'] is gone. Build a new dict"),
            (lambda x, tree: tree["a"].clear(), "tree['a']: tree['a']['b'] is gone. Build"),
            (lambda x, tree: tree.update(d=1), "tree: tree['d'] is new. Build a new dict"),
            (lambda x, tree: tree.update(a=tree.pop("a")), "tree: its keys are in another order"),
            (lambda x, tree: tree["c"].append(4), "tree['c']: it now has 4 items instead of 3"),
            (lambda x, tree: tree["c"].pop(), "tree['c']: it now has 2 items instead of 3"),
            (
                lambda x, tree: tree["c"].__setitem__(1, 2),
                "tree['c'][1]: it was replaced by something",
            ),
            (lambda x, tree: tree["c"].__setitem__(0, True), "tree['c'][0]: it was replaced"),
            (lambda x, tree: tree.update(a=None), "tree['a']: it was replaced by something else"),
            (lambda x, tree: tree["a"].update(b=x), "tree['a']['b']: it was replaced"),
            (
                lambda x, tree: tree["a"].update(b=np.ones(2, F32)),
                "tree['a']['b']: it was replaced",
            ),
        ],
    )
    def test_untouched_says_what_was_changed_and_how(self, change, says):
        x, tree = np.ones(3), {"a": {"b": np.array([2.0, 1.0])}, "c": [1, "two", None]}

        def changing():
            with untouched(x=x, tree=tree):
                change(x, tree)

        message = told(changing)
        assert message.startswith(f"your function changed its argument {says}")
        assert message.count("argument") == message.count("your") == 1
        assert ("x += y" in message) == (" in place" in message)  # that advice is for nothing else


def no_function(function):
    raise AssertionError("there are no functions here")


numbers = st.one_of(
    arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    for kind in (np.float32, np.float64, np.int64, np.uint8, np.bool_, np.complex64, ">f4")
)
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), numbers
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.tuples(st.text())), inner),
    ),
    max_leaves=8,
)


def alike(a, b) -> bool:
    """Equal in type and value, even NaNs; arrays in dtype and bits, in any byte order."""
    if isinstance(a, np.ndarray):
        same_bits = a.astype(a.dtype.newbyteorder("=")).tobytes() == b.tobytes()
        return a.shape == b.shape and a.dtype.newbyteorder("=") == b.dtype and same_bits
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return [*a] == [*b] and all(alike(a[key], b[key]) for key in a)
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


class TestMessages:
    @given(values)
    def test_a_value_arrives_as_it_was_sent(self, value):
        assert alike(value, unpack(pack(value, no_function)[8:], no_function))

    @given(st.binary(max_size=200))
    def test_bytes_that_are_not_a_message_are_refused(self, data):
        for body in (data, len(data).to_bytes(8, "big") + data):
            try:
                unpack(body, no_function)
            except Garbled:
                continue

    @pytest.mark.parametrize(
        "tree",
        [
            '{"array": ["object", [1]]}',
            '{"array": ["float64", [1000000]]}',
            "[1]",
            '{"array": ["float64", [-1]]}',
            '{"array": ["float64", [true]]}',
            '{"a": 1, "b": 2}',
            "{}",
            '{"dict": [[{"list": []}, 1]]}',
            '{"int": "x"}',
            "[" * 100_000,
            '{"dict": 5}',
        ],
    )
    def test_a_header_that_makes_no_sense_is_refused(self, tree):
        body = len(tree).to_bytes(8, "big") + tree.encode() + b"\0" * 64
        with pytest.raises(Garbled):
            unpack(body, no_function)

    def test_a_header_of_more_than_a_megabyte_is_not_even_parsed(self):
        """JSON takes ten times its size in memory, so even valid JSON is refused."""
        for letters, fine in ((1000, True), (1 << 20, False)):
            tree = json.dumps("x" * letters).encode()
            body = len(tree).to_bytes(8, "big") + tree
            if fine:
                assert unpack(body, no_function) == "x" * letters
            else:
                with pytest.raises(Garbled):
                    unpack(body, no_function)

    def test_any_other_value_arrives_as_the_name_of_its_type(self):
        endless: list = []
        endless.append(endless)
        for value, name in [
            ({1}, "set"),
            (object(), "object"),
            (np.array([None]), "array of dtype object"),
            (np.array(["a"]), "array of dtype <U1"),
            (int, "type"),
        ]:
            assert unpack(pack(value, no_function)[8:], no_function) == Other(name)
        assert unpack(pack(endless, no_function)[8:], no_function)  # ends

    def test_a_value_that_is_too_large_is_refused_before_it_is_sent(self):
        with pytest.raises(Garbled):
            pack(np.zeros(1 << 24), no_function)


SOURCE = """
import numpy as np
SIZE = 3
CALLS = []
def double(x, *, times=2):
    return x * times
def spoil(x, tree):
    x[0] = 7
    tree["new"] = np.ones(2)
    tree["inner"]["w"] += 1
    tree["list"].append(4)
def shorten(items):
    del items[1:]
def use(function, x):
    return function(x) + 1
def slope(function, x):
    from autograd import elementwise_grad
    return elementwise_grad(function)(x)
def maker(x):
    def vjp(g):
        return g * x
    return x, vjp
def bad(x):
    return [1][x]
def outer(x):
    return bad(x)
print("hello from the module")
"""


@pytest.fixture(scope="module")
def process():
    with Process(SOURCE.encode(), "theirs.py", NET) as running:
        yield running


@pytest.fixture
def student(process):
    return Student(process)


class TestStudent:
    def test_a_students_function_is_called_with_the_arguments(self, student):
        x = np.arange(3, dtype=F32)
        assert alike(student.double(x), x * 2)
        assert alike(student.double(x, times=5), x * 5)
        assert student.SIZE == 3
        assert student.double is not None

    def test_arguments_changed_in_place_are_changed_for_the_judge_too(self, student):
        x, inner = np.zeros(3), {"w": np.zeros(2)}
        tree = {"inner": inner, "list": [1]}
        student.spoil(x, tree)
        assert x.tolist() == [7, 0, 0]
        assert inner["w"].tolist() == [1, 1]  # the very same array
        assert tree["new"].tolist() == [1, 1]
        assert tree["list"] == [1, 4]
        items = [1, 2, 3]
        student.shorten(items)
        assert items == [1]

    def test_functions_can_be_sent(self, student):
        x = np.array([-1.0, 2.0], F32)
        assert student.use(ops.relu, x).tolist() == [1, 3]
        assert student.use(lambda x: x * 10, x).tolist() == [-9, 21]
        assert np.allclose(
            student.slope(ops.relu, x), [0, 1]
        )  # runs there, so autograd can differentiate it

    def test_functions_can_be_returned(self, student):
        value, vjp = student.maker(np.array([1.0, 2.0]))
        assert vjp(np.array([3.0, 4.0])).tolist() == [3, 8]
        assert student.use(vjp, np.array([1.0, 1.0])).tolist() == [2, 3]
        assert value.tolist() == [1, 2]

    def test_an_error_names_the_students_file_and_line(self, student):
        with pytest.raises(StudentError) as caught:
            student.bad(5)
        line = 1 + SOURCE.split("\n").index("    return [1][x]")
        assert str(caught.value) == (
            f"theirs.py, line {line}: IndexError: list index out of range\n    return [1][x]"
        )
        assert "LookupError" in caught.value.kinds
        assert student.double(2) == 4  # and it goes on

    def test_an_error_names_the_function_that_raised_it(self, student):
        with pytest.raises(StudentError) as caught:
            student.outer(5)
        assert caught.value.function == "bad"  # the student's innermost
        with pytest.raises(StudentError) as caught:
            student.double("x", times="y")
        assert caught.value.function == "double"
        top = Process(b"raise NotImplementedError", "theirs.py", NET)
        with pytest.raises(StudentError) as caught, top:
            pass
        assert caught.value.function == ""  # not in a function, though Python calls it <module>

    def test_an_error_in_a_function_of_the_judges_is_raised_in_the_students_code(self, student):
        with pytest.raises(StudentError, match="ZeroDivisionError"):
            student.use(lambda x: 1 / 0, 1)

    def test_a_missing_function_is_named(self, student):
        with pytest.raises(Wrong, match="attention is not defined in your file"):
            student.attention(1)

    def test_the_judges_environment_is_not_passed_on(self, monkeypatch):
        monkeypatch.setenv("SOME_TOKEN", "secret")
        source = b"import os\ndef look():\n    return sorted(os.environ), os.getcwd()\n"
        with Process(source, "theirs.py", NET) as running:
            names, folder = Student(running).look()
        assert "PYTHONPATH" in names
        assert "SOME_TOKEN" not in names
        assert folder != os.getcwd()
        assert not Path(folder).exists()


ATTENTION = exercises()[0]
SOLUTION = (ATTENTION.folder / "solution.py").read_text("utf-8")
UNSCALED = wrong_source(ATTENTION.folder, "unscaled")
IN_CALL = "def attention(q, k, v):\n    "

# name: (the student's file, part of the message about it)
HOSTILE = {
    "endless loop": ("while True: pass", "an endless loop?"),
    "endless loop in the call": (IN_CALL + "while True: pass", "an endless loop?"),
    "sleeping": ("import time\ntime.sleep(1e6)", "an endless loop?"),
    "sys.exit(0)": ("import sys\nsys.exit(0)", "SystemExit: 0"),
    "os._exit(0)": ("import os\nos._exit(0)", "ended the process (exit code 0"),
    "os._exit(0) in the call": (IN_CALL + "import os; os._exit(0)", "(exit code 0"),
    "a crash": (IN_CALL + "import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "killing itself": ("import os\nos.kill(0, 9)", "SIGKILL"),
    "recursion": (IN_CALL + "return attention(q, k, v)", "RecursionError"),
    "much memory": (
        "import numpy as np\n" + IN_CALL + "return np.ones(10**12)",
        "Unable to allocate",
    ),
    "more memory": ("x = bytearray(1 << 40)", "MemoryError"),
    "half as much memory again": ("x = bytearray(3 << 30)", "MemoryError"),  # of 2 GB
    "a large result": (IN_CALL + "return b'x' * (1 << 25)", "cannot be sent"),
    "much output": (UNSCALED + "\nfor i in range(10**5): print('passed' * 10)", "sqrt(d)"),
    "a fake verdict": ("print('{\"passed\": true}')\n" + UNSCALED, "sqrt(d)"),
    "no output": ("import os\nfor fd in (0, 1, 2): os.close(fd)\n" + UNSCALED, "sqrt(d)"),
    "junk into every file": (
        UNSCALED + "\nimport os\nfor fd in range(3, 30):\n    try: os.write(fd, b'junk' * 99)\n"
        "    except OSError: pass",
        "not what a function returns",
    ),
    "the judge's assertions patched": (
        "import numpy as np\n"
        "import adapters.exercises.assertions as c, adapters.exercises.judge as j\n"
        "c.same = c.exactly = lambda *a, **k: None\nj.judge = j.checks = lambda *a, **k: []\n"
        "np.isfinite = np.allclose = np.abs = lambda *a, **k: True\n" + UNSCALED,
        "sqrt(d)",
    ),
    "an array equal to all": (
        "import numpy as np\nclass A(np.ndarray):\n    def __eq__(self, other): return True\n"
        + IN_CALL
        + "return np.zeros((3, 4), np.float32).view(A)",
        "at [0, 0] is 0",
    ),
    "an object equal to all": (
        "class A:\n    def __eq__(self, other): return True\n" + IN_CALL + "return A()",
        "is a A",
    ),
    "a function as the result": (IN_CALL + "return lambda: 1", "is a Function"),
    "an error without words": (
        "class E(BaseException):\n    def __str__(self): raise self\n" + IN_CALL + "raise E",
        "ended the process",
    ),
    "a hidden child": (
        "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(30); os._exit(0)\n"
        + UNSCALED,
        "sqrt(d)",
    ),
    "a syntax error": ("def attention(q, k, v:\n    pass", "01_attention.py, line 1: SyntaxError"),
    "no text": ("\0\xff\xfe", "01_attention.py"),
    "terminal codes": ("raise ValueError('\x1b[2J')", "\N{REPLACEMENT CHARACTER}[2J"),
    "an empty file": ("", "attention is not defined"),
    "too large a file": ("#" * (1 << 21), "is larger than"),
}


def write(folder: Path, source: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / ATTENTION.file
    path.write_text(source, "utf-8")
    return path


class TestSafety:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_no_trick_in_a_file_passes(self, name, tmp_path):
        source, says = HOSTILE[name]
        # files that run into the time limit get a short one, the others plenty of time
        seconds = 1.5 if "endless" in says else NET
        verdict = judge(ATTENTION, write(tmp_path, source), seconds)
        assert not verdict.passed
        assert says in verdict.error, verdict.error
        assert len(verdict.error) < 4000
        assert len(verdict.printed) < 5000

    def test_a_hostile_file_does_not_affect_later_verdicts(self, tmp_path):
        for name in ("the judge's assertions patched", "os._exit(0) in the call", "a crash"):
            judge(ATTENTION, write(tmp_path, HOSTILE[name][0]), NET)
        assert judge(ATTENTION, write(tmp_path, SOLUTION), NET).passed
        assert not judge(ATTENTION, write(tmp_path, UNSCALED), NET).passed

    def test_processes_that_a_file_starts_end_with_it(self, tmp_path):
        source = (
            "import subprocess\nCHILD = subprocess.Popen(['sleep', '600']).pid\n"
            "def pid():\n    return CHILD\n"
        )
        with Process(source.encode(), "theirs.py", NET) as running:
            pid = Student(running).pid()
            os.kill(pid, 0)  # it is running
        deadline = time.monotonic() + NET
        while (state := state_of(pid)) not in ("", "Z") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert state in ("", "Z")

    def test_the_pipes_of_a_process_that_escaped_are_closed_when_it_ends(self):
        source = (
            "import subprocess\n"
            "AWAY = subprocess.Popen(['sleep', '600'], start_new_session=True).pid\n"
            "def pid():\n    return AWAY\n"
        )
        with Process(source.encode(), "theirs.py", NET) as running:
            pid = Student(running).pid()
        os.kill(pid, signal.SIGKILL)
        for thread in running.threads:
            thread.join(NET)
        child = running.process
        assert [pipe.closed for pipe in (child.stdin, child.stdout, child.stderr)] == [True] * 3

    def test_printed_text_cannot_control_the_terminal(self, tmp_path):
        source = SOLUTION + "\nprint('\\x1b[2J\\x07 and\\n more')\n"
        verdict = judge(ATTENTION, write(tmp_path, source), NET)
        strange = "\N{REPLACEMENT CHARACTER}"
        assert verdict.passed
        assert verdict.printed == f"{strange}[2J{strange} and\n more\n"

    def test_a_result_that_a_check_cannot_handle_fails(self, tmp_path):
        """A check may take the result apart before it compares it; here, a list of pairs."""
        ablation = next(e for e in exercises() if e.name == "ablation")
        path = tmp_path / ablation.file
        path.write_text("def spans(layers):\n    return 5\n", "utf-8")
        verdict = judge(ablation, path, NET)
        assert not verdict.passed
        assert verdict.written
        assert verdict.error.startswith("what your function returned is not of the kind asked for")

    def test_a_link_to_another_file_is_not_followed(self, tmp_path):
        (tmp_path / "theirs.py").write_text(SOLUTION, "utf-8")
        (tmp_path / ATTENTION.file).symlink_to(tmp_path / "theirs.py")
        verdict = judge(ATTENTION, tmp_path / ATTENTION.file, NET)
        assert (verdict.passed, "no such file" in verdict.error) == (False, True)


def state_of(pid: int) -> str:
    """The state letter of a process; "" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


@pytest.fixture
def three(monkeypatch):
    """Only the first three exercises are graded."""
    monkeypatch.setattr("adapters.exercises.grade.exercises", lambda: exercises()[:3])
    return exercises()[:3]


class TestGrade:
    def test_a_grade_has_the_fields_that_the_teachers_page_describes(self, three, tmp_path):
        first, second, _ = three
        shutil.copy(first.folder / "solution.py", tmp_path / first.file)
        no_bias = wrong_source(second.folder, "no_bias")
        (tmp_path / second.file).write_text(no_bias, "utf-8")
        graded = json.loads(json.dumps(grade(tmp_path, NET)))
        assert graded.keys() == {"folder", "passed", "of", "credit", "exercises"}
        assert (graded["folder"], graded["passed"], graded["of"]) == (str(tmp_path), 1, 3)
        kinds = {"exercise": str, "title": str, "passed": bool, "credit": float, "seconds": float}
        for row, exercise in zip(graded["exercises"], three, strict=True):
            assert row.keys() == {*kinds, "failed", "error"}
            assert all(type(row[key]) is kind for key, kind in kinds.items())
            assert row["exercise"] == exercise.label
        one, two, missing = graded["exercises"]
        assert (one["passed"], one["failed"], one["error"]) == (True, None, None)
        assert (two["passed"], missing["passed"]) == (False, False)
        assert "bias is missing" in two["error"]
        assert two["failed"].startswith("Each row is normalised")
        assert "there is no such file" in missing["error"]

    def test_a_file_that_deletes_the_others_changes_no_grade(self, three, tmp_path):
        for exercise in three:
            shutil.copy(exercise.folder / "solution.py", tmp_path / exercise.file)
        source = SOLUTION + (
            f"\nimport pathlib\nfor path in pathlib.Path({str(tmp_path)!r}).glob('*.py'):\n"
            "    path.unlink()\n"
        )
        write(tmp_path, source)
        graded = grade(tmp_path, NET)
        assert [row["passed"] for row in graded["exercises"]] == [True, True, True]
        assert list(tmp_path.iterdir()) == []  # it did delete them

    def test_two_students_graded_at_once_get_their_own_grades(self, tmp_path):
        good, bad = tmp_path / "good", tmp_path / "bad"
        write(good, SOLUTION)
        write(bad, UNSCALED)
        paths = [good / ATTENTION.file, bad / ATTENTION.file] * 2
        with ThreadPoolExecutor(2) as pool:
            verdicts = list(pool.map(lambda path: judge(ATTENTION, path, NET), paths))
        assert [verdict.passed for verdict in verdicts] == [True, False] * 2
        lines = (
            "import sys, adapters.exercises.grade as g\n"
            "g.exercises = lambda every=g.exercises: every()[:1]\n"
            f"print(g.grade(sys.argv[1], {NET})['passed'])"
        )
        started = [
            subprocess.Popen(
                [sys.executable, "-c", lines, folder],
                env=environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
            for folder in (good, bad)
        ]
        assert [run.communicate(timeout=NET)[0] for run in started] == ["1\n", "0\n"]
