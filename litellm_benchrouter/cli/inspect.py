"""`benchrouter inspect`, `explain`, `serve` and `doctor`."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
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
    open_store,
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
from litellm_benchrouter.errors import BenchRouterError, ConfigError
from litellm_benchrouter.labelling.own_traffic import journal_of
from litellm_benchrouter.labelling.people import Rater
from litellm_benchrouter.page import Page
from litellm_benchrouter.page.rate import RatingPage
from litellm_benchrouter.page.server import PageServer, is_loopback
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
@click.option(
    "--rate", is_flag=True, help="Rate answers to own traffic side by side, blind, instead."
)
def serve_command(
    config_path: Path | None,
    artifacts: str | None,
    host: str,
    port: int,
    allow_remote: bool,
    names: tuple[str, ...],
    rate: bool,
) -> None:
    """Show decisions, the version and its history as a page.

    Ctrl-C ends it. With --rate, the page shows the answers that `label --traffic` has kept, and
    what you call right, partly right or wrong becomes their label.
    """
    if not is_loopback(host) and not allow_remote:
        raise ConfigError(
            f"--host: {host} lets other machines ask, and the page has no passwords. Add "
            "--allow-remote if that is meant, or leave --host out."
        )
    page: Page | RatingPage
    if rate:
        own = load_config(required_config(config_path))
        page = RatingPage(Rater(journal_of(own), own.aliases, own.seed))
    else:
        policy = QUALITY if config_path is None else load_config(config_path).policy
        page = Page(open_store(config_path, artifacts), config_path=config_path, policy=policy)
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
