"""Run the contract and the routing tests against releases of LiteLLM, and print a table.

    python tools/compat.py                                     # one release of each generation
    python tools/compat.py 1.111.0                             # a new one
    python tools/compat.py 1.109.3 --python 3.13 --units       # what needs no proxy, and no torch

Each release gets a virtual environment of its own in `--folder`, which is kept and used again. The
exit code is 1 if a test failed or a release could not be installed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED = ("1.94.3", "1.109.3", "1.110.2")
"""The oldest release, the last of the router in Python, and the newest of the router in Rust."""
TESTS = (
    "tests/compat",
    "tests/proxy/test_routing.py",
    "tests/proxy/test_groups.py",
    "tests/proxy/test_preference.py",
    "tests/proxy/test_virtual.py",
    "tests/proxy/test_added_models.py",
    "tests/reliability/test_steady_proxy.py",
)
# Proxies, servers, browsers and killed runs, which the suite has on one Python.
_NO_UNITS = (
    *("compat", "proxy", "reliability", "benchmarks", "objects", "page"),
    *("test_demo.py", "test_refresh.py"),
)
UNITS = ("tests", *(f"--ignore=tests/{folder}" for folder in _NO_UNITS))
_VERSIONS = """
import json, platform
from importlib.metadata import version
print(json.dumps({"litellm": version("litellm"), "python": platform.python_version()}))
"""
# LiteLLM pins packages of its own that its proxy does without, or in versions that an index lacks.
_REQUIREMENTS = """
from importlib.metadata import requires
from packaging.requirements import Requirement
for text in requires("litellm"):
    wanted = Requirement(text)
    if wanted.marker is not None:
        if not any(wanted.marker.evaluate({"extra": e}) for e in ("", "proxy")):
            continue
        wanted.marker = None
    if wanted.name != "litellm-proxy":
        print(wanted.name if wanted.name.startswith("litellm-") else wanted)
"""


@dataclass
class Row:
    """What one release did."""

    litellm: str
    python: str = "-"
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""


class CommandError(Exception):
    """A command failed; the message is the last that it said."""


@click.command(help=(__doc__ or "").split("\n", 1)[0])
@click.argument("releases", nargs=-1)
@click.option("--python", default=sys.executable, help="A path, or a version: on PATH or of pyenv.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where environments are kept.")
@click.option("--units", is_flag=True, help="Run the tests that need no proxy.")
@click.option("--install-only", is_flag=True, help="Make the environments, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def main(
    releases: tuple[str, ...],
    python: str,
    folder: Path | None,
    units: bool,
    install_only: bool,
    as_json: bool,
) -> None:
    folder = (folder or Path(tempfile.gettempdir()) / "benchrouter-compat").absolute()
    rows = []
    for release in releases or TESTED:
        row = Row(release)
        try:
            environment = installed(release, interpreter(python), folder)
            if not install_only:
                row = tested(row, environment, UNITS if units else TESTS)
        except CommandError as error:
            row.problem = str(error)
        rows.append(row)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        show(rows)
    sys.exit(any(row.problem or row.failed for row in rows))


def interpreter(python: str) -> str:
    """Return the path of an interpreter, given itself, its name or its version."""
    version = python.removeprefix("python")
    for path in (python, f"python{version}"):
        with contextlib.suppress(CommandError):
            return run([path, "-c", "import sys; print(sys.executable)"]).strip()
    try:
        return f"{run(['pyenv', 'prefix', version]).strip()}/bin/python"
    except CommandError as error:
        raise CommandError(f"--python: no interpreter {python!r}: {error}") from None


def installed(release: str, python: str, folder: Path) -> Path:
    """Return the interpreter of an environment with that release and this checkout."""
    version = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    environment = folder / f"litellm-{release}-python{version}"
    interpreter, complete = environment / "bin" / "python", environment / "complete"
    if complete.exists():
        return interpreter
    run([python, "-m", "venv", "--clear", str(environment)])
    pip = [str(interpreter), "-m", "pip", "install", "--quiet"]
    run([*pip, "--upgrade", "pip"])  # what comes with Python may take minutes to resolve
    run([*pip, "--no-deps", f"litellm=={release}", "packaging"])
    run([*pip, *run([str(interpreter), "-c", _REQUIREMENTS]).splitlines(), *requirements()])
    run([*pip, "--no-deps", "--editable", str(ROOT)])
    complete.touch()
    return interpreter


def requirements() -> list[str]:
    """Return what the project and its tests require, beside LiteLLM itself."""
    extras = PROJECT["optional-dependencies"]
    of_extras = (extras[name] for name in ("proxy", "inspect", "report", "test"))
    texts = [*PROJECT["dependencies"], *chain.from_iterable(of_extras)]
    return [text for text in texts if not text.startswith("litellm")]


def tested(row: Row, environment: Path, arguments: Sequence[str]) -> Row:
    """Return the row with what one run of pytest said."""
    versions = json.loads(run([str(environment), "-c", _VERSIONS]))
    row.litellm, row.python = versions["litellm"], versions["python"]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [str(environment), "-m", "pytest", "-q", f"--junit-xml={report}", *arguments]
        code = subprocess.run(command, cwd=ROOT, check=False, stdout=sys.stderr).returncode
        if code not in (0, 1):  # all passed, or some failed
            row.problem = f"pytest exited with {code}"
            return row
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    row.seconds = float(suite.get("time", "0"))
    for case in suite.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            row.failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif case.find("skipped") is not None:
            row.skipped += 1
        else:
            row.passed += 1
    return row


def show(rows: Sequence[Row]) -> None:
    """Print the table, and under it what failed."""
    table = Table(title="LiteLLM releases", title_justify="left")
    for column in ("LiteLLM", "Python", "passed", "failed", "skipped", "seconds"):
        table.add_column(column)
    for row in rows:
        counts = (row.passed, len(row.failed), row.skipped, round(row.seconds))
        table.add_row(row.litellm, row.python, *map(str, counts))
    console = Console(width=120, markup=False)
    console.print(table)
    for row in rows:
        for text in (*row.failed, *([row.problem] if row.problem else [])):
            console.print(f"{row.litellm}: {text}")


def run(command: Sequence[str]) -> str:
    """Return what a command printed.

    Raises
    ------
    CommandError
        If it failed.
    """
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise CommandError(str(error)) from None
    if done.returncode:
        raise CommandError(last_line(done.stderr or done.stdout))
    return done.stdout


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


if __name__ == "__main__":
    main()
