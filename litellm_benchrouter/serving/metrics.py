"""Decisions counted for Prometheus; docs/operations.md lists the metrics.

Metrics are ordinary metrics of prometheus-client's default registry, so the proxy's own `/metrics`
shows them wherever LiteLLM mounts it, and with several workers their sums: the modes of the gauges
are chosen for that. Without prometheus-client nothing is counted and nothing else changes.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from litellm_benchrouter.conversation.failures import SIGNS
from litellm_benchrouter.routing.decision import KINDS, Decision

if TYPE_CHECKING:
    from litellm_benchrouter.artifact.version import Artifact

logger = logging.getLogger("litellm_benchrouter")

LOAD_RESULTS = ("loaded", "refused", "missing", "unavailable")
COLLECT_RESULTS = ("stored", "dropped", "refused", "failed")
MEMORY_OUTCOMES = ("answered", "late", "failed", "skipped")

FOLLOWED, NOT_FOLLOWED = "followed", "not_followed"
NONE = "none"

OTHER = "other"
"""Label of what is outside the closed or bounded set of its label."""

_MOST_GROUPS = 200
_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5),
    1.0,
)
_DISTANCES = (*(step / 20 for step in range(1, 21)), 1.25, 1.5, 2.0)

P = ParamSpec("P")


class Metrics:
    """Counts nothing; what the proxy gets without prometheus-client."""

    def decided(self, group: str, decision: Decision) -> None:
        """Count a decision, once per call and group."""

    def answered(self, group: str, model: str | None, outcome: str) -> None:
        """Count an answered call by who answered; `outcome` as in `Call.outcome`."""

    def followed(self, outcome: str) -> None:
        """Count an attempt by whether LiteLLM served what was ranked first, and if not, why."""

    def escalated(self, sign: str) -> None:
        """Count a conversation that left its model, by the newest of its failures."""

    def adapter(self, name: str) -> None:
        """Note the way in which preferences are stated; "" where LiteLLM follows none."""

    def failed(self) -> None:
        """Count a request that an error of ours passed through."""

    def loaded(self, artifact: Artifact) -> None:
        """Note the version that serves from now on."""

    def refused(self, result: str) -> None:
        """Note that what CURRENT names cannot serve: `refused`, `missing` or `unavailable`."""

    def current(self) -> None:
        """Note that CURRENT names the version that serves."""

    def breaker(self, *, is_open: bool) -> None:
        """Note the breaker's state."""

    def shadowed(self, group: str, *, agrees: bool) -> None:
        """Count a decision that changed nothing, by whether it chose what was asked anyway."""

    def cascaded(self, ended: str, more: int, *, first: bool) -> None:
        """Count a cascade by why it ended, and the calls after its first."""

    def collected(self, result: str, n: int) -> None:
        """Count prompts that were drawn to be kept, by what became of them."""

    def memory_read(self, outcome: str) -> None:
        """Count a look into the workers' shared memory, by one of `MEMORY_OUTCOMES`."""


