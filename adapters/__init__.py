"""The adapters of Houlsby et al. 2019: everything that is trained per task. Start with
`methods.bottleneck`. (Not AdapterHub's library of the same name; see the README.)"""

import minibert  # noqa: F401  chooses NumPy's kernels, before any module here imports NumPy
from minibert.lazy import lazy

__all__, __getattr__, __dir__ = lazy(
    "adapters",
    {
        "answering": "answer_questions train_squad",
        "bank": "Bank",
        "cluster.frames": "predict_frame",
        "embed": "embed_texts",
        "estimators.classifier": "AdapterClassifier",
        "estimators.embedder": "SentenceEmbedder",
        "estimators.regressor": "AdapterRegressor",
        "fast": "fast_method",
        "finetune": "Trained train_task",
        "methods.table": "layer_span method_named top_layers",
        "predict": "evaluate_task predict_texts",
        "progress": "Progress",
        "recipes": "recipe_named",
        "report.judgement": "judge",
        "report.page": "About report_page",
        "run_folder": "RunOptions",
        "search.configurations": "Configuration grid",
        "search.halving": "search_task",
        "task_file": "TaskFile load_task on_base save_task",
        "task_model": "TaskModel new_task_model",
        "train_data": "split_dev subset",
    },
)
