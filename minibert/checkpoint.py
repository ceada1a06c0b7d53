"""A checkpoint folder -> parameter tree: the public BERT checkpoints and their many spellings.

Only safetensors is read. Pickle files run code when they are opened; nothing here does that.
"""

import hashlib
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minibert.config import ACTIVATIONS, BertConfig, read_config
from minibert.errors import InputError, brief, shown
from minibert.lazy import kept
from minibert.parameters import Shapes, masked_token_shapes, parameter_shapes
from minibert.tensors import as_stored, type_name
from minibert.tokenizer import encode_texts, load_tokenizer
from minibert.tree import Tree, from_leaves, leaves
from minibert.weight_files import Weights, read_weights

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

    `sha256` is that of the weight file, or `tensors_sha256` if there are shards. `extra` lists the
    file's tensors that this encoder does not use.
    """

    name: str
    folder: Path
    config: BertConfig
    params: Tree = field(repr=False)
    sha256: str
    extra: tuple[str, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Base":
        """Itself: nothing in it changes. scikit-learn copies what an estimator was given."""
        return self

    @kept
    def tensors_sha256(self) -> str:
        """The sha256 of what a task sees of the base. Task files carry it, so that none is ever
        used with another base, but each with the same weights saved again by another tool."""
        return tensors_sha256(self.params)

    @kept
    def tokenizer(self) -> "Tokenizer":
        """The checkpoint's tokenizer, read when first needed. Raises InputError when it knows
        tokens that the weights have no embedding for."""
        tokenizer = load_tokenizer(self.folder)
        # No text has the token "", which is an empty line of vocab.txt.
        known = ((n, token) for token, n in tokenizer.get_vocab().items() if token)
        last, token = max(known, default=(-1, ""))
        if last >= self.config.vocab_size:
            raise InputError(
                f"{self.folder}: its tokenizer's largest id is {last} ({shown(token)}), but "
                f"config.json says vocab_size {self.config.vocab_size}"
            )
        return tokenizer

    @kept
    def reading(self) -> str:
        """12 hex digits of all that changes what these weights compute of a text, besides them: the
        settings of the mathematics, and the ids of texts that show how it is tokenized. "" where
        there is no tokenizer."""
        try:
            ids = [text.ids.tolist() for text in encode_texts(self.tokenizer, _PROBES, 512)]
        except InputError:
            return ""
        config = self.config
        act, eps = ACTIVATIONS[config.hidden_act], float(config.layer_norm_eps)
        said = repr((config.num_attention_heads, act, eps, ids))
        return hashlib.sha256(said.encode()).hexdigest()[:12]


# Texts that tell tokenizers apart: by case, accents, scripts, punctuation, special tokens, blanks.
_PROBES = (
    "The Quick BROWN fox doesn't jump, e.g. over 1,234.5 lazy dogs!",
    "Crème brûlée; straße, naïve",
    "北京 東京 한국어 Привет",
    "[CLS] [SEP] [MASK] [UNK] [PAD]",
    "antidisestablishmentarianism  \t tail ",
    "ba BI bo, dA!",
)

# What tools put in front of a BERT's own names: `module.` those that train on several machines,
# `model.` those that wrap it, `bert.` the classes that add a head.
_PREFIXES = re.compile(r"(module\.|model\.)*(bert\.)?")


def _bare(name: str) -> str:
    """A tensor's name without such prefixes."""
    return _PREFIXES.sub("", name, count=1)


def our_path(name: str) -> str:
    """A hub tensor's name -> the path of that parameter here, or "" if there is none.

    >>> our_path("bert.encoder.layer.3.attention.output.LayerNorm.gamma")
    'layers.3.attention.norm.weight'
    """
    name = _bare(name)
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    name = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    stem, _, leaf = name.rpartition(".")
    for pattern, path in _NAMES:
        if whole := re.fullmatch(pattern, name):
            return whole.expand(path)
        if leaf in ("weight", "bias") and (part := re.fullmatch(pattern, stem)):
            return f"{part.expand(path)}.{leaf}"
    return ""


