"""One run of `minibert reproduce`: the same configuration gives the same result, and the result is
what Houlsby et al. 2019 measured, counted as they counted.

Everything runs on a random BERT of three small layers and the project's own sample sentences. The
scores themselves mean little; what is tested is that they are the right ones.
"""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TINY, minibert, works

import adapters.reproduce.sweep.learning as learning
import adapters.reproduce.sweep.one_task as one_task
import minibert.training.loop as loop
from adapters.answering import train_squad
from adapters.finetune import train_task
from adapters.joint import train_jointly
from adapters.methods.bottleneck import attach
from adapters.methods.method import Method, split
from adapters.methods.table import METHODS, layer_span, method_named, method_rows
from adapters.predict import encode_examples, evaluate_task, predict_logits, predict_texts
from adapters.recipes import RECIPES
from adapters.reproduce.plans.budgets import BUDGETS
from adapters.reproduce.plans.choices import top_layers, top_method
from adapters.reproduce.plans.plan import ADAPTERS, FULL, HEAD, Plan, sized
from adapters.reproduce.plans.plan import NORMS as NORMS_ONLY
from adapters.reproduce.studies import extensions, init_scale
from adapters.reproduce.studies.table1_rows import METHODS as TABLE1_METHODS
from adapters.reproduce.sweep.answers import unpacked
from adapters.reproduce.sweep.configured import Parts, base_of, method_of, parts_of, questions
from adapters.reproduce.sweep.learning import parameter_counts
from adapters.reproduce.sweep.one_run import execute
from adapters.reproduce.sweep.one_task import trained
from adapters.reproduce.sweep.run_sweep import run_sweep
from adapters.reproduce.sweep.runs_file import Config, append_run, read_runs, run_key
from adapters.reproduce.sweep.workers import Workers
from adapters.task_file import TaskFile, load_task, on_base, save_task
from adapters.task_model import TaskModel, new_task_model
from minibert import ops
from minibert.batch import make_batch
from minibert.checkpoint import Base
from minibert.config import BertConfig
from minibert.data.glue import glue_data
from minibert.data.metrics import METRICS
from minibert.data.tasks import GLUE
from minibert.errors import InputError, Interrupted
from minibert.heads import classify as class_logits
from minibert.model import ForwardPass, encode, pool
from minibert.parameters import parameter_shapes
from minibert.tensors import read_safetensors, write_safetensors
from minibert.training.schedule import Settings
from minibert.tree import Tree, count, from_leaves, leaves

D, F, LAYERS, VOCABULARY, POSITIONS = 32, 64, 3, 199, 64
NORMS = (2 * LAYERS + 1) * 2 * D
ATTENTION, FEED_FORWARD = 4 * (D * D + D), 2 * D * F + F + D
LAYER = ATTENTION + FEED_FORWARD + 4 * D
EMBEDDINGS = (VOCABULARY + POSITIONS + 2) * D
POOLER = D * D + D
ALL = EMBEDDINGS + 2 * D + LAYERS * LAYER + POOLER


