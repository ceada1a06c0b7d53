"""The site, `make docs`: what it is made of, as far as that needs neither Sphinx nor a browser.

What a browser shows of it is in `test_site_in_a_browser.py`.
"""

import ast
import importlib.util
import json
import os
import pkgutil
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import listings
import pytest

import adapters
import minibert
from adapters.tutorials.start import tutorial_files
from minibert import Base

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def script(path: Path):
    """A Python file of docs/, which is no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stage = script(DOCS / "stage.py")
plain_docstrings = script(DOCS / "extensions" / "plain_docstrings.py")
tutorial_pages = script(DOCS / "extensions" / "tutorial_pages.py")


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    """The pages of this repository, as `make docs` lays them out for Sphinx."""
    folder = tmp_path_factory.mktemp("site") / "source"
    stage.stage(staged=folder)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository of almost nothing, to be filled."""
    for folder in ("docs/interactive", "minibert", "adapters", "tutorials/exercises", "weights"):
        (tmp_path / folder).mkdir(parents=True)
    for page in stage.BORROWED:
        (tmp_path / page).write_text("# A page\n", "utf-8")
    (tmp_path / "docs" / "architecture.md").write_text("# Architecture\n", "utf-8")
    (tmp_path / "docs" / "gallery.rst").write_text("Tutorials\n=========\n", "utf-8")
    for name in ("parameters.html", "parameters.js"):
        shutil.copy(DOCS / "interactive" / name, tmp_path / "docs" / "interactive" / name)
    (tmp_path / stage.FORMULA).parent.mkdir()
    shutil.copy(ROOT / stage.FORMULA, tmp_path / stage.FORMULA)
    return tmp_path


class TestSettings:
    def test_sphinx_is_told_to_load_nothing_from_elsewhere(self):
        settings = runpy.run_path(str(DOCS / "conf.py"))
        assert settings["html_math_renderer"] == "mathml"  # ours: no script, no fonts
        assert "sphinx.ext.intersphinx" not in settings["extensions"]
        assert settings["html_css_files"] == ["site.css"]
        assert "url(" not in (DOCS / "static" / "site.css").read_text("utf-8")
        assert settings["release"] == minibert.__version__

    @pytest.mark.parametrize("given, runs", [(None, True), ("1", True), ("0", False)])
    def test_the_tutorials_are_run_unless_one_asks_for_a_quick_build(
        self, monkeypatch, given, runs
    ):
        monkeypatch.delenv("MINIBERT_DOCS_RUN", raising=False)
        if given is not None:
            monkeypatch.setenv("MINIBERT_DOCS_RUN", given)
        gallery = runpy.run_path(str(DOCS / "conf.py"))["sphinx_gallery_conf"]
        assert gallery["plot_gallery"] is runs
        pattern = re.compile(gallery["filename_pattern"])
        assert all(pattern.search(str(path)) for path in stage.tutorials())

    def test_warnings_are_errors_and_the_target_sets_itself_up(self):
        makefile = (ROOT / "Makefile").read_text("utf-8")
        options = re.search(r"^SPHINX := .* -m sphinx (.*)$", makefile, re.M)[1].split()
        assert {"-W", "-n", "--keep-going"} <= set(options)
        for target, extra in (("docs", "docs"), ("linkcheck", "docs"), ("docs-test", "browser")):
            assert re.search(rf"^{target}: \$\(VENV\)/installed-{extra}\b", makefile, re.M), target

    def test_what_is_built_is_not_kept_by_git(self):
        assert "docs/_build/" in (ROOT / ".gitignore").read_text("utf-8").split("\n")


