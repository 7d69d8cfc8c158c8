"""`benchrouter refresh`."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from litellm_benchrouter.cli.label_report import INTERRUPTED
from litellm_benchrouter.cli.options import (
    FiniteRange,
    config_option,
    json_option,
    print_json,
    required_config,
)
from litellm_benchrouter.cli.refreshing import alone, build_version, label, post, write_report
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.config.traffic import RefreshConfig
from litellm_benchrouter.errors import BenchRouterError, ConfigError, SourceError
from litellm_benchrouter.labelling.models import read_proxy
from litellm_benchrouter.progress import bars
from litellm_benchrouter.upstream import Proxy

_MOST = 400


def _address(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """Return an address, as the block may have it: it is not found out after money was spent."""
    try:
        return RefreshConfig(webhook=given).webhook
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(message) from None


@click.command("refresh")
@config_option
@click.option("--limit-usd", type=FiniteRange(0), default=0.0, show_default=True,
              envvar="BENCHROUTER_LIMIT_USD",
              help="Most that this run may spend on labels of own traffic.")  # fmt: skip
@click.option("--n", "most", type=click.IntRange(1), default=_MOST, show_default=True,
              help="Most prompts that are begun in this run.")  # fmt: skip
@click.option("--report/--no-report", default=True, show_default=True,
              help="Write report.html beside the artifacts after a new version.")  # fmt: skip
@click.option("--webhook", metavar="URL", callback=_address,
              help="Post the summary there; default: `refresh.webhook`.")  # fmt: skip
@json_option
def refresh_command(
    config_path: Path | None,
    limit_usd: float,
    most: int,
    report: bool,
    webhook: str | None,
    as_json: bool,
) -> None:
    """Label own traffic, build, prove, publish, report: one line of cron.

    A stage that has nothing to do is skipped, and the one line that is printed says so. A run may
    be killed at any time: no answer that was paid for is lost, and nothing half is published.
    Exit code 2: the configuration or a file is wrong; 1: a stage failed, the version was refused,
    or another refresh is running; 130: interrupted.
    """
    path = required_config(config_path)
    config, proxy = load_config(path), read_proxy(path)
    began, start = datetime.now(UTC), time.monotonic()
    document: dict[str, Any] = {"at": began.isoformat(timespec="seconds")}
    with alone(config):
        failure = _stages(config, proxy, limit_usd, most, document, report=report)
    document["seconds"] = round(time.monotonic() - start, 1)
    document["error"] = None if failure is None else str(failure)
    document["text"] = _sentence(document)
    interrupted = document.get("label", {}).get("stopped") == "interrupted"
    address = None if interrupted else webhook or config.refresh.webhook
    if address and (why := post(address, document)):
        click.echo(f"Warning: webhook: {why}.", err=True)
    if as_json:
        print_json(document)
    else:
        click.echo(document["text"])
    if interrupted:
        sys.exit(INTERRUPTED)
    if failure is not None:
        raise failure


def _stages(
    config: BenchRouterConfig,
    proxy: Proxy,
    limit_usd: float,
    most: int,
    document: dict[str, Any],
    *,
    report: bool,
) -> BenchRouterError | None:
    """Run the stages; return what failed first.

    Labels that do not come stop no build: the benchmark may have changed.
    """
    failure: BenchRouterError | None = None
    with bars() as progress:
        try:
            label(config, proxy, limit_usd, most, document, progress, _say)
        except (ConfigError, SourceError) as error:
            return error
        except BenchRouterError as error:
            failure = error
        if document.get("label", {}).get("stopped") == "interrupted":
            return failure
        try:
            is_new = build_version(config, document, progress)
            if not report:
                document["report"] = {"skipped": "--no-report"}
            elif not is_new:
                document["report"] = {"skipped": "there is no new version"}
            else:
                write_report(config, document, progress)
        except BenchRouterError as error:
            failure = failure or error
    return failure


def _say(text: str) -> None:
    click.echo(text, err=True)


def _sentence(document: dict[str, Any]) -> str:
    """Say in a line for the log what was done and what was not."""
    traffic, labels = document.get("traffic"), document.get("label")
    built, report = document.get("build"), document.get("report")
    parts = []
    if traffic is not None:
        parts.append(f"{traffic['prompts']:,} prompts of own traffic")
    if labels is not None:
        parts.append(
            f"no labels: {labels['skipped']}"
            if "skipped" in labels
            else f"{labels['calls']:,} calls for ${labels['spent_usd']:.4f}, "
            f"{labels['prompts']:,} prompts with labels"
            + (f", stopped ({labels['stopped']})" if labels["stopped"] else "")
        )
    if built is not None and "skipped" in built:
        parts.append(f"version {built['version']} stays: {built['skipped']}")
    elif built is not None:
        is_new = built["version"] != built["before"]
        state = "serves" if built["published"] else "is refused"
        if built["published"] and not is_new:
            state = "serves on"
        says = f": it {built['says']}" if is_new and built["says"] else ""
        parts.append(f"version {built['version']} {state}{says}")
    if report is not None and "file" in report:
        parts.append(f"report {report['file']}")
    if document["error"] is not None:
        parts.append(f"failed: {document['error']}")
    line = "; ".join(" ".join(part.split()) for part in parts)
    return f"{document['at']} refresh: {line} ({document['seconds']:.0f} s)"
