"""An adapter's files from the Hugging Face hub, by `huggingface_hub` and into its own cache."""

import re
from pathlib import Path

from adapters.exchange import adapterhub, note, peft, whole_model
from minibert.errors import InputError, shown
from minibert.fetch.home import require_network
from minibert.fetch.hub import download_file, hub_errors, listed_files, quiet_unless
from minibert.weight_files import SINGLE

TASK_FILE = "task.safetensors"
CONFIGS = (adapterhub.CONFIG, whole_model.CONFIG)
OTHERS = (
    adapterhub.TENSORS,
    adapterhub.HEAD_CONFIG,
    adapterhub.HEAD_TENSORS,
    peft.TENSORS,
    note.NOTE,
    SINGLE,
    TASK_FILE,
)


def download_adapter(name: str, progress: bool = True) -> Path:
    """The folder in the hub's cache with the adapter of ORG/NAME[@REVISION]. No pickle is fetched.

    Raises InputError, in one line, for a name that is none, a repository without an adapter in
    safetensors, or one that is missing or not accessible; Unreachable when the hub fails.
    """
    if ".." in name or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@\w[\w./-]*)?", name):
        raise InputError(f"{shown(name)}: is neither a folder nor ORG/NAME on the hub")
    repository, _, revision = name.partition("@")
    if found := cached_adapter(repository, revision or "main"):
        return found
    require_network(f"{name}: is not in the hub's cache")
    with quiet_unless(progress), hub_errors(repository, revision or "main"):
        present = listed_files(repository, revision or "main")
        wanted = [file for file in (*CONFIGS, *OTHERS) if file in present]
        if not any(file.endswith(".safetensors") for file in wanted):
            pickles = sorted(file for file in present if file.endswith((".bin", ".pt", ".ckpt")))
            why = f"; its {pickles[0]} is a pickle, never opened" if pickles else ""
            raise InputError(f"{repository}: has no adapter in safetensors{why}")
        commit = revision or "main"
        for file in wanted:
            path = download_file(repository, file, commit)
            commit = path.parent.name  # the commit, for all others: a branch may move
        return path.parent


def cached_adapter(repository: str, revision: str) -> Path | None:
    """The folder of a commit, or of a name offline, in the hub's cache; no request is made. A
    branch may have moved, so while connected only a commit is taken from there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if not (HF_HUB_OFFLINE or re.fullmatch("[0-9a-f]{40}", revision)):
        return None
    for file in (*CONFIGS, TASK_FILE):
        path = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(path, str):
            return Path(path).parent
    return None
