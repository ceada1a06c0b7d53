"""Tokenizer files: a text's ids are those of transformers, or the folder is refused."""

import json
from pathlib import Path

import pytest
from conftest import GOLDENS

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
