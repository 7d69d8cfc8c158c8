"""Tasks: `nox` runs those that need no minutes, `nox --list` names all.

With `--no-venv` a task uses the environment it is started from, in which `.[dev]` is installed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.sessions = ["lint", "docs", "package"]
nox.options.error_on_missing_interpreters = True
nox.options.reuse_existing_virtualenvs = True

_EXAMPLE = "litellm_benchrouter/demo/benchmark.csv"


def _install(session: nox.Session, *what: str) -> None:
    if session.virtualenv.is_sandboxed:
        session.install(*what)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite, as the README says."""
    _install(session, ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("litellm", ["1.94.3", "1.109.3", "1.110.2"])
def releases(session: nox.Session, litellm: str) -> None:
    """Run the contract and the routing tests on a LiteLLM of each generation."""
    session.run("python", "tools/compat.py", litellm, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("version", ["3.12", "3.13"])
def pythons(session: nox.Session, version: str) -> None:
    """Run what needs no proxy and no torch on the other Pythons."""
    options = ["--python", version, "--units"]
    session.run("python", "tools/compat.py", "1.109.3", *options, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, and who imports whom."""
    _install(session, "-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports", "--no-cache")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site into build/site."""
    _install(session, "-e", ".[docs]")
    # Material's advertisement of its successor is no warning of ours.
    environment = {"NO_MKDOCS_2_WARNING": "1"}
    session.run("mkdocs", "build", "--strict", env=environment)


@nox.session
def package(session: nox.Session) -> None:
    """Build the distributions, check what an index would show of them, and run the wheel."""
    _install(session, "build", "twine", "uv", "pipx")
    folder = Path(os.environ.get("BENCHROUTER_DIST") or tempfile.mkdtemp())
    session.run("pyproject-build", "--outdir", str(folder), silent=True)
    session.run("twine", "check", "--strict", *map(str, sorted(folder.iterdir())))
    [wheel] = folder.glob("*.whl")
    with tempfile.TemporaryDirectory() as work:
        # From pip's cache where it was compiled before, in place of twice by the two.
        session.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", work, "hnswlib")
        environment = {"UV_FIND_LINKS": work, "PIPX_HOME": f"{work}/pipx"}
        uvx = ["uvx", "--python", sys.executable, "--from", f"{wheel}[proxy]"]
        session.run(*uvx, "benchrouter", "demo", env=environment, silent=True)
        alone = ["uvx", "--python", sys.executable, "--from", str(wheel)]
        session.run(*alone, "benchrouter", "demo", env=environment, silent=True)
        pipx = ["pipx", "run", "--python", sys.executable, "--spec", str(wheel)]
        session.run(*pipx, "benchrouter", "check", _EXAMPLE, env=environment, silent=True)
