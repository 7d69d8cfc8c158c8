"""What labels of a named task's inputs say: kept in the artifact, and the rule that decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.few_labels import LIMIT, Posterior, required_probability
from litellm_benchrouter.paper.scores import rank_with
from litellm_benchrouter.routing.decision import Decision

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class TaskPosterior:
    """Posterior of every model's accuracy on the task.

    Attributes
    ----------
    prior : ndarray of float64, shape (M,)
        What was expected before the labels.
    score : ndarray of float64, shape (M,)
    covariance : ndarray of float64, shape (M, M)
    needed : ndarray of int, shape (M, M)
        As `labels_needed` returns it.
    """

    prior: Floats
    score: Floats
    covariance: Floats
    needed: Ints

    def better(self, than: int) -> Floats:
        """P(theta_m > theta_than) of every model, shape (M,); NaN of the model itself."""
        posterior = Posterior(self.score, self.covariance)
        found = [posterior.probability_better(m, than) for m in range(len(self.score))]
        found[than] = float("nan")
        return np.array(found)


@dataclass(frozen=True)
class LabelledTask:
    """Labels of a named task.

    Attributes
    ----------
    n_inputs : int
        Inputs with a label of any model.
    counts : ndarray of int, shape (M,)
        Labels of each model.
    accuracy : ndarray of float64, shape (M,)
        Share of them that are right; NaN without labels.
    p : ndarray of float64, shape (M,)
        p(d', m) of eq. 3, measured on them; NaN where nothing was predicted and labelled.
    posterior : TaskPosterior or None
        None with the method `paper`, which asks p alone.
    """

    n_inputs: int
    counts: Ints
    accuracy: Floats
    p: Floats
    posterior: TaskPosterior | None


def decide_by_posterior(
    labelled: LabelledTask, columns: Ints, preferred: Ints, names: Sequence[str]
) -> Decision:
    """Leave the best on average where another is better with probability above eta.

    The posterior knows the labels of all models, on offer or not.

    Parameters
    ----------
    labelled : LabelledTask
        With its posterior.
    columns : ndarray of int, shape (n,)
        The models on offer.
    preferred : ndarray of int, shape (n,)
        Positions among them, best on average first.
    names : sequence of str, length n

    Returns
    -------
    Decision
        The pick first, then the others by posterior mean.
    """
    posterior = labelled.posterior
    if posterior is None:
        raise ValueError("a task without a posterior")
    scores = posterior.score[columns]
    order = rank_with(scores, preferred)
    star, best = int(preferred[0]), int(order[0])
    reason = "the only model on offer"
    if len(order) > 1:
        # Where the best on average is best here too, the question is whether the next one is not.
        one, other = (best, star) if best != star else (star, int(order[1]))
        a, b = int(columns[one]), int(columns[other])
        probability = Posterior(posterior.score, posterior.covariance).probability_better(a, b)
        eta = required_probability(int(min(labelled.counts[a], labelled.counts[b])))
        if best == star:
            reason = f"best on average; P(better than {names[other]}, the next) = {probability:.2f}"
        elif probability > eta:
            reason = f"P(better than {names[star]}) = {probability:.2f} > {eta:g}"
        else:
            reason = f"P({names[best]} better than {names[star]}) = {probability:.2f} <= {eta:g}"
            order = np.concatenate(([star], order[order != star]))
        inputs = "labelled input" if labelled.n_inputs == 1 else "labelled inputs"
        needed = more_labels(int(posterior.needed[a, b]))
        reason += f" from {labelled.n_inputs} {inputs}; {needed}"
    return Decision(
        ranking=tuple(names[m] for m in order),
        method="posterior",
        reason=reason,
        scores=dict(zip(names, scores.tolist(), strict=True)),
    )


def more_labels(needed: int) -> str:
    """Say how many more labels would settle which of two models is better."""
    if needed < 0:
        return f"{LIMIT} more labels would not settle it"
    if needed == 0:
        return "that is settled"
    return f"about {needed} more label{'s' if needed > 1 else ''} would settle it"
