"""A model's files from the Hugging Face hub, by way of `huggingface_hub`."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from minibert.config import read_config
from minibert.errors import InputError
from minibert.fetch.download import FIRST_ANSWER, Unreachable, download, reason, within
from minibert.fetch.unpack import is_right, verify


def fetch_from_hub(
    name: str,
    repository: str,
    revision: str,
    files: dict[str, dict[str, Any]],
    folder: Path,
    progress: bool,
) -> None:
    """Every file of one snapshot, each one verified against the manifest or the hub's own hash.

    Not hf_hub_download: it deletes an unfinished file when it is interrupted, and asks a silent
    server again for minutes. The library finds the file, the user's token and the endpoint.
    Raises Unreachable when the hub gives nothing, InputError when it has no usable BERT.
    """
    from huggingface_hub.utils import build_hf_headers

    for file, facts in files.items():
        url, answer = _ask_hub(repository, file, revision)
        if answer is None and facts.get("optional"):
            continue
        if answer is None and file == "model.safetensors":
            raise InputError(
                f"{repository}: has no model.safetensors; only safetensors is read, "
                "pickles (pytorch_model.bin) are never opened"
            )
        if answer is None:
            raise InputError(f"{repository}: has no {file}")
        if file == "model.safetensors" and not any(
            (folder / vocabulary).exists() for vocabulary in ("tokenizer.json", "vocab.txt")
        ):
            raise InputError(f"{repository}: has neither tokenizer.json nor vocab.txt")
        revision = answer.commit_hash  # "main" may move between two files
        # the hub's etag is the sha256 of a large file, and git's hash of a small one
        known = re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", answer.etag)
        digest = facts.get("sha256") or (answer.etag if known else None)
        part = folder / f".{file}.{re.sub(r'[^0-9a-zA-Z]', '', answer.etag)[:16]}.part"
        if not is_right(folder, file, facts):
            download(
                url, part, size=answer.size, headers=build_hf_headers(), progress=progress,
                label=f"{name}/{file}",
            )  # fmt: skip
            if digest:
                verify(part, f"{repository}/{file}", digest)
            part.replace(folder / file)
        if file == "config.json":
            _check_config(folder, repository)


def _ask_hub(repository: str, name: str, revision: str) -> tuple[str, Any]:
    """A file's URL, and the hub's (etag, commit_hash, size) or None when it has no such file.

    Raises Unreachable when the hub does not answer, or not as a hub does; InputError when it
    has no such repository or revision, or keeps it to others.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub import errors as hub

    if constants.HF_HUB_OFFLINE:
        raise Unreachable("the hub was not asked, as HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    try:
        url = hf_hub_url(repository, name, revision=revision, endpoint=endpoint)
        answer = within(FIRST_ANSWER, partial(get_hf_file_metadata, url, timeout=5))
    except hub.EntryNotFoundError:
        return url, None
    except hub.GatedRepoError:
        raise InputError(f"{repository}: is gated; accept its terms, run `hf auth login`") from None
    except hub.RepositoryNotFoundError:
        raise InputError(f"{repository}: {endpoint} has none such, or it is private") from None
    except hub.RevisionNotFoundError:
        raise InputError(f"{repository}: has no revision {revision}") from None
    except hub.HFValidationError as error:
        raise InputError(f"{repository}: {str(error).splitlines()[0]}") from None
    except Exception as error:  # its http library's own; which one that is, its versions differ
        raise Unreachable(f"{endpoint} cannot be reached ({reason(error)})") from None
    if not answer.commit_hash or not answer.etag:
        raise Unreachable(f"{endpoint} does not answer as a hub does")
    return url, answer


def _check_config(folder: Path, repository: str) -> None:
    """Refuse another kind of model before its weights are fetched, by its name on the hub."""
    try:
        read_config(folder / "config.json")
    except InputError as error:
        text = str(error).removeprefix(str(folder)).lstrip("/\\")
        raise InputError(f"{repository}: {text}") from None
