"""The command's process: streams that are closed or that nobody reads, and Ctrl-C at any time."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, TINY, environment, works

from minibert.process import CtrlC

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals")
COMMAND = [sys.executable, "-m", "minibert"]
TRAIN = ("train", "--task", "rte", "--sample", "--base", str(TINY), "--max-length", "16")
QUICK = (*TRAIN, "--method", "head", "--epochs", "2", "--train-examples", "16")


def in_shell(line: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which "$@" is the command with these words."""
    command = ["bash", "-c", line, "bash", *COMMAND, *map(str, words)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def task_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    works(*QUICK, "--out", folder)
    return folder / "task.safetensors"


class TestAReaderThatHasGone:
    """`| true` reads nothing at all."""

    def test_stops_no_training(self, tmp_path):
        done = in_shell('"$@" 2>&1 | true; exit ${PIPESTATUS[0]}', *QUICK, "--out", tmp_path)
        assert done.returncode == 0, done.stderr
        names = {path.name for path in tmp_path.iterdir()}
        assert names >= {"task.safetensors", "report.html", "curve.png", "report.json"}

    def test_stops_no_class_table(self, tmp_path):
        works("exercises", "start", tmp_path / "one")
        table = tmp_path / "class.csv"
        line = 'set -o pipefail; "$@" | true'
        words = ("exercises", "grade", tmp_path / "one", "--table", table)
        assert in_shell(line, *words).returncode == 0
        assert table.read_text().startswith("student")

    @pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("info", TINY)])
    def test_is_no_error(self, words):
        done = in_shell('set -o pipefail; "$@" | true', *words)
        assert (done.returncode, done.stderr) == (0, "")

    def test_ends_what_is_printed_for_it_alone(self, task_file, tmp_path):
        """Long before all texts have been answered."""
        texts = tmp_path / "texts.csv"
        texts.write_text("a,b\n" + "It rains.,It is wet.\n" * 30_000)
        words = ("predict", task_file, "--base", TINY, "--input", texts, "--text", "a", "b")
        begun = time.process_time(), os.times().children_user
        done = in_shell('set -o pipefail; "$@" | head -1', *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("a,b,predicted_label")
        assert os.times().children_user - begun[1] < 15  # all of them take a minute


class TestAClosedStream:
    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_is_no_traceback(self, closed):
        done = in_shell(f'"$@" {closed}', "info", TINY)
        assert (done.returncode, done.stderr) == (0, "")
        assert (done.stdout == "") == (">&-" in closed.split())

    def test_is_an_empty_standard_input(self, task_file):
        done = in_shell('"$@" <&-', "predict", task_file, "--base", TINY)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "minibert: error: standard input: is empty\n"

    @pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
    def test_does_not_make_a_file_the_place_to_print_to(self, tmp_path, closed):
        done = in_shell(f'"$@" {closed}', *QUICK, "--out", tmp_path)
        assert done.returncode == 0
        for path in tmp_path.iterdir():
            assert b"epoch 1" not in path.read_bytes(), path


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
class TestAFullStandardError:
    def test_stops_no_training(self, tmp_path):
        assert in_shell('"$@" 2>/dev/full', *QUICK, "--out", tmp_path).returncode == 0
        assert (tmp_path / "task.safetensors").exists()

    @pytest.mark.parametrize("full", ["2>/dev/full", ">/dev/full 2>&1"])
    @pytest.mark.parametrize("words", [("info", "/nowhere"), ("info", "a", "b"), ("embed",)])
    def test_changes_no_exit_code(self, words, full):
        assert in_shell(f'"$@" {full}', *words).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is full")
@pytest.mark.parametrize("words", [("--help",), ("--version",), ("train", "--help")])
class TestHelp:
    def test_that_cannot_be_written_is_one_line(self, words):
        done = in_shell('"$@" >/dev/full', *words)
        assert done.returncode == 2
        assert done.stderr == "minibert: error: standard output: No space left on device\n"

    def test_that_nobody_reads_is_a_success(self, words):
        done = in_shell('set -o pipefail; "$@" | true', *words)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_path_of_thousands_of_characters_is_shortened_and_what_is_wrong_with_it_said():
    done = in_shell('"$@"', "info", "a/" * 3000)
    assert done.returncode == 2
    assert done.stderr.startswith("minibert: error: a/a/a/")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1300
    assert "long" in done.stderr[-200:] or "unknown" in done.stderr[-200:]


def used(process: int) -> float:
    """The processor time of a process, in seconds (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def press(
    words: tuple[str, ...],
    seconds: float,
    times: int = 1,
    number: signal.Signals = signal.SIGINT,
) -> tuple[int, list[str]]:
    """Run a command, press Ctrl-C, or send it another signal, after it has used some seconds of
    processor time; the exit code, and the lines that are not blank of what then stands on standard
    error, bars and epochs aside.

    A test run in the background, or by `nohup`, is started with the signal ignored, which the
    command must not inherit.
    """
    process = subprocess.Popen(
        [*COMMAND, *words],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    try:
        while process.poll() is None and used(process.pid) < seconds:
            time.sleep(0.01)
        for _ in range(times):
            if process.poll() is None:
                os.killpg(process.pid, number)
                time.sleep(0.02)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, [line for line in err.splitlines() if line and "epoch" not in line]


class TestCtrlC:
    @pytest.mark.parametrize("times", [1, 2, 5])
    @pytest.mark.parametrize("seconds", [0.3, 0.6, 1.0, 1.6])
    def test_is_one_line_whenever_and_however_often(self, tmp_path, seconds, times):
        words = (*TRAIN, "--epochs", "5000", "--out", str(tmp_path))
        code, lines = press(words, seconds, times)
        assert code in (130, -signal.SIGINT)
        assert len(lines) == 1, lines
        assert lines[0].startswith("minibert: stopped")

    @pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no terminals to close")
    @pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGHUP", 129)])
    def test_and_other_requests_to_stop_save_what_is_done(self, tmp_path, name, code):
        """`kill`, and a terminal that is closed."""
        words = (*TRAIN, "--epochs", "5000", "--out", str(tmp_path))
        ended, lines = press(words, 2.0, number=getattr(signal, name))
        assert ended == code
        assert len(lines) == 1, lines
        assert lines[0].startswith("minibert: stopped after step")
        assert (tmp_path / "checkpoint.safetensors").exists()

    def test_after_which_another_ends_nothing_until_all_is_saved(self):
        ctrl_c = CtrlC()
        ctrl_c.begin()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c(signal.SIGINT, None)
        ctrl_c(signal.SIGINT, None)
        assert ctrl_c.came

    def test_is_not_lost_in_an_import_that_ignores_exceptions(self, tmp_path):
        """As those of NumPy and autograd do in some of their lines. It ends waiting for input that
        begins right after that."""
        (tmp_path / "ignores.py").write_text(
            "import signal\n"
            "try:\n    signal.raise_signal(signal.SIGINT)\nexcept BaseException:\n    pass\n"
            "print('imported', flush=True)\n"
        )
        code = (
            "import sys; from minibert.process import ctrl_c; ctrl_c.watch(); ctrl_c.begin()\n"
            "try:\n    import ignores; sys.stdin.read()\n"
            "except KeyboardInterrupt:\n    print('stopped', ctrl_c.came, ctrl_c.code)\n"
        )
        nothing_comes, _ = pipe = os.pipe()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"),
            stdin=nothing_comes,
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        for end in pipe:
            os.close(end)
        assert (done.stdout, done.stderr) == ("imported\nstopped True 130\n", "")

    def test_ends_an_import_that_does_not_end(self, monkeypatch):
        """As one from a disk that hangs: after some seconds it is as without the import."""
        ctrl_c, sent = CtrlC(), []
        ctrl_c.begin()
        now = iter([100.0, 104.0, 106.0, 106.0])
        monkeypatch.setattr("minibert.process.importing", lambda frame: True)
        monkeypatch.setattr(
            "minibert.process._thread.start_new_thread", lambda *call: sent.append(call)
        )
        monkeypatch.setattr("minibert.process.time.monotonic", lambda: next(now))
        ctrl_c(signal.SIGTERM, None)
        ctrl_c(signal.SIGTERM, None)
        assert (len(sent), ctrl_c.came) == (2, False)
        with pytest.raises(KeyboardInterrupt):
            ctrl_c(signal.SIGTERM, None)
        assert (len(sent), ctrl_c.came, ctrl_c.code) == (2, True, 143)

    def test_that_is_ignored_stays_ignored(self, tmp_path):
        """As under `nohup`."""
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "from minibert.process import ctrl_c; ctrl_c.watch()\n"
            "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
        )
        assert done.stdout == "True\n"

    def test_is_the_callers_own_where_minibert_is_imported(self):
        code = "import signal, minibert; print(signal.getsignal(signal.SIGINT).__name__)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(),
            capture_output=True,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert done.stdout == "default_int_handler\n"


# The page faults of ten layers' worth of arrays, before and after the encoder is imported.
FAULTS = """
import resource
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        arrays = [np.ones(1_700_000, np.float32) for _ in range(6)]  # 41 MB
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
without = faults()
import minibert.fused
faults()
print(without, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's thresholds")
def test_memory_that_a_layer_frees_is_kept_for_the_next_one():
    command = [sys.executable, "-c", FAULTS]
    env = {name: value for name, value in environment().items() if "MALLOC" not in name}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    without, kept = map(int, done.stdout.split())
    assert kept < without / 10
