"""A model's data files from a wheel on the package index, for when the hub cannot be reached."""

import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.fetch.home import Unreachable, check_unpacked, verify


def unpack_wheel(wheel: dict[str, Any], sha256: dict[str, str], part: Path, progress: bool) -> Path:
    """A folder in `part` with the files of `sha256` out of the manifest's `wheel`, each verified,
    and with their SHA256SUMS. Nothing of the wheel is installed or run.

    Raises Unreachable when pip fails, InputError for a missing file or a wrong hash.
    """
    archive, new = _pip_download(wheel["requirement"], part, progress), part / "new"
    new.mkdir()
    try:
        check_unpacked(archive)
        with zipfile.ZipFile(archive) as file:
            for name in sha256:
                with file.open(f"{wheel['folder']}/{name}") as data, (new / name).open("wb") as out:
                    shutil.copyfileobj(data, out)
    except InputError as error:
        raise InputError(f"{archive.name}: {error}") from None
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{archive.name}: {error.args[0]}") from None
    for name, digest in sha256.items():
        verify(new / name, f"{archive.name}/{name}", digest)
    sums = "".join(f"{digest}  {name}\n" for name, digest in sha256.items())
    (new / "SHA256SUMS").write_text(sums, "utf-8")
    return new


def _pip_download(requirement: str, part: Path, progress: bool) -> Path:
    """The wheel, by `pip download` with the user's own index, mirror and proxy."""
    download = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--dest"]
    command = [sys.executable, *download, str(part), requirement]
    shown = 2 if progress else subprocess.DEVNULL  # pip's progress goes to our standard error
    pip = subprocess.run(command, stdout=shown, stderr=subprocess.PIPE, errors="replace")
    if pip.returncode == 0:
        return next(part.glob("*.whl"))
    lines = pip.stderr.splitlines() or ["failed"]
    reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
    raise Unreachable(f"pip download {requirement}: {reason.removeprefix('ERROR: ')}")
