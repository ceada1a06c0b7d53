"""A student's folder: one file for each exercise, and a text file with what has been done."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from adapters.exercises.assertions import Wrong
from adapters.exercises.catalogue import Exercise, exercises, material
from adapters.exercises.judge import read_source
from minibert.errors import InputError
from minibert.files import atomic_write

STATE = ".minibert-exercises"
LARGEST_STATE = 1 << 16  # bytes; three short lines for each exercise are about 2,000
HEADER = """\
# What `minibert exercises` remembers about this folder: which version of a file has passed (the
# first digits of its sha256), how many hints were shown, which solutions were asked for. Lines may
# be deleted.
"""
README = """\
# Exercises

{count} exercises: parts of BERT and its adapters, in order. Each file says what to write.

    minibert exercises             checks the next file whenever you save it; Ctrl-C ends it
    minibert exercises list        shows where you are
    minibert exercises hint        shows the next hint for your current exercise (there are three)
    minibert exercises reset 3     restores the stub of exercise 3; your version is kept as .old1
    minibert exercises solution 3  shows our solution to exercise 3

Run these commands in this folder.
"""


@dataclass
class State:
    """The content of the state file, by NN_name: the digest of the version that has passed, how
    many hints were shown, and how often the solution was asked for."""

    passed: dict[str, str] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)


def start(folder: Path | str) -> tuple[list[Path], list[Path]]:
    """Copy the stubs, a README and an empty state into a folder, which is created if necessary.
    Existing files stay as they are. -> (copied, kept). Raises InputError when it cannot be
    written."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but the exercises need a folder")
    wanted = {e.file: (e.folder / "stub.py").read_text("utf-8") for e in exercises()}
    wanted |= {"README.md": README.format(count=len(exercises())), STATE: HEADER}
    copied, kept = [], []
    for name, text in wanted.items():
        path = folder / name
        if path.exists() or path.is_symlink():
            kept.append(path)
        else:
            atomic_write(path, text)
            copied.append(path)
    return copied, kept


def read_state(folder: Path) -> State:
    """The state of a folder. Raises InputError if there is none, or for a line that cannot be
    parsed."""
    path = folder / STATE
    state = State()
    for number, line in enumerate(_state_text(path).splitlines(), start=1):
        if found := re.fullmatch(r"passed (\w+) ([0-9a-f]{12})", line.strip()):
            state.passed[found[1]] = found[2]
        elif found := re.fullmatch(r"hints (\w+) ([0-3])", line.strip()):
            state.hints[found[1]] = int(found[2])
        elif found := re.fullmatch(r"solution (\w+) asked ([0-9]{1,9})", line.strip()):
            state.asked[found[1]] = int(found[2])
        elif line.strip() and not line.startswith("#"):
            raise InputError(f"{path}, line {number}: not understood: {line[:50]!r}; delete it")
    return state


