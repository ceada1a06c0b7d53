"""Adapters of AdapterHub and PEFT, and classifiers of transformers, as these libraries save them,
with their logits; and what they make of the files that minibert exports.

    python tests/goldens/exchange_goldens.py make          # exchange/NAME/..., exchange/logits.json
    python tests/goldens/exchange_goldens.py check FOLDER  # exported by export_with_minibert.py

Run it as a file, in an environment with `requirements.txt` installed and no PYTHONPATH: nothing
here imports minibert. The base is tiny/. README.md says more.
"""

import importlib.metadata
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is read from local files

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, BertTokenizer
from transformers.utils import logging as transformers_logging

import adapters  # AdapterHub's package, not this repository's folder
from adapters import AutoAdapterModel, DoubleSeqBnConfig, ParBnConfig, SeqBnConfig

HERE = Path(__file__).resolve().parent
BASE, OUT = HERE / "tiny", HERE / "exchange"
TEXTS: list[Any] = json.loads((HERE / "tiny_texts.json").read_text())["texts"]
NAMES = {2: ["negative", "positive"], 3: ["no", "maybe", "yes"]}
LAYER = r".*layer\.[01]\."

# name: (the adapter's settings, how many labels, the head's settings)
ONE_LAYER = {"layers": 1, "activation_function": None, "use_pooler": True}
ADAPTERHUB: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "houlsby": (DoubleSeqBnConfig(), 2, {}),
    "houlsby-paper": (
        DoubleSeqBnConfig(reduction_factor=4, non_linearity="gelu_new", init_weights="houlsby"),
        3,
        ONE_LAYER,
    ),
    "houlsby-by-layer": (
        DoubleSeqBnConfig(reduction_factor={"1": 2, "default": 5.5}, non_linearity="gelu"),
        2,
        {"layers": 1, "use_pooler": False},
    ),
    "houlsby-left-out": (DoubleSeqBnConfig(leave_out=[0], non_linearity="tanh"), 1, ONE_LAYER),
    "attention-only": (DoubleSeqBnConfig(output_adapter=False, scaling=2.5), 3, {}),
    "pfeiffer": (SeqBnConfig(), 2, ONE_LAYER),
    "pfeiffer-both": (SeqBnConfig(mh_adapter=True, reduction_factor=3, scaling=0.5), 1, {}),
    "pfeiffer-channel": (SeqBnConfig(scaling="channel", reduction_factor=8), 2, {}),
    "parallel": (ParBnConfig(), 2, {}),
    "parallel-both": (
        ParBnConfig(mh_adapter=True, scaling="learned", non_linearity="swish"),
        3,
        ONE_LAYER,
    ),
}
STATIC = "pfeiffer-static-head"
# name: (the settings, how many labels)
PEFT: dict[str, tuple[dict[str, Any], int]] = {
    "lora": ({}, 2),
    "lora-everywhere": (
        {
            "target_modules": ["query", "key", "value", "dense"],
            "exclude_modules": ["pooler.dense"],
            "r": 3,
            "lora_alpha": 7,
        },
        3,
    ),
    "lora-patterns": (
        {
            "target_modules": LAYER + r"(attention\.self\.key|intermediate\.dense|output\.dense)",
            "rank_pattern": {"layer.0.intermediate.dense": 2, r"layer\.1\.output\.dense": 5},
            "alpha_pattern": {r"attention\.self\.key": 3.5},
            "layers_to_transform": None,
        },
        2,
    ),
    "lora-stabilised": ({"use_rslora": True, "r": 4, "lora_alpha": 16}, 1),
    "lora-biases": ({"bias": "lora_only", "target_modules": ["value", "key"]}, 2),
    "lora-all-biases": ({"bias": "all", "r": 2}, 3),
    "lora-pooler": ({"modules_to_save": ["classifier", "pooler"]}, 2),
}
# name: which of the model's parameters are changed
WHOLE: dict[str, Callable[[str], bool]] = {
    "whole-full": lambda name: True,
    "whole-top": lambda name: "layer.1." in name,
    "whole-norms": lambda name: "LayerNorm" in name,
    "whole-biases": lambda name: name.endswith("bias"),
    "whole-head": lambda name: False,
}
TRAINED = ("houlsby", "pfeiffer", "lora")  # for some steps; all others are drawn


def batches() -> list[dict[str, torch.Tensor]]:
    """Each text by itself, without padding."""
    tokenizer = BertTokenizer.from_pretrained(BASE)
    pairs = ([text, None] if isinstance(text, str) else text for text in TEXTS)
    return [
        dict(tokenizer(first, second, truncation=True, max_length=40, return_tensors="pt"))
        for first, second in pairs
    ]


def logits_of(model: torch.nn.Module) -> np.ndarray:
    """The model's logits of all texts, [B, C]."""
    model.eval()
    with torch.no_grad():
        return np.concatenate([model(**batch).logits.numpy() for batch in batches()])


