"""Goldens of tokenizer files: the ids of texts by `AutoTokenizer`, for folders of many kinds.

A folder is written as {file: content}. `vocab.txt` is a list of lines; `tokenizer.json` holds what
differs from the one of VOCABULARY with BERT's defaults; anything else is JSON as it stands.
"""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, BertTokenizerFast

Files = dict[str, Any]

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abdfgiklmnoprtuvzBDM"
WORDS = ["morulan", "Morulan", "tikora", "Tikorá", "tikorá", "##vesk", "zaf", "drug", "東京", "東"]
VOCABULARY = [
    *SPECIALS,
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *"[]<>/.,!-é",
    "##京",
    *WORDS,
]
SIZE = len(VOCABULARY)
MAX_LENGTH = 8  # of the cut texts

TEXTS: list[str | list[str]] = [
    "",
    "   ",
    "morulan tikora!",
    "Morulan TIKORA",
    "tikorá Tikorá zaf",
    "tikoravesk, zafvesk",
    "東京 zaf東",
    "tab [MASK] dor",
    "tab[MASK]dor [mask]",
    "[CLS] morulan [SEP]",
    "[DRUG] zaf [drug] drug",
    "zaf[DRUG]zaf",
    "big<unk>bag </s> <s>",
    "Ω ¿ ß",
    "\u00a0zaf\u200bzaf\ttab\r\nda",
    "morulan tikora zaf drug bag dor mit pal nor",
    ["zaf", "tikora"],
    ["", "tikora"],
    ["morulan tikora zaf drug", "Morulan"],
    ["morulan tikora zaf", "bag dor mit pal nor tab"],
]


def added(content: str, **changes: Any) -> dict[str, Any]:
    """An added token as tokenizer_config.json's added_tokens_decoder spells it."""
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word", "special"), False)
    return {"content": content, **flags, **changes}


def config(**settings: Any) -> Files:
    return {"tokenizer_config.json": settings}


def normalizer(**changes: Any) -> dict[str, Any]:
    usual = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    return {"type": "BertNormalizer", **usual, "lowercase": True, **changes}


def padding(token: str) -> dict[str, Any]:
    usual = {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None}
    return {**usual, "pad_id": 0, "pad_type_id": 0, "pad_token": token}


VOCAB: Files = {"vocab.txt": VOCABULARY}
JSON: Files = {"tokenizer.json": {}}
CASED_JSON: Files = {"tokenizer.json": {"normalizer": normalizer(lowercase=False)}}
LOWER_AND_NFC = {
    "type": "Sequence",
    "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}],
}
OTHER_NAMES = ["<pad>", "<unk>", "<s>", "</s>", "<mask>", *VOCABULARY[5:]]
NAMES = dict(zip(("pad", "unk", "cls", "sep", "mask"), OTHER_NAMES[:5], strict=True))
NAMES = {f"{role}_token": name for role, name in NAMES.items()}
DECODER = {str(n): added(token, special=True) for n, token in enumerate(SPECIALS)}
FAST = "PreTrainedTokenizerFast"

