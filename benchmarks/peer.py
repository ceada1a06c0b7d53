"""The peers' side of `make compare`: transformers and AdapterHub on torch, and ONNX Runtime.

It runs in a virtual environment of its own, where `adapters` is AdapterHub's library, and never
imports this project.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from worker import Work, serve

Tensors = dict[str, torch.Tensor]


def padded(texts: list[list[int]]) -> Tensors:
    """A batch as the peers need it: padded to its longest text, with a mask. [B, T] each"""
    longest = max(map(len, texts))
    ids = np.zeros((len(texts), longest), np.int64)
    mask = np.zeros((len(texts), longest), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "token_type_ids": torch.zeros(ids.shape, dtype=torch.long),
    }


def prepare(work: Work) -> Callable[[], None]:
    """The work as a function, with everything already built."""
    torch.set_num_threads(work["threads"])
    torch.manual_seed(0)
    if work["what"] == "torch sgemm":
        return sgemm(work["products"])
    config = transformers.BertConfig(**work["config"])
    batches = [padded(texts) for texts in work["batches"]]
    return {
        "torch forward": torch_forward,
        "onnxruntime forward": onnx_forward,
        "adapterhub step": adapterhub_step,
        "torch step": torch_step,
        "adapterhub tasks": adapterhub_tasks,
    }[work["what"]](config, batches, work)


def sgemm(number: int) -> Callable[[], None]:
    """This many float32 products of BERT-base's feed-forward size."""
    x, weight, out = torch.randn(4096, 768), torch.randn(768, 3072), torch.empty(4096, 3072)

    def run() -> None:
        for _ in range(number):
            torch.mm(x, weight, out=out)

    return run


def torch_forward(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """transformers in eager mode, with torch's scaled_dot_product_attention."""
    model = transformers.BertModel(config).eval()

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                model(**batch)

    return run


def onnx_forward(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """The same model exported to ONNX, in ONNX Runtime with all graph optimisations."""
    import onnxruntime

    model = transformers.BertModel(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            tuple(batches[0][name] for name in NAMES),
            path,
            input_names=list(NAMES),
            output_names=["hidden", "pooled"],
            dynamic_axes={name: {0: "texts", 1: "tokens"} for name in (*NAMES, "hidden")},
            dynamo=False,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = work["threads"]
        # a thread that spins between runs could take the processor from the other side
        options.add_session_config_entry("session.intra_op.allow_spinning", work["spinning"])
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = [{name: batch[name].numpy() for name in NAMES} for batch in batches]

    def run() -> None:
        for feed in feeds:
            session.run(None, feed)

    return run


NAMES = ("input_ids", "attention_mask", "token_type_ids")


def torch_step(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """Full fine-tuning of transformers' classifier, one step for each batch."""
    model = transformers.BertForSequenceClassification(config)
    return steps(model, batches)


def adapterhub_step(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """AdapterHub's Houlsby adapters, with all LayerNorms and the head trained, too."""
    import adapters

    model = transformers.BertForSequenceClassification(config)
    adapters.init(model)
    size = config.hidden_size / work["size"]
    houlsby = adapters.DoubleSeqBnConfig(reduction_factor=size, non_linearity="gelu")
    model.add_adapter("task", config=houlsby)
    model.train_adapter("task")
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name or name.startswith("classifier"):
            parameter.requires_grad = True
        if name.startswith("bert.pooler"):
            parameter.requires_grad = False
    return steps(model, batches)


def adapterhub_tasks(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """AdapterHub's ways to ask many tasks at once, with Houlsby adapters and a head for each:
    `Parallel`, all of them on every text, and `BatchSplit`, the texts of a batch divided."""
    from adapters.composition import BatchSplit, Parallel

    import adapters

    model = adapters.BertAdapterModel(config)
    size = config.hidden_size / work["size"]
    names = [str(number) for number in range(work["tasks"])]
    for name in names:
        houlsby = adapters.DoubleSeqBnConfig(reduction_factor=size, non_linearity="gelu")
        model.add_adapter(name, config=houlsby)
        model.add_classification_head(name, num_labels=2, layers=1, use_pooler=True)
    model.eval()
    if work["how"] == "together":
        model.set_active_adapters(Parallel(*names))
        model.active_head = names
    else:
        share = len(batches[0]["input_ids"]) // len(names)
        model.set_active_adapters(BatchSplit(*names, batch_sizes=[share] * len(names)))
        model.active_head = BatchSplit(*names, batch_sizes=[share] * len(names))

    def run() -> None:
        with torch.inference_mode():
            for batch in batches:
                model(**batch)

    return run


def steps(model: Any, batches: list[Tensors]) -> Callable[[], None]:
    """Forward, backward and Adam on every batch, with the configuration's dropout."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=1e-4)
    model.train()
    labels = [torch.arange(len(batch["input_ids"])) % 2 for batch in batches]

    def run() -> None:
        for batch, label in zip(batches, labels, strict=True):
            optimiser.zero_grad()
            model(**batch, labels=label).loss.backward()
            optimiser.step()

    return run


if __name__ == "__main__":
    serve(prepare)
