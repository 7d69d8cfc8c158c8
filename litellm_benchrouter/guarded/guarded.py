"""The method `guarded`: what is fitted at build time and what the router asks of it.

Per request, the estimates of `request` where the prompt is near the benchmark and the leave-one-out
gain over the best single model is significant; per unseen task, the candidate of `unseen` that
gained on the benchmark's own tasks; and the best model on average everywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded import calibration, request
from litellm_benchrouter.guarded.calibration import Calibration
from litellm_benchrouter.guarded.request import GateVerdict, RequestEstimator
from litellm_benchrouter.paper.neighbors import Neighbors, nearest

Floats = NDArray[np.float64]

FILE = "guarded.npz"
LEFT_OUT = "left_out_scores.npy"

_ARRAYS = (
    *("task_accuracy", "task_weights", "task_bias", "ridge_weights", "ridge_bias"),
    *("stack", "average"),
)
FAR_PERCENTILE = 99
"""Of the benchmark's own distances; a prompt beyond it gets the best model on average."""

_PERCENTILES = np.arange(101)


@dataclass(frozen=True)
class Guarded:
    """Everything that serving needs.

    Attributes
    ----------
    request : RequestEstimator
    calibration : Calibration
        From the request scores to probabilities of success.
    left_out : ndarray of float32, shape (f, M)
        Leave-one-out request scores of the samples that were fitted; the gate is asked again over
        whatever models are on offer.
    distances : ndarray of float64, shape (101,)
        Percentiles of the benchmark's own mean distances to its K nearest neighbours.
    """

    request: RequestEstimator
    calibration: Calibration
    left_out: NDArray[np.float32]
    distances: Floats

    def save(self, folder: Path) -> None:
        """Write `guarded.npz` and `left_out_scores.npy`."""
        knots = [len(x) for x in self.calibration.scores]
        np.savez(
            folder / FILE,
            distances=self.distances,
            calibration_knots=np.array(knots, dtype=np.int64),
            calibration_scores=np.concatenate(self.calibration.scores),
            calibration_probabilities=np.concatenate(self.calibration.probabilities),
            **{name: getattr(self.request, name) for name in _ARRAYS},
        )
        np.save(folder / LEFT_OUT, self.left_out, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, *, n: int, dimension: int, n_models: int, n_tasks: int) -> Guarded:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If a file is not of the shapes that the manifest says.
        """
        try:
            with np.load(folder / FILE, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            left_out = np.load(folder / LEFT_OUT, mmap_mode="r", allow_pickle=False)
            ends = np.cumsum(arrays["calibration_knots"])[:-1]
            made = cls(
                RequestEstimator(**{name: arrays[name] for name in _ARRAYS}),
                Calibration(
                    tuple(np.split(arrays["calibration_scores"], ends)),
                    tuple(np.split(arrays["calibration_probabilities"], ends)),
                ),
                left_out,
                arrays["distances"],
            )
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(
                f"{folder / FILE} cannot be read ({error}); build again."
            ) from error
        if left_out.dtype != np.float32 or left_out.shape != (n, n_models):
            raise ArtifactError(
                f"{folder / LEFT_OUT} holds {left_out.dtype} of shape {left_out.shape}, the "
                f"manifest says float32 of shape {(n, n_models)}; build again."
            )
        shapes = {
            "distances": (len(_PERCENTILES),),
            "task_accuracy": (n_tasks, n_models),
            "task_weights": (dimension, n_tasks),
            "task_bias": (n_tasks,),
            "ridge_weights": (dimension, n_models),
            "ridge_bias": (n_models,),
            "stack": (3,),
            "average": (n_models,),
        }
        for name, shape in shapes.items():
            array = arrays[name]
            if array.dtype != np.float64 or array.shape != shape:
                raise ArtifactError(
                    f"{folder / FILE} holds {name} as {array.dtype} of shape {array.shape}, the "
                    f"manifest says float64 of shape {shape}; build again."
                )
            if not np.isfinite(array).all():
                raise ArtifactError(
                    f"{folder / FILE} holds numbers in {name} that are not finite; build again."
                )
        return made

    @property
    def far(self) -> float:
        """Mean distance beyond which a prompt is unlike everything that was validated."""
        return float(self.distances[FAR_PERCENTILE])

    def percentile(self, mean_distance: float) -> float:
        """Return where a distance stands among the benchmark's own, from 0 to 100."""
        return float(np.interp(mean_distance, self.distances, _PERCENTILES))


