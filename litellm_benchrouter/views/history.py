"""The versions of a store and what was published when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.store.versions import Publication, Versions
from litellm_benchrouter.views import UNKNOWN, Table, moment, number


def describe_versions(store: Versions) -> dict[str, Any]:
    """Describe what a store holds and what was published when, for programs."""
    history = store.history()
    published = {each.version: each for each in history}
    current, previous = store.served(), store.previous()
    problem = None
    try:
        store.current()
    except VersionError as error:
        problem = str(error)
    return {
        "artifacts": store.name,
        "current": current,
        "previous": previous,
        "problem": problem,
        "versions": [
            {"version": version, "current": version == current, "previous": version == previous}
            | _describe_version(store, version, published.get(version))
            for version in store.last_used()
        ],
        "history": [
            {"at": _time(each), "version": each.version, "how": each.how.value} for each in history
        ],
    }


def versions_table(document: Mapping[str, Any], most: int | None = None) -> Table:
    """List the versions that `describe_versions` describes, at most so many."""
    rows = []
    for row in document["versions"][:most]:
        verdict, size = row["verdict"], row["bytes"]
        rows.append(
            [
                row["version"],
                "current" if row["current"] else "previous" if row["previous"] else "",
                moment(row["built_at"]) if row["built_at"] else "damaged",
                moment(row["published_at"]) if row["published_at"] else "never",
                row["published_by"] or UNKNOWN,
                UNKNOWN if verdict is None else "passes" if verdict["passes"] else "fails",
                *(number(row[key], 0) for key in ("models", "samples")),
                number(None if size is None else size / 1e6, 2),
            ]
        )
    columns = (
        "Version",
        "",
        "Built, UTC",
        "Published, UTC",
        "By",
        "Verdict",
        "Models",
        "Samples",
        "MB",
    )
    return Table(f"Versions in {document['artifacts']}", columns, rows, n_text=6)


def _describe_version(store: Versions, version: str, last: Publication | None) -> dict[str, Any]:
    problem = None
    manifest: Manifest | None = None
    try:
        manifest = store.manifest(version)
    except ArtifactError as error:
        problem = str(error)
    return {
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


def _time(publication: Publication) -> str:
    return publication.at.isoformat(timespec="seconds")
