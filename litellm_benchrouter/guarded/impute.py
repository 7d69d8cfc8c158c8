"""Accuracies of every model on every task, where not every model was tried on every sample.

A mean over the tasks that a model happens to have would compare a model tried on easy tasks with
one tried on hard ones, and a model that was added with 20 to 50 scored prompts has one or two in a
task. A cell (a task and a model) with labels of less than 95 % of the task's samples is therefore
predicted from what the well-known models did on the same samples::

    e(x, m) = y(x, m) - o(x)                    o(x): mean of the well-known models on x
    w_d     = 1 / (tau_c^2 + s^2 / n_dm)
    W       = sum_d w_d + 1 / tau_m^2
    a(m)    = sum_d w_d e_dm / W - 0.52 / sqrt(W)
    c(d, m) = (e_dm - a(m)) tau_c^2 / (tau_c^2 + s^2 / n_dm)
    T(d, m) = o_d + v e_dm + (1 - v) (a(m) + c(d, m))

with n_dm labels in the cell, e_dm the mean of e over them, v the share of the task's samples that
they are, and o_d the mean of o over the task. The model's effect a is what it exceeds with
probability 0.7 where the models' effects have variance tau_m^2, their effects in single tasks c
have tau_c^2, and a label has s^2 = 1/4, the most that it can have; both taus come from the
well-known models, those that have 95 % of every task (where there is none, half). So a new model is
held to what is known of the others until it has shown more, and one that was scored on the easier
samples is compared with the others on these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import average_accuracy, mean, task_accuracy

Floats = NDArray[np.float64]

ENOUGH = 0.95
"""Share of a task's samples with a label from which on a cell is measured, not predicted."""
HALF = 0.5
"""Share of a task's samples that a model needs to be more than rarely measured there."""
FEWEST_TASKS = 3
"""Tasks in which a model is measured before anything can be learned or proved by it."""
LABEL_VARIANCE = 0.25
CAUTION = 0.5244
"""Standard deviations of a(m) that are taken off: it is above that with probability 0.7."""
USUAL_VARIANCE = 0.01
"""tau^2 where there are too few models or tasks to tell: effects of 10 points."""
SMALLEST_VARIANCE = 0.0025
EASIER = 5.0
"""Points by which a model's samples may be easier than all before somebody is told."""