# Folders that minibert reads, and must read as transformers does.
READ: dict[str, Files] = {
    "vocab.txt alone": VOCAB,
    "vocab.txt, cased": VOCAB | config(do_lower_case=False),
    "vocab.txt, cased without accents": VOCAB | config(do_lower_case=False, strip_accents=True),
    "vocab.txt, uncased with accents": VOCAB | config(strip_accents=False),
    "vocab.txt, Chinese words": VOCAB | config(tokenize_chinese_chars=False),
    "vocab.txt, a repeated token": {"vocab.txt": [*VOCABULARY[:30], "zaf", *VOCABULARY[30:], "da"]},
    "vocab.txt, its only repeated token at the end": {"vocab.txt": [*VOCABULARY, "morulan"]},
    "vocab.txt, an empty line": {"vocab.txt": [*VOCABULARY[:30], "", *VOCABULARY[30:]]},
    "vocab.txt, an empty last line": {"vocab.txt": [*VOCABULARY, ""]},
    "vocab.txt, blanks around a token": {"vocab.txt": [*VOCABULARY[:-2], " 東 ", "東"]},
    "vocab.txt without [PAD] and [MASK]": {"vocab.txt": ["x", *VOCABULARY[1:4], *VOCABULARY[5:]]},
    "vocab.txt, an empty line, without [MASK]": {"vocab.txt": [*VOCABULARY[:4], "", *WORDS]},
    "vocab.txt, other names": {"vocab.txt": OTHER_NAMES} | config(**NAMES),
    "vocab.txt, other names in special_tokens_map.json": {
        "vocab.txt": OTHER_NAMES,
        "special_tokens_map.json": NAMES | {"mask_token": added("<mask>", lstrip=True)},
    },
    "the two maps disagree": VOCAB
    | config(mask_token="morulan")
    | {"special_tokens_map.json": {"mask_token": "zaf", "unk_token": "tikora"}},
    "vocab.txt, added_tokens.json": VOCAB | {"added_tokens.json": {"[DRUG]": SIZE}},
    "vocab.txt, added_tokens.json, a special token": VOCAB
    | {
        "added_tokens.json": {"[DRUG]": SIZE},
        "special_tokens_map.json": {"additional_special_tokens": ["[DRUG]"]},
    },
    "vocab.txt, added_tokens_decoder": VOCAB
    | config(added_tokens_decoder=DECODER | {str(SIZE): added("[DRUG]", special=True)}),
    "vocab.txt, added_tokens_decoder, a token like any word": VOCAB
    | config(added_tokens_decoder=DECODER | {str(SIZE): added("[DRUG]", normalized=True)}),
    "added_tokens_decoder wins over the older files": VOCAB
    | config(added_tokens_decoder=DECODER)
    | {
        "added_tokens.json": {"[DRUG]": SIZE},
        "special_tokens_map.json": {"mask_token": "zaf"},
    },
    "vocab.txt, additional_special_tokens": VOCAB | config(additional_special_tokens=["[DRUG]"]),
    "vocab.txt, a typed special token": VOCAB
    | config(mask_token={"__type": "AddedToken", **added("[DRUG]", lstrip=True, rstrip=True)}),
    "vocab.txt, a whole word added": VOCAB
    | config(added_tokens_decoder={str(SIZE): added("zaf drug", single_word=True)}),
    "vocab.txt, model_max_length": VOCAB | config(model_max_length=6, tokenizer_class=None),
    "vocab.txt, never_split of special tokens": VOCAB | config(never_split=["[CLS]", "[MASK]"]),
    "vocab.txt, null special tokens": VOCAB | config(pad_token=None, mask_token=None),
    "tokenizer.json alone": JSON,
    "tokenizer.json, cased, and nothing that says so": CASED_JSON,
    "tokenizer.json, cased, and so the configuration": CASED_JSON | config(do_lower_case=False),
    "tokenizer.json, uncased, but not the configuration": JSON | config(do_lower_case=False),
    "tokenizer.json, accents that the configuration keeps": JSON | config(strip_accents=False),
    "tokenizer.json, Chinese words by the configuration": JSON
    | config(tokenize_chinese_chars=False),
    "tokenizer.json, cased, as any fast tokenizer": CASED_JSON
    | config(tokenizer_class=FAST, do_lower_case=True, mask_token="[MASK]"),
    "tokenizer.json, its own normalizer": {"tokenizer.json": {"normalizer": LOWER_AND_NFC}},
    "tokenizer.json, no normalizer, as any fast tokenizer": {"tokenizer.json": {"normalizer": None}}
    | config(tokenizer_class=FAST),
    "tokenizer.json, pads and cuts": {
        "tokenizer.json": {
            "padding": padding("[PAD]"),
            "truncation": {
                "direction": "Right",
                "max_length": 4,
                "strategy": "LongestFirst",
                "stride": 0,
            },
        }
    },
    "tokenizer.json, pads with a new token, as any fast tokenizer": {
        "tokenizer.json": {"padding": padding("[DRUG]")}
    }
    | config(tokenizer_class=FAST),
    "tokenizer.json, the older post-processor": {
        "tokenizer.json": {
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
        }
    },
    "tokenizer.json, added_tokens.json": JSON | {"added_tokens.json": {"[DRUG]": SIZE}},
    "tokenizer.json, added_tokens_decoder": JSON
    | config(
        added_tokens_decoder=DECODER | {str(SIZE): added("[DRUG]", normalized=True, rstrip=True)},
        tokenizer_class="BertTokenizer",
        extra_special_tokens={},
    ),
    "tokenizer.json, additional_special_tokens in both maps": JSON
    | config(additional_special_tokens=["[DRUG]"], tokenizer_class="BertTokenizerFast")
    | {"special_tokens_map.json": {"additional_special_tokens": [added("drug"), "[DRUG]"]}},
    "tokenizer.json, a mask that eats blanks": JSON
    | {"special_tokens_map.json": {"mask_token": added("[MASK]", lstrip=True, rstrip=True)}},
    "tokenizer.json and a vocab.txt that it wins over": JSON | {"vocab.txt": SPECIALS},
    "tokenizer.json, unless none is named": CASED_JSON
    | {"vocab.txt": ["zaf", *VOCABULARY]}
    | config(tokenizer_file=None),
    "the class in config.json": VOCAB | {"config.json": {"tokenizer_class": "BertTokenizer"}},
}

