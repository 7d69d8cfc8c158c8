"""Options that several commands take, and how they print."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.config import BenchRouterConfig, is_url, load_config
from litellm_benchrouter.errors import ConfigError, VersionError
from litellm_benchrouter.store import open_store as open_configured
from litellm_benchrouter.store.directory import Store

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
    """Return the configuration's path.

    Raises
    ------
    ConfigError
        If none was given.
    """
    if config_path is None:
        raise ConfigError("no configuration; give --config FILE, the LiteLLM proxy's YAML.")
    return config_path


def open_store(config_path: Path | None, artifacts: str | None) -> Store:
    """Return the store that the options name."""
    config = BenchRouterConfig()
    if config_path is not None and (artifacts is None or is_url(artifacts)):
        config = load_config(config_path)  # of a URL for the rest: its options and its cache
    return open_configured(config if artifacts is None else config.at(artifacts, Path()))


def open_artifact(config_path: Path | None, artifacts: str | None, version: str | None) -> Artifact:
    """Verify and open the version that the options name.

    Raises
    ------
    VersionError
        If nothing was published there, or the version is not there.
    """
    store = open_store(config_path, artifacts)
    config = None if config_path is None else load_config(config_path).embedder
    return read_artifact(store.fetch(asked_for(store, version)), config=config)


def asked_for(store: Store, version: str | None) -> str:
    """Return the version whose id begins as given, or the current one.

    Raises
    ------
    VersionError
        If nothing was published there, or the version is not there.
    """
    if version is not None:
        return store.find(version)
    current = store.current()
    if current is None:
        raise VersionError(
            f"{store.name} holds no published version; run `benchrouter build --config FILE`."
        )
    return current


def console() -> Console:
    """Return where tables go; a pipe gets full-width lines and not those of 80 columns."""
    plain = not os.isatty(1) and "COLUMNS" not in os.environ
    # Names of models and samples may look like rich's markup.
    return Console(width=160 if plain else None, markup=False, emoji=False)


def print_json(document: object) -> None:
    """Print JSON; what is not known is null, as JSON has no NaN."""
    click.echo(json.dumps(without_nan(document), indent=1, ensure_ascii=False))


def table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table; the columns in `right` hold numbers."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def number(value: float | None, digits: int = 3) -> str:
    """Format a number; a dash for what is not known."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def without_nan(document: Any) -> Any:
    """Return a document with null where JSON has no number."""
    if isinstance(document, dict):
        return {key: without_nan(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [without_nan(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return document
