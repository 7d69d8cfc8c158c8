"""How long each stage of a build takes: of a configuration, of results, or of many small tasks."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.building.build import Built, build
from litellm_benchrouter.config import BenchRouterConfig, load_config, parse_config
from litellm_benchrouter.progress import bars

_MODELS, _TOPICS = 8, 30


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with samples, scores and, where they are to be used, embeddings.npy.",
)
@click.option("--method", type=click.Choice(["guarded", "paper"]), help="Default: as configured.")
@click.option("--lexical", is_flag=True, help="Embed the prompts, though there are vectors.")
@click.option("--tasks", type=click.IntRange(min=3), help="So many invented tasks.")
@click.option("--samples", default=1, show_default=True, help="Of each invented task.")
def main(
    config_path: Path | None,
    data: Path | None,
    method: str | None,
    lexical: bool,
    tasks: int | None,
    samples: int,
) -> None:
    """Build into a temporary folder and print the seconds of each stage."""
    if [config_path, data, tasks].count(None) != 2:
        raise click.UsageError("give one of --config FILE, --data DIR and --tasks N")
    with tempfile.TemporaryDirectory(prefix="benchrouter-stages-") as folder:
        if tasks:
            config = _of_data(_invented(Path(folder) / "tasks.csv", tasks, samples), lexical=True)
        else:
            config = _of_data(data, lexical) if data else load_config(config_path or Path())
        change = {"artifacts": Path(folder)} | ({"method": method} if method else {})
        with bars() as progress:
            started = time.process_time()
            built = build(config.model_copy(update=change), progress=progress, force=True)
            # The last stage ends after the manifest was written, so only the stages know it.
            _show(built, progress.seconds, time.process_time() - started)


def _of_data(folder: Path, lexical: bool) -> BenchRouterConfig:
    vectors = folder / "embeddings.npy"
    if lexical or not vectors.exists():
        return parse_config({"sources": [{"path": str(folder)}]}, folder=Path.cwd())
    source = {"path": str(folder.resolve()), "embeddings": str(vectors.resolve())}
    block = {"sources": [source], "embedder": {"kind": "precomputed"}}
    return parse_config(block, folder=Path.cwd())


def _word(number: int) -> str:
    """Return a word for a number: prompts that differ in digits alone are one template."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def _invented(path: Path, n_tasks: int, n_samples: int) -> Path:
    """Write a table of tasks on some topics, at which the models are good or bad."""
    generator = np.random.default_rng(0)
    task = np.repeat(np.arange(n_tasks), n_samples)
    topic = task % _TOPICS
    of_topic = generator.integers(40, size=(len(task), 8)) + 40 * topic[:, None]
    common = generator.integers(2_000, 2_400, size=(len(task), 12))
    prompts = [
        " ".join(map(_word, row))
        for row in np.hstack([of_topic, common, 3_000 + task[:, None]]).tolist()
    ]
    chance = generator.uniform(0.2, 0.9, size=(_TOPICS, _MODELS))[topic]
    labels = (generator.random(chance.shape) < chance).astype(np.int8)
    table = {"prompt": prompts, "task": [f"task-{d}" for d in task]}
    pl.DataFrame(table | {f"model-{m}": labels[:, m] for m in range(_MODELS)}).write_csv(path)
    return path


def _show(built: Built, seconds: dict[str, float], cpu: float) -> None:
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
    console.print(f"CPU: {cpu:.1f} s; largest resident memory: {peak:.2f} GiB", highlight=False)


if __name__ == "__main__":
    main()
