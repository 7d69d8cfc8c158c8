"""Ours beside the peers, in one run: decisions, whole decisions from texts, and the proxy.

The same queries over the same rows, one thread each, warmed up, in short turns there and back, so
that whatever else the machine does falls on all; ratios are taken within each round.

    python benchmarks/peers.py --result benchmarks/peers.json --picture benchmarks/peers.png
"""

from __future__ import annotations

import json
import logging
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import support.one_thread  # noqa: F401
from peers_run import decisions, proxies, semantic, tables, texts
from peers_run.decisions import Sizes
from peers_run.merge import merge
from peers_run.picture import draw
from peers_run.result import bars, whole
from rich.console import Console
from support.encoders import KINDS, development_model
from support.timing import machine

PARTS = ("decisions", "texts", "proxies")
QUICK: dict[str, Any] = {
    "rows": (500,),
    "n_models": 5,
    "turn_ms": 10.0,
    "asked": 5,
    "text_rows": 150,
    "rounds": 2,
    "kinds": ("lexical",),
    "names": ("no router", "benchrouter, lexical", "litellm, complexity"),
    "concurrency": (1,),
    "requests": 4,
}


@click.command(help=__doc__)
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS)
@click.option(
    "--rows",
    multiple=True,
    type=int,
    default=(1_000, 10_000, 36_000, 100_000),
    show_default=True,
    help="Sizes of the decisions without embedding; of 1000000 the graph takes 20 minutes.",
)
@click.option("--dimension", default=384, show_default=True)
@click.option("--models", "n_models", default=18, show_default=True)
@click.option("--k", default=5, show_default=True, help="Neighbours that a decision rests on.")
@click.option("--peer-cap", default=1_000_000, show_default=True, help="Most rows of the peers.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with samples.parquet and scores.parquet; default: the demo's benchmark.",
)
@click.option("--asked", default=300, show_default=True, help="Prompts that are asked, at most.")
@click.option("--text-rows", default=4_000, show_default=True, help="Other prompts, at most.")
@click.option("--embedder", "kinds", multiple=True, type=click.Choice(KINDS), help="Default: all.")
@click.option("--model", help="Sentence encoder; default: the one that the tests use.")
@click.option(
    "--proxy", "names", multiple=True, type=click.Choice(proxies.NAMES), help="Default: all."
)
@click.option("--concurrency", multiple=True, type=int, default=(1, 8, 32), show_default=True)
@click.option("--rounds", default=10, show_default=True, help="Turns of each system.")
@click.option("--turn-ms", default=400.0, show_default=True, help="Of decisions by vector.")
@click.option("--requests", default=32, show_default=True, help="Of each proxy and round.")
@click.option(
    "--semantic-router-python",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Python of an environment with semantic-router; default: this one, if it has it.",
)
@click.option("--quick", is_flag=True, help="Tiny sizes: to see that everything runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of tables.")
@click.option("--markdown", is_flag=True, help="Print the README's table in place of tables.")
@click.option("--result", type=click.Path(path_type=Path), help="Write the JSON to a file.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw it (.png or .svg).")
@click.option(
    "--from",
    "earlier",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Show, draw and write an earlier run's result, or that of several as one.",
)
def main(earlier: tuple[Path, ...], **options: Any) -> None:
    """Measure, or read what was measured, and show it."""
    options["kinds"] = options["kinds"] or KINDS
    if options["quick"]:
        options |= QUICK
    result = read(earlier, options["result"]) if earlier else measure(**options)
    if options["as_json"]:
        click.echo(json.dumps(result, indent=1))
    elif options["markdown"]:
        click.echo(tables.markdown(result))
    else:
        console = Console()
        console.width = max(console.width, 130)
        tables.show(result, console)
    if options["picture"]:
        draw(result, options["picture"])


def read(paths: tuple[Path, ...], merged_into: Path | None) -> dict[str, Any]:
    """Read results of earlier runs as one; later ones replace what earlier ones have too."""
    try:
        result = merge([json.loads(path.read_text()) for path in paths])
    except ValueError as error:
        raise click.UsageError(f"{', '.join(map(str, paths))}: {error}") from error
    if merged_into:
        _write(merged_into, result)
    return result


def measure(parts: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """Run the parts that were asked for; the result is written after each of them."""
    for name in ("LiteLLM", "LiteLLM Router", "litellm_benchrouter", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="benchrouter-models-") as folder:
        result: dict[str, Any] = {"machine": machine(), "parts": {}}
        for part in parts:
            start = time.perf_counter()
            result |= _MEASURES[part](options | {"models": Path(folder)}, console)
            result["parts"][part] = {
                "seconds": time.perf_counter() - start,
                "peak_memory_gib": _peak_gib(resource.RUSAGE_SELF),
                "peak_memory_gib_of_a_child": _peak_gib(resource.RUSAGE_CHILDREN),
            }
            result["bars"] = [bar.as_json() for bar in bars(result)]
            if options["result"]:
                _write(options["result"], result)
    return result


def _peak_gib(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 2**20


def _write(path: Path, result: dict[str, Any]) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n")


def _decisions(options: dict[str, Any], console: Console) -> dict[str, Any]:
    names = ("rows", "dimension", "n_models", "k", "rounds", "turn_ms", "peer_cap")
    sizes = Sizes(**{name: options[name] for name in names})
    other = semantic.find(options["semantic_router_python"])
    return {"decisions": decisions.measure(sizes, other, console)}


def _texts(options: dict[str, Any], console: Console) -> dict[str, Any]:
    found = texts.measure(
        _prompts(options),
        options["kinds"],
        options["model"] or development_model(),
        k=options["k"],
        rounds=max(1, options["rounds"] // 3),
        semantic_router=semantic.find(options["semantic_router_python"]),
        models=options["models"],
        console=console,
    )
    return {"texts": found}


def _proxies(options: dict[str, Any], console: Console) -> dict[str, Any]:
    unwanted = set(map(whole, set(KINDS) - set(options["kinds"])))
    found = proxies.measure(
        options["names"] or tuple(name for name in proxies.NAMES if name not in unwanted),
        options["model"] or development_model(),
        _prompts(options).asked,
        concurrency=options["concurrency"],
        rounds=options["rounds"],
        requests=options["requests"],
        semantic_router=semantic.find(options["semantic_router_python"]),
        models=options["models"],
        console=console,
    )
    return {"proxies": found}


def _prompts(options: dict[str, Any]) -> texts.Prompts:
    prompts = texts.read_prompts(
        options["data"], n_asked=options["asked"], n_rows=options["text_rows"]
    )
    # The vectors that lie beside prompts are those of the default model.
    return prompts if options["model"] is None else replace(prompts, vectors=None)


_MEASURES = {"decisions": _decisions, "texts": _texts, "proxies": _proxies}


if __name__ == "__main__":
    main()
