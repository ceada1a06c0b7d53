"""What to type for `minibert` and for Python, so that a line that we print works when pasted."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def minibert_program() -> str:
    """`minibert` where the shell finds it; else where it is, or Python's way to run it."""
    if shutil.which("minibert"):
        return "minibert"
    script = Path(sys.executable).with_name("minibert")
    return _beside(script) if script.exists() else f"{python_program()} -m minibert"


def python_program() -> str:
    """`python` where the shell finds this one, whatever name it goes by; else where it is."""
    found, this = shutil.which("python"), Path(sys.executable)
    return "python" if found and Path(found).parent == this.parent else _beside(this)


def _beside(program: Path) -> str:
    """A program's path from here, or the whole one if that is shorter."""
    return shlex.quote(min(os.path.relpath(program), str(program), key=len))
