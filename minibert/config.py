"""BertConfig: the sizes and constants of one BERT, read and checked from its config.json."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.errors import InputError, shown
from minibert.json_files import read_json

# config.json's names of the feed-forward activation, and those of the functions here. The tanh form
# has had many names, which transformers computes in as many ways, all equal but for rounding.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "relu": "relu",
    "gelu_python": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
}

# Settings that change the mathematics. This encoder computes the first value only; a
# config.json that says otherwise is refused, naming the setting. A setting that is absent
# means the first value, which is what the public BERT checkpoints rely on.
ONLY: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
    "is_encoder_decoder": (False, None),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "embedding_size": (None,),  # factorised embeddings (ELECTRA, ALBERT)
}


@dataclass(frozen=True)
class BertConfig:
    """The names are those of config.json. The paper's d is `hidden_size`.

    Defaults are BERT-base uncased. Raises InputError for a value that no BERT can have.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or value < 1):
                raise InputError(f"{field.name} must be a positive integer, not {shown(value)}")
            if field.type is float and (
                isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1
            ):
                raise InputError(f"{field.name} must be a number in [0, 1), not {shown(value)}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            if getattr(self, name) > 0.99:  # from 1 - 1/131072, nothing would be left
                raise InputError(f"{name} must be at most 0.99, not {shown(getattr(self, name))}")
        if self.hidden_size % self.num_attention_heads:
            raise InputError(
                f"hidden_size {shown(self.hidden_size)} cannot be cut into "
                f"num_attention_heads {shown(self.num_attention_heads)} equal heads"
            )
        if self.hidden_act not in tuple(ACTIVATIONS):  # JSON may hold anything, even a list
            raise InputError(
                f"hidden_act {shown(self.hidden_act)} is not supported; "
                f"known: {', '.join(ACTIVATIONS)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The config.json that `read_config` reads back as the same configuration."""
        return {"model_type": "bert", **dataclasses.asdict(self)}


def read_config(path: Path | str) -> BertConfig:
    """config.json -> BertConfig. Raises InputError, naming file and setting, for anything
    that this encoder would compute wrongly."""
    path = Path(path)
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise InputError(f"{path}: is not a JSON object")
    for name, allowed in ONLY.items():
        default = allowed[0]
        if name == "embedding_size" and raw.get(name) == raw.get("hidden_size"):
            continue
        if raw.get(name, default) not in allowed:
            raise InputError(f"{path}: {name} is {shown(raw[name])}; only {default!r} is supported")
    if "model_type" not in raw:
        raise InputError(f"{path}: has no model_type; a BERT configuration says 'bert'")
    known = {field.name for field in dataclasses.fields(BertConfig)}
    try:
        return BertConfig(**{name: value for name, value in raw.items() if name in known})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
