"""The part of a version that depends on its embedder: vectors, index, and the fit on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.array_file import first_not_unit, open_array, write_array
from litellm_benchrouter.artifact.manifest import MANIFEST
from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded import guarded
from litellm_benchrouter.guarded.guarded import Guarded
from litellm_benchrouter.index import ROWS_FILE, Graph, open_index
from litellm_benchrouter.paper.neighbors import Index

EMBEDDINGS = "embeddings.npy"
FITTED_ROWS = "fitted_rows.npy"
EMBEDDER = "embedder"

_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Shape:
    """What the manifest says of such a part.

    Attributes
    ----------
    n, dimension : int
        Shape of the vectors.
    n_models, n_tasks : int
    n_fitted : int or None
        How many samples were learned from, where there is a file that says which.
    index : mapping
        What the build measured of the index.
    """

    n: int
    dimension: int
    n_models: int
    n_tasks: int
    n_fitted: int | None
    index: Mapping[str, Any]


@dataclass(frozen=True)
class OfEmbedder:
    """Such a part, opened; attributes as in `Artifact`."""

    embeddings: NDArray[np.floating]
    index: Index
    guarded: Guarded | None
    fitted_rows: NDArray[np.int32]


def write_of_embedder(
    folder: Path,
    *,
    embeddings: NDArray[np.float32],
    index: Graph,
    guarded: Guarded | None,
    fitted_rows: NDArray[np.int32] | None,
    embedder: Embedder,
) -> None:
    """Write such a part; equal contents give equal bytes."""
    if fitted_rows is not None:
        np.save(folder / FITTED_ROWS, np.ascontiguousarray(fitted_rows), allow_pickle=False)
    # The graph of faiss finds by short vectors: half of the digits put what it found in order.
    write_array(folder / EMBEDDINGS, embeddings, index.vectors)
    if guarded is not None:
        guarded.save(folder)
    index.save(folder)
    (folder / EMBEDDER).mkdir()
    embedder.save(folder / EMBEDDER)


def open_of_embedder(folder: Path, files: Collection[str], shape: Shape) -> OfEmbedder:
    """Open such a part of a version whose files have been verified.

    Parameters
    ----------
    folder : Path
    files : collection of str
        Names of its files, relative to the folder.
    shape : Shape

    Raises
    ------
    ArtifactError
        Names the file and both values.
    """
    kind = np.float16 if shape.index.get("vectors") == "float16" else np.float32
    embeddings = open_array(folder, EMBEDDINGS, kind, (shape.n, shape.dimension))
    if (odd := first_not_unit(embeddings, _UNIT_TOLERANCE)) is not None:
        raise ArtifactError(
            f"{folder / EMBEDDINGS} holds rows that are not of unit length (NaN, infinite, zero or "
            f"unscaled vectors), row {odd} first; build again."
        )
    fitted = np.arange(shape.n, dtype=np.int32)
    if shape.n_fitted is not None:
        fitted = open_rows(folder, FITTED_ROWS, shape.n_fitted, shape.n)
    rows = open_array(folder, ROWS_FILE, np.int32, (shape.n,)) if ROWS_FILE in files else None
    loaded = None
    if guarded.FILE in files:
        loaded = Guarded.load(
            folder,
            n=len(fitted),
            dimension=shape.dimension,
            n_models=shape.n_models,
            n_tasks=shape.n_tasks,
        )
    index = open_index(folder, count(shape.index, "ef"), embeddings, rows)  # last: native loaders
    return OfEmbedder(embeddings, index, loaded, fitted)


def open_rows(folder: Path, name: str, n_rows: int, n: int) -> NDArray[np.int32]:
    """Open a file of so many of `n` rows, in their order."""
    rows = open_array(folder, name, np.int32, (n_rows,))
    if rows[0] < 0 or rows[-1] >= n or (np.diff(rows) <= 0).any():
        raise ArtifactError(f"{folder / name} does not hold rows in order; build again.")
    return rows


def count(section: Mapping[str, Any], key: str) -> int:
    """Return a whole number above 0 that the manifest states."""
    value = section.get(key)
    if not isinstance(value, int | float) or not 1 <= value < 2**31 or value != int(value):
        raise ArtifactError(f"{MANIFEST} says {key}={value!r}, not a count; build again.")
    return int(value)
