"""hnswlib: the fastest to build, copied into every worker; for benchmarks of some thousand rows."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.config import IndexConfig
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.paper.neighbors import Neighbors

FILE = "index.hnsw"

# Of the file's header: rows, bytes a row, and where in a row its label and its vector are.
_HEADER = struct.Struct("=16x4Q")
_BATCH = 1_000  # rows added between two steps of the progress bar


class HnswIndex:
    """A hierarchical navigable small world graph (hnswlib), searched approximately.

    `ef` is the size of the candidate list in a search: more is slower and closer to exact. hnswlib
    does not store it with the graph; the manifest does.
    """

    vectors: ClassVar[type] = np.float32

    def __init__(self, graph: Any, ef: int) -> None:
        self._graph = graph
        self.ef = ef
        self._n = int(graph.element_count)
        graph.set_num_threads(1)  # one query at a time; threads would only add their start

    def __len__(self) -> int:
        return self._n

    @property
    def ef(self) -> int:
        """Size of the candidate list."""
        return self._ef

    @ef.setter
    def ef(self, ef: int) -> None:
        self._ef = ef
        self._graph.set_ef(ef)

    @classmethod
    def empty(cls, n: int, dimension: int, config: IndexConfig, *, seed: int) -> HnswIndex:
        """Return a graph with room for n rows."""
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=dimension)
        graph.init_index(
            max_elements=n,
            M=config.m,
            ef_construction=config.ef_construction,
            random_seed=seed,
        )
        return cls(graph, config.ef)

    def add(
        self,
        embeddings: NDArray[np.floating],
        rows: NDArray[np.intp],
        progress: Callable[[int], None],
    ) -> None:
        """See `Graph.add`."""
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            self._graph.add_items(embeddings[batch], batch, num_threads=1)
            self._n += len(batch)
            progress(len(batch))

    def save(self, folder: Path) -> None:
        """See `Graph.save`; hnswlib itself says nothing of a full disk."""
        self._graph.save_index(str(folder / FILE))
        written, wanted = (folder / FILE).stat().st_size, self._graph.index_file_size()
        if written != wanted:
            raise OSError(f"{written} of the {wanted} bytes of {FILE} could be written")

    @classmethod
    def load(cls, folder: Path, embeddings: NDArray[np.float32], *, ef: int) -> HnswIndex:
        """Load a graph whose SHA-256 has been verified: hnswlib trusts what it reads."""
        import hnswlib

        path, (n, dimension) = folder / FILE, embeddings.shape
        try:
            with path.open("rb") as file:
                n_rows, _, label_at, vector_at = _HEADER.unpack(file.read(_HEADER.size))
        except (OSError, struct.error) as error:
            raise ArtifactError(
                f"{path} cannot be read ({error}). Rebuild the artifact."
            ) from error
        if (n_rows, label_at - vector_at) != (n, 4 * dimension):
            raise ArtifactError(
                f"{path} holds {n_rows} rows of dimension {(label_at - vector_at) // 4}, the "
                f"manifest says {n} of dimension {dimension}. Rebuild the artifact."
            )
        graph = hnswlib.Index(space="ip", dim=dimension)
        try:
            graph.load_index(str(path))
        except RuntimeError as error:
            raise ArtifactError(
                f"{path} is not an index that hnswlib reads ({error}). Rebuild the artifact."
            ) from error
        return cls(graph, ef)

    def search(self, queries: NDArray[np.float32], n_neighbors: int) -> Neighbors:
        """See `Index.search`."""
        wanted = min(n_neighbors, self._n)
        if self._ef < wanted:
            self.ef = wanted
        label, distance = self._graph.knn_query(queries, k=wanted, num_threads=1)
        # The ufuncs: on a few numbers numpy.clip and a copy take as long as the search.
        np.minimum(np.maximum(distance, 0.0, out=distance), 2.0, out=distance)
        return Neighbors(label.view(np.int64), distance)
