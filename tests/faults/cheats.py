"""Cheats: files that try to pass an exercise without writing it, each with its outcome.

`CAUGHT` are tricks on the judge, and none passes. `NOT_CAUGHT` are files whose functions do return
the right numbers, though the student has not written them: they pass, as docs/teaching.md says.
"""

from pathlib import Path
from typing import NamedTuple

from wrong_solutions import wrong_source

from adapters.exercises.catalogue import exercises
from adapters.exercises.judge import judge

ATTENTION = exercises()[0]
SOLUTION = (ATTENTION.folder / "solution.py").read_text("utf-8")
UNSCALED = wrong_source(ATTENTION.folder, "unscaled")  # runs, and is wrong
NET = 300  # seconds; a safety net that nothing here needs
SHORT = 1.5  # seconds, for what ends only when its time is up
LATE = "an endless loop?"
NONSENSE = "sent something that is not what a function returns"

# finds this side of the pipe by walking the frames
TALK = """
import sys
def find_talk():
    frame = sys._getframe()
    while "talk" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["talk"]
"""
IN_CALL = "def attention(q, k, v):\n    "
ZEROS = "np.zeros((len(q), v.shape[1]), np.float32)"


def on_load(line: str) -> str:
    """A file that does this with the pipe while it is loaded, and is wrong."""
    return f"{TALK}\ntalk = find_talk()\n{line}\n{UNSCALED}"


def in_call(line: str) -> str:
    """A file that does this with the pipe when it is called, and returns zeros."""
    body = f"talk = find_talk()\n    {line}\n    return {ZEROS}"
    return f"import numpy as np\n{TALK}\n{IN_CALL}{body}\n"


def returning(value: str, before: str = "") -> str:
    """A file whose function returns this."""
    return f"import numpy as np\n{before}\n{IN_CALL}return {value}\n"


ALWAYS_EQUAL = """
def yes(*args, **kwargs):
    return True
def always_equal(base):
    names = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__", "__contains__")
    return type("A", (base,), {**dict.fromkeys(names, yes), "__hash__": lambda self: 0})
"""


class Cheat(NamedTuple):
    """A file, and part of what is said about it."""

    source: str
    says: str


