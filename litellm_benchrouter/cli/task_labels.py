"""Labels of a named task, as `inspect` and `explain` show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from litellm_benchrouter.artifact.named_tasks import LabelledTask
from litellm_benchrouter.cli.options import number, table

_COLUMNS = {
    "labels": "labels",
    "right": "right",
    "prior": "expected before",
    "posterior": "expected now",
    "posterior_sd": "+/-",
    "p_better_posterior": "P(better than BMA)",
    "labels_needed": "more labels to settle",
}


def described(
    labelled: LabelledTask, models: Sequence[str], than: int
) -> dict[str, dict[str, Any]]:
    """Return what is known of each model, for programs.

    Parameters
    ----------
    labelled : LabelledTask
    models : sequence of str, length M
    than : int
        Position of the best on average.

    Returns
    -------
    dict of str to dict
        `labels` and `right` (share of them); where there is a posterior, also `prior`, `posterior`
        and `posterior_sd`, and against the best on average `p_better_posterior` and
        `labels_needed` (0: settled; null: not within 1,000).
    """
    posterior = labelled.posterior
    better = None if posterior is None else posterior.better(than)
    found: dict[str, dict[str, Any]] = {}
    for m, model in enumerate(models):
        found[model] = {"labels": int(labelled.counts[m]), "right": float(labelled.accuracy[m])}
        if posterior is not None and better is not None:
            needed = int(posterior.needed[m, than])
            found[model] |= {
                "prior": float(posterior.prior[m]),
                "posterior": float(posterior.score[m]),
                "posterior_sd": float(posterior.covariance[m, m] ** 0.5),
                "p_better_posterior": float(better[m]),
                "labels_needed": None if needed < 0 or m == than else needed,
            }
    return found


def labels_table(name: str, task: Mapping[str, Any]) -> Table:
    """Table of a task as `inspect` describes it."""
    title = f"Labels of {name}: {task['n_labelled_inputs']} of {task['n_inputs']} inputs"
    return _table(title, {row["model"]: row for row in task["ranking"]})


def explained_table(ranking: Iterable[str], labels: Mapping[str, Mapping[str, Any]]) -> Table:
    """Table of the models on offer."""
    return _table("Labels of the task", {model: labels[model] for model in ranking})


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    kept = [key for key in _COLUMNS if any(key in row for row in rows.values())]
    titles = [_COLUMNS[key] for key in kept]
    made = table(title, "model", *titles, right=tuple(titles))
    for model, row in rows.items():
        cells = []
        for key in kept:
            value = row[key]
            whole = isinstance(value, int)
            cells.append(str(value) if whole else number(value))
        made.add_row(model, *cells)
    return made
