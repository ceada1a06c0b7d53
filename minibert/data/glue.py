"""Where a task's examples come from: real GLUE, the project's own sample, or a user's own files."""

from pathlib import Path

from minibert.data.tables import read_examples, read_lines
from minibert.data.tasks import GLUE, Data, Example, Task, glue_task
from minibert.errors import InputError
from minibert.fetch.datasets import find_task

SAMPLE = Path(__file__).parent / "samples"
SAMPLE_TASKS = ("sst-2", "cola", "rte", "sts-b")


def glue_data(name: str, sample: bool = False) -> Data:
    """A GLUE task's real data, fetched before, or with `sample` the project's own small stand-in.

    Raises InputError, saying how to get the data, when they are missing.
    """
    task = glue_task(name)
    train, dev = (glue_examples(task, split, sample) for split in ("train", "dev"))
    own = f"minibert's own sample in the format of {task.folder} (not the GLUE data)"
    return Data(task, train, dev, own if sample else f"GLUE {task.folder}")


def glue_examples(task: Task, split: str, sample: bool = False) -> list[Example]:
    """One split of a GLUE task, real or sample. Raises InputError as `glue_data` does, and for a
    task that is not one of GLUE's."""
    if task.name not in GLUE or not task.folder:  # a user's own files may have a GLUE task's name
        raise InputError(f"{task.name} is no GLUE task; name a file with --data")
    if sample:
        if task.name not in SAMPLE_TASKS:
            raise InputError(f"the sample has no {task.name}; it has {', '.join(SAMPLE_TASKS)}")
        return read_split(task, SAMPLE / task.folder, split)
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
    made = all((folder / name).exists() for name in task.files.values())
    if task.name == "mrpc" and not made:
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