def change(model: torch.nn.Module, name: str, chosen: Callable[[str], bool]) -> None:
    """Train the chosen parameters for 20 steps on labels by chance, or draw them: N(0.05, 0.3)."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    parameters = [p for n, p in sorted(model.named_parameters()) if chosen(n)]
    for parameter in parameters:
        drawn = 0.05 + 0.3 * torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data + drawn if name.startswith("whole") else drawn
    if name in TRAINED:
        optimiser = torch.optim.Adam(parameters, 1e-2)
        for step in range(20):
            batch = batches()[step % len(TEXTS)]
            model(**batch, labels=torch.tensor([step % 2])).loss.backward()
            optimiser.step()
            optimiser.zero_grad()


def adapterhub(name: str) -> torch.nn.Module:
    """An adapter with its head, added, changed and saved."""
    settings, labels, head = ADAPTERHUB[name]
    model = AutoAdapterModel.from_pretrained(BASE)
    model.add_adapter(name, config=settings)
    id2label = dict(enumerate(NAMES[labels])) if labels > 1 else None
    model.add_classification_head(name, num_labels=labels, id2label=id2label, **head)
    model.train_adapter(name)
    model.set_active_adapters(name)
    change(model, name, lambda n: f".{name}." in n)
    model.save_adapter(str(OUT / name), name, with_head=True, use_safetensors=True)
    return model


def static(name: str) -> torch.nn.Module:
    """An adapter of AdapterHub on transformers' classifier, whose head has other names there."""
    model = classifier(3)
    adapters.init(model)
    model.add_adapter(name, config=SeqBnConfig(reduction_factor=4))
    model.train_adapter(name)
    model.set_active_adapters(name)
    change(model, name, lambda n: f".{name}." in n or n.startswith("classifier"))
    model.save_adapter(str(OUT / name), name, with_head=True, use_safetensors=True)
    return model


def classifier(labels: int) -> torch.nn.Module:
    """transformers' classifier on the base."""
    named: dict[str, Any] = {"num_labels": labels}
    if labels > 1:
        named = {"id2label": dict(enumerate(NAMES[labels]))}
        named["label2id"] = {label: n for n, label in named["id2label"].items()}
    return AutoModelForSequenceClassification.from_pretrained(BASE, **named)


def peft(name: str) -> torch.nn.Module:
    """A LoRA, added, changed and saved."""
    settings, labels = PEFT[name]
    model = get_peft_model(classifier(labels), LoraConfig(task_type="SEQ_CLS", **settings))
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    change(model, name, lambda n: n in trained)
    config = model.peft_config["default"]
    if not isinstance(config.target_modules, str):  # a set, whose order would be one of chance
        config.target_modules = sorted(config.target_modules)
    model.save_pretrained(str(OUT / name))
    (OUT / name / "README.md").unlink()
    return model


def whole(name: str) -> torch.nn.Module:
    """A classifier, changed and saved."""
    model = classifier(2)
    change(model, name, lambda n: WHOLE[name](n) or n.startswith("classifier"))
    model.save_pretrained(OUT / name)
    return model


def make() -> None:
    """Write everything into exchange/."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    logits = {}
    made = ((adapterhub, ADAPTERHUB), (static, [STATIC]), (peft, PEFT), (whole, WHOLE))
    for kind, names in made:
        for name in names:
            torch.manual_seed(0)  # the libraries' own initial values, replaced by `change`
            logits[name] = logits_of(kind(name)).tolist()
            for path in (OUT / name).rglob("*config.json"):  # nothing of this machine
                path.write_text(path.read_text().replace(str(BASE), "tiny"))
    (OUT / "logits.json").write_text(json.dumps(logits, indent=1) + "\n")
    print(f"{len(logits)} adapters and models in {OUT}")


def loaded(folder: Path, kind: str) -> torch.nn.Module:
    """What minibert exported, as the library loads it."""
    base = folder / "base" if (folder / "base").exists() else BASE
    if kind == "transformers":
        return AutoModelForSequenceClassification.from_pretrained(folder)
    if kind == "peft":
        settings = json.loads((folder / "logits.json").read_text())
        outputs = len(settings["logits"][0])
        model = AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=outputs)
        return PeftModel.from_pretrained(model, str(folder))
    model = AutoAdapterModel.from_pretrained(base)
    name = model.load_adapter(str(folder), use_safetensors=True)
    model.set_active_adapters(name)
    return model


def check(exported: Path) -> None:
    """Compare the logits of everything exported with minibert's own; print the table."""
    rows, worst = [], 0.0
    for path in sorted(exported.glob("*/logits.json")):
        about = json.loads(path.read_text())
        ours, theirs = np.array(about["logits"]), logits_of(loaded(path.parent, about["format"]))
        error = float(np.abs(ours - theirs).max())
        worst = max(worst, error)
        rows.append(f"| {path.parent.name} | {about['format']} | {about['method']} | {error:.1e} |")
    versions = ("torch", "transformers", "adapters", "peft", "safetensors")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in versions) + "\n")
    print("| task | format | method | largest difference of a logit |\n|---|---|---|---:|")
    print("\n".join(rows))
    if worst > 2e-5 or not rows:
        sys.exit(f"the largest difference is {worst:.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers_logging.set_verbosity_error()
    logging.getLogger("adapters").setLevel(logging.ERROR)
    command, *folders = sys.argv[1:] or [""]
    if command == "make":
        make()
    elif command == "check" and len(folders) == 1:
        check(Path(folders[0]))
    else:
        sys.exit(__doc__)
