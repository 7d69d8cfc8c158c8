"""Feedback on answers: can it be stored, and do the alarms of drift say anything?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from litellm_benchrouter.artifact.version import Artifact
from litellm_benchrouter.config import BLOCK, BenchRouterConfig
from litellm_benchrouter.doctor.places import try_to_write, user_name
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.traffic.alarms import ALERT, LATEST
from litellm_benchrouter.traffic.feedback import FeedbackStore
from litellm_benchrouter.views import Finding, count, ok, warn

_TO = f"{BLOCK}.traffic.feedback.to"
_LOST = "until then no feedback is kept; requests are routed"
_MEANS = {
    "similarity": ("are unlike the labelled prompts", "label newer ones: benchrouter label"),
    "success": ("have worse answers than predicted", "see which model changed, and label anew"),
}


def check_feedback(config: BenchRouterConfig, artifact: Artifact | None) -> Iterator[Finding]:
    """Check the store of feedback, and the alarms over the calls of the version that serves."""
    try:
        store = FeedbackStore.of(config)
        if store is None:
            return
        counts = store.counts()
        version = None if artifact is None else artifact.manifest.version
        alarms = {} if version is None else store.alarms(version)
    except BenchRouterError as error:
        yield warn("feedback", str(error), _LOST)
        return
    reason = None if store.file is None else _unwritable(store.file)
    if reason is not None:
        yield warn(
            "feedback",
            f"{store.name}: {user_name()} cannot write there ({reason})",
            f"let the proxy's user write there, or name another folder in {_TO}; {_LOST}",
        )
    else:
        scored = f"{counts['scores']:,} of {count(counts['calls'], 'answered call')} scored"
        yield ok("feedback", f"{store.name}: {scored}")
    for name, alarm in alarms.items():
        if alarm is None:
            continue
        what = f"{count(alarm['recent'], 'alarm')} among the last {LATEST:,} calls"
        means, way_out = _MEANS[name]
        if alarm["recent"] >= ALERT[name]:
            yield warn("drift", f"calls {means}: {what}", way_out)
        else:
            yield ok("drift", f"{name}: {what}")


def _unwritable(file: Path) -> str | None:
    """Say why a file, or its folder, where SQLite makes others, cannot be written."""
    try:
        try_to_write(file.parent)
        if file.exists():
            file.open("ab").close()
    except OSError as error:
        return error.strerror
    return None
