"""A BERT encoder in NumPy that can be read in an afternoon. Start with `ops` and `model`."""

from typing import TYPE_CHECKING

from minibert.lazy import lazy
from minibert.machine.processor import choose_kernels

KERNELS = choose_kernels()  # before anything imports NumPy: OpenBLAS decides while it loads

if TYPE_CHECKING:
    from minibert.batch import Batch, make_batch
    from minibert.checkpoint import Base, load_base
    from minibert.config import BertConfig, read_config
    from minibert.data.glue import glue_data
    from minibert.data.squad import squad_data
    from minibert.data.tables import own_data
    from minibert.data.tasks import Data, Example
    from minibert.errors import InputError
    from minibert.fetch.datasets import fetch_task
    from minibert.fetch.models import fetch_model, locate_model
    from minibert.model import encode, pool
    from minibert.parameters import random_params
    from minibert.tokenizer import encode_texts
    from minibert.training.schedule import Settings

__version__ = "0.1.0"
__all__ = [
    "Base",
    "Batch",
    "BertConfig",
    "Data",
    "Example",
    "InputError",
    "Settings",
    "encode",
    "encode_texts",
    "fetch_model",
    "fetch_task",
    "glue_data",
    "load_base",
    "locate_model",
    "make_batch",
    "own_data",
    "pool",
    "random_params",
    "read_config",
    "squad_data",
]

__getattr__ = lazy(
    "minibert",
    {
        "Base": "minibert.checkpoint",
        "Batch": "minibert.batch",
        "BertConfig": "minibert.config",
        "Data": "minibert.data.tasks",
        "Example": "minibert.data.tasks",
        "InputError": "minibert.errors",
        "Settings": "minibert.training.schedule",
        "encode": "minibert.model",
        "encode_texts": "minibert.tokenizer",
        "fetch_model": "minibert.fetch.models",
        "fetch_task": "minibert.fetch.datasets",
        "glue_data": "minibert.data.glue",
        "load_base": "minibert.checkpoint",
        "locate_model": "minibert.fetch.models",
        "make_batch": "minibert.batch",
        "own_data": "minibert.data.tables",
        "pool": "minibert.model",
        "random_params": "minibert.parameters",
        "read_config": "minibert.config",
        "squad_data": "minibert.data.squad",
    },
)
