"""`benchrouter inspect`, `explain`, `serve` and `doctor`."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.text import Text

from litellm_benchrouter.cli.options import (
    artifacts_option,
    config_option,
    console,
    json_option,
    number,
    open_artifact,
    open_store,
    print_json,
    required_config,
    table,
    version_option,
)
from litellm_benchrouter.cli.task_labels import described, explained_table, labels_table
from litellm_benchrouter.cli.verdict import show_verdict
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import QUALITY, SPELLING, Policy, Terms
from litellm_benchrouter.costs.prices import LITELLM
from litellm_benchrouter.doctor import Finding, Status, diagnose
from litellm_benchrouter.errors import BenchRouterError, ConfigError
from litellm_benchrouter.page.server import PageServer, is_loopback
from litellm_benchrouter.page.views import MetricsSource, Page
from litellm_benchrouter.paper.scores import probabilities_better
from litellm_benchrouter.routing.explanation import Explanation
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
    _show_explanation(explanation, labels)


def _policy(config_path: Path | None, wanted: str | None) -> Policy:
    if wanted is None:
        return QUALITY if config_path is None else load_config(config_path).policy
    try:
        return Policy.parse(wanted)
    except ValueError as error:
        raise ConfigError(f"--policy: {error}.") from error


def _show_explanation(explanation: Explanation, labels: dict[str, dict[str, Any]]) -> None:
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


@click.command("serve")
@config_option
@artifacts_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Listen where other machines can ask; the page knows no users and no passwords.",
)
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", help="A name under which it is asked."
)
@click.option("--metrics-url", help="The proxy's metrics, as http://127.0.0.1:4000/metrics.")
@click.option(
    "--metrics-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with a key of the proxy, which asks for one unless it is told otherwise.",
)
def serve_command(
    config_path: Path | None,
    artifacts: str | None,
    host: str,
    port: int,
    allow_remote: bool,
    names: tuple[str, ...],
    metrics_url: str | None,
    metrics_key_file: Path | None,
) -> None:
    """Show decisions, the version and its history as a page.

    Ctrl-C ends it.
    """
    if not is_loopback(host) and not allow_remote:
        raise ConfigError(
            f"--host {host} lets other machines ask, and the page has no passwords; "
            "give --allow-remote as well if that is meant, or leave --host out."
        )
    config = None if config_path is None else load_config(config_path)
    store = open_store(config_path, artifacts)
    metrics = _metrics(metrics_url, metrics_key_file)
    page = Page(
        store,
        config_path=config_path,
        policy=QUALITY if config is None else config.policy,
        metrics=metrics,
    )
    try:
        server = PageServer(page, host, port, (host, *names))
    except OSError as error:
        raise BenchRouterError(_cannot_listen(host, port, error)) from error
    with server:
        if not is_loopback(host):
            click.echo(f"Warning: whoever reaches {server.url} can ask and read it all.", err=True)
        problem = page.warm_up()
        if problem is not None:
            click.echo(f"Warning: {problem}", err=True)
        _end_on_signals(server)
        click.echo(f"The page is at {server.url} (Ctrl-C ends it).")
        server.serve_forever()
        click.echo("Ended.")


def _metrics(url: str | None, key_file: Path | None) -> MetricsSource | None:
    if url is None:
        if key_file is not None:
            raise ConfigError("--metrics-key-file needs --metrics-url, the proxy's metrics.")
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"--metrics-url {url!r} is no address; http://127.0.0.1:4000/metrics is.")
    if key_file is None:
        return MetricsSource(url)
    try:
        key = key_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--metrics-key-file {key_file} cannot be read as a line of ASCII; name another."
        ) from error
    if not key or not key.isprintable():
        raise ConfigError(f"--metrics-key-file {key_file} does not hold one key; name another.")
    return MetricsSource(url, key)


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; end what listens there, or give another --port."
    return f"cannot listen on port {port} of {host} ({error.strerror}); give another --port."


def _end_on_signals(server: PageServer) -> None:
    """End on Ctrl-C, and on SIGTERM as service managers send it, between two requests.

    An exception raised from a signal can strike where Python only prints and forgets it.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        # It waits for the loop to end, which is in this thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


_STYLE = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


@click.command("doctor")
@config_option
@json_option
def doctor_command(config_path: Path | None, as_json: bool) -> None:
    """Check an installation: what is well, what is not, and what to do."""
    path = required_config(config_path)
    # LiteLLM would ask the network for prices when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    found: list[Finding] = []
    for finding in diagnose(path):
        found.append(finding)
        if not as_json:
            _show_finding(finding)
    counts = Counter(finding.status for finding in found)
    worst = next((s for s in reversed(Status) if counts[s]), Status.OK)
    if as_json:
        print_json(
            {
                "config": str(path),
                "status": worst,
                "counts": {status.value: counts[status] for status in Status},
                "findings": [asdict(finding) for finding in found],
            }
        )
    else:
        click.echo(", ".join(f"{counts[status]} {status}" for status in Status))
    if worst is Status.FAIL:
        sys.exit(1)


def _show_finding(finding: Finding) -> None:
    line = Text(f"{finding.status:<5}", style=_STYLE[finding.status])
    line.append(f"{finding.check}: {finding.found}", style="default not bold")
    if finding.remedy:
        line.append(f" -> {finding.remedy}", style="default not bold")
    console().print(line, soft_wrap=True)