# a message whose array has a type that Python cannot read
RAW = """
import json
tree = json.dumps({"array": ["(1,", [1]]}).encode()
body = len(tree).to_bytes(8, "big") + tree
talk.outgoing.write(len(body).to_bytes(8, "big") + body)
talk.outgoing.flush()
"""
CAUGHT = {
    "a message that breaks its reader": Cheat(on_load(RAW), ""),
    "such a message after a good one": Cheat(
        on_load('talk.send({"ready": True})' + RAW),
        "",
    ),
    # the pipe, forged
    "an empty error, while loading": Cheat(on_load('talk.send({"error": ""})'), "without words"),
    "an empty error, in the call": Cheat(in_call('talk.send({"error": ""})'), "without words"),
    "an error that is none": Cheat(in_call('talk.send({"error": None})'), "without words"),
    "a verdict": Cheat(in_call('talk.send({"passed": True, "error": None})'), "without words"),
    "a verdict alone": Cheat(in_call('talk.send({"passed": True})'), "returned None"),
    "the start once more": Cheat(on_load('talk.send({"started": True})'), "not callable"),
    "a thousand times ready": Cheat(
        on_load('for _ in range(1000): talk.send({"ready": True})'), "not callable"
    ),
    "a missing function": Cheat(in_call('talk.send({"missing": True})'), "returned None"),
    "an error of another kind": Cheat(
        in_call('talk.send({"error": "passed", "kinds": ["Passed"], "text": "passed"})'), "passed"
    ),
    "an error of a judge's kind": Cheat(
        in_call('talk.send({"error": "fine", "kinds": ["Ended", "JudgeError"]})'), "fine"
    ),
    "a call to a function of the judge's": Cheat(
        in_call('talk.send({"callback": 0, "args": [], "kwargs": {}})'), "at [0, 0] is 0"
    ),
    "calls to the judge without end": Cheat(
        in_call('while True: talk.send({"callback": -1, "args": [], "kwargs": {}})'), LATE
    ),
    "answers without end": Cheat(
        in_call('while True: talk.send({"result": bytes(1 << 18)})'), "should be an array"
    ),
    "arguments changed afterwards": Cheat(
        in_call(
            "zero = [q * 0, k * 0, v * 0]\n"
            f'    talk.send({{"result": {ZEROS}, "changed": [zero, {{}}]}})'
        ),
        "your function changed its argument",
    ),
    "arguments replaced by what is equal to all": Cheat(
        in_call(f'talk.send({{"result": {ZEROS}, "changed": [[talk.send] * 3, {{}}]}})'),
        "at [0, 0] is 0",
    ),
    "the other side of the conversation patched": Cheat(
        on_load("type(talk).answer = lambda *args: {'result': None}"), "not callable"
    ),
    "packing patched": Cheat(
        "import adapters.exercises.child as c, adapters.exercises.messages as m\n"
        + on_load("import __main__\n__main__.pack = m.pack = lambda *args: b'\\0' * 8"),
        NONSENSE,
    ),
    "the conversation found by the garbage collector": Cheat(
        in_call(
            "import gc\n    [talk] = [o for o in gc.get_objects()"
            ' if type(o).__name__ == "Conversation"]\n    talk.send({"error": ""})'
        ),
        "without words",
    ),
    "a message of no bytes": Cheat(in_call("talk.outgoing.write(bytes(8))"), NONSENSE),
    "half a message": Cheat(
        in_call(
            "talk.outgoing.write(b'\\0' * 7 + b'\\5ab'); talk.outgoing.flush(); talk.receive()"
        ),
        LATE,
    ),
    "a message of 2^63 bytes": Cheat(in_call("talk.outgoing.write(b'\\x7f' * 8)"), NONSENSE),
    "the pipe closed": Cheat(in_call("talk.outgoing.close()"), "ended the process"),
    "a text that takes a regular expression for ever": Cheat(
        in_call('talk.send({"error": "x", "kinds": ["ValueError"], "text": "shapes " * 140_000})'),
        "x",
    ),
    # words, signals, threads, processes
    "words on every stream": Cheat(
        "import sys\nfor s in (sys.stdout, sys.stderr, sys.__stdout__): print('passed', file=s)\n"
        + UNSCALED,
        "sqrt(d)",
    ),
    "leaving with 0 at exit": Cheat(
        "import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit", "SystemExit"
    ),
    "leaving with 0 from a thread": Cheat(
        "import os, threading, time\n"
        f"def leave():\n    time.sleep(0.1)\n    os._exit(0)\n{IN_CALL}"
        "threading.Thread(target=leave).start(); time.sleep(60)",
        "ended the process (exit code 0",
    ),
    "a thread that answers first": Cheat(
        TALK
        + "\nimport threading, time\ntalk = find_talk()\n"
        + 'def answer():\n    while True: talk.send({"result": None})\n'
        + "threading.Thread(target=answer, daemon=True).start()\ntime.sleep(0.1)\n"
        + SOLUTION,
        "",  # None, or two messages mixed up
    ),
    "a second process that answers, too": Cheat(
        f"import os\nos.fork()\n{UNSCALED}",
        "",  # either answer, or both mixed up
    ),
    "a signal to the whole group": Cheat(
        IN_CALL + "import os, signal; os.killpg(0, signal.SIGTERM)", "SIGTERM"
    ),
    "a stopped process": Cheat(IN_CALL + "import os; os.kill(os.getpid(), 19)", LATE),
    "an alarm that leaves": Cheat(
        "import os, signal, time\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\n"
        f"signal.setitimer(signal.ITIMER_REAL, 0.1)\n{IN_CALL}time.sleep(60)",
        "exit code 0",
    ),
    "sys.exit in the call": Cheat(IN_CALL + "raise SystemExit(0)", "SystemExit: 0"),
    "Ctrl-C in the call": Cheat(IN_CALL + "raise KeyboardInterrupt", "KeyboardInterrupt"),
    "an exception of the judge's": Cheat(
        "from adapters.exercises.assertions import JudgeError\n"
        + IN_CALL
        + "raise JudgeError('not judged')",
        "JudgeError: not judged",
    ),
    # modules, patched or replaced
    "the judge's modules replaced": Cheat(
        "import sys, types\nfor name in ('assertions', 'judge', 'diagnoses', 'student', 'grade'):\n"
        "    sys.modules['adapters.exercises.' + name] = types.ModuleType(name)\n" + UNSCALED,
        "sqrt(d)",
    ),
    "numpy.testing patched": Cheat(
        "import numpy as np, numpy.testing as t\n"
        "for m in (np, t):\n    for name in dir(m):\n"
        "        if name.startswith(('assert', 'allclose', 'array_eq', 'isclose')):\n"
        "            setattr(m, name, lambda *a, **k: True)\n" + UNSCALED,
        "sqrt(d)",
    ),
    "builtins patched": Cheat(
        "import builtins\n"
        "for name in ('all', 'any', 'abs'):\n    setattr(builtins, name, lambda *a: True)\n"
        + UNSCALED,
        "sqrt(d)",
    ),
    "a trace function": Cheat(
        "import sys\nsys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)\n" + UNSCALED,
        "sqrt(d)",
    ),
    # values that pretend
    **{
        f"a {base} equal to all": Cheat(returning(value, ALWAYS_EQUAL), says)
        for base, value, says in (
            ("float", "always_equal(float)(0.0)", "is a A"),
            ("str", "always_equal(str)()", "is a A"),
            ("tuple", "always_equal(tuple)([q, k, v])", "is a tuple"),
            ("list", "always_equal(list)([q])", "is a list"),
            ("dict", "always_equal(dict)(a=q)", "is a dict"),
            ("array", f"{ZEROS}.view(always_equal(np.ndarray))", "at [0, 0] is 0"),
        )
    },
    "a class that says it is another": Cheat(
        returning("A()", "class A:\n    __class__ = np.ndarray"), "should be an array"
    ),
    "an object that makes arrays": Cheat(
        returning("A()", "class A:\n    def __array__(self, *a, **k): return np.zeros((3, 4))"),
        "is a A",
    ),
    "a mask over every value": Cheat(returning(f"np.ma.masked_all_like({ZEROS})", ""), "should be"),
    "nan": Cheat(returning(f"{ZEROS} + np.float32('nan')"), "is nan"),
    "infinity": Cheat(returning(f"{ZEROS} + np.float32('inf')"), "is inf"),
    "no values": Cheat(returning("np.zeros((0, 4), np.float32)"), "has shape (0, 4)"),
    "one value for all": Cheat(returning("np.float32(0)"), "has shape ()"),
    "complex values": Cheat(returning(f"{ZEROS} + 0j"), "dtype complex"),
    "a record": Cheat(returning("np.zeros(3, 'f4,f4')"), "should be an array"),
    "an integer of a million digits": Cheat(returning("1 << 3_000_000"), ""),
    "lists in lists without end": Cheat(
        returning("a", "a = []\nfor _ in range(10**5): a = [a]"), "is a list"
    ),
    "a module whose every name is right": Cheat(
        "import sys\nsys.modules['student'].__dict__.clear()\n"
        "__getattr__ = lambda name: lambda *args: True\n",
        "has shape ()",
    ),
    "what the caller expects, from its frames": Cheat(
        "import sys\n" + IN_CALL + "frame = sys._getframe()\n"
        "    while frame:\n"
        "        if 'expected' in frame.f_locals: return frame.f_locals['expected']\n"
        "        frame = frame.f_back\n"
        "    raise LookupError('nothing is expected here')",
        "nothing is expected here",
    ),
    "what the caller expects, from all objects": Cheat(
        "import gc, numpy as np\n"
        + IN_CALL
        + "held = [o for o in gc.get_objects() if isinstance(o, dict) and 'expected' in o]\n"
        "    raise LookupError(f'{len(held)} dicts expect something')",
        "0 dicts expect something",
    ),
}

