"""What CI does, each on a fresh environment: `nox -l` lists it, `nox -s tests` runs one of them."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.error_on_external_run = True

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
THREADS = {"OMP_NUM_THREADS": "1"}
"""Each process of `pytest -n` has a core to itself."""


@nox.session
def lint(session: nox.Session) -> None:
    """Compare Python and C++ with their styles, and files with what they claim to be."""
    session.install("pre-commit", *_pinned("ruff", "clang-format"))
    # Types have a session of their own.
    session.run("pre-commit", "run", "--all-files", env={"SKIP": "mypy"})


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.install(".[test]")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests with the newest releases of what is needed; `-- tests/hits` runs some."""
    session.install("-e", ".[test]")
    _pytest(session)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run all tests with the lowest releases that pyproject.toml allows."""
    session.install("uv")
    session.run(
        "uv",
        "pip",
        "install",
        "--resolution=lowest-direct",
        f"--python={session.virtualenv.location}/bin/python",
        "--editable=.[test]",
    )
    # Old releases use what newer ones below them deprecate.
    _pytest(session, "-Wdefault::DeprecationWarning", "-Wdefault::PendingDeprecationWarning")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in `site/`, with what the notebooks print."""
    session.install(".[docs,fullsim,inputs,notebook]")
    executed = ("-D", "nb_execution_mode=force")
    session.run("sphinx-build", "-W", "--keep-going", *executed, "docs", "site")


@nox.session(venv_backend="none")
def wheel(session: nox.Session) -> None:
    """Build the wheel, and do with it alone what a user does first, without network."""
    session.run(".ci/first_run", *session.posargs)


def _pytest(session: nox.Session, *options: str) -> None:
    chosen = session.posargs or ["-n", "auto", "--dist", "loadfile"]
    session.run("python", "-m", "pytest", *options, *chosen, env=THREADS)


def _pinned(*names: str) -> list[str]:
    """Return what pyproject.toml's extra `test` says of tools."""
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    return [need for need in extras["test"] if need.startswith(names)]
