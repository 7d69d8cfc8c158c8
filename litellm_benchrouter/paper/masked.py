"""Means that leave out what is missing; the one place where 0 / 0 becomes NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ratio(total: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float64]:
    """Divide, with NaN where `count` is zero."""
    out: NDArray[np.float64] = np.full(np.shape(total), np.nan)
    np.divide(total, count, out=out, where=np.asarray(count) > 0)
    return out


def mean(values: NDArray[Any], axis: int = 0) -> NDArray[np.float64]:
    """Mean over an axis of the entries that are not NaN; NaN where there are none."""
    known = ~np.isnan(values)
    return ratio(
        np.where(known, values, 0.0).sum(axis=axis, dtype=np.float64), known.sum(axis=axis)
    )
