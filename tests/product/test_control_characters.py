"""Labels, texts, names of files and what servers say: their control characters are shown, and no
terminal obeys them."""

import io
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from command_line import TINY, environment, minibert, works

from adapters.output import Output
from adapters.show import facts, table
from minibert.errors import InputError, visible
from minibert.fetch import datasets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such names of files")
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
UGLY = "\x1b[2J\x9b\x07\u202e"
SHOWN = r"\x1b[2J\x9b\x07\u202e"


@pytest.fixture(scope="module")
def ugly(tmp_path_factory) -> tuple[Path, Path, str]:
    """(a table, a task that was trained on it, what its training has printed)"""
    folder = tmp_path_factory.mktemp("ugly")
    data = folder / f"in{UGLY}.csv"
    rows = [f'"It rains {UGLY} {n}",yes{UGLY}\n"It is wet {n}",no\n' for n in range(10)]
    data.write_text(f"text{UGLY},label\n" + "".join(rows), "utf-8")
    out = folder / f"out{UGLY}"
    words = ("--method", "head", "--epochs", 1, "--base", TINY, "--max-length", 16, "--out", out)
    done = works("train", data, "--text", f"text{UGLY}", *words)
    return data, out / "task.safetensors", done.out + done.err


@pytest.mark.parametrize("command", ["train", "search"])
@pytest.mark.parametrize("name", ["$5_to_$10.csv", os.fsdecode(b"caf\xe9.csv")])
def test_pictures_are_drawn_of_tables_of_any_name(tmp_path, command, name):
    """With two dollar signs it would be a formula; and one is not UTF-8."""
    data = tmp_path / name
    data.write_text("text,label\n" + "ba,yes\nbo,no\n" * 10, "utf-8")
    out = ("--out", tmp_path / "out", "--base", TINY, "--max-length", 16, "--epochs", 1)
    works(command, data, "--method", "head", *out)
    picture = {"train": "curve", "search": "search"}[command]
    assert (tmp_path / "out" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_training_shows_them(ugly):
    _, _, printed = ugly
    assert not OBEYED.search(printed)
    assert f"yes{SHOWN}" in printed
    assert f"in{SHOWN}.csv" in printed
    assert "Warning" not in printed


@pytest.mark.parametrize("command", ["predict", "info", "evaluate", "lines"])
def test_using_a_task_shows_them(ugly, command):
    data, task, _ = ugly
    words = {
        "predict": ("predict", task, "--base", TINY, f"a{UGLY}b"),
        "lines": ("predict", task, "--base", TINY),
        "info": ("info", task),
        "evaluate": ("evaluate", task, "--base", TINY, "--data", data),
    }[command]
    done = works(*words, stdin=f"a{UGLY}b\n".encode() if command == "lines" else b"")
    assert not OBEYED.search(done.out + done.err)
    assert SHOWN in done.out


@pytest.mark.parametrize(
    "words",
    [
        (UGLY,),
        ("info", UGLY),
        ("info", "name\r\nname"),
        ("fetch", UGLY),
        ("fetch", f"org/{UGLY}"),
        ("train", f"{UGLY}.csv"),
        ("train", "--task", UGLY),
        ("train", "--task", "rte", "--sample", "--method", UGLY),
        ("train", "--task", "rte", "--sample", "--size", UGLY),
        ("predict", UGLY, UGLY),
        ("evaluate", UGLY),
        ("exercises", "list", "--in", UGLY),
        ("exercises", UGLY),
        ("reproduce", UGLY),
        ("embed", "a", "--base", UGLY),
        ("embed", "a", "--pooling", UGLY),
    ],
)
def test_errors_show_them_in_one_line(words):
    result = minibert(*words)
    assert result.code == 2
    assert not OBEYED.search(result.err)
    assert result.err.count("\n") == 1


def test_an_error_shows_them_in_python_too():
    assert str(InputError(f"a{UGLY}\nb")) == f"a{SHOWN} b"
    assert f"{InputError(UGLY)}" == SHOWN


def test_what_a_table_of_people_shows():
    assert not OBEYED.search(table([[UGLY, UGLY]], ["a", "b"]))
    assert facts([("name", f"{UGLY}\n")]) == f"name  {SHOWN}\\n"


@pytest.mark.parametrize(
    "text", ["naïve Ω 日本語", "نص عربي", "שלום", "👩\u200d🚀", "soft\u00adhyphen", "a\u00a0b"]
)
def test_what_people_write_stays_as_it_is(text):
    assert visible(text) == text


def test_cells_of_a_table_for_a_program_stay_as_they_are(ugly, tmp_path):
    """A table on standard output is data, unless it goes to a terminal."""
    data, task, _ = ugly
    words = ("predict", task, "--base", TINY, "--input", data, "--text", f"text{UGLY}")
    command = [sys.executable, "-m", "minibert", *map(str, words)]
    piped = subprocess.run(command, env=environment(), capture_output=True)
    works(*words, "--output", tmp_path / "out.csv")
    assert piped.stdout == (tmp_path / "out.csv").read_bytes()
    assert f"It rains {UGLY} 0" in piped.stdout.decode()


def test_a_table_on_a_terminal_shows_them(ugly):
    data, task, _ = ugly
    words = ("predict", task, "--base", TINY, "--input", data, "--text", f"text{UGLY}")
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "minibert", *map(str, words)]
    subprocess.run(command, env=environment(), stdout=theirs, stderr=subprocess.PIPE, check=True)
    os.close(theirs)
    shown = b""
    while b"It is wet 9" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    assert not OBEYED.search(shown.decode().replace("\r\n", "\n"))
    assert f"It rains {SHOWN} 0" in shown.decode()


def test_what_a_server_says_is_shown(home, monkeypatch):
    """Its reason phrase is anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(9999)
                client.sendall(b"HTTP/1.1 503 \x1b[2J\x9b gone\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setenv("MINIBERT_GLUE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(InputError) as caught:
            datasets.fetch_task("rte", progress=False)
    assert not OBEYED.search(str(caught.value))
    assert r"\x1b[2J" in str(caught.value)


def test_progress_bars_are_still_drawn():
    out = io.StringIO()
    bar = Output(out, bars=True)
    bar.write("\r 50%\x1b[A\x1b[2J\n")
    assert out.getvalue() == "\r 50%\x1b[A\\x1b[2J\n"
