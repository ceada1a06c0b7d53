"""A checkpoint folder -> parameter tree: the public BERT checkpoints and their many spellings.

Only safetensors is read. Pickle files run code when they are opened; nothing here does that.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.config import BertConfig, read_config
from minibert.errors import InputError
from minibert.files import read_sums, sha256_file
from minibert.parameters import Shapes, masked_token_shapes, parameter_shapes
from minibert.tensors import as_stored, read_safetensors
from minibert.tokenizer import load_tokenizer
from minibert.tree import Tree, from_leaves

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Hub names -> our paths, tried in order. LayerNorm tensors are called weight and bias today, gamma
# and beta in the first checkpoints.
_NAMES = [
    (r"embeddings\.(word|position)_embeddings\.weight", r"embeddings.\1"),
    (r"embeddings\.token_type_embeddings\.weight", r"embeddings.segment"),
    (r"embeddings\.LayerNorm", r"embeddings.norm"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)", r"layers.\1.attention.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense", r"layers.\1.attention.output"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm", r"layers.\1.attention.norm"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense", r"layers.\1.feed_forward.inner"),
    (r"encoder\.layer\.(\d+)\.output\.dense", r"layers.\1.feed_forward.output"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm", r"layers.\1.feed_forward.norm"),
    (r"pooler\.dense", r"pooler"),
    (r"cls\.predictions\.transform\.dense", r"masked_tokens.transform"),
    (r"cls\.predictions\.transform\.LayerNorm", r"masked_tokens.norm"),
    (r"cls\.predictions\.bias", r"masked_tokens.bias"),
]


@dataclass(frozen=True)
class Base:
    """One frozen BERT, shared by all tasks.

    `sha256` is that of the weight file; task files carry it, so that none is ever used with another
    base. `extra` lists the file's tensors that this encoder does not use.
    """

    name: str
    folder: Path
    config: BertConfig
    params: Tree = field(repr=False)
    sha256: str
    extra: tuple[str, ...] = ()

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The checkpoint's tokenizer, read when first needed. Raises InputError when it knows
        tokens that the weights have no embedding for."""
        tokenizer = load_tokenizer(self.folder)
        # No text has the token "", which is an empty line of vocab.txt.
        last, token = max((n, token) for token, n in tokenizer.get_vocab().items() if token)
        if last >= self.config.vocab_size:
            raise InputError(
                f"{self.folder}: its tokenizer's largest id is {last} ({token!r}), but config.json "
                f"says vocab_size {self.config.vocab_size}"
            )
        return tokenizer


def our_path(name: str) -> str:
    """A hub tensor's name -> the path of that parameter here, or "" if there is none.

    >>> our_path("bert.encoder.layer.3.attention.output.LayerNorm.gamma")
    'layers.3.attention.norm.weight'
    """
    name = name.removeprefix("bert.")
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    stem, _, leaf = name.rpartition(".")
    for pattern, path in _NAMES:
        if whole := re.fullmatch(pattern, name):
            return whole.expand(path)
        if leaf in ("weight", "bias") and (part := re.fullmatch(pattern, stem)):
            return f"{part.expand(path)}.{leaf}"
    return ""


def _check_folder(folder: Path) -> Path:
    path = folder / "model.safetensors"
    if path.exists():
        return path
    if (folder / "model.safetensors.index.json").exists():
        raise InputError(f"{folder}: the weights are sharded; a single model.safetensors is needed")
    pickles = sorted(p.name for p in folder.glob("*.bin"))
    if pickles:
        raise InputError(
            f"{folder}: has {pickles[0]} but no model.safetensors; "
            "pickle files can run code and are never opened"
        )
    raise InputError(f"{folder}: has no model.safetensors")


