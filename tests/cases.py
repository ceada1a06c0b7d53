"""What many tests run on: both levels of the operations, both precisions, the public sizes."""

import numpy as np
import pytest
from hypothesis import strategies as st

from minibert import fused, ops
from minibert.config import BertConfig

LEVELS = [pytest.param(ops, id="ops"), pytest.param(fused, id="fused")]
DTYPES = [pytest.param(np.float64, id="float64"), pytest.param(np.float32, id="float32")]
SEEDS = st.integers(0, 2**32 - 1)

MINILM = BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536)
BERT_BASE = BertConfig()
BERT_LARGE = BertConfig(
    hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
)
# Devlin et al. 2018 speak of 110M and 340M. Here to the last one, with the pooler:
# (configuration, parameters, those of the LayerNorms among them).
PARAMETERS = [
    pytest.param(MINILM, 22_713_216, 9_984, id="MiniLM-L6"),
    pytest.param(BERT_BASE, 109_482_240, 38_400, id="BERT-base"),
    pytest.param(BERT_LARGE, 335_141_888, 100_352, id="BERT-large"),
]

# What docs/methods.md says of the two recipes: (setting, paper, released-code).
RECIPE_TABLE = [
    ("adapter initialisation, std", "1e-2", "1e-3"),
    ("Adam's bias correction", "yes", "no"),
    ("Adam's epsilon", "1e-8", "1e-6"),
    ("weight decay (not on LayerNorms and biases)", "none", "0.01, decoupled"),
    ("largest global gradient norm", "none", "1.0"),
    ("learning rate after the warm-up", "falls from its peak", "falls from 0.9 of its peak"),
]


def precisions(float64: float, float32: float) -> list:
    """Parameters `dtype, tolerance`; why they are as large as they are is for the test to say."""
    return [
        pytest.param(np.float64, float64, id="float64"),
        pytest.param(np.float32, float32, id="float32"),
    ]