def _state_text(path: Path) -> str:
    """The state file's text. Raises InputError."""
    try:
        if path.exists() and not path.is_file():  # reading from a pipe would wait for ever
            raise InputError(f"{path}: cannot be read: not a file")
        with path.open("rb") as file:
            data = file.read(LARGEST_STATE + 1)
    except FileNotFoundError:
        raise InputError(
            f"{path.parent}: no exercises were started here; to start: minibert exercises start DIR"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > LARGEST_STATE:
        raise InputError(f"{path}: is larger than {LARGEST_STATE:,} bytes; delete it, and start")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def write_state(folder: Path, state: State) -> None:
    """Write a state to its file, in the order of the exercises."""
    lines = [f"passed {label} {digest}" for label, digest in sorted(state.passed.items())]
    lines += [f"hints {label} {shown}" for label, shown in sorted(state.hints.items())]
    lines += [f"solution {label} asked {times}" for label, times in sorted(state.asked.items())]
    atomic_write(folder / STATE, HEADER + "".join(f"{line}\n" for line in lines))


def digest(source: bytes) -> str:
    """A short hash that identifies one version of a file."""
    return hashlib.sha256(source).hexdigest()[:12]


def digest_file(path: Path) -> str:
    """The digest of a student's file as it is now; "" if the judge would not read it."""
    try:
        return digest(read_source(path))
    except Wrong:
        return ""


def has_passed(folder: Path, exercise: Exercise, state: State) -> bool:
    """Whether the exercise's file, as it is now, has passed."""
    now = digest_file(folder / exercise.file)
    return bool(now) and state.passed.get(exercise.label) == now


def to_do(folder: Path, state: State) -> list[Exercise]:
    """The exercises whose files, as they are now, have not passed, in order."""
    return [exercise for exercise in exercises() if not has_passed(folder, exercise, state)]


def remember_verdict(folder: Path, exercise: Exercise, version: str) -> None:
    """Record which version of a file has passed; "": the current one has not."""
    state = read_state(folder)
    before = dict(state.passed)
    if version:
        state.passed[exercise.label] = version
    else:
        state.passed.pop(exercise.label, None)
    if state.passed != before:
        write_state(folder, state)


def next_hint(folder: Path, exercise: Exercise) -> tuple[int, str]:
    """The next of the three hints; after the third, the third again. -> (1 to 3, its text)"""
    state = read_state(folder)
    level = min(state.hints.get(exercise.label, 0) + 1, len(exercise.hints))
    if state.hints.get(exercise.label) != level:
        state.hints[exercise.label] = level
        write_state(folder, state)
    return level, exercise.hints[level - 1]


def solution(folder: Path, exercise: Exercise) -> str | None:
    """The solution, if the exercise has passed or the solution is asked for a second time; or
    None. Raises InputError where the solutions were left out."""
    if not has_solutions():
        raise InputError("this installation was made without the solutions: ask your teacher")
    state = read_state(folder)
    times = state.asked.get(exercise.label, 0)
    if not has_passed(folder, exercise, state) and not times:
        state.asked[exercise.label] = times + 1
        write_state(folder, state)
        return None
    return (exercise.folder / "solution.py").read_text("utf-8")


def has_solutions() -> bool:
    """Whether this installation has the solutions."""
    return all((exercise.folder / "solution.py").exists() for exercise in exercises())


def leave_out_solutions() -> int:
    """Remove the solutions, and the wrong ones, from this installation, for the machine or image
    that a class uses. -> how many files were removed. Raises InputError in a checkout, whose files
    these are, and when they cannot be removed."""
    if not material().is_relative_to(Path(__file__).parent):
        raise InputError(
            "--no-solutions is for an installed minibert, not for a checkout: it removes files"
        )
    removed = 0
    for exercise in exercises():
        for name in ("solution.py", "wrong.toml"):
            path = exercise.folder / name
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise InputError(f"{path}: cannot be removed: {error.strerror}") from None
            removed += 1
    return removed


def reset(folder: Path, exercise: Exercise) -> Path | None:
    """Replace a file by its stub. -> where the student's version is kept, NN_name.py.old1 or the
    next free number; None if there was no file, or it still was the stub. Raises InputError, saying
    where the student's version is, when that fails."""
    read_state(folder)  # raises if this is not a student's folder
    path, kept = folder / exercise.file, None
    stub = (exercise.folder / "stub.py").read_bytes()
    if digest_file(path) == digest(stub):
        return None
    new = path.with_name(f".{path.name}.stub")
    where = f"{path} is as it was"
    try:
        if new.is_symlink():  # which is none of ours, and would be followed
            new.unlink()
        atomic_write(new, stub)  # first: on a full disk, the student's file stays in its place
        if path.exists() or path.is_symlink():
            kept = _next_old(path)
            path.rename(kept)
            where = f"your version is {kept}, and the stub {new}"
        new.replace(path)
    except (InputError, OSError) as error:
        why = error if isinstance(error, InputError) else f"{path}: {error.strerror or error}"
        raise InputError(f"{why}; {where}") from None
    return kept


def _next_old(path: Path) -> Path:
    """NN_name.py.old1, or with the next free number."""
    suffixes = [old.suffix.removeprefix(".old") for old in path.parent.glob(f"{path.name}.old*")]
    numbers = [int(suffix) for suffix in suffixes if re.fullmatch("[0-9]{1,9}", suffix)]
    return path.with_name(f"{path.name}.old{max(numbers, default=0) + 1}")
