"""Tokenizer files: a text's ids are those of transformers, or the folder is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import GOLDENS

from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.tokenizer import encode_texts, load_tokenizer

TABLE = json.loads((GOLDENS / "tokenizers.json").read_text("utf-8"))
TEXTS = [text if isinstance(text, str) else tuple(text) for text in TABLE["texts"]]
FOLDERS = TABLE["folders"]
READ = [name for name, folder in FOLDERS.items() if "refused" not in folder]
REFUSED = [name for name, folder in FOLDERS.items() if "refused" in folder]


def rebuild(folder: Path, files: dict) -> Path:
    """The files as tests/goldens/README.md says."""
    for name, content in ({"config.json": {}} | files).items():
        if name == "vocab.txt":
            text = "".join(f"{line}\n" for line in content)
        elif name == "tokenizer.json":
            text = json.dumps(TABLE["tokenizer.json"] | content)
        elif name == "config.json":
            text = json.dumps({"model_type": "bert"} | content)
        else:
            text = json.dumps(content)
        (folder / name).write_text(text, "utf-8")
    return folder


def test_the_table_is_large_enough():
    assert len(READ) >= 40
    assert len(REFUSED) >= 20
    assert len(TEXTS) == 20


@pytest.mark.parametrize("name", READ)
def test_every_id_and_segment_is_that_of_transformers(tmp_path, name):
    tokenizer = load_tokenizer(rebuild(tmp_path, FOLDERS[name]["files"]))
    for key, max_length in (("whole", 512), ("cut", TABLE["max_length"])):
        encoded = encode_texts(tokenizer, TEXTS, max_length)
        for text, ours, theirs in zip(TEXTS, encoded, FOLDERS[name][key], strict=True):
            assert [ours.ids.tolist(), ours.segments.tolist()] == theirs, text


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_give_other_ids_is_refused_with_file_and_key(tmp_path, name):
    rebuild(tmp_path, FOLDERS[name]["files"])
    with pytest.raises(InputError) as error:
        load_tokenizer(tmp_path)
    assert FOLDERS[name]["refused"] in str(error.value)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)


SETTINGS = (
    "tokenizer_class model_input_names never_split do_lower_case strip_accents add_prefix_space "
    "do_basic_tokenize truncation_side fast_tokenizer_files added_tokens_decoder cls_token "
    "mask_token additional_special_tokens added_tokens normalizer pre_tokenizer post_processor"
)
ODD = [
    *(
        None,
        True,
        -1,
        1.5,
        10**30,
        "",
        "zaf",
        "\ud800",
        [],
        [1],
        [None],
        [[]],
        ["zaf"],
        {},
        {"a": 1},
    ),
    *({"content": 3}, {"content": "zaf"}, {"__type": "AddedToken"}, [{"content": "x"}]),
    *({"3": {"content": "q"}}, {"q": {}}, {"-4": {"content": "zaf", "special": "yes"}}),
]
JSON_FILES = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.json",
]


@pytest.mark.parametrize("name", JSON_FILES)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path, name):
    """Every setting with every odd value, and the odd values as the whole file."""
    usual = TABLE["tokenizer.json"] if name == "tokenizer.json" else {}
    rebuild(tmp_path, FOLDERS["vocab.txt alone"]["files"])
    contents = [usual | {key: value} for key in SETTINGS.split() for value in ODD]
    complaints = []
    for content in [*contents, *ODD]:
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
        try:
            assert len(encode_texts(load_tokenizer(tmp_path), TEXTS, 9)) == len(TEXTS)
        except InputError as error:
            complaints.append((str(error), content))
    assert len(complaints) > len(ODD)
    for complaint, content in complaints:
        assert complaint.startswith(str(tmp_path)), content
        assert len(complaint.splitlines()) == 1, content


def test_a_tokenizer_that_is_loaded_neither_pads_nor_cuts(tmp_path):
    tokenizer = load_tokenizer(rebuild(tmp_path, FOLDERS["tokenizer.json, pads and cuts"]["files"]))
    assert tokenizer.padding is None
    assert tokenizer.truncation is None


class TestIdsBeyondTheEmbedding:
    """vocab.txt's ids are its line numbers, whatever the number of different lines."""

    def base(self, tiny, folder: Path, vocabulary: list[str]) -> Base:
        (folder / "vocab.txt").write_text("".join(f"{t}\n" for t in vocabulary), "utf-8")
        return replace(tiny, folder=folder)

    def test_the_last_id_counts_and_not_the_number_of_tokens(self, tiny, tmp_path):
        lines = (GOLDENS / "tiny/vocab.txt").read_text("utf-8").split()
        repeated = self.base(tiny, tmp_path, [*lines[:50], "ba", *lines[50:]])
        with pytest.raises(InputError) as error:
            _ = repeated.tokenizer
        assert str(error.value) == (
            f"{tmp_path}: its tokenizer's largest id is 199 ('##quin'), but config.json says "
            "vocab_size 199"
        )

    def test_a_blank_line_counts_but_not_at_the_end(self, tiny, tmp_path):
        lines = (GOLDENS / "tiny/vocab.txt").read_text("utf-8").split()
        assert self.base(tiny, tmp_path, [*lines, ""]).tokenizer.token_to_id("##quin") == 198
        with pytest.raises(InputError, match=r"largest id is 199 \('##quin'\)"):
            _ = self.base(tiny, tmp_path, [*lines[:50], "", *lines[50:]]).tokenizer

    def test_a_repeated_token_has_the_number_of_its_last_line(self, tiny, tmp_path):
        lines = (GOLDENS / "tiny/vocab.txt").read_text("utf-8").split()
        base = self.base(tiny, tmp_path, [*lines[:-1], lines[60]])  # vocab_size is 199, as before
        [encoded] = encode_texts(base.tokenizer, [lines[60]], 8)
        assert encoded.ids[1] == 198

    def test_added_tokens_count(self, tiny, tmp_path):
        shutil.copy(GOLDENS / "tiny/vocab.txt", tmp_path)
        (tmp_path / "added_tokens.json").write_text('{"[DRUG]": 199}', "utf-8")
        with pytest.raises(InputError, match=r"largest id is 199 \('\[DRUG\]'\), but config"):
            _ = replace(tiny, folder=tmp_path).tokenizer
