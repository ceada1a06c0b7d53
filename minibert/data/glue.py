"""Where a task's examples come from: real GLUE, the project's own sample, or a user's own files."""

from pathlib import Path

from minibert.data.tables import read_examples, read_lines
from minibert.data.tasks import GLUE, Data, Example, Task, glue_task
from minibert.errors import InputError
from minibert.fetch.datasets import find_task

SAMPLE = Path(__file__).parent / "samples"

# The project's own samples, and the folders of their tasks. The hard one is of contrast pairs: two
# sentences on one topic with hardly a word that tells them apart.
SAMPLES = {
    "plain": {"sst-2": "reviews", "cola": "CoLA", "rte": "RTE", "sts-b": "STS-B"},
    "hard": {"sst-2": "SST-2"},
}
SAMPLE_TASKS = tuple(SAMPLES["plain"])


def glue_data(name: str, sample: bool | str = False) -> Data:
    """A GLUE task's real data, fetched before, or the project's own small stand-in: `sample` is one
    of SAMPLES, True for "plain".

    Raises InputError, saying how to get the data, when they are missing.
    """
    task = glue_task(name)
    train, dev = (glue_examples(task, split, sample) for split in ("train", "dev"))
    kind = "hard sample, of contrast pairs," if sample == "hard" else "sample"
    own = f"minibert's own {kind} in the format of {task.folder} (not the GLUE data)"
    return Data(task, train, dev, own if sample else f"GLUE {task.folder}")


def sample_folder(task: Task, sample: bool | str) -> Path:
    """Where a task's sample is. Raises InputError for a sample or a task that is not there."""
    kind = "plain" if sample is True else sample
    if kind not in SAMPLES:
        raise InputError(f"unknown sample {kind!r}; known: {', '.join(SAMPLES)}")
    folders = SAMPLES[str(kind)]
    if task.name not in folders:
        name = "sample" if kind == "plain" else f"{kind} sample"
        raise InputError(f"the {name} has no {task.name}; it has {', '.join(folders)}")
    return SAMPLE / folders[task.name]


def glue_examples(task: Task, split: str, sample: bool | str = False) -> list[Example]:
    """One split of a GLUE task, real or sample. Raises InputError as `glue_data` does, and for a
    task that is not one of GLUE's."""
    if task.name not in GLUE or not task.folder:  # a user's own files may have a GLUE task's name
        raise InputError(f"{task.name} is no GLUE task; name a file with --data")
    if sample:
        return read_split(task, sample_folder(task, sample), split)
    folder = find_task(task.name)
    if folder is None:
        hint = " or use --sample" if task.name in SAMPLE_TASKS else ""
        raise InputError(
            f"the data of {task.name} are not here; run `minibert fetch {task.name}`{hint}"
        )
    return read_split(task, folder, split)


def read_split(task: Task, folder: Path, split: str) -> list[Example]:
    """One split of a task's folder: "train", "dev", or for MNLI "dev_mismatched".

    Raises InputError for a split that the task does not have, or an unreadable file.
    """
    if split not in task.files:
        raise InputError(f"{task.name} has no split {split!r}; it has {', '.join(task.files)}")
    if task.name == "mrpc" and not all((folder / name).exists() for name in task.files.values()):
        return _raw_mrpc(task, folder, split)
    return read_examples(task, folder / task.files[split])


def _raw_mrpc(task: Task, folder: Path, split: str) -> list[Example]:
    """MRPC's training file as published; GLUE's dev set is the pairs of mrpc_dev_ids.tsv."""
    path = folder / "msr_paraphrase_train.txt"
    examples = read_examples(task, path)
    dev_ids = {tuple(line.split("\t")[:2]) for line in read_lines(folder / "mrpc_dev_ids.tsv")}
    rows = (line.split("\t") for line in read_lines(path)[1:])
    is_dev = [(row[1], row[2]) in dev_ids for row in rows]
    return [e for e, dev in zip(examples, is_dev, strict=True) if dev == (split == "dev")]
