"""`minibert demo`: the whole path in a few minutes, on real weights, and on real data if they can
be fetched."""

import shlex
import shutil
import time
from pathlib import Path

from adapters.finetune import train_task
from adapters.learning_curve import learning_curve
from adapters.methods.table import method_named
from adapters.predict import predict_texts
from adapters.progress import Progress
from adapters.recipes import recipe_named
from adapters.show import constant_name, facts, table, trained_table
from adapters.task_file import load_task
from adapters.task_model import new_task_model
from adapters.train_data import subset
from minibert.checkpoint import load_base
from minibert.data.glue import glue_data
from minibert.data.tasks import Data
from minibert.errors import InputError
from minibert.fetch.datasets import fetch_task, find_task
from minibert.fetch.models import fetch_model
from minibert.heads import probabilities
from minibert.training.schedule import Settings

TASK, EXAMPLES = "sst-2", 1500
# the pooled vectors of this base are small, so a good head needs large weights: a high rate
RATES = {"adapters": 1e-3, "head": 1e-1}
SENTENCES = (
    "The soup was cold and the waiter could not have cared less.",
    "I have read it three times and will read it again.",
    "Nothing about the second half justified the price of the ticket.",
)


def demo_data() -> Data:
    """SST-2, fetched if necessary, or else the project's own sample."""
    try:
        if find_task(TASK) is None:
            fetch_task(TASK)
        data = glue_data(TASK)
    except InputError as error:
        print(f"GLUE's SST-2 is not available ({error}); using minibert's own sample.")
        return glue_data(TASK, sample=True)
    return subset(data, min(EXAMPLES, len(data.train)), seed=0)


def demo(out: Path) -> None:
    """Train adapters and, to compare, the head alone; save, reload and use the adapters.

    A demo that was stopped is resumed; a finished one in `out` is replaced. Raises InputError when
    the weights cannot be fetched.
    """
    started = time.monotonic()
    picture = out / "curve.png"
    if picture.exists():  # it is written last
        for name in RATES:
            shutil.rmtree(out / name, ignore_errors=True)
        picture.unlink()
    base = load_base(fetch_model("minilm"))
    data = demo_data()
    examples = f"{len(data.train):,} training and {len(data.dev):,} dev examples"
    weights = f"{base.folder}, sha256 {base.sha256[:12]}..."
    print(facts([("weights", weights), ("data", f"{data.source}: {examples}")]))
    recipe, outputs = recipe_named("paper"), data.task.outputs
    model = new_task_model(base, method_named("adapters"), recipe, outputs, seed=0)
    print(f"\n{trained_table(model)}\n", flush=True)

    # the sample is small: about the same number of steps from smaller batches and more epochs
    epochs, batch_size = (4, 32) if len(data.train) >= EXAMPLES else (12, 16)
    runs, metric = {}, data.task.metrics[0]
    for name, rate in RATES.items():
        settings = Settings(rate=rate, epochs=epochs, batch_size=batch_size)
        progress = Progress(name)
        try:
            runs[name] = train_task(
                base,
                data,
                method_named(name),
                settings,
                out=out / name,
                resume=True,
                on_report=progress,
            )
        finally:
            progress.close()
    constant = runs["adapters"].constant
    rows = [
        ("adapters, LayerNorms and head", runs["adapters"].task.results[metric]),
        ("head only", runs["head"].task.results[metric]),
        (f"nothing ({constant_name(data.task)})", constant[metric]),
    ]
    headers = ("trained", f"dev {metric} (%)")
    print(f"\n{table([(what, f'{100 * value:.1f}') for what, value in rows], headers)}")

    curves = {name: (run.losses, run.epochs) for name, run in runs.items()}
    learning_curve(picture, curves, f"{data.source}\non {base.name.partition('@')[0]}", constant)
    path = out / "adapters" / "task.safetensors"
    print(f"\nadapter file    {path} ({path.stat().st_size / 1e6:.2f} MB)")
    print(f"learning curve  {picture}")
    print("\nThree predictions by the adapter, read back from its file:")
    task = load_task(path)
    for sentence, row in zip(SENTENCES, predict_texts(task, base, SENTENCES), strict=True):
        chances = probabilities(row)
        print(f"  {task.task.names[int(chances.argmax())]:8} {chances.max():.2f}  {sentence}")
    print(f"\n{time.monotonic() - started:.0f} s in all. Try your own:")
    print(f'  minibert predict {shlex.quote(str(path))} "A TEXT"')
