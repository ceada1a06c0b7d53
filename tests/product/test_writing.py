"""Files are written completely or not at all, through links, with the mode that they had; what
killed processes left behind goes."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_line import environment, works

from minibert.errors import InputError
from minibert.files import atomic_write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, modes, signals")


@pytest.fixture(scope="module")
def task_file(tmp_path_factory) -> Path:
    """A task of two classes, trained for one step."""
    folder = tmp_path_factory.mktemp("task")
    base = Path(__file__).parents[1] / "goldens" / "tiny"
    words = ("--base", base, "--max-length", 16, "--method", "head", "--epochs", 1)
    works("train", "--task", "rte", "--sample", *words, "--train-examples", 8, "--out", folder)
    return folder / "task.safetensors"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestAnOldFile:
    def test_that_a_link_points_to_is_replaced_and_the_link_stays(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        target = tmp_path / "elsewhere" / "out.txt"
        target.write_text("old")
        second, first = tmp_path / "second", tmp_path / "first"
        second.symlink_to(target)
        first.symlink_to("second")
        atomic_write(first, "new")
        assert first.is_symlink()
        assert second.is_symlink()
        assert target.read_text() == "new"
        assert os.listdir(target.parent) == ["out.txt"]

    def test_need_not_be_there_yet_for_a_link_to_be_written_through(self, tmp_path):
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "later" / "out.txt")
        atomic_write(link, "new")
        assert link.is_symlink()
        assert (tmp_path / "later" / "out.txt").read_text() == "new"

    def test_with_a_second_name_is_new_under_both(self, tmp_path):
        one, two = tmp_path / "one", tmp_path / "two"
        one.write_text("old and long")
        two.hardlink_to(one)
        atomic_write(one, "new")
        assert one.samefile(two)
        assert two.read_text() == "new"
        assert sorted(os.listdir(tmp_path)) == ["one", "two"]

    @pytest.mark.parametrize("old", [0o600, 0o640, 0o755])
    def test_keeps_its_mode(self, tmp_path, old):
        path = tmp_path / "out.txt"
        path.write_text("old")
        path.chmod(old)
        atomic_write(path, "new")
        assert (mode(path), path.read_text()) == (old, "new")

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
    def test_keeps_its_owner(self, tmp_path):
        path = tmp_path / "out.txt"
        path.write_text("old")
        os.chown(path, 12345, 23456)
        atomic_write(path, "new")
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)

    def test_is_a_circle_of_links_and_refused_in_one_line(self, tmp_path):
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(InputError, match=r"a: cannot be written: Too many levels"):
            atomic_write(tmp_path / "a", "new")
        assert (tmp_path / "a").is_symlink()

    def test_is_a_folder_and_refused_in_one_line(self, tmp_path):
        with pytest.raises(InputError, match="cannot be written: it is a folder"):
            atomic_write(tmp_path, "new")


def test_a_pipe_is_written_into(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    atomic_write(pipe, "through")
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.fixture
def stdout(tmp_path) -> Path:
    """A link like /dev/stdout, which no failing test can destroy."""
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    if not link.exists():
        pytest.skip("no /proc here")
    return link


def test_standard_output_by_another_name_continues_what_was_printed_before(tmp_path, stdout):
    code = (
        "from minibert.files import atomic_write\nimport sys\n"
        "print('before', end=' ')\natomic_write(sys.argv[1], 'written ')\nprint('after')"
    )
    out = tmp_path / "out.txt"
    for name in (stdout, out):
        command = [sys.executable, "-c", code, str(name)]
        with out.open("wb") as file:
            subprocess.run(command, env=environment(), stdout=file, check=True)
        assert out.read_text() == "before written after\n"
    command[-1] = str(stdout)
    piped = subprocess.run(command, env=environment(), capture_output=True)
    assert piped.stdout == b"before written after\n"
    assert stdout.is_symlink()


KILLED = """
import os, signal, sys
import minibert.files as files
files.put_in_place = lambda new, path: os.kill(os.getpid(), signal.SIGKILL)
files.atomic_write(sys.argv[1], "never there")
"""


class TestTemporaryFiles:
    def left_by_a_kill(self, path: Path) -> list[str]:
        before = set(os.listdir(path.parent))
        killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment())
        assert killed.returncode == -signal.SIGKILL
        return sorted({*os.listdir(path.parent)} - before)

    def test_of_a_killed_process_go_with_the_next_file_written_there(self, tmp_path):
        (name,) = self.left_by_a_kill(tmp_path / "task.safetensors")
        assert name.startswith(".task.safetensors.")
        atomic_write(tmp_path / "another.json", "{}")
        assert os.listdir(tmp_path) == ["another.json"]

    def test_of_a_living_process_and_of_other_programs_stay(self, tmp_path):
        theirs = tmp_path / ".task.safetensors.k2j4"
        theirs.write_text("of an editor, say")
        code = KILLED.replace(
            "os.kill(os.getpid(), signal.SIGKILL)", "(print(flush=True), input())"
        )
        alive = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "task.safetensors")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert alive.stdout.readline() == b"\n"
        atomic_write(tmp_path / "another.json", "{}")
        assert len(os.listdir(tmp_path)) == 3
        alive.communicate(b"\n", timeout=20)
        assert sorted(os.listdir(tmp_path)) == [theirs.name, "another.json"]

    def test_of_a_killed_training_go_with_the_next_one(self, tmp_path):
        self.left_by_a_kill(tmp_path / "checkpoint.safetensors")
        base = Path(__file__).parents[1] / "goldens" / "tiny"
        words = ("--base", base, "--max-length", 16, "--method", "head", "--epochs", 1)
        data = ("--task", "rte", "--sample", "--train-examples", 8)
        works("train", *data, *words, "--out", tmp_path)
        names = {"report.html", "report.json", "curve.png", "task.safetensors", ".lock"}
        assert set(os.listdir(tmp_path)) == names | {"checkpoint.safetensors"}

    def test_are_gone_when_the_disk_is_full(self, tmp_path, monkeypatch):
        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        path = tmp_path / "out.txt"
        path.write_text("old")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="cannot be written: No space left"):
            atomic_write(path, "new")
        assert (os.listdir(tmp_path), path.read_text()) == (["out.txt"], "old")


class TestOutput:
    """`--output` of predict, of texts and of tables, and of embed."""

    def test_of_a_table_goes_through_a_link_and_keeps_mode_and_second_name(
        self, task_file, tmp_path
    ):
        table = tmp_path / "in.csv"
        table.write_text("a,b\nIt rains.,It is wet.\n")
        for words in (
            ("--input", table, "--text", "a", "b"),
            ("--pair", "It rains.", "It is wet."),
        ):
            for change in ("link", "second name"):
                folder = tmp_path / f"{words[0]} {change}"
                folder.mkdir()
                target, out = folder / "target.csv", folder / "out.csv"
                target.write_text("old")
                target.chmod(0o600)
                (out.symlink_to if change == "link" else out.hardlink_to)(target)
                works("predict", task_file, *words, "--base", self.base(), "--output", out)
                assert out.is_symlink() == (change == "link")
                assert "It rains." in target.read_text()
                assert (out.samefile(target), mode(target)) == (True, 0o600)

    def test_of_a_table_can_be_standard_output(self, task_file, tmp_path, stdout):
        table = tmp_path / "in.csv"
        table.write_text("a,b\nIt rains.,It is wet.\n")
        words = ("predict", task_file, "--base", self.base(), "--input", table, "--text", "a", "b")
        command = [sys.executable, "-m", "minibert", *map(str, words), "--output", str(stdout)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("a,b,predicted_label,")
        assert stdout.is_symlink()

    def base(self) -> Path:
        return Path(__file__).parents[1] / "goldens" / "tiny"
