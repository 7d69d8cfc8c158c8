"""`benchrouter versions`, `publish`, `rollback`, `prune` and `verify`."""

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
    print_tables,
    print_warnings,
    version_option,
)
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.errors import ArtifactError, ConfigError
from litellm_benchrouter.store.versions import Versions
from litellm_benchrouter.views import Table, number
from litellm_benchrouter.views.version import describe_versions, versions_table


@click.command("versions")
@config_option
@artifacts_option
@json_option
def versions_command(config_path: Path | None, artifacts: str | None, as_json: bool) -> None:
    """List the versions, the last built or published first.

    It says which one serves and which one `benchrouter rollback` returns to. The files themselves
    are checked by `benchrouter verify`.
    """
    document = describe_versions(open_store(config_path, artifacts))
    if as_json:
        print_json(document)
        return
    out, rows = console(), document["versions"]
    if rows:
        print_tables(out, versions_table(document))
    else:
        out.print(f"{document['artifacts']} holds no version. Run `benchrouter build`.")
    problems = [document["problem"], *(row["problem"] for row in rows)]
    print_warnings(out, [problem for problem in problems if problem])


@click.command("publish")
@config_option
@artifacts_option
@click.option("--force", is_flag=True, help="Publish a version whose evaluation says it must not.")
@json_option
@click.argument("version")
def publish_command(
    config_path: Path | None, artifacts: str | None, force: bool, as_json: bool, version: str
) -> None:
    """Make VERSION serve, after verifying its files.

    The first digits of its id will do. Proxies take it up at their next look, within
    `serving.poll_seconds`.
    """
    store = open_store(config_path, artifacts)
    version = store.find(version)
    passes = store.verify(version).may_serve
    if not (passes or force):
        raise ArtifactError(
            f"version {version} did not pass its own evaluation (`benchrouter versions --json` has "
            f"the verdict), so it must not serve. Add --force to publish it all the same."
        )
    before = store.served()
    if not passes:
        store.mark_forced(version)
    store.publish(version)
    _report(before, version, as_json)


@click.command("rollback")
@config_option
@artifacts_option
@json_option
def rollback_command(config_path: Path | None, artifacts: str | None, as_json: bool) -> None:
    """Return to the version that served before.

    Its files are verified first. It undoes the last build or publish that was not undone yet, so
    a second rollback goes further back; `benchrouter publish VERSION` goes forward again.
    `benchrouter versions` shows where a rollback would lead.
    """
    before, after = open_store(config_path, artifacts).rollback()
    _report(before, after, as_json)


def _report(before: str | None, after: str, as_json: bool) -> None:
    if as_json:
        print_json({"before": before, "current": after, "changed": before != after})
    elif before == after:
        console().print(f"Version {after} serves already, nothing changed")
    else:
        served = f"before it {before}" if before else "none served before it"
        console().print(f"Version {after} serves now, {served}")


@click.command("prune")
@config_option
@artifacts_option
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="How many versions stay; default: `keep_versions` of the configuration, or 5.",
)
@json_option
def prune_command(
    config_path: Path | None, artifacts: str | None, keep: int | None, as_json: bool
) -> None:
    """Remove all but the versions that were built or published last.

    The current version and the one that a rollback returns to always stay. Proxies that still use a
    removed version go on with it. Every build prunes, too.
    """
    store = open_store(config_path, artifacts)
    if keep is None:
        config = BenchRouterConfig() if config_path is None else load_config(config_path)
        keep = config.keep_versions
    removed = store.prune(keep)
    remaining = store.last_used()
    if as_json:
        print_json({"removed": removed, "kept": remaining})
        return
    what = f"Removed {', '.join(removed)}" if removed else "Nothing to remove"
    console().print(f"{what}; {len(remaining)} versions stay")


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
    """Check the files of a version as the proxy does.

    Sizes and SHA-256 are compared, then what the files hold is read. The embedder need not be
    installed. Exit code 1 where anything differs; the file is named.
    """
    if check_all and version is not None:
        raise ConfigError("--version and --all exclude each other. Use one of them.")
    store = open_store(config_path, artifacts)
    versions = store.versions() if check_all else [asked_for(store, version)]
    rows = [_check(store, each) for each in versions]
    if as_json:
        print_json({"artifacts": store.name, "versions": rows})
    else:
        _show_checks(store, rows)
    if any(row["problems"] for row in rows):
        context.exit(1)


def _check(store: Versions, version: str) -> dict[str, Any]:
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


def _show_checks(store: Versions, rows: list[dict[str, Any]]) -> None:
    cells = [
        [
            row["version"],
            "differs" if row["problems"] else "as built",
            number(row["files"], 0),
            number(None if row["bytes"] is None else row["bytes"] / 1e6, 2),
        ]
        for row in rows
    ]
    columns = ("Version", "Finding", "Files", "MB")
    print_tables(console(), Table(f"Versions in {store.name}", columns, cells, n_text=2))
    for row in rows:
        for problem in row["problems"]:
            click.echo(f"Error: {problem}", err=True)
