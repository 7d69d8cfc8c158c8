"""Scored answers to explored requests, with the prompts that the proxy has kept of them."""

from __future__ import annotations

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import BenchRouterError, TrafficError
from litellm_benchrouter.sources.traffic import ExploredEvents
from litellm_benchrouter.traffic.feedback import FeedbackStore
from litellm_benchrouter.traffic.parts import PromptStore

_MOST = 20_000  # the newest


def read_explored(config: BenchRouterConfig) -> ExploredEvents | None:
    """Join scores with kept prompts, by call and key; None where there are none.

    Raises TrafficError or StoreUnavailableError where they cannot be read and requests are
    explored; where none are, a database that cannot be reached keeps no build from its end.
    """
    if config.traffic is None or config.traffic.collect is None:
        return None
    prompts = PromptStore(config.traffic.collect, config.storage_options)
    try:
        store = FeedbackStore.of(config)
        return None if store is None else _joined(store, prompts)
    except (BenchRouterError, OSError) as error:
        if not config.traffic.explore:
            return None
        if isinstance(error, BenchRouterError):
            raise
        raise TrafficError(
            f"{prompts.name}: prompts cannot be read ({error.strerror}). Make them readable, or "
            "leave benchrouter.traffic.explore out."
        ) from error


def _joined(store: FeedbackStore, prompts: PromptStore) -> ExploredEvents | None:
    names = ("call_id", "key", "model", "score", "propensity")
    scored = {
        (call_id, key): (model, score)
        for call_id, key, model, score, propensity in store.latest(_MOST, names, "score")
        if propensity is not None and model is not None
    }
    if not scored:
        return None
    events = ExploredEvents([], [], [])
    for row in prompts.rows():
        event = scored.pop((str(row.get("call_id")), str(row.get("key") or "")), None)
        if event is not None and row.get("propensity") is not None:
            events.prompts.append(str(row.get("text") or ""))
            events.models.append(str(event[0]))
            events.scores.append(float(event[1]))
    return events if events.prompts else None