class TestPages:
    def test_every_public_module_has_an_api_page(self, staged):
        names = {"minibert", "adapters"}
        for package in (minibert, adapters):
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                if not module.name.rpartition(".")[2].startswith("_"):
                    names.add(module.name)
        assert len(names) > 100  # both packages were walked, with what is in them
        for name in names:
            page = (staged / "api" / f"{name}.rst").read_text("utf-8")
            assert f".. automodule:: {name}\n   :members:" in page, name
        index = (staged / "api" / "index.md").read_text("utf-8")
        listed = re.search(r"```\{toctree\}\n:hidden:\n\n(.*?)\n```", index, re.S)[1].split("\n")
        assert listed == [group.package.replace("/", ".") for group in stage.described()]
        for package in listed:  # the sidebar has the modules of a package below it
            page = (staged / "api" / f"{package}.rst").read_text("utf-8")
            below = re.findall(r"^   (\S+) <(\S+)>$", page.partition(".. toctree::")[2], re.M)
            assert [f"{package}.{short}" for short, _ in below] == [full for _, full in below]
            listed = [*listed, *(full for _, full in below)]
        assert names <= set(listed)

    def test_the_api_is_grouped_as_the_architecture_page_groups_it(self, staged):
        index = (staged / "api" / "index.md").read_text("utf-8")
        groups = re.findall(r"^## (\S+)$", index, re.M)
        described = {group.package: group for group in stage.described()}
        assert groups == [package.replace("/", ".") for package in described]
        lora, pfeiffer = (
            f"[`{name}`](adapters.methods.{name}.rst)" for name in ("lora", "pfeiffer")
        )
        together = f"| {lora}, {pfeiffer} | beyond the paper"
        assert together in index.partition("## adapters.methods\n")[2]
        # every package has a group, and every module of a package is in a row of it
        packages = [
            path.parent for name in stage.PACKAGES for path in (ROOT / name).rglob("__init__.py")
        ]
        assert described.keys() == {path.relative_to(ROOT).as_posix() for path in packages}
        for package, group in described.items():
            told = [name for names, _ in group.rows for name in names]
            files = (ROOT / package).glob("*.py")
            there = [f"{package}/{p.stem}".replace("/", ".") for p in files]
            own = package.replace("/", ".") + ".__init__"
            assert sorted(told) == sorted(set(there) - {own}), package

    def test_every_tutorial_is_in_the_gallery_in_its_order(self, staged):
        numbered = sorted(p.name for p in (ROOT / "tutorials").glob("[0-9]*.py"))
        assert sorted(p.name for p in (staged / "scripts").glob("*.py")) == numbered
        gallery = runpy.run_path(str(DOCS / "conf.py"))["sphinx_gallery_conf"]
        assert gallery["within_subsection_order"] == "FileNameSortKey"
        header = (staged / "scripts" / "GALLERY_HEADER.rst").read_text("utf-8")
        order = re.findall(r"^   (\d\d) .+ <(\d\d_\w+)>$", header.partition("toctree::")[2], re.M)
        assert [f"{stem}.py" for _, stem in order] == numbered
        assert all(stem.startswith(number) for number, stem in order)
        for name in numbered:  # the same but for its links
            folders = (staged / "scripts", ROOT / "tutorials")
            made, own = ((folder / name).read_text("utf-8") for folder in folders)
            assert re.sub(r"<[^<>\n]+>`_", "", made) == re.sub(r"<[^<>\n]+>`_", "", own)

    def test_the_notebooks_are_those_of_the_command_and_nothing_else_makes_any(self, staged):
        """`minibert tutorials start` writes them; test_wheel.py looks into each."""
        gallery = runpy.run_path(str(DOCS / "conf.py"))["sphinx_gallery_conf"]
        assert not gallery["notebook_extensions"]
        command = {n: text for n, text in tutorial_files().items() if n.endswith(".ipynb")}
        made = {path.name: path.read_bytes() for path in (staged / "tutorials").glob("*.ipynb")}
        assert made == command
        assert len(made) == len(stage.tutorials())
        for name, text in made.items():
            whole = json.loads(text)
            assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
            told = [c["source"] for c in whole["cells"] if c["cell_type"] == "markdown"]
            left = re.compile(r"^\s*\.\. [\w-]+::|:\w+:`|`_\b", re.M)
            assert not left.search("\n".join(told)), name

    def test_what_a_tutorial_reads_is_where_it_is_run(self, staged):
        data = sorted((ROOT / "tutorials").glob("*/*.json"))
        assert data
        for path in data:
            name = path.relative_to(ROOT / "tutorials")
            assert (staged / "scripts" / name).read_bytes() == path.read_bytes()

    def test_every_page_can_be_reached_from_the_first(self, staged):
        trees = (p.read_text("utf-8") for p in staged.glob("*.md"))
        listed = set(
            re.findall(
                r"^[\w/*-]+$",
                "\n".join(
                    tree
                    for text in trees
                    for tree in re.findall(r"```\{toctree\}(.*?)```", text, re.S)
                ),
                re.M,
            )
        )
        pages = {p.relative_to(staged).with_suffix("").as_posix() for p in staged.glob("*.md")}
        assert pages - {"index"} <= listed
        assert {"tutorials/index", "api/index", "results/**"} <= listed

    def test_reading_order_and_picture_are_those_of_the_readme(self):
        readme = (ROOT / "README.md").read_text("utf-8")
        order = re.search(r"\*\*Read\*\*, in this order: (.*?)\.\n", readme, re.S)[1]
        files = re.findall(r"`(\w+\.py)`", order)
        page = (DOCS / "reading-order.md").read_text("utf-8")
        assert re.findall(r"^\d\. \[`[\w/]+/(\w+\.py)`\]", page, re.M) == files
        picture = ElementTree.parse(DOCS / "figures" / "architecture.svg").getroot()
        words = [e for e in picture.iter() if e.tag.endswith("}text")]
        texts = [(e.get("class"), e.text, float(e.get("y"))) for e in words]
        for number, file in enumerate(files, 1):
            (height,) = (y for kind, text, y in texts if (kind, text) == ("n", str(number)))
            (beside,) = (text for kind, text, y in texts if kind == "c" and y == height)
            assert beside == file

    def test_an_afternoon_is_enough_for_what_is_to_be_read(self):
        """At most six files and 900 lines; the page rounds the lines of each to tens."""
        page = (DOCS / "reading-order.md").read_text("utf-8")
        listed = re.findall(r"^\d\. \[`([\w/]+\.py)`\]\(\S+\), about (\d+) lines", page, re.M)
        lines = [len((ROOT / file).read_text("utf-8").splitlines()) for file, _ in listed]
        assert len(listed) <= 6
        assert sum(lines) <= 900
        assert [abs(int(told) - real) <= 10 for (_, told), real in zip(listed, lines, strict=True)]
        assert abs(int(re.search(r"Together about (\d+) lines", page)[1]) - sum(lines)) <= 20


