"""What the manifest says of the models and the tasks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.manifest import ModelRecord, TaskRecord, finite
from litellm_benchrouter.paper.benchmark import MISSING, Benchmark, ModelFacts, average_accuracy


def model_records(benchmark: Benchmark, accuracy: NDArray[np.float64]) -> list[ModelRecord]:
    """Return the record of each model, from accuracies of shape (D, M)."""
    count = (benchmark.correctness != MISSING).sum(axis=0)
    average = average_accuracy(accuracy)
    return [
        ModelRecord(
            name=name,
            average_accuracy=finite(float(average[m])),
            n_labels=int(count[m]),
            **vars(benchmark.facts.get(name, ModelFacts())),
        )
        for m, name in enumerate(benchmark.models)
    ]


def task_records(benchmark: Benchmark) -> list[TaskRecord]:
    """Return the record of each task."""
    count = np.bincount(benchmark.task, minlength=len(benchmark.tasks))
    return [
        TaskRecord(name=name, n_samples=int(count[d])) for d, name in enumerate(benchmark.tasks)
    ]
