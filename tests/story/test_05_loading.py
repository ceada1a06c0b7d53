"""Loading: config.json and model.safetensors become a configuration and a tree of arrays.

Whatever would be computed wrongly is refused, in one line that names the file and the culprit.
"""

import dataclasses
import doctest
import json
import math
import pickle
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import PARAMETERS
from conftest import GOLDENS
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from minibert import checkpoint
from minibert.batch import make_batch
from minibert.checkpoint import Base, load_base, our_path
from minibert.config import BertConfig, read_config
from minibert.errors import InputError
from minibert.model import encode
from minibert.parameters import parameter_shapes, random_params
from minibert.tensors import read_safetensors, write_safetensors
from minibert.tokenizer import Encoded
from minibert.tree import count, leaves

TINY = GOLDENS / "tiny"
ITEM = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}


def refusal(call: Any, *args: Any, **kwargs: Any) -> str:
    """The message of the InputError that the call must raise: one line."""
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------- config.json


def config_file(folder: Path, **changes: Any) -> Path:
    """MiniLM's config.json in short, with changes; a setting changed to `...` is left out."""
    settings_ = {
        "model_type": "bert",
        "vocab_size": 30522,
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "layer_norm_eps": 1e-12,
        "use_cache": True,
    } | changes
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in settings_.items() if v is not ...}))
    return path


