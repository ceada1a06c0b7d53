"""Which models there are: weights/manifest.toml, and any repository of the hub."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minibert.errors import InputError
from minibert.fetch.home import home, read_manifest
from minibert.weight_files import INDEX, SINGLE, shard_names

# The files to fetch from a repository that is not in the manifest: no pickles, which can run code.
# The weights come last: they are large, and every other file can be a reason to refuse the model.
FILES = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
    "vocab.txt",
    INDEX,
    SINGLE,
)
# ORG/NAME[@REVISION] of the hub, its two parts; two dots could be a folder's parent.
HUB_NAME = re.compile(r"(?!.*\.\.)(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?")
REQUIRED = ({"config.json"}, {"tokenizer.json", "vocab.txt"}, {SINGLE})


@dataclass(frozen=True)
class Model:
    """Where a model's files come from. `files`: {name: {sha256, bytes}}, of which either may be
    missing; empty for a model outside the manifest. `wheel`: the second source, if there is one.
    `defaults`: what suits the model in training, see weights/manifest.toml."""

    name: str
    repository: str
    revision: str
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    wheel: dict[str, Any] | None = None
    about: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Its place among the downloads, where it can be put by hand."""
        return home() / self.name.replace("/", "--")

    @property
    def names(self) -> list[str]:
        """The files to fetch, in their order."""
        return list(self.files or FILES)

    @property
    def sha256(self) -> dict[str, str]:
        """The known hashes, which hold for every source."""
        return {name: facts["sha256"] for name, facts in self.files.items() if "sha256" in facts}

    def missing(self, names: set[str]) -> str:
        """The first required file that is not among the names, or "". An index of shards will do in
        place of the weights of a model outside the manifest."""
        names = names | {SINGLE} if self.in_shards(names) else names
        required = [{name} for name in self.files] or REQUIRED
        return next((" or ".join(sorted(s)) for s in required if not s & names), "")

    def is_in(self, folder: Path) -> bool:
        """Whether all required files are in a folder. Raises InputError for a damaged index."""
        names = _names_in(folder)
        return not self.missing(names) and names >= {*self._shards_in(folder)}

    def files_in(self, folder: Path) -> list[str]:
        """The names of the model's own files, shards among them, in a folder that it `is_in`."""
        weights = [name for name in self._shards_in(folder) if name.endswith(".safetensors")]
        return [*self.names, *weights]

    def _shards_in(self, folder: Path) -> list[str]:
        return shard_names(folder / INDEX) if self.in_shards(_names_in(folder)) else []

    def in_shards(self, names: set[str]) -> bool:
        """Whether files of these names have the weights in shards."""
        return not self.files and INDEX in names and SINGLE not in names


def _names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*") if path.exists()}


def known_models() -> dict[str, Model]:
    """The models of weights/manifest.toml."""
    return {name: Model(name, **facts) for name, facts in read_manifest("manifest.toml").items()}


def model_of(sha256: str) -> Model | None:
    """The known model whose weight file has this sha256."""
    return next((m for m in known_models().values() if m.sha256.get(SINGLE) == sha256), None)


def defaults_of(sha256: str) -> dict[str, Any]:
    """The defaults of the model whose weight file has this sha256; empty for an unknown one."""
    model = model_of(sha256)
    return model.defaults if model else {}


def find_model(name: str) -> Model:
    """A manifest name, or any ORG/NAME[@REVISION] of the hub; InputError for any other."""
    known = known_models()
    repository, _, revision = name.partition("@")
    for model in known.values():
        if name == model.name or (
            repository == model.repository and revision in ("", model.revision)
        ):
            return model
    if not HUB_NAME.fullmatch(name):
        raise InputError(f"{name}: unknown model; known: {', '.join(known)}, or any ORG/NAME")
    return Model(name, repository, revision or "main")
