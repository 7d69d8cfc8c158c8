"""Figure 7: how well methods do on the requests that lie close to the benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.masked import mean

_STEPS = 20  # points of the curve


def curve_over_distance(
    distance: NDArray[np.float64],
    found: Mapping[str, Sequence[Mapping[str, NDArray[np.float64]]]],
) -> list[dict[str, Any]]:
    """Means over the test samples whose mean distance to their neighbours is at most C (fig. 7).

    Parameters
    ----------
    distance : ndarray of float64, shape (q,)
        Cosine distance in [0, 2] of each test sample of all runs; NaN where it has no neighbour.
    found : mapping of str to sequence of mapping of str to ndarray
        By metric and run: the value of each method on each test sample.

    Returns
    -------
    list of dict
        `max_distance`, `share` of the samples, and the mean of each method by metric.
    """
    known = distance[~np.isnan(distance)]
    if not len(known):
        return []
    pooled = {
        metric: {name: np.concatenate([one[name] for one in per_run]) for name in per_run[0]}
        for metric, per_run in found.items()
    }
    shares = np.linspace(1 / _STEPS, 1.0, _STEPS)
    limits = np.unique(np.quantile(known, shares, method="inverted_cdf"))
    return [
        {
            "max_distance": float(limit),
            "share": float((distance <= limit).mean()),
            "metrics": {
                metric: {
                    name: float(mean(values[distance <= limit])) for name, values in one.items()
                }
                for metric, one in pooled.items()
            },
        }
        for limit in limits
    ]
