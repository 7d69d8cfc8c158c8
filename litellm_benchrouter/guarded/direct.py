"""The direct model of feedback: what scores of explored requests add to the served estimate.

Each event has the score of one model on one prompt. Its residual to the estimate is explained by a
level of all traffic, one of the model, the difficulty of prompts (a ridge over all models) and what
the model is good at (a ridge of its own). What is served is the estimate and the model's own parts,
less one standard error of its level's difference to that of the best on average.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded.traffic import MASS, Vectors

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

FILE = "feedback.npz"
FEWEST_EVENTS = 200
"""Scored explored requests from which on they may decide."""
CAUTION = 1.0  # standard errors that are taken off
_RIDGE, _OWN_RIDGE, _RIDGE_PER_EVENT = 4.0, 8.0, 0.005
_FEWEST_OWN = 5  # events of a model that has a ridge of its own
_LEAST_NOISE = 0.02
_FOLDS, _ROUNDS = 10, 8


@dataclass(frozen=True)
class DirectModel:
    """What feedback adds to the served estimate of each model.

    Attributes
    ----------
    shift, count : ndarray of float64, shape (M,)
        Level, and events, of each model.
    noise : ndarray of float64, shape ()
        Variance of the residuals.
    centre, ridge : ndarray of float64, shapes (E,) and (E, M)
    on_labels : ndarray of bool, shape ()
        Whether the estimate is that of own labels; else it is the contrast of S.
    """

    shift: Floats
    count: Floats
    noise: Floats
    centre: Floats
    ridge: Floats
    on_labels: NDArray[np.bool_]

    def adjust(self, vectors: Vectors) -> Floats:
        """Return what is added for prompts of vectors (q, E), shape (q, M)."""
        added: Floats = self.shift + (vectors - self.centre) @ self.ridge
        return added

    def caution(self, best: int) -> Floats:
        """Return what is taken off each model's score, shape (M,), where `best` is BMA."""
        variance = float(self.noise) / (self.count + MASS)
        error = np.sqrt(variance + variance[best])
        error[best] = 0.0
        off: Floats = CAUTION * error
        return off

    def pool(self, models: Ints) -> DirectModel:
        """Restrict it to some models (columns)."""
        columns = {name: getattr(self, name)[models] for name in ("shift", "count")}
        return replace(self, ridge=self.ridge[:, models], **columns)


def fit_direct(
    residual: Floats, model: Ints, vectors: Vectors, n_models: int, *, on_labels: bool = False
) -> DirectModel:
    """Fit on events: residuals (n,), the models that answered (n,), and vectors (n, E)."""
    count = np.bincount(model, minlength=n_models).astype(np.float64)
    shift, level = np.zeros(n_models), float(residual.mean())
    for _ in range(_ROUNDS):
        shift = np.bincount(model, weights=residual - level, minlength=n_models) / (count + MASS)
        level = float((residual - shift[model]).mean())
    rest = residual - level - shift[model]
    noise = max(float(rest.var()), _LEAST_NOISE)
    centre = vectors.mean(axis=0, dtype=np.float64)
    apart = vectors - centre
    rest = rest - apart @ _coefficients(apart, rest, _RIDGE)  # the difficulty of prompts
    ridge = np.zeros((len(centre), n_models))
    for column in np.flatnonzero(count >= _FEWEST_OWN):
        rows = model == column
        ridge[:, column] = _coefficients(apart[rows], rest[rows], _OWN_RIDGE)
    return DirectModel(shift, count, np.array(noise), centre, ridge, np.array(on_labels))


def left_out_errors(
    residual: Floats, model: Ints, vectors: Vectors, n_models: int, seed: int = 0
) -> tuple[float, float]:
    """Return mean squared errors of left-out events, by a fit on the others and without one.

    Of residuals less their mean, over ten folds. Feedback decides where the first is the lower.
    """
    fold = np.random.default_rng(seed).permutation(len(residual)) % _FOLDS
    with_model = without = 0.0
    for f in range(_FOLDS):
        out, rest = fold == f, fold != f
        fitted = fit_direct(residual[rest], model[rest], vectors[rest], n_models)
        rows = np.arange(int(out.sum()))
        added = fitted.adjust(vectors[out])[rows, model[out]]
        inside = fitted.adjust(vectors[rest])[np.arange(int(rest.sum())), model[rest]]
        level = float(residual[rest].mean())
        shifted = float((residual[rest] - inside).mean())
        without += float(((residual[out] - level) ** 2).sum())
        with_model += float(((residual[out] - added - shifted) ** 2).sum())
    return with_model / len(residual), without / len(residual)


def _coefficients(apart: Floats, target: Floats, penalty: float) -> Floats:
    left, size, right = np.linalg.svd(apart, full_matrices=False)
    weight = size / (size**2 + penalty + _RIDGE_PER_EVENT * len(target))
    coefficients: Floats = right.T @ (weight * (left.T @ target))
    return coefficients


_ARRAYS = tuple(field.name for field in fields(DirectModel))


def save_direct(model: DirectModel, folder: Path) -> None:
    """Write `feedback.npz`."""
    np.savez(folder / FILE, **{name: getattr(model, name) for name in _ARRAYS})


def load_direct(folder: Path, *, dimension: int, n_models: int) -> DirectModel:
    """Read what `save_direct` wrote; raise ArtifactError where its shapes are others."""
    path, (e, m) = folder / FILE, (dimension, n_models)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); build again.") from error
    shapes = {"shift": (m,), "count": (m,), "noise": (), "centre": (e,), "ridge": (e, m)}
    shapes["on_labels"] = ()
    for name, array in arrays.items():
        kind = np.dtype(np.bool_ if name == "on_labels" else np.float64)
        if array.shape != shapes[name] or array.dtype != kind:
            raise ArtifactError(
                f"{path} holds {name} as {array.dtype} of shape {array.shape}, the manifest says "
                f"{kind} of shape {shapes[name]}; build again."
            )
        if not np.isfinite(array).all():
            raise ArtifactError(f"{path} holds numbers in {name} that are not finite; build again.")
    if arrays["count"].min() < 0 or arrays["noise"] <= 0:
        raise ArtifactError(f"{path} holds counts or noise below 0; build again.")
    return DirectModel(**arrays)
