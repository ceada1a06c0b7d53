"""What is done with a download: checked, unpacked, by one process at a time."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.fetch.download import CHUNK, bar
from minibert.files import sha256_file


def verify(path: Path, name: str, digest: str) -> None:
    """Refuse a file that is not the promised one, and delete it.

    digest: a sha256 (64 hexadecimal digits), or the 40 of the name that git gives to the
    content, which is what the hub states of small files. Raises InputError, naming the file by
    `name` and both hashes.
    """
    if len(digest) == 40:
        data = path.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    else:
        found = sha256_file(path)
    if found != digest:
        path.unlink()
        kind = "git hash" if len(digest) == 40 else "sha256"
        raise InputError(f"{name}: expected {kind} {digest}, found {found}; deleted the file")


def is_right(folder: Path, name: str, facts: dict[str, Any]) -> bool:
    """Whether a file needs no fetching: it has the known hash, or is there and has none known."""
    path = folder / name
    return path.exists() and facts.get("sha256") in (None, sha256_file(path))


def zip_names(archive: Path) -> list[str]:
    """The members of a zip file. Raises InputError when it is damaged, or when a member's name
    would lead out of the folder that it is unpacked in."""
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{archive.name}: is no readable zip file: {error}") from None
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            raise InputError(f"{archive.name}: refused; its member {name!r} leads out of a folder")
    return names


def unzip(archive: Path, members: dict[str, Path], progress: bool = True) -> None:
    """Unpack {member: file to write}, and nothing else. Raises InputError when it cannot be."""
    missing = members.keys() - set(zip_names(archive))
    if missing:
        raise InputError(f"{archive.name}: lacks {min(missing)}")
    try:
        with zipfile.ZipFile(archive) as file:
            for member, target in members.items():
                size = file.getinfo(member).file_size
                with (
                    file.open(member) as source,
                    target.open("wb") as out,
                    bar(f"unpacking {Path(member).name}", size, progress) as meter,
                ):
                    while chunk := source.read(CHUNK):
                        out.write(chunk)
                        meter.update(len(chunk))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(f"{archive.name}: is damaged: {error}") from None
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written: {error.strerror}") from None
