"""`benchrouter versions`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.cli.options import (
    artifacts_option,
    config_option,
    console,
    json_option,
    open_store,
    print_json,
    table,
)
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.store.history import Publication
from litellm_benchrouter.store.versions import Versions


@click.command("versions")
@config_option
@artifacts_option
@json_option
def versions_command(config_path: Path | None, artifacts: str | None, as_json: bool) -> None:
    """List the versions that are there, the last built or published first.

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
