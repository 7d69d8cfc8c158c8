"""`benchrouter explain`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

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
from litellm_benchrouter.cli.task_labels import described, explained_table
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import QUALITY, SPELLING, Policy, Terms
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.routing.explanation import Explanation
from litellm_benchrouter.routing.router import BenchRouter


@click.command("explain")
@config_option
@artifacts_option
@version_option
@click.option("--task", help="Name of the task, as the header x-benchrouter-task gives it.")
@click.option(
    "--policy",
    "wanted",
    help=f"{SPELLING}; default: what --config names for all groups, else quality.",
)
@click.option("--models", help="The models on offer, with commas between; default: all.")
@json_option
@click.argument("prompt", default="")
def explain_command(
    config_path: Path | None,
    artifacts: str | None,
    version: str | None,
    task: str | None,
    wanted: str | None,
    models: str | None,
    as_json: bool,
    prompt: str,
) -> None:
    """Show which model would get PROMPT, or a named task, and why."""
    if not prompt and task is None:
        raise ConfigError("nothing to explain; give a PROMPT, or --task NAME.")
    router = BenchRouter(open_artifact(config_path, artifacts, version))
    named = [name for part in (models or "").split(",") if (name := part.strip())]
    offer = named or list(router.models)
    unknown = sorted(set(offer) - set(router.models))
    if unknown:
        raise ConfigError(
            f"--models names {', '.join(unknown)}, which the benchmark does not know; "
            f"it knows {', '.join(router.models)}."
        )
    terms = Terms(_policy(config_path, wanted))
    explanation = router.explain(prompt, task=task, models=offer, terms=terms)
    labelled = router.artifact.labelled_tasks.get(task or "")
    star = router.models.index(router.best_on_average(offer, "").pick)
    labels = {} if labelled is None else described(labelled, router.models, star)
    if as_json:
        decision = explanation.decision
        print_json(
            {
                "pick": decision.pick,
                "method": decision.method,
                "reason": decision.reason,
                "task": decision.task,
                "artifact": decision.artifact,
                "policy": decision.policy,
                "embedder": decision.embedder,
                "ranking": list(decision.ranking),
                "scores": dict(decision.scores or {}),
                "g": explanation.g,
                "average": explanation.average,
                "probability": explanation.probability,
                "expected_cost": explanation.cost,
                "cost_basis": explanation.cost_basis,
                "cost_unit": explanation.cost_unit,
                "task_scores": explanation.task_scores,
                "u": explanation.u,
                "labels": {model: labels[model] for model in decision.ranking} if labels else {},
                "neighbors": [
                    {"sample_id": sample_id, "task": of_task, "distance": distance}
                    for sample_id, of_task, distance in explanation.neighbors
                ],
            }
        )
        return
    _show(explanation, labels)


def _policy(config_path: Path | None, wanted: str | None) -> Policy:
    if wanted is None:
        return QUALITY if config_path is None else load_config(config_path).policy
    try:
        return Policy.parse(wanted)
    except ValueError as error:
        raise ConfigError(f"--policy: {error}.") from error


def _show(explanation: Explanation, labels: dict[str, dict[str, Any]]) -> None:
    out, decision = console(), explanation.decision
    out.print(f"Pick: {decision.pick}", style="bold", highlight=False)
    out.print(f"Why: {decision.method}; {decision.reason}", highlight=False)
    out.print(f"Policy: {decision.policy}", highlight=False)
    if decision.embedder is not None:
        out.print(f"Embedder: {decision.embedder}", highlight=False)
    if explanation.neighbors:
        near = table(
            "Nearest benchmark samples", "sample", "task", "cosine distance",
            right=("cosine distance",),
        )  # fmt: skip
        for sample_id, task, distance in explanation.neighbors:
            near.add_row(sample_id, task, number(distance))
        out.print(near)
    keys = ("s1", "s2", "s3", "p") if explanation.task_scores else ()
    unit, scale = ("USD per 1k requests", 1e3) if explanation.cost_unit == "usd" else ("size", 1.0)
    columns = (
        *("score", "probability", f"cost ({unit})", "g", "average"),
        *(key.upper() if key != "p" else key for key in keys),
    )
    ranking = table("Models, best first", "model", *columns, right=columns)
    for model in decision.ranking:
        ranking.add_row(
            model,
            number((decision.scores or {}).get(model)),
            number(explanation.probability[model]),
            number(scale * explanation.cost.get(model, math.nan)),
            number(explanation.g[model]),
            number(explanation.average[model]),
            *(number(explanation.task_scores[model][key]) for key in keys),
        )
    out.print(ranking)
    if labels:
        out.print(explained_table(explanation.decision.ranking, labels))
    out.print(f"Artifact: {decision.artifact}", highlight=False)
