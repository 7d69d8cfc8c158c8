"""Racing for labels of own traffic: models that cannot be the best are asked no more.

Racing: Maron and Moore (1994).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.traffic import BenchmarkPrior, Labels, Level, estimate_level

BATCH, FEWEST_ASKED = 10, 3  # prompts between decisions of a race, and models that stay
CLOSE, PLAUSIBLE, DRAWS = 0.03, 0.1, 400  # who stays: close in more than a share of the draws


def race(
    given: Labels, prior: BenchmarkPrior, seed: Sequence[int], answers: int | None = None
) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Race for labels: yield the rows of a batch and the models, shape (M,), to ask on them.

    Parameters
    ----------
    given : ndarray of float, shape (n, M)
        Whoever asks fills in the labels of the rows before the next are yielded; NaN is missing.
    answers : int, optional
        Most that are asked for; default: all.
    """
    n, n_models = given.shape
    active, start = np.ones(n_models, dtype=bool), 0
    left = given.size if answers is None else answers
    while start < n and left >= active.sum():
        stop = min(start + BATCH, n, start + left // int(active.sum()))
        yield slice(start, stop), active
        left -= (stop - start) * int(active.sum())
        start = stop
        active = models_to_ask(estimate_level(given[:start], prior), (*seed, start))


def models_to_ask(level: Level, seed: int | Sequence[int] = 0) -> NDArray[np.bool_]:
    """Choose the models that are worth more labels, shape (M,): the next batch of a race.

    A model stays while it is within `CLOSE` of the best with a probability above `PLAUSIBLE`;
    `FEWEST_ASKED` stay in any case, and BMA.
    """
    generator = np.random.default_rng(seed)
    drawn = generator.multivariate_normal(level.mean, level.covariance, DRAWS, method="eigh")
    share = (drawn >= drawn.max(axis=1, keepdims=True) - CLOSE).mean(axis=0)
    asked = np.asarray(share > PLAUSIBLE)
    asked[np.argsort(-share, kind="stable")[:FEWEST_ASKED]] = True
    asked[level.best] = True
    return asked
