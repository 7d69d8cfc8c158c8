"""Run the contract and the routing tests against other releases of LiteLLM, and print a table.

    python tools/compat.py                                   # the oldest supported and the newest
    python tools/compat.py ==1.100.0 --python python3.13     # any release, any interpreter

Each release gets a virtual environment of its own in `--folder`, which is kept and used again.
Where a mirror lags behind, `--relax NAME` installs a release without minding its demand for that
package.
The exit code is 1 if a test failed or a release could not be installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/compat", "tests/proxy/test_routing.py")
TOOLS = ("pytest", "pytest-asyncio", "hypothesis", "openai")
_VERSIONS = """
import json, platform
from importlib.metadata import version
print(json.dumps({"litellm": version("litellm"), "python": platform.python_version()}))
"""
_REQUIREMENTS = """
from importlib.metadata import requires
from packaging.requirements import Requirement
for text in requires("litellm"):
    wanted = Requirement(text)
    if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in ("", "proxy")):
        wanted.marker = None
        print(wanted)
"""


@dataclass
class Row:
    """What one release did."""

    wanted: str
    litellm: str = "-"
    python: str = "-"
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    problem: str = ""


class CommandError(Exception):
    """A command failed; the message is the last that it said."""


@click.command(help=(__doc__ or "").split("\n", 1)[0])
@click.argument("specifiers", nargs=-1)
@click.option("--python", default=sys.executable, help="The interpreter; default: this one.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where environments are kept.")
@click.option("--relax", multiple=True, help="A package whose version LiteLLM may not dictate.")
@click.option("--tests", multiple=True, default=TESTS, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def main(
    specifiers: tuple[str, ...],
    python: str,
    folder: Path | None,
    relax: tuple[str, ...],
    tests: tuple[str, ...],
    as_json: bool,
) -> None:
    folder = (folder or Path(tempfile.gettempdir()) / "benchrouter-compat").absolute()
    rows = []
    for specifier in specifiers or (f"=={oldest()}.*", ""):
        row = Row(f"litellm{specifier}")
        try:
            environment = installed(specifier, python, folder, relax)
            row = tested(row, environment, tests)
        except CommandError as error:
            row.problem = str(error)
        rows.append(row)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        show(rows)
    sys.exit(any(row.problem or row.failed for row in rows))


def oldest() -> str:
    """Return the lower bound of LiteLLM in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return next(
        found[1]
        for text in project["dependencies"]
        if (found := re.fullmatch(r"litellm>=([\d.]+)", text))
    )


def installed(specifier: str, python: str, folder: Path, relax: Sequence[str]) -> Path:
    """Return the interpreter of an environment with that release and this checkout."""
    version = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    name = re.sub(r"[^\w.]+", "", f"litellm{specifier}") + f"-python{version}"
    environment, made = folder / name / "bin" / "python", folder / name / "complete"
    if made.exists():
        return environment
    run([python, "-m", "venv", "--clear", str(folder / name)])
    pip = [str(environment), "-m", "pip", "install", "--quiet"]
    ours = ["--editable", f"{ROOT}[proxy]", *TOOLS]
    if relax:
        run([*pip, "--no-deps", f"litellm{specifier}", "packaging"])
        demands = run([str(environment), "-c", _REQUIREMENTS]).splitlines()
        kept = [text for text in demands if re.split(r"[^\w.-]", text)[0] not in relax]
        run([*pip, *kept, *relax])
        run([*pip, "--no-deps", "--editable", str(ROOT)])
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        others = [text for text in project["dependencies"] if not text.startswith("litellm")]
        run([*pip, *others, *TOOLS, "prometheus-client"])
    else:
        run([*pip, f"litellm[proxy]{specifier}", *ours])
    made.touch()
    return environment


def tested(row: Row, environment: Path, tests: Sequence[str]) -> Row:
    """Return the row with what the tests said."""
    versions = json.loads(run([str(environment), "-c", _VERSIONS]))
    row.litellm, row.python = versions["litellm"], versions["python"]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        command = [str(environment), "-m", "pytest", "-q", f"--junit-xml={report}", *tests]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        if done.returncode not in (0, 1):  # all passed, or some failed
            row.problem = last_line(done.stdout + done.stderr)
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
    for column in ("wanted", "LiteLLM", "Python", "passed", "failed", "skipped", "seconds"):
        table.add_column(column)
    for row in rows:
        counts = (row.passed, len(row.failed), row.skipped, round(row.seconds))
        table.add_row(row.wanted, row.litellm, row.python, *map(str, counts))
    console = Console(width=120, markup=False)
    console.print(table)
    for row in rows:
        for text in (*row.failed, *([row.problem] if row.problem else [])):
            console.print(f"{row.wanted}: {text}")


def run(command: Sequence[str]) -> str:
    """Return what a command printed.

    Raises
    ------
    CommandError
        If it failed.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CommandError(last_line(done.stderr or done.stdout))
    return done.stdout


def last_line(text: str) -> str:
    """Return the last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


if __name__ == "__main__":
    main()
