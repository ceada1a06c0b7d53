"""Lay out the site's pages in docs/_build/source, where Sphinx reads them: `make docs`.

Much of the site is written elsewhere in the repository, for readers of the repository: the README,
the teacher's page, the reports of a reproduction, the tutorials. Here they are brought together,
and their links between files become links between pages. A link to a file that is no page keeps
its words only; a link to nothing is an error. Needs nothing but Python.
"""

import posixpath
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAGED = ROOT / "docs" / "_build" / "source"

# files of the repository -> pages, with a title of their own where the file's would say too little
BORROWED = {
    "README.md": ("guide.md", "Guide"),
    "CONTRIBUTING.md": ("contributing.md", None),
    "CHANGELOG.md": ("changelog.md", None),
    "weights/README.md": ("weights.md", None),
    "tutorials/exercises/README.md": ("exercises.md", None),
}
PLACES = {"tutorials": "tutorials/index.rst", "tutorials/README.md": "tutorials/index.rst"}
PACKAGES = {
    "minibert": "the encoder and its training",
    "adapters": "the paper: everything that is trained per task",
    "adapters/reproduce": "the paper's tables, figures and claims as runs",
    "adapters/exercises": "what a student writes, and the judge",
}

FENCED = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
PICTURES = (".png", ".svg")
REPORTS = ("claims.md", "results.md")


def tutorials(root: Path = ROOT) -> list[Path]:
    """The tutorials in their order."""
    return sorted((root / "tutorials").glob("[0-9][0-9]_*.py"))


def reports(root: Path = ROOT) -> list[Path]:
    """The ledgers and reports of the reproductions that are here."""
    return sorted(p for name in REPORTS for p in (root / "results").glob(f"*/{name}"))


def modules(root: Path = ROOT) -> list[str]:
    """The dotted names of all public modules, packages first."""
    names = []
    for package in PACKAGES:
        files = sorted((root / package).glob("*.py"), key=lambda p: (p.name != "__init__.py", p))
        for path in files:
            parts = path.relative_to(root).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def page_of(path: str, root: Path = ROOT) -> str | None:
    """The page that shows a file or folder of the repository; None when none does."""
    if path in BORROWED:
        return BORROWED[path][0]
    if path in PLACES:
        return PLACES[path]
    if path.startswith("docs/") and path.endswith(".md"):
        return path.removeprefix("docs/")
    file = root / path
    if file in tutorials(root):
        return path.replace(".py", ".rst")
    if file in reports(root):
        return path
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


def titled(text: str, title: str | None) -> str:
    """The text with its first heading replaced."""
    return text if title is None else re.sub(r"\A# .*", f"# {title}", text, count=1)


def described(root: Path = ROOT) -> dict[str, list[tuple[list[str], str]]]:
    """What docs/architecture.md tells of each package: rows of (module names, what they are)."""
    rows: dict[str, list[tuple[list[str], str]]] = {}
    package = None
    for line in (root / "docs" / "architecture.md").read_text("utf-8").split("\n"):
        if heading := re.match(r"`([a-z_/]+)/`:", line):
            package = heading[1]
        elif (row := re.fullmatch(r"\| (`[^|]+) \| (.+) \|", line)) and package in PACKAGES:
            names = re.findall(r"`(\w+)\.py`", row[1])
            if names:
                found = [f"{package}/{name}".replace("/", ".") for name in names]
                rows.setdefault(package, []).append((found, row[2]))
    return rows


