"""A BERT encoder in NumPy that can be read in an afternoon. Start with `ops` and `model`."""

from minibert.start_folder import is_command, leave_out

if is_command():
    leave_out()  # before any other import

from minibert.process import ctrl_c

if is_command():
    ctrl_c.watch()

from minibert.adapters_folder import check_mixed
from minibert.lazy import lazy

# before all other modules: it loads NumPy with the kernels that suit the processor
from minibert.machine.processor import KERNELS  # noqa: F401

if not is_command():
    check_mixed()

__version__ = "0.1.0"
__all__, __getattr__, __dir__ = lazy(
    "minibert",
    {
        "batch": "Batch make_batch",
        "checkpoint": "Base load_base",
        "config": "BertConfig read_config",
        "data.glue": "glue_data",
        "data.squad": "squad_data",
        "data.own": "own_data",
        "data.tasks": "Data Example",
        "errors": "Diverged InputError",
        "fetch.datasets": "fetch_squad fetch_task",
        "fetch.models": "fetch_model locate_model",
        "heads": "probabilities",
        "model": "encode pool",
        "tokenizer": "encode_texts",
        "training.schedule": "Settings",
    },
)
