"""Everything that a version holds besides its manifest, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.files import write_array, write_json
from litellm_benchrouter.artifact.named_tasks import LabelledTask, to_json
from litellm_benchrouter.embedders import Embedder
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
    """What a version holds besides its manifest.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n, d)
        phi(x), rows of unit length.
    correctness : ndarray of uint8, shape (n, M)
        y(x, m); 255 is missing. Column m is the correctness array of model m.
    scores : ndarray of float32, shape (n, M), or None
        The metric itself, kept where it is not just 0 and 1.
    task : ndarray of int32, shape (n,)
    task_accuracy : ndarray of float64, shape (D, M)
        S~(m, d), or the mean score where `s1_on` is `score`.
    smoother : SmootherTable
    named_tasks : dict of str to TaskScores
    sample_ids : list of str, length n
    guarded : GuardedModel or None
        What the method `guarded` fitted.
    guarded_tasks : dict of str to ndarray of float64, shape (M,)
        Its scores of named tasks.
    labelled_tasks : dict of str to LabelledTask
        Named tasks that have labels.
    found : dict or None
        What it chose, and the scores of what it did not, for the manifest.
    verdict : dict or None
        What the proof found, for the manifest.
    choices : dict of str to TaskChoice
        Named tasks: eq. 6 over all models, for people; the router decides over what is on offer.
    better : dict of str to ndarray of float64, shape (M,)
        Named tasks: P(better than the best on average).
    fitted_rows : ndarray of int32, shape (f,), or None
        The samples that were held out in turn and learned from; None where these are all.
    groups : ndarray of int32, shape (n,), or None
        Near-duplicates have the same number; None where nothing looked for them.
    family : ndarray of int, shape (D,), or None
        Likewise of tasks that are variants of one another, for the manifest.
    own_labels : OwnLabels or None
        Labels of own traffic that decide requests.
    """

    embeddings: NDArray[np.float32]
    correctness: NDArray[np.uint8]
    scores: NDArray[np.float32] | None
    task: NDArray[np.int32]
    task_accuracy: NDArray[np.float64]
    smoother: SmootherTable
    named_tasks: dict[str, TaskScores]
    sample_ids: list[str]
    guarded: GuardedModel | None = None
    guarded_tasks: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    labelled_tasks: dict[str, LabelledTask] = field(default_factory=dict)
    found: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    choices: dict[str, TaskChoice] = field(default_factory=dict)
    better: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    fitted_rows: NDArray[np.int32] | None = None
    groups: NDArray[np.int32] | None = None
    family: NDArray[np.intp] | None = None
    own_labels: OwnLabels | None = None


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
    index.save(folder)
    (folder / EMBEDDER).mkdir()
    embedder.save(folder / EMBEDDER)
