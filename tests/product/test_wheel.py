"""What `pip install minibert-adapters` brings: the wheel is built as a release is, unpacked as an
installer does, and used without the checkout."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command_line import ROOT, environment, files, minibert
from tutorial import TUTORIALS, pictures, run

from adapters.tutorials.notebook import markdown, notebook

SCRIPTS = sorted(TUTORIALS.glob("[0-9]*.py"))
KEPT_OUT = {"exercises", "__pycache__"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("minibert_adapters-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def mine(site, tmp_path_factory) -> Path:
    """A reader's folder, made by the installed command in a folder of its own."""
    folder = tmp_path_factory.mktemp("reader")
    done = subprocess.run(
        [sys.executable, "-m", "minibert", "tutorials", "start", "my tutorials"],
        cwd=folder,
        env=environment(PYTHONPATH=str(site)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first = "'my tutorials/00_one_page.py'"
    assert [line.split(" ", 2)[-1] for line in done.stdout.splitlines()][1] == first
    return folder / "my tutorials"


class TestTutorials:
    def test_the_wheel_brings_the_tutorials_as_scripts_and_notebooks(self, mine):
        """And what lies beside them, such as the questions of 14."""
        found = files(mine)
        beside = {
            name: content
            for name, content in files(TUTORIALS).items()
            if not KEPT_OUT & set(Path(name).parts)
        }
        assert beside.keys() >= {"00_one_page.py", "questions/train.json", "questions/dev.json"}
        assert found.keys() - beside.keys() == {f"{path.stem}.ipynb" for path in SCRIPTS}
        changed = {name for name, content in beside.items() if found[name] != content}
        assert changed <= {path.name for path in SCRIPTS if b"<../" in path.read_bytes()}

    def test_every_link_to_a_file_leads_to_one_that_the_reader_has(self, mine):
        """In the scripts, the notebooks, and the pages beside them."""
        goals = {
            ".py": re.compile(r"<([^<>`]+)>`_"),
            ".ipynb": re.compile(r"\]\(([^)]+)\)"),
            ".md": re.compile(r"\]\(([^)]+)\)"),
        }
        followed = 0
        for path in (path for path in mine.rglob("*") if path.suffix in goals):
            for goal in goals[path.suffix].findall(path.read_text("utf-8")):
                if not goal.startswith("https://"):
                    assert (path.parent / goal).exists(), f"{path.name} links to {goal}"
                    followed += 1
        assert followed > 100

    def test_a_link_that_leads_out_of_the_folder_leaves_its_words(self, mine):
        """The script and its notebook are otherwise the tutorial's."""
        out = re.compile(r"`([^`<]+?)\s+(?:# +)?<\.\./[^>]+>`_")
        with_links_out = [path for path in SCRIPTS if out.search(path.read_text("utf-8"))]
        assert len(with_links_out) >= 2
        for path in with_links_out:
            words = out.sub(r"\1", path.read_text("utf-8"))
            assert (mine / path.name).read_text("utf-8") == words
            assert (mine / f"{path.stem}.ipynb").read_text("utf-8") == notebook(words)

    def test_the_exercises_solutions_are_where_a_class_can_leave_them_out(self, site, mine):
        """`minibert exercises start --no-solutions` removes them from adapters/exercises."""
        solutions = {path.parents[1] for path in site.rglob("solution.py")}
        assert solutions == {site / "adapters" / "exercises" / "material"}
        assert not [*mine.rglob("solution.py")]

    def test_a_tutorial_runs_from_the_readers_folder(self, minilm, site, mine, tmp_path):
        printed = run(mine / "07_the_adapter.py", tmp_path, PYTHONPATH=str(site))
        drawn = pictures(printed, tmp_path / "runs" / "tutorials")
        assert drawn == ["07_where_it_sits.png", "07_near_identity.png"]

    @pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
    def test_a_notebook_has_the_code_of_its_script_and_the_text_as_markdown(self, mine, path):
        whole = json.loads((mine / f"{path.stem}.ipynb").read_text("utf-8"))
        assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
        code = [cell["source"] for cell in whole["cells"] if cell["cell_type"] == "code"]
        text = [cell["source"] for cell in whole["cells"] if cell["cell_type"] == "markdown"]
        docstring, *statements = ast.parse(path.read_text("utf-8")).body
        joined = ast.parse("\n\n".join(code))
        assert [*map(ast.dump, joined.body)] == [*map(ast.dump, statements)]
        assert text[0].startswith(ast.literal_eval(docstring.value).strip().split("\n")[0])
        for source in text:  # nothing is left that only reStructuredText has
            assert ":math:" not in source
            assert not [line for line in source.split("\n") if line.startswith(".. ")]
            assert "`_" not in source
        ids = [cell["id"] for cell in whole["cells"]]
        assert len(set(ids)) == len(ids)

    def test_a_file_that_is_there_already_is_never_replaced(self, tmp_path):
        (tmp_path / "03_layer.py").write_text("mine")
        result = minibert("tutorials", "start", tmp_path)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert f"{tmp_path / '03_layer.py'}: is there already" in result.err
        assert files(tmp_path) == {"03_layer.py": b"mine"}

    @pytest.mark.parametrize(
        "words, says",
        [
            ((), "tutorials needs start and a folder: minibert tutorials start DIR"),
            (("start",), "tutorials needs start and a folder"),
            (("begin", "there"), "tutorials needs start and a folder"),
            (("start", "here", "there"), "tutorials needs start and a folder"),
            (("start", "taken"), "taken: is a file, but the tutorials need a folder"),
        ],
    )
    def test_words_that_make_no_sense_are_refused_in_one_line(
        self, tmp_path, monkeypatch, words, says
    ):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "taken").write_text("")
        result = minibert("tutorials", *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert says in result.err
        assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("so :math:`a_b < c` is", "so $a_b < c$ is"),
        (":math:`x\n+ y`", "$x\n+ y$"),
        (
            "see `the paper <https://a.org/b_c>`_ and\nmore",
            "see [the paper](https://a.org/b_c) and\nmore",
        ),
        ("two\n`words <w>`__", "two\n[words](w)"),
        ("A\n-\nas ``x`` *is*, **it** is\n\n* one", "A\n-\nas ``x`` *is*, **it** is\n\n* one"),
        (
            "so\n\n.. math::\n\n   a = b\n   + c\n\nwhere",
            "so\n\n$$\na = b\n+ c\n$$\n\nwhere",
        ),
        (".. math:: \n   a\n", "$$\na\n$$"),
        (
            "x\n\n.. raw:: html\n\n   <details>\n\n   <b>y</b>\n   </details>",
            "x\n\n<details>\n\n<b>y</b>\n</details>",
        ),
    ],
)
def test_the_text_of_a_notebook_is_the_scripts_in_markdown(text, expected):
    assert markdown(text) == expected


def test_a_cell_of_code_keeps_its_comments_and_a_cell_of_text_loses_its_marks():
    script = (
        '"""\nT\n=\n"""\n\nimport os\n\n# %% [markdown]\n# A *b*\n#\n# c\n\n# %%\nx = 1  # y\n# z\n'
    )
    cells = json.loads(notebook(script))["cells"]
    assert [(cell["cell_type"], cell["source"]) for cell in cells] == [
        ("markdown", "T\n="),
        ("code", "import os"),
        ("markdown", "A *b*\n\nc"),
        ("code", "x = 1  # y\n# z"),
    ]
