"""One version on disk, verified and memory-mapped by the router.

`router_artifacts/README.md` is the specification of the format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.contents import (
    CORRECTNESS,
    EMBEDDER,
    EMBEDDINGS,
    FITTED_ROWS,
    GROUPS,
    NAMED_TASKS,
    SAMPLE_IDS,
    SCORES,
    SMOOTHER_P,
    SMOOTHER_U,
    TASK,
    TASK_ACCURACY,
)
from litellm_benchrouter.artifact.files import (
    first_not_unit,
    holds_only,
    open_array,
    open_numbers,
    read_json,
    verify_files,
)
from litellm_benchrouter.artifact.manifest import MANIFEST, Manifest, read_manifest
from litellm_benchrouter.artifact.named_tasks import LabelledTask, from_json
from litellm_benchrouter.config import EmbedderConfig
from litellm_benchrouter.embedders import Embedder, load_embedder
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded.direct import FILE as FEEDBACK
from litellm_benchrouter.guarded.direct import DirectModel, load_direct
from litellm_benchrouter.guarded.file import FILE, load_guarded
from litellm_benchrouter.guarded.formulas import GuardedModel
from litellm_benchrouter.guarded.own_labels import FILE as TRAFFIC
from litellm_benchrouter.guarded.own_labels import OwnLabels, load_own_labels
from litellm_benchrouter.index import ROWS_FILE, open_index
from litellm_benchrouter.paper.benchmark import MISSING, ModelFacts, average_accuracy
from litellm_benchrouter.paper.neighbors import Index
from litellm_benchrouter.paper.scores import TaskScores
from litellm_benchrouter.paper.smoother import SmootherTable

_OpenEmbedder = Callable[[Mapping[str, Any], Path], Embedder]
"""Opens an embedder: (its identity, its folder)."""

_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Artifact:
    """A verified version, memory-mapped: processes that open the same version share its pages.

    `groups` numbers near-duplicates alike; a version that was built before they were looked for has
    a group for each sample.
    """

    folder: Path
    manifest: Manifest
    embeddings: NDArray[np.floating]
    correctness: NDArray[np.uint8]
    scores: NDArray[np.float32] | None
    task: NDArray[np.int32]
    task_accuracy: NDArray[np.float64]
    smoother: SmootherTable
    named_tasks: dict[str, TaskScores]
    guarded_tasks: dict[str, NDArray[np.float64]]
    labelled_tasks: dict[str, LabelledTask]
    guarded: GuardedModel | None
    index: Index
    embedder: Embedder
    fitted_rows: NDArray[np.int32]
    groups: NDArray[np.int32]
    own_labels: OwnLabels | None = None
    direct: DirectModel | None = None

    @cached_property
    def sample_ids(self) -> list[str]:
        """Ids of the benchmark's samples; read when an explanation first asks for them."""
        path, n = self.folder / SAMPLE_IDS, self.manifest.counts["samples"]
        ids = read_json(path)
        if not isinstance(ids, list) or len(ids) != n:
            raise ArtifactError(f"{path} does not hold {n} ids; build again.")
        return [str(each) for each in ids]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The benchmark's models, in the order of the columns."""
        return tuple(model.name for model in self.manifest.models)

    @cached_property
    def column(self) -> dict[str, int]:
        """The column of each model."""
        return {model: m for m, model in enumerate(self.models)}

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The benchmark's tasks, as `task` numbers them."""
        return tuple(task.name for task in self.manifest.tasks)

    @cached_property
    def average(self) -> NDArray[np.float64]:
        """Unweighted mean over tasks, shape (M,): what the best model on average is the best of."""
        return average_accuracy(self.task_accuracy)

    @cached_property
    def facts(self) -> list[ModelFacts]:
        """Size, prices and lengths of each model."""
        return [model.facts for model in self.manifest.models]


def read_artifact(
    folder: Path, *, known: Artifact | None = None, config: EmbedderConfig | None = None
) -> Artifact:
    """Verify a version and open it.

    Every file's SHA-256 is checked before a native loader or numpy sees it, then shapes and values.

    Parameters
    ----------
    folder : Path
    known : Artifact, optional
        One that is open already; its embedder is used again where the version has the same.
    config
        As in `load_embedder`.

    Raises
    ------
    ArtifactError
        Names the file and both values.
    EmbedderError
        If the embedder cannot be loaded here, or is not the one that the version was built with.
    """

    def embedder(identity: Mapping[str, Any], saved: Path) -> Embedder:
        # By the manifest, as asking an embedder itself may mean hashing its files again.
        if known is not None and known.manifest.embedder == identity:
            return known.embedder
        return load_embedder(identity, saved, config)

    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    return _open(folder, manifest, embedder)


def verify_artifact(folder: Path) -> Manifest:
    """Check, and raise, as `read_artifact` does, where the embedder need not be installed."""
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    _open(folder, manifest, lambda *_: PrecomputedEmbedder(0)).sample_ids  # noqa: B018
    return manifest


