"""`benchrouter build`."""

from __future__ import annotations

from pathlib import Path

import click

from litellm_benchrouter.artifact.verdict import sentence
from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.cli.options import (
    config_option,
    console,
    engine_option,
    json_option,
    print_json,
    print_tables,
    print_verdict,
    print_warnings,
    ray_address_option,
    required_config,
    with_engine,
)
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import PublishError
from litellm_benchrouter.progress import bars
from litellm_benchrouter.store import open_store
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.store.secrets import without_password
from litellm_benchrouter.traffic.explored import read_explored
from litellm_benchrouter.views import number
from litellm_benchrouter.views.version import sources_table


@click.command("build")
@config_option
@click.option(
    "--embeddings",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Vectors that you already have: a .npy file, rows in the order of the source's samples.",
)
@click.option(
    "--force", is_flag=True, help="Make it current even if its verdict fails; the manifest says so."
)
@engine_option
@ray_address_option
@json_option
def build_command(
    config_path: Path | None,
    embeddings: Path | None,
    force: bool,
    engine: str | None,
    ray_address: str | None,
    as_json: bool,
) -> None:
    """Build an artifact from the configured benchmarks and make it current.

    Before that it is tried on held-out tasks and samples of the benchmark; one that loses to the
    best model on average is kept for inspection and not made current (benchrouter.publish).

    A build that fails leaves the version that serves as it was. Exit code 2: the configuration or
    a benchmark's files are wrong and nothing was written; 1: the build failed, or its version was
    refused.
    """
    config = with_engine(load_config(required_config(config_path)), engine, ray_address)
    with bars() as progress:
        built = build(
            config,
            embeddings=embeddings,
            progress=progress,
            force=force,
            explored=read_explored(config),
        )
    if as_json:
        print_json(
            {
                "version": built.manifest.version,
                "folder": str(built.folder),
                "unchanged": built.unchanged,
                "published": built.published,
                "verdict": built.manifest.verdict,
                "manifest": built.manifest.model_dump(),
            }
        )
    else:
        _show(built, config.artifacts_url)
    if not built.published:
        raise PublishError(refusal(built, open_store(config)))


def _show(built: Built, url: str | None) -> None:
    out, manifest = console(), built.manifest
    counts = manifest.counts
    print_tables(out, sources_table(manifest))
    best = sorted(manifest.models, key=lambda model: -(model.average_accuracy or 0.0))[:3]
    names = ", ".join(f"{model.name} {number(model.average_accuracy)}" for model in best)
    out.print(
        f"{counts['samples']} samples, {counts['tasks']} tasks, {counts['models']} models; "
        f"best on average: {names}"
    )
    if counts.get("copies") or counts.get("families", counts["tasks"]) < counts["tasks"]:
        family = "family" if counts["families"] == 1 else "families"
        out.print(
            f"held out together: {counts['copies']} samples are near-duplicates of others, and the "
            f"tasks are {counts['families']} {family}"
        )
    out.print(
        f"index: recall {manifest.index['recall']:.4f} at ef={manifest.index['ef']:.0f}; "
        f"embedded now: {counts['embedded_now']}; "
        f"{sum(manifest.build_seconds.values()):.1f} s"
    )
    print_warnings(out, manifest.warnings)
    print_verdict(out, manifest)
    if built.published:
        state = "is current already, nothing changed" if built.unchanged else "is current"
        where = built.folder if url is None else f"{without_password(url)}, and here {built.folder}"
        out.print(f"Version {manifest.version} {state}: {where}")


def refusal(built: Built, store: Store) -> str:
    """Say why a version was not made current, and what to do."""
    manifest = built.manifest
    reason = "" if manifest.verdict is None else f": it {sentence(manifest.verdict)}"
    serving = store.current()
    state = "no version serves yet" if serving is None else f"version {serving} still serves"
    return (
        f"version {manifest.version} was not made current{reason}; {state}. Look at it with "
        f"`benchrouter inspect --version {manifest.version}`, publish it with --force, or set "
        f"benchrouter.publish.require to nothing."
    )
