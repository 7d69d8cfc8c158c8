"""`benchrouter explain`."""

from __future__ import annotations

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
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.router import BenchRouter, Explanation


@click.command("explain")
@config_option
@artifacts_option
@version_option
@click.option("--task", help="Name of the task, as the header x-benchrouter-task gives it.")
@click.option("--models", help="The models on offer, with commas between; default: all.")
@json_option
@click.argument("prompt", default="")
def explain_command(
    config_path: Path | None,
    artifacts: Path | None,
    version: str | None,
    task: str | None,
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
    explanation = router.explain(prompt, task=task, models=offer)
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
                "ranking": list(decision.ranking),
                "scores": dict(decision.scores or {}),
                "g": explanation.g,
                "average": explanation.average,
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


def _show(explanation: Explanation, labels: dict[str, dict[str, Any]]) -> None:
    out, decision = console(), explanation.decision
    out.print(f"Pick: {decision.pick}", style="bold", highlight=False)
    out.print(f"Why: {decision.method}; {decision.reason}", highlight=False)
    if explanation.neighbors:
        near = table(
            "Nearest benchmark samples", "sample", "task", "cosine distance",
            right=("cosine distance",),
        )  # fmt: skip
        for sample_id, task, distance in explanation.neighbors:
            near.add_row(sample_id, task, number(distance))
        out.print(near)
    keys = ("s1", "s2", "s3", "p") if explanation.task_scores else ()
    columns = ("score", "g", "average", *(key.upper() if key != "p" else key for key in keys))
    ranking = table("Models, best first", "model", *columns, right=columns)
    for model in decision.ranking:
        ranking.add_row(
            model,
            number((decision.scores or {}).get(model)),
            number(explanation.g[model]),
            number(explanation.average[model]),
            *(number(explanation.task_scores[model][key]) for key in keys),
        )
    out.print(ranking)
    if labels:
        out.print(explained_table(explanation.decision.ranking, labels))
    out.print(f"Artifact: {decision.artifact}", highlight=False)
