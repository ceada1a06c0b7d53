"""The tutorials run, draw what they say, and keep what they claim.

Each asserts its own claims, so that running one is the test of them. Here it is tested only that
they run from the shell, on the sample and on real data, and that they are what the tools which
render them expect: percent-format cells (jupytext), text that sphinx-gallery takes for text.

The one page is code and hardly anything else; test_one_page.py runs it and holds it to the library.
"""

import ast
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import plain_loops
import pytest
from conftest import GOLDENS, real_glue
from tutorial import LESSONS, ONE_PAGE, TUTORIALS, keeps_its_claims, pictures, run

from adapters.tutorials.kept import kept
from minibert import InputError, Settings, glue_data
from minibert.checkpoint import load_base
from minibert.tensors import read_safetensors, write_safetensors

ROOT = TUTORIALS.parent
FILES = sorted(TUTORIALS.glob("[0-9]*.py"))

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
each_early_lesson = pytest.mark.parametrize("path", LESSONS[:12], ids=lambda path: path.stem)


def cells(path: Path) -> tuple[str, list[tuple[str, str]]]:
    """(what stands before the first marker, [(marker line, the cell's text)])."""
    head, *rest = re.split(r"^(# ?%%.*)\n", path.read_text("utf-8"), flags=re.MULTILINE)
    return head, list(zip(rest[::2], rest[1::2], strict=True))


def prose(path: Path) -> str:
    """A tutorial's text: its docstring and its cells of text, without the marks of comments."""
    texts = [body for marker, body in cells(path)[1] if "markdown" in marker]
    told = [ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "", *texts]
    return re.sub(r"^# ?", "", "\n".join(told), flags=re.MULTILINE)


def functions(path: Path) -> set[str]:
    """The names of all functions and classes that a file defines, at any depth."""
    kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
    return {n.name for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, kinds)}


def bert_that_fills_in_words(folder: Path) -> list[str]:
    """A folder with a tiny random BERT that has a head for masked words; its vocabulary, where the
    words of tutorial 04 stand for some of the pieces. It has a liking for "paris"."""
    shutil.copytree(GOLDENS / "tiny_mlm", folder)
    vocabulary = (folder / "vocab.txt").read_text("utf-8").split()
    words = ["the", "capital", "of", "france", "is", "paris"]
    words += ["in", "winter", "lake", "covered", "with"]
    first = vocabulary.index("##ba")
    vocabulary[first : first + len(words)] = words
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    tensors, metadata = read_safetensors(folder / "model.safetensors")
    bias = np.array(tensors["cls.predictions.bias"])
    bias[vocabulary.index("paris")] += 4
    changed = {**tensors, "cls.predictions.bias": bias}
    write_safetensors(folder / "model.safetensors", changed, metadata)
    return vocabulary


def masked_word(folder: Path, ids: list[int], place: int) -> list[float]:
    """The probability of each word of the vocabulary at one place of a text, by plain loops: BERT
    (Devlin et al. 2018), its head for masked words (section 3.1), and a softmax."""
    base = load_base(folder, pooler=False)
    tables, head = base.params["embeddings"], base.params["masked_tokens"]
    heads, eps = base.config.num_attention_heads, base.config.layer_norm_eps
    x = [
        tables["word"][i] + tables["position"][t] + tables["segment"][0] for t, i in enumerate(ids)
    ]
    x = plain_loops.layer_norm(x, tables["norm"]["weight"], tables["norm"]["bias"], eps)
    for _, layer in sorted(base.params["layers"].items()):
        x = plain_loops.encoder_layer(layer, x, [len(ids)], heads, eps)
    x = plain_loops.linear([x[place]], head["transform"]["weight"], head["transform"]["bias"])
    x = plain_loops.each(plain_loops.gelu, x)
    x = plain_loops.layer_norm(x, head["norm"]["weight"], head["norm"]["bias"], eps)
    scores = plain_loops.linear(x, tables["word"].T, head["bias"])  # [1, V]
    return plain_loops.softmax(scores[0].tolist())


def test_the_readme_names_each_tutorial_and_no_other():
    readme = (TUTORIALS / "README.md").read_text("utf-8")
    assert {"00_one_page.py", "08_train_a_task.py"} < {path.name for path in FILES}
    assert set(re.findall(r"\d\d_\w+\.py", readme)) == {path.name for path in FILES}


