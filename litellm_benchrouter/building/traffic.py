"""Labels of own traffic: fitted beside the benchmark, and proved on themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.verdict import Verdict, claim
from litellm_benchrouter.building.embed import EmbeddedBenchmark
from litellm_benchrouter.building.fit import GuardedFit
from litellm_benchrouter.building.gains import rounded
from litellm_benchrouter.costs import CHARACTERS_PER_TOKEN, Lengths, cost_model
from litellm_benchrouter.costs.policy import Policy, balanced
from litellm_benchrouter.embedders import embed_with_cache
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.guarded.fit import neighbors_of_each
from litellm_benchrouter.guarded.formulas import K
from litellm_benchrouter.guarded.gain import FEWEST_GROUPS, Gain, gain_of
from litellm_benchrouter.guarded.impute import TaskAccuracies
from litellm_benchrouter.guarded.own_labels import OwnLabels, labels_to_settle, serves
from litellm_benchrouter.guarded.traffic import BenchmarkPrior, weights_by_age
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts, labels
from litellm_benchrouter.paper.neighbors import Index
from litellm_benchrouter.sources.traffic import TrafficLabels
from litellm_benchrouter.validation.folds import TaskFolds
from litellm_benchrouter.validation.groups import find_groups
from litellm_benchrouter.validation.saving import WEIGHTS

Floats = NDArray[np.float64]


def learn_traffic(
    given: TrafficLabels,
    benchmark: Benchmark,
    embedded: EmbeddedBenchmark,
    index: Index,
    prepared: TaskFolds,
    fitted: GuardedFit | None,
    verdict: Verdict,
) -> tuple[OwnLabels | None, Verdict]:
    """Fit own labels, and add to a verdict what they gain over the best on average.

    Parameters
    ----------
    given : TrafficLabels
    benchmark : Benchmark
        All of it, in the rows of `index`.
    embedded : EmbeddedBenchmark
    index : Index
    prepared : TaskFolds
        The samples that were learned from.
    fitted : GuardedFit or None
    verdict : Verdict
        On the benchmark.

    Returns
    -------
    OwnLabels or None
        What is served; None where labels decide nothing.
    Verdict
    """
    if fitted is None:
        return None, _unproven(verdict, "the method guarded is needed, and was not fitted")
    if embedded.embedder.kind == PrecomputedEmbedder.kind:
        return None, _unproven(verdict, "vectors were given without what embeds prompts")
    if len(given.prompts) < FEWEST_GROUPS:
        too_few = f"{FEWEST_GROUPS} labelled prompts of own traffic are needed, there are"
        return None, _unproven(verdict, f"{too_few} {len(given.prompts)}")
    # No cache on disk: what is erased must be gone.
    vectors, _ = embed_with_cache(embedded.embedder, given.prompts, None)
    usable = np.flatnonzero(vectors.any(axis=1))  # the embedder knows nothing of the others
    vectors, n = vectors[usable], len(usable)
    prompts = [given.prompts[i] for i in usable]
    group = np.arange(n)
    if n > 1:
        declared = [given.group[i] for i in usable]
        near = neighbors_of_each(vectors)
        no_task = np.zeros(n, dtype=np.int32)
        group = find_groups(prompts, no_task, 1, near, declared=declared).group
    if len(np.unique(group)) < FEWEST_GROUPS:
        too_few = f"{FEWEST_GROUPS} labelled prompts of own traffic are needed, there are"
        return None, _unproven(verdict, f"{too_few} {len(np.unique(group))}")
    cells = TaskAccuracies.of(prepared.labels, prepared.benchmark.task, prepared.n_tasks)
    prior = BenchmarkPrior.of(
        cells.imputed(), cells.count.mean(axis=1), prepared.average, prepared.best
    )
    near = index.search(vectors, min(K, len(benchmark)))
    guarded = fitted.guarded
    own = OwnLabels.fit(
        given.labels[usable],
        vectors,
        guarded.request.predict(
            vectors, labels(benchmark.correctness)[near.index], benchmark.task[near.index]
        ),
        np.array([guarded.percentile(float(d)) for d in near.distance.mean(axis=1)]),
        prior,
        weights_by_age(given.time[usable]),
        group,
        prepared.seed,
    )
    everything = np.arange(len(benchmark.models))
    gain = own.gain(everything, prepared.best, routes=fitted.requests.gate.routes)
    decides = serves(gain)
    part = _part(gain, verdict, len(np.unique(group)), decides=decides)
    part["trade_off"] = trade_off(own, benchmark, prompts, prepared.best) if decides else None
    served = {**verdict.served, "traffic": part["served"]}
    return own if decides else None, replace(verdict, traffic=rounded(part), served=served)


def trade_off(
    own: OwnLabels, benchmark: Benchmark, prompts: Sequence[str], best: int
) -> dict[str, Any] | None:
    """Find the largest weight of cost that keeps BMA's quality on own labels, as do all below it.

    Each prompt is decided without its group, and one standard error is taken off the mean. The
    first weight that fails ends it: of many that are tried, one passes by luck.

    Returns
    -------
    dict or None
        `policy`, the share `saved` of BMA's cost, the quality `gain`, and `costs`, their basis;
        None where no weight keeps it, or nothing tells the costs of all models.
    """
    costs = expected_costs(benchmark, prompts)
    if costs is None:
        return None
    expected, basis = costs
    rows, no_task = np.arange(len(prompts)), np.zeros(len(prompts), dtype=np.intp)
    chosen = None
    for weight in WEIGHTS:
        picks = balanced_picks(own.expected, expected, weight)
        gain = gain_of(picks, best, own.labels, no_task, own.group)
        if gain.gain - gain.standard_error < 0:
            break
        chosen = {
            "policy": str(Policy("balanced", float(weight))),
            "saved": float(1 - expected[rows, picks].sum() / expected[:, best].sum()),
            "gain": gain.gain,
            "costs": basis,
        }
    return chosen


def expected_costs(benchmark: Benchmark, prompts: Sequence[str]) -> tuple[Floats, str] | None:
    """Expect what prompts cost, shape (n, M), and on what basis; None where nothing tells it."""
    facts = {model: benchmark.facts.get(model, ModelFacts()) for model in benchmark.models}
    costs = cost_model(facts, benchmark.models, Lengths.of(list(facts.values())), {})
    if costs is None:
        return None
    tokens = np.array([len(prompt) for prompt in prompts]) / CHARACTERS_PER_TOKEN
    return tokens[:, None] * costs.per_token + costs.fixed, costs.basis


def balanced_picks(expected: NDArray[np.floating], cost: Floats, weight: float) -> NDArray[np.intp]:
    """Pick models as `balanced:WEIGHT` does, by expected accuracy and cost, shape (n, M)."""
    picks: NDArray[np.intp] = balanced(np.clip(expected, 0, 1), cost, weight).argmax(axis=1)
    return picks


def _part(gain: Gain, verdict: Verdict, n_groups: int, *, decides: bool) -> dict[str, Any]:
    """Describe what own labels show; their mean decides, and their lower bound is claimed."""
    reach, more = 1.96 * gain.standard_error, labels_to_settle(gain)
    part: dict[str, Any] = {
        "gain": gain.gain,
        "gain_95": [gain.gain - reach, gain.gain + reach],
        "lower": gain.lower,
        "standard_error": gain.standard_error,
        "moved_share": gain.moved_share,
        "n_samples": gain.n_samples,
        "n_groups": n_groups,
        "labels_to_settle": more,
        "served": "traffic" if decides else verdict.served["requests"],
    }
    text = f"about {more:,} more labelled prompts would settle it" if more else "it is settled"
    if more is None:
        text = "more labels than anybody would make would be needed to settle it"
    if not decides:
        part["claim"] = f"own labels show a loss and decide nothing; {text}"
    else:
        part["claim"] = claim(part, verdict.tolerance) + (f"; {text}" if gain.lower <= 0 else "")
    return part


def _unproven(verdict: Verdict, why: str) -> Verdict:
    return replace(verdict, unproven={**verdict.unproven, "traffic": why})