def _open(folder: Path, manifest: Manifest, embedder: _OpenEmbedder) -> Artifact:
    counts = manifest.counts
    n, n_draws = _count(counts, "samples"), _count(counts, "smoother_draws")
    n_models, n_tasks = len(manifest.models), len(manifest.tasks)
    correctness = open_array(folder, CORRECTNESS, np.uint8, (n, n_models))
    scores = (
        open_numbers(folder, SCORES, np.float32, (n, n_models))
        if SCORES in manifest.files
        else None
    )
    task = open_array(folder, TASK, np.int32, (n,))
    if int(task.min()) < 0 or int(task.max()) >= n_tasks:
        raise ArtifactError(f"{folder / TASK} names a task that the manifest does not list.")
    if not holds_only(correctness, (0, 1, MISSING)):
        raise ArtifactError(f"{folder / CORRECTNESS} holds values besides 0, 1 and 255.")
    named, guarded_tasks, labelled_tasks = _named_tasks(folder / NAMED_TASKS, n_models)
    if sorted(named) != manifest.named_tasks:
        raise ArtifactError(
            f"{folder / NAMED_TASKS} holds the tasks {sorted(named)}, the manifest says "
            f"{manifest.named_tasks}; build again."
        )
    accuracy = open_numbers(folder, TASK_ACCURACY, np.float64, (n_tasks, n_models))
    # What is held out together has one row.
    n_rows = _count(counts, "families") if "families" in counts else n_tasks
    smoother = SmootherTable(
        open_numbers(folder, SMOOTHER_U, np.float64, (n_rows, n_draws)),
        open_numbers(folder, SMOOTHER_P, np.float64, (n_rows, n_draws, n_models)),
    )
    dimension = _count(manifest.embedder, "dimension")
    embeddings = _embeddings(folder, manifest, (n, dimension))
    fitted_rows = _fitted_rows(folder, manifest, n)
    request = None
    if FILE in manifest.files:
        request = load_guarded(
            folder, n=len(fitted_rows), dimension=dimension, n_models=n_models, n_tasks=n_tasks
        )
    own_labels = direct = None
    if request is not None and TRAFFIC in manifest.files:
        own_labels = load_own_labels(folder, dimension=dimension, n_models=n_models)
    if request is not None and FEEDBACK in manifest.files:
        direct = load_direct(folder, dimension=dimension, n_models=n_models)
    has_rows = ROWS_FILE in manifest.files
    rows = open_array(folder, ROWS_FILE, np.int32, (n,)) if has_rows else None
    return Artifact(
        folder=folder,
        manifest=manifest,
        embeddings=embeddings,
        correctness=correctness,
        scores=scores,
        task=task,
        task_accuracy=accuracy,
        smoother=smoother,
        named_tasks=named,
        guarded_tasks=guarded_tasks,
        labelled_tasks=labelled_tasks,
        guarded=request,
        # Last, as they call native loaders.
        index=open_index(folder, _count(manifest.index, "ef"), embeddings, rows),
        embedder=embedder(manifest.embedder, folder / EMBEDDER),
        fitted_rows=fitted_rows,
        groups=_groups(folder, manifest, n),
        own_labels=own_labels,
        direct=direct,
    )


def _groups(folder: Path, manifest: Manifest, n: int) -> NDArray[np.int32]:
    if GROUPS not in manifest.files:
        return np.arange(n, dtype=np.int32)
    groups = open_array(folder, GROUPS, np.int32, (n,))
    if int(groups.min()) < 0 or int(groups.max()) >= n:
        raise ArtifactError(
            f"{folder / GROUPS} does not hold groups from 0 to {n - 1}; build again."
        )
    return groups


def _embeddings(folder: Path, manifest: Manifest, shape: tuple[int, int]) -> NDArray[np.floating]:
    kind = np.float16 if manifest.index.get("vectors") == "float16" else np.float32
    embeddings = open_array(folder, EMBEDDINGS, kind, shape)
    if (odd := first_not_unit(embeddings, _UNIT_TOLERANCE)) is not None:
        raise ArtifactError(
            f"{folder / EMBEDDINGS} holds rows that are not of unit length (NaN, infinite, zero or "
            f"unscaled vectors), row {odd} first; build again."
        )
    return embeddings


def _fitted_rows(folder: Path, manifest: Manifest, n: int) -> NDArray[np.int32]:
    """Return the samples that were learned from; all where no file says which."""
    if FITTED_ROWS not in manifest.files:
        return np.arange(n, dtype=np.int32)
    rows = open_array(folder, FITTED_ROWS, np.int32, (_count(manifest.counts, "fitted"),))
    if rows[0] < 0 or rows[-1] >= n or (np.diff(rows) <= 0).any():
        raise ArtifactError(f"{folder / FITTED_ROWS} does not hold rows in order; build again.")
    return rows


def _named_tasks(
    path: Path, n_models: int
) -> tuple[dict[str, TaskScores], dict[str, NDArray[np.float64]], dict[str, LabelledTask]]:
    document = read_json(path)
    try:
        return from_json(document, n_models)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{path} does not hold task decisions ({error}); build again."
        ) from error


def _count(section: Mapping[str, Any], key: str) -> int:
    """Return a whole number above 0 that the manifest states."""
    value = section.get(key)
    if not isinstance(value, int | float) or not 1 <= value < 2**31 or value != int(value):
        raise ArtifactError(
            f"{MANIFEST}: `{key}` must be a positive integer, got {value!r}. Rebuild the artifact."
        )
    return int(value)
