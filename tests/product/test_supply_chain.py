"""What this code must never do with data, and what is installed when it is tested.

Nothing here opens a pickle, runs text as code or hands a line to a shell, but for the exercises:
they run what the student, and the teacher, have written. And CI installs what
`.ci/requirements.lock` pins by hash.
"""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = ROOT / ".ci" / "requirements.lock"
FILES = sorted(
    path.relative_to(ROOT)
    for folder in ("minibert", "adapters", "tutorials", "mutants")
    for path in (ROOT / folder).rglob("*.py")
)

# Modules that run what they read; functions that run text, or unpack what an archive names.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "code"}
CALLS = {"eval", "exec", "compile", "__import__", "extractall", "system", "popen", "unpack_archive"}

# The student's file, in a process of its own; and the check files that the teacher wrote.
EXERCISES = {
    (Path("adapters/exercises/child.py"), "exec"),
    (Path("adapters/exercises/child.py"), "compile"),
    (Path("adapters/exercises/judge.py"), "exec"),
    (Path("adapters/exercises/judge.py"), "compile"),
}


def dangers(source: str) -> set[str]:
    """What a module imports or calls of the above; keyword arguments as `name=True`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {(node.module or "").partition(".")[0]} & MODULES
        elif isinstance(node, ast.Call):
            found |= _called(node)
    return found


def _called(node: ast.Call) -> set[str]:
    function = node.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    whole = ast.unparse(function)
    found = {name} & CALLS if whole != "re.compile" else set()
    for keyword in node.keywords:
        given = f"{keyword.arg}={ast.unparse(keyword.value)}"
        if keyword.arg in ("shell", "allow_pickle") and given != f"{keyword.arg}=False":
            found.add(given)
    return found


@pytest.mark.parametrize(
    "line, danger",
    [
        ("import pickle", "pickle"),
        ("import os, pickle as p", "pickle"),
        ("from marshal import loads", "marshal"),
        ("eval('1')", "eval"),
        ("builtins.exec(text)", "exec"),
        ("zipfile.ZipFile(p).extractall()", "extractall"),
        ("shutil.unpack_archive(p)", "unpack_archive"),
        ("subprocess.run(line, shell=True)", "shell=True"),
        ("subprocess.run(line, shell=yes)", "shell=yes"),
        ("np.load(p, allow_pickle=True)", "allow_pickle=True"),
        ("os.system(line)", "system"),
    ],
)
def test_each_danger_would_be_found(line, danger):
    assert dangers(line) == {danger}


def test_harmless_lines_are_not_dangers():
    assert (
        dangers("re.compile('x'); subprocess.run(['ls'], shell=False); model.evaluate()") == set()
    )


def test_no_module_opens_a_pickle_runs_text_or_calls_a_shell():
    assert len(FILES) > 100
    found = {(path, danger) for path in FILES for danger in dangers((ROOT / path).read_text())}
    assert found == EXERCISES


def test_all_that_is_installed_for_a_test_is_pinned_by_its_hash():
    """Each declared requirement is in the lock, in a version that is allowed, and every line of the
    lock has a hash and names no other place."""
    text = LOCK.read_text()
    pinned = dict(re.findall(r"(?m)^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text))
    assert len(pinned) == len(re.findall(r"(?m)^\S", text)) - len(re.findall(r"(?m)^#", text))
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["cli"], *extras["browser"]]
    names = {canonicalize_name(name): version for name, version in pinned.items()}
    built_with = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for line in (*wanted, *extras["docs"], *extras["cluster"], *extras["sklearn"], *built_with):
        requirement = Requirement(line)
        if requirement.name != project["name"]:
            version = names[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), (line, version)
