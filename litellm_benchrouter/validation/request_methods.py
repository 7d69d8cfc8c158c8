"""The method `guarded` for requests in the protocols: picks, scores and probabilities."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.fit import RequestFit, fit_request, neighbors_of_each
from litellm_benchrouter.guarded.formulas import K
from litellm_benchrouter.paper.neighbors import nearest
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.splits import Rows, TrainSplit

_BLOCK = 2_048  # test samples scored at once


@dataclass(frozen=True)
class _RequestMethod:
    """Request estimates fitted on a training part, and their scores of the test samples."""

    fitted: RequestFit
    scores: NDArray[np.float64]
    far: NDArray[np.bool_]


def request_picks(training: TrainSplit, rows: Rows) -> Rows:
    """Pick a model for each test sample as the router would: estimates, gate, distance guard."""
    method = _fit(training, rows)
    average = method.fitted.guarded.request.average
    best = int(training.prepared.order(average, average)[0])
    if not method.fitted.gate.routes:
        return np.full(len(rows), best, dtype=np.intp)
    return np.where(method.far, best, training.argmax(method.scores)).astype(np.intp)


def request_router(
    prepared: TaskFolds, rows: NDArray[np.intp]
) -> Callable[[NDArray[np.float32]], list[int]]:
    """Return what routes vectors that stand for some of the samples, these samples left out.

    Parameters
    ----------
    rows : ndarray of int, shape (q,)
        The sample that each vector stands for; it is never its own neighbour.

    Returns
    -------
    callable
        Vectors of shape (q, d) -> the model of each.
    """
    vectors, task = prepared.embeddings, prepared.benchmark.task
    fitted = fit_request(
        vectors,
        prepared.labels,
        task,
        prepared.n_tasks,
        prepared.neighbors,
        prepared.sample_group,
        seed=prepared.seed,
    )
    average = fitted.guarded.request.average
    best = int(prepared.order(average, average)[0])
    everything = np.arange(len(vectors))

    def route(asked: NDArray[np.float32]) -> list[int]:
        near = nearest(asked, vectors, K, excluded=lambda block: rows[block, None] == everything)
        index = np.maximum(near.index, 0)
        scores = fitted.guarded.request.predict(asked, prepared.labels[index], task[index])
        stays = near.distance.mean(axis=1) > fitted.guarded.far
        stays |= not fitted.gate.routes
        picks = [int(prepared.order(row, average)[0]) for row in scores]
        return [best if stay else pick for stay, pick in zip(stays, picks, strict=True)]

    return route


def request_scores(training: TrainSplit, rows: Rows) -> NDArray[np.float64]:
    """Scores of every model for each test sample, not calibrated, shape (q, M)."""
    return _fit(training, rows).scores


def request_probabilities(training: TrainSplit, rows: Rows) -> NDArray[np.float64]:
    """Calibrated probabilities of success, shape (q, M)."""
    method = _fit(training, rows)
    return method.fitted.guarded.calibration.predict_proba(method.scores)


def _fit(training: TrainSplit, rows: Rows) -> _RequestMethod:
    prepared, rows_learned = training.prepared, training.rows
    vectors, task = prepared.embeddings, prepared.benchmark.task
    fitted = _fitted_on(training)
    near = training.near(rows, min(K, len(rows_learned)))
    index = np.maximum(near.index, 0)
    scores = np.concatenate(
        [
            fitted.guarded.request.predict(
                vectors[rows[block]], training.values[index[block]], task[index[block]]
            )
            for block in np.array_split(np.arange(len(rows)), max(1, len(rows) // _BLOCK))
        ]
    )
    # A row that was fitted on gets its out-of-fold scores.
    own = np.searchsorted(rows_learned, rows)
    fitted_on = rows_learned[np.minimum(own, len(rows_learned) - 1)] == rows
    scores[fitted_on] = fitted.guarded.loo_scores[own[fitted_on]]
    distance = near.distance.mean(axis=1)
    return _RequestMethod(fitted, scores, distance > fitted.guarded.far)


_REMEMBERED = 8  # splits: the protocols ask for picks, scores and probabilities of the same ones
_fits: OrderedDict[bytes, RequestFit] = OrderedDict()


def _fitted_on(training: TrainSplit) -> RequestFit:
    """Fit on a training part, once for all protocols that share it."""
    prepared, rows = training.prepared, training.rows
    content = hashlib.sha256()
    for array in (prepared.embeddings, prepared.benchmark.task, rows, training.values[rows]):
        content.update(np.ascontiguousarray(array).data)
    key = content.digest()
    if key not in _fits:
        vectors = prepared.embeddings[rows]
        _fits[key] = fit_request(
            vectors,
            training.values[rows],
            prepared.benchmark.task[rows],
            prepared.n_tasks,
            neighbors_of_each(vectors),
            prepared.sample_group[rows],
            seed=prepared.seed,
        )
    _fits.move_to_end(key)
    while len(_fits) > _REMEMBERED:
        _fits.popitem(last=False)
    return _fits[key]
