"""The index of what a build embedded, with the configured settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.index.build import build_index
from litellm_benchrouter.index.faiss_graph import FaissIndex
from litellm_benchrouter.index.hnsw import HnswIndex
from litellm_benchrouter.progress import Silent


def index_vectors(
    config: BenchRouterConfig,
    vectors: NDArray[np.float32],
    cache: Path,
    stages: Silent,
    stage: str = "index",
) -> tuple[HnswIndex | FaissIndex, dict[str, float | str]]:
    """Build the index of a benchmark's vectors, as a stage; for what is returned see `build_index`.

    Parameters
    ----------
    config : BenchRouterConfig
    vectors : ndarray of float32, shape (n, d)
        Rows of unit length.
    cache : Path
        Folder in which the graph is kept; of each embedder another.
    stages : Silent or Bars
    stage : str
        What it is called.

    Raises
    ------
    ArtifactError
        If the graph does not find what exact search finds.
    """
    with stages.stage(stage, len(vectors)) as advance:
        return build_index(
            vectors,
            config.index,
            k=config.routing.k,
            seed=config.seed,
            progress=advance,
            cache=cache,
        )
