"""The adapters of Houlsby et al. 2019: everything that is trained per task. Start with
`methods.bottleneck`. (Not AdapterHub's library of the same name; see the README.)"""

from typing import TYPE_CHECKING

import minibert  # noqa: F401  chooses NumPy's kernels, before any module here imports NumPy
from minibert.lazy import lazy

if TYPE_CHECKING:
    from adapters.answering import answer_questions, train_squad
    from adapters.bank import Bank
    from adapters.finetune import Trained, subset, train_task
    from adapters.methods.method import Method
    from adapters.methods.table import METHODS, layer_span, method_named, top_layers
    from adapters.predict import evaluate_task, predict_texts
    from adapters.recipes import recipe_named
    from adapters.task_file import TaskFile, load_task, on_base, save_task
    from adapters.task_model import TaskModel, forward, new_task_model

PROJECT = "minibert"
__all__ = [
    "METHODS",
    "Bank",
    "Method",
    "TaskFile",
    "TaskModel",
    "Trained",
    "answer_questions",
    "evaluate_task",
    "forward",
    "layer_span",
    "load_task",
    "method_named",
    "new_task_model",
    "on_base",
    "predict_texts",
    "recipe_named",
    "save_task",
    "subset",
    "top_layers",
    "train_squad",
    "train_task",
]

__getattr__ = lazy(
    "adapters",
    {
        "METHODS": "adapters.methods.table",
        "Bank": "adapters.bank",
        "Method": "adapters.methods.method",
        "TaskFile": "adapters.task_file",
        "TaskModel": "adapters.task_model",
        "Trained": "adapters.finetune",
        "answer_questions": "adapters.answering",
        "evaluate_task": "adapters.predict",
        "forward": "adapters.task_model",
        "layer_span": "adapters.methods.table",
        "load_task": "adapters.task_file",
        "method_named": "adapters.methods.table",
        "new_task_model": "adapters.task_model",
        "on_base": "adapters.task_file",
        "predict_texts": "adapters.predict",
        "recipe_named": "adapters.recipes",
        "save_task": "adapters.task_file",
        "subset": "adapters.finetune",
        "top_layers": "adapters.methods.table",
        "train_squad": "adapters.answering",
        "train_task": "adapters.finetune",
    },
)
