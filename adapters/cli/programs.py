"""What to type for `minibert` and for Python, so that a line that we print works when pasted.

A program is called by its name only where the shell finds this very one by it, and not another
installation's; else by its path.
"""

import filecmp
import os
import shlex
import shutil
import sys
from pathlib import Path


def minibert_program() -> str:
    """`minibert`, or where it is; without such a script, Python's way to run it."""
    script = shutil.which("minibert", path=Path(sys.executable).parent)
    if not script:
        return f"{python_program()} -m minibert"
    found = shutil.which("minibert")
    return "minibert" if found and Path(found).samefile(script) else _typed(script)


def python_program() -> str:
    """`python`, where that is this one by another name; else where it is."""
    this, found = sys.executable, shutil.which("python")
    # Links do not tell: those of all virtual environments may lead to one file. The folder does,
    # but it may have a Python 2 beside the 3.
    same = found and Path(found).parent == Path(this).parent and filecmp.cmp(found, this)
    return "python" if same else _typed(this)


def _typed(program: str) -> str:
    """A program's path from here, or the whole one if that is shorter, for the shell."""
    here = os.path.relpath(program)
    if os.sep not in here:
        here = f"{os.curdir}{os.sep}{here}"  # a name alone is looked for elsewhere
    return shlex.quote(min(here, program, key=len))
