"""The files beside a vocabulary that change a text's ids, read as `transformers` reads them.

tokenizer_config.json wins over tokenizer.json, and each may add tokens; the older files
special_tokens_map.json and added_tokens.json count where the first has no added_tokens_decoder.
What would give other ids here than there (`AutoTokenizer`, its fast tokenizer) is refused.

`model_max_length` changes no id: how long a text may be is for the caller to say.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibert.errors import InputError, shown
from minibert.json_files import read_json

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

CLASSES = ("BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast")
DEFAULTS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
ROLES = ("bos_token", "eos_token", *DEFAULTS)  # in the order in which missing tokens are added
FLAGS = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")  # of a token
MORE = "additional_special_tokens"
LARGEST = 1 << 27  # bytes of any of these files; those of 250,000 tokens have an eighth of it
MOST_LONGER = 64  # times that normalizers may lengthen a text

# Settings of which only these values give the ids that `encode_texts` computes; the first is the
# default. With do_basic_tokenize and never_split transformers' own two tokenizers disagree.
ONLY: dict[str, tuple[Any, ...]] = {
    "do_basic_tokenize": (True,),
    "word_tokenizer_type": (None, "basic"),
    "subword_tokenizer_type": (None, "wordpiece"),
    "split_special_tokens": (False,),
    "truncation_side": ("right",),
    "from_slow": (False, None),
    "init_inputs": ([],),
    "extra_special_tokens": ({}, [], None),
    "fast_tokenizer_files": ([], ["tokenizer.json"]),
    "vocab_file": (None,),
    "tokenizer_file": (None,),
    "auto_map": (None, {}),  # somebody's own code
}


@dataclass(frozen=True)
class TokenizerSettings:
    """What a folder's tokenizer files say, checked.

    path: its tokenizer_config.json. bert_class: BERT's classes set `lower`, `strip_accents` (None:
    as `lower`) and `chinese` in tokenizer.json's normalizer; PreTrainedTokenizerFast does not.
    prefix_space: transformers' add_prefix_space, for other pre-tokenizers than BERT's. use_json:
    whether tokenizer.json counts rather than vocab.txt. roles: the special tokens by
    ROLES; additional: more of them. added: {id: token}, as the files say it. json: the content of
    tokenizer.json, read once; empty where it does not count.
    """

    path: Path
    bert_class: bool
    use_json: bool
    lower: bool
    strip_accents: bool | None
    chinese: bool
    prefix_space: bool
    roles: dict[str, "AddedToken | str"]
    additional: "tuple[AddedToken | str, ...]"
    added: dict[int, "AddedToken"]
    json: dict[str, Any] = field(repr=False)

    def name(self, role: str) -> str:
        """The token that plays a role, as "[CLS]" is the "cls_token". InputError if none does."""
        if role not in self.roles:
            raise InputError(f"{self.path}: {role} is null; a token is expected")
        return _content(self.roles[role])


def read_settings(folder: Path) -> TokenizerSettings:
    """The settings of a folder, BERT's defaults where it has none. Raises InputError, naming file
    and key, for what would change the ids and is not supported."""
    path = folder / "tokenizer_config.json"
    raw = _read_object(path)
    bert_class = _check_class(folder, raw.get("tokenizer_class")) != "PreTrainedTokenizerFast"
    for name, allowed in ONLY.items():
        if raw.get(name, allowed[0]) not in allowed:
            given = shown(raw[name])
            raise InputError(f"{path}: {name} is {given}; only {allowed[0]!r} is supported")
    inputs = _strings(path, raw, "model_input_names")
    if inputs and "token_type_ids" not in inputs:
        raise InputError(f"{path}: model_input_names lacks 'token_type_ids', which BERT reads")
    # The key tokenizer_file, even null, means that vocab.txt is read.
    use_json = (folder / "tokenizer.json").exists() and "tokenizer_file" not in raw
    if not (use_json or bert_class):
        raise InputError(f"{path}: tokenizer_class 'PreTrainedTokenizerFast' needs tokenizer.json")
    content = _read_object(folder / "tokenizer.json") if use_json else {}
    special, added = _tokens(folder, raw, content)
    roles = DEFAULTS | special if bert_class else special
    settings = TokenizerSettings(
        path,
        bert_class,
        use_json,
        lower=_choice(path, raw, "do_lower_case", True, (True, False)),
        strip_accents=_choice(path, raw, "strip_accents", None, (True, False, None)),
        chinese=_choice(path, raw, "tokenize_chinese_chars", True, (True, False)),
        prefix_space=_choice(path, raw, "add_prefix_space", False, (True, False)),
        roles={role: roles[role] for role in ROLES if roles.get(role)},
        additional=tuple(special.get(MORE, ())),
        added=added,
        json=content,
    )
    for word in _strings(path, raw, "never_split"):
        if word not in map(_content, settings.roles.values()):
            raise InputError(f"{path}: never_split has {shown(word)}, which is not supported")
    return settings


def add_tokens(tokenizer: "Tokenizer", settings: TokenizerSettings) -> None:
    """Add the tokens that the files name and the tokenizer lacks, in transformers' order.

    Raises InputError when one gets another id than its file says, or the id of another token.
    """
    from tokenizers import AddedToken

    present = tokenizer.get_added_tokens_decoder()
    known = {repr(token) for token in present.values()}
    missing: list[AddedToken | str] = [
        token for _, token in sorted(settings.added.items()) if repr(token) not in known
    ]
    names = [token.content for token in present.values()] + [_content(t) for t in missing]
    special = _special_tokens(tokenizer, settings)
    missing += [t for t in special.values() if t not in names and t not in missing]
    tokens = []
    for token in missing:
        if isinstance(token, str):
            token = AddedToken(token, special=True)
        token.special = token.special or token.content in special
        tokens.append(token)
    tokenizer.add_tokens(tokens)
    _check_ids(tokenizer, settings, [token.content for token in tokens])


def _special_tokens(
    tokenizer: "Tokenizer", settings: TokenizerSettings
) -> dict[str, "AddedToken | str"]:
    """The special tokens by name, in the order of ROLES."""
    roles = settings.roles
    if not settings.bert_class and tokenizer.padding:
        roles = {"pad_token": tokenizer.padding["pad_token"]} | roles
    named: dict[str, AddedToken | str] = {}
    for token in [*(roles[role] for role in ROLES if role in roles), *settings.additional]:
        named.setdefault(_content(token), token)
    return named


def _check_ids(tokenizer: "Tokenizer", settings: TokenizerSettings, new: list[str]) -> None:
    folder = settings.path.parent
    for number, token in settings.added.items():
        if (found := tokenizer.token_to_id(token.content)) != number:
            raise InputError(
                f"{folder}: its tokenizer files say that {shown(token.content)} is token {number}, "
                f"but it would be token {found}"
            )
    if not new:
        return
    vocabulary = tokenizer.get_vocab()
    counts = Counter(vocabulary.values())
    for name in new:
        if counts[vocabulary[name]] > 1:
            raise InputError(f"{folder}: lacks {shown(name)}, which would get another token's id")


def set_normalizer(tokenizer: "Tokenizer", settings: TokenizerSettings, file: Path) -> None:
    """Let tokenizer_config.json win over tokenizer.json (`file`), as BERT's classes do. Raises
    InputError for what they cannot read either."""
    from tokenizers import normalizers

    prefix = json.loads(tokenizer.pre_tokenizer.__getstate__()) if tokenizer.pre_tokenizer else {}
    space = settings.prefix_space
    if prefix.get("add_prefix_space", space) != space:
        raise InputError(f"{file}: its pre_tokenizer has another add_prefix_space than {space}")
    if not settings.bert_class:
        return
    if tokenizer.normalizer is None:
        raise InputError(f"{file}: normalizer is null; a BertNormalizer is expected")
    state = json.loads(tokenizer.normalizer.__getstate__())
    if state.get("type") != "BertNormalizer":
        return
    wanted = normalizers.BertNormalizer(
        clean_text=state["clean_text"],
        handle_chinese_chars=settings.chinese,
        strip_accents=settings.strip_accents,
        lowercase=settings.lower,
    )
    # Such tokens are normalized when they are added, and by some versions of the library again
    # when the normalizer changes.
    for token in tokenizer.get_added_tokens_decoder().values():
        before, after = (n.normalize_str(token.content) for n in (tokenizer.normalizer, wanted))
        if token.normalized and before != after:
            raise InputError(
                f"{file}: {token.content!r} is normalized, and {settings.path.name} changes the "
                "normalizer; transformers depends on its version there"
            )
    tokenizer.normalizer = wanted


def check_template(file: Path, content: dict[str, Any]) -> None:
    """Raises InputError where the content of tokenizer.json (`file`) puts tokens around a text
    whose ids it does not say: the library looks them up unchecked."""
    todo = [content.get("post_processor")]
    while todo:
        processor = todo.pop()
        if not isinstance(processor, dict):
            continue
        todo += _list(processor.get("processors"))
        known = processor.get("special_tokens")
        pieces = [*_list(processor.get("single")), *_list(processor.get("pair"))]
        for piece in pieces:
            token = piece.get("SpecialToken") if isinstance(piece, dict) else None
            name = token.get("id") if isinstance(token, dict) else None
            if isinstance(name, str) and not (isinstance(known, dict) and name in known):
                raise InputError(f"{file}: post_processor: special_tokens lacks {shown(name)}")


def check_normalizers(file: Path, content: dict[str, Any]) -> None:
    """Raises InputError where the normalizers of tokenizer.json (`file`) can make a text many times
    longer, as a few replacements one after the other do, or are of a kind that no BERT has and that
    the library cannot refuse without a page of its own."""
    longer = 1.0
    todo = [content.get("normalizer")]
    while todo:
        normalizer = todo.pop()
        if not isinstance(normalizer, dict):
            continue
        todo += _list(normalizer.get("normalizers"))
        if normalizer.get("type") == "Precompiled":
            raise InputError(f"{file}: normalizer 'Precompiled' is not supported")
        new, pattern = normalizer.get("content"), normalizer.get("pattern")
        if isinstance(new, str) and isinstance(pattern, dict):
            found = pattern.get("String")
            longer *= max(1, len(new) / max(1, len(found) if isinstance(found, str) else 1))
        if longer > MOST_LONGER:
            raise InputError(f"{file}: its normalizers can make a text {longer:,.0f} times longer")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _strings(path: Path, raw: dict[str, Any], name: str) -> list[str]:
    """A list of strings, empty for null."""
    value = raw.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{path}: {name} is {shown(value)}; a list of strings is expected")
    return value


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty without the file."""
    content = read_json(path, LARGEST) if path.exists() else {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: is not a JSON object")
    if not _has_characters_only(content):
        raise InputError(f"{path}: has half a surrogate pair, which is no character")
    return content


def _has_characters_only(content: Any) -> bool:
    try:
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_class(folder: Path, name: Any) -> str:
    """The class that reads the folder: tokenizer_config.json's, else config.json's, else BERT's."""
    path = folder / "tokenizer_config.json"
    if name is None:
        path = folder / "config.json"
        name = _read_object(path).get("tokenizer_class") or "BertTokenizer"
    if name not in CLASSES:
        raise InputError(
            f"{path}: tokenizer_class is {shown(name)}; only {CLASSES[0]!r} is supported"
        )
    return str(name)


def _choice(path: Path, raw: dict[str, Any], name: str, default: Any, allowed: tuple) -> Any:
    value = raw.get(name, default)
    if not any(value is choice for choice in allowed):
        words = " or ".join(json.dumps(choice) for choice in allowed)
        raise InputError(f"{path}: {name} is {shown(value)}; it must be {words}")
    return value


def _tokens(
    folder: Path, raw: dict[str, Any], content: dict[str, Any]
) -> tuple[dict[str, Any], dict[int, "AddedToken"]]:
    """The special tokens that the files name, by role, and the added tokens by id, from the
    contents of tokenizer_config.json (`raw`) and tokenizer.json."""
    path = folder / "tokenizer_config.json"
    special = _by_role(path, raw, _typed_token)
    if "added_tokens_decoder" in raw:
        added = _stated(path, raw["added_tokens_decoder"])
        full = added
    else:
        older = folder / "special_tokens_map.json"
        more = special.get(MORE, [])
        special |= _by_role(older, _read_object(older), _special_token)
        special[MORE] = [*more, *(t for t in special.get(MORE, []) if t not in more)]
        full = _stated_in_json(folder / "tokenizer.json", content)
        added = _older_added(folder, special) | full
    names = {token.content: token for token in full.values()}
    for role in special.keys() & set(ROLES):
        special[role] = special[role] and names.get(_content(special[role]), special[role])
    return special, added


def _by_role(
    path: Path, raw: dict[str, Any], read: "Callable[[Path, str, Any], AddedToken | str]"
) -> dict[str, Any]:
    """The special tokens of one file; those in MORE are a list."""
    found = {role: raw[role] and read(path, role, raw[role]) for role in ROLES if role in raw}
    several = raw.get(MORE) or []
    if not isinstance(several, list):
        raise InputError(f"{path}: {MORE} is {shown(several)}; a list is expected")
    return found | {MORE: [read(path, MORE, one) for one in several]}


def _typed_token(path: Path, key: str, value: Any) -> "AddedToken | str":
    """A token as tokenizer_config.json has it: text, or an object that says of what type it is."""
    if isinstance(value, dict) and value.get("__type") == "AddedToken":
        return _added_token(path, key, {k: v for k, v in value.items() if k != "__type"})
    if not isinstance(value, str):
        raise InputError(f"{path}: {key} has {shown(value)}, which is no token")
    return value


def _special_token(path: Path, key: str, value: Any) -> "AddedToken | str":
    """A token as special_tokens_map.json has it: text, or an object."""
    if isinstance(value, dict):
        return _added_token(path, key, value | {"special": True})
    return _typed_token(path, key, value)


def _stated(path: Path, tokens: Any) -> dict[int, "AddedToken"]:
    """tokenizer_config.json's added_tokens_decoder, {id: token}."""
    key = "added_tokens_decoder"
    if not isinstance(tokens, dict):
        raise InputError(f"{path}: {key} is {shown(tokens)}; an object is expected")
    return {_number(path, n): _added_token(path, key, token) for n, token in tokens.items()}


def _stated_in_json(path: Path, content: dict[str, Any]) -> dict[int, "AddedToken"]:
    """tokenizer.json's added_tokens, a list of tokens that have their ids with them."""
    key = "added_tokens"
    items = content.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(f"{path}: {key} is {shown(items)}; a list of objects is expected")
    return {_number(path, item.get("id")): _added_token(path, key, item) for item in items}


def _older_added(folder: Path, special: dict[str, Any]) -> dict[int, "AddedToken"]:
    """added_tokens.json, {token: id}."""
    from tokenizers import AddedToken

    path = folder / "added_tokens.json"
    stated = _read_object(path)
    if "" in stated:
        raise InputError(f"{path}: has the token '', which is none")
    names = {_content(special[role]) for role in special.keys() & set(ROLES) if special[role]}
    names |= {_content(token) for token in special[MORE]}
    return {
        _number(path, number): AddedToken(
            token, lstrip=False, rstrip=False, normalized=token not in names, special=token in names
        )
        for token, number in stated.items()
    }


def _added_token(path: Path, key: str, value: Any) -> "AddedToken":
    from tokenizers import AddedToken

    try:
        if value["content"]:
            return AddedToken(**{flag: value[flag] for flag in FLAGS if flag in value})
    except (KeyError, TypeError):  # no object; a flag that is not true or false
        pass
    raise InputError(f"{path}: {key} has {shown(value)}, which is no token")


def _number(path: Path, value: Any) -> int:
    if type(value) is int or (isinstance(value, str) and value.isascii() and value.isdecimal()):
        return int(value)
    raise InputError(f"{path}: {shown(value)} is no token id")


def _content(token: "AddedToken | str") -> str:
    return token if isinstance(token, str) else token.content
