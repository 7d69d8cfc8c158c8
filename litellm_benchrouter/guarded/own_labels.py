"""Own labels beside the traffic model fitted on them: over which models it may serve, its file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded.gain import GATE, Gain, gain_of
from litellm_benchrouter.guarded.traffic import (
    BenchmarkPrior,
    TrafficModel,
    Vectors,
    fit_traffic,
)

Floats = NDArray[np.float64]
Labels = NDArray[np.float32]
Ints = NDArray[np.integer]

FILE = "traffic.npz"
MOST_FOLDS = 50
"""Fits without some of the labels: of so many groups each is left out alone."""
MOST_LABELS = 10_000
"""Most further labels that `labels_to_settle` thinks of."""


@dataclass(frozen=True)
class OwnLabels:
    """What was labelled, as it is predicted without the own group.

    Attributes
    ----------
    model : TrafficModel
        Of all labels.
    labels : ndarray of float32, shape (n, M), NaN is missing
    expected : ndarray of float32, shape (n, M)
        `TrafficModel.predict` of each prompt by a fit that has not seen its group.
    predictor : ndarray of float32, shape (n, M)
        S.
    percentile : ndarray of float64, shape (n,)
        Of the prompts' distance among the benchmark's own.
    group : ndarray of int32, shape (n,)
        Near-duplicates, numbered from 0.
    """

    model: TrafficModel
    labels: Labels
    expected: Labels
    predictor: Labels
    percentile: Floats
    group: NDArray[np.int32]

    @classmethod
    def fit(
        cls,
        labels: Labels,
        vectors: Vectors,
        predictor: Floats,
        percentile: Floats,
        prior: BenchmarkPrior,
        weight: Floats,
        group: Ints,
        seed: int = 0,
    ) -> OwnLabels:
        """Fit on all labels, and on all but those of some groups, in turn."""
        n_groups = int(group.max()) + 1
        order = np.random.default_rng(seed).permutation(n_groups)
        fold = (order % min(n_groups, MOST_FOLDS))[group]
        expected = np.empty(labels.shape, dtype=np.float32)
        for f in np.unique(fold):
            out, rest = fold == f, fold != f
            without = fit_traffic(
                *(labels[rest], vectors[rest], predictor[rest], prior, weight[rest], group[rest])
            )
            expected[out] = without.predict(vectors[out], predictor[out])
        return cls(
            fit_traffic(labels, vectors, predictor, prior, weight, group),
            labels.astype(np.float32),
            expected,
            predictor.astype(np.float32),
            percentile,
            group.astype(np.int32),
        )

    def picks(self, models: Ints, best: int, *, routes: bool) -> NDArray[np.intp]:
        """Pick one of some models for each labelled prompt, as if its group had no label.

        Parameters
        ----------
        models : ndarray of int, shape (m,)
        best : int
            The best on average of them, as a position among them.
        routes : bool
            Whether the benchmark's gate is open over them.
        """
        model = self.model.pool(models, best)
        scores = self.expected[:, models].astype(np.float64) - model.caution
        if routes:
            predictor = self.predictor[:, models].astype(np.float64)
            scores = model.blend(scores, predictor, self.percentile)
        picks: NDArray[np.intp] = scores.argmax(axis=1)
        return picks

    def gain(self, models: Ints, best: int, *, routes: bool) -> Gain:
        """Measure what these picks gain over the best on average; parameters as for `picks`."""
        one = np.zeros(len(self.labels), dtype=np.intp)  # traffic has no tasks
        picks = self.picks(models, best, routes=routes)
        return gain_of(picks, best, self.labels[:, models], one, self.group)


def serves(gain: Gain) -> bool:
    """Say whether own labels decide: unless they show a loss, as the model is cautious itself."""
    return bool(gain.gain > 0)


def labels_to_settle(gain: Gain) -> int | None:
    """Further labelled prompts that would settle whether it gains, were the mean to stay.

    None where more than `MOST_LABELS` would be needed; 0 where it is settled.
    """
    if not np.isfinite(gain.gain) or not gain.gain:
        return None
    error = gain.standard_error
    if not np.isfinite(error):  # too few groups to tell: as if labels of one difference in two
        error = 1 / np.sqrt(2 * max(gain.n_samples, 1))
    times = (GATE * error / gain.gain) ** 2
    more = ceil(gain.n_samples * max(times - 1, 0))
    return more if more <= MOST_LABELS else None


_OF_MODEL = tuple(field.name for field in fields(TrafficModel) if field.name != "best")
_OWN = ("labels", "expected", "predictor", "percentile", "group")


def save_own_labels(own: OwnLabels, folder: Path) -> None:
    """Write `traffic.npz`."""
    arrays = {name: getattr(own.model, name) for name in _OF_MODEL}
    arrays |= {f"own_{name}": getattr(own, name) for name in _OWN}
    np.savez(folder / FILE, best=np.array(own.model.best, dtype=np.int64), **arrays)


def load_own_labels(folder: Path, *, dimension: int, n_models: int) -> OwnLabels:
    """Read what `save_own_labels` wrote.

    Raises
    ------
    ArtifactError
        If it is not of the shapes that the manifest says, or holds what is not a number.
    """
    path = folder / FILE
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        n, best = len(arrays["weights"]), int(arrays["best"])
        of_model = {name: arrays[name] for name in _OF_MODEL}
        own = {name: arrays[f"own_{name}"] for name in _OWN}
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); build again.") from error
    m, e = n_models, dimension
    shapes = {
        **{"mean": (m,), "covariance": (m, m), "stack": (3,), "vectors": (n, e), "weights": (n,)},
        **{"residuals": (n, m), "centre": (e,), "ridge": (e, m), "predicted": (m,)},
        **{"labels": (n, m), "expected": (n, m), "predictor": (n, m)},
        **{"percentile": (n,), "group": (n,)},
    }
    floats = {"vectors": np.float32, "labels": np.float32, "expected": np.float32}
    kinds = floats | {"predictor": np.float32, "group": np.int32}
    for name, array in (of_model | own).items():
        kind = np.dtype(kinds.get(name, np.float64))
        if array.shape != shapes[name] or array.dtype != kind:
            raise ArtifactError(
                f"{path} holds {name} as {array.dtype} of shape {array.shape}, the manifest says "
                f"{kind} of shape {shapes[name]}; build again."
            )
        if name != "labels" and not np.isfinite(array).all():
            raise ArtifactError(f"{path} holds numbers in {name} that are not finite; build again.")
    if not 0 <= best < m or not n or own["group"].min() < 0 or own["group"].max() >= n:
        raise ArtifactError(f"{path} names models or groups that do not exist; build again.")
    return OwnLabels(TrafficModel(**of_model, best=best), **own)
