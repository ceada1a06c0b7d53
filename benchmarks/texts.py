"""The models and texts to measure with. Texts are lists of token ids, the same for all sides."""

from minibert.config import BertConfig
from minibert.data.glue import glue_data
from minibert.errors import InputError
from minibert.fetch.models import locate_model
from minibert.tokenizer import Text, encode_texts, load_tokenizer
from minibert.training.schedule import generator

Batches = list[list[list[int]]]  # [batch][text][token]

# Only the shapes matter: random weights are as fast as trained ones.
MODELS = {
    "tiny": BertConfig(
        vocab_size=199,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    ),
    "minilm": BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536),
    "bert-base": BertConfig(),
}
TITLES = {"tiny": "tiny", "minilm": "MiniLM", "bert-base": "BERT-base"}


def random_batch(texts: int, length: int, vocab: int, seed: int = 0) -> Batches:
    """One batch of random texts, all of one length."""
    ids = generator(seed, 0).integers(1, vocab, (texts, length))
    return [ids.tolist()]


def real_texts(task: str, number: int, seed: int = 0) -> tuple[list[Text], str]:
    """Training texts of a GLUE task, drawn with the seed, and their source: the real GLUE or, where
    that is missing, the project's own sample. Raises InputError when there are too few."""
    try:
        data = glue_data(task)
    except InputError:
        data = glue_data(task, sample=True)
    chosen = generator(seed, 0).permutation(len(data.train))[:number]
    if len(chosen) < number:
        raise InputError(f"{data.source}: has fewer than {number} training examples")
    return [data.train[i].text for i in chosen], data.source


def real_parts(task: str, train: int, dev: int) -> tuple[list[Text], list[Text], str]:
    """So many texts of a task's training set and of its dev set, and their source. Raises
    InputError without the real GLUE: the sample's dev sets are not like it."""
    data = glue_data(task)
    texts = [[example.text for example in part] for part in (data.train, data.dev)]
    return texts[0][:train], texts[1][:dev], data.source


def real_batches(task: str, number: int = 4) -> tuple[Batches, str]:
    """`real_texts` as token ids, at most 128 of each, in so many batches of 32, and their source.
    Raises InputError when MiniLM's tokenizer is missing."""
    size = 32
    texts, source = real_texts(task, number * size)
    encoded = encode_texts(load_tokenizer(locate_model("minilm")), texts, 128)
    ids = [text.ids.tolist() for text in encoded]
    return [ids[i : i + size] for i in range(0, len(ids), size)], source


def tokens(batches: Batches) -> int:
    """The number of real tokens in all batches; padding does not count."""
    return sum(len(text) for batch in batches for text in batch)
