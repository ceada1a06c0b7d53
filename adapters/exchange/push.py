"""A task -> a repository of the Hugging Face hub, with its model card."""

from pathlib import Path

from adapters.exchange.card import check_licence, model_card
from adapters.exchange.download import TASK_FILE
from adapters.task_file import load_task, on_base
from minibert.checkpoint import Base
from minibert.errors import InputError, brief, shown
from minibert.fetch.home import require_network
from minibert.fetch.hub import file_names, hub_errors, quiet_unless, repository_info
from minibert.fetch.manifest import HUB_NAME


def push_task(
    path: Path | str,
    base: Base,
    repository: str,
    licence: str,
    *,
    private: bool = False,
    force: bool = False,
) -> str:
    """Put a task file and its card on the hub, as ORG/NAME, in one commit. Returns its address.

    The repository is made if there is none. Raises InputError for a task of another base, a
    repository that already has files (unless `force`), one that everybody can read where it is to
    be `private`, or whatever the hub refuses; Unreachable when it fails. Who you are,
    `huggingface_hub` knows from `hf auth login` or HF_TOKEN.
    """
    if "@" in repository or not HUB_NAME.fullmatch(repository):
        raise InputError(f"{shown(repository)}: is not ORG/NAME")
    check_licence(licence)
    task = load_task(path)
    on_base(task, base, path)
    require_network(f"{repository}: cannot be pushed to")
    card = model_card(task, base, repository, licence, TASK_FILE)
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    with quiet_unless(False), hub_errors(repository):  # the files are small
        # None: as its organisation wants it, which may be private, too
        api.create_repo(repository, private=private or None, exist_ok=True)
        info = repository_info(repository)
        if private and not info.private:
            raise InputError(f"{repository}: exists and is public; nothing was put there")
        theirs = sorted(file_names(info) - {".gitattributes"})
        if theirs and not force:
            raise InputError(
                f"{repository}: already has files ({brief(', '.join(theirs[:3]))}); --force "
                "overwrites those of the same names"
            )
        commit = api.create_commit(
            repository,
            [
                CommitOperationAdd(TASK_FILE, str(path)),
                CommitOperationAdd("README.md", card.encode()),
            ],
            commit_message=f"{brief(task.task.name)}: task file and card",
            parent_commit=info.sha,  # so that nothing is overwritten that came in the meantime
        )
    return str(commit.repo_url)
