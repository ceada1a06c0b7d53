"""What the README and the pages of docs/ show is what happens: their commands run, their tables are
the code's."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cases import RECIPE_TABLE
from command_line import minibert

from adapters.cli.commands import COMMANDS
from adapters.cli.options import make_parser
from adapters.methods.method import split
from adapters.methods.table import VARIANTS, adapter_parameters, method_named, method_rows
from adapters.recipes import recipe_named
from adapters.task_model import new_task_model
from minibert import BertConfig
from minibert.checkpoint import Base
from minibert.parameters import parameter_shapes
from minibert.tree import count

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")}


def blocks(language: str, text: str = README) -> list[str]:
    """A page's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def commands(text: str = README) -> list[str]:
    """The command lines of a page's sh blocks, without comments."""
    lines = (
        line.partition("  #")[0].strip()
        for block in blocks("sh", text)
        for line in block.split("\n")
    )
    return [line for line in lines if line]


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table with that heading, row by row."""
    (body,) = re.findall(rf"^\| {re.escape(heading)} .*\n\|[-|]+\n((?:\|.*\n)+)", text, flags=re.M)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]


def test_the_readme_is_short_and_begins_with_the_one_page():
    assert len(README.splitlines()) <= 130
    assert re.search(r"\]\(([^)]+)\)", README)[1] == "tutorials/00_one_page.py"


def test_the_readmes_make_commands_are_targets_that_set_themselves_up():
    targets = {line.split()[1] for line in commands() if line.startswith("make ")}
    assert targets == {"demo", "test"}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in targets:
        assert re.search(rf"^{target}: \$\(VENV\)/installed-\w+$", makefile, flags=re.M)


def test_continuous_integration_runs_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text("utf-8").strip().split("\n")
    assert "make test" in script  # a line of its own, under no condition
    assert "set -euo pipefail" in script  # and its failure is the script's
    assert "export MINIBERT_REQUIRE_DATA=1" in script


COMMANDS_SHOWN = {"fetch", "info", "train", "evaluate", "predict", "exercises", "tutorials"}
RIGHT = {"What a lovely day.": "positive", "What a terrible day.": "negative"}
ALSO_RIGHT = {"The best coffee I have had in years.": "positive"}


@dataclass(frozen=True)
class Shell:
    """A fresh working copy, with the shell that a reader types into. `make` and `pip`, which need
    the network and tests of their own, only say that they were asked; what `make demo` would
    install is there already."""

    folder: Path
    environment: dict[str, str]

    def paste(self, lines: list[str]) -> list[str]:
        """What each line, or several as one, printed, all pasted into one shell in their order;
        each works."""
        mark = "#" * 40
        script = "\n".join(f"{line}\necho '{mark}'" for line in ["set -e", *lines])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        _, *printed, rest = done.stdout.split(f"{mark}\n")
        assert done.returncode == 0, f"{lines[len(printed)]}\n{rest}\n{done.stderr}"
        return printed


def pasted_blocks(text: str) -> list[str]:
    """What a page has to paste, in its order: lines for the shell, and blocks for Python."""
    found = []
    for language, block in re.findall(r"^```(sh|python)\n(.*?)^```$", text, flags=re.M | re.S):
        whole = [f"python - <<'END'\n{block}END"]
        found += block.splitlines() if language == "sh" else whole
    return found


@pytest.fixture(scope="module")
def fresh(minilm: Base, tmp_path_factory) -> Shell:
    """A working copy as `make demo` leaves it, but for its own results."""
    folder = tmp_path_factory.mktemp("fresh") / "minibert"
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("minibert", "adapters", "tutorials"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    (folder / "weights").mkdir()
    for path in (ROOT / "weights").glob("*.toml"):
        shutil.copy(path, folder / "weights")
    venv.create(folder / ".venv", with_pip=False)
    programs = folder / ".venv" / "bin"
    (site,) = (folder / ".venv" / "lib").glob("python*/site-packages")
    (site / "installed.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")
    begin = f"#!{programs / 'python'}\nimport sys\n"
    scripts = {
        "minibert": f"{begin}from minibert.__main__ import main\nsys.exit(main())\n",
        "pip": f"{begin}print('pip', *sys.argv[1:])\n",
        "make": f"{begin}print('make', *sys.argv[1:])\n",
    }
    for name, script in scripts.items():
        path = programs / name if name != "make" else folder.parent / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
    inherited = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "VIRTUAL_ENV")}
    path = os.pathsep.join([str(folder.parent / "bin"), os.environ["PATH"]])
    places = {"MINIBERT_HOME": str(minilm.folder.parent), "PATH": path}
    return Shell(folder, {**inherited, **places})


@pytest.fixture(scope="module")
def printed(fresh) -> dict[str, str]:
    """What each line and block of the README printed, by what was pasted."""
    lines = pasted_blocks(README)
    return dict(zip(lines, fresh.paste(lines), strict=True))


class TestPasted:
    """The README from its first line to its last, then the page of the command line, as a newcomer
    pastes them."""

    def test_every_command_of_the_readme_is_answered(self, printed):
        assert {line.split()[1] for line in printed if line[:9] == "minibert "} == COMMANDS_SHOWN
        for line, said in printed.items():
            assert said.strip() or line.startswith("."), line  # `.` reads a file

    def test_the_task_of_the_command_line_knows_a_lovely_from_a_terrible_day(self, printed, fresh):
        (line,) = (line for line in printed if line.startswith("minibert predict"))
        answers = [row.split("\t") for row in printed[line].splitlines()]
        assert {text: label for label, _, text in answers} == RIGHT
        task = "minibert predict runs/taste/task.safetensors"
        words = " ".join(f'"{text}"' for text in ALSO_RIGHT)
        _, more = fresh.paste([". .venv/bin/activate", f"{task} {words}"])
        answers = [row.split("\t") for row in more.splitlines()]
        assert {text: label for label, _, text in answers} == ALSO_RIGHT

    def test_so_does_the_task_of_the_first_python(self, printed):
        (said,) = (said for said in printed.values() if "('negative', 'positive') [[" in said)
        chances = [[float(c) for c in row.split()] for row in re.findall(r"\[([^\[\]]+)\]", said)]
        labels = [("negative", "positive")[int(np.argmax(row))] for row in chances]
        assert labels == [*RIGHT.values(), *ALSO_RIGHT.values()]
        (block,) = (block for block in printed if "predict_texts" in block)
        assert str([*RIGHT, *ALSO_RIGHT]).replace("'", '"') in block

    def test_and_the_estimator(self, printed, fresh):
        (block,) = (block for block in printed if "AdapterClassifier" in block)
        assert f"predict({[*RIGHT]})".replace("'", '"') in block
        assert printed[block] == "[1 0]\n"  # GLUE's numbers: 1 is positive
        task = "minibert predict runs/reviews.safetensors"
        words = " ".join(f'"{text}"' for text in ALSO_RIGHT)
        _, more = fresh.paste([". .venv/bin/activate", f"{task} {words}"])
        assert [row.split("\t")[0] for row in more.splitlines()] == ["1"]

    def test_every_command_of_the_page_of_commands_is_answered(self, printed, fresh):
        """Where the README has left off; what it ran, such as the training, is not run again."""
        lines = commands(PAGES["command-line"])
        assert {line.split()[1] for line in lines} == COMMANDS_SHOWN
        new = [line for line in lines if line not in printed]
        assert new
        for line, said in zip(new, fresh.paste([". .venv/bin/activate", *new])[1:], strict=True):
            assert said.strip(), line

    def test_the_python_of_the_page_of_python_runs(self, printed, fresh):
        lines = pasted_blocks(PAGES["python"])
        said = "".join(fresh.paste([". .venv/bin/activate", *lines]))
        assert "('negative', 'positive') [[" in said


@pytest.mark.parametrize("text", [README, PAGES["python"]], ids=["README", "python"])
def test_python_on_the_pages_imports_from_the_two_packages_themselves(text):
    for block in blocks("python", text):
        imported = [n for n in ast.walk(ast.parse(block)) if isinstance(n, ast.ImportFrom)]
        assert {node.module for node in imported} <= {"adapters", "minibert"}
        for node in imported:
            public = importlib.import_module(node.module).__all__
            assert {name.name for name in node.names} <= set(public)


def test_every_call_that_the_python_page_names_is_there():
    calls = re.findall(r"`((?:minibert|adapters)\.[\w.]+)\(", PAGES["python"])
    assert len(calls) >= 25
    for call in calls:
        module, _, name = call.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), call
    for package in ("minibert", "adapters"):  # the public names it tells of are public
        named = {name for name in re.findall(rf"`{package}\.(\w+)\(", PAGES["python"])}
        assert named <= set(importlib.import_module(package).__all__)


def test_the_command_line_page_has_every_option_of_every_command():
    parser = make_parser(COMMANDS)
    (commands_of,) = (a.choices for a in parser._actions if isinstance(a.choices, dict))
    sections = re.split(r"^## (\w+)$", PAGES["command-line"], flags=re.M)[1:]
    told = dict(zip(sections[::2], sections[1::2], strict=True))
    assert told.keys() == commands_of.keys()
    for name, command in commands_of.items():
        options = {option for action in command._actions for option in action.option_strings}
        own = {option for option in options if option.startswith("--")} - {"--help"}
        assert set(re.findall(r"--[a-z][a-z-]+", told[name])) >= own, name
        in_tables = re.findall(r"^\| (`--.*?`) \|", told[name], flags=re.M)
        assert {o for cell in in_tables for o in re.findall(r"--[\w-]+", cell)} <= own, name


BASES = {"MiniLM-L6": (6, 384), "BERT-base": (12, 768), "BERT-large": (24, 1024)}


def test_the_readmes_parameters_are_counted():
    for name, (layers, d) in BASES.items():
        config = BertConfig(
            hidden_size=d,
            num_hidden_layers=layers,
            intermediate_size=4 * d,
            num_attention_heads=d // 64,
        )
        sizes = {path: int(np.prod(shape)) for path, shape in parameter_shapes(config).items()}
        norms = sum(size for path, size in sizes.items() if ".norm." in path)
        adapters = [adapter_parameters(config, method_named("adapters", m)) for m in (8, 64, 256)]
        (row,) = (row for row in rows(README, "base") if row[0].startswith(name))
        assert row == [
            f"{name} ({layers} x {d})",
            f"{sum(sizes.values()):,}",
            f"{norms:,}",
            f"{adapters[1] // (2 * layers):,}",
            " / ".join(f"{n:,}" for n in adapters),
        ]


def test_the_methods_page_has_the_tables_of_the_code(minilm: Base):
    for setting, paper, code in RECIPE_TABLE:
        assert f"| {setting} | {paper} | {code} |" in PAGES["methods"]
    shown = []  # counted on the models themselves; the pooler is none of them
    for method, what, _ in method_rows(minilm.config, pooler=False):
        model = new_task_model(minilm, method, recipe_named("paper"), 2, 0)
        trained, whole = count(split(model.tree, method)[0]), count(model.tree)
        shown.append([str(method), what, f"{trained:,}", f"{100 * trained / whole:.3f} %"])
    assert rows(PAGES["methods"], "method") == shown
    told = minibert("info", minilm.folder).out.partition("The methods")[2]
    lines = [re.split(r" {2,}", line) for line in told.splitlines()[4:]]
    assert lines == shown  # and so does the command
    assert "(so the pooler does not count)" in told
    assert sorted(rows(PAGES["methods"], "variant")) == sorted(
        [f"`{name}`", what] for name, (what, _) in VARIANTS.items()
    )


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "weights/README.md",
        *(f"docs/{name}.md" for name in sorted(PAGES)),
    ],
)
def test_files_that_a_page_names_exist(page):
    text = (ROOT / page).read_text("utf-8")
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", text)
    for target in linked:
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