class TestConfiguration:
    def test_the_sizes_and_constants_of_config_json_are_read(self, tmp_path):
        path = config_file(tmp_path, layer_norm_eps=1e-5, hidden_dropout_prob=0.2)
        config = read_config(path)
        assert (config.hidden_size, config.num_hidden_layers) == (384, 6)
        assert (config.num_attention_heads, config.intermediate_size) == (12, 1536)
        assert (config.layer_norm_eps, config.hidden_dropout_prob) == (1e-5, 0.2)

    def test_a_setting_that_config_json_lacks_is_that_of_bert_base(self, tmp_path):
        """The public checkpoints rely on it."""
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        assert dataclasses.asdict(read_config(tmp_path / "config.json")) == {
            "vocab_size": 30522,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
        }

    def test_a_written_configuration_is_read_back_the_same(self, tmp_path):
        config = BertConfig(hidden_size=60, hidden_act="relu", layer_norm_eps=1e-6)
        (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
        assert read_config(tmp_path / "config.json") == config

    @pytest.mark.parametrize(
        "setting, value",
        [
            ("use_cache", False),
            ("pad_token_id", 0),
            ("architectures", ["BertModel"]),
            ("position_embedding_type", None),
            ("is_decoder", False),
            ("pruned_heads", {}),
            ("add_cross_attention", False),
            ("embedding_size", 384),
            ("id2label", {"0": "A"}),
            ("hidden_dropout_prob", 0),
            ("classifier_dropout", 0.5),  # by training alone
            ("gradient_checkpointing", True),
        ],
    )
    def test_settings_that_change_nothing_here_are_accepted(self, tmp_path, setting, value):
        path = config_file(tmp_path)
        assert read_config(config_file(tmp_path, **{setting: value})) is not None
        assert read_config(path).hidden_size == 384

    @pytest.mark.parametrize(
        "setting, value",
        [
            ("model_type", "roberta"),
            ("model_type", "distilbert"),
            ("model_type", None),
            ("position_embedding_type", "relative_key"),
            ("position_embedding_type", "relative_key_query"),
            ("is_decoder", True),
            ("add_cross_attention", True),
            ("is_encoder_decoder", True),
            ("pruned_heads", {"0": [1]}),
            ("quantization_config", {"bits": 8}),
            ("embedding_size", 128),
            ("hidden_act", "silu"),
            ("hidden_act", "quick_gelu"),
            ("hidden_act", "gelu_10"),
            ("hidden_act", ["gelu"]),
            ("hidden_size", 0),
            ("hidden_size", -384),
            ("hidden_size", 384.0),
            ("hidden_size", "384"),
            ("hidden_size", True),
            ("hidden_size", None),
            ("vocab_size", 0),
            ("num_hidden_layers", 0),
            ("max_position_embeddings", 0),
            ("layer_norm_eps", "1e-12"),
            ("layer_norm_eps", -1e-12),
            ("layer_norm_eps", False),
            ("layer_norm_eps", float("nan")),
            ("hidden_dropout_prob", 1.0),
            ("hidden_dropout_prob", -0.1),
            ("hidden_dropout_prob", 0.999995),  # 1 in 65536ths, of which nothing is left
            ("attention_probs_dropout_prob", 2),
            ("num_attention_heads", 7),
        ],
    )
    def test_a_setting_that_would_be_computed_wrongly_is_refused_by_name(
        self, tmp_path, setting, value
    ):
        message = refusal(read_config, config_file(tmp_path, **{setting: value}))
        assert message.startswith(f"{tmp_path / 'config.json'}: ")
        assert setting in message
        assert str(value) in message

    def test_a_config_json_without_model_type_is_refused(self, tmp_path):
        message = refusal(read_config, config_file(tmp_path, model_type=...))
        assert "has no model_type" in message

    @pytest.mark.parametrize(
        "content, reason",
        [
            (b"", "is not JSON"),
            (b"{", "is not JSON"),
            (b"\x80\x00\xff", "is not JSON"),
            ('{"model_type": "bert"}'.encode("utf-16"), "is not JSON"),
            (b"[]", "is not a JSON object"),
            (b"3", "is not a JSON object"),
        ],
    )
    def test_a_config_json_that_holds_no_configuration_is_refused(self, tmp_path, content, reason):
        (tmp_path / "config.json").write_bytes(content)
        assert f"config.json: {reason}" in refusal(read_config, tmp_path / "config.json")

    def test_a_missing_config_json_is_refused(self, tmp_path):
        assert "config.json: cannot be read: No such file" in refusal(
            read_config, tmp_path / "config.json"
        )


# ------------------------------------------------------------------------------- the parameters


class TestParameterCounts:
    """Devlin et al. 2018 speak of 110M and 340M; here to the last one, with the pooler."""

    @pytest.mark.parametrize("config, total, norms", PARAMETERS)
    def test_the_public_berts_have_these_numbers_of_parameters(self, config, total, norms):
        sizes = {path: math.prod(shape) for path, shape in parameter_shapes(config).items()}
        assert sum(sizes.values()) == total
        assert sum(size for path, size in sizes.items() if ".norm." in path) == norms

    def test_minilms_file_has_every_parameter_of_its_size(self, minilm):
        assert count(minilm.params) == 22_713_216

    def test_untrained_parameters_have_the_shapes_and_scale_that_bert_starts_with(self):
        """Devlin et al.'s code: weights of deviation 0.02, biases 0, LayerNorms the identity."""
        config = BertConfig(
            vocab_size=500,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=96,
        )
        flat = dict(leaves(random_params(config, seed=3)))
        assert {path: leaf.shape for path, leaf in flat.items()} == parameter_shapes(config)
        for path, leaf in flat.items():
            assert leaf.dtype == np.float32
            assert leaf.T.flags.c_contiguous, path  # [out, in] in memory, as in a checkpoint
            if path.endswith("norm.weight"):
                assert (leaf == 1).all()
            elif path.endswith("bias"):
                assert not leaf.any()
            elif leaf.size > 4000:  # a sample's deviation is within 5 % of 0.02
                assert abs(leaf.std() / 0.02 - 1) < 0.05
        again = dict(leaves(random_params(config, seed=3)))
        assert all((again[path] == leaf).all() for path, leaf in flat.items())


# ------------------------------------------------------------------------------- safetensors


def raw_file(tensors: dict[str, tuple[str, tuple[int, ...], bytes]], pad: int = 0) -> bytes:
    """A safetensors file, written out by hand from the format's description."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        assert math.prod(shape) * ITEM[dtype] == len(content)
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + pad)
    return len(text).to_bytes(8, "little") + text + data


def hub_tensors() -> dict[str, np.ndarray]:
    """The tiny BERT's tensors under their hub names, [out, in], as the safetensors library reads
    them."""
    return load_file(TINY / "model.safetensors")


def folder_with(folder: Path, tensors: dict[str, Any], dtype: str = "F32", pad: int = 0) -> Path:
    """A checkpoint folder of the tiny BERT's configuration with these tensors."""
    shutil.copy(TINY / "config.json", folder)
    numbers = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
    content = {
        name: values
        if isinstance(values, tuple)
        else (dtype, values.shape, values.astype(numbers[dtype]).tobytes())
        for name, values in tensors.items()
    }
    (folder / "model.safetensors").write_bytes(raw_file(content, pad))
    return folder


def same_tree(one: dict, other: dict) -> bool:
    first, second = dict(leaves(one)), dict(leaves(other))
    return first.keys() == second.keys() and all(
        first[path].shape == second[path].shape and (first[path] == second[path]).all()
        for path in first
    )


class TestNames:
    """The hub's many spellings of one parameter."""

    def test_the_example_in_the_docstring_of_our_path_is_right(self):
        assert doctest.testmod(checkpoint).attempted >= 1
        assert doctest.testmod(checkpoint).failed == 0

    def test_every_tensor_that_transformers_saves_has_one_place_in_our_tree(self):
        paths = [our_path(name) for name in hub_tensors()]
        config = read_config(TINY / "config.json")
        assert sorted(paths) == sorted(parameter_shapes(config))

    @pytest.mark.parametrize(
        "name, path",
        [
            ("embeddings.word_embeddings.weight", "embeddings.word"),
            ("bert.embeddings.token_type_embeddings.weight", "embeddings.segment"),
            ("embeddings.LayerNorm.gamma", "embeddings.norm.weight"),
            ("encoder.layer.11.attention.self.key.bias", "layers.11.attention.key.bias"),
            ("encoder.layer.0.attention.output.dense.weight", "layers.0.attention.output.weight"),
            ("encoder.layer.0.intermediate.dense.bias", "layers.0.feed_forward.inner.bias"),
            ("bert.encoder.layer.0.output.LayerNorm.beta", "layers.0.feed_forward.norm.bias"),
            ("bert.pooler.dense.weight", "pooler.weight"),
            ("cls.predictions.transform.LayerNorm.gamma", "masked_tokens.norm.weight"),
            ("cls.predictions.bias", "masked_tokens.bias"),
            ("embeddings.position_ids", ""),
            ("cls.seq_relationship.weight", ""),
            ("cls.predictions.decoder.weight", ""),
            ("classifier.weight", ""),
            ("encoder.layer.x.output.dense.weight", ""),
            ("encoder.layer.0.output.dense.weight.more", ""),
            ("encoder.layer.0.output.dense.running_mean", ""),
            ("my.bert.pooler.dense.weight", ""),
            ("bert.bert.pooler.dense.weight", ""),
        ],
    )
    def test_a_tensors_name_has_its_place_in_our_tree_or_none(self, name, path):
        assert our_path(name) == path


class TestSpellings:
    def test_a_weight_is_out_by_in_in_the_file_and_in_by_out_in_our_tree(self, tiny):
        theirs = hub_tensors()["encoder.layer.0.intermediate.dense.weight"]
        mine = tiny.params["layers"][0]["feed_forward"]["inner"]["weight"]
        assert theirs.shape == (64, 32)
        np.testing.assert_array_equal(mine, theirs.T)
        words = hub_tensors()["embeddings.word_embeddings.weight"]
        np.testing.assert_array_equal(tiny.params["embeddings"]["word"], words)

    def test_the_prefix_bert_in_a_tensors_name_makes_no_difference(self, tiny, tmp_path):
        prefixed = {f"bert.{name}": values for name, values in hub_tensors().items()}
        assert same_tree(load_base(folder_with(tmp_path, prefixed)).params, tiny.params)

    def test_gamma_and_beta_are_layernorms_weight_and_bias(self, tiny, tmp_path):
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): values
            for name, values in hub_tensors().items()
        }
        assert sum("gamma" in name for name in old) == 5
        assert same_tree(load_base(folder_with(tmp_path, old)).params, tiny.params)

    def test_half_precision_weights_are_widened_exactly(self, tmp_path):
        base = load_base(folder_with(tmp_path, hub_tensors(), "F16"))
        for name, values in hub_tensors().items():
            leaf = dict(leaves(base.params))[our_path(name)]
            expected = values.astype(np.float16).astype(np.float32)
            expected = expected.T if our_path(name).endswith("weight") else expected
            assert leaf.dtype == np.float32
            np.testing.assert_array_equal(leaf, expected)

    def test_bfloat16_is_the_upper_half_of_a_float32(self, tmp_path):
        """1.0 is 0x3F80, -2.5 is 0xC020, the largest 0x7F7F, the smallest 0x0001 = 2^-133."""
        bits = [0x3F80, 0xC020, 0x7F7F, 0x0001, 0x8000, 0x3F81]
        values = [1.0, -2.5, (2 - 2**-7) * 2.0**127, 2.0**-133, -0.0, 1 + 2**-7]
        path = tmp_path / "some.safetensors"
        content = b"".join(number.to_bytes(2, "little") for number in bits)
        path.write_bytes(raw_file({"x": ("BF16", (2, 3), content)}))
        tensors, _ = read_safetensors(path)
        assert tensors["x"].dtype == np.float32
        assert tensors["x"].ravel().tolist() == values
        assert math.copysign(1, tensors["x"][1, 1]) == -1

    def test_a_whole_model_in_bfloat16_loads(self, tmp_path):
        upper = {
            name: (values.view(np.uint32) >> 16).astype("<u2")
            for name, values in hub_tensors().items()
        }
        packed = {name: ("BF16", bits.shape, bits.tobytes()) for name, bits in upper.items()}
        base = load_base(folder_with(tmp_path, packed))
        expected = (upper["pooler.dense.bias"].astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_array_equal(base.params["pooler"]["bias"], expected)
        assert {leaf.dtype for _, leaf in leaves(base.params)} == {np.dtype(np.float32)}

    def test_weights_can_be_asked_for_in_float64(self, tiny):
        wide = load_base(TINY, dtype=np.float64)
        assert {leaf.dtype for _, leaf in leaves(wide.params)} == {np.dtype(np.float64)}
        assert same_tree(wide.params, tiny.params)

    def test_tensors_that_the_encoder_does_not_need_are_listed_and_left_out(self, tiny, tmp_path):
        extras = {
            "embeddings.position_ids": ("I64", (1, 2), bytes(16)),
            "cls.seq_relationship.weight": np.zeros((2, 32)),
            "classifier.bias": np.zeros(3),
        }
        base = load_base(folder_with(tmp_path, hub_tensors() | extras))
        assert base.extra == (
            "classifier.bias",
            "cls.seq_relationship.weight",
            "embeddings.position_ids",
        )
        assert same_tree(base.params, tiny.params)

    def test_the_only_tensor_of_minilm_that_is_left_out_is_position_ids(self, minilm):
        assert minilm.extra == ("embeddings.position_ids",)

    def test_a_base_knows_the_sha256_of_its_weights(self, tiny, minilm):
        content = (TINY / "model.safetensors").read_bytes()
        assert tiny.sha256 == sha256(content).hexdigest()
        # as published on the hub
        assert minilm.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class TestOptionalParts:
    def test_a_masked_token_head_is_loaded_when_the_file_has_one(self):
        base = load_base(GOLDENS / "tiny_mlm")
        head = base.params["masked_tokens"]
        theirs = load_file(GOLDENS / "tiny_mlm" / "model.safetensors")
        dense = theirs["cls.predictions.transform.dense.weight"]
        np.testing.assert_array_equal(head["transform"]["weight"], dense.T)
        np.testing.assert_array_equal(head["bias"], theirs["cls.predictions.bias"])
        assert base.extra == ("cls.seq_relationship.bias", "cls.seq_relationship.weight")

    def test_a_checkpoint_without_a_pooler_loads_where_none_is_asked_for(self, tmp_path):
        """Checkpoints of masked-language models have none."""
        names = [name for name in hub_tensors() if not name.startswith("pooler")]
        folder = folder_with(tmp_path, {name: hub_tensors()[name] for name in names})
        for base in (load_base(folder), load_base(folder, pooler=False)):
            assert sorted(base.params) == ["embeddings", "layers"]
            assert base.extra == ()
        assert "lacks pooler.weight (2 of 39 missing)" in refusal(load_base, folder, pooler=True)

    @pytest.mark.parametrize("left, lacks", [("bias", "weight"), ("weight", "bias")])
    def test_half_a_pooler_is_found_lacking_whatever_is_asked_for(self, tmp_path, left, lacks):
        """Left out, it would silently change what a task's head reads."""
        tensors = hub_tensors()
        names = [n for n in tensors if not n.startswith("pooler") or n.endswith(left)]
        folder = folder_with(tmp_path, {name: tensors[name] for name in names})
        for asked in (False, True):
            message = refusal(load_base, folder, pooler=asked)
            assert f"lacks pooler.{lacks} (1 of 39 missing)" in message

    def test_a_pooler_is_loaded_even_where_none_is_required(self, tiny):
        assert same_tree(load_base(TINY, pooler=False).params, tiny.params)

    def test_half_a_masked_token_head_is_left_out(self, tiny, tmp_path):
        base = load_base(
            folder_with(tmp_path, hub_tensors() | {"cls.predictions.bias": np.zeros(199)})
        )
        assert base.extra == ("cls.predictions.bias",)
        assert same_tree(base.params, tiny.params)

    def test_a_misshapen_masked_token_head_is_refused_by_name(self, tmp_path):
        tensors = load_file(GOLDENS / "tiny_mlm" / "model.safetensors")
        tensors["cls.predictions.bias"] = np.zeros(200)
        message = refusal(load_base, folder_with(tmp_path, tensors), pooler=False)
        assert "masked_tokens.bias has shape (200,), but config.json asks for (199,)" in message

    def test_a_masked_token_head_with_a_decoder_of_its_own_is_left_out(self, tmp_path):
        """The head's last map is the word embeddings; another decoder would be another function."""
        folder = shutil.copytree(GOLDENS / "tiny_mlm", tmp_path / "untied")
        tensors, _ = read_safetensors(folder / "model.safetensors")
        words = tensors["bert.embeddings.word_embeddings.weight"]
        for decoder, kept in ((words, True), (words + 1, False)):
            tensors["cls.predictions.decoder.weight"] = decoder
            write_safetensors(folder / "model.safetensors", tensors)
            base = load_base(folder, pooler=False)
            assert ("masked_tokens" in base.params) == kept
            assert ("cls.predictions.bias" in base.extra) != kept


class TestRefusals:
    def test_a_missing_tensor_is_named(self, tmp_path):
        tensors = hub_tensors()
        del tensors["encoder.layer.1.attention.self.key.bias"]
        message = refusal(load_base, folder_with(tmp_path, tensors))
        assert message.startswith(f"{tmp_path / 'model.safetensors'}: ")
        assert "lacks layers.1.attention.key.bias (1 of 39 missing)" in message

    @pytest.mark.parametrize(
        "name, shape, path",
        [
            ("encoder.layer.0.intermediate.dense.weight", (32, 64), "feed_forward.inner.weight"),
            ("encoder.layer.1.output.dense.bias", (31,), "feed_forward.output.bias"),
            ("embeddings.LayerNorm.weight", (32, 1), "embeddings.norm.weight"),
            ("pooler.dense.weight", (32, 31), "pooler.weight"),
        ],
    )
    def test_a_misshapen_tensor_is_named_with_both_shapes(self, tmp_path, name, shape, path):
        tensors = hub_tensors() | {name: np.zeros(shape)}
        message = refusal(load_base, folder_with(tmp_path, tensors))
        assert f"{path} has shape " in message
        assert "but config.json asks for " in message

    @pytest.mark.parametrize(
        "setting, value, culprit",
        [
            ("hidden_size", 64, "embeddings.word has shape (199, 32)"),
            ("vocab_size", 200, "embeddings.word has shape (199, 32)"),
            ("max_position_embeddings", 512, "embeddings.position has shape (64, 32)"),
            ("type_vocab_size", 3, "embeddings.segment has shape (2, 32)"),
            ("intermediate_size", 128, "layers.0.feed_forward.inner.weight has shape (32, 64)"),
            ("num_hidden_layers", 3, "lacks layers.2.attention.query.weight (16 of "),
            ("num_hidden_layers", 1, "encoder.layer.1.attention.output.LayerNorm.bias, but config"),
        ],
    )
    def test_a_configuration_that_contradicts_the_weights_is_refused(
        self, tmp_path, setting, value, culprit
    ):
        folder = folder_with(tmp_path, hub_tensors())
        changed = json.loads((folder / "config.json").read_text()) | {setting: value}
        (folder / "config.json").write_text(json.dumps(changed))
        assert culprit in refusal(load_base, folder)

    def test_two_tensors_for_one_parameter_are_refused(self, tmp_path):
        tensors = hub_tensors()
        tensors["bert.pooler.dense.bias"] = tensors["pooler.dense.bias"] + 1
        assert "has pooler.bias twice" in refusal(load_base, folder_with(tmp_path, tensors))

    def test_a_tensor_of_a_type_that_numpy_cannot_hold_is_refused(self, tmp_path):
        path = tmp_path / "some.safetensors"
        header = b'{"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}      '
        path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
        assert "x has the unsupported type F8_E4M3" in refusal(read_safetensors, path)

    def test_a_pickle_is_never_opened(self, tmp_path):
        """Opening it would run the code in it: here, one that leaves a file behind."""
        mark = tmp_path / "it-ran"

        class Bomb:
            def __reduce__(self) -> tuple:
                return Path.touch, (mark,)

        shutil.copy(TINY / "config.json", tmp_path)
        (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
        message = refusal(load_base, tmp_path)
        assert "has pytorch_model.bin but no model.safetensors" in message
        assert "never opened" in message
        assert not mark.exists()
        # nor under a safe file's name
        (tmp_path / "pytorch_model.bin").rename(tmp_path / "model.safetensors")
        assert "is damaged or not a safetensors file" in refusal(load_base, tmp_path)
        assert not mark.exists()
        pickle.loads((tmp_path / "model.safetensors").read_bytes())
        assert mark.exists()  # so the bomb was live

    def test_missing_checkpoint_files_and_folders_are_named(self, tmp_path):
        assert "config.json: cannot be read" in refusal(load_base, tmp_path / "nowhere")
        shutil.copy(TINY / "config.json", tmp_path)
        assert refusal(load_base, tmp_path) == f"{tmp_path}: has no model.safetensors"
        assert "nothing.safetensors: cannot be read" in refusal(
            read_safetensors, tmp_path / "nothing.safetensors"
        )
        expected = f"{tmp_path}: is a folder, not a safetensors file"
        assert refusal(read_safetensors, tmp_path) == expected


CONTENT = (TINY / "model.safetensors").read_bytes()
HEADER = 8 + int.from_bytes(CONTENT[:8], "little")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A folder whose model.safetensors a test may damage."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copy(TINY / "config.json", folder)
    return folder


def write_weights(folder: Path, content: bytes) -> None:
    """As a new file each time: the old one may still be mapped."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "model.safetensors").write_bytes(content)


def flipped(byte: int, bit: int) -> bytes:
    spoiled = bytearray(CONTENT)
    spoiled[byte] ^= 1 << bit
    return bytes(spoiled)


class TestDamage:
    @settings(max_examples=40)
    @given(st.integers(0, len(CONTENT) - 1) | st.integers(0, HEADER + 200))
    def test_a_weights_file_cut_off_anywhere_is_refused(self, workshop, length):
        write_weights(workshop, CONTENT[:length])
        message = refusal(load_base, workshop)
        assert "model.safetensors: is damaged or not a safetensors file" in message

    @settings(max_examples=50)
    @given(st.integers(0, HEADER - 1), st.integers(0, 7))
    def test_a_flipped_bit_in_the_header_is_refused_or_harmless(self, workshop, tiny, byte, bit):
        write_weights(workshop, flipped(byte, bit))
        try:
            params = load_base(workshop).params
        except InputError:
            return
        assert same_tree(params, tiny.params)

    @settings(max_examples=20)
    @given(st.integers(0, len(CONTENT) - 1), st.integers(0, 7))
    def test_any_flipped_bit_is_noticed_where_there_is_a_sha256sums_file(self, workshop, byte, bit):
        write_weights(workshop, flipped(byte, bit))
        sums = workshop / "SHA256SUMS"
        sums.write_text(f"{sha256(CONTENT).hexdigest()}  model.safetensors\n")
        try:
            assert "model.safetensors" in refusal(load_base, workshop)
        finally:
            sums.unlink()

    @pytest.mark.parametrize("separator", ["  ", " *"], ids=["text mode", "binary mode"])
    def test_a_wrong_sha256_is_refused_with_both_and_a_right_one_is_accepted(
        self, tmp_path, separator
    ):
        shutil.copytree(TINY, tmp_path, dirs_exist_ok=True)
        right, sums = sha256(CONTENT).hexdigest(), tmp_path / "SHA256SUMS"
        sums.write_text(f"{'1' * 64}{separator}config.json\n{right}{separator}model.safetensors\n")
        assert load_base(tmp_path).sha256 == right
        sums.write_text(f"{'0' * 64}{separator}model.safetensors\n")
        message = refusal(load_base, tmp_path)
        assert right in message
        assert "0" * 64 in message

    def test_bytes_after_the_last_tensor_are_refused(self, workshop):
        write_weights(workshop, CONTENT + b"\0")
        assert "is damaged" in refusal(load_base, workshop)


def owner(array: np.ndarray) -> Any:
    """The array that the memory belongs to, at the end of all views."""
    while isinstance(getattr(array, "base", None), np.ndarray):
        array = array.base
    return array


def mapping(base: Base) -> np.ndarray:
    return owner(base.params["embeddings"]["word"])


class TestNothingIsCopied:
    """A float32 checkpoint is not read but mapped: its arrays are the file's own pages."""

    @pytest.mark.parametrize("name", ["tiny", "minilm"])
    def test_every_parameter_is_a_view_of_one_mapped_file(self, request, name):
        base = request.getfixturevalue(name)
        file = mapping(base)
        assert isinstance(file, np.memmap)
        for path, leaf in leaves(base.params):
            assert not leaf.flags.owndata, path
            assert owner(leaf) is file, path
            assert np.shares_memory(leaf, file), path

    def test_nobody_can_write_into_the_mapped_parameters(self, tiny):
        before = (TINY / "model.safetensors").read_bytes()
        for path, leaf in leaves(tiny.params):
            assert not leaf.flags.writeable, path
            with pytest.raises(ValueError, match="read-only"):
                leaf[...] = 0
            with pytest.raises(ValueError, match="WRITEABLE"):
                leaf.flags.writeable = True
        assert (TINY / "model.safetensors").read_bytes() == before

    def test_weights_lie_in_memory_as_out_by_in_and_are_seen_as_in_by_out(self, tiny):
        weight = tiny.params["layers"][0]["feed_forward"]["inner"]["weight"]
        assert weight.shape == (32, 64)
        assert weight.T.flags.c_contiguous

    def test_a_header_of_odd_length_costs_a_copy_but_changes_no_number(self, tiny, tmp_path):
        """Then numbers do not lie on addresses that are multiples of their size."""
        base = load_base(folder_with(tmp_path, hub_tensors(), pad=1))
        assert same_tree(base.params, tiny.params)
        for path, leaf in leaves(base.params):
            assert leaf.flags.aligned, path

    def test_mapped_parameters_compute_what_torch_computes(self, tiny, goldens):
        """The goldens were computed from the same file by torch (more in test_06_parity)."""
        text = Encoded(goldens["ids"][:2], goldens["segments"][:2])
        last = encode(tiny.params, make_batch([text]), tiny.config)[-1]
        np.testing.assert_allclose(last, goldens["f32/states"][-1][:2], rtol=0, atol=2e-5)


class TestWriting:
    @settings(max_examples=30)
    @given(
        st.dictionaries(
            st.text("abc.0", min_size=1, max_size=8),
            st.tuples(
                st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]),
                st.lists(st.integers(0, 4), max_size=3),
            ),
            min_size=1,
            max_size=4,
        ),
        st.dictionaries(st.sampled_from(["task", "größe"]), st.text(max_size=5)),
    )
    def test_written_tensors_are_read_back_by_us_and_by_the_safetensors_library(
        self, tmp_path_factory, shapes, metadata
    ):
        rng = np.random.default_rng(0)
        tensors = {
            name: (rng.standard_normal(shape) * 3).astype(dtype)
            for name, (dtype, shape) in shapes.items()
        }
        path = tmp_path_factory.getbasetemp() / "round" / "trip.safetensors"
        write_safetensors(path, tensors, metadata)
        mine, told = read_safetensors(path)
        theirs = load_file(path)
        assert told == metadata
        assert mine.keys() == theirs.keys() == tensors.keys()
        for name, values in tensors.items():
            for got in (mine[name], theirs[name]):
                assert got.dtype == values.dtype
                assert got.shape == values.shape
                np.testing.assert_array_equal(got, values)

    def test_transposed_arrays_are_written_by_their_values(self, tmp_path):
        x = np.arange(6, dtype=np.float32).reshape(2, 3)
        write_safetensors(tmp_path / "x.safetensors", {"x": x.T})
        np.testing.assert_array_equal(load_file(tmp_path / "x.safetensors")["x"], x.T)

    def test_the_same_tensors_are_written_as_the_same_bytes(self, tmp_path):
        """So that files can be compared. (One entry of metadata, which is what we write.)"""
        tensors = {name: np.full(3, i) for i, name in enumerate("edcba")}
        metadata = {"task": "some"}
        written = set()
        for number in range(8):
            path = tmp_path / f"{number}.safetensors"
            write_safetensors(path, tensors, metadata)
            written.add(path.read_bytes())
        assert len(written) == 1