class TestTheText:
    """What jupytext and sphinx-gallery need, and what every tutorial promises its reader."""

    @each_file
    def test_a_tutorial_begins_with_a_title_and_says_what_one_learns_and_needs(self, path):
        text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        title, line, blank, *_ = text.split("\n")
        assert line == "=" * len(title)
        assert blank == ""
        for promise in ("**You will learn**", "**Time:**", "**You need to know**", "1902.00751"):
            assert promise in " ".join(text.split())

    @each_file
    def test_a_tutorial_is_percent_cells_of_code_or_of_text(self, path):
        head, parts = cells(path)
        ast.parse(head)
        kinds = {"# %%"} if path == ONE_PAGE else {"# %%", "# %% [markdown]"}
        assert {marker for marker, _ in parts} == kinds
        for marker, body in parts:
            lines = body.strip().split("\n")
            if marker == "# %%":
                assert ast.parse(body).body, f"an empty cell in {path.name}"
                # sphinx-gallery takes comments right after the marker for text
                assert not lines[0].startswith("#"), lines[0]
            else:
                assert all(re.fullmatch(r"#( .*\S)?", text) for text in lines), body
                assert lines[0].startswith("# ")

    @each_lesson
    def test_headings_are_underlined_in_full_and_the_last_says_what_next(self, path):
        texts = [body for marker, body in cells(path)[1] if "markdown" in marker]
        headings = re.findall(r"^# (.+)\n# (-{3,})$", "".join(texts), re.MULTILINE)
        assert len(headings) >= 3
        assert all(len(title) == len(line) for title, line in headings)
        assert headings[-1][0] == "What next"

    @each_file
    def test_another_tutorial_or_a_paper_is_never_named_without_a_link_to_it(self, path):
        text = prose(path)
        link = re.compile(r"`([^`<]+?)\s+<([^>`]+)>`_")
        for words, goal in link.findall(text):
            words = " ".join(words.split())
            if words.startswith("arXiv"):
                assert goal == f"https://arxiv.org/abs/{words.removeprefix('arXiv ')}"
            elif re.fullmatch(r"\d\d_\w+\.py", goal):
                assert words == goal
                assert (TUTORIALS / goal).exists(), goal
        commands = r"``(python|minibert)\s[^`]+``"  # not a mention but something to type
        bare = re.sub(commands, "", link.sub("", text))
        assert re.findall(r"\d\d_\w+\.py|arXiv|\b\d{4}\.\d{5}\b", bare) == []

    @each_lesson
    def test_the_questions_at_the_end_have_answers_which_are_folded(self, path):
        _, end = prose(path).split("\nWhat next\n")
        questions, answers = end.split("<details><summary>Answers</summary>")
        answers, _ = answers.split("</details>")
        asked = set(re.findall(r"^(\d)\. ", questions, re.MULTILINE))
        answered = set(re.findall(r"^(\d)\. ", answers, re.MULTILINE))
        assert answered
        assert answered <= asked
        parts = re.split(r"^\d\. ", questions, flags=re.MULTILINE)[1:]
        unanswered = [p for n, p in enumerate(parts, 1) if str(n) not in answered]
        # what is not answered here, the exercises answer, or it is a command to type
        assert [p for p in unanswered if "``" not in p] == []

    @each_lesson
    def test_a_tutorial_has_an_equation_and_a_message_for_every_assertion(self, path):
        source = path.read_text("utf-8")
        assert ":math:`" in source
        claims = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
        assert len(claims) >= 6
        assert [node.lineno for node in claims if node.msg is None] == []

    @each_lesson
    def test_a_tutorial_imports_the_library_and_defines_nothing_that_it_has(self, path):
        tree = ast.parse(path.read_text("utf-8"))
        imports = {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert {"minibert", "adapters"} <= imports
        library = [p for folder in ("minibert", "adapters") for p in (ROOT / folder).rglob("*.py")]
        assert functions(path) & set().union(*map(functions, library)) == set()


MADE_WITH = {"settings": Settings(epochs=5), "sizes": (1, 8)}


class TestKeptResults:
    """`--again` computes the results of a longer run anew; otherwise they are read, if they were
    made with what the tutorial has now."""

    def test_what_is_kept_is_read_and_not_computed(self, tmp_path):
        path = tmp_path / "new" / "results.json"
        first = kept(path, MADE_WITH, lambda: {"m = 8": (0.5, 1)})
        assert first == {"m = 8": [0.5, 1]}  # a list, as it will be when it is read
        assert kept(path, MADE_WITH, lambda: pytest.fail("computed though it is there")) == first

    def test_again_computes_it_and_keeps_it_in_place_of_the_old(self, tmp_path, monkeypatch):
        path = tmp_path / "results.json"
        kept(path, MADE_WITH, lambda: [1])
        monkeypatch.setattr("sys.argv", ["09_size.py", "--again"])
        assert kept(path, {"sizes": (64,)}, lambda: [2]) == [2]
        monkeypatch.undo()
        assert kept(path, {"sizes": (64,)}, lambda: [3]) == [2]

    @pytest.mark.parametrize(
        "now, names",
        [
            ({**MADE_WITH, "settings": Settings(epochs=1)}, "settings"),
            ({**MADE_WITH, "settings": Settings(epochs=5, seed=1)}, "settings"),
            ({"settings": Settings(epochs=1), "sizes": (1, 64)}, "settings and sizes"),
            ({**MADE_WITH, "seeds": (0, 1)}, "seeds"),
            ({"settings": Settings(epochs=5)}, "sizes"),
        ],
    )
    def test_what_was_made_with_other_settings_is_refused_by_their_names(
        self, now, names, tmp_path
    ):
        path = tmp_path / "09_size.json"
        kept(path, MADE_WITH, lambda: [1])
        before = path.read_bytes()
        says = rf"with other {names}; make it anew: python 09_size\.py --again"
        with pytest.raises(InputError, match=says):
            kept(path, now, lambda: pytest.fail("minutes of computing that nobody has asked for"))
        assert path.read_bytes() == before

    def test_other_data_are_noticed_by_a_single_sentence(self, tmp_path):
        path, data = tmp_path / "results.json", glue_data("sst-2", sample=True)
        kept(path, {"data": data}, lambda: [1])
        assert kept(path, {"data": data}, lambda: pytest.fail("computed again")) == [1]
        with pytest.raises(InputError, match="made with other data"):
            kept(path, {"data": replace(data, dev=data.dev[1:])}, lambda: [2])

    def test_results_that_do_not_say_what_they_were_made_with_are_refused(self, tmp_path):
        path = tmp_path / "results.json"
        path.write_text('{"m = 8": [0.5]}', "utf-8")
        with pytest.raises(InputError, match=r"results\.json: does not say .* --again"):
            kept(path, MADE_WITH, lambda: [1])

    def test_a_damaged_file_is_named_and_not_replaced(self, tmp_path):
        path = tmp_path / "results.json"
        path.write_text("[1,", "utf-8")
        with pytest.raises(InputError, match=r"results\.json"):
            kept(path, MADE_WITH, lambda: [1])
        assert path.read_text("utf-8") == "[1,"

    def test_each_file_of_results_is_of_a_tutorial_that_says_how_to_make_it_anew(self):
        files = sorted((TUTORIALS / "results").iterdir())
        assert len(files) >= 4
        for file in files:
            text = " ".join(prose(TUTORIALS / f"{file.stem}.py").split())
            assert f"``python {file.stem}.py --again``" in text
            assert f"``results/{file.name}``" in text


class TestRunning:
    """`python tutorials/NN_name.py`, on the default weights; the later ones are run in
    test_later_tutorials.py, beside these."""

    @each_early_lesson
    def test_a_tutorial_keeps_its_claims_and_draws_without_real_data(self, minilm, path, tmp_path):
        """The project's own sample is enough for each."""
        keeps_its_claims(path, tmp_path)

    def test_a_tutorial_draws_into_the_default_folder_unless_told_another(self, minilm, tmp_path):
        """Section 2.1: where an adapter sits, 2md + d + m parameters, near the identity."""
        printed = run(TUTORIALS / "07_the_adapter.py", tmp_path)
        drawn = pictures(printed, tmp_path / "runs" / "tutorials")
        assert drawn == ["07_where_it_sits.png", "07_near_identity.png"]
        assert "595,200" in printed

    def test_missing_words_are_guessed_when_the_weights_have_a_head_for_it(self, minilm, tmp_path):
        """The default weights have none. Here is a tiny BERT where BERT-base would be found."""
        folder = tmp_path / "bert-base-uncased"
        vocabulary = bert_that_fills_in_words(folder)
        printed = run(TUTORIALS / "04_loading.py", tmp_path)
        assert "No word is guessed" not in printed
        texts = ("The capital of France is [MASK].", "In winter the lake is covered with [MASK].")
        for text in texts:
            words = text.replace("[MASK]", "").lower().replace(".", "").split()
            place = 1 + len(words)  # after [CLS]
            ids = [vocabulary.index(w) for w in ("[CLS]", *words, "[MASK]", ".", "[SEP]")]
            expected = masked_word(folder, ids, place)
            best = sorted(range(len(vocabulary)), key=lambda i: -expected[i])[:5]
            (said,) = re.findall(rf"^{re.escape(text)} (.*)$", printed, re.MULTILINE)
            assert said.split()[::2] == [vocabulary[i] for i in best]
            chances = [float(chance) for chance in said.split()[1::2]]
            # float32 gives some 1e-6; four digits are printed
            np.testing.assert_allclose(chances, [expected[i] for i in best], rtol=0, atol=6e-5)

    def test_training_works_on_real_data_and_says_so(self, minilm, tmp_path):
        """Section 3.1: adapters against full fine-tuning and against the head alone."""
        real_glue("sst-2")
        folder = tmp_path / "pictures"
        path = TUTORIALS / "08_train_a_task.py"
        printed = run(path, tmp_path, MINIBERT_TUTORIAL_OUT=str(folder))
        assert pictures(printed, folder) == ["08_train_a_task.png"]
        assert (folder / "08_sst-2.safetensors").exists()
        said = re.search(r"^data: (.*);", printed, re.MULTILINE).group(1)
        assert said.startswith("GLUE SST-2")
        assert len(re.findall(r"^(negative|positive) +[01]\.\d\d  \w", printed, re.MULTILINE)) == 3
