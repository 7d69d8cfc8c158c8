"""How good the models on offer are expected to be at a task that a request names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.named_tasks import (
    LabelledTask,
    TaskPosterior,
)
from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.guarded.few_labels import LIMIT, Posterior, required_probability
from litellm_benchrouter.guarded.formulas import MARGIN, capped
from litellm_benchrouter.guarded.named import SURE, NamedTaskModel, fit_named_tasks
from litellm_benchrouter.paper.benchmark import labels
from litellm_benchrouter.paper.scores import TaskScores, decide_by_eq6, rank_with
from litellm_benchrouter.routing.estimates import (
    MOST_OFFERS,
    Candidates,
    Estimate,
    Positions,
    Scores,
    cached_method,
)

Ints = NDArray[np.intp]

TOO_SMALL = "the benchmark has too few samples to show that anything is better"

_PER_MODEL = ("s1", "s2", "s3", "p")


class NamedTasks:
    """The tasks of the configuration and of the benchmark."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._eta = float(artifact.manifest.parameters["eta"])
        self._paper = artifact.manifest.parameters["method"] == "paper"
        self._number = {name: d for d, name in enumerate(artifact.tasks)}
        self._posterior: Callable[[tuple[int, ...], int], NamedTaskModel]
        self._posterior = cached_method(self._fit_posterior, MOST_OFFERS)

    def __contains__(self, task: object) -> bool:
        return task in self._artifact.named_tasks or task in self._number

    def estimate(self, task: str, offer: Candidates) -> Estimate:
        """Return the estimate that the builder stored, over the models on offer.

        Parameters
        ----------
        task : str
            One that is known here.
        """
        scores = self._artifact.named_tasks.get(task)
        if scores is None:
            return self._measured(self._number[task], offer)
        labelled = self._artifact.labelled_tasks.get(task)
        if labelled is not None and labelled.posterior is not None:
            return self._by_posterior(labelled, labelled.posterior, offer)
        if self._paper:
            return self._by_s3(scores, offer, labelled)
        return self._guarded(task, offer, scores.n_inputs)

    def _measured(self, d: int, offer: Candidates) -> Estimate:
        n = self._artifact.manifest.tasks[d].n_samples
        grounds = f"measured on the {n} samples of this task in the benchmark"
        measured = self._artifact.task_accuracy[d][offer.columns]
        if self._paper:
            values = np.where(np.isnan(measured), offer.average, measured)
            return Estimate.same(Scores(values, "measured", grounds))
        star = int(offer.preferred[0])
        model = self._posterior(tuple(offer.columns.tolist()), star)
        if not model.serves((self._artifact.manifest.verdict or {}).get("tolerance", MARGIN)):
            reason = (
                f"models chosen by task gain {100 * model.gate.gain:.2f} points on held-out "
                f"samples, at least {100 * model.gate.lower:.2f}: that is not shown to be no worse"
            )
            return Estimate.by_average(offer, reason, "gate")
        advantage = model.advantages.mean[d]
        pick = int(model.advantages.picks(star)[d])
        level = offer.average[star] if np.isnan(measured[star]) else measured[star]
        order = rank_with(advantage, offer.preferred)
        values = np.clip(level + advantage, 0.0, 1.0)
        if pick == star:
            likely = Scores(capped(values, star), "measured", grounds)
            reason = f"no model is better on this task with a probability above {SURE:g}"
            order = np.concatenate(([star], order[order != star]))
            quality = Scores(values, "bma", reason, order, "unsure")
            return Estimate(quality, likely)
        chance = model.advantages.probability_better()[d, pick]
        reason = (
            f"{100 * advantage[pick]:.1f} points above {offer.models[star]} expected, better with "
            f"probability {chance:.2f}, {grounds}"
        )
        likely = Scores(values, "measured", grounds)
        return Estimate(Scores(values, "measured", reason, order), likely)

    def _fit_posterior(self, columns: tuple[int, ...], star: int) -> NamedTaskModel:
        """The posterior over the models on offer; it is remembered."""
        artifact, index = self._artifact, np.array(columns, dtype=np.intp)
        rows = np.asarray(artifact.fitted_rows)
        return fit_named_tasks(
            labels(np.asarray(artifact.correctness)[rows[:, None], index]),
            np.asarray(artifact.task)[rows],
            np.asarray(artifact.groups)[rows],
            len(artifact.tasks),
            artifact.average[index],
            star,
        )

    def _by_posterior(
        self, labelled: LabelledTask, posterior: TaskPosterior, offer: Candidates
    ) -> Estimate:
        order, reason = decide_by_posterior(labelled, posterior, offer)
        values = posterior.score[offer.columns]
        stays = values[order[0]] < values.max()  # with the best on average, for want of confidence
        quality = Scores(values, "posterior", reason, order, "unsure" if stays else "routed")
        # Nothing is shown to be better than the best on average; a cheaper one may be as good.
        likely = np.clip(capped(values, int(order[0])) if stays else values, 0.0, 1.0)
        grounds = f"from {labelled.n_inputs} labelled inputs"
        return Estimate(quality, Scores(likely, "posterior", grounds))

    def _by_s3(
        self, scores: TaskScores, offer: Candidates, labelled: LabelledTask | None
    ) -> Estimate:
        """S3 and the confidence rule of eq. 6."""
        on_offer = TaskScores(
            scores.n_inputs, scores.u, *(getattr(scores, key)[offer.columns] for key in _PER_MODEL)
        )
        models = offer.models
        choice = decide_by_eq6(on_offer, offer.average, offer.cost_ranks, models, eta=self._eta)
        star, m3 = models[choice.best_on_average], models[choice.m3]
        method, kind = "s3", "routed"
        if choice.m3 == choice.best_on_average:
            reason = f"best by S3 and best on average, from {scores.n_inputs} example inputs"
        elif choice.probability is None:
            reason = f"S3 is not defined for {star}, the best on average"
            method, kind = "bma", "no_evidence"
        elif choice.order[0] == choice.m3:
            reason = f"P(better than {star}) = {choice.probability:.2f} > {self._eta:g}"
        else:
            reason = f"P({m3} better than {star}) = {choice.probability:.2f} <= {self._eta:g}"
            method, kind = "bma", "unsure"
        if labelled is not None:
            reason += f"; p measured on {labelled.n_inputs} labelled inputs"
        quality = Scores(on_offer.s3, method, reason, choice.order, kind)
        likely = offer.average if method == "bma" else on_offer.s3
        likely = np.where(np.isnan(likely), offer.average, likely)
        return Estimate(quality, replace(quality, values=likely, order=None))

    def _guarded(self, task: str, offer: Candidates, n_inputs: int) -> Estimate:
        """The scores of the candidate that proved itself; a small advantage is not worth a risk."""
        if task not in self._artifact.guarded_tasks:
            return Estimate.by_average(offer, TOO_SMALL, "no_evidence")
        values = self._artifact.guarded_tasks[task][offer.columns]
        star = int(offer.preferred[0])
        advantage = float(np.nanmax(values) - values[star])
        chosen = self._artifact.manifest.guarded
        margin = MARGIN if chosen is None else chosen["unseen"].get("margin", MARGIN)
        if advantage > margin:
            grounds = f"from {n_inputs} example inputs"
            reason = f"{100 * advantage:.1f} points expected above {offer.models[star]}, {grounds}"
            return Estimate(Scores(values, "guarded", reason), Scores(values, "guarded", grounds))
        if chosen is not None and chosen["unseen"]["candidate"] is None:
            reason = (
                "nothing is shown to gain over it on tasks held out of the benchmark; it answers "
                "until the task has labels"
            )
            if chosen["unseen"].get("labels"):
                reason += f", of which about {chosen['unseen']['labels']} usually settle it"
            return Estimate.by_average(offer, reason, "no_evidence")
        reason = f"no model is expected to be more than {100 * margin:.2g} points better"
        return Estimate.by_average(offer, reason, "unsure")


def decide_by_posterior(
    labelled: LabelledTask, posterior: TaskPosterior, offer: Candidates
) -> tuple[Positions, str]:
    """Leave the best on average where another is better with probability above eta.

    The posterior knows the labels of all models, on offer or not. Returns the models, the pick
    first and the others by posterior mean, and the reason.
    """
    columns, names = offer.columns, offer.models
    order = rank_with(posterior.score[columns], offer.preferred)
    star, best = int(offer.preferred[0]), int(order[0])
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
    return order, reason


def more_labels(needed: int) -> str:
    """Say how many more labels would settle which of two models is better."""
    if needed < 0:
        return f"{LIMIT} more labels would not settle it"
    if needed == 0:
        return "that is settled"
    return f"about {needed} more label{'s' if needed > 1 else ''} would settle it"
