"""Run by a Python that has semantic-router; one JSON message a line, one answer a line.

As LiteLLM's auto router calls it: a vector is given to `SemanticRouter.acall`, and a route is a
model with the prompts that it is the best for. The local index is filled with the vectors, as its
own `add` would after asking an encoder for them, in float64, which is what encoders' lists become.
"""

import asyncio
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from semantic_router import Route
from semantic_router.encoders import DenseEncoder
from semantic_router.index.local import LocalIndex
from semantic_router.routers import SemanticRouter


class NoEncoder(DenseEncoder):
    """Every query comes as a vector."""

    name: str = "none"

    def __call__(self, docs: list[str]) -> list[list[float]]:
        raise NotImplementedError


def load(folder: Path, k: int) -> tuple[SemanticRouter, np.ndarray]:
    names = [f"model-{m:02d}" for m in _read(folder, "best")]
    vectors = _read(folder, "base").astype(np.float64)
    index = LocalIndex(dimensions=vectors.shape[1])
    index.add(vectors, names, [f"prompt {i}" for i in range(len(vectors))])
    routes = [Route(name=name, utterances=["prompt"]) for name in sorted(set(names))]
    router = SemanticRouter(encoder=NoEncoder(), routes=routes, index=index, top_k=k)
    return router, _read(folder, "queries").astype(np.float64)


def _read(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"semantic-{name}.npy")


async def main() -> None:
    router, queries = None, np.empty((0, 0))
    for line in sys.stdin:
        message = json.loads(line)
        if "load" in message:
            router, queries = load(Path(message["load"]), message["k"])
            answer = {"version": version("semantic-router")}
        else:
            vector = queries[message["ask"]]
            start = time.perf_counter()
            chosen = await router.acall(vector=vector)
            elapsed = 1e3 * (time.perf_counter() - start)
            assert chosen.name is not None
            answer = {"ms": elapsed, "route": chosen.name}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