def adapter(d: int, m: int) -> int:
    """Section 2.1: two projections and their biases."""
    return 2 * m * d + d + m


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Base:
    """The committed tiny BERT with a third layer: its first, with the rows reversed."""
    folder = tmp_path_factory.mktemp("bases") / "three-layers"
    folder.mkdir()
    tensors, _ = read_safetensors(TINY / "model.safetensors")
    third = {
        name.replace("layer.0.", "layer.2."): np.ascontiguousarray(values[::-1])
        for name, values in tensors.items()
        if "layer.0." in name
    }
    write_safetensors(folder / "model.safetensors", {**tensors, **third}, {"format": "pt"})
    config = json.loads((TINY / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": LAYERS}))
    (folder / "vocab.txt").write_bytes((TINY / "vocab.txt").read_bytes())
    return base_of(str(folder))


@pytest.fixture(scope="module")
def config(base) -> Config:
    """A run of a few seconds that changes the predictions: a high rate on a part of the sample."""
    return {
        "kind": "classify",
        "base": str(base.folder),
        "base_sha256": base.sha256,
        "task": "sst-2",
        "sample": "hard",  # on which so small a BERT's epochs differ
        "examples": 120,
        "dev_examples": 60,
        "validation": 0.2,
        "method": sized(4),
        "recipe": "paper",
        "rate": 3e-2,
        "epochs": 3,
        "batch_size": 32,
        "max_length": 48,
        "seed": 0,
    }


def files(folder: Path) -> list[str]:
    """The files in a folder, except checkpoints, which the sweep removes once it has recorded the
    run, and lock files, which stay empty."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    found = sorted(path.relative_to(folder).as_posix() for path in paths)
    return [path for path in found if not path.startswith("under-way/")]


class TestParts:
    """Rates and epochs are chosen on a part of the training set on which nothing is trained."""

    @pytest.mark.parametrize("task", ["sst-2", "cola", "rte"])
    def test_training_and_validation_part_are_disjoint_and_make_up_the_training_set(
        self, config, task
    ):
        whole = glue_data(task, sample=True)
        every = {"sample": True, "examples": None, "dev_examples": None}
        data, dev = parts_of({**config, "task": task, **every})
        assert len(data.dev) == round(0.2 * len(whole.train))
        assert len(data.train) + len(data.dev) == len(whole.train)
        assert sorted(map(repr, data.train + data.dev)) == sorted(map(repr, whole.train))
        assert dev == whole.dev

    def test_the_parts_come_from_the_drawn_examples_when_not_all_are_wanted(self, config):
        whole = glue_data("sst-2", sample="hard")  # in which no sentence is repeated
        data, dev = parts_of(config)
        assert (len(data.train), len(data.dev), len(dev)) == (96, 24, 60)
        drawn = {example.text for example in data.train + data.dev}
        assert len(drawn) == 120
        assert drawn < {example.text for example in whole.train}
        assert len({example.text for example in dev}) == 60
        assert {example.text for example in dev} < {example.text for example in whole.dev}

    def test_the_parts_are_the_same_for_every_seed_and_method(self, config):
        changed = {**config, "seed": 7, "method": {"name": "head"}, "rate": 1.0}
        assert parts_of(changed) == parts_of(config)

    def test_the_parts_do_not_follow_the_order_of_the_file(self, config):
        """As files may be sorted by label."""
        whole = glue_data("sst-2", sample="hard")
        data, _ = parts_of({**config, "examples": None})
        places = sorted(whole.train.index(example) for example in data.dev)
        assert max(places) - min(places) > len(whole.train) / 2


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """The result of the run, and the folder that it was computed in."""
    folder = tmp_path_factory.mktemp("finished")
    return execute(config, folder, 1), folder


@pytest.fixture
def done(config, finished, tmp_path) -> tuple[dict[str, Any], TaskFile]:
    """The run as if it had been computed in this test's folder: its result, and its task file."""
    result, folder = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return result, load_task(tmp_path / "tasks" / f"{run_key(config)}.safetensors")


class TestARun:
    def test_a_run_scores_the_dev_set_at_the_epoch_that_is_best_on_validation(
        self, config, base, done
    ):
        result, task = done
        data, dev = parts_of(config)
        first = [scores["accuracy"] for scores in result["validation"]]
        assert len(first) == 3
        assert len(set(first)) > 1
        assert result["best_epoch"] == first.index(max(first)) + 1
        assert first[-1] < max(first)  # so the last epoch cannot pass for the best
        assert evaluate_task(task, base, data.dev, 1) == {"accuracy": max(first)}
        assert result["dev"] == evaluate_task(task, base, dev, 1)
        assert result["examples"] == [96, 24, 60]
        assert result["dev"] != {"accuracy": max(first)}

    def test_a_run_keeps_the_class_that_it_gives_each_dev_example(self, config, base, done):
        result, task = done
        dev = parts_of(config)[1]
        one_by_one = [predict_texts(task, base, [example.text], 1)[0].argmax() for example in dev]
        answers = unpacked(result["answers"], "this run")
        assert answers.tolist() == one_by_one
        right = np.mean([a == example.label for a, example in zip(answers, dev, strict=True)])
        assert result["dev"] == {"accuracy": right}

    def test_a_run_has_the_score_of_always_guessing_the_training_parts_majority(self, config, done):
        data, dev = parts_of(config)
        labels = [example.label for example in data.train]
        majority = max(set(labels), key=labels.count)
        right = sum(example.label == majority for example in dev) / len(dev)
        assert done[0]["constant"] == {"accuracy": pytest.approx(right, abs=1e-12)}

    def test_a_run_reports_the_mean_loss_of_the_last_epoch(self, config, base, done):
        data, _ = parts_of(config)
        again = train_task(
            base, data, method_of(config), Settings(rate=3e-2, epochs=3), max_length=48, threads=1
        )
        assert len(again.losses) == 9
        assert done[0]["loss"] == pytest.approx(sum(again.losses[6:]) / 3, rel=1e-12)

    def test_a_run_leaves_nothing_but_a_small_task_file(self, config, done, tmp_path):
        assert files(tmp_path) == [f"tasks/{run_key(config)}.safetensors"]
        numbers = count(done[1].trained)
        assert numbers == NORMS + LAYERS * 2 * adapter(D, 4) + 2 * (D + 1)
        assert (tmp_path / files(tmp_path)[0]).stat().st_size < 4 * numbers + 20_000

    @pytest.mark.parametrize("method", ["full", "norms", "head"])
    def test_a_run_without_adapters_leaves_no_file(self, config, method, tmp_path):
        execute({**config, "method": {"name": method}, "epochs": 1}, tmp_path, 1)
        assert files(tmp_path) == []

    def test_a_result_is_json_serialisable(self, done):
        assert json.loads(json.dumps(done[0])) == done[0]

    @pytest.mark.parametrize("threads", [1, 2])
    def test_a_run_repeated_gives_the_same_bits(self, config, done, tmp_path, threads):
        assert execute(config, tmp_path / "again", threads) == done[0]
        name = f"tasks/{run_key(config)}.safetensors"
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()

    def test_a_run_depends_on_its_seed(self, config, done, tmp_path):
        other = execute({**config, "seed": 1}, tmp_path / "other", 1)
        assert other["loss"] != done[0]["loss"]

    @pytest.mark.parametrize("step", [1, 3, 4, 9])
    def test_a_run_stopped_while_training_resumes_to_the_same_bits(
        self, config, done, tmp_path, monkeypatch, step
    ):
        folder, calls, real = tmp_path / "stopped", [0], loop.batch_gradients

        def stop(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] == step:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(loop, "batch_gradients", stop)
        with pytest.raises(Interrupted):
            execute(config, folder, 1)
        assert calls[0] == step
        assert execute(config, folder, 1) == done[0]
        assert calls[0] == 1 + 9  # no step is computed twice
        name = f"tasks/{run_key(config)}.safetensors"
        assert files(folder) == [name]
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()

    @pytest.mark.parametrize("where", ["predict_texts", "constant_score", "parameter_counts"])
    def test_a_run_stopped_after_training_resumes(self, config, done, tmp_path, monkeypatch, where):
        """A worker may be killed while it scores the dev set, and leaves half-finished files."""

        def stop(*arguments: Any) -> Any:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(learning, where, stop)
            with pytest.raises(KeyboardInterrupt):
                execute(config, tmp_path / "stopped", 1)
        assert execute(config, tmp_path / "stopped", 1) == done[0]
        assert files(tmp_path / "stopped") == [f"tasks/{run_key(config)}.safetensors"]

    def test_a_run_that_diverges_has_that_as_its_result(self, config, tmp_path):
        result = execute({**config, "rate": 1e30}, tmp_path, 1)
        assert list(result) == ["diverged"]
        assert "learning rate 1e+30 diverges" in result["diverged"]
        assert files(tmp_path) == []

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"task": "nope"}, "unknown task 'nope'"),
            ({"max_length": 65}, "max length must be from 4 to 64"),
            ({"recipe": "mine"}, "unknown recipe 'mine'"),
            ({"method": {"name": "prompt"}}, "unknown method 'prompt'"),
            ({"base": "/nowhere/at-all"}, "/nowhere/at-all"),
            ({"base_sha256": "f" * 64}, "has weights with sha256"),
        ],
    )
    def test_bad_configurations_are_refused_and_not_taken_for_divergence(
        self, config, tmp_path, change, message
    ):
        with pytest.raises(InputError, match=message):
            execute({**config, **change}, tmp_path, 1)

    @pytest.mark.parametrize("kind", ["ablation", "sequence", "joint", "squad"])
    def test_a_run_of_any_kind_refuses_other_weights_than_its_own(self, config, tmp_path, kind):
        """A worker on another machine may have other weights under that name."""
        wrong = {**config, "base_sha256": "f" * 64}
        made: Config = {
            "ablation": {"kind": kind, "of": wrong},
            "sequence": {"kind": kind, "shared": True, "steps": [wrong]},
            "joint": {"kind": kind, "steps": [wrong]},
            "squad": {**wrong, "kind": kind, "stride": 8},
        }[kind]
        with pytest.raises(InputError, match="the run needs ffffffffffff"):
            execute(made, tmp_path, 1)


