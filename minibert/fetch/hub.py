"""A model's files from the Hugging Face hub, by `huggingface_hub` and into its own cache."""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minibert.config import read_config
from minibert.errors import InputError, brief, shown
from minibert.fetch.home import Unreachable, cause, forget, verify
from minibert.fetch.manifest import Model
from minibert.json_files import fitted, read_json
from minibert.tensors import other_content
from minibert.tokenizer_files import LARGEST
from minibert.weight_files import INDEX, shard_names

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

WHO = "needs to know who you are: run `hf auth login`, or set HF_TOKEN"
REFUSED = {
    401: WHO,
    403: "is not yours to change: another account, or a token to read only",
    412: "has changed in the meantime; try again",
}
PERHAPS_LATER = (404, 408, 429)  # a file that is missing, the hub's own timeout, too many requests
NAME = re.compile(r"[0-9A-Za-z_-]+")  # of a digest or commit: no path
SHA256 = re.compile("[0-9a-f]{64}")


def cached_snapshot(repository: str, revision: str, file: str = "config.json") -> Path | None:
    """The folder in the hub's cache of a revision that has this file, complete or not; no request
    is made."""
    try:
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(repository, file, revision=revision)
    except (ImportError, ValueError):  # not installed; a name that the hub does not allow
        return None
    return Path(path).parent if isinstance(path, str) else None


def download_snapshot(model: Model, progress: bool) -> Path:
    """Download a model's files into the hub's cache; return their folder.

    config.json comes first, and no other file unless it describes a BERT; shards are downloaded
    where there is no single file of weights. Raises Unreachable when the hub fails, InputError for
    a repository that is unknown, not accessible to the user, or not a BERT, whose config.json stays
    in the cache: other programs may want it.
    """
    repository = model.repository
    with quiet_unless(progress), hub_errors(repository, model.revision):
        present = listed_files(repository, model.revision)
        if missing := model.missing(present):
            raise InputError(f"{repository}: has no {missing}; pickles (*.bin) are never opened")
        revision = model.revision
        in_shards = model.in_shards(present)
        names = [name for name in model.names if name in present and (in_shards or name != INDEX)]
        shards: list[str] = []
        for name in names:
            path = _download_file(model, name, revision)
            if name == "config.json":
                read_config(path)
                revision = path.parent.name  # the commit, for all others: a branch may move
            if name == INDEX:
                shards = shard_names(path)
        for name in shards:
            if name not in present:
                raise InputError(f"{repository}: has no {name}, which its {INDEX} names")
            _download_file(model, name, revision)
        return path.parent


def listed_files(repository: str, revision: str) -> set[str]:
    """The names of a repository's files. Raises what the hub's library does."""
    return file_names(repository_info(repository, revision))


def repository_info(repository: str, revision: str = "main") -> "ModelInfo":
    """What the hub says of a repository. Raises what its library does."""
    import huggingface_hub as hub

    timeout = hub.constants.HF_HUB_ETAG_TIMEOUT
    return hub.model_info(repository, revision=revision, timeout=timeout)


def file_names(info: "ModelInfo") -> set[str]:
    """The names of the files of a repository."""
    return {file.rfilename for file in info.siblings or ()}


@contextmanager
def quiet_unless(progress: bool) -> Iterator[None]:
    """Within the block the hub's library shows no progress bars, or those that it would."""
    from huggingface_hub import utils

    quiet = not progress and not utils.are_progress_bars_disabled()
    if quiet:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if quiet:
            utils.enable_progress_bars()


