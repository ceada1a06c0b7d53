"""The examples in the help of the `minibert` command. A test runs the Python ones."""

OVERVIEW = """examples:
  minibert fetch minilm rte
  minibert train --task rte --base minilm --method adapters --size 64
  minibert train reviews.csv --text review --label stars
  minibert predict runs/sst-2-adapters/task.safetensors "What a lovely day."
  minibert info minilm

Every command has its own page: minibert COMMAND --help
"""

_OPEN = """\
  from adapters import load_task
  from minibert import load_base, locate_model
  base = load_base(locate_model("minilm"))
  task = load_task("runs/rte-adapters/task.safetensors")
"""

# command: (in the shell, the same in Python)
EXAMPLES: dict[str, tuple[str, str]] = {
    "fetch": (
        "  minibert fetch minilm rte sst-2\n",
        "  from minibert import fetch_model, fetch_task\n"
        '  fetch_model("minilm")\n'
        '  fetch_task("rte")\n',
    ),
    "train": (
        "  minibert train --task rte\n"
        "  minibert train --task sst-2 --sample --epochs 3\n"
        "  minibert train reviews.csv --text review --label stars --stop-after 2\n",
        "  from adapters import method_named, train_task\n"
        "  from minibert import Settings, glue_data, load_base, locate_model\n"
        '  base, data = load_base(locate_model("minilm")), glue_data("rte")\n'
        "  settings = Settings(rate=1e-3, epochs=5, seed=0)\n"
        '  method = method_named("adapters", 64)\n'
        '  trained = train_task(base, data, method, settings, out="runs/rte-adapters")\n'
        "  print(trained.epochs)\n",
    ),
    "search": (
        "  minibert search --task rte\n"
        "  minibert search reviews.csv --text review --label stars\n"
        "  minibert search --task sst-2 --sample --rates 1e-3 3e-3 --sizes 16 64 --top-layers 3\n",
        "  from adapters import grid, method_named, search_task\n"
        "  from minibert import Settings, glue_data, load_base, locate_model\n"
        '  base, data = load_base(locate_model("minilm")), glue_data("rte")\n'
        "  settings = Settings(rate=1e-3, epochs=5, seed=0)\n"
        '  ways = grid(method_named("adapters"), base.config, settings)\n'
        '  found = search_task(base, data, ways, "runs/rte-search")\n'
        "  print(found.configurations[found.winner], found.tried[found.winner].best)\n",
    ),
    "evaluate": (
        "  minibert evaluate runs/rte-adapters/task.safetensors\n"
        "  minibert evaluate runs/rte-adapters/task.safetensors --data other.tsv\n",
        "  from adapters import evaluate_task\n"
        "  from minibert.data.glue import glue_examples\n"
        + _OPEN
        + '  print(evaluate_task(task, base, glue_examples(task.task, "dev")))\n',
    ),
    "predict": (
        '  minibert predict runs/sst-2-adapters/task.safetensors "What a lovely day."\n'
        '  minibert predict runs/rte-adapters/task.safetensors --pair "It rains." "It is wet."\n'
        "  minibert predict runs/sst-2-adapters/task.safetensors --json < reviews.txt\n"
        "  minibert predict runs/reviews-adapters/task.safetensors --input new.csv --text review "
        "--output scored.csv\n"
        "  minibert predict runs/reviews-adapters/task.safetensors --input new.csv --text review "
        "--output scored.csv --cluster tcp://HOST:8786\n",
        "  from adapters import predict_texts\n"
        "  from minibert.heads import probabilities\n"
        + _OPEN
        + '  logits = predict_texts(task, base, [("It rains.", "It is wet.")])\n'
        "  print(task.task.names, probabilities(logits))\n",
    ),
    "embed": (
        '  minibert embed "It rains." "It is wet." --normalize\n'
        "  minibert embed --input reviews.txt --output vectors.npy\n"
        "  minibert embed --pooling cls --max-length 128 < reviews.txt\n",
        "  from adapters import embed_texts\n"
        "  from minibert import load_base, locate_model\n"
        '  base = load_base(locate_model("minilm"))\n'
        '  vectors = embed_texts(base, ["It rains.", "It is wet."], normalize=True)\n'
        "  print(vectors.shape, vectors[0] @ vectors[1])\n",
    ),
    "import": (
        "  minibert import downloads/rotten_tomatoes --out rotten.safetensors --base minilm\n"
        "  minibert import org/my-adapter --out mine.safetensors --task mrpc --pairs\n",
        "  from adapters.exchange import import_adapter\n"
        "  from minibert import load_base, locate_model\n"
        '  base = load_base(locate_model("minilm"))\n'
        '  print(import_adapter("downloads/rotten_tomatoes", base, out="rotten.safetensors"))\n',
    ),
    "export": (
        "  minibert export runs/rte-lora/task.safetensors rte-lora --format peft\n"
        "  minibert export runs/rte-adapters/task.safetensors rte --format adapterhub "
        "--merge-base\n",
        "  from adapters.exchange import export_adapter\n"
        + _OPEN
        + '  export_adapter(task, base, "rte", "adapterhub", merge_base=True)\n',
    ),
    "push": (
        "  minibert push runs/rte-adapters/task.safetensors org/rte-minilm --licence apache-2.0\n",
        "  from adapters.exchange import push_task\n"
        "  from minibert import load_base, locate_model\n"
        '  base, path = load_base(locate_model("minilm")), "runs/rte-adapters/task.safetensors"\n'
        '  push_task(path, base, "org/rte-minilm", "apache-2.0")\n',
    ),
    "info": (
        "  minibert info minilm --method adapters --size 8\n"
        "  minibert info runs/rte-adapters/task.safetensors\n",
        _OPEN + "  print(base)\n  print(task)\n",
    ),
    "reproduce": (
        "  minibert reproduce --sample\n"
        "  minibert reproduce table1 ablation --budget full --workers 2\n"
        "  minibert reproduce table2 --data my-tasks --seeds 3\n"
        "  minibert reproduce --budget paper --base bert-base-uncased --cluster tcp://HOST:8786\n",
        "  from pathlib import Path\n"
        "  from adapters.reproduce.pipeline import make_plan, studies_named, sweep_studies\n"
        "  from adapters.reproduce.pipeline import write_reports\n"
        "  from adapters.reproduce.plans.budgets import budget_named\n"
        "  from adapters.reproduce.sweep.workers import Workers\n"
        '  plan = make_plan(budget_named("quick"), "minilm", seeds=1, sample=True)\n'
        '  studies, folder = studies_named(["extensions"]), Path("results/mine")\n'
        "  runs = sweep_studies(studies, plan, folder, Workers(processes=2))\n"
        "  print(write_reports(studies, plan, runs, folder))\n",
    ),
    "exercises": (
        "  minibert exercises start my-exercises\n"
        "  minibert exercises my-exercises\n"
        "  minibert exercises hint 3 --in my-exercises\n"
        "  minibert exercises grade my-exercises --json\n"
        "  minibert exercises grade submissions/*/ --table class.html\n",
        "  from adapters.exercises.grade import grade\n"
        "  from adapters.exercises.workbook import start\n"
        '  start("my-exercises")\n'
        '  print(grade("my-exercises"))\n',
    ),
    "tutorials": (
        "  minibert tutorials start my-tutorials\n  python my-tutorials/07_the_adapter.py\n",
        "  from adapters.tutorials.start import start\n"
        '  print(len(start("my-tutorials")), "files")\n',
    ),
    "doctor": (
        "  minibert doctor\n  minibert doctor --json\n",
        "  from minibert.machine.doctor import diagnose\n  print(diagnose())\n",
    ),
    "demo": (
        "  minibert demo\n",
        "  from pathlib import Path\n"
        "  from adapters.cli.demo import demo\n"
        '  demo(Path("runs/demo"))\n',
    ),
}


def python_lines(command: str) -> str:
    """The Python of a command's help, ready to be run."""
    return "\n".join(line.removeprefix("  ") for line in EXAMPLES[command][1].splitlines())
