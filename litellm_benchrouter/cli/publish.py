"""`benchrouter publish` and `benchrouter rollback`: which version serves."""

from __future__ import annotations

from pathlib import Path

import click

from litellm_benchrouter.cli.options import (
    artifacts_option,
    config_option,
    console,
    json_option,
    open_store,
    print_json,
)
from litellm_benchrouter.errors import ArtifactError


@click.command("publish")
@config_option
@artifacts_option
@click.option("--force", is_flag=True, help="Publish a version whose evaluation says it must not.")
@json_option
@click.argument("version")
def publish_command(
    config_path: Path | None, artifacts: str | None, force: bool, as_json: bool, version: str
) -> None:
    """Make VERSION serve, after verifying its files. The first digits of its id will do.

    Proxies take it up at their next look, within `serving.poll_seconds`.
    """
    store = open_store(config_path, artifacts)
    found = store.find(version)
    passes = store.verify(found).may_serve
    if not (passes or force):
        raise ArtifactError(
            f"version {found} did not pass its own evaluation (`benchrouter versions --json` has "
            f"the verdict), so it must not serve; give --force to publish it all the same."
        )
    before = store.served()
    if not passes:
        store.mark_forced(found)
    store.publish(found)
    _report(before, found, as_json)


@click.command("rollback")
@config_option
@artifacts_option
@json_option
def rollback_command(config_path: Path | None, artifacts: str | None, as_json: bool) -> None:
    """Return to the version that served before, after verifying its files.

    It undoes the last build or publish that was not undone yet, so a second rollback goes further
    back; `benchrouter publish VERSION` goes forward again. `benchrouter versions` shows where a
    rollback would lead.
    """
    before, after = open_store(config_path, artifacts).rollback()
    _report(before, after, as_json)


def _report(before: str | None, after: str, as_json: bool) -> None:
    if as_json:
        print_json({"before": before, "current": after, "changed": before != after})
    elif before == after:
        console().print(f"Version {after} serves already, nothing changed", highlight=False)
    else:
        served = f"before it {before}" if before else "none served before it"
        console().print(f"Version {after} serves now, {served}", highlight=False)