@contextmanager
def hub_errors(repository: str, revision: str = "main") -> Iterator[None]:
    """Within the block what the hub's library raises is an InputError that says it in one line, or
    Unreachable where the hub fails."""
    from huggingface_hub import constants, errors

    try:
        yield
        return
    except InputError:
        raise
    except errors.GatedRepoError:
        problem = "is gated; accept its terms, run `hf auth login`"
    except errors.RepositoryNotFoundError:
        problem = f"is private, or does not exist at {constants.ENDPOINT}"
    except errors.RevisionNotFoundError:
        problem = f"has no revision {revision}"
    except errors.HFValidationError as error:
        problem = cause(error)
    except errors.LocalTokenNotFoundError:
        problem = WHO
    except Exception as error:  # of the HTTP library, which differs between versions of the hub's
        status = getattr(getattr(error, "response", None), "status_code", None) or 0
        if status in REFUSED:
            problem = REFUSED[status]
        elif 400 <= status < 500 and status not in PERHAPS_LATER:
            said = getattr(error, "server_message", None) or cause(error)
            problem = f"the hub refuses the request: {brief(said)}"
        elif type(error) is ValueError:  # by which the library passes on what a card lacks
            problem = f"the hub refuses it: {brief(str(error))}"
        elif isinstance(error, OSError) and error.errno:  # of the disk
            where = error.filename or constants.HF_HUB_CACHE
            problem = f"{where} cannot be written: {error.strerror}"
        else:
            raise Unreachable(f"{constants.ENDPOINT} cannot be reached ({cause(error)})") from None
    raise InputError(f"{repository}: {problem}")


def _download_file(model: Model, name: str, revision: str) -> Path:
    known = model.files.get(name, {}).get("bytes")
    return download_file(model.repository, name, revision, known)


def download_file(
    repository: str,
    name: str,
    revision: str,
    known: int | None = None,
    most: int | None = None,
) -> Path:
    """One file of a repository in the hub's cache: no more bytes of it than the hub announces, than
    are `known`, or than may be at `most`, and nothing that is damaged. Raises InputError where that
    is not so, or where the hub names a digest or commit that is none: they become names of files in
    the cache; and what the hub's library does."""
    import huggingface_hub as hub

    url = hub.hf_hub_url(repository, name, revision=revision)
    announced = hub.get_hf_file_metadata(url)
    for value in (announced.etag, announced.commit_hash):
        if not NAME.fullmatch(value or ""):
            raise InputError(f"{repository}: {name}: no digest or commit: {shown(value)}")
    size = announced.size
    if size is None or known not in (None, size):
        has = "an unknown number of" if size is None else f"{size:,}"
        expected = "" if known is None else f", expected {known:,}"
        raise InputError(f"{repository}: {name} has {has} bytes{expected}; not downloaded")
    if most is not None and size > most:
        raise InputError(
            f"{repository}: {name} has {size:,} bytes, more than {most:,}; not downloaded"
        )
    options: dict[str, Any] = {"revision": revision}
    if "tqdm_class" in inspect.signature(hub.hf_hub_download).parameters:
        options["tqdm_class"] = _bar(size, f"{repository}: {name}")
    # else it is before version 1.2, which compares the size afterwards
    path = Path(hub.hf_hub_download(repository, name, **options))
    if path.is_symlink() and path.readlink().name != announced.etag:
        # An earlier answer for a commit that cannot have this file and that: its content stays.
        path.unlink(missing_ok=True)
        path = Path(hub.hf_hub_download(repository, name, **options))
    _refuse_damaged(path, announced.etag or "")
    return path


def _refuse_damaged(path: Path, etag: str) -> None:
    """Raises InputError for what cannot be the file of this name, as where a server answers with a
    page, or half of a file, and deletes it: the next fetch asks again. What is whole, but of no use
    here, is for others to refuse, and stays in the cache."""
    if SHA256.fullmatch(etag):  # so it is for large files
        verify(path, str(path), etag)
    try:
        if path.suffix == ".json":
            fitted(dict[str, Any], read_json(path, LARGEST), path)
        elif what := other_content(path):
            raise InputError(f"{path}: is {what.partition(',')[0]}; not kept")
    except Exception:
        with suppress(OSError):
            forget(path)
        raise


def _bar(most: int, name: str) -> type:
    """The library's progress bar, for a file of `most` bytes; it is told of each piece before that
    is written, and raises InputError for more."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):  # type: ignore[misc,valid-type,unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            self.received = options.get("initial", 0)
            super().__init__(*args, **options)

        def update(self, n: float | None = 1) -> bool | None:
            self.received += n or 0
            if self.received > most:
                raise InputError(f"{name}: more than the announced {most:,} bytes; not kept")
            return super().update(n)

    return Bar
