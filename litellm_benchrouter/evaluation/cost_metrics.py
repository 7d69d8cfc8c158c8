"""The numbers that the field reports of quality against cost, each a small function.

Costs are means per request in one unit (`costs.py` says which), qualities means of the metric. A
curve is a set of points (cost, quality); both are given as arrays of the same length.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid

Array = NDArray[np.float64]

_EPSILON = 1e-12


def non_decreasing_hull(cost: Array, quality: Array) -> tuple[Array, Array]:
    """Return the non-decreasing convex hull of a set of points (RouterBench, Hu et al. 2024).

    Between two routers one may flip a coin, so every point under the upper hull is attainable, and
    nobody pays more for less: the hull ends at the best quality. Cost is strictly increasing,
    quality too and concave in it, each of shape (h,); NaN points are left out.
    """
    present = ~(np.isnan(cost) | np.isnan(quality))
    points = sorted(zip(cost[present].tolist(), (-quality[present]).tolist(), strict=True))
    hull: list[tuple[float, float]] = []
    for x, negative in points:
        y = -negative
        if hull and y <= hull[-1][1]:
            continue  # dearer and not better, as the last point is the best so far
        while len(hull) > 1 and _below(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    xs, ys = np.array(hull).reshape(-1, 2).T
    return xs, ys


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def quality_at(cost: Array, hull: tuple[Array, Array]) -> Array:
    """Quality that a hull attains at a cost (RouterBench's interpolation and extrapolation).

    Above the hull's last cost it stays as it is. Below its first cost it falls linearly to 0 at
    cost 0: some requests get no answer, which is worth 0 and never more than an answer.
    """
    xs, ys = hull
    if len(xs) and xs[0] > 0:
        xs, ys = np.concatenate(([0.0], xs)), np.concatenate(([min(0.0, ys[0])], ys))
    height: Array = np.interp(cost, xs, ys) if len(xs) else np.full(np.shape(cost), np.nan)
    return height


def aiq(hull: tuple[Array, Array], low: float, high: float) -> float:
    """Average improvement in quality: mean height of a hull over a range of costs.

    AIQ = 1 / (c_max - c_min) * integral over [c_min, c_max] of the hull (RouterBench, Hu et al.
    2024). The zero router is the hull of the single models. The range is the same for all that are
    compared: the costs of the cheapest and the dearest single model. Where they are equal, AIQ is
    the quality there.
    """
    inside = hull[0][(hull[0] > low) & (hull[0] < high)]
    cost = np.concatenate(([low], inside, [high]))
    quality = quality_at(cost, hull)
    if high - low <= _EPSILON * max(abs(high), 1.0):
        return float(quality[-1])
    return float(trapezoid(quality, cost) / (high - low))


def call_curve(advantage: Array, weak: Array, strong: Array) -> tuple[Array, Array]:
    """Quality of a two-model router over the share of requests that it sends to the strong model.

    Those with the largest advantage (predicted quality of the strong model minus that of the weak
    one) go first. Requests with the same advantage cannot be told apart, so they go together and
    the curve is linear between. Arrays have the shape (n,); samples where `weak` or `strong` is NaN
    are left out. Returns the shares of strong calls, from 0 to 1, and the mean quality at each.
    """
    present = ~(np.isnan(weak) | np.isnan(strong))
    n = int(present.sum())
    if not n:
        return np.array([0.0, 1.0]), np.full(2, np.nan)
    said = np.where(np.isnan(advantage), 0.0, advantage)[present].round(12)
    _, group = np.unique(-said, return_inverse=True)
    count = np.bincount(group)
    won = np.bincount(group, weights=(strong - weak)[present])
    share = np.concatenate(([0.0], np.cumsum(count) / n))
    quality = weak[present].mean() + np.concatenate(([0.0], np.cumsum(won) / n))
    return share, quality


def gap_recovered(quality: Array, weak: float, strong: float) -> Array:
    """PGR = (quality - weak) / (strong - weak), the performance gap recovered.

    RouteLLM, Ong et al. 2024, eq. 3. NaN where the strong model is not better than the weak one.
    """
    if not strong - weak > _EPSILON:
        return np.full(np.shape(quality), np.nan)
    return np.asarray((quality - weak) / (strong - weak), dtype=np.float64)


def average_gap_recovered(share: Array, recovered: Array) -> float:
    """APGR: the integral of PGR over the share of strong calls from 0 to 1 (RouteLLM, eq. 4).

    RouteLLM sums ten thresholds; here the curve is integrated exactly. A router that tosses coins
    has 0.5.
    """
    return float(trapezoid(recovered, share))


def call_threshold(share: Array, recovered: Array, target: float) -> float:
    """CPT(target): the smallest share of strong calls whose PGR is at least the target (RouteLLM).

    Linear between the points of the curve; a router that tosses coins needs the target itself. NaN
    where PGR is not defined.
    """
    reached = np.flatnonzero(recovered >= target - _EPSILON)
    if not len(reached):
        return math.nan
    i = int(reached[0])
    if i == 0:
        return float(share[0])
    step = (target - recovered[i - 1]) / (recovered[i] - recovered[i - 1])
    return float(share[i - 1] + min(step, 1.0) * (share[i] - share[i - 1]))


def arena_score(
    accuracy: float,
    usd_per_1k: float,
    *,
    beta: float = 0.1,
    c_max: float = 200.0,
    c_min: float = 0.0044,
) -> float:
    """Return RouterArena's score S = (1 + beta) A C / (beta A + C) (Lu et al. 2025).

    C = (log2 c_max - log2 c) / (log2 c_max - log2 c_min), c in USD per 1,000 requests, held within
    [c_min, c_max] so that C stays in [0, 1].
    """
    held = min(max(usd_per_1k, c_min), c_max)
    C = (math.log2(c_max) - math.log2(held)) / (math.log2(c_max) - math.log2(c_min))
    below = beta * accuracy + C
    return (1 + beta) * accuracy * C / below if below > 0 else 0.0


def relative_gain(router: Array, reference: Array) -> float:
    """Gain@Random, Gain@BestSingle: mean over tasks of router / reference - 1.

    LLMRouterBench (Li et al. 2026): the reference is a uniform choice, or the single model that is
    best in hindsight over all tasks. Both hold the mean quality on each task, shape (D,); tasks
    where the reference has 0 are left out.
    """
    usable = ~np.isnan(router) & (reference > 0)
    if not usable.any():
        return math.nan
    return float((router[usable] / reference[usable] - 1.0).mean())


def relative_gap(router: Array, oracle: Array) -> float:
    """Gap@Oracle: mean over tasks of 1 - router / oracle (LLMRouterBench, Li et al. 2026)."""
    return -relative_gain(router, oracle)


def cheapest_reaching(cost: Array, quality: Array, target: float) -> int | None:
    """Position of the cheapest point whose quality is at least the target; None where none is."""
    reached = np.flatnonzero(quality >= target - _EPSILON)
    return int(reached[cost[reached].argmin()]) if len(reached) else None


def performance_gain(quality: Array, best_single: float) -> float:
    """PerfGain: the best quality on the curve over the best single model's, minus 1.

    LLMRouterBench (Li et al. 2026). The point is chosen in hindsight.
    """
    reached = quality[~np.isnan(quality)]
    return (
        float(reached.max() / best_single - 1.0) if len(reached) and best_single > 0 else math.nan
    )


def cost_saved(cost: Array, quality: Array, target: float, reference_cost: float) -> float:
    """Share of the reference's cost that the cheapest point at the target quality saves.

    CostSave of LLMRouterBench (Li et al. 2026) where target and reference are the best single
    model's. The point is chosen in hindsight. NaN where no point reaches the target.
    """
    i = cheapest_reaching(cost, quality, target)
    if i is None or not reference_cost > 0:
        return math.nan
    return float(1.0 - cost[i] / reference_cost)
