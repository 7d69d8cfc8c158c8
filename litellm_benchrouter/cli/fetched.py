"""What `benchrouter fetch` leaves: a record beside the files, and the YAML that reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from litellm_benchrouter.config import BLOCK
from litellm_benchrouter.errors import FetchError
from litellm_benchrouter.routing.deployments import tails_of
from litellm_benchrouter.sources.catalogue import CatalogueEntry, WantedModels
from litellm_benchrouter.sources.fetch import Selection

RECORD = "fetched.yaml"
"""Beside the files: where they came from, when, their licence, and the SHA-256 of each."""


def write_record(
    folder: Path, entry: CatalogueEntry, selection: Selection, hashes: Mapping[str, str]
) -> None:
    """Write where the files came from. Raises FetchError where that cannot be written."""
    record = {
        "set": entry.name,
        "url": entry.url,
        "licence": selection.licence or entry.licence,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {f.path: {"url": f.url, "sha256": hashes[f.path]} for f in selection.files},
    }
    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True)
    try:
        (folder / RECORD).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FetchError(
            f"{folder / RECORD}: cannot be written ({error.strerror}). The files are there; make "
            "room for it, and run the command again."
        ) from error


def block_of(
    entry: CatalogueEntry,
    selection: Selection,
    folder: Path,
    for_config: Path | None,
    wanted: WantedModels | None,
) -> str:
    """Return the YAML to paste; other names of the operator's models become aliases."""
    place = folder / entry.path if entry.path != "." else folder
    if for_config is not None:
        place = Path(os.path.relpath(place.resolve(), for_config.resolve().parent))
    source: dict[str, Any] = {"kind": entry.kind, "path": str(place), "name": entry.name}
    if entry.threshold is not None:
        source["threshold"] = entry.threshold
    if entry.options:
        source["options"] = entry.options
    block: dict[str, Any] = {"sources": [source]}
    models: dict[str, dict[str, list[str]]] = {}
    for asked, names in _lacking_alias(selection, wanted).items():
        if len(names) == 1:
            models.setdefault(names[0], {"aliases": []})["aliases"].append(asked)
    if models:
        block["models"] = models
    return yaml.safe_dump({BLOCK: block}, sort_keys=False, allow_unicode=True)


def _lacking_alias(selection: Selection, wanted: WantedModels | None) -> dict[str, list[str]]:
    """Return the operator's models that the router finds by an alias alone, each with the
    published names that it may be.
    """
    if wanted is None:
        return {}
    may_be: dict[str, list[str]] = {}
    for published in selection.matched:
        for asked in wanted.all_of(published):
            may_be.setdefault(asked, []).append(published)
    return {
        asked: names
        for asked, names in may_be.items()
        if "*" not in asked and not {*names} & {*tails_of(asked)}
    }


def doubtful_aliases(selection: Selection, wanted: WantedModels | None) -> list[str]:
    """Warn of models that may be several published ones: an alias belongs to one."""
    return [
        f"{asked} may be {' or '.join(names)}. Give the one that it is the alias: "
        f"models: {{{names[0]}: {{aliases: [{asked}]}}}}."
        for asked, names in _lacking_alias(selection, wanted).items()
        if len(names) > 1
    ]
