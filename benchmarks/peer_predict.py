"""One sentence through transformers, from a cold start; the counterpart of `minibert predict`.

python peer_predict.py FOLDER TEXT
"""

import sys

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

folder, text = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = BertForSequenceClassification.from_pretrained(folder).eval()
with torch.inference_mode():
    logits = model(**tokenizer(text, return_tensors="pt")).logits
print(logits.softmax(-1).tolist())