# The same the other way round: parts of our paths, and of the hub's names.
_HUB_PARTS = (
    ("embeddings.word", "embeddings.word_embeddings.weight"),
    ("embeddings.position", "embeddings.position_embeddings.weight"),
    ("embeddings.segment", "embeddings.token_type_embeddings.weight"),
    ("embeddings.norm", "embeddings.LayerNorm"),
    ("layers.", "encoder.layer."),
    ("attention.query", "attention.self.query"),
    ("attention.key", "attention.self.key"),
    ("attention.value", "attention.self.value"),
    ("attention.output", "attention.output.dense"),
    ("attention.norm", "attention.output.LayerNorm"),
    ("feed_forward.inner", "intermediate.dense"),
    ("feed_forward.output", "output.dense"),
    ("feed_forward.norm", "output.LayerNorm"),
    ("pooler.", "pooler.dense."),
    ("masked_tokens.transform", "cls.predictions.transform.dense"),
    ("masked_tokens.norm", "cls.predictions.transform.LayerNorm"),
    ("masked_tokens.bias", "cls.predictions.bias"),
)


def hub_name(path: str) -> str:
    """The name of one of our parameters in the hub's files, without any prefix.

    >>> hub_name("layers.3.attention.norm.weight")
    'encoder.layer.3.attention.output.LayerNorm.weight'
    """
    for ours, theirs in _HUB_PARTS:
        path = path.replace(ours, theirs)
    return path


def hub_tensors(params: Tree, prefix: str = "") -> dict[str, np.ndarray]:
    """A base's parameters by the hub's names, as its files store them. The prefix goes in front of
    all but the masked-token head's."""
    tensors = {}
    for path, leaf in leaves(params):
        before = "" if path.startswith("masked_tokens.") else prefix
        tensors[before + hub_name(path)] = as_stored(path, leaf)
    return tensors


def load_base(folder: Path | str, *, pooler: bool = False, dtype: Any = np.float32) -> Base:
    """A checkpoint folder (config.json, model.safetensors or its shards, tokenizer files) -> Base.

    Understands tensors with and without the prefixes `bert.`, `model.` and `module.`, LayerNorm
    gamma/beta and weight/bias, F32, F16, BF16 and F64. The masked-token head is loaded when the
    file has all of it. So is the pooler, which masked-language models lack; `pooler=True` refuses a
    file without one. float32 weights stay views of the file. Raises InputError, naming the file and
    the tensor or setting, for missing or misshapen tensors, weights that are no finite floats, a
    damaged file, a sha256 other than that in SHA256SUMS, or a config.json that contradicts the
    weights.
    """
    folder = Path(folder)
    config = read_config(folder / "config.json")
    weights = read_weights(folder)
    _check_layers(weights, config)
    wanted = _wanted(config, weights.tensors, pooler)
    found, extra = _found(weights, wanted, dtype)
    _check_fit(weights.path, config, wanted, {n: leaf.shape for n, leaf in found.items()}, extra)
    params = from_leaves(found)
    sha256 = weights.sha256 or tensors_sha256(params)
    return Base(_base_name(folder), folder, config, params, sha256, tuple(extra))


