"""Which base an adapter is for: what its files say, compared with the base at hand.

They say a name, which is one on the hub or the path of a folder on somebody's machine. ORG/NAME can
be either; what people call such folders tells most of them apart, and for the others the user can
say that the name means nothing (`Wanted.ignore_base_name`).
"""

import re

from minibert.checkpoint import Base
from minibert.errors import InputError, brief, visible
from minibert.fetch.manifest import model_of

# The first part of a path that is no ORG, and the last part of one that is no model's NAME.
FOLDERS = re.compile(
    r"|\.{1,2}|~.*|[a-z]:|(my|saved|local|pretrained|trained|best|final|the)?[-_]?"
    r"(adapters?|artifacts|base|bases|berts?|cache|checkpoints?|ckpts?|content|data|exp|exps|"
    r"experiments?|finetuned|fine[-_]tuned|home|local|logs?|models?|mnt|out|outputs?|pretrained|"
    r"results?|runs?|save|saved|scratch|temp|tmp|trained|trainer|training|weights?|work|workspace)",
    re.IGNORECASE,
)
STEPS = re.compile(r"(checkpoint|ckpt|step|epoch|iter|run|version)[-_]?\d+|best|final|last", re.I)
ORG_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
# Models that are, or once were, on the hub without an ORG; no new ones come.
FAMILY = re.compile(
    r"((xlm-)?\w*bert\w*-(base|large|xlarge|xxlarge)|xlm-|gpt2|t5-|bart-|electra-|(all-)?MiniLM-)"
    r"[\w.-]*"
)


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
    """Raises InputError, with both names and a way out, when the files say that they are for
    another base. Only a name on the hub says which one that is: a path does not."""
    if not on_the_hub(said) or _is_of(said, base):
        return
    raise InputError(
        f"{where}: is for the base '{visible(said[:100])}', not for {public_name(base)}; if that "
        "is only what somebody has called it, add --ignore-base-name"
    )


def doubt(said: str, base: Base) -> str:
    """What to tell a user whose files call the base otherwise; "" where they do not."""
    if not said or _is_of(said, base):
        return ""
    return (
        f"the files call their base '{visible(brief(said))}'; it is taken to be "
        f"{public_name(base)}, of which only the sizes were compared"
    )


def on_the_hub(name: str) -> bool:
    """Whether it is a name on the hub: ORG/NAME, or one of the many models that have no ORG."""
    if FAMILY.fullmatch(name):
        return True
    first, _, last = name.partition("/")
    of_a_path = FOLDERS.fullmatch(first) or STEPS.fullmatch(last)
    return ORG_NAME.fullmatch(name) is not None and not of_a_path


def _is_of(said: str, base: Base) -> bool:
    """Whether a name is one that the base goes by. Where only one of two names has an ORG, it does
    not count: bert-base-uncased has become google-bert/bert-base-uncased, and a folder has none."""
    org, _, name = said.replace("\\", "/").rstrip("/").lower().rpartition("/")
    repository = name_on_hub(base).lower()
    own_org, _, own_name = repository.rpartition("/")
    if name == own_name and (own_org == org or not (org and on_the_hub(said))):
        return True
    model = model_of(base.sha256)
    folders = {base.folder.name.lower(), base.folder.resolve().name.lower()}
    short = folders | ({model.name.lower()} if model else set())
    return name in short and not (repository and org and on_the_hub(said))
