"""How long each stage of a build takes, for a configuration or for a folder of results."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.config import BenchRouterConfig, load_config, parse_config
from litellm_benchrouter.progress import bars


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with samples, scores and, where they are to be used, embeddings.npy.",
)
@click.option("--method", type=click.Choice(["guarded", "paper"]), help="Default: as configured.")
@click.option("--lexical", is_flag=True, help="Embed the prompts, though there are vectors.")
def main(config_path: Path | None, data: Path | None, method: str | None, lexical: bool) -> None:
    """Build into a temporary folder and print the seconds of each stage."""
    if (config_path is None) == (data is None):
        raise click.UsageError("give either --config FILE or --data DIR")
    config = _of_data(data, lexical) if data else load_config(config_path or Path())
    with tempfile.TemporaryDirectory(prefix="benchrouter-stages-") as folder:
        change = {"artifacts": Path(folder)} | ({"method": method} if method else {})
        with bars() as progress:
            built = build(config.model_copy(update=change), progress=progress)
            # The last stage ends after the manifest was written, so only the stages know it.
            _show(built, progress.seconds)


def _of_data(folder: Path, lexical: bool) -> BenchRouterConfig:
    vectors = folder / "embeddings.npy"
    if lexical or not vectors.exists():
        return parse_config({"sources": [{"path": str(folder)}]}, folder=Path.cwd())
    source = {"path": str(folder.resolve()), "embeddings": str(vectors.resolve())}
    block = {"sources": [source], "embedder": {"kind": "precomputed"}}
    return parse_config(block, folder=Path.cwd())


def _show(built: Built, seconds: dict[str, float]) -> None:
    manifest = built.manifest
    counts, index = manifest.counts, manifest.index
    console = Console()
    console.print(
        f"{counts['samples']:,} samples, {counts['tasks']} tasks, {counts['models']} models; "
        f"embedder {manifest.embedder['kind']}, method {manifest.parameters['method']}; "
        f"recall {index['recall']:.4f} at ef={index['ef']:.0f}",
        highlight=False,
    )
    total = sum(seconds.values())
    table = Table("stage", "seconds", "share")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, spent in seconds.items():
        table.add_row(name, f"{spent:.2f}", f"{spent / total:.0%}")
    table.add_section()
    table.add_row("all", f"{total:.2f}", "")
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    console.print(f"Largest resident memory: {peak:.2f} GiB", highlight=False)


if __name__ == "__main__":
    main()