def tensors_sha256(params: Tree) -> str:
    """The sha256 of a base's parameters, as float32 and as a file stores them: the paths here,
    shapes, types and bytes, in the paths' order. The masked-token head, which no task uses, does
    not count."""
    digest = hashlib.sha256()
    used = {name: part for name, part in params.items() if name != "masked_tokens"}
    for path, leaf in sorted(leaves(used)):
        values = np.ascontiguousarray(as_stored(path, leaf), "<f4")
        digest.update(f"{path} {values.shape} {values.dtype.str}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()


def _check_layers(weights: Weights, config: BertConfig) -> None:
    """Raise InputError for more layers than the file has tensors, before anything as long as that
    is made. The other sizes are compared as shapes."""
    layers, tensors = config.num_hidden_layers, len(weights.tensors)
    if layers > tensors:
        raise InputError(
            f"{weights.path}: has {tensors:,} tensors, but config.json says "
            f"num_hidden_layers {shown(layers)}"
        )


def _wanted(config: BertConfig, tensors: dict[str, np.ndarray], pooler: bool) -> Shapes:
    """The shapes of the parameters to look for. An optional part is loaded whole or not at all;
    half a pooler is looked for, and found lacking."""
    wanted = parameter_shapes(config) | masked_token_shapes(config)
    given = {our_path(name) for name in tensors}
    optional = [] if pooler else ["pooler."]
    for part in [*optional, "masked_tokens."]:
        own = {path for path in wanted if path.startswith(part)}
        if part == "pooler.":
            there = bool(own & given)
        else:
            there = own <= given and _has_tied_decoder(tensors)
        if not there:
            wanted = {path: shape for path, shape in wanted.items() if path not in own}
    return wanted


def _found(weights: Weights, wanted: Shapes, dtype: Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted parameters that there are, by our paths, and the names of all other tensors."""
    found: dict[str, np.ndarray] = {}
    extra = []
    for name, values in weights.tensors.items():
        path = our_path(name)
        if path not in wanted:
            extra.append(name)
        elif path in found:
            raise InputError(f"{weights.path}: has {path} twice, the second time as {brief(name)}")
        else:
            found[path] = as_stored(path, _floats(weights.file(name), name, values, dtype))
    return found, sorted(extra)


def _floats(file: Path, name: str, values: np.ndarray, dtype: Any) -> np.ndarray:
    """A tensor's values in this type, in which they must be finite. Raises InputError for integers,
    which are what quantised weights are stored as: they mean nothing without their scale."""
    if values.dtype.kind != "f":
        raise InputError(
            f"{file}: {brief(name)} is of type {type_name(values)}; weights must be floats (F32, "
            "F16, BF16 or F64)"
        )
    with np.errstate(over="ignore"):  # looked at below
        values = values.astype(dtype, copy=False)
    if not np.isfinite(values).all():
        raise InputError(
            f"{file}: {brief(name)} has weights that are NaN, infinite or beyond {np.dtype(dtype)}"
        )
    return values


def _check_fit(
    file: Path, config: BertConfig, wanted: Shapes, found: Shapes, extra: list[str]
) -> None:
    """Raise InputError if the file lacks a parameter, has too many layers, or has a parameter of
    another shape."""
    missing = [path for path in wanted if path not in found]
    if missing:
        unused = {_bare(name): name for name in extra}
        nearest = get_close_matches(hub_name(missing[0]), unused, n=1, cutoff=0.6)
        hint = f"; the nearest name in it is {brief(unused[nearest[0]])}" if nearest else ""
        count = f"{len(missing)} of {len(wanted)} missing"
        raise InputError(f"{file}: lacks {missing[0]} ({count}){hint}")
    beyond = [name for name in extra if re.match(r"encoder\.layer\.\d+\.", _bare(name))]
    if beyond:
        raise InputError(
            f"{file}: has {brief(beyond[0])}, but config.json says "
            f"num_hidden_layers {config.num_hidden_layers}"
        )
    for path, shape in wanted.items():
        if found[path] != shape:
            raise InputError(
                f"{file}: {path} has shape {found[path]}, but config.json asks for {shape}"
            )


def _base_name(folder: Path) -> str:
    """The folder's name; in the hub's cache, where that is a bare commit, ORG--NAME@COMMIT."""
    if folder.name in ("", ".."):  # of Path(".") and its like; a link keeps its own name
        folder = folder.resolve()
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return f"{repository.removeprefix('models--')}@{folder.name}"
    return folder.name


def _has_tied_decoder(tensors: dict[str, np.ndarray]) -> bool:
    """Whether the masked-token head ends in the word embeddings themselves, as BERT's does. A file
    with a separate decoder is another function, which `heads.masked_tokens` does not compute."""
    bare = {_bare(name): values for name, values in tensors.items()}
    decoder = bare.get("cls.predictions.decoder.weight")
    words = bare.get("embeddings.word_embeddings.weight")
    return decoder is None or (words is not None and np.array_equal(decoder, words))
