"""Odd commands: options at the edge of what is allowed and beyond it, paths that nobody means,
streams that are closed or full. Each is drawn by its number."""

import os
import random
from collections.abc import Callable
from pathlib import Path

from faults.child import fault_of, minibert, run_child
from faults.kills import new_folder, undisturbed
from faults.odd_words import LINES, NUMBER, WHOLE, all_options_of

# none that asks the network, or works for minutes when its words are right
NAMES = ("train", "evaluate", "predict", "embed", "info", "exercises")
EDGE = ["0", "1", "2", "3", "63", "64", "65", "4096", "4294967295", "9223372036854775807", "1e-300"]
PATHS = [
    *("/dev/null", "/dev/full", ".", "..", "-", "--", "a\nb", "é/北", "x" * 300, "a/" * 3000),
    *("/nowhere/x", "\udcff\udcfe", "circle", "empty", "folder", "~nobody-here", "$HOME", "%s%n"),
    *(
        "file:///etc/hostname",
        "http://127.0.0.1:9/x",
        "\x1b[2J",
        "nul.",
        "table.csv",
        "table.jsonl",
    ),
    *("closed", "a'\"b", "a;b", "a,b", "[x]", "*", "minilm", "a/b", "a/b@c", "../../x"),
]
STREAMS = ["", "", "", "<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", "| true"]


def odd(number: int) -> str:
    """Run the command of this number in a folder of its own; "" if it ends as it may."""
    rng = random.Random(f"command {number}")
    words, streams = drawn(rng)
    with new_folder() as folder:
        prepare(folder)
        ended = run_child(within(folder, words, streams))
    if ended.code == 2 and "2>" in streams:
        return ""  # what it has said cannot be read
    fault = fault_of(ended, (0, 1, 2) if words[0] == "exercises" else (0, 2))
    said = " ".join(word[:60] for word in words)
    return f"minibert {said!a} {streams}: {fault}" if fault else ""


def drawn(rng: random.Random) -> tuple[list[str], str]:
    """The words of a command that works, with one to three of them odd; and its streams."""
    name = rng.choice(NAMES)
    words = [str(word) for word in (name, *LINES[name])]
    if name == "train":
        words += ["--epochs", "1", "--train-examples", "8"]
    for _ in range(rng.randint(1, 3)):
        option = rng.choice(all_options_of(name))
        values = {int: WHOLE + EDGE, float: NUMBER + EDGE}.get(option.type, PATHS)
        kind = rng.randrange(5)
        if kind == 0:
            words[rng.randrange(1, len(words))] = rng.choice(PATHS + EDGE)
        elif kind == 1:
            words.insert(rng.randrange(1, len(words) + 1), rng.choice(PATHS))
        elif option.nargs == 0:
            words += [] if option.dest == "help" else [option.option_strings[0]]
        else:
            words.append(f"{option.option_strings[0]}={rng.choice(values)}")
    return words, rng.choice(STREAMS)


def prepare(folder: Path) -> None:
    """The files that odd words can name."""
    (folder / "TASK").write_bytes(undisturbed()[0]["task.safetensors"])
    (folder / "circle").symlink_to("circle")
    (folder / "empty").write_bytes(b"")
    (folder / "folder").mkdir()
    (folder / "closed").write_bytes(b"\0\xff" * 999)
    (folder / "table.csv").write_text("text,label\na,x\nb,y\n" * 9)
    (folder / "table.jsonl").write_text('{"text": "a", "label": 1}\n' * 9)


def within(folder: Path, words: list[str], streams: str) -> Callable[[], int]:
    """To be called in a child: the command, in this folder and with these streams."""

    def call() -> int:
        os.chdir(folder)
        os.environ["HF_HUB_OFFLINE"] = "1"
        arrange(streams)
        return minibert(*words)()

    return call


def arrange(streams: str) -> None:
    """Do to the process's own streams what the shell does with these words. Python sets a stream
    to None that it finds closed when it starts."""
    import sys

    names = {"<": (0, "stdin"), ">": (1, "stdout"), "2": (2, "stderr"), "|": (1, "stdout")}
    for word in streams.replace("| true", "|").split():
        number, name = names[word[0]]
        if word.endswith("&-"):
            os.close(number)
            setattr(sys, name, None)
        elif word == "|":
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, number)
        else:
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)
