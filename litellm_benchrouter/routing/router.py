"""The router: estimates of the models on offer, weighed against cost, become a decision."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.conversation.ask import prompt_text
from litellm_benchrouter.costs import CostModel, Lengths, Prices, cost_model
from litellm_benchrouter.costs.policy import PLAIN, QUALITY, Terms
from litellm_benchrouter.paper.neighbors import Neighbors, nearest
from litellm_benchrouter.paper.scores import correctness_predictor, rank_with
from litellm_benchrouter.routing.decision import Decision, Explanation
from litellm_benchrouter.routing.estimates import (
    NONE,
    Candidates,
    Estimate,
    GuardedScorer,
    LookUp,
    Scores,
    by_s1,
    cached_method,
)
from litellm_benchrouter.routing.named_tasks import TOO_SMALL, NamedTasks

MOST_TASKS = 4096
"""Named tasks, over the models on offer, whose estimates are remembered."""

_OFFERS = 1024  # sets of models, and of their prices


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
        self._on_scores = parameters["s1_on"] == "score" and artifact.scores is not None
        values = artifact.scores if self._on_scores else artifact.correctness
        self._values = np.asarray(values)  # still mapped, without the cost of np.memmap's indexing
        self._paper = parameters["method"] == "paper"
        self._guarded: GuardedScorer | None = None
        self._n_neighbors = self._k
        if not self._paper and artifact.guarded is not None:
            self._guarded = GuardedScorer(artifact, artifact.guarded)
            self._n_neighbors = max(self._k, self._guarded.n_neighbors)
        self._tasks = NamedTasks(artifact)
        self._weighing = Weighing(artifact)
        self._offer = cached_method(self._make_offer, _OFFERS)
        self._task = cached_method(self._estimate_task, MOST_TASKS)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the benchmark knows."""
        return self.artifact.models

    def knows_task(self, task: str) -> bool:
        """Say whether a name is a task of the configuration or of the benchmark."""
        return task in self._tasks

    def prepare(self, models: Sequence[str], task: str | None = None) -> None:
        """Do what the first decision over some models would wait for; it is remembered.

        All models are known, and so is the task.
        """
        offer = self._offered(models)
        if task is not None:
            self._task(task, offer.models)
        elif self._guarded is not None:
            self._guarded.prepare(offer)

    def decide(
        self,
        prompt: str,
        *,
        task: str | None = None,
        models: Sequence[str] | None = None,
        terms: Terms = PLAIN,
        vector: NDArray[np.float32] | None = None,
    ) -> Decision:
        """Rank the models on offer.

        What is expected of them rests on the named task where the artifact knows it, else on the
        prompt, and with neither on the average; the policy weighs it against the cost.

        Parameters
        ----------
        prompt : str
            The last user turn; may be empty.
        task : str, optional
            Name of the task.
        models : sequence of str, optional
            The models on offer, all of them known; default: all of the benchmark.
        terms : Terms
            The policy, and what the request costs.
        vector : ndarray of float32, shape (1, d), optional
            The prompt's, where the embedder was asked for it before.

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
        if terms.characters is None:
            terms = replace(terms, characters=len(prompt))
        if task is not None and self.knows_task(task):
            return self._weighing.decide(offer, self._task(task, offer.models), terms, task)
        if self._guarded is not None and not self._compares(offer, terms):
            estimate, look_up = self._guarded.closed(offer), NONE
        else:
            estimate, look_up, _ = self._estimate(prompt, offer, vector, weighed=terms.policy.saves)
        decision = self._weighing.decide(offer, estimate, terms, task, look_up)
        if task is None:
            return decision
        reason = f"the task is not in the artifact; {decision.reason}"
        return replace(decision, reason=reason, kind="unknown_task")

    def compares(self, models: Sequence[str], terms: Terms = PLAIN) -> bool:
        """Say whether a prompt is compared with the benchmark.

        Where the gate is closed and quality alone counts, nothing could come of it: such a prompt
        is not embedded, and no provider of embeddings is asked.
        """
        return self._compares(self._offered(models), terms)

    def _compares(self, offer: Candidates, terms: Terms) -> bool:
        return self._guarded is None or terms.policy.saves or self._guarded.routes(offer)

    def best_on_average(
        self, models: Sequence[str], reason: str, terms: Terms = PLAIN, kind: str = "error"
    ) -> Decision:
        """Rank the models on offer by their mean accuracy over tasks (BMA), and by the policy."""
        offer = self._offered(models)
        return self._weighing.decide(offer, Estimate.by_average(offer, reason, kind), terms)

    def the_only(self, model: str, terms: Terms = PLAIN) -> Decision:
        """Return the decision where there is nothing to choose."""
        offer = self._offered([model])
        reason = "the only model on offer that the benchmark knows"
        estimate = Estimate.same(Scores(offer.average, "only", reason, kind="only_one"))
        decision = self._weighing.decide(offer, estimate, replace(terms, policy=QUALITY))
        return replace(decision, policy=str(terms.policy))

    def explain(
        self,
        prompt: str,
        *,
        task: str | None = None,
        models: Sequence[str] | None = None,
        terms: Terms = PLAIN,
    ) -> Explanation:
        """Decide, and show what the decision rests on; parameters as for `decide`."""
        prompt = prompt_text(prompt)
        offer = self._offered(models)
        estimate, _, nearest_rows = self._estimate(prompt, offer, weighed=True)
        neighbors = None if nearest_rows is None else nearest_rows.first(self._k)
        g = np.full(len(offer.models), np.nan) if neighbors is None else self._g(neighbors, offer)
        if task is not None and self.knows_task(task):
            estimate = self._task(task, offer.models)
        listed = []
        if neighbors is not None:
            for row, distance in zip(neighbors.index[0], neighbors.distance[0], strict=True):
                name = self.artifact.tasks[self.artifact.task[row]]
                listed.append((self.artifact.sample_ids[row], name, float(distance)))
        costs = self._weighing.costs(offer.models, terms.prices)
        expected = [] if costs is None else costs.of(terms.characters or len(prompt)).tolist()
        scores = self.artifact.named_tasks.get(task or "")
        return Explanation(
            decision=self.decide(prompt, task=task, models=offer.models, terms=terms),
            neighbors=listed,
            g=dict(zip(offer.models, g.tolist(), strict=True)),
            average=dict(zip(offer.models, offer.average.tolist(), strict=True)),
            probability=dict(zip(offer.models, estimate.probability.values.tolist(), strict=True)),
            cost=dict(zip(offer.models, expected, strict=False)),
            cost_basis=None if costs is None else costs.basis,
            cost_unit=None if costs is None else "usd" if costs.in_usd else "params_b",
            task_scores={
                model: {key: float(getattr(scores, key)[m]) for key in ("s1", "s2", "s3", "p")}
                for model, m in zip(offer.models, offer.columns, strict=True)
            }
            if scores is not None
            else {},
            u=scores.u if scores is not None else None,
        )

    def _estimate(
        self,
        prompt: str,
        offer: Candidates,
        vector: NDArray[np.float32] | None = None,
        *,
        weighed: bool,
    ) -> tuple[Estimate, LookUp, Neighbors | None]:
        """What the prompt's neighbours say, how they were found, and the neighbours."""
        if not prompt.strip():
            return Estimate.by_average(offer, "no text to compare", "no_text"), NONE, None
        started = time.perf_counter()
        if vector is None:
            vector = self.artifact.embedder.embed([prompt])
        kind, seconds = self.artifact.embedder.kind, time.perf_counter() - started
        query = vector[0]
        total = float(query.sum())  # not finite where any of them is not
        if not math.isfinite(total) or (total == 0.0 and not query.any()):
            reason = "the embedder found nothing that it knows in the text"
            return Estimate.by_average(offer, reason, "no_text"), LookUp(kind, seconds), None
        nearest_rows = self._search(vector, self._n_neighbors)
        rows = nearest_rows.index[0]
        # numpy.mean takes ten times as long on so few numbers
        distance = float(nearest_rows.distance.sum()) / len(rows)
        if self._guarded is not None:
            estimate = self._guarded.estimate(query, rows, distance, offer, weighed=weighed)
        elif not self._paper:
            estimate = Estimate.by_average(offer, TOO_SMALL, "no_evidence")
        else:
            values = "score" if self._on_scores else "correctness"
            estimate = by_s1(self._g(nearest_rows, offer), values, len(rows), distance, offer)
        return estimate, LookUp(kind, seconds, distance, vector), nearest_rows

    def _g(self, neighbors: Neighbors, offer: Candidates) -> NDArray[np.float64]:
        """Mean correctness over the neighbours (eq. 7), of the models on offer."""
        rows = neighbors.index[0]
        near = Neighbors(np.arange(len(rows))[None, :], neighbors.distance)
        g: NDArray[np.float64]
        g = correctness_predictor(self._values[rows[:, None], offer.columns], near)[0]
        return g

    def _estimate_task(self, task: str, models: tuple[str, ...]) -> Estimate:
        return self._tasks.estimate(task, self._offer(models))

    def _search(self, vector: NDArray[np.float32], k: int) -> Neighbors:
        try:
            return self.artifact.index.search(vector, k)
        except RuntimeError:
            # hnswlib gives up where its graph does not connect enough rows; exact search does not.
            return nearest(vector, self.artifact.embeddings, min(k, len(self.artifact.task)))

    def _offered(self, models: Sequence[str] | None) -> Candidates:
        return self._offer(tuple(sorted(set(self.models if models is None else models))))

    def _make_offer(self, models: tuple[str, ...]) -> Candidates:
        return Candidates.of(self.artifact, models)


