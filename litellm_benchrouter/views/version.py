"""A version in words and numbers, and the versions of a store with what was published when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.costs import LITELLM
from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.versions import Publication, Versions
from litellm_benchrouter.views import (
    PERCENT,
    UNKNOWN,
    Table,
    count,
    mapping_at,
    moment,
    number,
    points,
)


def facts(manifest: Manifest) -> list[tuple[str, str]]:
    """Say what a version is made of, as names and sentences."""
    sources = "; ".join(_source(source) for source in manifest.sources)
    recall, at = manifest.index.get("recall"), manifest.index.get("recall_at", 0)
    by_litellm = [model.name for model in manifest.models if model.price_source == LITELLM]
    rows = [
        ("Built", moment(manifest.created_at, age=True)),
        ("From", sources or UNKNOWN),
        ("Holds", _holds(manifest.counts)),
        ("Embedder", _embedder(manifest.embedder)),
        ("Method", _method(manifest)),
        ("Index", f"finds {PERCENT.value(recall, 2)} of the {at:.0f} nearest samples"),
        ("Calibration", _calibration(mapping_at(manifest.guarded, "request"))),
        *_trade_offs(mapping_at(manifest.guarded, "request")),
        ("Prices from LiteLLM", ", ".join(by_litellm)),
    ]
    return [(name, text) for name, text in rows if text]


def sources_table(manifest: Manifest) -> Table:
    """List the sources with what was left out of each."""
    rows = [
        [
            str(source["name"]),
            "; ".join(f"{n} {what}" for what, n in source["dropped"].items()) or UNKNOWN,
            *(f"{source[key]:,}" for key in ("samples", "models", "tasks")),
        ]
        for source in manifest.sources
    ]
    return Table("Sources", ("Source", "Left out", "Samples", "Models", "Tasks"), rows, n_text=2)


def models_table(manifest: Manifest) -> Table:
    """List the models, best on average first."""
    ranked = sorted(manifest.models, key=lambda m: (-(m.average_accuracy or -1.0), m.name))
    rows = [
        [
            model.name,
            number(model.average_accuracy),
            f"{model.n_labels:,}",
            number(model.params_b, 1),
            number(model.input_price_usd_per_mtok, 2),
            number(model.output_price_usd_per_mtok, 2),
            number(model.mean_output_tokens, 0),
        ]
        for model in ranked
    ]
    columns = ("Model", "Average", "Labels", "Params, 10⁹", "$/Mtok in", "$/Mtok out", "Tokens out")
    return Table("Models, best on average first", columns, rows)


def best_on_average(manifest: Manifest) -> str:
    """Return the name of the best single model, or a dash."""
    measured = [model for model in manifest.models if model.average_accuracy is not None]
    best = min(measured, key=lambda m: (-(m.average_accuracy or 0), m.name), default=None)
    return UNKNOWN if best is None else best.name


def tasks_table(router: BenchRouter) -> Table:
    """List the benchmark's tasks with the model that each would get."""
    artifact, rows = router.artifact, []
    for d, task in enumerate(artifact.manifest.tasks):
        pick = router.decide("", task=task.name).pick
        accuracy = float(artifact.task_accuracy[d][artifact.models.index(pick)])
        rows.append([task.name, pick, f"{task.n_samples:,}", number(accuracy)])
    return Table("Tasks", ("Task", "Pick", "Samples", "Accuracy"), rows, n_text=2)


def candidates_table(manifest: Manifest) -> Table | None:
    """List what could choose for new tasks, the best first; None where nothing was tried."""
    unseen = mapping_at(manifest.guarded, "unseen")
    gains = {
        name: mapping_at(mapping_at(unseen, "gains"), name) for name in unseen.get("gains", ())
    }
    if not gains:
        return None
    ranked = sorted(gains, key=lambda name: -float(gains[name].get("mean") or 0.0))
    rows = [
        [
            name,
            "yes" if name == unseen.get("candidate") else "no",
            points(gains[name].get("mean")),
            PERCENT.bare(gains[name].get("standard_error")),
            number(gains[name].get("p"), 2),
        ]
        for name in ranked
    ]
    columns = ("Candidate", "Chosen", "Gain, points", "Standard error", "p")
    return Table("Candidates that could choose for new tasks", columns, rows, n_text=2)


def _source(source: Mapping[str, Any]) -> str:
    left_out = sum(n for n in mapping_at(source, "dropped").values() if isinstance(n, int))
    name, read = str(source.get("name") or "a source without a name"), source.get("samples")
    if not isinstance(read, int):
        return name
    return f"{name} ({count(read, 'sample')}{f', {left_out:,} left out' if left_out else ''})"


def _holds(counts: Mapping[str, int]) -> str:
    missing = counts.get("missing_labels", 0)
    return (
        f"{count(counts.get('samples', 0), 'sample')} of {count(counts.get('tasks', 0), 'task')}, "
        f"{count(counts.get('labels', 0), 'label')} of {count(counts.get('models', 0), 'model')}, "
        f"{f'{missing:,}' if missing else 'none'} missing"
    )


def _embedder(embedder: Mapping[str, Any]) -> str:
    named = " ".join(str(embedder[key]) for key in ("kind", "model") if embedder.get(key))
    return f"{named}, {embedder.get('dimension', UNKNOWN)} dimensions"


def _method(manifest: Manifest) -> str:
    method = str(manifest.parameters.get("method", UNKNOWN))
    if method != "guarded":
        return method
    if manifest.guarded is None:
        return "guarded; the benchmark is too small for it, so the best model on average answers"
    request = mapping_at(manifest.guarded, "request")
    gain = points(request.get("gate_gain"))
    routed = (
        f"requests are routed: {gain} points over the best on average, out of fold"
        if request.get("routes")
        else f"requests go to the best on average: routing shows {gain} points, too little"
    )
    error = PERCENT.bare(request.get("gate_standard_error"))
    candidate = mapping_at(manifest.guarded, "unseen").get("candidate")
    new = f"{candidate} chooses" if candidate else "no candidate gains, the best on average answers"
    return f"guarded; {routed} (standard error {error}); new tasks: {new}"


def _calibration(request: Mapping[str, Any]) -> str:
    if "ece" not in request:
        return ""
    every, picks = number(request["ece"]), number(request.get("ece_of_picks"))
    return f"P(success) is off by {every} on average over all models, by {picks} over the picks"


def _trade_offs(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    weights, rows = mapping_at(request, "trade_offs"), []
    for key, name in (("equal_quality", "At equal quality"), ("quality_95", "At 95 % quality")):
        if key in weights:
            weight = mapping_at(weights, key)
            saved = f"{weight.get('policy')} saves {PERCENT.value(weight.get('saved'), 0)}"
            text = f"{saved} ({weights.get('costs')})" if weight else "no weight saves anything"
            rows.append((name, f"{text}, against the best single model"))
    return rows


# The versions of a store


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
