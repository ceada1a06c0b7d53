"""Adapters in and out: the files of AdapterHub, PEFT and transformers, read and written without any
of them. `importing` and `exporting` are the two ways; each format has its file."""

from minibert.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    "adapters.exchange",
    {
        "exporting": "export_adapter",
        "importing": "Wanted import_adapter",
        "push": "push_task",
    },
)
