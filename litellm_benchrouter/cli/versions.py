"""`benchrouter versions`, `publish`, `rollback`, `prune` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.artifact.manifest import Manifest
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
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.errors import ArtifactError, ConfigError, VersionError
from litellm_benchrouter.store.versions import Publication, Versions


@click.command("versions")
@config_option
@artifacts_option
@json_option
def versions_command(config_path: Path | None, artifacts: str | None, as_json: bool) -> None:
    """List the versions, the last built or published first.

    It says which one serves and which one `benchrouter rollback` returns to. The files themselves
    are checked by `benchrouter verify`.
    """
    store = open_store(config_path, artifacts)
    history = store.history()
    published = {each.version: each for each in history}
    ids = store.served(), store.previous()
    rows = [_row(store, version, published.get(version), ids) for version in store.last_used()]
    problem = _problem(store)
    if as_json:
        print_json(
            {
                "artifacts": store.name,
                "current": ids[0],
                "previous": ids[1],
                "problem": problem,
                "versions": rows,
                "history": [
                    {"at": _time(each), "version": each.version, "how": each.how.value}
                    for each in history
                ],
            }
        )
        return
    _show(store, rows, problem)


def _row(
    store: Versions, version: str, last: Publication | None, ids: tuple[str | None, str | None]
) -> dict[str, Any]:
    manifest, problem = _read(store, version)
    return {
        "version": version,
        "current": version == ids[0],
        "previous": version == ids[1],
        "built_at": manifest and manifest.created_at,
        "published_at": last and _time(last),
        "published_by": last and last.how.value,
        "schema_version": manifest and manifest.schema_version,
        "method": manifest and manifest.parameters.get("method"),
        "samples": manifest and manifest.counts.get("samples"),
        "models": manifest and len(manifest.models),
        "tasks": manifest and len(manifest.tasks),
        "bytes": manifest and sum(file.bytes for file in manifest.files.values()),
        "verdict": manifest and manifest.verdict,
        "problem": problem,
    }


def _read(store: Versions, version: str) -> tuple[Manifest | None, str | None]:
    try:
        return store.manifest(version), None
    except ArtifactError as error:
        return None, str(error)


def _problem(store: Versions) -> str | None:
    try:
        store.current()
    except VersionError as error:
        return str(error)
    return None


def _time(publication: Publication) -> str:
    return publication.at.isoformat(timespec="seconds")


def _show(store: Versions, rows: list[dict[str, Any]], problem: str | None) -> None:
    out = console()
    if rows:
        right = ("models", "samples", "MB")
        columns = ("version", "", "built", "published", "by", "verdict", *right)
        shown = table(f"Versions in {store.name}", *columns, right=right)
        for row in rows:
            size = row["bytes"]
            shown.add_row(
                row["version"],
                "current" if row["current"] else "previous" if row["previous"] else "",
                row["built_at"] or "damaged",
                row["published_at"] or "never",
                row["published_by"] or "-",
                _verdict(row["verdict"]),
                *(str(row[key] or "-") for key in right[:2]),
                "-" if size is None else f"{size / 1e6:.2f}",
            )
        out.print(shown)
    else:
        out.print(f"{store.name} holds no version; run `benchrouter build`.", highlight=False)
    for said in (problem, *(row["problem"] for row in rows)):
        if said:
            out.print(f"Warning: {said}", style="yellow", highlight=False)


def _verdict(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return "-"
    return "passes" if verdict["passes"] else "fails"


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
    found = store.find(version)
    passes = store.verify(found).may_serve
    if not (passes or force):
        raise ArtifactError(
            f"version {found} did not pass its own evaluation (`benchrouter versions --json` has "
            f"the verdict), so it must not serve; give --force to publish it all the same."
        )
    before = store.served()
    if not passes:
        store.mark_forced(found)
    store.publish(found)
    _report(before, found, as_json)


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
        console().print(f"Version {after} serves already, nothing changed", highlight=False)
    else:
        served = f"before it {before}" if before else "none served before it"
        console().print(f"Version {after} serves now, {served}", highlight=False)


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
    kept = store.last_used()
    if as_json:
        print_json({"removed": removed, "kept": kept})
        return
    said = f"Removed {', '.join(removed)}" if removed else "Nothing to remove"
    console().print(f"{said}; {len(kept)} versions stay", highlight=False)


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
        raise ConfigError("--version and --all exclude each other; give one of them.")
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