class TestTheFirstPage:
    page = (DOCS / "index.md").read_text("utf-8")

    def test_its_six_lines_of_code_do_what_they_say(self, minilm: Base, tmp_path):
        (code,) = re.findall(r"^```python\n(.*?)^```", self.page, re.M | re.S)
        assert len(code.split("\n\n")) == 2  # imports, and what is done
        assert len([line for line in code.splitlines() if line]) == 6
        good, bad = ("Lovely", "Wonderful", "Very good"), ("Awful", "Terrible", "Very bad")
        rows = [
            f"{word} {what}.,{stars}"
            for what in ("day", "food", "film")
            for words, stars in ((good, 5), (bad, 1))
            for word in words
        ]
        (tmp_path / "reviews.csv").write_text("\n".join(["review,stars", *rows]))
        paths = {"MINIBERT_HOME": str(minilm.folder.parent), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith("[5]")
        assert (tmp_path / "runs" / "reviews.safetensors").exists()

    def test_it_installs_this_distribution_with_what_its_code_needs(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        found = re.findall(r"pip install '([\w.-]+)\[([\w,]+)\]' pandas\b", self.page)
        assert [name for name, _ in found] == [".", project["name"]]  # in a checkout, and released
        for _, extras in found:
            assert set(extras.split(",")) <= project["optional-dependencies"].keys()

    def test_it_leads_to_learning_teaching_and_using(self):
        assert re.findall(r"^:::\{grid-item-card\} (\w+)$", self.page, re.M) == [
            "Learn",
            "Teach",
            "Use",
        ]
        assert '<a href="interactive/parameters.html">' in self.page  # the sliders, in one click
        start = re.search(r"^:::\{container\} start\n(.*?)^:::$", self.page, re.M | re.S)[1]
        assert "(reading-order.md)" in start  # the code
        assert '<a href="_modules/index.html">' in start  # all of it

    def test_its_pictures_say_in_words_what_they_show(self):
        pictures = re.findall(r"^!\[(.*)\]\(figures/(.*)\)$", self.page, re.M)
        assert [file for _, file in pictures] == ["layer.svg", "demo.png"]
        assert all(len(words.split()) > 20 for words, _ in pictures)


class TestLists:
    """What the site lists is what is there."""

    def test_each_tutorial_is_listed_with_its_number_a_sentence_and_its_minutes(self, staged):
        header = (staged / "scripts" / "GALLERY_HEADER.rst").read_text("utf-8")
        table = (ROOT / "tutorials" / "README.md").read_text("utf-8")
        cards = header.split(".. grid-item-card:: ")[1:]
        assert len(cards) == len(stage.tutorials()) > 15
        for card, path in zip(cards, stage.tutorials(), strict=True):
            said = ast.get_docstring(ast.parse(path.read_text("utf-8")))
            assert card.startswith(f"{path.stem[:2]} {said.splitlines()[0]}\n")
            assert f":link: {path.stem}\n" in card
            (sentence, minutes) = re.findall(r"^      (\w.*)$", card, re.M)
            assert sentence[0].isupper()
            assert sentence.endswith(".")
            assert re.fullmatch(r"\d+ minutes to read", minutes)
            row = next(line for line in table.split("\n") if line.startswith(f"| [{path.name}]"))
            assert row.split(" | ")[-2] == minutes.split()[0], f"the table says: {row}"
            for picture in re.findall(r":img-top: /(\S+)\n      :img-alt: \w", card):
                assert (staged / picture).exists()

    def test_a_tutorial_that_does_not_say_what_one_learns_is_named(self, tmp_path):
        path = tmp_path / "42_silent.py"
        path.write_text('"""\nSilent\n======\n\nNothing.\n"""\n', "utf-8")
        with pytest.raises(ValueError, match=r"42_silent\.py does not say '\*\*You will learn"):
            listings.tutorial(path)

    def test_a_link_from_one_tutorial_to_another_leads_to_its_page(self, small):
        text = (ROOT / "tutorials" / "19_meaning.py").read_text("utf-8")
        assert "<20_pretraining.py>`_" in text
        made = stage.script(ROOT / "tutorials" / "19_meaning.py")
        assert "<20_pretraining.html>`_" in made
        assert not re.search(r"<[\w/.]+\.py>`_", made)

    def test_a_link_to_a_file_without_a_page_is_an_error(self, tmp_path):
        path = tmp_path / "21_more.py"
        path.write_text('"""`this <22_none.py>`_"""\n', "utf-8")
        with pytest.raises(ValueError, match=r"21_more\.py links to 22_none\.py, which"):
            stage.script(path)

    def test_a_new_tutorial_comes_into_the_list_by_itself(self, small):
        said = "**You will learn** what is new, and\nwhy. **Time:** 5 minutes to\nread."
        path = small / "tutorials" / "18_new.py"
        path.write_text(f'"""\nNew\n===\n\n{said}\n"""\n', "utf-8")
        header = stage.tutorial_files(small)["scripts/GALLERY_HEADER.rst"].decode()
        assert ".. grid-item-card:: 18 New\n      :link: 18_new\n" in header
        assert "\n      What is new, and why.\n" in header
        assert "\n      5 minutes to read\n" in header
        assert "\n   18 New <18_new>\n" in header
        assert ":img-top:" not in header  # it has no small picture yet

    def test_each_exercise_is_listed_with_its_tutorial(self, staged):
        page = (staged / "exercises.md").read_text("utf-8")
        rows = re.findall(
            r"^\| (\d+) \| (.+?) \| \[.+?\]\((.+?)\) \| (\d+) \| (\d) \| (.+) \|$", page, re.M
        )
        known = tomllib.loads((ROOT / "tutorials/exercises/info.toml").read_text("utf-8"))
        assert [(int(row[0]), *row[1:]) for row in rows] == [
            (
                one["number"],
                one["title"],
                f"tutorials/{one['tutorial']}.rst",
                str(one["minutes"]),
                str(one["difficulty"]),
                one["goal"],
            )
            for one in known["exercise"]
        ]

    def test_the_page_of_exercises_is_for_students_and_teachers(self, staged):
        """How to add one is on the contributors' page."""
        page = (staged / "exercises.md").read_text("utf-8")
        for words in ("exercises start", "exercises hint", "exercises solution", "(teaching.md)"):
            assert words in page
        told = (staged / "contributing.md").read_text("utf-8").partition("\n## An exercise\n")[2]
        for file in ("stub.py", "check.py", "wrong.toml", "info.toml"):
            assert f"{file}`" not in page
            assert f"{file}`" in told

    def test_the_first_page_of_the_ledger_counts_the_verdicts(self, staged):
        page = (staged / "ledger.md").read_text("utf-8")
        ledger = (ROOT / "results/minilm-full/claims.md").read_text("utf-8")
        counts = listings.verdicts(ledger)
        holds, fails, undecided = (counts[verdict] for verdict in listings.VERDICTS)
        assert re.search(
            rf"^Of {holds + fails + undecided} claims, {holds} holds?, {fails} (do|does) not hold, "
            rf"{undecided} (is|are) not decided",
            ledger,
            re.M,
        )
        link = "[`minilm-full`](results/minilm-full/claims.md)"
        assert f"| {link} | **{holds}** | **{fails}** | **{undecided}** |" in page
        assert page.index(link) < page.index("claims of the paper, each")

    def test_a_tutorials_page_begins_with_its_notebook_and_its_script(self):
        page = (
            ".. only:: html\n\n    .. note::\n        :class: sphx-glr-download-link-note\n\n"
            "        :ref:`Go to the end <x>`\n        to download the full example code.\n\n"
            ".. rst-class:: sphx-glr-example-title\n\n.. _sphx_glr_tutorials_07_a.py:\n\n\n"
            "The adapter\n===========\n\nText.\n\n"
            ".. _sphx_glr_download_tutorials_07_a.py:\n\n.. only:: html\n\n"
            "  .. container:: sphx-glr-footer sphx-glr-footer-example\n\n"
            "      :download:`Download zipped: 07_a.zip <07_a.zip>`\n"
        )
        made = tutorial_pages.with_buttons(page)
        assert "Go to the end" not in made
        title, rest = made.split("===========\n")
        assert title.endswith("The adapter\n")
        files = re.findall(r":download:`.+ <(.+)>`", rest)
        assert files == ["07_a.ipynb", "07_a.py"]
        assert rest.rstrip().endswith("\nText.")

    def test_an_index_that_is_made_otherwise_by_sphinx_gallery_is_an_error(self):
        index = 'Ours.\n\n.. raw:: html\n\n    <div class="sphx-glr-thumbnails">\n\nTheirs.\n'
        assert tutorial_pages.without_what_is_added(index) == "Ours.\n\n"
        with pytest.raises(ValueError, match="sphinx-gallery's part"):
            tutorial_pages.without_what_is_added("Ours.\n")


class TestEquations:
    """An equation that has a paragraph to itself is displayed; others stay in their line."""

    @pytest.mark.parametrize(
        "text, shown",
        [
            (":math:`a = b`.", r"a = b\text{.}"),
            (":math:`a = b`", "a = b"),
            ("So :math:`a = b`.", None),
            (":math:`a = b` and :math:`c`.", None),
            (":math:`a = b`, as said.", None),
        ],
    )
    def test_an_equation_alone_in_its_paragraph_is_displayed(self, text, shown):
        pytest.importorskip("sphinx")
        core, nodes = (pytest.importorskip(f"docutils.{name}") for name in ("core", "nodes"))
        mathml = script(DOCS / "extensions" / "mathml.py")
        doctree = core.publish_doctree(text)
        mathml.display(None, doctree)
        found = [block.astext() for block in doctree.findall(nodes.math_block)]
        assert found == ([] if shown is None else [shown])
        assert bool(list(doctree.findall(nodes.paragraph))) == (shown is None)


WINGS = {"fused", "training", "data", "fetch", "machine"}


@cache
def arrows() -> dict[str, set[str]]:
    """Each module of minibert, adapters and tutorials, and those of them that it imports, wherever
    in its code, for a type checker too."""
    files = {name: ROOT / name.replace(".", "/") for name in stage.modules()}
    files = {
        name: path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for name, path in files.items()
    } | {f"tutorials.{path.stem}": path for path in stage.tutorials()}

    def imported(path: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                modules = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (name if name in files else node.module for name in modules)

    return {name: set(imported(path)) & files.keys() for name, path in files.items()}


def all_arrows() -> Iterator[tuple[str, str]]:
    """(module, a module that it imports)."""
    return ((name, goal) for name, goals in arrows().items() for goal in goals)


FLOORS = ("minibert", "adapters", "tutorials")


def floor(name: str) -> int:
    """0 for a module of minibert, 1 for one of adapters, 2 for a tutorial."""
    return FLOORS.index(name.split(".")[0])


def wing(name: str) -> str | None:
    """The wing of minibert that a module is in; None for the book."""
    return next(iter(WINGS & set(name.split(".")[1:2])), None)


class TestArrows:
    """docs/architecture.md: dependencies point one way."""

    def test_minibert_imports_no_adapters_and_neither_imports_a_tutorial(self):
        arrows_up = {(a, b) for a, b in all_arrows() if floor(a) < floor(b)}
        assert arrows_up == {("minibert.__main__", "adapters.cli")}  # the launcher, when it is run

    def test_the_book_imports_no_wing_but_fused(self):
        book = {(a, wing(b)) for a, b in all_arrows() if floor(a) == 0 and not wing(a) and wing(b)}
        assert {goal for _, goal in book} == {"fused", "machine"}
        # whose processor module is imported first of all, before anything else loads NumPy
        assert {name for name, goal in book if goal == "machine"} == {"minibert"}
        assert {b for a, b in all_arrows() if a == "minibert" and wing(b)} == {
            "minibert.machine.processor"
        }

    def test_there_are_no_circles(self):
        graph = {name: set(goals) for name, goals in arrows().items()}
        graph["minibert.__main__"].remove("adapters.cli")
        order = list(TopologicalSorter(graph).static_order())  # raises CycleError for a circle
        assert len(order) > 100


class TestLedger:
    def test_without_results_a_page_says_how_to_make_them(self, small):
        pages = stage.markdown_pages(small)
        assert "minibert reproduce --budget quick" in pages["results/none.md"]

    def test_each_reproduction_that_is_there_has_its_ledger_and_report(self, small):
        folder = small / "results" / "minilm-quick"
        (folder / "figures").mkdir(parents=True)
        (folder / "figures" / "a.png").write_bytes(b"picture")
        (folder / "claims.md").write_text("# Claims\n", "utf-8")
        (folder / "results.md").write_text("# Report\n\n![a](figures/a.png)\n", "utf-8")
        staged = small / "staged"
        stage.stage(small, staged)
        assert (staged / "results/minilm-quick/claims.md").read_text("utf-8") == "# Claims\n"
        shown = re.search(
            r"!\[a\]\((.*)\)", (staged / "results/minilm-quick/results.md").read_text()
        )
        assert (staged / "results/minilm-quick" / shown[1]).read_bytes() == b"picture"
        assert not (staged / "results/none.md").exists()

    def test_what_is_gone_from_the_repository_goes_from_the_site(self, small):
        staged = small / "staged"
        stage.stage(small, staged)
        assert (staged / "results/none.md").exists()
        (small / "results/x").mkdir(parents=True)
        (small / "results/x/claims.md").write_text("# Claims\n", "utf-8")
        stage.stage(small, staged)
        assert not (staged / "results/none.md").exists()

    def test_what_did_not_change_is_not_written_again(self, small):
        staged = small / "staged"
        stage.stage(small, staged)
        before = (staged / "guide.md").stat().st_mtime_ns
        stage.stage(small, staged)
        assert (staged / "guide.md").stat().st_mtime_ns == before


class TestLinks:
    """Links between files of the repository become links between pages of the site."""

    @pytest.mark.parametrize(
        "source, page, link, becomes",
        [
            ("README.md", "guide.md", "docs/teaching.md", "[x](teaching.md)"),
            ("README.md", "guide.md", "minibert/ops.py", "[x](api/minibert.ops.rst)"),
            (
                "docs/ledger.md",
                "ledger.md",
                "../adapters/reproduce/ledger/claims.py",
                "[x](api/adapters.reproduce.ledger.claims.rst)",
            ),
            ("README.md", "guide.md", "minibert/fused", "[x](api/minibert.fused.rst)"),
            ("README.md", "guide.md", "minibert/fused/__init__.py", "[x](api/minibert.fused.rst)"),
            ("README.md", "guide.md", "tutorials/README.md", "[x](tutorials/index.rst)"),
            (
                "tutorials/exercises/README.md",
                "exercises.md",
                "../../docs/teaching.md#a",
                "[x](teaching.md#a)",
            ),
            (
                "docs/index.md",
                "index.md",
                "../tutorials/07_the_adapter.py",
                "[x](tutorials/07_the_adapter.rst)",
            ),
            ("README.md", "guide.md", "tests", "x"),  # no page: the words stay
            ("README.md", "guide.md", "https://example.org/a", "[x](https://example.org/a)"),
            ("README.md", "guide.md", "#here", "[x](#here)"),
        ],
    )
    def test_a_link_goes_where_the_file_is_shown(self, source, page, link, becomes):
        assert stage.linked(f"See [x]({link}).", source, page) == f"See {becomes}."

    def test_a_link_to_nothing_is_an_error_that_names_both(self):
        with pytest.raises(
            ValueError, match=r"README\.md links to docs/no\.md, which is not there"
        ):
            stage.linked("[x](docs/no.md)", "README.md", "guide.md")

    def test_code_blocks_are_left_alone(self):
        block = "```text\n[x](no.md)\n```\n"
        assert stage.linked(block, "README.md", "guide.md") == block

    def test_every_page_that_a_page_links_to_is_there(self, staged):
        made = {f"tutorials/{p.stem}.rst" for p in stage.tutorials()} | {"tutorials/index.rst"}
        for page in staged.rglob("*.md"):
            text = stage.FENCED.sub("", page.read_text("utf-8"))
            for _, _, target in stage.LINK.findall(text):
                if not re.match(r"[a-z]+:|#", target):
                    path = (page.parent / target.partition("#")[0]).resolve()
                    inside = path.relative_to(staged.resolve()).as_posix()
                    assert path.exists() or inside in made, f"{page.name} links to {target}"


class TestDocstrings:
    """They are written to be read in the code; on a page they must say the same."""

    @pytest.mark.parametrize(
        "text, becomes",
        [
            ("|A(z) - z| for 2*m*d and W_down", r"\|A(z) - z\| for 2\*m\*d and W\_down"),
            ("`x`: as in `ops.gelu`", "``x``\\ : as in ``ops.gelu``"),
            ("two\nlines", "two\nlines"),
            ("`over\ntwo lines`", "``over two lines``"),
        ],
    )
    def test_prose_has_no_markup_but_code(self, text, becomes):
        assert plain_docstrings.prose(text) == becomes

    def test_indented_lines_keep_their_layout_and_items_stay_items(self):
        lines = ["So", "    A(z) = z", "where", "", "- one", "  and a half;", "- two"]
        made = [line for line in plain_docstrings.restructured(lines) if line]
        assert made == [
            "So",
            "::",
            "       A(z) = z",
            "where",
            "- one",
            "  and a half;",
            "- two",
        ]


class TestTheInteractivePage:
    """docs/interactive: one page, one script of our own, nothing from elsewhere."""

    page = (DOCS / "interactive" / "parameters.html").read_text("utf-8")
    formula = stage.formula_script()
    code = formula + (DOCS / "interactive" / "parameters.js").read_text("utf-8")

    def test_the_interactive_page_loads_its_own_scripts_only(self):
        scripts = ["formula.js", "parameters.js"]
        assert re.findall(r"<script[^>]*>", self.page) == [f'<script src="{s}">' for s in scripts]
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*src=\"([^\"]*)\"", self.page)
        assert loaded == scripts
        assert re.findall(r"<link[^>]*href=\"([^\"]*)\"", self.page) == ["data:,"]
        addresses = set(re.findall(r"https?:[^\"' )]+", self.page + self.code))
        # a link to the paper, which one follows or not, and the name of SVG, which is no address
        assert addresses == {"https://arxiv.org/abs/1902.00751", "http://www.w3.org/2000/svg"}
        assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|eval)\b", self.code)
        assert "url(" not in self.page
        assert "@import" not in self.page

    def test_the_formula_of_an_adapter_is_the_python_codes_own(self, small):
        """It is written nowhere else in the scripts, and changes with the Python code."""
        assert "const FORMULA = { text: " in self.formula
        assert "of: (d, m) => 2 * m * d + d + m }" in self.formula
        assert not re.search(r"2 \* m|m \* d", self.code.removeprefix(self.formula))
        path = small / stage.FORMULA
        path.write_text("def parameter_count(d, m):\n    return 3 * d + m\n")
        assert "of: (d, m) => 3 * d + m }" in stage.formula_script(small)
        path.write_text("def parameter_count(d, m):\n    return max(d, m)\n")
        with pytest.raises(ValueError, match="is no longer a sum of products"):
            stage.formula_script(small)

    def test_the_interactive_page_has_a_labelled_range_for_each_quantity(self):
        for quantity in ("d", "m", "L", "N", "k"):
            assert f'<label for="{quantity}">' in self.page
            assert re.search(rf'<input type="range" id="{quantity}" min=', self.page)

    @pytest.mark.parametrize(
        "tasks, share, total",
        [
            (9, "2.1", "1.2"),
            (9, "3.6", "1.3"),
            (9, "100", "9.0"),
            (17, "1.14", "1.19"),
            (17, "52.9", "9.9"),
            (17, "100", "17"),
        ],
    )
    def test_the_interactive_page_has_the_papers_points(self, tasks, share, total):
        """Tables 1 and 2 of the paper."""
        assert re.search(rf"N: {tasks}, share: {share}, times: {re.escape(total)}\b", self.code)

    def test_the_interactive_page_has_a_way_back_to_the_site(self, staged):
        shown = (staged / "extra" / "interactive" / "parameters.html").read_text("utf-8")
        assert '<a href="../index.html">' in shown