@dataclass(frozen=True)
class TaskAccuracies:
    """What the labels of D tasks and M models come down to.

    Attributes
    ----------
    accuracy : ndarray of float64, shape (D, M)
        NaN without labels.
    count : ndarray of float64, shape (D, M)
        Labels.
    size : ndarray of float64, shape (D,)
        Samples.
    base : ndarray of float64, shape (D,)
        o_d; NaN where no model has a label.
    above : ndarray of float64, shape (D, M)
        e_dm; NaN without labels.
    """

    accuracy: Floats
    count: Floats
    size: Floats
    base: Floats
    above: Floats

    @classmethod
    def of(
        cls, labels: NDArray[np.float32], task: NDArray[np.integer], n_tasks: int
    ) -> TaskAccuracies:
        """Sum up labels of shape (n, M), NaN missing, of samples of tasks of shape (n,)."""
        of_task = np.asarray(task, dtype=np.int32)
        count, size = _counts(labels, of_task, n_tasks)
        others = _others(labels, _well_known(count, size))
        above = (labels - others[:, None]).astype(np.float32)
        return cls(
            task_accuracy(labels, of_task, n_tasks),
            count,
            size,
            task_accuracy(others[:, None].astype(np.float32), of_task, n_tasks)[:, 0],
            task_accuracy(above, of_task, n_tasks),
        )

    def tasks(self, rows: NDArray[np.bool_]) -> TaskAccuracies:
        """Return the cells of some tasks."""
        return TaskAccuracies(
            self.accuracy[rows],
            self.count[rows],
            self.size[rows],
            self.base[rows],
            self.above[rows],
        )

    @property
    def measured(self) -> NDArray[np.bool_]:
        """TaskAccuracies that stay as they are, shape (D, M)."""
        return _measured(self.count, self.size)

    @property
    def rarely_measured(self) -> NDArray[np.bool_]:
        """As `rarely_measured` returns it."""
        return _rarely_measured(self.count, self.size)

    def imputed(self) -> Floats:
        """T, shape (D, M), without gaps; `accuracy` where a cell is measured."""
        return self._predicted(0.0)

    def cautious(self) -> Floats:
        """What T exceeds with probability 0.7 in each single task, shape (D, M)."""
        return self._predicted(CAUTION)

    def _predicted(self, caution_in_task: float) -> Floats:
        measured = self.measured
        if measured.all():
            return self.accuracy
        base = np.where(np.isnan(self.base), _mean_of(self.base), self.base)
        of_model, of_cell = self._variances()
        above = np.nan_to_num(self.above)
        noise = LABEL_VARIANCE / np.maximum(self.count, 1)
        weight = np.where(self.count > 0, 1 / (of_cell + noise), 0.0)
        precision = weight.sum(axis=0) + 1 / of_model
        effect = (weight * above).sum(axis=0) / precision - CAUTION / np.sqrt(precision)
        in_task = np.where(self.count > 0, (above - effect) * of_cell * weight, 0.0)
        in_task -= caution_in_task * np.sqrt(of_cell * (1 - of_cell * weight))
        share = self.count / np.maximum(self.size, 1)[:, None]
        expected = share * above + (1 - share) * (effect + in_task)
        predicted = np.clip(base[:, None] + expected, 0.0, 1.0)
        return np.where(measured, self.accuracy, predicted)

    def _variances(self) -> tuple[float, float]:
        """tau_m^2 and tau_c^2, from the models that are well known."""
        above = self.above[:, _well_known(self.count, self.size)]
        above = above[~np.isnan(above).any(axis=1)]
        of_model, of_cell = USUAL_VARIANCE, USUAL_VARIANCE
        if above.shape[1] >= 3:
            of_model = max(float(above.mean(axis=0).var(ddof=1)), SMALLEST_VARIANCE)
            if len(above) >= 3:
                sampling = LABEL_VARIANCE * float(np.mean(1 / np.maximum(self.size, 1)))
                within = float(above.var(axis=0, ddof=1).mean())
                of_cell = max(within - sampling, SMALLEST_VARIANCE)
        return of_model, of_cell


def rarely_measured(
    labels: NDArray[np.float32], task: NDArray[np.integer], n_tasks: int
) -> NDArray[np.bool_]:
    """Models that are measured in less than three tasks, or not in all where there are fewer.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of bool, shape (M,)
    """
    return _rarely_measured(*_counts(labels, task, n_tasks))


def impute_accuracy(labels: NDArray[np.float32], task: NDArray[np.integer], n_tasks: int) -> Floats:
    """Accuracy of each model on each task, without gaps.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n_tasks, M)
        As `task_accuracy` where a model has labels of 95 % of the task's samples.
    """
    return TaskAccuracies.of(labels, task, n_tasks).imputed()


def served_average(labels: NDArray[np.float32], task: NDArray[np.integer], n_tasks: int) -> Floats:
    """Return the mean over tasks that is served: its best entry is the best on average (BMA).

    Every comparison with BMA uses this mean. Values outside of [0, 1], which no missing label can
    be predicted from, are averaged over the tasks that a model has.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of float64, shape (M,)
    """
    if not np.isnan(labels).any() or np.nanmin(labels) < 0 or np.nanmax(labels) > 1:
        of_task = np.asarray(task, dtype=np.int32)
        return average_accuracy(task_accuracy(labels, of_task, n_tasks))
    present = np.bincount(task, minlength=n_tasks) > 0
    cells = TaskAccuracies.of(labels, task, n_tasks).tasks(present)
    return np.asarray(cells.imputed().mean(axis=0))


