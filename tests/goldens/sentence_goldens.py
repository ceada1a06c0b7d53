"""Goldens of sentence vectors: sentence-transformers with the files of all-MiniLM-L6-v2."""

from pathlib import Path

import numpy as np
from minilm_goldens import CASES
from sentence_transformers import SentenceTransformer, models

# odd single texts, from none to twice as long as what is read
TEXTS = [text for text, _ in CASES if isinstance(text, str)][::2]
MAX_LENGTH = 256  # the hub's sentence_bert_config.json for this model


def make_sentences(out: Path, folder: Path) -> None:
    """Write sentences.npz: the texts and their vectors, in float32 as people compute them."""
    transformer = models.Transformer(str(folder), max_seq_length=MAX_LENGTH)
    size = transformer.get_embedding_dimension()

    def vectors(pooling: str, normalize: bool) -> np.ndarray:
        model = SentenceTransformer(
            modules=[transformer, models.Pooling(size, pooling_mode=pooling)], device="cpu"
        )
        return model.encode(TEXTS, normalize_embeddings=normalize, batch_size=8)

    made = {
        "mean": vectors("mean", False),
        "normalized": vectors("mean", True),
        "cls": vectors("cls", False),
    }
    assert all(array.dtype == np.float32 for array in made.values())
    np.savez_compressed(out / "sentences.npz", texts=np.array(TEXTS), **made)
    print(f"{len(TEXTS)} texts, vectors of {size} numbers")