# ------------------------------------------------------------------------------ parameter counts


def shapes_only(bert: BertConfig) -> Base:
    """A base whose arrays are each a single 0, broadcast to the right shape: it takes no memory."""
    params = from_leaves(
        {path: np.broadcast_to(np.float32(0), s) for path, s in parameter_shapes(bert).items()}
    )
    return Base("shapes", Path("nowhere"), bert, params, "0" * 64)


def counts_of(base: Base, method: Method, outputs: int = 2) -> dict[str, int]:
    return parameter_counts(new_task_model(base, method, RECIPES["paper"], outputs, 0))


class TestParameterCounts:
    """As the paper counts: what a task trains, apart from its head, as a share of the layers."""

    @pytest.mark.parametrize(
        "layers, d, everything, in_layers, adapters",
        [
            (12, 768, 109_482_240, 85_054_464, 2_379_264),
            (24, 1024, 335_141_888, 302_309_376, 6_343_680),
        ],
        ids=["BERT-base", "BERT-large"],
    )
    def test_parameter_counts_of_bert_base_and_large_are_the_papers(
        self, layers, d, everything, in_layers, adapters
    ):
        """A layer has four maps d x d, two d x 4d, their biases, and two LayerNorms."""
        f = 4 * d
        assert in_layers == layers * (4 * (d * d + d) + (d * f + f) + (f * d + d) + 2 * 2 * d)
        bert = BertConfig(
            hidden_size=d,
            num_hidden_layers=layers,
            num_attention_heads=d // 64,
            intermediate_size=f,
        )
        large = shapes_only(bert)
        assert counts_of(large, METHODS["full"]) == {
            "task": everything,
            "adapters": 0,
            "head": 2 * d + 2,
            "all": everything,
            "layers": in_layers,
        }
        assert counts_of(large, method_named("adapters", 64)) == {
            "task": adapters + (2 * layers + 1) * 2 * d,
            "adapters": adapters,
            "head": 2 * d + 2,
            "all": everything,
            "layers": in_layers,
        }
        if layers == 24:
            assert round(100 * adapters / in_layers, 1) == 2.1  # table 1

    def test_parameter_counts_of_the_small_base_are_those_by_hand(self, base):
        assert count(base.params) == ALL
        same = {"head": 3 * D + 3, "all": ALL, "layers": LAYERS * LAYER}
        assert counts_of(base, METHODS["full"], 3) == {"task": ALL, "adapters": 0, **same}
        assert counts_of(base, METHODS["norms"], 3) == {"task": NORMS, "adapters": 0, **same}
        assert counts_of(base, METHODS["head"], 3) == {"task": 0, "adapters": 0, **same}

    @pytest.mark.parametrize("size", [1, 8, 64])
    def test_adapters_train_two_in_each_layer_and_every_layernorm(self, base, size):
        found = counts_of(base, method_of({"method": sized(size)}))
        assert found["adapters"] == LAYERS * 2 * (2 * size * D + D + size)
        assert found["task"] == found["adapters"] + NORMS

    @pytest.mark.parametrize("top", [1, 2])
    def test_top_layers_train_no_embeddings(self, base, top):
        method = method_of({"method": {"name": "full", "first_layer": LAYERS - top}})
        assert counts_of(base, method)["task"] == top * LAYER + POOLER

    def test_adapters_in_a_span_of_layers_are_counted_in_that_span_only(self, base):
        method = method_of({"method": {**sized(4), "first_layer": 1, "last_layer": 1}})
        found = counts_of(base, method)
        assert found["adapters"] == 2 * adapter(D, 4)
        assert found["task"] == 2 * adapter(D, 4) + 2 * 2 * D

    @pytest.mark.parametrize(
        "variant, adapters",
        [
            ("parallel", LAYERS * 2 * adapter(D, 4)),
            ("multiplicative", LAYERS * 2 * adapter(D, 4)),
            ("attention-only", LAYERS * adapter(D, 4)),
            ("deep", LAYERS * 2 * (adapter(D, 4) + 4 * 4 + 4)),
            ("layer-norm", LAYERS * 2 * (adapter(D, 4) + 2 * 4)),
            ("batch-norm", LAYERS * 2 * (adapter(D, 4) + 2 * 4)),
        ],
    )
    def test_a_finished_variant_counts_what_it_trained(self, config, tmp_path, variant, adapters):
        """Population statistics are in the task file, but they are not trained."""
        changed = {**config, "method": {**sized(4), "variant": variant}, "epochs": 1}
        found = execute(changed, tmp_path, 1)["parameters"]
        assert found == {
            "task": adapters + NORMS,
            "adapters": adapters,
            "head": 2 * D + 2,
            "all": ALL,
            "layers": LAYERS * LAYER,
        }


