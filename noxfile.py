"""The tests on every Python and with the oldest and the newest dependencies that are allowed.

pip install nox uv
nox                            # everything: an hour
nox -s "tests(3.13, newest)" -- tests/story
"""

import nox

nox.options.default_venv_backend = "uv"
PYTHONS = ("3.11", "3.12", "3.13")
# uv's names for: the newest of everything; of what pyproject.toml names, the oldest.
RESOLUTIONS = {"newest": "highest", "oldest": "lowest-direct"}


@nox.session
@nox.parametrize("python,versions", [(p, v) for p in PYTHONS for v in RESOLUTIONS])
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
