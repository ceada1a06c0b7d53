"""Train a small adapter with AdapterHub's library on the plain reviews, for tutorial 21: Houlsby's,
m = 4, on MiniLM, and its head; with the logits that it has there of the dev sentences, one sentence
at a time.

    python tests/goldens/train_with_adapterhub.py MINILM_FOLDER

Like the other scripts here it needs `requirements.txt`, and no PYTHONPATH. A minute on 2 cores.
"""

import csv
import json
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer

from adapters import AutoAdapterModel, DoubleSeqBnConfig

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "minibert" / "data" / "samples" / "reviews"
OUT = ROOT / "tutorials" / "adapterhub"
NAME, EPOCHS, BATCH, RATE = "reviews", 6, 16, 3e-3


def examples(part: str) -> list[tuple[str, int]]:
    """(sentence, label) of the project's own reviews."""
    with (DATA / f"{part}.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row["sentence"], int(row["label"])) for row in rows]


def main(base: str) -> None:
    """Train, print the dev accuracy, save."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoAdapterModel.from_pretrained(base)
    settings = DoubleSeqBnConfig(
        reduction_factor=96, non_linearity="gelu_new", init_weights="houlsby"
    )
    model.add_adapter(NAME, config=settings)
    names = {0: "negative", 1: "positive"}
    model.add_classification_head(
        NAME, num_labels=2, layers=1, activation_function=None, use_pooler=True, id2label=names
    )
    model.train_adapter(NAME)
    train, dev = examples("train"), examples("dev")
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], RATE)
    steps = EPOCHS * (len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in range(EPOCHS):
        model.train()
        order = torch.randperm(len(train)).tolist()
        for start in range(0, len(train) - BATCH + 1, BATCH):
            batch = [train[i] for i in order[start : start + BATCH]]
            texts = tokenizer([text for text, _ in batch], return_tensors="pt", padding=True)
            labels = torch.tensor([label for _, label in batch])
            model(**texts, labels=labels).loss.backward()
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
    model.eval()
    with torch.no_grad():
        encoded = (tokenizer(text, return_tensors="pt") for text, _ in dev)
        logits = torch.cat([model(**text).logits for text in encoded])
    right = sum(int(row.argmax()) == label for row, (_, label) in zip(logits, dev, strict=True))
    print(f"dev accuracy {100 * right / len(dev):.1f} ({right} of {len(dev)})")
    OUT.mkdir(parents=True, exist_ok=True)
    rows = ",\n".join(json.dumps(row) for row in logits.tolist())
    (OUT / "logits.json").write_text(f"[\n{rows}\n]\n")
    model.save_adapter(str(OUT), NAME, with_head=True, use_safetensors=True)
    for path in OUT.glob("*config.json"):  # the public name, not this machine's folder
        about = json.loads(path.read_text()) | {
            "model_name": "sentence-transformers/all-MiniLM-L6-v2"
        }
        path.write_text(json.dumps(about, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
