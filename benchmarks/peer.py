"""The peers' side of `make compare`: transformers and AdapterHub on torch, ONNX Runtime, OpenVINO.

It runs in a virtual environment of its own, where `adapters` is AdapterHub's library, and never
imports this project.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    if work["what"].endswith(" predict"):
        return {
            "transformers predict": pipeline_predict,
            "onnxruntime predict": sorted_predict,
            "openvino predict": sorted_predict,
            "sentence-transformers predict": sentence_vectors,
        }[work["what"]](work)
    if work["what"] == "adapterhub train":
        return adapterhub_train(work)
    config = transformers.BertConfig(**work["config"])
    batches = [padded(texts) for texts in work["batches"]]
    return {
        "torch forward": torch_forward,
        "onnxruntime forward": onnx_forward,
        "openvino forward": openvino_forward,
        "openvino-bf16 forward": openvino_forward,
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
    model = transformers.BertModel(config).eval()
    with exported(model, batches[0], ["hidden", "pooled"]) as path:
        session = onnx_session(path, work)
    feeds = [arrays(batch) for batch in batches]

    def run() -> None:
        for feed in feeds:
            session.run(None, feed)

    return run


def openvino_forward(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """The same export in OpenVINO, with products in float32 or bfloat16."""
    model = transformers.BertModel(config).eval()
    with exported(model, batches[0], ["hidden", "pooled"]) as path:
        compiled = openvino_model(path, work)
    feeds = [arrays(batch) for batch in batches]

    def run() -> None:
        for feed in feeds:
            compiled(feed)

    return run


@contextmanager
def exported(model: Any, batch: Tensors, outputs: list[str]) -> Iterator[Path]:
    """The path of a model as an ONNX file, for any number of texts and tokens."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        axes = {name: {0: "texts", 1: "tokens"} for name in (*NAMES, "hidden")}
        torch.onnx.export(
            model,
            tuple(batch[name] for name in NAMES),
            path,
            input_names=list(NAMES),
            output_names=outputs,
            dynamic_axes={**axes, **{name: {0: "texts"} for name in outputs if name != "hidden"}},
            dynamo=False,
        )
        yield path


def onnx_session(path: Path, work: Work) -> Any:
    """An ONNX file in ONNX Runtime, with all graph optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = work["threads"]
    # a thread that spins between runs could take the processor from the other side
    options.add_session_config_entry("session.intra_op.allow_spinning", work["spinning"])
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def openvino_model(path: Path, work: Work) -> Any:
    """An ONNX file in OpenVINO, compiled for one batch at a time."""
    import openvino

    core = openvino.Core()
    return core.compile_model(
        core.read_model(path),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": work["threads"],
            "INFERENCE_PRECISION_HINT": "bf16" if "bf16" in work["what"] else "f32",
            "PERFORMANCE_HINT": "LATENCY",
        },
    )


def arrays(batch: Tensors) -> dict[str, np.ndarray]:
    """A batch for a runtime that is not torch."""
    return {name: batch[name].numpy() for name in NAMES}


NAMES = ("input_ids", "attention_mask", "token_type_ids")


def pipeline_predict(work: Work) -> Callable[[], None]:
    """transformers' own pipeline, in batches of 32, from texts to labels."""
    model = transformers.BertForSequenceClassification.from_pretrained(work["folder"]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(work["folder"])
    classify = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)

    def run() -> None:
        classify(work["texts"], batch_size=32, truncation=True, max_length=128)

    return run


def sentence_vectors(work: Work) -> Callable[[], None]:
    """sentence-transformers' own encode: it sorts the texts by length, in batches of 32."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    words = Transformer(work["folder"], max_seq_length=128)
    pooling = Pooling(words.get_word_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[words, pooling], device="cpu")

    def run() -> None:
        model.encode(work["texts"], batch_size=32, show_progress_bar=False)

    return run


def sorted_predict(work: Work) -> Callable[[], None]:
    """Texts tokenized, sorted by length, in batches of 32 through a runtime, to labels."""
    model = transformers.BertForSequenceClassification.from_pretrained(work["folder"]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(work["folder"])
    with exported(model, padded([[1, 2, 3]]), ["logits"]) as path:
        if work["what"].startswith("onnx"):
            session = onnx_session(path, work)
            logits = lambda feed: session.run(None, feed)[0]  # noqa: E731
        else:
            compiled = openvino_model(path, work)
            logits = lambda feed: compiled(feed)[0]  # noqa: E731

    def run() -> None:
        ids = tokenizer(work["texts"], truncation=True, max_length=128)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        labels = np.empty(len(ids), np.int64)
        for first in range(0, len(ids), 32):
            rows = order[first : first + 32]
            labels[rows] = logits(arrays(padded([ids[i] for i in rows]))).argmax(-1)

    return run


def torch_step(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """Full fine-tuning of transformers' classifier, one step for each batch."""
    model = transformers.BertForSequenceClassification(config)
    return steps(model, batches)


def adapterhub_step(config: Any, batches: list[Tensors], work: Work) -> Callable[[], None]:
    """A step of AdapterHub's Houlsby adapters for each batch."""
    model = transformers.BertForSequenceClassification(config)
    return steps(with_houlsby(model, work["size"]), batches)


def with_houlsby(model: Any, size: int) -> Any:
    """The model with AdapterHub's Houlsby adapters, all LayerNorms and the head trained, too."""
    import adapters

    adapters.init(model)
    reduction = model.config.hidden_size / size
    houlsby = adapters.DoubleSeqBnConfig(reduction_factor=reduction, non_linearity="gelu")
    model.add_adapter("task", config=houlsby)
    model.train_adapter("task")
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name or name.startswith("classifier"):
            parameter.requires_grad = True
        if name.startswith("bert.pooler"):
            parameter.requires_grad = False
    return model


def adapterhub_train(work: Work) -> Callable[[], None]:
    """A whole training of AdapterHub's: texts tokenized, batches of 32 in a new order each epoch,
    each padded to its longest text, and the dev texts scored after each epoch."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(work["folder"])
    loaded = transformers.BertForSequenceClassification.from_pretrained(work["folder"])

    def run() -> None:
        model = with_houlsby(copy.deepcopy(loaded), work["size"])
        train, dev = (
            tokenizer([one_or_two(text) for text in part], truncation=True, max_length=128)[
                "input_ids"
            ]
            for part in (work["texts"], work["dev"])
        )
        scored = [padded(dev[first : first + 32]) for first in range(0, len(dev), 32)]
        for _ in range(work["epochs"]):
            order = torch.randperm(len(train)).tolist()
            batches = [order[first : first + 32] for first in range(0, len(order), 32)]
            steps(model, [padded([train[i] for i in batch]) for batch in batches])()
            model.eval()
            with torch.inference_mode():
                for batch in scored:
                    model(**batch).logits.argmax(-1)

    return run


def one_or_two(text: Any) -> Any:
    """A text, or a pair as the tokenizer wants it: JSON has made a list of it."""
    return tuple(text) if isinstance(text, list) else text


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