def api_pages(root: Path = ROOT) -> dict[str, str]:
    """A page for each module, and their index in the groups of docs/architecture.md."""
    pages = {}
    for name in modules(root):
        pages[f"api/{name}.rst"] = (
            f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
            "   :ignore-module-all:\n"
        )
    index = [
        "# API",
        "Every public function from its docstring, with shapes, units and errors; the links "
        "[source] lead to the code. How it fits together: [Architecture](../architecture.md).",
    ]
    for package, rows in described(root).items():
        dotted = package.replace("/", ".")
        index.append(f"## {dotted}\n\n[`{dotted}`]({dotted}.rst): {PACKAGES[package]}.")
        lines = ["| module | what it is |", "|---|---|"]
        for names, what in rows:
            links = ", ".join(
                f"[`{name.removeprefix(dotted + '.')}`]({name}.rst)" for name in names
            )
            lines.append(f"| {links} | {what} |")
        index.append("\n".join(lines))
    listing = "\n".join(modules(root))
    index.append(f"```{{toctree}}\n:hidden:\n\n{listing}\n```")
    pages["api/index.md"] = "\n\n".join(index) + "\n"
    return pages


def markdown_pages(root: Path = ROOT) -> dict[str, str]:
    """The pages that are Markdown in the repository, with their links rewritten."""
    own = {f"docs/{p.name}": (p.name, None) for p in sorted((root / "docs").glob("*.md"))}
    made = {str(p.relative_to(root)): (str(p.relative_to(root)), None) for p in reports(root)}
    pages = {}
    for source, (page, title) in {**own, **BORROWED, **made}.items():
        text = (root / source).read_text("utf-8")
        pages[page] = linked(titled(text, title), source, page, root)
    if not made:
        pages["results/none.md"] = (
            "# No results yet\n\nNo reproduction has been run in this copy of the repository. "
            "`minibert reproduce --budget quick` makes a first one.\n"
        )
    return pages


def pictures(root: Path = ROOT) -> dict[str, Path]:
    """All pictures that a page may show: pictures/PATH -> the file."""
    folders = ("docs/figures", "benchmarks/results", "results")
    found = [p for folder in folders for p in (root / folder).rglob("*") if p.suffix in PICTURES]
    return {f"pictures/{p.relative_to(root)}": p for p in found}


def write(path: Path, content: bytes) -> None:
    """Write a file unless it is so already: Sphinx reads again what has changed."""
    if not (path.exists() and path.read_bytes() == content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def stage(root: Path = ROOT, staged: Path = STAGED) -> list[str]:
    """Lay everything out; what is left of an earlier layout goes. The paths that were laid out."""
    files = {
        page: text.encode() for page, text in {**markdown_pages(root), **api_pages(root)}.items()
    }
    files |= {page: path.read_bytes() for page, path in pictures(root).items()}
    # not under tutorials/: that is where sphinx-gallery puts the pages that it makes of these
    files["scripts/GALLERY_HEADER.rst"] = (root / "docs" / "gallery.rst").read_bytes()
    for path in tutorials(root):
        files[f"scripts/{path.name}"] = path.read_bytes()
    # What they read beside themselves. They are run in scripts/, which stands for the repository's
    # top there: sphinx-gallery does not tell a script its own file.
    for path in (root / "tutorials").glob("*/*.json"):
        files[f"scripts/{path.relative_to(root)}"] = path.read_bytes()
    files["extra/interactive/parameters.js"] = (
        root / "docs/interactive/parameters.js"
    ).read_bytes()
    page = (root / "docs/interactive/parameters.html").read_text("utf-8")
    files["extra/interactive/parameters.html"] = page.replace(
        "<!-- in the site: a way back -->", '<p><a href="../index.html">minibert</a></p>'
    ).encode()
    for name, content in files.items():
        write(staged / name, content)
    for path in staged.rglob("*"):
        name = path.relative_to(staged).as_posix()
        if path.is_file() and name not in files and not name.startswith("tutorials/"):
            path.unlink()
    known = {path.stem for path in tutorials(root)}
    for path in (staged / "tutorials").glob("[0-9][0-9]_*"):  # pages of tutorials that are gone
        if not any(path.name.startswith(stem) for stem in known):
            path.unlink()
    return sorted(files)


if __name__ == "__main__":
    if sys.argv[1:] == ["--fresh"]:
        shutil.rmtree(STAGED, ignore_errors=True)
    print(f"{len(stage())} files in {STAGED.relative_to(ROOT)}")
