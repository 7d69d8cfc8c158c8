"""Options that several commands take, and how they print."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.artifact.verdict import sentence
from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.config import BenchRouterConfig, is_url, load_config
from litellm_benchrouter.errors import ConfigError, VersionError
from litellm_benchrouter.store import open_store as open_configured
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.views import Table, without_nan
from litellm_benchrouter.views.verdict import verdict_table, verdict_view
from litellm_benchrouter.views.version import best_on_average


class FiniteRange(click.FloatRange):
    """A range of numbers, of which nan, that no bound holds back, and infinity are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


_LONGEST = 40  # characters of a name before it folds
_BORDERS = 3  # characters that a column needs around its cells

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=["BENCHROUTER_CONFIG", "CONFIG_FILE_PATH"],
    help="The LiteLLM proxy's YAML with the `benchrouter:` block.",
)
artifacts_option = click.option(
    "--artifacts",
    metavar="DIRECTORY_OR_URL",
    help="Where artifacts are; default: what --config names, or ./router_artifacts.",
)
version_option = click.option(
    "--version",
    "version",
    help="A version, or the first digits of its id; default: the current one.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


engine_option = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    help="Who does the work: this process, or the workers of a Ray cluster.  [default: local]",
)
ray_address_option = click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="A Ray cluster that runs, or `auto` for this machine's; default: RAY_ADDRESS, or one that "
    "the command starts and ends.",
)


def with_engine(
    config: BenchRouterConfig, engine: str | None, ray_address: str | None
) -> BenchRouterConfig:
    """Return the configuration with the engine that the options name."""
    given = {"engine": engine, "ray_address": ray_address}
    return config.model_copy(update={key: value for key, value in given.items() if value})


def required_config(config_path: Path | None) -> Path:
    """Return the configuration's path; raise ConfigError where none was given."""
    if config_path is None:
        raise ConfigError("--config is missing. Set it to the LiteLLM proxy's YAML file.")
    return config_path


def open_store(config_path: Path | None, artifacts: str | None) -> Store:
    """Return the store that the options name."""
    config = BenchRouterConfig()
    if config_path is not None and (artifacts is None or is_url(artifacts)):
        config = load_config(config_path)  # of a URL for the rest: its options and its cache
    return open_configured(config if artifacts is None else config.at(artifacts, Path()))


def open_artifact(config_path: Path | None, artifacts: str | None, version: str | None) -> Artifact:
    """Verify and open the version that the options name."""
    store = open_store(config_path, artifacts)
    config = None if config_path is None else load_config(config_path).embedder
    return read_artifact(store.fetch(asked_for(store, version)), config=config)


def asked_for(store: Store, version: str | None) -> str:
    """Return the version whose id begins as given, or the current one."""
    if version is not None:
        return store.find(version)
    current = store.current()
    if current is None:
        raise VersionError(
            f"{store.name}: no version is published. Run `benchrouter build --config FILE`."
        )
    return current


def console() -> Console:
    """Return where tables go; a pipe gets full-width lines and not those of 80 columns."""
    plain = not os.isatty(1) and "COLUMNS" not in os.environ
    # Names of models and samples may look like rich's markup.
    return Console(width=160 if plain else None, markup=False, emoji=False, highlight=False)


def print_json(document: object) -> None:
    """Print JSON; what is not known is null, as JSON has no NaN."""
    click.echo(json.dumps(without_nan(document), indent=1, ensure_ascii=False))


def print_facts(out: Console, facts: Iterable[tuple[str, str]]) -> None:
    """Print names with what there is to say of them."""
    for name, text in facts:
        out.print(f"{name}: {text}")


def print_warnings(out: Console, warnings: Iterable[str]) -> None:
    """Print warnings so that they stand out."""
    for warning in warnings:
        out.print(f"Warning: {warning}", style="yellow")


def print_tables(out: Console, *tables: Table | None) -> None:
    """Print tables; the columns of one that is too wide are printed in parts."""
    for table in tables:
        if table is None:
            continue
        out.print()
        out.print(table.title, style="bold")
        for columns in _parts(table, out.width):
            out.print(_rich(table, columns))


def print_verdict(out: Console, manifest: Manifest) -> None:
    """Print a version's verdict, if it has one: the results, then a sentence."""
    verdict = verdict_view(manifest.verdict, best_on_average(manifest))
    if verdict is None or manifest.verdict is None:
        return
    print_tables(out, verdict_table(verdict))
    style = "green" if manifest.verdict["passes"] else "red"
    out.print(f"Verdict: {sentence(manifest.verdict)}.", style=style)


def _parts(table: Table, width: int) -> Iterator[list[int]]:
    """Split the columns so that no number has to be broken over lines."""
    names = list(range(table.n_text))
    columns = list(names)
    for i in range(table.n_text, len(table.columns)):
        wanted = sum(_width(table, j) + _BORDERS for j in [*columns, i]) + 1
        if wanted > width and len(columns) > len(names):
            yield columns
            columns = list(names)
        columns.append(i)
    yield columns


def _width(table: Table, column: int) -> int:
    """Count the characters of the longest cell, or of the longest word of the heading."""
    words = table.columns[column].split() if column >= table.n_text else [table.columns[column]]
    widest = max([1, *map(len, words), *(len(row[column]) for row in table.rows)])
    return min(widest, _LONGEST) if column < table.n_text else widest


def _rich(table: Table, columns: list[int]) -> RichTable:
    made = RichTable(header_style="bold")
    for i in columns:
        text = i < table.n_text
        # A column of words shares the room that is left; numbers are never broken.
        made.add_column(
            table.columns[i],
            justify="left" if text else "right",
            overflow="fold",
            width=None if text else _width(table, i),
        )
    for n, row in enumerate(table.rows):
        # Text and not str: a name may look like rich's markup.
        style = "bold" if n == table.marked else None
        made.add_row(*(Text(row[i]) for i in columns), style=style)
    return made
