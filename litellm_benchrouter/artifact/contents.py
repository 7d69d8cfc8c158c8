"""Everything that a version holds besides its manifest, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.files import write_array, write_json
from litellm_benchrouter.artifact.manifest import CascadeRecord
from litellm_benchrouter.artifact.named_tasks import LabelledTask, to_json
from litellm_benchrouter.embedders import Embedder
from litellm_benchrouter.guarded.direct import DirectModel, save_direct
from litellm_benchrouter.guarded.file import save_guarded
from litellm_benchrouter.guarded.formulas import GuardedModel
from litellm_benchrouter.guarded.own_labels import OwnLabels, save_own_labels
from litellm_benchrouter.index import Graph
from litellm_benchrouter.paper.scores import TaskChoice, TaskScores
from litellm_benchrouter.paper.smoother import SmootherTable

EMBEDDINGS = "embeddings.npy"
FITTED_ROWS = "fitted_rows.npy"
GROUPS = "groups.npy"
EMBEDDER = "embedder"
CORRECTNESS = "correctness.npy"
SCORES = "scores.npy"
TASK = "task.npy"
TASK_ACCURACY = "task_accuracy.npy"
SMOOTHER_U = "smoother_u.npy"
SMOOTHER_P = "smoother_p.npy"
SAMPLE_IDS = "sample_ids.json"
NAMED_TASKS = "named_tasks.json"


@dataclass(frozen=True)
class Contents:
    """Contents of a version besides its manifest: n samples, M models, D tasks."""

    embeddings: NDArray[np.float32]  # phi(x), shape (n, d), rows of unit length
    correctness: NDArray[np.uint8]  # y(x, m), shape (n, M); 255 is missing
    # the metric itself, shape (n, M), kept where it is not just 0 and 1
    scores: NDArray[np.float32] | None
    task: NDArray[np.int32]  # shape (n,)
    # S~(m, d), shape (D, M); the mean score where `s1_on` is `score`
    task_accuracy: NDArray[np.float64]
    smoother: SmootherTable
    named_tasks: dict[str, TaskScores]
    sample_ids: list[str]
    guarded: GuardedModel | None = None
    # scores of named tasks by the method `guarded`, shape (M,)
    guarded_tasks: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    labelled_tasks: dict[str, LabelledTask] = field(default_factory=dict)
    # for the manifest: what the method chose, and the scores of what it did not
    facts: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    # named tasks: eq. 6 over all models, for people; the router decides over those on offer
    choices: dict[str, TaskChoice] = field(default_factory=dict)
    # named tasks: P(better than the best on average), shape (M,)
    better: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    # samples that were held out in turn and learned from; None where these are all
    fitted_rows: NDArray[np.int32] | None = None
    # shape (n,): near-duplicates share a number; None where nothing looked for them
    groups: NDArray[np.int32] | None = None
    # shape (D,): likewise of tasks that are variants of one another
    family: NDArray[np.intp] | None = None
    own_labels: OwnLabels | None = None  # labels of own traffic that decide requests
    cascade: CascadeRecord | None = None  # for the manifest
    warnings: list[str] = field(default_factory=list)
    direct: DirectModel | None = None  # likewise of feedback on explored requests


def write_contents(folder: Path, contents: Contents, index: Graph, embedder: Embedder) -> None:
    """Write everything but the manifest; equal contents give equal bytes."""
    arrays: dict[str, NDArray[Any] | None] = {
        CORRECTNESS: contents.correctness,
        SCORES: contents.scores,
        TASK: contents.task,
        TASK_ACCURACY: contents.task_accuracy,
        SMOOTHER_U: contents.smoother.u,
        SMOOTHER_P: contents.smoother.p,
        FITTED_ROWS: contents.fitted_rows,
        GROUPS: contents.groups,
    }
    for name, array in arrays.items():
        if array is not None:
            np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
    write_json(folder / SAMPLE_IDS, contents.sample_ids)
    write_json(
        folder / NAMED_TASKS,
        {
            name: to_json(
                scores,
                contents.guarded_tasks.get(name),
                contents.choices[name],
                contents.better[name],
                contents.labelled_tasks.get(name),
            )
            for name, scores in contents.named_tasks.items()
        },
    )
    # The graph of faiss finds by short vectors: half of the digits put what it found in order.
    write_array(folder / EMBEDDINGS, contents.embeddings, index.vectors)
    if contents.guarded is not None:
        save_guarded(contents.guarded, folder)
    if contents.own_labels is not None:
        save_own_labels(contents.own_labels, folder)
    if contents.direct is not None:
        save_direct(contents.direct, folder)
    index.save(folder)
    (folder / EMBEDDER).mkdir()
    embedder.save(folder / EMBEDDER)
