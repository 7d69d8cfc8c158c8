"""The alarm of traffic that is no longer like the prompts that have labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.traffic.alarms import similarity_alarm


def prompts(centre: int, n: int, seed: int) -> NDArray[np.float32]:
    """Return vectors around one axis of 32."""
    noise = np.random.default_rng(seed).normal(size=(n, 32)) * 0.3
    return normalize(noise + np.eye(32)[centre])


def test_traffic_like_the_labels_seldom_alarms() -> None:
    n = sum(
        similarity_alarm(prompts(0, 100, seed), prompts(0, 1_000, 100 + seed))["alarms"]
        for seed in range(10)
    )
    assert n <= 20  # in 10,000 prompts


def test_new_traffic_alarms_soon_and_says_when() -> None:
    labelled = prompts(0, 100, 0)
    traffic = np.concatenate([prompts(0, 200, 1), prompts(1, 50, 2)])
    found = similarity_alarm(labelled, traffic)
    assert found["alarms"] >= 1
    assert similarity_alarm(labelled, traffic[:200])["alarms"] == 0
    assert similarity_alarm(labelled, traffic[:230])["at"] in range(200, 230)


def test_the_sum_never_falls_below_zero_and_starts_anew_after_an_alarm() -> None:
    labelled = prompts(0, 100, 0)
    assert similarity_alarm(labelled, labelled[:50])["sum"] >= 0
    found = similarity_alarm(labelled, prompts(1, 100, 2))
    assert found["alarms"] > 1
    assert found["sum"] <= found["threshold"]
