"""The starter set: prompts with checks, for a first benchmark of the operator's own models."""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.labelling.journal import Journal, replace_file
from litellm_benchrouter.labelling.metrics import Metric, parse_metric
from litellm_benchrouter.labelling.models import models_named
from litellm_benchrouter.labelling.plan import Plan, make_plan
from litellm_benchrouter.labelling.run import AskOptions, Run, plan_run
from litellm_benchrouter.labelling.task import LabelTask, Question
from litellm_benchrouter.routing.deployments import likely_names, short_name, text_deployments
from litellm_benchrouter.sources.tasks import labels_path
from litellm_benchrouter.upstream import Proxy

NAME = "starter"
RESULTS = Path("benchmarks") / "starter.jsonl"
"""The benchmark, beside the configuration: a `kind: table` with a row a prompt and model."""

_ENOUGH = 0.5  # of the prompts that another model has answered


@cache
def starter_rows() -> list[dict[str, Any]]:
    """Return the rows of starter.jsonl: task, language, level, metric, prompt, reference."""
    text = files("litellm_benchrouter.labelling").joinpath("starter.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _checked(answer: str, row: Any) -> float:
    metric = _metric(row["metric"])
    assert metric.score is not None
    return metric.score(answer, row["reference"])


_metric = cache(lambda name: parse_metric(name, "starter.jsonl"))
CHECKS = Metric(NAME, score=_checked)
"""Scores an answer by the metric of its own row, which is the question's reference."""


def starter_task(config: BenchRouterConfig) -> LabelTask:
    """Return the whole set as one task to label, which has a journal like any other."""
    questions = [
        Question(row["prompt"], ({"role": "user", "content": row["prompt"]},), row, NAME)
        for row in starter_rows()
    ]
    path = labels_path(config.labels_home, NAME)
    return LabelTask(NAME, questions, path, RESULTS, is_configured=True)


def plan_starter(
    config: BenchRouterConfig,
    proxy: Proxy,
    task: LabelTask,
    metric: Metric,
    journal: Journal,
    options: AskOptions,
) -> Run:
    """Plan to ask every chat model the prompts, in one random order for all of them.

    Of more prompts than `limit_usd` is expected to pay for, the first are asked. Raises as
    `plan_run` does.
    """
    shuffled = np.random.default_rng(config.seed).permutation(len(task.questions))
    order = [task.questions[i] for i in shuffled][: options.n]
    own_models = _own_models(config, proxy)
    run = plan_run(
        config, proxy, task, metric, journal, options, lambda *_: (order, set()), own_models
    )
    if options.limit_usd is None or run.provider is None or not run.plan.n_calls:
        return run
    provider, chosen = run.provider, run.chosen
    models = [model for model in run.models if model not in run.unusable]

    def plan(n: int) -> Plan:
        return make_plan(provider, journal, chosen[:n], models, metric, None, options.call)

    counts = range(1, len(chosen) + 1)
    n = bisect_right(counts, options.limit_usd, key=lambda n: plan(n).expected_usd)
    if n < len(chosen):
        n = max(n, 1)
        task.warnings.append(
            f"--limit-usd {options.limit_usd:g} is expected to pay for {n} of {len(chosen)} "
            f"prompts."
        )
        run.chosen, run.plan = chosen[:n], plan(n)
    return run


def _own_models(config: BenchRouterConfig, proxy: Proxy) -> set[str]:
    """Return the names of the chat models in `model_list`, as the benchmark is to have them."""
    named = models_named(config, proxy)
    models = set()
    for deployment in text_deployments({"model_list": proxy.deployments}):
        names = (config.aliases.get(name, name) for name in likely_names(deployment))
        models.add(next((name for name in names if name in named), short_name(deployment)))
    return models


def write_results(run: Run, path: Path) -> dict[str, Any]:
    """Write the prompts that all models have answered as a benchmark; say what was left out.

    A model with less than half of the prompts that another one has is left out, for each prompt
    that it lacks would be lost for all.
    """
    questions = run.task.questions
    cells = {
        (question.key, model): cell
        for question in questions
        for model in {model for _, model in run.journal.cells}
        if (cell := run.journal.cells.get((question.key, model))) and cell.score is not None
    }
    counts: dict[str, int] = {}
    for _, model in cells:
        counts[model] = counts.get(model, 0) + 1
    most = max(counts.values(), default=0)
    models = sorted(model for model, n in counts.items() if n >= _ENOUGH * most)
    shared = [q for q in questions if models and all((q.key, m) in cells for m in models)]
    lines = []
    for question in shared:
        for model in models:
            cell = cells[question.key, model]
            row = {"task": question.reference["task"], "prompt": question.prompt, "model": model,
                   "score": cell.score, "cost_usd": cell.cost_usd,
                   "prompt_tokens": cell.prompt_tokens,
                   "completion_tokens": cell.completion_tokens}  # fmt: skip
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    if lines:
        replace_file(path, "".join(lines))
    n_asked = len({key for key, _ in cells})
    if n_asked > len(shared):
        run.task.warnings.append(
            f"{n_asked - len(shared)} prompts that only some models have answered are not in "
            f"{path.name}; run it again to complete them."
        )
    run.task.warnings.extend(
        f"{model} has answered {counts[model]} prompts where others have {most}, and is not in "
        f"{path.name}."
        for model in sorted(counts.keys() - set(models))
    )
    return {"file": str(path), "prompts": len(shared), "models": models}
