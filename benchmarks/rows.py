"""What `make compare` measures, row by row, with the figure that each should reach."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from jobs import (
    STEP,
    WORK,
    Job,
    Setup,
    against,
    cold_start,
    hyperparameters,
    loading,
    many_tasks,
    share,
    streamed,
    texts_to_labels,
    texts_to_vectors,
    top,
    whole_training,
)
from texts import MODELS, TITLES


@dataclass(frozen=True)
class Row:
    """One comparison. `figure`: a key of `records.FIGURES`; `wanted`: its bound, None for a figure
    that is only reported; `how`: how the processes are started; `weight`: about the seconds of a
    round on 2 cores, for the progress bar."""

    name: str
    title: str
    peer: str
    figure: str
    wanted: float | None
    weight: float
    job: Callable[[Setup], Job] = field(repr=False)
    how: str = "turns"
    kernels: str | None = None


def _against(
    name: str,
    texts: str,
    work: str,
    peer: str,
    wanted: float | None,
    weight: float,
    kernels: str = "",
) -> Row:
    """A work compared with a peer's. (Seven arguments, so that TABLE has a row on each line.)"""
    model = "minilm" if name.startswith("minilm") else "bert-base"
    job = partial(against, model, texts, WORK[work][0], peer, kernels or None)
    words = {"rte": "RTE sentences", "sst-2": "SST-2 sentences"}
    title = f"{TITLES[model]} {work}, {words.get(texts, texts.replace('x', ' x '))}"
    shown = {
        "onnxruntime": "ONNX Runtime",
        "openvino": "OpenVINO",
        "openvino-bf16": "OpenVINO, bf16",
        "torch": "torch",
        "adapterhub": "AdapterHub",
    }
    if kernels:
        title += " (AVX2)"
    return Row(
        name, title, shown[peer.split()[0]], "speed", wanted, weight, job, kernels=kernels or None
    )


def _share(name: str, work: str, wanted: float | None, weight: float) -> Row:
    job = partial(share, "bert-base", "32x128", work)
    title = {"forward": "all hidden states"}.get(work, work)
    return Row(
        name, f"BERT-base {title}, 32 x 128: share of sgemm", "sgemm", "share", wanted, weight, job
    )


def _top(k: int) -> Row:
    layers = MODELS["minilm"].num_hidden_layers
    title = f"MiniLM epoch of the top {k} of {layers} layers, states cached"
    return Row(f"top-{k}", title, "not cached", "time", k / layers + 0.08, 14, partial(top, k))


def _tasks(
    name: str,
    title: str,
    how: str,
    other: str,
    wanted: float,
    weight: float,
    top: int | None = None,
) -> Row:
    """8 tasks on MiniLM, asked in two ways. (Seven arguments, as `_against`.)"""
    figure = "speed" if other == "AdapterHub" else "time"
    job = partial(many_tasks, how, other, top)
    return Row(name, f"MiniLM, 8 tasks: {title}", other, figure, wanted, weight, job)