def load_base(folder: Path | str, *, pooler: bool = False, dtype: Any = np.float32) -> Base:
    """A checkpoint folder (config.json, model.safetensors, tokenizer files) -> Base.

    Understands tensors with and without the `bert.` prefix, LayerNorm gamma/beta and
    weight/bias, F32, F16 and BF16. The masked-token head is loaded when the file has all of it.
    So is the pooler, which masked-language models lack; `pooler=True` refuses a file without one.
    float32 weights stay views of the file. Raises InputError, naming the file and the tensor or
    setting, for missing or misshapen tensors, a damaged file, a sha256 other than that in
    SHA256SUMS, or a config.json that contradicts the weights.
    """
    folder = Path(folder)
    config = read_config(folder / "config.json")
    path = _check_folder(folder)
    tensors, _ = read_safetensors(path)
    sha256 = _checked_sha256(path)
    wanted = _wanted(config, tensors, pooler)
    found, extra = _found(path, tensors, wanted)
    _check_fit(path, config, wanted, {name: leaf.shape for name, leaf in found.items()}, extra)
    params = from_leaves({name: leaf.astype(dtype, copy=False) for name, leaf in found.items()})
    return Base(_base_name(folder), folder, config, params, sha256, tuple(extra))


def _checked_sha256(path: Path) -> str:
    sha256, promised = sha256_file(path), promised_sha256(path.parent)
    if promised not in (None, sha256):
        raise InputError(f"{path}: sha256 is {sha256}, but SHA256SUMS says {promised}; fetch again")
    return sha256


def _wanted(config: BertConfig, tensors: dict[str, np.ndarray], pooler: bool) -> Shapes:
    """The shapes of the parameters to look for. An optional part is loaded whole or not at all."""
    wanted = parameter_shapes(config) | masked_token_shapes(config)
    given = {our_path(name) for name in tensors}
    optional = [] if pooler else ["pooler."]
    for part in [*optional, "masked_tokens."]:
        own = {path for path in wanted if path.startswith(part)}
        whole = own <= given and (part == "pooler." or _has_tied_decoder(tensors))
        if not whole:
            wanted = {path: shape for path, shape in wanted.items() if path not in own}
    return wanted


def _found(
    file: Path, tensors: dict[str, np.ndarray], wanted: Shapes
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted parameters that the file has, by our paths, and the names of all other tensors."""
    found: dict[str, np.ndarray] = {}
    extra = []
    for name, values in tensors.items():
        path = our_path(name)
        if path not in wanted:
            extra.append(name)
        elif path in found:
            raise InputError(f"{file}: has {path} twice, the second time as {name}")
        else:
            found[path] = as_stored(path, values)
    return found, sorted(extra)


def _check_fit(
    file: Path, config: BertConfig, wanted: Shapes, found: Shapes, extra: list[str]
) -> None:
    """Raise InputError if the file lacks a parameter, has too many layers, or has a parameter of
    another shape."""
    missing = [path for path in wanted if path not in found]
    if missing:
        raise InputError(f"{file}: lacks {missing[0]} ({len(missing)} of {len(wanted)} missing)")
    beyond = [name for name in extra if re.match(r"(bert\.)?encoder\.layer\.\d+\.", name)]
    if beyond:
        raise InputError(
            f"{file}: has {beyond[0]}, but config.json says "
            f"num_hidden_layers {config.num_hidden_layers}"
        )
    for path, shape in wanted.items():
        if found[path] != shape:
            raise InputError(
                f"{file}: {path} has shape {found[path]}, but config.json asks for {shape}"
            )


def _base_name(folder: Path) -> str:
    """The folder's name; in the hub's cache, where that is a bare commit, ORG--NAME@COMMIT."""
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return f"{repository.removeprefix('models--')}@{folder.name}"
    return folder.name


def _has_tied_decoder(tensors: dict[str, np.ndarray]) -> bool:
    """Whether the masked-token head ends in the word embeddings themselves, as BERT's does. A file
    with a separate decoder is another function, which `heads.masked_tokens` does not compute."""
    decoder = tensors.get("cls.predictions.decoder.weight")
    words = [values for name, values in tensors.items() if our_path(name) == "embeddings.word"]
    return decoder is None or any(np.array_equal(decoder, word) for word in words)


def promised_sha256(folder: Path) -> str | None:
    """model.safetensors' sha256 in SHA256SUMS, which fetching may have written, else None."""
    return read_sums(folder).get("model.safetensors")
