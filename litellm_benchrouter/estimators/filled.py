"""Accuracies of every model on every task, where not every model was tried on every task.

A mean over the tasks that a model happens to have would compare a model tried on easy tasks with
one tried on hard ones. What is missing is filled in from the task and the model::

    T(d, m) = task(d) + n_m / (n_m + 20) * model(m)

task(d) is the mean over the models that have all tasks (or over those that have task d), model(m)
the mean of what model m is above it, and n_m its number of labels: a model that was added with 20
to 50 scored prompts is held to what is known of the others until it has shown more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.core.benchmark import task_accuracy
from litellm_benchrouter.core.masked import mean

Floats = NDArray[np.float64]

PRIOR_LABELS = 20.0


def filled_accuracy(labels: NDArray[np.float32], task: NDArray[np.integer], n_tasks: int) -> Floats:
    """Accuracy of each model on each task, without gaps.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)
    n_tasks : int

    Returns
    -------
    ndarray of float64, shape (n_tasks, M)
        As `task_accuracy` where a model has labels of the task.
    """
    accuracy = task_accuracy(labels, np.asarray(task, dtype=np.int32), n_tasks)
    return fill(accuracy, (~np.isnan(labels)).sum(axis=0).astype(np.float64))


def fill(accuracy: Floats, n_labels: Floats) -> Floats:
    """Fill the NaN cells of accuracies of shape (D, M); see the module."""
    missing = np.isnan(accuracy)
    if not missing.any():
        return accuracy
    complete = ~missing.any(axis=0)
    of_task = mean(accuracy[:, complete] if complete.any() else accuracy, axis=1)
    known = ~np.isnan(of_task)
    of_task = np.where(known, of_task, of_task[known].mean() if known.any() else 0.5)
    above = np.nan_to_num(mean(accuracy - of_task[:, None]))
    above *= n_labels / (n_labels + PRIOR_LABELS)
    return np.where(missing, np.clip(of_task[:, None] + above, 0.0, 1.0), accuracy)
