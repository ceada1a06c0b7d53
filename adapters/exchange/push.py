"""A task -> a repository of the Hugging Face hub, with its model card."""

from pathlib import Path

from adapters.exchange.card import check_licence, model_card
from adapters.exchange.download import TASK_FILE
from adapters.task_file import load_task, on_base
from minibert.checkpoint import Base
from minibert.errors import InputError
from minibert.fetch.home import require_network
from minibert.fetch.hub import hub_errors, listed_files


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
    repository that already has files (unless `force`), or whatever the hub refuses; Unreachable
    when it fails. Who you are, `huggingface_hub` knows from `hf auth login` or HF_TOKEN.
    """
    task = load_task(path)
    on_base(task, base, path)
    check_licence(licence)
    card = model_card(task, base, repository, licence, TASK_FILE)
    require_network(f"{repository}: cannot be pushed to")
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    with hub_errors(repository):
        api.create_repo(repository, private=private, exist_ok=True)
        theirs = listed_files(repository, "main") - {".gitattributes"}
        if theirs and not force:
            raise InputError(
                f"{repository}: already has files ({', '.join(sorted(theirs)[:3])}); --force "
                "overwrites those of the same names"
            )
        commit = api.create_commit(
            repository,
            [
                CommitOperationAdd(TASK_FILE, str(path)),
                CommitOperationAdd("README.md", card.encode()),
            ],
            commit_message=f"{task.task.name}: task file and card",
        )
    return str(commit.repo_url)
