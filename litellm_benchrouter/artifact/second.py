"""The second embedder's part of a version, in its folder `second`; router_artifacts/README.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.of_embedder import (
    OfEmbedder,
    Shape,
    count,
    open_of_embedder,
    open_rows,
    write_of_embedder,
)
from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded.formulas import GuardedModel
from litellm_benchrouter.index.faiss_graph import FaissIndex
from litellm_benchrouter.index.hnsw import HnswIndex

SECOND = "second"
KNOWN_ROWS = "rows.npy"


@dataclass(frozen=True)
class SecondContents:
    """What the build learned with the second embedder.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n2, d2)
    index : HnswIndex or FaissIndex
    guarded : GuardedModel or None
    fitted_rows : ndarray of int32, shape (f2,), or None
        Among its own n2 rows; None where these are all.
    rows : ndarray of int32, shape (n2,), or None
        The samples of the version that the embedder knows anything of; None where these are all.
    embedder : Embedder
    record : dict
        What the manifest says of it.
    measured : dict or None
        As `MadeEmbedder.measured`.
    """

    embeddings: NDArray[np.float32]
    index: HnswIndex | FaissIndex
    guarded: GuardedModel | None
    fitted_rows: NDArray[np.int32] | None
    rows: NDArray[np.int32] | None
    embedder: Embedder
    record: dict[str, Any]
    measured: dict[str, Any] | None


def write_second(folder: Path, contents: SecondContents) -> None:
    """Write it into a version's folder."""
    own = folder / SECOND
    own.mkdir()
    if contents.rows is not None:
        np.save(own / KNOWN_ROWS, contents.rows, allow_pickle=False)
    write_of_embedder(
        own,
        embeddings=contents.embeddings,
        index=contents.index,
        guarded=contents.guarded,
        fitted_rows=contents.fitted_rows,
        embedder=contents.embedder,
    )


def open_second(
    folder: Path, record: Mapping[str, Any], files: Mapping[str, Any], first: Shape
) -> tuple[OfEmbedder, NDArray[np.int32] | None]:
    """Open it, of a version whose files have been verified.

    Parameters
    ----------
    folder : Path
        The version's.
    record : mapping
        What the manifest says of it.
    files : mapping
        All that the manifest lists.
    first : Shape
        Of the version's other part.

    Returns
    -------
    OfEmbedder
    ndarray of int32, shape (n2,), or None
        As `SecondContents.rows`.

    Raises
    ------
    ArtifactError
        If it is not what the manifest says.
    """
    try:
        embedder, index = dict(record["embedder"]), dict(record["index"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"the manifest in {folder} does not describe its second embedder ({error!r}); build "
            f"again."
        ) from error
    own = folder / SECOND
    names = {name.removeprefix(f"{SECOND}/") for name in files if name.startswith(f"{SECOND}/")}
    n, rows = first.n, None
    if KNOWN_ROWS in names:
        n = count(record, "samples")
        rows = open_rows(own, KNOWN_ROWS, n, first.n)
    shape = Shape(
        n=n,
        dimension=count(embedder, "dimension"),
        n_models=first.n_models,
        n_tasks=first.n_tasks,
        n_fitted=count(record, "fitted") if "fitted" in record else None,
        index=index,
    )
    return open_of_embedder(own, names, shape), rows
