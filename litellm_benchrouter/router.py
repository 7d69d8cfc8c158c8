"""Which model for this prompt, or for this task? No LiteLLM in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact import Artifact
from litellm_benchrouter.core.decision import (
    Decision,
    TaskScores,
    choose,
    preference,
    rank_with,
)
from litellm_benchrouter.core.neighbors import Neighbors, nearest
from litellm_benchrouter.core.scores import correctness_predictor
from litellm_benchrouter.estimators.unseen import MARGIN
from litellm_benchrouter.guarded_scorer import GuardedScorer
from litellm_benchrouter.labelled_task import decide_by_posterior

_TIE = 1e-12  # sums of the same labels in another order differ in the last bits
_TOO_SMALL = "the benchmark has too few samples to show that anything is better"
_KEPT = 1024  # sets of models on offer, and outcomes of eq. 6 for each task and set


@dataclass(frozen=True)
class _Offer:
    """Some of the models, and what every decision over them needs.

    Attributes
    ----------
    models : tuple of str
        Sorted by name.
    columns : ndarray of int, shape (len(models),)
        Their columns in the artifact.
    average : ndarray of float64, shape (len(models),)
    cost_ranks : list of (int, float)
    preferred : ndarray of int, shape (len(models),)
        The order in which those that tie are taken: positions in `models`.
    """

    models: tuple[str, ...]
    columns: NDArray[np.intp]
    average: NDArray[np.float64]
    cost_ranks: list[tuple[int, float]]
    preferred: NDArray[np.intp]


@dataclass(frozen=True)
class Explanation:
    """A decision with what it rests on.

    Attributes
    ----------
    decision : Decision
    neighbors : list of (str, str, float)
        Id, task and cosine distance (in [0, 2]) of the nearest benchmark samples.
    g : dict of str to float
        Mean correctness over them, by model (eq. 7); NaN where none of them has a label.
    average : dict of str to float
        Mean accuracy over the benchmark's tasks.
    task_scores : dict of str to dict
        For a named task: s1, s2, s3 and p of each model.
    u : float or None
        For a named task: its distance from the benchmark (eq. 8).
    """

    decision: Decision
    neighbors: list[tuple[str, str, float]]
    g: dict[str, float]
    average: dict[str, float]
    task_scores: dict[str, dict[str, float]]
    u: float | None


class BenchRouter:
    """Decide with one version of the artifact.

    Parameters
    ----------
    artifact : Artifact
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        parameters = artifact.manifest.parameters
        self._k = int(parameters["k"])
        self._eta = float(parameters["eta"])
        self._on_scores = parameters["s1_on"] == "score" and artifact.scores is not None
        values = artifact.scores if self._on_scores else artifact.correctness
        self._values = np.asarray(values)  # still mapped, without the cost of np.memmap's indexing
        self._paper = parameters["method"] == "paper"
        self._guarded: GuardedScorer | None = None
        self._n_neighbors = self._k
        if not self._paper and artifact.guarded is not None:
            self._guarded = GuardedScorer(artifact, artifact.guarded)
            self._n_neighbors = max(self._k, self._guarded.n_neighbors)
        self._column = {model: m for m, model in enumerate(artifact.models)}
        self._task = {name: d for d, name in enumerate(artifact.tasks)}
        self._offer = lru_cache(maxsize=_KEPT)(self._make_offer)
        self._rule = lru_cache(maxsize=_KEPT)(self._decide_named_task)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the benchmark knows."""
        return self.artifact.models

    def knows_task(self, task: str) -> bool:
        """Say whether a name is a task of the configuration or of the benchmark."""
        return task in self.artifact.named_tasks or task in self._task

    def decide(
        self, prompt: str, *, task: str | None = None, models: Sequence[str] | None = None
    ) -> Decision:
        """Rank the models on offer.

        A task that the artifact knows is decided by S3 and eq. 6, over the models on offer; a
        prompt by S1; and with neither the best model on average comes first.

        Parameters
        ----------
        prompt : str
            The last user turn; may be empty.
        task : str, optional
            Name of the task.
        models : sequence of str, optional
            The models on offer, all of them known; default: all of the benchmark.

        Returns
        -------
        Decision

        Raises
        ------
        KeyError
            If a model on offer is not in the artifact.
        ValueError
            If no model is on offer.
        """
        offer = self._offered(models)
        if task is not None and self.knows_task(task):
            return self._rule(task, offer.models)
        decision = self._decide_prompt(prompt, offer)[0]
        if task is None:
            return decision
        return replace(
            decision, reason=f"the task is not in the artifact; {decision.reason}", task=task
        )

    def best_on_average(self, models: Sequence[str], reason: str) -> Decision:
        """Rank the models on offer by their mean accuracy over tasks (BMA)."""
        offer = self._offered(models)
        return self._decision(offer, offer.average, "bma", reason)

    def explain(
        self, prompt: str, *, task: str | None = None, models: Sequence[str] | None = None
    ) -> Explanation:
        """Decide, and show what the decision rests on; parameters as for `decide`."""
        offer = self._offered(models)
        _, neighbors, g = self._decide_prompt(prompt, offer)
        listed = []
        if neighbors is not None:
            for row, distance in zip(neighbors.index[0], neighbors.distance[0], strict=True):
                name = self.artifact.tasks[self.artifact.task[row]]
                listed.append((self.artifact.sample_ids[row], name, float(distance)))
        scores = self.artifact.named_tasks.get(task or "")
        return Explanation(
            decision=self.decide(prompt, task=task, models=offer.models),
            neighbors=listed,
            g=dict(zip(offer.models, g.tolist(), strict=True)),
            average=dict(zip(offer.models, offer.average.tolist(), strict=True)),
            task_scores={
                model: {key: float(getattr(scores, key)[m]) for key in ("s1", "s2", "s3", "p")}
                for model, m in zip(offer.models, offer.columns, strict=True)
            }
            if scores is not None
            else {},
            u=scores.u if scores is not None else None,
        )

    def _decide_prompt(
        self, prompt: str, offer: _Offer
    ) -> tuple[Decision, Neighbors | None, NDArray[np.float64]]:
        """S1 of a single input (eq. 1), its neighbours, and g over the models on offer."""
        nothing = np.full(len(offer.models), np.nan)
        if not prompt.strip():
            return self._by_average(offer, "no text to compare"), None, nothing
        vector = self.artifact.embedder.embed([prompt])
        if not np.isfinite(vector).all() or not vector.any():
            reason = "the embedder found nothing that it knows in the text"
            return self._by_average(offer, reason), None, nothing
        found = self._search(vector, self._n_neighbors)
        neighbors = found.first(self._k)
        rows = neighbors.index[0]
        near = Neighbors(np.arange(len(rows))[None, :], neighbors.distance)
        g = correctness_predictor(self._values[rows[:, None], offer.columns], near)[0]
        if self._guarded is not None:
            scored = self._guarded.score(vector, found, offer.columns)
            return self._decision(offer, scored.values, scored.method, scored.reason), neighbors, g
        if not self._paper:
            return self._by_average(offer, _TOO_SMALL), neighbors, g
        if np.isnan(g).all():
            reason = f"the {len(rows)} nearest benchmark samples have no label of a model on offer"
            return self._by_average(offer, reason), neighbors, g
        # A model without a label nearby is expected to do as it does on average.
        scores = np.where(np.isnan(g), offer.average, g)
        reason = (
            f"highest mean {'score' if self._on_scores else 'correctness'} over the {len(rows)} "
            f"nearest benchmark samples, at mean distance {neighbors.distance.mean():.2f}"
        )
        return self._decision(offer, scores, "s1", reason), neighbors, g

    def _by_average(self, offer: _Offer, reason: str) -> Decision:
        return self._decision(offer, offer.average, "bma", reason)

    def _decide_named_task(self, task: str, models: tuple[str, ...]) -> Decision:
        offer = self._offer(models)
        columns = offer.columns
        scores = self.artifact.named_tasks.get(task)
        if scores is None:
            measured = self.artifact.task_accuracy[self._task[task]][columns]
            n = self.artifact.manifest.tasks[self._task[task]].n_samples
            reason = f"measured on the {n} samples of this task in the benchmark"
            values = np.where(np.isnan(measured), offer.average, measured)
            return self._decision(offer, values, "measured", reason, task)
        labelled = self.artifact.labelled_tasks.get(task)
        if labelled is not None and labelled.posterior is not None:
            decision = decide_by_posterior(labelled, columns, offer.preferred, models)
            return replace(decision, task=task, artifact=self.artifact.manifest.version)
        if not self._paper:
            return self._decide_guarded_task(task, offer, scores.n_inputs)
        on_offer = TaskScores(
            scores.n_inputs, scores.u, *(getattr(scores, key)[columns] for key in _PER_MODEL)
        )
        choice = choose(on_offer, offer.average, offer.cost_ranks, models, eta=self._eta)
        star, m3 = models[choice.best_on_average], models[choice.m3]
        method = "s3"
        if choice.m3 == choice.best_on_average:
            reason = f"best by S3 and best on average, from {scores.n_inputs} example inputs"
        elif choice.probability is None:
            reason, method = f"S3 is not defined for {star}, the best on average", "bma"
        elif choice.order[0] == choice.m3:
            reason = f"P(better than {star}) = {choice.probability:.2f} > {self._eta:g}"
        else:
            reason = f"P({m3} better than {star}) = {choice.probability:.2f} <= {self._eta:g}"
            method = "bma"
        if labelled is not None:
            reason += f"; p measured on {labelled.n_inputs} labelled inputs"
        return Decision(
            ranking=tuple(models[m] for m in choice.order),
            method=method,
            reason=reason,
            task=task,
            scores=dict(zip(models, on_offer.s3.tolist(), strict=True)),
            artifact=self.artifact.manifest.version,
        )

    def _decide_guarded_task(self, task: str, offer: _Offer, n_inputs: int) -> Decision:
        """The scores of the candidate that proved itself; a small advantage is not worth a risk."""
        if task not in self.artifact.guarded_tasks:
            return self._decision(offer, offer.average, "bma", _TOO_SMALL, task)
        values = self.artifact.guarded_tasks[task][offer.columns]
        star = int(offer.preferred[0])
        advantage = float(np.nanmax(values) - values[star])
        if advantage > MARGIN:
            reason = f"{100 * advantage:.1f} points expected above {offer.models[star]}"
            reason += f", from {n_inputs} example inputs"
            return self._decision(offer, values, "guarded", reason, task)
        reason = f"no model is expected to be more than {100 * MARGIN:g} points better"
        return self._decision(offer, offer.average, "bma", reason, task)

    def _decision(
        self,
        offer: _Offer,
        scores: NDArray[np.float64],
        method: str,
        reason: str,
        task: str | None = None,
    ) -> Decision:
        order = rank_with(scores, offer.preferred)
        tied = int(np.count_nonzero(np.abs(scores - scores[order[0]]) <= _TIE))
        if tied > 1 and method != "bma":
            reason += f"; best on average of {tied} that tie"
        return Decision(
            ranking=tuple(offer.models[m] for m in order),
            method=method,
            reason=reason,
            task=task,
            scores=dict(zip(offer.models, scores.tolist(), strict=True)),
            artifact=self.artifact.manifest.version,
        )

    def _search(self, vector: NDArray[np.float32], k: int) -> Neighbors:
        try:
            return self.artifact.index.search(vector, k)
        except RuntimeError:
            # hnswlib gives up where its graph does not connect enough rows; exact search does not.
            return nearest(vector, self.artifact.embeddings, min(k, len(self.artifact.task)))

    def _offered(self, models: Sequence[str] | None) -> _Offer:
        return self._offer(tuple(sorted(set(self.models if models is None else models))))

    def _make_offer(self, models: tuple[str, ...]) -> _Offer:
        if not models:
            raise ValueError("no model is on offer")
        columns = np.array([self._column[model] for model in models], dtype=np.intp)
        average = self.artifact.average[columns]
        cost_ranks = [self.artifact.cost_ranks[m] for m in columns]
        preferred = preference(average, cost_ranks, models)
        return _Offer(models, columns, average, cost_ranks, preferred)


_PER_MODEL = ("s1", "s2", "s3", "p")
