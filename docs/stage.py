"""Lay out the site's pages in docs/_build/source, where Sphinx reads them: `make docs`.

Many of the site's pages are files from elsewhere in the repository: the README, the reports of a
reproduction, the tutorials. Here they are brought together, and their links between files become
links between pages. A link to a file without a page becomes plain text; a link to a file that does
not exist is an error. Needs no Sphinx.
"""

import ast
import json
import posixpath
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from listings import exercise_table, tutorial, tutorial_index, verdict_table

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from adapters.tutorials.start import tutorial_files as readers_files  # noqa: E402

STAGED = ROOT / "docs" / "_build" / "source"

# files of the repository -> pages, with another title where the file's own says too little
BORROWED = {
    "README.md": ("guide.md", "Guide"),
    "CONTRIBUTING.md": ("contributing.md", None),
    "SECURITY.md": ("security.md", None),
    "CHANGELOG.md": ("changelog.md", None),
    "weights/README.md": ("weights.md", None),
    "tutorials/README.md": ("at-a-glance.md", "The tutorials at a glance"),
    "tutorials/exercises/README.md": ("exercises.md", None),
}
# what is found on another page than its own
PLACES = {"tutorials": "tutorials/index.rst", "tutorials/README.md": "tutorials/index.rst"}
PACKAGES = ("minibert", "adapters")
FORMULA = "adapters/methods/bottleneck.py"  # whose `parameter_count` the page of sliders uses

FENCED = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
RELATIVE = re.compile(r"<((?:\.\./)*\w[\w/]*\.(?:py|md))>`_")  # a link of a tutorial's text
PICTURES = (".png", ".svg")
REPORTS = ("claims.md", "results.md")
THUMBNAILS = "docs/figures/tutorials"  # made by docs/thumbnails.py
LIST_HERE = re.compile(r"^<!-- the site lists here: (\w+) -->$", re.MULTILINE)


def tutorials(root: Path = ROOT) -> list[Path]:
    """The tutorials in their order."""
    return sorted((root / "tutorials").glob("[0-9][0-9]_*.py"))


def reports(root: Path = ROOT) -> list[Path]:
    """The ledgers and reports of the reproductions that are here."""
    return sorted(p for name in REPORTS for p in (root / "results").glob(f"*/{name}"))


