"""Protocol `mlp` (table 3): the paper's MLP as g, and ATC beside the kernel smoother."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.task import describe, hold_out, require_groups
from litellm_benchrouter.paper.benchmark import MISSING, mean
from litellm_benchrouter.paper.neighbors import task_rows
from litellm_benchrouter.paper.scores import predictor_accuracy
from litellm_benchrouter.paper.smoother import SmootherTable, draws
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.methods import smoothed

if TYPE_CHECKING:
    from litellm_benchrouter.evaluation.nets import Recipe

Array = NDArray[np.float64]


def run_mlp(
    prepared: TaskFolds,
    progress: Progress,
    *,
    hidden: Sequence[int] = (1500, 1500),
    epochs: int = 100,
    learning_rate: float = 0.01,
    patience: int = 10,
    each_model: bool = False,
    table_alphas: Sequence[float] = (0.0,),
) -> dict[str, Any]:
    """Run protocol `task` with an MLP for g, and with two estimates of its accuracy.

    Appendix B would retrain for every pair of a new task d' and a benchmark task d, and again for
    each draw. Here p(d, m) of the smoother's table comes from the nets trained without d alone:
    they have seen d', which the distances u(d) have not. The table has one draw for each of
    `table_alphas`, and every one but 0 trains the nets of all tasks once more; for the other
    parameters see `Recipe`.

    The document has `s3` by the kernel smoother and `s3_atc` by ATC, and both errors in `mae`;
    docs/evaluation.md specifies it. Raises ConfigError where torch is not installed.
    """
    try:
        from litellm_benchrouter.evaluation.nets import Recipe
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the protocol mlp needs {error.name}, which is not installed; run "
            f'pip install "litellm-benchrouter[eval]", or leave the protocol out.'
        ) from error
    require_groups(prepared, "mlp")
    recipe = Recipe(tuple(hidden), epochs, learning_rate, patience, each_model=each_model)
    alphas = sorted({0.0, *table_alphas})
    with_one_draw = prepared.routing.model_copy(update={"alphas": alphas, "repeats": 1})
    prepared = replace(prepared, routing=with_one_draw)
    nets = _Nets(prepared)
    n_nets = prepared.n_groups * len(alphas)
    with progress.stage("nets", n_nets * recipe.steps(len(prepared.benchmark.models))) as advance:
        for group in range(prepared.n_groups):
            nets.train(group, recipe, advance)
    # The distances are those of the kNN table; only the predictors differ.
    distances = prepared.smoother_tables(progress)
    tables = {group: SmootherTable(table.u, nets.p) for group, table in enumerate(distances)}

    def smooth(d: int, _: Array) -> Array:
        return smoothed(prepared, d, tables)

    def by_confidence(d: int, g: Array) -> Array:
        return confident_share(g, nets.threshold[prepared.group_of_task[d]])

    with progress.stage("held-out tasks", prepared.n_tasks) as advance:
        document = hold_out(
            prepared,
            lambda d: nets.g[prepared.rows[d]],
            {"s3": smooth, "s3_atc": by_confidence},
            advance,
        )
    document["validation_accuracy"] = float(mean(nets.validation_accuracy))
    document["protocol"] = {"name": "mlp", **describe(prepared), "net": asdict(recipe)}
    return document


class _Nets:
    """Predictions of nets that have not seen the group, and how right they are.

    `g` (n, M) is on every sample, from the nets trained without its group; `p` (n_groups, A, M) the
    accuracy on the group with a share alpha of it moved into the training data; `threshold`
    (n_groups, M) that of ATC; `validation_accuracy` (n_groups,) that on the validation samples,
    which are in distribution.
    """

    def __init__(self, prepared: TaskFolds) -> None:
        n_groups, n_models = prepared.n_groups, len(prepared.benchmark.models)
        self._prepared = prepared
        self._rows = task_rows(prepared.group, n_groups)
        self.g = np.full((len(prepared.benchmark), n_models), np.nan)
        self.p = np.full((n_groups, len(prepared.routing.alphas), n_models), np.nan)
        self.threshold = np.full((n_groups, n_models), np.nan)
        self.validation_accuracy = np.full(n_groups, np.nan)

    def train(self, group: int, recipe: Recipe, advance: Callable[[int], None]) -> None:
        """Train for each alpha on the other groups and the samples of this one that move."""
        from litellm_benchrouter.evaluation.nets import train

        prepared, routing = self._prepared, self._prepared.routing
        vectors, correctness = prepared.embeddings, prepared.benchmark.correctness
        rows = self._rows[group]
        others = np.flatnonzero(prepared.group != group)
        drawn = draws(
            len(rows),
            (prepared.seed, group),
            routing.alphas,
            repeats=1,
            max_moved=routing.max_moved,
        )
        for at, moved in drawn:
            rows_learned = np.concatenate([others, rows[moved]])
            trained = train(
                vectors[rows_learned],
                correctness[rows_learned],
                recipe,
                seed=(prepared.seed, group, at.start),
                progress=advance,
            )
            stay = np.delete(rows, moved)
            g = trained.predict(vectors[stay])
            self.p[group, at] = predictor_accuracy(g, correctness[stay], routing.t)
            if not at.start:  # alpha = 0: the new task
                self.g[stay] = g
                held = rows_learned[trained.validation]
                g, labels = trained.predict(vectors[held]), correctness[held]
                self.threshold[group] = confidence_threshold(g, labels, routing.t)
                right = predictor_accuracy(g, labels, routing.t)
                self.validation_accuracy[group] = mean(right)


def confidence_threshold(g: Array, correctness: NDArray[np.uint8], t: float = 0.5) -> Array:
    """Confidence above which lie as many predictions as are right: the threshold of ATC.

    Average thresholded confidence (Garg et al. 2022), with confidence max(g, 1 - g), of predictions
    and labels (255 is missing) on validation samples, shape (n, M). Returns shape (M,): infinite
    for a model of which no prediction is right, NaN for one without labels.
    """
    usable = (correctness != MISSING) & ~np.isnan(g)
    wrong = usable & ((g > t) != (correctness == 1))
    threshold = np.full(g.shape[1], np.nan)
    for m in np.flatnonzero(usable.any(axis=0)):
        confidence = np.sort(_confidence(g[usable[:, m], m]))
        threshold[m] = np.append(confidence, np.inf)[wrong[:, m].sum()]
    return threshold


def confident_share(g: Array, threshold: Array) -> Array:
    """Estimate p(d', m), shape (M,), by ATC: the share of g (n_d, M) at or above the threshold."""
    undefined = np.isnan(g) | np.isnan(threshold)
    return mean(np.where(undefined, np.nan, _confidence(g) >= threshold))


def _confidence(g: Array) -> Array:
    return np.maximum(g, 1.0 - g)