# Folders that minibert refuses, and what its message must name; some have no ids there either.
REFUSED: dict[str, tuple[Files, str]] = {
    "Japanese": (
        VOCAB | config(tokenizer_class="BertJapaneseTokenizer", word_tokenizer_type="mecab"),
        "tokenizer_config.json: tokenizer_class is 'BertJapaneseTokenizer'",
    ),
    "Japanese by config.json": (
        VOCAB | {"config.json": {"tokenizer_class": "BertJapaneseTokenizer"}},
        "config.json: tokenizer_class is 'BertJapaneseTokenizer'",
    ),
    "another word tokenizer": (
        VOCAB | config(word_tokenizer_type="mecab"),
        "tokenizer_config.json: word_tokenizer_type is 'mecab'",
    ),
    "another subword tokenizer": (
        VOCAB | config(subword_tokenizer_type="character"),
        "tokenizer_config.json: subword_tokenizer_type is 'character'",
    ),
    "DistilBERT's class": (
        VOCAB | config(tokenizer_class="DistilBertTokenizer"),
        "tokenizer_config.json: tokenizer_class is 'DistilBertTokenizer'",
    ),
    "no post-processor": (
        {"tokenizer.json": {"post_processor": None}},
        "tokenizer.json: post_processor: an empty text is []",
    ),
    "a second sentence in segment 0": (
        {
            "tokenizer.json": {
                "post_processor": {
                    "type": "RobertaProcessing",
                    "sep": ["[SEP]", 3],
                    "cls": ["[CLS]", 2],
                    "trim_offsets": True,
                    "add_prefix_space": False,
                }
            }
        },
        "tokenizer.json: post_processor: an empty text is ['[CLS]', '[SEP]']",
    ),
    "no basic tokenization": (
        VOCAB | config(do_basic_tokenize=False),
        "tokenizer_config.json: do_basic_tokenize is False",
    ),
    "words that are never split": (
        VOCAB | config(never_split=["TIKORA"]),
        "tokenizer_config.json: never_split has 'TIKORA'",
    ),
    "special tokens as plain text": (
        VOCAB | config(split_special_tokens=True),
        "tokenizer_config.json: split_special_tokens is True",
    ),
    "the beginning cut off": (
        VOCAB | config(truncation_side="left"),
        "tokenizer_config.json: truncation_side is 'left'",
    ),
    "the beginning cut off by tokenizer.json": (
        {
            "tokenizer.json": {
                "truncation": {
                    "direction": "Left",
                    "max_length": 4,
                    "strategy": "LongestFirst",
                    "stride": 0,
                }
            }
        },
        "tokenizer.json: truncation cuts the beginning",
    ),
    "no segments": (
        VOCAB | config(model_input_names=["input_ids", "attention_mask"]),
        "tokenizer_config.json: model_input_names lacks 'token_type_ids'",
    ),
    "more roles": (
        VOCAB | config(extra_special_tokens={"drug_token": "[DRUG]"}),
        "tokenizer_config.json: extra_special_tokens is {'drug_token': '[DRUG]'}",
    ),
    "an added token beyond a gap": (
        VOCAB | {"added_tokens.json": {"[DRUG]": SIZE + 5}},
        f"say that '[DRUG]' is token {SIZE + 5}, but it would be token {SIZE}",
    ),
    "added_tokens_decoder beyond a gap": (
        JSON | config(added_tokens_decoder={str(SIZE + 5): added("[DRUG]")}),
        f"say that '[DRUG]' is token {SIZE + 5}, but it would be token {SIZE}",
    ),
    "two tokens with one id": (
        {"vocab.txt": ["zaf", *VOCABULARY[:4], *VOCABULARY[5:]]},
        "lacks '[MASK]', which would get another token's id",
    ),
    "do_lower_case null": (
        VOCAB | config(do_lower_case=None),
        "tokenizer_config.json: do_lower_case is None",
    ),
    "strip_accents in words": (
        JSON | config(strip_accents="yes"),
        "tokenizer_config.json: strip_accents is 'yes'",
    ),
    "no normalizer": (
        {"tokenizer.json": {"normalizer": None}},
        "tokenizer.json: normalizer is null",
    ),
    "another prefix space": (
        {
            "tokenizer.json": {
                "pre_tokenizer": {
                    "type": "ByteLevel",
                    "add_prefix_space": True,
                    "trim_offsets": True,
                    "use_regex": True,
                }
            }
        },
        "tokenizer.json: its pre_tokenizer has another add_prefix_space than False",
    ),
    "an added token that only one of two normalizers leaves alone": (
        CASED_JSON | config(added_tokens_decoder={str(SIZE): added("[DRUG]", normalized=True)}),
        "tokenizer.json: '[DRUG]' is normalized, and tokenizer_config.json changes the normalizer",
    ),
    "any fast tokenizer without its file": (
        VOCAB | config(tokenizer_class=FAST),
        "tokenizer_config.json: tokenizer_class 'PreTrainedTokenizerFast' needs tokenizer.json",
    ),
    "no [CLS]": (VOCAB | config(cls_token=None), "tokenizer_config.json: cls_token is null"),
    "an unknown token that the vocabulary lacks": (
        VOCAB | config(unk_token="<unk>"),
        "vocab.txt: lacks the token <unk>",
    ),
    "the same in tokenizer.json": (
        {
            "tokenizer.json": {
                "model": {
                    "type": "WordPiece",
                    "unk_token": "<unk>",
                    "vocab": {token: n for n, token in enumerate(VOCABULARY)},
                    "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                }
            }
        },
        "tokenizer.json: lacks its unk_token '<unk>'",
    ),
    "tokenizer.json not to be used": (
        JSON | VOCAB | config(tokenizer_file="elsewhere.json"),
        "tokenizer_config.json: tokenizer_file is 'elsewhere.json'",
    ),
}


def make_tokenizer(out: Path) -> None:
    """Write tokenizers.json: the texts, and each folder's files with their ids and segments."""
    whole = tokenizer_json()
    folders = {name: {"files": files} | encoded(files, whole) for name, files in READ.items()}
    for name, (files, message) in REFUSED.items():
        folders[name] = {"files": files, "refused": message} | encoded(files, whole)
    goldens = {"texts": TEXTS, "max_length": MAX_LENGTH, "tokenizer.json": whole}
    lines = [f" {json.dumps(name)}: {compact(value)}" for name, value in goldens.items()]
    rows = [f"  {json.dumps(name)}: {compact(folder)}" for name, folder in folders.items()]
    lines.append(' "folders": {\n' + ",\n".join(rows) + "\n }")
    (out / "tokenizers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    for name, folder in folders.items():
        print(f"{name}: {folder.get('error') or 'ids'}")


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def tokenizer_json() -> dict[str, Any]:
    """The tokenizer.json that transformers makes of VOCABULARY."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), VOCAB, {})
        BertTokenizerFast.from_pretrained(folder).backend_tokenizer.save(f"{folder}/tokenizer.json")
        return json.loads(Path(folder, "tokenizer.json").read_text("utf-8"))


def write(folder: Path, files: Files, whole: dict[str, Any]) -> None:
    """The files of a folder; config.json says that the model is a BERT."""
    for name, content in ({"config.json": {}} | files).items():
        if name == "vocab.txt":
            text = "".join(f"{line}\n" for line in content)
        elif name == "tokenizer.json":
            text = json.dumps(whole | content)
        elif name == "config.json":
            text = json.dumps({"model_type": "bert"} | content)
        else:
            text = json.dumps(content)
        (folder / name).write_text(text, "utf-8")


def encoded(files: Files, whole: dict[str, Any]) -> dict[str, Any]:
    """{"whole", "cut"}: each text's [ids, segments]; or {"error"}, of what kind it is."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), copy.deepcopy(files), whole)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            return {
                "whole": [ids(tokenizer, text) for text in TEXTS],
                "cut": [ids(tokenizer, text, MAX_LENGTH) for text in TEXTS],
            }
        except Exception as error:
            # transformers hides the cause where sentencepiece is not installed
            return {"error": type(error.__context__ or error).__name__}


def ids(tokenizer: Any, text: str | list[str], max_length: int | None = None) -> list[list[int]]:
    """One text's ids and segments; given as a list of one, since an empty second sentence counts
    only there."""
    pair = [[text]] if isinstance(text, str) else [[part] for part in text]
    cut = {"truncation": "longest_first", "max_length": max_length} if max_length else {}
    made = tokenizer(*pair, **cut)
    segments = made.get("token_type_ids", [[0] * len(made["input_ids"][0])])
    return [made["input_ids"][0], segments[0]]
