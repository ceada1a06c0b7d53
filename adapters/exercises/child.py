"""The student's process: it runs the student's file, and contains nothing of the judge.

It receives the name of a function and arguments, and sends back a result, or an exception in words.
It is never told what is right. The judge's side is `student`.
"""

import linecache
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, BinaryIO

from adapters.exercises.messages import Garbled, Name, pack, read_message, unpack


class Conversation:
    """This side of the pipe: sends and receives values; both sides' functions go by number."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self.incoming, self.outgoing = incoming, outgoing
        self.functions: list[Callable[..., Any]] = []

    def send(self, value: Any) -> None:
        """Send one message to the judge."""
        self.outgoing.write(pack(value, self.name_of))
        self.outgoing.flush()

    def receive(self) -> Any:
        """The judge's next message. Ends the process when the judge has closed the pipe."""
        body = read_message(self.incoming)
        if body is None:
            os._exit(0)
        return unpack(body, self.named)

    def name_of(self, function: Callable[..., Any]) -> Name:
        """Give a function of the student's a number, by which the judge can call it."""
        self.functions.append(function)
        return {"function": len(self.functions) - 1}

    def named(self, name: Name) -> Callable[..., Any]:
        """The function that the judge means by a name: one of `minibert.ops`, one of the student's,
        or a call back to one of the judge's."""
        if "op" in name:
            from minibert import ops

            return getattr(ops, name["op"])
        if "own" in name:
            return self.functions[name["own"]]

        def ask_the_judge(*args: Any, **kwargs: Any) -> Any:
            self.send({"callback": name["function"], "args": args, "kwargs": kwargs})
            answer = self.receive()
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return answer["result"]

        return ask_the_judge

    def answer(self, module: ModuleType, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request: a result and, if the call changed its arguments, the arguments
        as they are afterwards."""
        if "get" in request:
            if not hasattr(module, request["get"]):
                return {"missing": True}
            return {"result": getattr(module, request["get"])}
        given = [request["args"], request["kwargs"]]  # a list and a dict
        before = pack(given, _no_name)
        answer = {"result": self.functions[request["call"]](*given[0], **given[1])}
        if pack(given, _no_name) != before:
            answer["changed"] = given
        return answer


def _no_name(function: Callable[..., Any]) -> Name:
    """All functions are alike here: they do not count as changed arguments."""
    return {"other": "function"}


def describe_error(error: BaseException, path: str) -> dict[str, Any]:
    """An exception in words: what was raised, and where in the student's file.

    -> {"error": the message to show, "kinds": the names of its class and base classes, "text": the
    exception's own message, "function": the name of the student's function that raised it, or ""}
    """
    text = str(error)[:2000]
    line, function = _place(error, path)
    message = f"{path}, line {line}" if line else path
    message += f": {type(error).__name__}{': ' if text else ''}{text}"
    if line:
        message += f"\n    {linecache.getline(path, line).strip()[:200]}"
    return {
        "error": message,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "text": text,
        "function": function,
    }


def _place(error: BaseException, path: str) -> tuple[int, str]:
    """The line of the student's file where the error arose, and the function that it is in; (0, "")
    if there is none."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 0, ""
    frames = traceback.walk_tb(error.__traceback__)
    places = [(line, frame.f_code) for frame, line in frames if frame.f_code.co_filename == path]
    line, code = places[-1] if places else (0, None)
    return line, code.co_name if code and code.co_name.isidentifier() else ""  # not "<module>"


def load(source: bytes, path: str) -> ModuleType:
    """Run the student's file as the module `student`; messages call it `path`. Raises whatever the
    file raises."""
    module = ModuleType("student")
    module.__file__ = path
    sys.modules["student"] = module
    lines = source.decode("utf-8", "replace").splitlines(keepends=True)
    linecache.cache[path] = (len(source), None, lines, path)
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def limit_resources(seconds: float, megabytes: int) -> None:
    """Limit memory, file sizes and processor time, where the operating system can. The judge
    watches the time, too: its clock also runs while this process sleeps."""
    try:
        import resource
    except ImportError:  # this operating system has no such limits
        return
    limits = {
        "RLIMIT_AS": megabytes << 20,
        "RLIMIT_DATA": megabytes << 20,
        "RLIMIT_FSIZE": 64 << 20,
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": int(seconds) + 2,
    }
    for name, most in limits.items():
        if hasattr(resource, name):
            which = getattr(resource, name)
            _, hard = resource.getrlimit(which)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            try:
                resource.setrlimit(which, (most, most))
            except (ValueError, OSError):
                continue  # the system knows the limit's name but cannot set it


def serve() -> None:
    """Load the student's file, which is the first message, and answer requests until the judge ends
    this process.

    The pipe is standard input and output. Before the student's code runs, both are redirected: what
    it prints goes to standard error, to be shown later, and there is nothing for it to read.
    """
    talk = Conversation(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    talk.send({"started": True})  # from here on the student's time limit runs
    first = talk.receive()
    path = first["path"]
    limit_resources(first["seconds"], first["megabytes"])
    try:
        module = load(first["source"].encode("latin-1"), path)
        reply: dict[str, Any] = {"ready": True}
    except BaseException as error:
        reply = describe_error(error, path)
    while True:
        _flush()
        try:
            talk.send(reply)
        except Garbled as error:
            talk.send({"error": f"{path}: the result cannot be sent: {error}"})
        request = talk.receive()
        try:
            reply = talk.answer(module, request)
        except BaseException as error:
            reply = describe_error(error, path)


def _flush() -> None:
    """Write out what the student's code has printed, before the answer."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the student's code closed or replaced it


if __name__ == "__main__":
    serve()
