"""A version's manifest in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.page.verdict import VerdictView, verdict_view
from litellm_benchrouter.page.words import NONE, count, moment_and_age, number, part, points


@dataclass(frozen=True)
class Model:
    """One model of the benchmark: `share` is its average's part of the bar."""

    name: str
    average: str
    share: float | None
    labels: str
    size: str
    prices: str


@dataclass(frozen=True)
class About:
    """What a version is.

    Attributes
    ----------
    version : str
    facts : sequence of (str, str)
        A name and what there is to say.
    models : sequence of Model
        Best on average first.
    tasks : sequence of (str, str)
        Name and number of samples.
    named_tasks : sequence of str
    candidates : sequence of (str, str, str, bool)
        What could choose for new tasks: name, gain, standard error, whether it was chosen.
    verdict : VerdictView or None
    warnings : sequence of str
    """

    version: str
    facts: Sequence[tuple[str, str]]
    models: Sequence[Model]
    tasks: Sequence[tuple[str, str]]
    named_tasks: Sequence[str]
    candidates: Sequence[tuple[str, str, str, bool]]
    verdict: VerdictView | None
    warnings: Sequence[str]


def about(manifest: Manifest) -> About:
    """Put a manifest into words."""
    ranked = sorted(manifest.models, key=lambda m: (-(m.average_accuracy or -1.0), m.name))
    return About(
        version=manifest.version,
        facts=[
            ("Built", moment_and_age(manifest.created_at)),
            ("From", "; ".join(_source(source) for source in manifest.sources) or NONE),
            ("Holds", _holds(manifest.counts)),
            ("Embedder", _embedder(manifest.embedder)),
            ("Method", _method(manifest)),
            ("Index", _index(manifest.index)),
        ],
        models=[
            Model(
                name=model.name,
                average=number(model.average_accuracy),
                share=model.average_accuracy
                if model.average_accuracy is not None and 0 <= model.average_accuracy <= 1
                else None,
                labels=f"{model.n_labels:,}",
                size=NONE if model.params_b is None else f"{model.params_b:g} B",
                prices=f"{_price(model.input_price_usd_per_mtok)} / "
                f"{_price(model.output_price_usd_per_mtok)}",
            )
            for model in ranked
        ],
        tasks=[(task.name, f"{task.n_samples:,}") for task in manifest.tasks],
        named_tasks=manifest.named_tasks,
        candidates=_candidates(manifest.guarded),
        verdict=verdict_view(getattr(manifest, "verdict", None)),
        warnings=manifest.warnings,
    )


def _holds(counts: Mapping[str, int]) -> str:
    missing = counts.get("missing_labels", 0)
    return (
        f"{count(counts.get('samples', 0), 'sample')} of {count(counts.get('tasks', 0), 'task')}, "
        f"{count(counts.get('labels', 0), 'label')} of {count(counts.get('models', 0), 'model')}, "
        f"{f'{missing:,}' if missing else 'none'} missing"
    )


def _source(source: Mapping[str, Any]) -> str:
    dropped = sum(n for n in part(source, "dropped").values() if isinstance(n, int))
    read = source.get("samples")
    said = str(source.get("name") or "a source without a name")
    if isinstance(read, int):
        said += f" ({count(read, 'sample')}{f', {dropped:,} left out' if dropped else ''})"
    return said


def _embedder(embedder: Mapping[str, Any]) -> str:
    named = " ".join(str(embedder[key]) for key in ("kind", "model") if embedder.get(key))
    return f"{named}, {embedder.get('dimension', NONE)} dimensions"


def _method(manifest: Manifest) -> str:
    method = str(manifest.parameters.get("method", NONE))
    if method != "guarded":
        return method
    if manifest.guarded is None:
        return "guarded; the benchmark is too small for it, so the best model on average answers"
    request = part(manifest.guarded, "request")
    gain, error = points(request.get("gate_gain")), points(request.get("gate_standard_error"))
    if request.get("routes"):
        said = f"requests are routed: {gain} points over the best on average, left out in turn"
    else:
        said = f"requests go to the best on average: routing shows {gain} points, too little"
    said += f" (standard error {error.lstrip('+')})"
    candidate = part(manifest.guarded, "unseen").get("candidate")
    return f"guarded; {said}; new tasks: " + (
        f"{candidate} chooses" if candidate else "no candidate gains, the best on average answers"
    )


def _index(index: Mapping[str, float | str]) -> str:
    recall = index.get("recall")
    found = NONE if recall is None else f"{100 * float(recall):.2f} %"
    return f"finds {found} of the {index.get('recall_at', 0):.0f} nearest samples"


def _candidates(guarded: Mapping[str, Any] | None) -> list[tuple[str, str, str, bool]]:
    unseen = part(guarded, "unseen")
    chosen = unseen.get("candidate")
    gains = part(unseen, "gains")
    return [
        (
            name,
            points(part(gains, name).get("mean")),
            points(part(gains, name).get("standard_error")).lstrip("+"),
            name == chosen,
        )
        for name in sorted(gains, key=lambda n: -float(part(gains, n).get("mean") or 0.0))
    ]


def _price(value: float | None) -> str:
    return NONE if value is None else f"{value:g}"
