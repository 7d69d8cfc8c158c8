"""`benchrouter check`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
import yaml

from litellm_benchrouter.cli.options import (
    console,
    json_option,
    print_json,
    print_tables,
    print_warnings,
)
from litellm_benchrouter.config import BLOCK
from litellm_benchrouter.config.base import is_url
from litellm_benchrouter.config.builder import SourceConfig
from litellm_benchrouter.errors import BenchRouterError, ConfigError, SourceError
from litellm_benchrouter.guarded.impute import coverage_warnings
from litellm_benchrouter.paper.benchmark import Benchmark, labels
from litellm_benchrouter.sources import READERS, SourceTable, read
from litellm_benchrouter.sources.frames import FORMATS, scan
from litellm_benchrouter.sources.json_files import Faults
from litellm_benchrouter.sources.merge import SourceJudgement, merge
from litellm_benchrouter.sources.rows import UndecidedError
from litellm_benchrouter.sources.tidy import BLANKS, SAMPLE, is_number
from litellm_benchrouter.store.copies import here
from litellm_benchrouter.views import UNKNOWN, Table, number

_OWN_KEYS = frozenset(SourceConfig.model_fields)
_MOST = 12  # models or tasks that a table lists


@dataclass
class Checked:
    """A source, as a build would take it.

    Attributes
    ----------
    path : Path
    kind : str
        The reader that can read it; "" where none can.
    options : mapping of str to object
        Of the source, beside kind and path.
    columns : dict of str to str
        What each column of a table is taken for.
    table : SourceTable or None
    benchmark : Benchmark or None
        None where it is refused.
    dropped : mapping of str to int
        What is left out, in words, and how often.
    warnings : list of str
    problem : str
        Why a build refuses it; "" where it does not.
    """

    path: Path
    place: str = ""
    kind: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    table: SourceTable | None = None
    benchmark: Benchmark | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def scale(self) -> tuple[float, float] | None:
        """The smallest and the largest score, as the files have them."""
        if self.table is None or not self.table.results["score"].count():
            return None
        score = self.table.results["score"]
        return float(score.min()), float(score.max())  # type: ignore[arg-type]

    @property
    def models(self) -> list[tuple[str, int, float]]:
        """Each model with its scores and their mean, the best first."""
        if self.table is None:
            return []
        by_model = self.table.results.group_by(pl.col("model").cast(pl.String)).agg(
            pl.col("score").count().alias("n"), pl.col("score").mean().alias("mean")
        )
        return by_model.sort("mean", "model", descending=[True, False], nulls_last=True).rows()

    @property
    def tasks(self) -> list[tuple[str, int]]:
        """Each task with its samples, the largest first."""
        if self.table is None:
            return []
        sizes = self.table.samples["task"].value_counts(name="n")
        return sizes.sort("n", "task", descending=[True, False]).rows()

    @property
    def block(self) -> str:
        """The YAML to paste."""
        own = {name: value for name, value in self.options.items() if name in _OWN_KEYS}
        others = {name: value for name, value in self.options.items() if name not in _OWN_KEYS}
        source = {"kind": self.kind, "path": self.place or str(self.path), **own}
        source |= {"options": others} if others else {}
        return yaml.safe_dump({BLOCK: {"sources": [source]}}, sort_keys=False, allow_unicode=True)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "path": self.place or str(self.path),
            "kind": self.kind or None,
            "problem": self.problem or None,
            "columns": self.columns,
            "samples": None if self.table is None else self.table.samples.height,
            "scale": self.scale,
            "models": [{"name": m, "scores": n, "mean": mean} for m, n, mean in self.models],
            "tasks": [{"name": task, "samples": n} for task, n in self.tasks],
            "dropped": dict(self.dropped),
            "warnings": self.warnings,
            "yaml": self.block if self.kind else None,
        }


@click.command("check")
@click.argument("places", nargs=-1, required=True, metavar="FILE...")
@click.option("--kind", type=click.Choice(sorted(READERS)), help="The format; default: found out.")
@click.option("--threshold", type=float, help="A score above it is correct; default: 0.5.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of the reader, the value as in YAML; may be repeated: words='{pass: 1, fail: 0}'.",
)
@json_option
def check_command(
    places: tuple[str, ...],
    kind: str | None,
    threshold: float | None,
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what a build would take benchmark results for.

    A FILE may be a folder, a pattern in quotes, or a URL. Nothing is written. Exit code 2: a build
    would refuse one of them.
    """
    given = dict(map(_parsed, options))
    if threshold is not None and not np.isfinite(threshold):
        raise ConfigError(f"--threshold {threshold}: no finite number. Give one.")
    checked = [_check(place, kind, threshold, given) for place in places]
    if as_json:
        documents = [each.as_dict() for each in checked]
        print_json(documents[0] if len(documents) == 1 else documents)
    else:
        for each in checked:
            _show(each)
    sys.exit(ConfigError.exit_code if any(each.problem for each in checked) else 0)


def _check(
    place: str, kind: str | None, threshold: float | None, options: Mapping[str, Any]
) -> Checked:
    """Check a path, or a copy of what is behind a URL."""
    with here(place) as path:
        checked = check(path, kind, threshold, options)
    if not is_url(place):
        return checked
    checked.problem = checked.problem.replace(str(path), place)
    return replace(checked, place=place)


