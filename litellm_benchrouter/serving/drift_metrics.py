"""Feedback and the alarms of drift, counted for Prometheus as `metrics` counts decisions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

NOTED = ("stored", "dropped", "failed")
GIVEN = ("recorded", "unknown", "invalid", "unavailable")
ALARMS = ("similarity", "success")


class DriftMetrics:
    """Counts nothing; what the proxy gets without prometheus-client."""

    def noted(self, result: str, n: int) -> None:
        """Count answered calls that may be scored, by what became of them."""

    def given(self, result: str) -> None:
        """Count a score, by what became of it."""

    def watched(self, alarms: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Note the state of both alarms; None is that nothing can be said."""


class PrometheusDriftMetrics(DriftMetrics):
    """Metrics in prometheus-client's default registry; one per process."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge

        self._noted = Counter(
            "benchrouter_answered_calls_total",
            "Answered calls that may be scored, by what became of their rows.",
            ("result",),
        )
        self._given = Counter(
            "benchrouter_feedback_total",
            "Scores from callers, by what became of them.",
            ("result",),
        )
        for counter, results in ((self._noted, NOTED), (self._given, GIVEN)):
            for result in results:
                counter.labels(result)  # from 0 on, so that the first one is an increase
        # Every worker reads the same store, so that one of them says it all.
        self._sum = Gauge(
            "benchrouter_drift_sum",
            "Sum of an alarm of drift, which is raised above 15 and starts anew.",
            ("alarm",),
            multiprocess_mode="livemostrecent",
        )
        self._alarms = Gauge(
            "benchrouter_drift_alarms",
            "Alarms of drift among the last 1,000 calls of the version that serves.",
            ("alarm",),
            multiprocess_mode="livemostrecent",
        )

    def noted(self, result: str, n: int) -> None:
        with suppress(Exception):
            self._noted.labels(result).inc(n)

    def given(self, result: str) -> None:
        with suppress(Exception):
            self._given.labels(result).inc()

    def watched(self, alarms: Mapping[str, Mapping[str, Any] | None]) -> None:
        with suppress(Exception):
            for name in ALARMS:
                alarm = alarms.get(name) or {"sum": 0.0, "recent": 0}
                self._sum.labels(name).set(alarm["sum"])
                self._alarms.labels(name).set(alarm["recent"])


@functools.cache
def process_drift_metrics() -> DriftMetrics:
    """Return this process's metrics; those that count nothing where there can be no others."""
    try:
        return PrometheusDriftMetrics()
    except (ImportError, ValueError, OSError):
        return DriftMetrics()
