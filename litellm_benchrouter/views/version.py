"""A version and its tasks in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.artifact.named_tasks import LabelledTask
from litellm_benchrouter.costs import LITELLM
from litellm_benchrouter.paper.scores import probabilities_better
from litellm_benchrouter.routing.router import BenchRouter
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

_LABEL_COLUMNS = {
    "labels": "Labels",
    "right": "Right",
    "prior": "Expected before",
    "posterior": "Expected now",
    "posterior_sd": "+/-",
    "p_better_posterior": "P(better than BMA)",
    "labels_needed": "More labels to settle",
}


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


# Named tasks


def describe_task(router: BenchRouter, name: str) -> dict[str, Any]:
    """Describe a named task for programs: its pick, and the scores and labels of each model."""
    artifact = router.artifact
    scores = artifact.named_tasks[name]
    decision = router.decide("", task=name)
    column = {model: m for m, model in enumerate(artifact.models)}
    star = column[router.best_on_average(artifact.models, "").pick]
    better = probabilities_better(scores, star)
    labelled = artifact.labelled_tasks.get(name)
    labels = {} if labelled is None else describe_labels(labelled, artifact.models, star)
    return {
        "pick": decision.pick,
        "method": decision.method,
        "reason": decision.reason,
        "n_inputs": scores.n_inputs,
        "u": scores.u,
        "n_labelled_inputs": 0 if labelled is None else labelled.n_inputs,
        "ranking": [
            {"model": model}
            | {key: float(getattr(scores, key)[column[model]]) for key in ("s1", "s2", "s3", "p")}
            | {"p_better": float(better[column[model]])}
            | labels.get(model, {})
            for model in decision.ranking
        ],
    }


def named_task_tables(name: str, task: Mapping[str, Any]) -> list[Table]:
    """List the models of a named task as `describe_task` describes it, and its labels if any."""
    keys = ("s1", "s2", "s3", "p", "p_better")
    title = f"Named task {name}: {task['pick']} ({task['method']}; {task['reason']})"
    rows = [[row["model"], *(number(row[key]) for key in keys)] for row in task["ranking"]]
    columns = ("Model", "S1", "S2", "S3", "p", "P(better than BMA)")
    tables = [Table(f"{title}; u={number(task['u'])}", columns, rows)]
    if task["n_labelled_inputs"]:
        title = f"Labels of {name}: {task['n_labelled_inputs']} of {task['n_inputs']} inputs"
        tables.append(labels_table(title, {row["model"]: row for row in task["ranking"]}))
    return tables


def describe_labels(
    labelled: LabelledTask, models: Sequence[str], than: int
) -> dict[str, dict[str, Any]]:
    """Describe the labels of each model, for programs: `labels` and `right` (share of them).

    Where there is a posterior, also `prior`, `posterior` and `posterior_sd`, and against the model
    at position `than` `p_better_posterior` and `labels_needed` (0: settled; null: not within
    1,000).
    """
    posterior = labelled.posterior
    better = None if posterior is None else posterior.better(than)
    rows: dict[str, dict[str, Any]] = {}
    for m, model in enumerate(models):
        rows[model] = {"labels": int(labelled.counts[m]), "right": float(labelled.accuracy[m])}
        if posterior is not None and better is not None:
            needed = int(posterior.needed[m, than])
            rows[model] |= {
                "prior": float(posterior.prior[m]),
                "posterior": float(posterior.score[m]),
                "posterior_sd": float(posterior.covariance[m, m] ** 0.5),
                "p_better_posterior": float(better[m]),
                "labels_needed": None if needed < 0 or m == than else needed,
            }
    return rows


def labels_table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """List the labels of each model as `describe_labels` describes them."""
    keys = [key for key in _LABEL_COLUMNS if any(key in row for row in rows.values())]
    cells = [
        [model, *(number(row[key], 0 if isinstance(row[key], int) else 3) for key in keys)]
        for model, row in rows.items()
    ]
    return Table(title, ("Model", *(_LABEL_COLUMNS[key] for key in keys)), cells)
