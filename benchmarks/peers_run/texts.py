"""Whole decisions, from a text to a ranking: every prompt to every system in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from support.encoders import encoders
from support.timing import elapsed_ms
from support.vectors import artifact_over, with_open_gate

from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.routing.router import BenchRouter
from peers_run import litellm_routers
from peers_run.decisions import routed, scikit_learn
from peers_run.our_hook import by_the_hook
from peers_run.result import FAST, Ask, Timed, whole
from peers_run.semantic import SEMANTIC_ROUTER, SemanticRouter

_REFERENCE = "sentence-transformers"
_NOT_PROMPTS = ("sample_id", "task", "prompt")


@dataclass(frozen=True)
class Prompts:
    """Real prompts with labels: a benchmark, and what is asked and is not in it.

    Attributes
    ----------
    name : str
    rows, tasks : list of str
    labels : ndarray of int8, shape (n, M)
    vectors : ndarray of float32, shape (n, d), or None
        Of the sentence encoder, where they lie beside the prompts.
    asked : list of str
    """

    name: str
    rows: list[str]
    tasks: list[str]
    labels: NDArray[np.int8]
    vectors: NDArray[np.float32] | None
    asked: list[str]


class Once:
    """Embeds each text once for all peers, which would each do the same; what it took is added.

    Parameters
    ----------
    embedder : Embedder
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._text, self._ms = "", 0.0
        self._vector = np.empty((1, 0), dtype=np.float32)

    def then(self, decide: Callable[[str, NDArray[np.float32]], float]) -> Ask:
        """Return the sum of the embedding's milliseconds and of those of a decision by vector."""

        def ask(text: str) -> tuple[float, float]:
            if text != self._text:
                vector: list[NDArray[np.float32]] = []
                self._ms = elapsed_ms(lambda: vector.append(self.embedder.embed([text])))
                self._text, self._vector = text, vector[0]
            return self._ms + decide(text, self._vector), self._ms

        return ask