@dataclass(frozen=True)
class Fitted:
    """What a fit found, besides what serving needs.

    Attributes
    ----------
    guarded : Guarded
    gate : GateVerdict
    served : ndarray of float64, shape (n, M)
        Probabilities of the rows as they would be served, calibrated on the other folds.
    ece, ece_of_picks : float
        Calibration error of `served`: of all models, and of those that are picked by quality.
    """

    guarded: Guarded
    gate: GateVerdict
    served: Floats
    ece: float
    ece_of_picks: float

    def closed(self) -> Fitted:
        """Return the same with nothing to gain: every row then has the averages as its scores."""
        scores = np.tile(self.guarded.request.average.astype(np.float32), (len(self.served), 1))
        best = int(self.guarded.request.average.argmax())
        return replace(
            self,
            guarded=replace(self.guarded, left_out=scores),
            gate=GateVerdict(0.0, self.gate.standard_error),
            served=request.capped(self.served, best),
        )

    @cached_property
    def as_manifest(self) -> dict[str, float | bool | list[float]]:
        """Return what the manifest says of it."""
        return {
            "gate_gain": self.gate.gain,
            "gate_standard_error": self.gate.standard_error,
            "gate_standard_errors_required": request.GATE,
            "routes": self.gate.routes,
            "stack_weights": self.guarded.request.stack.tolist(),
            "ece": self.ece,
            "ece_of_picks": self.ece_of_picks,
        }


def fit_request(
    vectors: NDArray[np.float32],
    labels: NDArray[np.float32],
    task: NDArray[np.int32],
    n_tasks: int,
    inside: Neighbors,
    base: tuple[NDArray[np.float32], NDArray[np.int32]] | None = None,
) -> Fitted:
    """Fit the request estimates on labelled rows.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, E)
        Rows of unit length.
    labels : ndarray of float32, shape (n, M)
        Correctness, or scores in [0, 1]; NaN is missing.
    task : ndarray of int32, shape (n,)
    n_tasks : int
    inside : Neighbors
        Of each row among the others (itself left out), at least K of them where there are.
    base : tuple of ndarray, optional
        As in `request.fit`.
    """
    estimator, scores = request.fit(vectors, labels, task, n_tasks, inside.index, base)
    gate = request.gate(scores, labels, task, estimator.average)
    crossed = calibration.cross_fitted(scores, labels)
    finite = np.where(np.isfinite(inside.distance), inside.distance, np.nan)[:, : request.K]
    mean_distance = np.nanmean(finite, axis=1)
    guarded = Guarded(
        estimator,
        calibration.fit(scores, labels),
        scores.astype(np.float32),
        np.percentile(mean_distance, _PERCENTILES),
    )
    best = int(estimator.average.argmax())
    picks = scores.argmax(axis=1) if gate.routes else np.full(len(scores), best)
    rows = np.arange(len(scores))
    return Fitted(
        guarded,
        gate,
        crossed if gate.routes else request.capped(crossed, best),
        calibration.expected_calibration_error(crossed, labels),
        calibration.expected_calibration_error(crossed[rows, picks], labels[rows, picks]),
    )


def neighbors_of_each(vectors: NDArray[np.float32], k: int = request.K) -> Neighbors:
    """Nearest other rows of each row; the row itself is left out."""
    everything = np.arange(len(vectors))
    k = min(k, max(len(vectors) - 1, 1))
    return nearest(vectors, vectors, k, excluded=lambda rows: rows[:, None] == everything[None, :])
