"""What the README shows is what happens: its commands run, its tables are the code's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.recipes import DIFFERENCES
from minibert.checkpoint import Base

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)


def commands() -> list[str]:
    """The command lines of its sh blocks, without comments."""
    lines = (
        line.partition("  #")[0].strip() for block in blocks("sh") for line in block.split("\n")
    )
    return [line for line in lines if line]


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


def test_the_readmes_commands_run_in_their_order(minilm: Base, tmp_path):
    """Every `minibert ...` line, in a fresh folder, as a newcomer types it; then its Python."""
    paths = {"MINIBERT_HOME": str(minilm.folder.parent), "PYTHONPATH": str(ROOT)}
    shell = {**os.environ, **paths}
    lines = [line for line in commands() if line.startswith("minibert ")]
    assert {line.split()[1] for line in lines} == {
        "fetch", "info", "train", "evaluate", "predict", "exercises",
    }  # fmt: skip
    for line in lines:
        module = f"'{sys.executable}' -m minibert"
        done = subprocess.run(
            line.replace("minibert", module, 1),
            shell=True, cwd=tmp_path, env=shell, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), line
    (python,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", python],
        cwd=tmp_path, env=shell, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "('negative', 'positive') [[" in done.stdout


def test_the_readmes_recipe_table_is_the_codes():
    for setting, paper, code in DIFFERENCES:
        assert f"| {setting} | {paper} | {code} |" in README


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_exist(page):
    text = (ROOT / page).read_text("utf-8")
    linked = re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)
    for target in linked:
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
    if page == "docs/architecture.md":
        for package in ("minibert", "adapters"):
            for file in (ROOT / package).rglob("*.py"):
                if file.name != "__init__.py":
                    assert f"`{file.name}`" in text, (
                        f"{page} does not tell of {package}/{file.name}"
                    )