def read_prompts(data: Path | None, *, n_asked: int, n_rows: int) -> Prompts:
    """Read the demo's benchmark, which the package carries, or a folder of results.

    Parameters
    ----------
    data : Path or None
        A folder with `samples.parquet`, `scores.parquet` and perhaps `embeddings.npy`.
    n_asked, n_rows : int
        At most; evenly spaced over all. The demo's prompts are asked by a third.
    """
    vectors = None
    if data is None:
        with as_file(files("litellm_benchrouter") / "demo" / "benchmark.csv") as path:
            table = pl.read_csv(path)
    else:
        samples = pl.read_parquet(data / "samples.parquet").with_row_index("row")
        scores = pl.read_parquet(data / "scores.parquet")
        wide = scores.pivot("model", index="sample_id", values="score").fill_null(0.0)
        table = samples.select("row", *_NOT_PROMPTS).join(
            wide, on="sample_id", maintain_order="left"
        )
        table = table.drop_nulls("prompt")
        if (data / "embeddings.npy").exists():
            vectors = np.load(data / "embeddings.npy").astype(np.float32)[table["row"].to_numpy()]
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        table = table.drop("row")
    n = len(table)
    asked = np.unique(np.linspace(0, n - 1, min(n_asked, n // 3)).astype(int))
    rest = np.setdiff1d(np.arange(n), asked)
    rest = rest[np.unique(np.linspace(0, len(rest) - 1, min(n_rows, len(rest))).astype(int))]
    asked = np.random.default_rng(0).permutation(asked)  # so that the first few are of many tasks
    labels = table.drop(_NOT_PROMPTS).to_numpy() > 0.5
    return Prompts(
        data.name if data else "the demo's benchmark",
        table["prompt"][rest.tolist()].to_list(),
        table["task"][rest.tolist()].cast(pl.String).to_list(),
        labels[rest].astype(np.int8),
        None if vectors is None else vectors[rest],
        table["prompt"][asked.tolist()].to_list(),
    )


def measure(
    prompts: Prompts,
    kinds: tuple[str, ...],
    model: str | None,
    *,
    k: int,
    rounds: int,
    semantic_router: Path | None,
    models: Path,
    console: Console,
) -> dict[str, Any]:
    """Time whole decisions and the embeddings within them; what could not run is named."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchrouter-")))
        with console.status("making embedders"):
            made, left_out = encoders(kinds, prompts.rows, model, models)
        vectors = _vectors_of_rows(prompts, made, console)
        routers = {
            kind: _router(folder / kind.replace(" ", "-"), prompts, vectors[kind], embedder, k)
            for kind, embedder in made.items()
        }
        asks: dict[str, Ask] = {whole(kind): _deciding(router) for kind, router in routers.items()}
        for kind in [kind for kind in FAST if kind in routers]:
            asks[f"{whole(kind)}, by the hook"] = stack.enter_context(by_the_hook(routers[kind]))
        if _REFERENCE in made:
            once = Once(made[_REFERENCE])
            rows = vectors[_REFERENCE]
            for name, decide in scikit_learn(rows, prompts.labels, k).items():
                asks[f"{_REFERENCE}, then {name}"] = once.then(
                    lambda _, vector, decide=decide: elapsed_ms(lambda: decide(vector))
                )
            if semantic_router is None:
                left_out[SEMANTIC_ROUTER] = "no --semantic-router-python that has it"
            else:
                router = stack.enter_context(SemanticRouter(semantic_router))
                asked = once.embedder.embed(prompts.asked)
                router.load(folder, rows, prompts.labels.argmax(axis=1), asked, k)
                number = {text: row for row, text in enumerate(prompts.asked)}
                asks[f"{_REFERENCE}, then {SEMANTIC_ROUTER}"] = once.then(
                    lambda text, _: router.ask(number[text])
                )
        for kind in litellm_routers.KINDS:
            asks[litellm_routers.named(kind)] = partial(_timed, litellm_routers.ask(kind))
        timed = _all_in_turn(asks, prompts.asked, rounds)
        for kind, router in routers.items():
            methods = [router.decide(text).method for text in prompts.asked]
            timed[whole(kind)].note = routed(methods)
    beside = timed.get(whole("lexical")) or next(iter(timed.values()))
    return {
        "prompts": prompts.name,
        "rows": len(prompts.rows),
        "asked": len(prompts.asked),
        "median_characters": float(np.median([len(text) for text in prompts.asked])),
        "model": None if model is None else Path(model).name,
        "systems": [each.summary(beside) for each in timed.values()],
        "left_out": left_out,
    }


def _all_in_turn(asks: dict[str, Ask], texts: list[str], rounds: int) -> dict[str, Timed]:
    timed = {name: Timed(name) for name in asks}
    for text in texts[:20]:
        for ask in asks.values():
            ask(text)
    for _ in track(range(rounds), "whole decisions", transient=True):
        for each in timed.values():
            each.rounds.append([])
        for text in texts:
            for name, ask in asks.items():
                found = ask(text)
                if isinstance(found, tuple):
                    timed[name].embedding.append(found[1])
                    found = found[0]
                timed[name].rounds[-1].append(found)
    return timed


def _vectors_of_rows(
    prompts: Prompts, made: dict[str, Embedder], console: Console
) -> dict[str, NDArray[np.float32]]:
    """Embed the benchmark; those that run the same encoder share the vectors of one of them."""
    found: dict[str, NDArray[np.float32]] = {}
    encoder = prompts.vectors
    for kind, embedder in made.items():
        if kind in ("lexical", "static"):
            found[kind] = embedder.embed(prompts.rows)
            continue
        if encoder is None or encoder.shape[1] != embedder.dimension:
            with console.status(f"embedding {len(prompts.rows):,} prompts"):
                encoder = embedder.embed(prompts.rows)
        found[kind] = encoder
    return found


def _router(
    folder: Path, prompts: Prompts, vectors: NDArray[np.float32], embedder: Embedder, k: int
) -> BenchRouter:
    folder.mkdir()
    artifact = artifact_over(
        folder, vectors, prompts.labels, method="guarded", k=k, tasks=prompts.tasks
    )
    artifact = with_open_gate(artifact, prompts.labels)
    router = BenchRouter(replace(artifact, embedder=embedder))
    router.prepare(router.models)
    return router


def _deciding(router: BenchRouter) -> Ask:
    def ask(text: str) -> float | tuple[float, float]:
        decision = []
        elapsed = elapsed_ms(lambda: decision.append(router.decide(text)))
        seconds = decision[0].embed_seconds
        return elapsed if seconds is None else (elapsed, 1e3 * seconds)

    return ask


def _timed(decide: Callable[[str], object], text: str) -> float:
    return elapsed_ms(lambda: decide(text))