def coverage_warnings(
    labels: NDArray[np.float32],
    task: NDArray[np.integer],
    models: Sequence[str],
    tasks: Sequence[str],
) -> list[str]:
    """Name the models that were scored on a part of the samples only, or on easier ones.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)
    """
    cells = TaskAccuracies.of(labels, task, len(tasks))
    others = _others(labels, _well_known(cells.count, cells.size))
    warnings = []
    for m, model in enumerate(models):
        present = ~np.isnan(labels[:, m])
        share = present.mean()
        if share >= ENOUGH or not present.any():
            continue
        absent = np.flatnonzero((cells.count[:, m] == 0) & (cells.size > 0))
        missing = [tasks[d] for d in absent.tolist()]
        text = f"{model} has labels of {share:.0%} of the samples"
        if missing:
            text += f", none of {len(missing)} tasks such as {missing[0]}"
        easier = 100 * float(np.nanmean(others[present]) - np.nanmean(others))
        if abs(easier) > EASIER:
            kind = "easier" if easier > 0 else "harder"
            text += f", and they are {abs(easier):.0f} points {kind} for the other models"
        warnings.append(
            f"{text}: it is compared on the samples that it shares, and predicted on the others. "
            f"Score it on the missing samples to be sure of it."
        )
    return warnings


def impute_labels(
    labels: NDArray[np.float32], task: NDArray[np.integer], cells: TaskAccuracies, accuracy: Floats
) -> Floats:
    """Labels without gaps.

    A missing label is what the model is expected to do on the task, and as much more or less as the
    sample was easier or harder than the task for the well-known models: T(d, m) + o(x) - o_d.

    Parameters
    ----------
    labels : ndarray of float32, shape (n, M)
        NaN is missing.
    task : ndarray of int, shape (n,)
    cells : TaskAccuracies
        Of these labels.
    accuracy : ndarray of float64, shape (D, M)
        T.

    Returns
    -------
    ndarray of float64, shape (n, M)
    """
    missing = np.isnan(labels)
    if not missing.any():
        return labels.astype(np.float64)
    others = _others(labels, _well_known(cells.count, cells.size)) - cells.base[task]
    expected = accuracy[task] + np.nan_to_num(others)[:, None]
    return np.where(missing, np.clip(expected, 0.0, 1.0), labels)


def _others(labels: NDArray[np.float32], well_known: NDArray[np.bool_]) -> Floats:
    """o(x): where no well-known model was asked, whoever was stands for them; shape (n,)."""
    others = mean(labels[:, well_known] if well_known.any() else labels, axis=1)
    return np.where(np.isnan(others), mean(labels, axis=1), others)


def _counts(
    labels: NDArray[np.float32], task: NDArray[np.integer], n_tasks: int
) -> tuple[Floats, Floats]:
    """Labels of each task and model, shape (D, M), and samples of each task, shape (D,)."""
    present = ~np.isnan(labels)
    columns = [np.bincount(task, present[:, m], n_tasks) for m in range(labels.shape[1])]
    return np.stack(columns, axis=1), np.bincount(task, minlength=n_tasks).astype(np.float64)


def _measured(count: Floats, size: Floats, share: float = ENOUGH) -> NDArray[np.bool_]:
    """Cells with at least a share of their labels, shape (D, M)."""
    return np.asarray((count > 0) & (count >= share * size[:, None]))


def _rarely_measured(count: Floats, size: Floats) -> NDArray[np.bool_]:
    fewest = min(FEWEST_TASKS, int((size > 0).sum()))
    return np.asarray(_measured(count, size, HALF).sum(axis=0) < fewest)


def _well_known(count: Floats, size: Floats) -> NDArray[np.bool_]:
    """Models that have nearly all of every task, or where there is none half of it, shape (M,)."""
    present = size > 0
    nearly_all = np.asarray(_measured(count, size)[present].all(axis=0))
    if nearly_all.any():
        return nearly_all
    return np.asarray(_measured(count, size, HALF)[present].all(axis=0))


def _mean_of(values: Floats) -> float:
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if len(finite) else 0.5
