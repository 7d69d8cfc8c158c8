"""`benchrouter inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from litellm_benchrouter.cli.options import (
    artifacts_option,
    config_option,
    console,
    json_option,
    number,
    open_artifact,
    print_json,
    table,
    version_option,
)
from litellm_benchrouter.cli.task_labels import described, labels_table
from litellm_benchrouter.cli.verdict import show_verdict
from litellm_benchrouter.costs.prices import LITELLM
from litellm_benchrouter.routing.decision import probabilities_better
from litellm_benchrouter.routing.router import BenchRouter


@click.command("inspect")
@config_option
@artifacts_option
@version_option
@json_option
def inspect_command(
    config_path: Path | None, artifacts: str | None, version: str | None, as_json: bool
) -> None:
    """Show what an artifact holds, after verifying it."""
    artifact = open_artifact(config_path, artifacts, version)
    router = BenchRouter(artifact)
    named = {name: _named_task(router, name) for name in sorted(artifact.named_tasks)}
    if as_json:
        document = artifact.manifest.model_dump()
        document["named_tasks"] = named
        document["task_accuracy"] = {
            task: dict(zip(artifact.models, artifact.task_accuracy[d].tolist(), strict=True))
            for d, task in enumerate(artifact.tasks)
        }
        print_json(document)
        return
    _show(router, named)


def _named_task(router: BenchRouter, name: str) -> dict[str, Any]:
    artifact = router.artifact
    scores = artifact.named_tasks[name]
    decision = router.decide("", task=name)
    column = {model: m for m, model in enumerate(artifact.models)}
    star = column[router.best_on_average(artifact.models, "").pick]
    better = probabilities_better(scores, star)
    labelled = artifact.labelled_tasks.get(name)
    labels = {} if labelled is None else described(labelled, artifact.models, star)
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


def _show(router: BenchRouter, named: dict[str, dict[str, Any]]) -> None:
    artifact, manifest, out = router.artifact, router.artifact.manifest, console()
    out.print(
        f"Version {manifest.version}, built {manifest.created_at}, schema "
        f"{manifest.schema_version}: {manifest.counts['samples']} samples, "
        f"{manifest.counts['labels']} labels, {manifest.counts['missing_labels']} missing",
        highlight=False,
    )
    out.print(f"Embedder: {_told(manifest.embedder)}", highlight=False)
    out.print(
        f"Index: recall {manifest.index['recall']:.4f} at k={manifest.index['recall_at']:.0f}, "
        f"ef={manifest.index['ef']:.0f}",
        highlight=False,
    )
    models = table(
        "Models, best on average first",
        "model",
        "average",
        "labels",
        "params (B)",
        "USD/Mtok in",
        "USD/Mtok out",
        "tokens out",
        right=("average", "labels", "params (B)", "USD/Mtok in", "USD/Mtok out", "tokens out"),
    )
    for model in sorted(manifest.models, key=lambda m: (-(m.average_accuracy or -1.0), m.name)):
        models.add_row(
            model.name,
            number(model.average_accuracy),
            str(model.n_labels),
            number(model.params_b, 1),
            number(model.input_price_usd_per_mtok, 2),
            number(model.output_price_usd_per_mtok, 2),
            number(model.mean_output_tokens, 0),
        )
    out.print(models)
    mapped = [model.name for model in manifest.models if model.price_source == LITELLM]
    if mapped:
        out.print(f"Prices from LiteLLM's cost map: {', '.join(mapped)}", highlight=False)
    _show_requests((manifest.guarded or {}).get("request", {}), out)
    tasks = table("Tasks", "task", "samples", "best model", "accuracy", right=("samples",))
    for d, task in enumerate(manifest.tasks):
        best = router.decide("", task=task.name).pick
        accuracy = artifact.task_accuracy[d][artifact.models.index(best)]
        tasks.add_row(task.name, str(task.n_samples), best, number(float(accuracy)))
    out.print(tasks)
    for name, task_named in named.items():
        ranking = table(
            f"Named task {name}: {task_named['pick']} ({task_named['method']}; "
            f"{task_named['reason']}); u={number(task_named['u'])}",
            "model",
            "S1",
            "S2",
            "S3",
            "p",
            "P(better than BMA)",
            right=("S1", "S2", "S3", "p", "P(better than BMA)"),
        )
        for row in task_named["ranking"]:
            ranking.add_row(
                row["model"], *(number(row[key]) for key in ("s1", "s2", "s3", "p", "p_better"))
            )
        out.print(ranking)
        if task_named["n_labelled_inputs"]:
            out.print(labels_table(name, task_named))
    if manifest.verdict is not None:
        show_verdict(out, manifest.verdict)
    for warning in manifest.warnings:
        out.print(f"Warning: {warning}", style="yellow", highlight=False)


def _told(identity: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(identity.items()))


def _show_requests(found: dict[str, Any], out: Console) -> None:
    """Show how sure the probabilities are, and which weights pay (docs/policies.md)."""
    if "ece" in found:
        out.print(
            f"Calibration error of P(success): {number(found['ece'])} of all models, "
            f"{number(found.get('ece_of_picks'))} of the picks",
            highlight=False,
        )
    suggested = found.get("trade_offs")
    if suggested is None:
        return
    for name, kept in (("equal_quality", "the quality"), ("quality_95", "95 % of the quality")):
        chosen = suggested[name]
        what = (
            f"`{chosen['policy']}` saves {100 * chosen['saved']:.0f} % ({suggested['costs']})"
            if chosen
            else "no weight of `balanced` saves anything"
        )
        out.print(f"At {kept} of the best single model: {what}", highlight=False)