_TIE = 1e-12  # sums of the same labels in another order differ in the last bits

_OfModels = tuple[tuple[str, Prices], ...]


class Weighing:
    """The policy and the costs that turn estimates into a decision.

    `costs(models, prices)` is None where nothing covers all of the models.
    """

    costs: Callable[[tuple[str, ...], _OfModels], CostModel | None]

    def __init__(self, artifact: Artifact) -> None:
        self._version = artifact.manifest.version
        self._facts = dict(zip(artifact.models, artifact.facts, strict=True))
        self._lengths = Lengths.of(artifact.facts)
        self.costs = cached_method(self._cost_model, _OFFERS)

    def decide(
        self,
        offer: Candidates,
        estimate: Estimate,
        terms: Terms,
        task: str | None = None,
        look_up: LookUp = NONE,
    ) -> Decision:
        """Weigh what is expected against what it costs."""
        costs = self.costs(offer.models, terms.prices)
        expected = None if costs is None else costs.of(terms.characters or 0)
        policy, scores = terms.policy, estimate.quality
        if policy.saves and costs is not None and expected is not None:
            scores = estimate.probability
            order = policy.order(scores.values, expected, offer.preferred)
            why = policy.explain(order, scores.values, expected, offer.preferred, offer.models)
            reason = f"{why}; {costs.basis}; {scores.reason}"
        else:
            ready = scores.order
            order = rank_with(scores.values, offer.preferred) if ready is None else ready
            reason = scores.reason + _ties(scores, int(order[0]))
            if policy.saves:
                reason = f"nothing tells the costs of all models on offer; {reason}"
                policy = QUALITY
        return Decision(
            ranking=tuple([offer.models[m] for m in order.tolist()]),
            method=scores.method,
            reason=f"{terms.note}; {reason}" if terms.note else reason,
            task=task,
            scores=dict(zip(offer.models, scores.values.tolist(), strict=True)),
            probability=dict(zip(offer.models, estimate.probability.values.tolist(), strict=True)),
            artifact=self._version,
            kind=scores.kind,
            distance=look_up.distance,
            embed_seconds=look_up.embed_seconds,
            embedder=look_up.embedder,
            vector=look_up.vector,
            policy=str(policy),
            costs_usd=dict(zip(offer.models, expected.tolist(), strict=True))
            if expected is not None and costs is not None and costs.in_usd
            else None,
        )

    def _cost_model(self, models: tuple[str, ...], prices: _OfModels) -> CostModel | None:
        return cost_model(self._facts, models, self._lengths, dict(prices))


def _ties(scores: Scores, best: int) -> str:
    if scores.method == "bma":
        return ""
    values = scores.values.tolist()
    tied = sum(abs(value - values[best]) <= _TIE for value in values)
    return f"; best on average of {tied} that tie" if tied > 1 else ""