ONNX, TORCH, HUB = "onnxruntime forward", "torch forward", "adapterhub step"
VINO, VINO16 = "openvino forward", "openvino-bf16 forward"
TABLE = [
    _against("base-forward-onnx", "32x128", "forward", ONNX, 1.15, 10),
    _against("base-forward-torch", "32x128", "forward", TORCH, 2.0, 15),
    _against("base-step", "32x128", "adapter step", HUB, 2.5, 36),
    _against("base-step-rte", "rte", "adapter step", HUB, 3.5, 58),
    _against("base-step-sst2", "sst-2", "adapter step", HUB, 3.5, 18),
    _against("base-full", "32x128", "full step", "torch step", 1.5, 60),
    _against("minilm-forward", "32x64", "forward", ONNX, 1.0, 2),
    _against("minilm-forward-vino", "32x64", "forward", VINO, None, 2),
    _against("minilm-forward-vino16", "32x64", "forward", VINO16, None, 2),
    _against("base-forward-vino", "32x128", "forward", VINO, None, 10),
    _against("base-forward-vino16", "32x128", "forward", VINO16, None, 10),
    _against("minilm-step", "32x64", "adapter step", HUB, 2.5, 5),
    _against("minilm-step-rte", "rte", "adapter step", HUB, 4.0, 30),
    _against("minilm-step-sst2", "sst-2", "adapter step", HUB, 4.0, 9),
    Row(
        "base-memory",
        "BERT-base adapter step, 32 x 128: peak memory",
        "AdapterHub",
        "memory",
        0.45,
        40,
        partial(against, "bert-base", "32x128", STEP, HUB, None),
        how="afresh",
    ),
    Row(
        "cold-start",
        "One sentence from a cold start, MiniLM",
        "transformers",
        "time",
        0.2,
        8,
        cold_start,
        how="commands",
    ),
    _against("base-forward-onnx-avx2", "32x128", "forward", ONNX, 0.9, 12, "Haswell"),
    _against("base-forward-torch-avx2", "32x128", "forward", TORCH, 1.1, 17, "Haswell"),
    _against("base-step-avx2", "32x128", "adapter step", HUB, 1.3, 42, "Haswell"),
    _share("share-classification", "classification", 0.80, 4),
    _share("share-forward", "forward", None, 4.5),
    _share("share-step", "adapter step", 0.72, 9),
    *(
        Row(
            f"predict-{name}",
            f"5,000 SST-2 sentences, text to label, MiniLM{how}",
            shown,
            "speed",
            wanted,
            weight,
            partial(texts_to_labels, peer, 5000),
        )
        for name, shown, how, peer, wanted, weight in (
            ("pipeline", "transformers", "; batches of 32", "transformers predict", 3.0, 60),
            ("onnx", "ONNX Runtime", "; sorted by length", "onnxruntime predict", 1.2, 25),
            ("openvino", "OpenVINO", "; sorted by length", "openvino predict", None, 25),
        )
    ),
    Row(
        "embed",
        "5,000 SST-2 sentences, text to sentence vector, MiniLM",
        "sentence-transformers",
        "speed",
        None,
        40,
        partial(texts_to_vectors, "sentence-transformers predict", 5000),
    ),
    *(
        Row(
            f"fast-{task}{'-hub' if other == 'AdapterHub' else ''}",
            f"MiniLM, a whole training with --fast, {name}",
            other,
            "time",
            wanted,
            weight,
            partial(whole_training, task, other),
        )
        for task, name in (("sst-2", "SST-2 sentences"), ("rte", "RTE sentences"))
        for other, wanted, weight in (("all layers", 0.35, 15), ("AdapterHub", 0.15, 30))
    ),
    _tasks("tasks-all", "992 texts by all", "together", "AdapterHub", 3.0, 100),
    _tasks("tasks-top", "992 texts by all, top 3 layers", "together", "one by one", 0.75, 60, 3),
    _tasks("tasks-mixed", "mixed batches of 32", "mixed", "AdapterHub", 3.0, 5),
    _tasks("tasks-mixed-one", "mixed batches of 32", "mixed", "one task", 1.15, 3),
    Row(
        "stream-speed",
        "1,000,000 rows of a table, tiny base: rows/s against 5,000",
        "5,000 rows",
        "speed",
        0.95,
        80,
        partial(streamed, 1_000_000, 5000),
    ),
    Row(
        "stream-memory",
        "1,000,000 rows of a table, tiny base: peak memory against 5,000",
        "5,000 rows",
        "memory",
        1.1,
        160,
        partial(streamed, 1_000_000, 5000),
        how="afresh",
    ),
    *(_top(k) for k in (1, 2, 3, MODELS["minilm"].num_hidden_layers)),
    *(
        Row(
            f"search-{epochs}",
            f"MiniLM, minibert search: 12 configurations in the top layers, {epochs} epochs",
            "12 single runs",
            "time",
            0.3,
            7 * epochs,
            partial(hyperparameters, epochs),
        )
        for epochs in (5, 9)
    ),
    Row(
        "load-seconds",
        "Loading BERT-base's weights (s)",
        "",
        "seconds",
        0.5,
        1,
        partial(loading, False),
    ),
    Row(
        "load-memory",
        "Loading BERT-base's weights: peak memory / file",
        "",
        "file",
        1.15,
        2,
        partial(loading, True),
        how="afresh",
    ),
]
QUICK = ("minilm-forward", "minilm-step", "minilm-step-sst2", "top-1", "cold-start")
