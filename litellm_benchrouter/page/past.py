"""The versions that an artifact directory holds, and what was published when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.page.verdict import verdict_view
from litellm_benchrouter.page.words import NONE, moment, number
from litellm_benchrouter.store.directory import Store

_MOST = 20


@dataclass(frozen=True)
class Version:
    """One line of the history."""

    version: str
    current: bool
    built: str
    models: str
    samples: str
    best: str
    verdict: str


@dataclass(frozen=True)
class Past:
    """Versions and publications, newest first.

    Attributes
    ----------
    versions : sequence of Version
    older : int
        How many more there are.
    publications : sequence of (str, str, str)
        When, which version, how.
    """

    versions: Sequence[Version]
    older: int
    publications: Sequence[tuple[str, str, str]]


def past(store: Store, current: str | None) -> Past:
    """Read the directory; what cannot be read is said where it would stand."""
    try:
        ids = store.versions()[::-1]
    except (OSError, BenchRouterError):  # one was removed meanwhile, or no answer
        ids = []
    return Past(
        versions=[_version(store, version, version == current) for version in ids[:_MOST]],
        older=max(len(ids) - _MOST, 0),
        publications=_publications(store),
    )


def _version(store: Store, version: str, current: bool) -> Version:
    try:
        manifest = store.manifest(version)
    except BenchRouterError:
        return Version(version, current, "its manifest cannot be read", *[NONE] * 4)
    verdict = verdict_view(getattr(manifest, "verdict", None))
    return Version(
        version=version,
        current=current,
        built=moment(manifest.created_at),
        models=f"{len(manifest.models):,}",
        samples=f"{manifest.counts.get('samples', 0):,}",
        best=_best(manifest),
        verdict=NONE if verdict is None else verdict.headline,
    )


def _best(manifest: Manifest) -> str:
    known = [m for m in manifest.models if m.average_accuracy is not None]
    if not known:
        return NONE
    best = min(known, key=lambda m: (-(m.average_accuracy or 0.0), m.name))
    return f"{best.name} ({number(best.average_accuracy)})"


def _publications(store: Store) -> list[tuple[str, str, str]]:
    try:
        found = store.history()[::-1][:_MOST]
    except BenchRouterError:
        return []
    return [(moment(each.at.isoformat()), str(each.version), str(each.how)) for each in found]
