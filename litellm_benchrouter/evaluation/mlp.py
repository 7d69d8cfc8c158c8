"""Protocol `mlp` (table 3): the paper's MLP as g, and ATC beside the kernel smoother."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.core.benchmark import MISSING
from litellm_benchrouter.core.neighbors import task_rows
from litellm_benchrouter.core.scores import predictor_accuracy
from litellm_benchrouter.core.smoother import draws, kernel_smoother, smoother_table
from litellm_benchrouter.evaluation.nets import Recipe, train
from litellm_benchrouter.evaluation.prepared import Prepared
from litellm_benchrouter.evaluation.task import describe, distance_of, hold_out
from litellm_benchrouter.progress import Silent

Array = NDArray[np.float64]


def run_mlp(
    prepared: Prepared,
    stages: Silent,
    *,
    hidden: Sequence[int] = (1500, 1500),
    epochs: int = 100,
    learning_rate: float = 0.01,
    patience: int = 10,
    each_model: bool = False,
    table_alphas: Sequence[float] = (0.0,),
) -> dict[str, Any]:
    """Run protocol `task` with an MLP for g, and with two estimates of its accuracy.

    Parameters
    ----------
    prepared : Prepared
    stages : Silent or Bars
    hidden, epochs, learning_rate, patience, each_model
        See `Recipe`.
    table_alphas : sequence of float
        Mixing parameters of the smoother's table, one draw each. Every one but 0 trains the nets
        of all tasks once more.

    Returns
    -------
    dict
        The document of protocol `task`, with `s3` by the kernel smoother and `s3_atc` by ATC, and
        both errors in `mae`; docs/evaluation.md specifies it.

    Raises
    ------
    ConfigError
        If torch is not installed.
    """
    recipe = Recipe(tuple(hidden), epochs, learning_rate, patience, each_model=each_model)
    groups = task_rows(prepared.group, prepared.n_groups)
    trained = [alpha for alpha in table_alphas if alpha > 0]
    steps = recipe.steps(len(prepared.benchmark.models))
    with stages.stage("nets", steps * len(groups) * (1 + len(trained))) as advance:
        unseen = [_without(prepared, rows, recipe, advance) for rows in groups]
        ...
