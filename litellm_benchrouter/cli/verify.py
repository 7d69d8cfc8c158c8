"""`benchrouter verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.artifact.version import verify_artifact
from litellm_benchrouter.cli.options import (
    artifacts_option,
    asked_for,
    config_option,
    console,
    json_option,
    open_store,
    print_json,
    table,
    version_option,
)
from litellm_benchrouter.errors import ArtifactError, ConfigError
from litellm_benchrouter.store.versions import Versions


@click.command("verify")
@config_option
@artifacts_option
@version_option
@click.option("--all", "check_all", is_flag=True, help="Every version that is there.")
@json_option
@click.pass_context
def verify_command(
    context: click.Context,
    config_path: Path | None,
    artifacts: str | None,
    version: str | None,
    check_all: bool,
    as_json: bool,
) -> None:
    """Check the files of a version: sizes and SHA-256, then what they hold, as the proxy does.

    Exit code 1 where anything differs; the file is named. The embedder need not be installed.
    """
    if check_all and version is not None:
        raise ConfigError("--version and --all exclude each other; give one of them.")
    store = open_store(config_path, artifacts)
    versions = store.versions() if check_all else [asked_for(store, version)]
    rows = [_row(store, each) for each in versions]
    if as_json:
        print_json({"artifacts": store.name, "versions": rows})
    else:
        _show(store, rows)
    if any(row["problems"] for row in rows):
        context.exit(1)


def _row(store: Versions, version: str) -> dict[str, Any]:
    row: dict[str, Any] = {"version": version, "files": None, "bytes": None, "problems": []}
    try:
        manifest = store.manifest(version)
        sizes = [file.bytes for file in manifest.files.values()]
        row |= {"files": len(sizes), "bytes": sum(sizes)}
        row["problems"] = list(store.differences(version, manifest))
        if not row["problems"]:
            verify_artifact(store.fetch(version))
    except ArtifactError as error:
        row["problems"] = [str(error)]
    return row


def _show(store: Versions, rows: list[dict[str, Any]]) -> None:
    right = ("files", "MB")
    shown = table(f"Versions in {store.name}", "version", *right, "", right=right)
    for row in rows:
        size = "-" if row["bytes"] is None else f"{row['bytes'] / 1e6:.2f}"
        shown.add_row(
            row["version"],
            str(row["files"] or "-"),
            size,
            "differs" if row["problems"] else "as built",
        )
    console().print(shown)
    for row in rows:
        for problem in row["problems"]:
            click.echo(f"Error: {problem}", err=True)
