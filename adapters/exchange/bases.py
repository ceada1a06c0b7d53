"""Which base an adapter is for: what its files say, compared with the base at hand."""

import re

from minibert.checkpoint import Base
from minibert.errors import InputError, visible
from minibert.fetch.manifest import model_of


def name_on_hub(base: Base) -> str:
    """ORG/NAME of a base on the hub, "" for one that is in a folder alone."""
    if model := model_of(base.sha256):
        return model.repository
    repository = base.name.partition("@")[0].replace("--", "/")
    return repository if "/" in repository else ""


def public_name(base: Base) -> str:
    """The name by which other libraries find a base: ORG/NAME on the hub, or else its folder."""
    return name_on_hub(base) or str(base.folder.resolve())


def check_base(said: str, base: Base, where: object) -> None:
    """Raises InputError, with both names, when the files say that they are for another base. Only a
    name on the hub says which one that is: a path of somebody's machine does not."""
    if not on_the_hub(said) or _name(said) in _names(base):
        return
    theirs = visible(said[:100])
    raise InputError(f"{where}: is for the base {theirs!r}, not for {public_name(base)}")


def on_the_hub(name: str) -> bool:
    """Whether it looks like ORG/NAME, or like one of the many models that have no ORG."""
    if name.split("/")[0] in ("", ".", "..", "~", "weights", "models", "runs", "results", "tmp"):
        return False
    family = r"\w*bert\w*-|xlm-|electra-|bart-|t5-|gpt2|MiniLM"
    return re.fullmatch(rf"[\w-][\w.-]*/[\w.-]+|({family})[\w.-]*", name) is not None


def _name(repository: str) -> str:
    """bert-base-uncased of google-bert/bert-base-uncased: it was on the hub under both."""
    return repository.rpartition("/")[2].lower()


def _names(base: Base) -> set[str]:
    """All names that a base goes by."""
    names = {_name(public_name(base)), base.folder.name.lower(), base.folder.resolve().name.lower()}
    model = model_of(base.sha256)
    return names | {model.name} if model else names