NOT_CAUGHT = {
    "our solution, imported": "from adapters.exercises.catalogue import exercises\n"
    "exec((exercises()[0].folder / 'solution.py').read_text())\n",
    "minibert's own function, imported": "from minibert import ops\nimport numpy as np\n"
    + IN_CALL
    + "scores = q @ k.T / np.float32(q.shape[1] ** 0.5)\n    return ops.softmax(scores) @ v\n",
    "the check's own oracle": "from adapters.exercises.catalogue import exercises\n"
    "names = {}\nexec((exercises()[0].folder / 'check.py').read_text(), names)\n"
    + IN_CALL
    + "return names['by_loops'](q, k, v).astype(np.float32)\nimport numpy as np\n",
    "answers written down for each question": SOLUTION
    + "\nright, known = attention, {}\n"
    + "def attention(*given):\n    key = b''.join(x.tobytes() for x in given)\n"
    "    return known.setdefault(key, right(*given))\n",
}


def outcome(name: str) -> str:
    """ "" if the judge has seen through a cheat that can be caught, or let one pass that cannot;
    else what it has said."""
    if name in NOT_CAUGHT:
        verdict = judge(ATTENTION, Path("theirs.py"), NET, NOT_CAUGHT[name].encode())
        return "" if verdict.passed else f"did not pass: {verdict.error}"
    source, says = CAUGHT[name]
    seconds = SHORT if says == LATE else NET
    verdict = judge(ATTENTION, Path("theirs.py"), seconds, source.encode())
    if verdict.passed:
        return "passed"
    return "" if verdict.error and says in verdict.error else f"said {verdict.error!r}"
