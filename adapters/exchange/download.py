"""An adapter's files from the Hugging Face hub, by `huggingface_hub` and into its own cache."""

import re
from pathlib import Path

from adapters.exchange import adapterhub, note, peft, whole_model
from minibert.config import read_config
from minibert.errors import InputError, brief, shown
from minibert.fetch.home import require_network
from minibert.fetch.hub import (
    cached_snapshot,
    download_file,
    hub_errors,
    listed_files,
)
from minibert.fetch.manifest import HUB_NAME
from minibert.json_files import LARGEST
from minibert.weight_files import SINGLE

TASK_FILE = "task.safetensors"
COMMIT = re.compile("[0-9a-f]{40}")

# What each kind of repository is made of. The tensors come last: where they are, all is.
TASK = (TASK_FILE,)
ADAPTER = (
    adapterhub.CONFIG,  # which is PEFT's name, too
    note.NOTE,
    adapterhub.HEAD_CONFIG,
    adapterhub.HEAD_TENSORS,
    adapterhub.TENSORS,
    peft.TENSORS,
)
WHOLE_MODEL = (whole_model.CONFIG, note.NOTE, SINGLE)
KINDS = (TASK, ADAPTER, WHOLE_MODEL)
TENSORS = {TASK_FILE, adapterhub.TENSORS, peft.TENSORS, SINGLE}
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def download_adapter(name: str) -> Path:
    """The folder in the hub's cache with the adapter of ORG/NAME[@REVISION]. Only the files that
    are needed are fetched, and no pickle; of a whole model, no weights unless it is a BERT.

    Raises InputError, in one line, for a name that is none, a repository without an adapter in
    safetensors, or one that is missing or not accessible; Unreachable when the hub fails.
    """
    parts = HUB_NAME.fullmatch(name)
    if not parts:
        raise InputError(f"{shown(name)}: is neither a folder nor ORG/NAME on the hub")
    repository, revision = parts[1], parts[2] or "main"
    if found := cached_adapter(repository, revision):
        return found
    require_network(f"{name}: is not in the hub's cache")
    with hub_errors(repository, revision):
        present = listed_files(repository, revision)
        wanted = _wanted(present)
        if not wanted:
            pickle = min((file for file in present if file.endswith(PICKLES)), default="")
            why = f"; its {brief(pickle)} is a pickle, never opened" if pickle else ""
            raise InputError(f"{repository}: has no adapter in safetensors{why}")
        for file in wanted:
            most = LARGEST if file.endswith(".json") else None
            path = download_file(repository, file, revision, most=most)
            if file == whole_model.CONFIG:
                read_config(path)
            revision = path.parent.name  # the commit, for all others: a branch may move
        return path.parent


def _wanted(present: set[str]) -> list[str]:
    """Which of a folder's files make up its adapter, in the order in which they are fetched; none
    where there is no adapter, or not all of one."""
    kind: tuple[str, ...] = next((kind for kind in KINDS if kind[0] in present), ())
    wanted = [file for file in kind if file in present]
    return wanted if TENSORS & {*wanted} else []


def cached_adapter(repository: str, revision: str) -> Path | None:
    """The folder of a commit, or of any revision when offline, in the hub's cache, if it is
    complete; no request is made. A branch may have moved, so while connected it is asked for."""
    found = (cached_snapshot(repository, revision, kind[0]) for kind in KINDS)
    folder = next(filter(None, found), None)
    if folder is None or not _wanted({path.name for path in folder.iterdir()}):
        return None
    from huggingface_hub.constants import HF_HUB_OFFLINE

    return folder if HF_HUB_OFFLINE or COMMIT.fullmatch(revision) else None
