"""What the README and the pages of docs/ show is what happens: their commands run, their tables are
the code's."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import RECIPE_TABLE

from adapters.cli.commands import COMMANDS
from adapters.cli.options import make_parser
from adapters.methods.table import VARIANTS, adapter_parameters, method_named, method_rows
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


@pytest.mark.parametrize("page", ["README", "command-line"])
def test_the_commands_of_a_page_run_in_their_order(page, minilm: Base, tmp_path):
    """Every `minibert ...` line, in a fresh folder, as a newcomer types it; then the Python."""
    text = README if page == "README" else PAGES[page]
    paths = {"MINIBERT_HOME": str(minilm.folder.parent), "PYTHONPATH": str(ROOT)}
    shell = {**os.environ, **paths}
    lines = [line for line in commands(text) if line.startswith("minibert ")]
    assert {line.split()[1] for line in lines} == {
        "fetch",
        "info",
        "train",
        "evaluate",
        "predict",
        "exercises",
    }
    rows = [f'"Warm, funny, {i} times.",5\n"A waste of {i} hours.",1' for i in range(20)]
    (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *rows]))
    shutil.copy(tmp_path / "reviews.csv", tmp_path / "new.csv")
    for line in lines:
        module = f"'{sys.executable}' -m minibert"
        done = subprocess.run(
            line.replace("minibert", module, 1),
            shell=True,
            cwd=tmp_path,
            env=shell,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), line
    python = "\n".join(blocks("python", README if page == "README" else PAGES["python"]))
    done = subprocess.run(
        [sys.executable, "-c", python],
        cwd=tmp_path,
        env=shell,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "('negative', 'positive') [[" in done.stdout


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
    whole = count(minilm.params) + 2 * (minilm.config.hidden_size + 1)
    assert rows(PAGES["methods"], "method") == [
        [str(method), what, f"{trained:,}", f"{100 * trained / whole:.3f} %"]
        for method, what, trained in method_rows(minilm.config)
    ]
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
