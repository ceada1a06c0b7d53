"""A BERT encoder in NumPy that can be read in an afternoon. Start with `ops` and `model`."""

from minibert.machine.processor import choose_kernels

KERNELS = choose_kernels()  # before anything below imports NumPy: OpenBLAS decides while it loads

from minibert.checkpoint import Base, load_base
from minibert.config import BertConfig, read_config
from minibert.errors import InputError
from minibert.model import encode, pool
from minibert.tokenizer import encode_texts, make_batch

__version__ = "0.1.0"
__all__ = [
    "Base",
    "BertConfig",
    "InputError",
    "encode",
    "encode_texts",
    "load_base",
    "make_batch",
    "pool",
    "read_config",
]