# ------------------------------------------------------------------------------- ablation


def without_layers(model: TaskModel, first: int, last: int) -> TaskModel:
    """The model without the adapters of a span of layers, both ends included."""
    kept = {n: pair for n, pair in model.tree["adapters"].items() if n < first or n > last}
    return replace(model, tree={**model.tree, "adapters": kept})


def plain_accuracy(model: TaskModel, examples: list[Any]) -> float:
    """One text at a time through the plain operations, from the first layer to the head."""
    tree, base, right = model.tree, model.base, 0
    for example, text in zip(examples, encode_examples(base, examples, 48), strict=True):
        batch = make_batch([text])
        adapt = attach(tree, base.config, model.method, ops)
        hidden = encode(tree["base"], batch, base.config, adapt=adapt, ops=ops)[-1]
        pooled = pool(tree["base"], hidden, batch, ops)
        run = ForwardPass(base.config, batch.lengths, adapt, None, ops)
        logits = class_logits(tree["head"], pooled, run)
        right += int(np.argmax(logits[0]) == example.label)
    return right / len(examples)


class TestAblation:
    """Section 3.6, figure 6 left: adapters are removed with no further training."""

    def test_an_ablation_scores_the_model_without_the_adapters_of_each_span(
        self, config, base, done, tmp_path
    ):
        removed = {"kind": "ablation", "of": config}
        result = execute(removed, tmp_path, 1)
        append_run(tmp_path, removed, result)
        assert read_runs(tmp_path)[run_key(removed)]["result"] == result
        task = load_task(tmp_path / "tasks" / f"{run_key(config)}.safetensors")
        _, dev = parts_of(config)
        model = on_base(task, base)
        spans = {(span["first"], span["last"]): span["dev"] for span in result["spans"]}
        assert list(spans) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        for (first, last), scores in spans.items():
            expected = plain_accuracy(without_layers(model, first, last), dev)
            assert scores == {"accuracy": pytest.approx(expected, abs=1e-12)}, (first, last)
        assert len({scores["accuracy"] for scores in spans.values()}) >= 3
        gold = np.array([example.label for example in dev])
        for scored in (result, *result["spans"]):
            answers = unpacked(scored["answers"], "")
            assert np.mean(answers == gold) == pytest.approx(scored["dev"]["accuracy"], abs=1e-12)
        assert result["dev"] == evaluate_task(task, base, dev, 1)

    def test_an_ablation_keeps_the_trained_layernorms_and_head(self, config, base, done, tmp_path):
        """So without any adapter it is still not the base, which has other LayerNorms."""
        result = execute({"kind": "ablation", "of": config}, tmp_path, 1)
        task = load_task(tmp_path / "tasks" / f"{run_key(config)}.safetensors")
        _, dev = parts_of(config)
        bare = next(s["dev"] for s in result["spans"] if (s["first"], s["last"]) == (0, 2))
        kept = without_layers(on_base(task, base), 0, LAYERS - 1)
        assert bare["accuracy"] == pytest.approx(plain_accuracy(kept, dev), abs=1e-12)
        untrained = replace(kept, tree={**kept.tree, "base": base.params})
        encoded = encode_examples(base, dev, 48)
        assert not np.array_equal(
            predict_logits(kept, encoded, 1), predict_logits(untrained, encoded, 1)
        )

    def test_an_ablation_trains_its_task_only_if_that_is_missing(
        self, config, done, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(loop, "batch_gradients", None)  # any step would fail
        execute({"kind": "ablation", "of": config}, tmp_path, 1)

    def test_an_ablation_has_the_constant_guess_of_the_run_itself(self, config, done, tmp_path):
        result = execute({"kind": "ablation", "of": config}, tmp_path, 1)
        assert (result["constant"], result["dev"]) == (done[0]["constant"], done[0]["dev"])

    def test_the_ablation_of_a_diverging_run_has_diverged_too(self, config, tmp_path):
        result = execute({"kind": "ablation", "of": {**config, "rate": 1e30}}, tmp_path, 1)
        assert list(result) == ["diverged"]
        assert "diverges" in result["diverged"]
        assert [*(tmp_path / "under-way").iterdir()] == []


# ------------------------------------------------------------------------------- sequence


def bits(tree: Tree) -> dict[str, tuple[int, bytes]]:
    return {path: (id(leaf), leaf.tobytes()) for path, leaf in leaves(tree)}


class TestTasksInTurn:
    @pytest.fixture
    def steps(self, config) -> list[Config]:
        short = {**config, "sample": True, "epochs": 2, "examples": 64, "dev_examples": 40}
        return [{**short, "task": task} for task in ("cola", "sst-2", "rte")]

    def test_tasks_learned_by_adapters_change_no_bit_of_an_earlier_task(
        self, steps, base, tmp_path
    ):
        before = bits(base.params)
        result = execute({"kind": "sequence", "shared": False, "steps": steps}, tmp_path, 1)
        assert bits(base.params) == before
        assert result["changed"] == [[0], [0, 0], [0, 0, 0]]
        for j, step in enumerate(steps):
            alone = execute(step, tmp_path / "alone", 1)["dev"]
            assert [row[j] for row in result["scores"][j:]] == [alone] * (3 - j)
        own = LAYERS * 2 * adapter(D, 4) + NORMS + 2 * (D + 1)
        assert result["parameters"] == ALL + 3 * own

    def test_tasks_learned_by_one_network_continue_from_the_task_before(
        self, steps, base, tmp_path
    ):
        steps = [{**step, "method": {"name": "full"}, "rate": 3e-3} for step in steps]
        before = bits(base.params)
        result = execute({"kind": "sequence", "shared": True, "steps": steps}, tmp_path, 1)
        assert bits(base.params) == before  # the next run in this process starts from it

        params, heads, then = base.params, [], []
        for i, step in enumerate(steps):
            here = replace(base, params=params)
            settings = Settings(rate=3e-3, epochs=2)
            data, _ = parts_of(step)
            task = train_task(here, data, METHODS["full"], settings, max_length=48, threads=1).task
            params = {**params, **task.trained["base"]}
            heads.append(task.trained["head"])
            for j in range(i + 1):
                dev = parts_of(steps[j])[1]
                model = TaskModel(base, METHODS["full"], {"base": params, "head": heads[j]})
                logits = predict_logits(model, encode_examples(base, dev, 48), 1)
                if i == j:
                    then.append(logits)
                metric = GLUE[steps[j]["task"]].metrics[0]
                gold = np.array([example.label for example in dev])
                value = METRICS[metric](logits.argmax(axis=1), gold)
                assert result["scores"][i][j] == {metric: value}, (i, j)
                others = sum(not np.array_equal(a, b) for a, b in zip(logits, then[j], strict=True))
                assert result["changed"][i][j] == others, (i, j)
        assert [row[:i] for i, row in enumerate(result["changed"])] == [[], [40], [40, 40]]
        assert [row[i] for i, row in enumerate(result["changed"])] == [0, 0, 0]
        assert result["parameters"] == ALL + 3 * 2 * (D + 1)
        assert files(tmp_path) == []

    def test_a_sequence_of_tasks_resumes_to_the_same_result_after_it_was_stopped(
        self, steps, tmp_path, monkeypatch
    ):
        steps = [{**step, "method": {"name": "full"}, "rate": 3e-3} for step in steps[:2]]
        sequence = {"kind": "sequence", "shared": True, "steps": steps}
        whole, calls, real = execute(sequence, tmp_path / "a", 1), [0], loop.batch_gradients

        def stop(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] == 6:  # in the second task: each has 2 epochs of 2 batches
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(loop, "batch_gradients", stop)
        with pytest.raises(Interrupted):
            execute(sequence, tmp_path / "b", 1)
        assert execute(sequence, tmp_path / "b", 1) == whole
        assert calls[0] == 1 + 8


@pytest.fixture(scope="module")
def joint(config) -> Config:
    short = {**config, "sample": True, "epochs": 3, "examples": 64, "dev_examples": 40}
    step = {**short, "method": {"name": "full"}, "rate": 3e-3}
    return {"kind": "joint", "steps": [{**step, "task": task} for task in ("cola", "rte")]}


@pytest.fixture(scope="module")
def together(joint, tmp_path_factory) -> dict[str, Any]:
    return execute(joint, tmp_path_factory.mktemp("together"), 1)


class TestTasksTogether:
    def test_tasks_learned_together_are_scored_with_their_heads_at_the_best_epoch_by_the_mean(
        self, joint, base, together
    ):
        parts = [parts_of(step) for step in joint["steps"]]
        settings = Settings(rate=3e-3, epochs=3)
        again = train_jointly(base, [data for data, _ in parts], settings, max_length=48, threads=1)
        assert together["validation"] == again.epochs
        means = [epoch["mean"] for epoch in together["validation"]]
        assert together["best_epoch"] == means.index(max(means)) + 1
        for j, (model, (_, dev)) in enumerate(zip(again.models, parts, strict=True)):
            metric = ("matthews", "accuracy")[j]
            answers = predict_logits(model, encode_examples(base, dev, 48), 1).argmax(axis=1)
            gold = np.array([example.label for example in dev])
            assert together["scores"][0][j] == {metric: METRICS[metric](answers, gold)}
            assert np.array_equal(unpacked(together["answers"][j], "here"), answers)
        assert len(together["scores"]) == 1

    def test_tasks_learned_together_are_one_network_and_a_head_for_each(self, together):
        assert together["parameters"] == ALL + 2 * 2 * (D + 1)
        assert together["examples"] == [51, 51]  # of 64, a fifth is for validation

    def test_a_result_of_tasks_together_is_one_that_the_runs_file_takes(
        self, joint, together, tmp_path
    ):
        append_run(tmp_path, joint, together)
        assert read_runs(tmp_path)[run_key(joint)]["result"] == together

    def test_tasks_learned_together_resume_to_the_same_result_and_leave_no_file(
        self, joint, together, tmp_path, monkeypatch
    ):
        folder, calls, real = tmp_path / "stopped", [0], loop.batch_gradients

        def stop(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] == 6:  # in the second epoch: each has two batches of either task
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(loop, "batch_gradients", stop)
        with pytest.raises(Interrupted):
            execute(joint, folder, 1)
        assert execute(joint, folder, 2) == together
        assert calls[0] == 1 + 12  # no step is computed twice
        assert files(folder) == []

    def test_tasks_together_that_diverge_have_that_as_their_result(self, joint, tmp_path):
        steps = [{**step, "rate": 1e30} for step in joint["steps"]]
        assert list(execute({**joint, "steps": steps}, tmp_path, 1)) == ["diverged"]


# ------------------------------------------------------------------------------- squad

CONTEXTS = ["The red cat sat on a mat in the old house.", "He saw a small dog near the sea today."]


def paragraph(number: int, answer: str) -> dict[str, Any]:
    context = CONTEXTS[number % 2]
    return {
        "context": context,
        "qas": [
            {
                "id": f"q{number}",
                "question": "What was there ?",
                "answers": [{"text": answer, "answer_start": context.index(answer)}],
            }
        ],
    }


class TestQuestionAnswering:
    @pytest.fixture
    def asked(self, config, tmp_path, monkeypatch) -> Config:
        """Three questions to train on and two others."""
        train = [paragraph(0, "a mat"), paragraph(1, "a small dog"), paragraph(2, "red cat")]
        dev = [paragraph(3, "the sea"), paragraph(4, "old house")]
        for name, paragraphs in (("train", train), ("dev", dev)):
            page = {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}
            (tmp_path / f"{name}.json").write_text(json.dumps(page))
        monkeypatch.setenv("MINIBERT_SQUAD", str(tmp_path))
        questions.cache_clear()
        yield {
            "kind": "squad",
            "base": config["base"],
            "base_sha256": config["base_sha256"],
            "examples": None,
            "dev_examples": None,
            "method": sized(2),
            "rate": 1e-2,
            "epochs": 2,
            "batch_size": 2,
            "max_length": 48,
            "stride": 8,
            "seed": 0,
        }
        questions.cache_clear()

    def test_question_answering_is_scored_on_the_dev_questions_after_the_last_epoch(
        self, asked, base, tmp_path
    ):
        result = execute(asked, tmp_path / "runs", 1)
        data = questions(None, None)
        assert [q.id for q in data.train] == ["q0", "q1", "q2"]
        assert [q.id for q in data.dev] == ["q3", "q4"]
        settings = Settings(rate=1e-2, epochs=2, batch_size=2)
        again = train_squad(
            base,
            data,
            method_named("adapters", 2),
            settings,
            max_length=48,
            stride=8,
            threads=1,
        )
        assert result["epochs"] == again.epochs
        assert result["dev"] == again.epochs[-1]
        assert result["dev"].keys() == {"f1", "exact_match"}
        assert result["examples"] == [3, 2]
        adapters = LAYERS * 2 * adapter(D, 2)
        assert result["parameters"] == {
            "task": adapters + NORMS,
            "adapters": adapters,
            "head": 2 * D + 2,
            "all": ALL,
            "layers": LAYERS * LAYER,
        }
        assert files(tmp_path / "runs") == []

    def test_question_answering_has_the_last_epochs_scores_even_if_an_earlier_one_was_better(
        self, asked, tmp_path, monkeypatch
    ):
        """Nothing may be chosen on the questions that it is scored on."""
        found = iter([{"f1": 0.9, "exact_match": 0.8}, {"f1": 0.2, "exact_match": 0.1}])
        monkeypatch.setattr("adapters.answering.score", lambda *arguments: next(found))
        assert execute(asked, tmp_path / "runs", 1)["dev"] == {"f1": 0.2, "exact_match": 0.1}

    def test_each_dev_questions_f1_is_kept_as_the_last_epoch_answered_it(self, asked, tmp_path):
        """Its best epoch is the third, here, and answers other questions."""
        result = execute({**asked, "rate": 5e-2, "epochs": 6}, tmp_path / "runs", 1)
        kept = unpacked(result["answers"], "here")
        assert (kept.dtype, kept.shape) == (np.float32, (2,))
        assert kept.mean() == pytest.approx(result["dev"]["f1"], abs=1e-7)

    def test_the_drawn_questions_are_the_same_for_every_seed(self, asked):
        train, dev = questions(2, 1)
        assert (len(train), len(dev)) == (2, 1)
        assert {q.id for q in train} < {"q0", "q1", "q2"}
        questions.cache_clear()
        assert questions(2, 1) == (train, dev)

    def test_question_answering_that_diverges_has_that_as_its_result(self, asked, tmp_path):
        assert list(execute({**asked, "rate": 1e30}, tmp_path / "runs", 1)) == ["diverged"]


# ------------------------------------------------------------------------------- methods

STUDIED: list[tuple[dict[str, Any], Method]] = [
    (ADAPTERS, method_named("adapters", 64)),
    (FULL, METHODS["full"]),
    (HEAD, METHODS["head"]),
    (NORMS_ONLY, METHODS["norms"]),
    ({"name": "full", "first_layer": 2}, replace(METHODS["full"], first_layer=2)),
    (
        {**ADAPTERS, "first_layer": 0, "last_layer": 1},
        replace(METHODS["adapters"], last_layer=1),
    ),
    (extensions.methods()["tanh"], replace(METHODS["adapters"], activation="tanh")),
    (
        extensions.methods()["batch-norm"],
        replace(METHODS["adapters"], variant="batch-norm", std=1e-3),
    ),
    (extensions.methods()["deep"], replace(METHODS["adapters"], variant="deep")),
    ({**ADAPTERS, "std": 1e-7}, replace(METHODS["adapters"], std=1e-7)),
]


class TestMethods:
    @pytest.mark.parametrize("described, method", STUDIED, ids=[str(m) for _, m in STUDIED])
    def test_a_configuration_names_a_method_and_what_differs_from_its_defaults(
        self, described, method
    ):
        before = dict(described)
        assert method_of({"method": described}) == method
        assert described == before

    def test_every_study_names_existing_methods(self):
        plan = Plan(BUDGETS["paper"], "minilm", "0" * 64, 12, 1, ("rte",))
        studied = [*extensions.methods().values(), *TABLE1_METHODS, NORMS_ONLY]
        studied += [{**ADAPTERS, "std": std} for std in plan.budget.stds]
        studied += [top_method(plan, top) for top in top_layers(plan)]
        for described in studied:
            assert method_of({"method": described}).name == described["name"]
        assert init_scale.DEFAULT_STD in plan.budget.stds
        assert RECIPES["paper"].adapter_std == init_scale.DEFAULT_STD

    @pytest.mark.parametrize(
        "method",
        [
            replace(method_named("adapters", 4), first_layer=1, last_layer=1),
            method_named("adapters", 4, variant="multiplicative", std=1e-3),
            method_named("adapters", 4, "tanh", variant="deep"),
            replace(METHODS["full"], first_layer=2),
        ],
        ids=str,
    )
    def test_a_method_comes_back_complete_from_a_task_file(self, base, tmp_path, method):
        model = new_task_model(base, method, RECIPES["paper"], 2, seed=0)
        part, _ = split(model.tree, method)
        about = (GLUE["sst-2"], method, "paper", 48, base.name, base.sha256)
        save_task(tmp_path / "task.safetensors", TaskFile(*about, trained=part))
        back = load_task(tmp_path / "task.safetensors")
        assert back.method == method
        encoded = encode_examples(base, glue_data("sst-2", sample=True).dev[:4], 48)
        there = predict_logits(on_base(back, base), encoded, 1)
        assert np.array_equal(there, predict_logits(model, encoded, 1))


class TestSpansOfLayers:
    def trains(self, base: Base, method: Method) -> set[str]:
        tree = new_task_model(base, method, RECIPES["paper"], 2, 0).tree
        return {path for path, _ in leaves(split(tree, method)[0])}

    def test_a_span_trains_the_layers_from_the_first_to_the_last_both_included(self, base):
        method = layer_span(METHODS["adapters"], 1, 1, base.config)
        numbers = {path.split(".")[-4] for path in self.trains(base, method) if "adapters" in path}
        assert numbers == {"1"}
        norms = {path for path in self.trains(base, method) if ".norm." in path}
        assert {path.rsplit(".", 3)[0] for path in norms} == {"base.layers.1"}

    def test_a_span_from_the_bottom_trains_the_embeddings_too(self, base):
        method = layer_span(METHODS["full"], 0, 0, base.config)
        paths = self.trains(base, method)
        assert any(path.startswith("base.embeddings.") for path in paths)
        assert not any(path.startswith(("base.layers.1", "base.layers.2")) for path in paths)

    def test_a_span_up_to_the_top_is_the_top_layers(self, base):
        assert layer_span(METHODS["full"], 1, 2, base.config) == replace(
            METHODS["full"], first_layer=1
        )
        assert layer_span(METHODS["full"], 0, 2, base.config) == METHODS["full"]

    @pytest.mark.parametrize("first, last", [(-1, 0), (1, 0), (0, 3), (3, 3), (-2, -1)])
    def test_a_span_outside_the_model_is_refused(self, base, first, last):
        with pytest.raises(
            InputError,
            match=f"a span of layers is two numbers from 0 to 2, the lower one first, "
            f"not {first} {last}",
        ):
            layer_span(METHODS["adapters"], first, last, base.config)

    def test_a_span_is_refused_for_the_head_alone_which_trains_no_layer(self, base):
        with pytest.raises(InputError, match="method 'head' trains no layer"):
            layer_span(METHODS["head"], 0, 0, base.config)


def test_the_table_of_methods_counts_what_each_trains_with_a_head_of_two_classes(base):
    m, head = 5, 2 * (D + 1)
    pair = 2 * adapter(D, m)
    # of LayerNorms, linear maps and the pooler
    biases = D + LAYERS * (4 * D + F + D + 2 * D) + D
    rows = method_rows(base.config, method_named("adapters", m))
    found = {str(method): number for method, _, number in rows}
    assert found == {
        "adapters, m = 5": LAYERS * pair + NORMS + head,
        "adapters, m = 5, from layer 2": pair + 2 * 2 * D + head,  # half of three layers is one
        "adapters, m = 5, up to layer 0": pair + (1 + 2) * 2 * D + head,
        "full": ALL + head,
        "full, from layer 2": LAYER + POOLER + head,
        "norms": NORMS + head,
        "head": head,
        "lora, r = 8": LAYERS * 2 * (2 * D * 8) + head,  # query and value, d x 8 and 8 x d each
        "pfeiffer, m = 48": LAYERS * adapter(D, 48) + head,
        "biases": biases + head,
    }


class TestTheCommandLine:
    @pytest.mark.parametrize(
        "words, message",
        [
            (("--layers", 1, 0), "a span of layers is two numbers from 0 to 1"),
            (("--layers", 0, 2), "a span of layers is two numbers from 0 to 1"),
            (("--layers", 1), "expected 2 arguments"),
            (("--layers", "one", "two"), "invalid int value: 'one'"),
            (("--layers", 0, 0, "--top-layers", 1), "give either --top-layers or --layers"),
            (("--layers", 0, 0, "--method", "head"), "method 'head' trains no layer"),
            (("--variant", "nope"), "unknown variant 'nope'; known: serial, layer-norm"),
            (("--variant", "deep", "--method", "full"), "'full' has no adapters"),
            (("--std", 0), "the adapters' initial std must be positive, not 0"),
            (("--std", "-0.01"), "the adapters' initial std must be positive, not -0.01"),
            (("--std", "nan"), "the adapters' initial std must be positive, not nan"),
            (("--std", "inf"), "the adapters' initial std must be positive, not inf"),
            (("--std", "tiny"), "invalid float value: 'tiny'"),
            (("--std", 0.01, "--method", "norms"), "'norms' has no adapters, so it takes no std"),
            (("--variant", "layer-norm", "--size", 1), "at least 2 for variant 'layer-norm'"),
        ],
    )
    def test_a_bad_span_variant_or_std_is_refused_in_one_line(self, tmp_path, words, message):
        out = tmp_path / "run"
        result = minibert(
            "train",
            "--task",
            "sst-2",
            "--sample",
            "--base",
            TINY,
            "--max-length",
            48,
            *words,
            "--out",
            out,
        )
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert len(result.err.splitlines()) == 1
        assert not out.exists()

    def test_a_variant_with_its_own_std_can_be_trained_in_a_span_of_layers(self, tmp_path):
        works(
            "train",
            "--task",
            "sst-2",
            "--sample",
            "--base",
            TINY,
            "--max-length",
            48,
            "--size",
            4,
            "--layers",
            0,
            0,
            "--variant",
            "parallel",
            "--std",
            "1e-3",
            "--epochs",
            1,
            "--out",
            tmp_path,
        )
        task = load_task(tmp_path / "task.safetensors")
        assert task.method == replace(
            METHODS["adapters"], size=4, last_layer=0, variant="parallel", std=1e-3
        )
        assert list(task.trained["adapters"]) == [0]
        assert math.prod(task.trained["adapters"][0]["attention"]["down"]["weight"].shape) == 4 * D


def test_a_task_that_another_run_needs_is_trained_only_once(config, tmp_path, monkeypatch):
    first = trained(config, tmp_path, 1)
    monkeypatch.setattr(loop, "batch_gradients", None)
    again = trained(config, tmp_path, 1)
    assert bits(again.trained).keys() == bits(first.trained).keys()
    assert all(
        np.array_equal(a, b)
        for (_, a), (_, b) in zip(leaves(first.trained), leaves(again.trained), strict=True)
    )
    assert [*(tmp_path / "under-way").iterdir()] == []


def test_a_sweep_disturbs_no_other_that_trains_a_finished_run_again(config, tmp_path, monkeypatch):
    """As after a checkout, which has the runs but not the trained tasks."""
    scores = {"accuracy": 0.5}
    append_run(tmp_path, config, {"dev": scores, "validation": [scores], "best_epoch": 1})

    learn = learning.learned

    def meanwhile(config: Config, parts: Parts, out: Path, threads: int) -> tuple:
        out.mkdir(parents=True)
        (out / "checkpoint").write_bytes(b"")
        run_sweep([config], execute, tmp_path, Workers())  # of another process
        assert (out / "checkpoint").exists()
        (out / "checkpoint").unlink()
        return learn(config, parts, out, threads)

    monkeypatch.setattr(one_task, "learned", meanwhile)
    assert trained(config, tmp_path, 1).method == method_of(config)
