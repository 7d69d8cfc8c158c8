"""What verifiers are worth, and the prices and bounds of cascades, from labelled answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import beta

from litellm_benchrouter.artifact.manifest import (
    CascadeQuality,
    CascadeRecord,
    EvidenceRecord,
    VerifierRecord,
)
from litellm_benchrouter.building.embed import EmbeddedBenchmark
from litellm_benchrouter.building.fit import GuardedFit
from litellm_benchrouter.building.verdicts import Verdicts, journals_of, verdicts_of
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.costs import CHARACTERS_PER_TOKEN, Lengths, cost_model
from litellm_benchrouter.costs.cascade import Evidence
from litellm_benchrouter.costs.evidence import area, combined
from litellm_benchrouter.embedders import embed_with_cache
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.guarded.formulas import K
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts, labels
from litellm_benchrouter.paper.neighbors import Index
from litellm_benchrouter.sources.answers import ScoredAnswers, read_answers
from litellm_benchrouter.validation.cascade import (
    Answered,
    Ran,
    correlation,
    fit_evidence,
    named,
    run_cascade,
)
from litellm_benchrouter.validation.saving import Outcomes, cheapest_of
from litellm_benchrouter.validation.splits import Array

FEWEST = 100
"""Prompts with scored answers of two models, below which nothing is learned."""

MOST = 4_000
"""Prompts that are learned from, at random: more would make a build slow and tell little more."""

QUALITIES = (1.05, 1.02, 1.0, 0.99, 0.98, 0.95, 0.9, 0.8)
STEPS = 3

_LAMBDAS = np.concatenate(([0.0], np.logspace(-2, 1.5, 29)))  # times one over the range of costs
_KEEP = np.linspace(1.0, 0.0, 21)
_ASK = "Run `benchrouter label`, which keeps answers, and build again."


def learn_cascade(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    embedded: EmbeddedBenchmark,
    index: Index,
    inputs: Mapping[str, Sequence[str]],
    fitted: GuardedFit | None,
    best: int,
) -> tuple[CascadeRecord | None, list[str]]:
    """Learn from the answers in the journals; None where they are too few or tell nothing.

    Parameters
    ----------
    best : int
        The best model on average.

    Returns
    -------
    CascadeRecord or None
    list of str
        Sentences for the operator, where the configuration asks for cascades.
    """
    wanted = _wants(config)
    journals = journals_of(config, inputs)
    if not journals and not wanted:
        return None, []
    answers = read_answers(journals, benchmark.models, config.aliases)
    record, why = None, "the benchmark has too few samples for probabilities"
    if fitted is not None and embedded.embedder.kind != PrecomputedEmbedder.kind:
        record, why = _learn(config, benchmark, embedded, index, answers, fitted, best)
    if record is not None or not wanted:
        return record, []
    return None, [f"policy cascade: {why}; it routes without cascades."]


def _learn(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    embedded: EmbeddedBenchmark,
    index: Index,
    answers: ScoredAnswers,
    fitted: GuardedFit,
    best: int,
) -> tuple[CascadeRecord | None, str]:
    several = int(((~np.isnan(answers.right)).sum(axis=1) > 1).sum())
    if several < FEWEST:
        return None, (
            f"{FEWEST} prompts with scored answers of two models are needed, there are "
            f"{several}. {_ASK[:-1]}"
        )
    facts = {model: benchmark.facts.get(model, ModelFacts()) for model in benchmark.models}
    costs = cost_model(facts, benchmark.models, Lengths.of(list(facts.values())), {})
    if costs is None or not costs.in_usd:
        return None, "the prices of all models are needed"
    vectors, _ = embed_with_cache(embedded.embedder, answers.prompts, None)
    near = index.search(vectors, min(K, len(benchmark)))
    raw = fitted.guarded.request.predict(
        vectors, labels(benchmark.correctness)[near.index], benchmark.task[near.index]
    )
    p = np.nan_to_num(fitted.guarded.calibration.predict_proba(raw), nan=0.5)
    tokens = np.array([len(prompt) for prompt in answers.prompts]) / CHARACTERS_PER_TOKEN
    expected = tokens[:, None] * costs.per_token + costs.fixed
    paid = np.where(np.isnan(answers.paid), expected, answers.paid)
    answered = Answered(p, expected, answers.right, paid, np.zeros(p.shape))
    verdicts = {
        name: of_verifier
        for name in config.cascade.verifiers
        if (of_verifier := verdicts_of(name, answers, expected)) is not None
    }
    return calibrate(
        answered,
        verdicts,
        benchmark.models,
        best,
        alpha=config.cascade.alpha,
        confidence=config.cascade.confidence,
        seed=config.seed,
    )


def calibrate(
    answered: Answered,
    verdicts: Mapping[str, Verdicts],
    models: Sequence[str],
    best: int,
    *,
    alpha: float,
    confidence: float,
    seed: int = 0,
) -> tuple[CascadeRecord | None, str]:
    """Learn evidence and prices on one half of the prompts; measure and bound them on the other.

    Parameters
    ----------
    answered : Answered
    verdicts : mapping of Verdicts
        By verifier.
    models : sequence of str
    best : int
        The best model on average.
    alpha, confidence : float
        P(kept and wrong) <= alpha holds for each quality at this confidence.

    Returns
    -------
    CascadeRecord or None
    str
        Why there is none.
    """
    order = np.random.default_rng(seed).permutation(len(answered.p))[:MOST]
    half, other = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    learned, scores = answered.rows(half), {name: v.scores for name, v in verdicts.items()}
    evidence = fit_evidence({n: s[half] for n, s in scores.items()}, learned.value, learned.p)
    evidence = {name: of_verifier for name, of_verifier in evidence.items() if of_verifier.tells}
    n_answers = int((~np.isnan(answered.value)).sum())
    if not evidence:
        return None, f"no verifier tells right from wrong in {n_answers} answers"
    together = correlation(learned.p, learned.value)
    total = sum(
        (of_verifier.of_each(scores[name]) for name, of_verifier in evidence.items()),
        answered.evidence,
    )
    those = [verdicts[name] for name in evidence]
    fees = [np.nan_to_num(v.fee) for v in those if v.fee is not None]
    fee = sum(fees, np.zeros(answered.p.shape))
    beside = next((v.beside for v in those if v.beside is not None), None)
    answered = replace(answered, evidence=total, fee=fee, beside=beside)
    tried = _Tried(
        answered.rows(half), answered.rows(other), combined(evidence.values()), together, best
    )
    rows = [
        row for quality in QUALITIES if (row := tried.row(quality, alpha, confidence)) is not None
    ]
    if not rows:
        return None, (
            f"by {n_answers} answers none costs less than the best model and keeps at most "
            f"alpha {alpha:g} that are wrong. {_ASK[:-1]}"
        )
    there = ~np.isnan(learned.value)
    return CascadeRecord(
        alpha=alpha,
        confidence=confidence,
        steps=STEPS,
        prompts=len(other),
        verifiers={
            name: VerifierRecord(
                evidence=EvidenceRecord(**of_verifier.as_dict()),
                answers=int((there & ~np.isnan(scores[name][half])).sum()),
                auc=_auc(scores[name][half], learned.value),
            )
            for name, of_verifier in evidence.items()
        },
        together=named(together, tuple(models)),
        qualities=rows,
    ), ""


class _Tried:
    """Cascades and routing at each price, on the half that was learned from."""

    def __init__(
        self, learned: Answered, held: Answered, ahead: Evidence, together: Array, best: int
    ) -> None:
        self._learned, self._held, self._best = learned, held, best
        self._ahead, self._together = ahead, together
        span = float(np.ptp(learned.expected.mean(axis=0))) or float(learned.expected.max()) or 1.0
        self._prices = _LAMBDAS / span
        self._cascades = self._sums(ahead)
        self._routes = self._sums(Evidence.none())

    def _run(self, answered: Answered, ahead: Evidence, price: float, keep: float = 0.0) -> Ran:
        return run_cascade(answered, ahead, self._together, price=price, steps=STEPS, keep=keep)

    def _sums(self, ahead: Evidence) -> Array:
        answered, best = self._learned, self._best
        ran = [self._run(answered, ahead, float(price)) for price in self._prices]
        cost = np.stack([*(r.cost for r in ran), answered.cost[:, best]], axis=1)
        worth = np.stack([*(r.value for r in ran), answered.value[:, best]], axis=1)
        rows = np.arange(len(cost))
        return Outcomes.beside_last(rows, cost, worth).sums(np.ones((1, len(rows))))

    @cache  # noqa: B019 - it lives as long as a calibration
    def _careful(self, at: int, alpha: float, confidence: float) -> tuple[float, Ran, float] | None:
        """Find the least threshold that every one above it is bounded at, the highest first."""
        chosen = None
        for keep in _KEEP.tolist():
            ran = self._run(self._held, self._ahead, float(self._prices[at]), keep)
            there = ~np.isnan(ran.value)
            bound = upper_bound(int(ran.kept_wrong[there].sum()), int(there.sum()), confidence)
            if bound > alpha:
                break
            chosen = (keep, ran, bound)
        return chosen

    def row(self, quality: float, alpha: float, confidence: float) -> CascadeQuality | None:
        """Choose price and threshold for a quality; None where none holds it or the bound."""
        at = int(cheapest_of(self._cascades, quality)[0])
        if at == len(self._prices):
            return None
        price, chosen = float(self._prices[at]), self._careful(at, alpha, confidence)
        if chosen is None:
            return None
        keep, ran, bound = chosen
        paired = ~np.isnan(ran.value + self._held.value[:, self._best])
        if not paired.any():
            return None
        routed_at = int(cheapest_of(self._routes, quality)[0])
        bma = self._held.cost[paired, self._best].mean()
        plain = bma
        if routed_at < len(self._prices):
            route = self._run(self._held, Evidence.none(), float(self._prices[routed_at]))
            plain = route.cost[paired].mean()
        cost = ran.cost[paired].mean()
        worth = self._held.value[paired, self._best].mean()
        return CascadeQuality(
            quality=quality,
            price=price,
            keep=keep,
            reached=float(ran.value[paired].mean() / worth) if worth else 0.0,
            saved_beside_routing=float(1 - cost / plain) if plain else None,
            saved_beside_bma=float(1 - cost / bma) if bma else None,
            calls=float(ran.calls.mean()),
            kept=float(ran.kept.mean()),
            kept_and_wrong=float(ran.kept_wrong.mean()),
            kept_and_wrong_bound=bound,
        )


def upper_bound(k: int, n: int, confidence: float) -> float:
    """Return the upper bound of Clopper and Pearson of a share, one-sided."""
    return 1.0 if k >= n else float(beta.ppf(confidence, k + 1, n - k))


def _auc(scores: Array, value: Array) -> float | None:
    there = ~np.isnan(scores) & ~np.isnan(value)
    auc = area(scores[there], value[there])
    return None if np.isnan(auc) else auc


def _wants(config: BenchRouterConfig) -> bool:
    policies: list[Any] = [config.policy, *(group.policy for group in config.groups.values())]
    return any(policy is not None and policy.kind == "cascade" for policy in policies)