def modules(root: Path = ROOT) -> list[str]:
    """The dotted names of all modules, each package before what is in it."""
    names = []
    for path in sorted(p for package in PACKAGES for p in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted(names, key=lambda name: (PACKAGES.index(name.split(".")[0]), name.split(".")))


def page_of(path: str, root: Path = ROOT) -> str | None:
    """The page that shows a file or folder of the repository; None when none does."""
    if path in PLACES:
        return PLACES[path]
    if path in BORROWED:
        return BORROWED[path][0]
    if path.startswith("docs/") and path.endswith(".md"):
        return path.removeprefix("docs/")
    file = root / path
    if file in tutorials(root):
        return path.replace(".py", ".rst")
    if file in reports(root):
        return path
    if (file / "__init__.py").is_file():
        path += "/__init__.py"
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"api/{module}.rst" if path.endswith(".py") and module in modules(root) else None


def linked(text: str, source: str, page: str, root: Path = ROOT) -> str:
    """Markdown with its links made links between pages.

    `source`: the file in the repository that the text is of; `page`: where it goes. Raises
    ValueError, naming both, for a link to a file that is not there.
    """
    here = posixpath.dirname(page)

    def link(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        name, mark, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        if path.startswith("..") or not (root / path).exists():
            raise ValueError(f"{source} links to {target}, which is not there")
        if picture or path.endswith(PICTURES):
            return f"{picture}[{label}]({posixpath.relpath(f'pictures/{path}', here)})"
        goal = page_of(path, root)
        return (
            label if goal is None else f"[{label}]({posixpath.relpath(goal, here)}{mark}{anchor})"
        )

    parts = FENCED.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def listed(text: str, root: Path = ROOT) -> str:
    """Markdown with each comment that asks for a list replaced by the list."""
    ledgers = [path for path in reports(root) if path.name == "claims.md"]
    lists = {
        "exercises": lambda: exercise_table(root),
        "verdicts": lambda: verdict_table(root, ledgers),
    }
    return LIST_HERE.sub(lambda match: lists[match[1]](), text)


def titled(text: str, title: str | None) -> str:
    """The text with its first heading replaced."""
    return text if title is None else re.sub(r"\A# .*", f"# {title}", text, count=1)


@dataclass
class Group:
    """A package as docs/architecture.md describes it: what it is, and (modules, what they are)."""

    package: str
    what: str
    rows: list[tuple[list[str], str]] = field(default_factory=list)


def described(root: Path = ROOT) -> list[Group]:
    """The packages of docs/architecture.md, in its order: a line "`package/`: what it is." begins
    each, and the table after it has the modules."""
    groups: list[Group] = []
    for line in (root / "docs" / "architecture.md").read_text("utf-8").split("\n"):
        if heading := re.match(r"`([a-z_/]+)/`: (.+?)\.( |$)", line):
            groups.append(Group(heading[1], heading[2]))
        elif (row := re.fullmatch(r"\| (`[^|]+) \| (.+) \|", line)) and groups:
            names = re.findall(r"`(\w+)\.py`", row[1])
            found = [f"{groups[-1].package}/{name}".replace("/", ".") for name in names]
            groups[-1].rows.append((found, row[2]))
    return [group for group in groups if group.package.split("/")[0] in PACKAGES]


def api_pages(root: Path = ROOT) -> dict[str, str]:
    """A page for each module, and an index of them in the groups of docs/architecture.md. The pages
    of a package's modules hang under the package's own, in the sidebar too."""
    groups = described(root)
    below = {dotted(group): [n for names, _ in group.rows for n in names] for group in groups}
    pages = {f"api/{name}.rst": module_page(name, below.get(name, [])) for name in modules(root)}
    index = [
        "# API",
        "Every public function with its docstring: shapes, units and errors. The links [source] "
        "lead to the code. How it fits together: [Architecture](../architecture.md).",
        *(api_group(group) for group in groups),
        "```{toctree}\n:hidden:\n\n" + "\n".join(map(dotted, groups)) + "\n```",
    ]
    pages["api/index.md"] = "\n\n".join(index) + "\n"
    return pages


def dotted(group: Group) -> str:
    """A package's name in Python."""
    return group.package.replace("/", ".")


def module_page(name: str, below: list[str]) -> str:
    """A module's page; a package's has the pages of its modules below it, by their short names."""
    page = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
    page += "   :ignore-module-all:\n"
    if below:
        order = "\n".join(f"   {module.removeprefix(name + '.')} <{module}>" for module in below)
        page += f"\n.. rubric:: Modules\n\n.. toctree::\n   :maxdepth: 1\n\n{order}\n"
    return page


def api_group(group: Group) -> str:
    """A package's section in the index."""
    name = dotted(group)
    lines = [f"## {name}", "", f"[`{name}`]({name}.rst): {group.what}."]
    if group.rows:
        lines += ["", "| module | what it is |", "|---|---|"]
    for names, what in group.rows:
        links = ", ".join(f"[`{n.removeprefix(name + '.')}`]({n}.rst)" for n in names)
        lines.append(f"| {links} | {what} |")
    return "\n".join(lines)


def formula_script(root: Path = ROOT) -> str:
    """formula.js for the page of sliders: how many parameters an adapter has, as the Python code
    says it. A sum of products of names and numbers reads the same in both languages; raises
    ValueError for anything else."""
    tree = ast.parse((root / FORMULA).read_text("utf-8"))
    function = next(
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "parameter_count"
    )
    (formula,) = (node.value for node in function.body if isinstance(node, ast.Return))
    arithmetic = (ast.BinOp, ast.Add, ast.Mult, ast.Name, ast.Load, ast.Constant)
    if formula is None or not all(isinstance(node, arithmetic) for node in ast.walk(formula)):
        raise ValueError(f"{FORMULA}: parameter_count is no longer a sum of products")
    names, text = ", ".join(a.arg for a in function.args.args), ast.unparse(formula)
    return (
        f'"use strict";\n// Written by docs/stage.py from parameter_count in {FORMULA}.\n'
        f"const FORMULA = {{ text: {json.dumps(text)}, of: ({names}) => {text} }};\n"
    )


def markdown_pages(root: Path = ROOT) -> dict[str, str]:
    """The pages that are Markdown in the repository, with their links rewritten."""
    own = {f"docs/{p.name}": (p.name, None) for p in sorted((root / "docs").glob("*.md"))}
    made = {str(p.relative_to(root)): (str(p.relative_to(root)), None) for p in reports(root)}
    pages = {}
    for source, (page, title) in {**own, **BORROWED, **made}.items():
        text = listed((root / source).read_text("utf-8"), root)
        pages[page] = linked(titled(text, title), source, page, root)
    if not made:
        pages["results/none.md"] = (
            "# No results yet\n\nNothing has been reproduced in this copy of the repository. Start "
            "with `minibert reproduce --budget quick`.\n"
        )
    return pages


def pictures(root: Path = ROOT) -> dict[str, Path]:
    """All pictures that a page may show: pictures/PATH -> the file."""
    folders = ("docs/figures", "benchmarks/results", "results")
    found = [p for folder in folders for p in (root / folder).rglob("*") if p.suffix in PICTURES]
    return {f"pictures/{p.relative_to(root)}": p for p in found}


def interactive_pages(root: Path = ROOT) -> dict[str, bytes]:
    """The page of sliders and its two scripts."""
    folder = root / "docs" / "interactive"
    page = (folder / "parameters.html").read_text("utf-8")
    back = '<p><a href="../index.html">minibert</a></p>'
    return {
        "extra/interactive/parameters.html": page.replace(
            "<!-- in the site: a way back -->", back
        ).encode(),
        "extra/interactive/parameters.js": (folder / "parameters.js").read_bytes(),
        "extra/interactive/formula.js": formula_script(root).encode(),
    }


def small_pictures(root: Path = ROOT) -> dict[str, str]:
    """The paths of the tutorials' small pictures, by the names of the tutorials. The one page draws
    nothing: it has the picture of what it computes."""
    made = {p.stem: p.relative_to(root).as_posix() for p in (root / THUMBNAILS).glob("*.png")}
    return {"00_one_page": "docs/figures/layer.svg", **made}


def script(path: Path, root: Path = ROOT) -> str:
    """A tutorial, with its links to files made links to their pages. Raises ValueError for a link
    to a file without a page."""

    def link(match: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join("tutorials", match[1]))
        page = page_of(file, root)
        if page is None:
            raise ValueError(f"{path.name} links to {match[1]}, which has no page")
        return f"<{posixpath.relpath(posixpath.splitext(page)[0], 'tutorials')}.html>`_"

    return RELATIVE.sub(link, path.read_text("utf-8"))


def tutorial_files(root: Path = ROOT) -> dict[str, bytes]:
    """The tutorials, their notebooks as `minibert tutorials start` writes them, and the data files
    that they read.

    They are run in scripts/, as notebooks are in their folder: sphinx-gallery does not tell a
    script its own file. Its pages go to tutorials/.
    """
    files = {f"scripts/{path.name}": script(path, root).encode() for path in tutorials(root)}
    for name, content in readers_files(root / "tutorials").items():
        if name.endswith(".ipynb"):
            files[f"tutorials/{name}"] = content
    header = (root / "docs" / "gallery.rst").read_text("utf-8")
    index = tutorial_index(header, map(tutorial, tutorials(root)), small_pictures(root))
    files["scripts/GALLERY_HEADER.rst"] = index.encode()
    for path in (root / "tutorials").glob("*/*.json"):
        files[f"scripts/{path.relative_to(root / 'tutorials')}"] = path.read_bytes()
    return files


def write(path: Path, content: bytes) -> None:
    """Write a file only if it has changed: Sphinx rebuilds what is newer than its page."""
    if not (path.exists() and path.read_bytes() == content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def stage(root: Path = ROOT, staged: Path = STAGED) -> list[str]:
    """Lay everything out, and remove what an earlier layout left behind. The paths laid out."""
    pages = {**markdown_pages(root), **api_pages(root)}
    files = {
        **{page: text.encode() for page, text in pages.items()},
        **{page: path.read_bytes() for page, path in pictures(root).items()},
        **tutorial_files(root),
        **interactive_pages(root),
    }
    for name, content in files.items():
        write(staged / name, content)
    for path in staged.rglob("*"):
        name = path.relative_to(staged).as_posix()
        if path.is_file() and name not in files and not name.startswith("tutorials/"):
            path.unlink()
    known = {path.stem for path in tutorials(root)}
    for path in (staged / "tutorials").glob("[0-9][0-9]_*"):  # pages of removed tutorials
        if not any(path.name.startswith(stem) for stem in known):
            path.unlink()
    return sorted(files)


if __name__ == "__main__":
    if sys.argv[1:] == ["--fresh"]:
        shutil.rmtree(STAGED, ignore_errors=True)
    print(f"{len(stage())} files in {STAGED.relative_to(ROOT)}")