def check(
    path: Path, kind: str | None, threshold: float | None, options: Mapping[str, Any]
) -> Checked:
    """Return what a build would take a file or folder for.

    Parameters
    ----------
    path : Path
    kind : str or None
        None tries all readers.
    threshold : float or None
    options : mapping of str to object
        Of the reader.
    """
    checked = Checked(path)
    by_kind, problems, undecided = {}, {}, {}
    for name in [kind] if kind is not None else READERS:
        try:
            by_kind[name] = read(name, path, options)
        except UndecidedError as error:
            problems[name] = undecided[name] = str(error)
        except BenchRouterError as error:
            problems[name] = str(error)
    if not by_kind:
        # A format that is known, but for an option, says more than what a table lacks.
        checked.kind = next(iter(undecided), "")
        checked.problem = problems[kind or checked.kind or "table"]
        if undecided:
            checked.options = dict(options)
            return checked
        if kind is None and path.is_dir() and not any(path.glob("samples.*")):  # of a table
            names = ", ".join(READERS)
            tables = (file for file in path.iterdir() if file.suffix.lower() in FORMATS)
            pattern = next(
                (f", or a pattern of files: {path / f'*{f.suffix}'}" for f in tables), ""
            )
            checked.problem = (
                f"{path}: none of the formats ({names}) is in this folder. Give --kind to see "
                f"why{pattern}."
            )
        return checked
    # Each format has marks of its own; what more than one reads is what most of it is.
    checked.kind = max(by_kind, key=lambda name: by_kind[name].results["score"].count())
    checked.table = table = by_kind[checked.kind]
    checked.options = dict(options) | ({} if threshold is None else {"threshold": threshold})
    others = dict.fromkeys(undecided, "an option has to be chosen") | {
        name: f"{each.results['score'].count():,} scores"
        for name, each in by_kind.items()
        if name not in (checked.kind, "table")
    }
    checked.dropped, checked.warnings = table.dropped, list(table.warnings)
    checked.columns = _columns(path, table, options) if checked.kind == "table" else {}
    try:
        judgement = SourceJudgement(path.name, threshold)
        checked.benchmark, report = merge([(table, judgement)], aliases={}, facts={})
    except SourceError as error:
        checked.problem = str(error)
        return checked
    checked.dropped, checked.warnings = report.sources[0].dropped, report.warnings
    if others:
        said = ", ".join(f"{name} ({what})" for name, what in others.items())
        checked.warnings.append(
            f"It can be read as {said}, too, and the block below reads it as {checked.kind} alone. "
            "Choose with --kind; where both are there, name two sources."
        )
    made = checked.benchmark
    checked.warnings += coverage_warnings(
        labels(made.correctness), made.task, made.models, made.tasks
    )
    return checked


def _columns(path: Path, table: SourceTable, options: Mapping[str, Any]) -> dict[str, str]:
    """Say what each column of a file of kind `table` is taken for."""
    if path.is_dir() or not path.exists():
        return {}
    form = {name: options.get(name) for name in ("separator", "encoding", "sheet")}
    ours = {theirs: our for our, theirs in (options.get("columns") or {}).items()}
    ours |= {options["score"]: "score"} if options.get("score") else {}
    models = set(table.results["model"].unique().cast(pl.String))
    chosen = options.get("models") or {}
    roles = {}
    for column in scan(path, Faults(path), **form).schema:
        name = ours.get(column, column)
        if name in (*SAMPLE, "model"):
            roles[column] = name
        elif is_number(name):
            roles[column] = "score" if name == "score" else "about an answer"
        elif name.strip(BLANKS) in models or column in chosen:
            roles[column] = "model"
        else:
            roles[column] = "not read"
    return roles


def _show(checked: Checked) -> None:
    out = console()
    out.print(checked.place or str(checked.path), style="bold", markup=False)
    if checked.table is not None:
        low, high = checked.scale or (np.nan, np.nan)
        out.print(
            f"kind: {checked.kind}; {checked.table.samples.height:,} samples, "
            f"{len(checked.tasks):,} tasks, {len(checked.models):,} models; "
            f"scores from {low:g} to {high:g}"
        )
        print_tables(out, *_tables(checked))
        for words, n in sorted(checked.dropped.items()):
            out.print(f"Left out: {n:,} {words}")
    print_warnings(out, checked.warnings)
    if checked.problem:
        out.print(f"A build refuses it: {checked.problem}", style="red")
    if checked.kind:
        out.print(f"\nIn the proxy's YAML:\n\n{checked.block}")


def _tables(checked: Checked) -> list[Table | None]:
    roles = [[column, role] for column, role in checked.columns.items()]
    models = [[name, f"{n:,}", number(mean)] for name, n, mean in checked.models]
    tasks = [[name, f"{n:,}"] for name, n in checked.tasks]
    return [
        Table("Columns", ("Column", "Taken for"), roles, n_text=2) if roles else None,
        Table("Models", ("Model", "Scores", "Mean"), _shortened(models)),
        Table("Tasks", ("Task", "Samples"), _shortened(tasks)),
    ]


def _shortened(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Return the first rows, and one that counts the others."""
    if len(rows) <= _MOST:
        return rows
    others = f"and {len(rows) - _MOST + 1:,} more"
    return [*rows[: _MOST - 1], [others, *[UNKNOWN] * (len(rows[0]) - 1)]]


def _parsed(option: str) -> tuple[str, Any]:
    name, equals, value = option.partition("=")
    if not equals or not name:
        raise ConfigError(f"--option {option}: no value. Write it as NAME=VALUE.")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--option {name}: {value!r} is not YAML. Quote it.") from error
