"""What the proxy's `/metrics` says of decisions; docs/operations.md lists the metrics."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from litellm_benchrouter.page.words import NONE

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

DECISIONS = "benchrouter_decisions_total"
INFO = "benchrouter_artifact_info"
ERRORS = "benchrouter_errors_total"

_SECONDS = 2.0
_MOST_BYTES = 20_000_000


@dataclass(frozen=True)
class Line:
    """A count: `share` is its part of the largest one."""

    names: Sequence[str]
    n: str
    share: float


@dataclass(frozen=True)
class Live:
    """What the proxy has decided since it started.

    Attributes
    ----------
    problem : str or None
        Why nothing is known.
    total, errors : str
    models : sequence of Line
        By group and pick.
    reasons : sequence of Line
        By method and reason.
    versions : sequence of str
        The versions that its workers serve with.
    """

    problem: str | None = None
    total: str = NONE
    errors: str = NONE
    models: Sequence[Line] = ()
    reasons: Sequence[Line] = ()
    versions: Sequence[str] = ()


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Follows LiteLLM from /metrics to /metrics/, and nowhere that the key should not go."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def read_live(url: str, key: str | None = None) -> Live:
    """Ask the proxy; a proxy that does not answer is a sentence and not an error.

    Parameters
    ----------
    url : str
        Of its metrics, http or https.
    key : str, optional
        LiteLLM asks for one unless `require_auth_for_metrics_endpoint` is false.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        return Live("Counts need prometheus-client: pip install prometheus-client.")
    try:
        families = text_string_to_metric_families(_fetch(url, key))
        samples = [sample for family in families for sample in family.samples]
    except urllib.error.HTTPError as error:
        with error:
            return Live(_refused(url, error.code, key))
    except TimeoutError:
        return Live(f"The proxy did not give its metrics within {_SECONDS:g} seconds ({url}).")
    except (urllib.error.URLError, OSError, HTTPException):
        return Live(f"The proxy cannot be reached at {url}.")
    except (ValueError, KeyError, IndexError):
        return Live(f"What {url} answers is not in the Prometheus text format.")
    return _count(samples, url)


def _fetch(url: str, key: str | None) -> str:
    request = urllib.request.Request(url, headers={"Accept": "text/plain"})
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    # The proxy is on this machine or near it: no way through a web proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _SameOrigin())
    end = time.monotonic() + _SECONDS
    parts, size = [], 0
    with opener.open(request, timeout=_SECONDS) as answer:
        while block := answer.read1(65_536):
            size += len(block)
            if time.monotonic() > end:
                raise TimeoutError
            if size > _MOST_BYTES:
                raise ValueError("too long")
            parts.append(block)
    return b"".join(parts).decode("utf-8", errors="replace")


def _refused(url: str, code: int, key: str | None) -> str:
    if code in (401, 403):
        return (
            f"The proxy does not accept the key for {url}."
            if key
            else f"The proxy asks for a key at {url}; name a file that holds one with "
            "--metrics-key-file."
        )
    return f"The proxy answers {code} at {url}; its `prometheus` callback may be off."


def _count(samples: Sequence[Sample], url: str) -> Live:
    decisions = [s for s in samples if s.name == DECISIONS]
    versions = {s.labels.get("version", NONE) for s in samples if s.name == INFO and s.value > 0}
    if not decisions and not versions:
        return Live(f"There is nothing of the router's at {url}; is its hook among the callbacks?")
    errors = [s.value for s in samples if s.name == ERRORS]
    return Live(
        total=f"{sum(s.value for s in decisions):,.0f}",
        errors=f"{sum(errors):,.0f}" if errors else NONE,
        models=_lines(decisions, ("group", "model")),
        reasons=_lines(decisions, ("method", "reason")),
        versions=sorted(versions),
    )


def _lines(samples: Sequence[Sample], labels: tuple[str, ...]) -> list[Line]:
    """Add up by some of the labels, the most frequent first."""
    counts: Counter[tuple[str, ...]] = Counter()
    for sample in samples:
        counts[tuple(sample.labels.get(label, NONE) for label in labels)] += int(sample.value)
    most = max(counts.values(), default=0) or 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Line(names, f"{n:,}", n / most) for names, n in ordered]
