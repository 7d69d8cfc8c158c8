"""The files of a guarded model: `guarded.npz` and `left_out_scores.npy`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from litellm_benchrouter.errors import ArtifactError
from litellm_benchrouter.guarded.formulas import (
    PERCENTILES,
    Calibration,
    GuardedModel,
    RequestEstimator,
)

FILE = "guarded.npz"
LEFT_OUT = "left_out_scores.npy"

_ARRAYS = (
    *("task_accuracy", "task_weights", "task_bias", "ridge_weights", "ridge_bias"),
    *("stack", "average"),
)


def save_guarded(model: GuardedModel, folder: Path) -> None:
    """Write `guarded.npz` and `left_out_scores.npy`."""
    knots = [len(x) for x in model.calibration.scores]
    np.savez(
        folder / FILE,
        distances=model.distances,
        calibration_knots=np.array(knots, dtype=np.int64),
        calibration_scores=np.concatenate(model.calibration.scores),
        calibration_probabilities=np.concatenate(model.calibration.probabilities),
        **{name: getattr(model.request, name) for name in _ARRAYS},
    )
    np.save(folder / LEFT_OUT, model.loo_scores, allow_pickle=False)


def load_guarded(
    folder: Path, *, n: int, dimension: int, n_models: int, n_tasks: int
) -> GuardedModel:
    """Read what `save_guarded` wrote.

    Raises
    ------
    ArtifactError
        If a file is not of the shapes that the manifest says.
    """
    try:
        with np.load(folder / FILE, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        loo_scores = np.load(folder / LEFT_OUT, mmap_mode="r", allow_pickle=False)
        ends = np.cumsum(arrays["calibration_knots"])[:-1]
        model = GuardedModel(
            RequestEstimator(**{name: arrays[name] for name in _ARRAYS}),
            Calibration(
                tuple(np.split(arrays["calibration_scores"], ends)),
                tuple(np.split(arrays["calibration_probabilities"], ends)),
            ),
            loo_scores,
            arrays["distances"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{folder / FILE} cannot be read ({error}); build again.") from error
    if loo_scores.dtype != np.float32 or loo_scores.shape != (n, n_models):
        raise ArtifactError(
            f"{folder / LEFT_OUT} holds {loo_scores.dtype} of shape {loo_scores.shape}, the "
            f"manifest says float32 of shape {(n, n_models)}; build again."
        )
    shapes = {
        "distances": (len(PERCENTILES),),
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
    return model
