"""`benchrouter doctor`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click
from rich.text import Text

from litellm_benchrouter.cli.options import (
    config_option,
    console,
    json_option,
    print_json,
    required_config,
)
from litellm_benchrouter.doctor import Finding, Status, diagnose

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
    found: list[Finding] = []
    for finding in diagnose(path):
        found.append(finding)
        if not as_json:
            _show(finding)
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


def _show(finding: Finding) -> None:
    line = Text(f"{finding.status:<5}", style=_STYLE[finding.status])
    line.append(f"{finding.check}: {finding.found}", style="default not bold")
    if finding.remedy:
        line.append(f" -> {finding.remedy}", style="default not bold")
    console().print(line, soft_wrap=True)