def _never_raises(
    record: Callable[Concatenate[PrometheusMetrics, P], None],
) -> Callable[Concatenate[PrometheusMetrics, P], None]:
    @functools.wraps(record)
    def recorded(self: PrometheusMetrics, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            record(self, *args, **kwargs)
        except Exception as error:
            if not self.warned:
                self.warned = True
                kind = type(error).__name__
                logger.warning("benchrouter: metrics cannot be recorded (%s)", kind)

    return recorded


class PrometheusMetrics(Metrics):
    """Metrics in prometheus-client's default registry; one per process.

    Raises ImportError where prometheus-client is not installed, ValueError where the registry has
    them already, and OSError where `PROMETHEUS_MULTIPROC_DIR` cannot be written.
    """

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.warned = False
        self._groups: set[str] = set()
        self._serves: tuple[str, str, str] | None = None

        self._decisions = Counter(
            "benchrouter_decisions_total",
            "Decisions, by group, pick, method and reason in one word.",
            ("group", "model", "method", "reason"),
        )
        self._seconds = Histogram(
            "benchrouter_decision_seconds",
            "What a request waited for its decision.",
            ("method",),
            buckets=_SECONDS,
        )
        self._embedding = Histogram(
            "benchrouter_embedding_seconds",
            "What the embedder took of it.",
            buckets=_SECONDS,
        )
        self._distance = Histogram(
            "benchrouter_neighbor_distance",
            "Mean cosine distance of a prompt to the benchmark samples that decided.",
            buckets=_DISTANCES,
        )
        self._answers = Counter(
            "benchrouter_answers_total",
            "Answered calls, by the model that answered and why it was that one.",
            ("group", "model", "outcome"),
        )
        self._followed = Counter(
            "benchrouter_followed_total",
            "Attempts, by whether LiteLLM served what was ranked first, or why it did not.",
            ("outcome",),
        )
        for outcome in (FOLLOWED, NOT_FOLLOWED):
            self._followed.labels(outcome)  # from 0 on, so that the first one is an increase
        self._escalations = Counter(
            "benchrouter_escalations_total",
            "Conversations that left their model after failures, by the newest of these.",
            ("sign",),
        )
        for sign in SIGNS:
            self._escalations.labels(sign)  # from 0 on, so that the first one is an increase
        self._adapter = Gauge(
            "benchrouter_adapter_info",
            "Workers by how they state preferences; `none` where LiteLLM follows none.",
            ("adapter",),
            multiprocess_mode="livesum",
        )
        self._adapters: set[str] = set()
        self._errors = Counter(
            "benchrouter_errors_total", "Requests that an error of the plugin passed through."
        )
        self._loads = Counter(
            "benchrouter_loads_total",
            "Versions that were loaded, refused or missing, by result; each worker loads its own.",
            ("result",),
        )
        for result in LOAD_RESULTS:
            self._loads.labels(result)  # from 0 on, so that the first failure is an increase
        self._shadow = Counter(
            "benchrouter_shadow_decisions_total",
            "Decisions that changed nothing, by whether they chose what was asked anyway.",
            ("group", "agrees"),
        )
        self._cascades = Counter(
            "benchrouter_cascades_total",
            "Cascades, by why they ended and whether their first answer was given.",
            ("ended", "answer"),
        )
        self._cascade_calls = Counter(
            "benchrouter_cascade_calls_total", "Calls that cascades made after their first."
        )
        self._collected = Counter(
            "benchrouter_collected_prompts_total",
            "Prompts of own traffic that were drawn to be kept, by what became of them.",
            ("result",),
        )
        for result in COLLECT_RESULTS:
            self._collected.labels(result)
        self._memory = Counter(
            "benchrouter_memory_reads_total",
            "Looks into the memory that workers share in Redis, by how they ended.",
            ("outcome",),
        )
        for outcome in MEMORY_OUTCOMES:
            self._memory.labels(outcome)  # from 0 on, so that the first failure is an increase
        # Among several workers: how many serve each version; the worst of the others.
        self._info = Gauge(
            "benchrouter_artifact_info",
            "Workers that serve with a version; 0 once another took over.",
            ("version", "embedder", "method"),
            multiprocess_mode="livesum",
        )
        self._created = Gauge(
            "benchrouter_artifact_created_timestamp_seconds",
            "When the version that was loaded last was built; 0 before the first.",
            multiprocess_mode="livemostrecent",
        )
        self._far = Gauge(
            "benchrouter_artifact_far_distance",
            "Distance beyond which a prompt counts as far from the benchmark; 0 where none does.",
            multiprocess_mode="livemostrecent",
        )
        self._ready = Gauge(
            "benchrouter_ready",
            "1 where every worker has a version to decide with.",
            multiprocess_mode="livemin",
        )
        self._refused = Gauge(
            "benchrouter_version_refused",
            "1 while a worker cannot use the version that CURRENT names.",
            multiprocess_mode="livemax",
        )
        self._breaker = Gauge(
            "benchrouter_breaker_open",
            "1 while a worker's breaker is open.",
            multiprocess_mode="livemax",
        )

    @_never_raises
    def decided(self, group: str, decision: Decision) -> None:
        kind = decision.kind if decision.kind in KINDS else OTHER
        group = self._group(group)
        self._decisions.labels(group, decision.pick, decision.method, kind).inc()
        if decision.seconds is not None:
            self._seconds.labels(decision.method).observe(decision.seconds)
        if decision.embed_seconds is not None:
            self._embedding.observe(decision.embed_seconds)
        if decision.distance is not None:
            self._distance.observe(decision.distance)

    @_never_raises
    def answered(self, group: str, model: str | None, outcome: str) -> None:
        self._answers.labels(self._group(group), model or OTHER, outcome).inc()

    @_never_raises
    def followed(self, outcome: str) -> None:
        self._followed.labels(outcome).inc()

    @_never_raises
    def escalated(self, sign: str) -> None:
        self._escalations.labels(sign).inc()

    @_never_raises
    def adapter(self, name: str) -> None:
        self._adapters.add(name or NONE)
        for each in self._adapters:
            self._adapter.labels(each).set(each == (name or NONE))

    @_never_raises
    def failed(self) -> None:
        self._errors.inc()

    @_never_raises
    def loaded(self, artifact: Artifact) -> None:
        manifest = artifact.manifest
        method, embedder = manifest.parameters["method"], manifest.embedder["kind"]
        if self._serves is not None:
            self._info.labels(*self._serves).set(0)
        self._serves = (manifest.version, str(embedder), str(method))
        self._info.labels(*self._serves).set(1)
        self._created.set(datetime.fromisoformat(manifest.created_at).timestamp())
        self._far.set(0.0 if artifact.guarded is None else artifact.guarded.far)
        self._ready.set(1)
        self._refused.set(0)
        self._loads.labels("loaded").inc()

    @_never_raises
    def refused(self, result: str) -> None:
        self._refused.set(1)
        self._loads.labels(result).inc()

    @_never_raises
    def current(self) -> None:
        self._refused.set(0)

    @_never_raises
    def breaker(self, *, is_open: bool) -> None:
        self._breaker.set(is_open)

    @_never_raises
    def shadowed(self, group: str, *, agrees: bool) -> None:
        self._shadow.labels(self._group(group), str(agrees).lower()).inc()

    @_never_raises
    def cascaded(self, ended: str, more: int, *, first: bool) -> None:
        self._cascades.labels(ended, "first" if first else "later").inc()
        self._cascade_calls.inc(more)

    @_never_raises
    def collected(self, result: str, n: int) -> None:
        self._collected.labels(result).inc(n)

    @_never_raises
    def memory_read(self, outcome: str) -> None:
        self._memory.labels(outcome).inc()

    def _group(self, name: str) -> str:
        """Keep the number of groups bounded, whatever names requests come with."""
        if name not in self._groups:
            if len(self._groups) >= _MOST_GROUPS:
                return OTHER
            self._groups.add(name)
        return name


@functools.cache
def process_metrics() -> Metrics:
    """Return this process's metrics; those that count nothing where there can be no others."""
    try:
        return PrometheusMetrics()
    except ImportError:
        logger.info("benchrouter: prometheus-client is not installed; there are no metrics")
    except Exception as error:
        logger.warning("benchrouter: there are no metrics (%s: %s)", type(error).__name__, error)
    return Metrics()
