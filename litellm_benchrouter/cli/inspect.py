"""`benchrouter inspect`, `explain` and `doctor`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from litellm_benchrouter.cli.ask import read_request
from litellm_benchrouter.cli.options import (
    artifacts_option,
    config_option,
    console,
    json_option,
    open_artifact,
    print_facts,
    print_json,
    print_tables,
    print_verdict,
    print_warnings,
    required_config,
    version_option,
)
from litellm_benchrouter.config import load_config
from litellm_benchrouter.conversation.ask import read_ask
from litellm_benchrouter.conversation.text import characters
from litellm_benchrouter.costs.policy import QUALITY, SPELLING, Policy, Terms
from litellm_benchrouter.doctor import diagnose
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.views import Finding, Status
from litellm_benchrouter.views.decision import (
    answer,
    describe_decision,
    describe_task,
    named_task_tables,
)
from litellm_benchrouter.views.version import facts, models_table, tasks_table


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
    router, manifest = BenchRouter(artifact), artifact.manifest
    named = {name: describe_task(router, name) for name in sorted(artifact.named_tasks)}
    if as_json:
        document = manifest.model_dump()
        document["named_tasks"] = named
        document["task_accuracy"] = {
            task: dict(zip(artifact.models, artifact.task_accuracy[d].tolist(), strict=True))
            for d, task in enumerate(artifact.tasks)
        }
        print_json(document)
        return
    out = console()
    out.print(f"Version {manifest.version}, schema {manifest.schema_version}", style="bold")
    print_facts(out, facts(manifest))
    print_tables(out, models_table(manifest), tasks_table(router))
    for name, task in named.items():
        print_tables(out, *named_task_tables(name, task))
    print_verdict(out, manifest)
    print_warnings(out, manifest.warnings)


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
@click.option(
    "--request",
    "request_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A request body in place of PROMPT, as `benchrouter ask` takes it.",
)
@json_option
@click.argument("prompt", default="")
def explain_command(
    config_path: Path | None,
    artifacts: str | None,
    version: str | None,
    task: str | None,
    wanted: str | None,
    models: str | None,
    request_file: Path | None,
    as_json: bool,
    prompt: str,
) -> None:
    """Show which model would get PROMPT, or a named task, and why."""
    if prompt and request_file is not None:
        raise ConfigError("PROMPT and --request are both given. Leave one out.")
    if not prompt and task is None and request_file is None:
        raise ConfigError(
            "PROMPT is missing. Add one, or name a task with --task NAME. "
            "--request FILE reads one from a request body."
        )
    router = BenchRouter(open_artifact(config_path, artifacts, version))
    offer = [name for part in (models or "").split(",") if (name := part.strip())]
    offer = offer or list(router.models)
    if unknown := sorted(set(offer) - set(router.models)):
        raise ConfigError(
            f"--models: the benchmark does not know {', '.join(unknown)}. Use some of "
            f"{', '.join(router.models)}."
        )
    turn: dict[str, Any] = {}
    terms = Terms(_policy(config_path, wanted))
    if request_file is not None:
        request, headers = read_request(request_file)
        ask = read_ask(request.get("messages"), request, headers)
        prompt = ask.text or ""
        turn = {"kind": ask.kind, "text": ask.text}
        side = None if config_path is None else load_config(config_path).serving.side
        if ask.kind == "side" and side is not None and wanted is None:
            terms = Terms(side)
        terms = replace(terms, characters=characters(request.get("messages"), request))
    explanation = router.explain(prompt, task=task, models=offer, terms=terms)
    if as_json:
        print_json(turn | describe_decision(router, explanation))
        return
    out, shown = console(), answer(router, explanation)
    if turn:
        out.print(f"{turn['kind']}: {turn['text'] or ''}".rstrip(" :"), markup=False)
    out.print(f"Pick: {shown.pick}", style="bold")
    out.print(f"Why: {explanation.decision.method}; {shown.reason}")
    print_facts(out, shown.facts)
    print_tables(out, shown.neighbors, shown.models)
    out.print("; ".join(f"{title}: {meaning}" for title, meaning in shown.meanings), style="dim")
    print_tables(out, shown.labels)


def _policy(config_path: Path | None, wanted: str | None) -> Policy:
    if wanted is None:
        return QUALITY if config_path is None else load_config(config_path).policy
    try:
        return Policy.parse(wanted)
    except ValueError as error:
        raise ConfigError(f"--policy: {error}.") from error


_STYLE = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


@click.command("doctor")
@config_option
@json_option
def doctor_command(config_path: Path | None, as_json: bool) -> None:
    """Check an installation: what is well, what is not, and what to do."""
    path = required_config(config_path)
    # LiteLLM would ask the network for prices when it is imported, an embedder for its model.
    for name in ("LITELLM_LOCAL_MODEL_COST_MAP", "HF_HUB_OFFLINE"):
        os.environ.setdefault(name, "True")
    findings: list[Finding] = []
    for finding in diagnose(path):
        findings.append(finding)
        if not as_json:
            _print_finding(finding)
    counts = Counter(finding.status for finding in findings)
    worst = next((s for s in reversed(Status) if counts[s]), Status.OK)
    if as_json:
        print_json(
            {
                "config": str(path),
                "status": worst,
                "counts": {status.value: counts[status] for status in Status},
                "findings": [asdict(finding) for finding in findings],
            }
        )
    else:
        click.echo(", ".join(f"{counts[status]} {status}" for status in Status))
    if worst is Status.FAIL:
        sys.exit(1)


def _print_finding(finding: Finding) -> None:
    line = Text(f"{finding.status:<5}", style=_STYLE[finding.status])
    line.append(f"{finding.check}: {finding.found}", style="default not bold")
    if finding.remedy:
        line.append(f" -> {finding.remedy}", style="default not bold")
    console().print(line, soft_wrap=True)
