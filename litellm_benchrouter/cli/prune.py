"""`benchrouter prune`."""

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
from litellm_benchrouter.config import BenchRouterConfig, load_config


@click.command("prune")
@config_option
@artifacts_option
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="How many versions stay; default: `keep_versions` of the configuration, or 5.",
)
@json_option
def prune_command(
    config_path: Path | None, artifacts: str | None, keep: int | None, as_json: bool
) -> None:
    """Remove all but the versions that were built or published last.

    The current version and the one that a rollback returns to always stay. Proxies that still use a
    removed version go on with it. Every build prunes, too.
    """
    store = open_store(config_path, artifacts)
    if keep is None:
        config = BenchRouterConfig() if config_path is None else load_config(config_path)
        keep = config.keep_versions
    removed = store.prune(keep)
    kept = store.last_used()
    if as_json:
        print_json({"removed": removed, "kept": kept})
        return
    said = f"Removed {', '.join(removed)}" if removed else "Nothing to remove"
    console().print(f"{said}; {len(kept)} versions stay", highlight=False)
