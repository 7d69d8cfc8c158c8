"""Prompts of own traffic as rows of one form, from wherever the configuration says.

LiteLLM's spend logs in PostgreSQL, what its loggers write (StandardLoggingPayload), JSONL of
prompts or request bodies, and what our own collector keeps. Only what a person asks anew is read.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from litellm_benchrouter.config import BLOCK, BenchRouterConfig, TrafficConfig, is_url
from litellm_benchrouter.config.traffic import SPEND_LOGS
from litellm_benchrouter.conversation.ask import ask_to_route_on
from litellm_benchrouter.conversation.text import TEXT_CALLS, turns_of
from litellm_benchrouter.errors import BenchRouterError, ConfigError, SourceError
from litellm_benchrouter.sources.frames import files_like
from litellm_benchrouter.sources.json_files import Fault, parse_json
from litellm_benchrouter.store.remote import Remote
from litellm_benchrouter.traffic.collect import user_hash, vector_of
from litellm_benchrouter.traffic.feedback import FeedbackStore
from litellm_benchrouter.traffic.parts import PromptStore
from litellm_benchrouter.traffic.spend_logs import SpendLogs

logger = logging.getLogger("litellm_benchrouter")

SCHEMA = {
    "text": pl.String,  # what is routed on
    "vector": pl.Binary,  # little-endian float16; null where none was computed
    "embedder": pl.String,  # fingerprint of what made the vector
    "model": pl.String,  # who answered: of the benchmark, where that is known
    "cost_usd": pl.Float64,
    "latency_s": pl.Float64,
    "outcome": pl.String,  # as `Call.outcome`, or `answered` where that is not known, or `failed`
    "key": pl.String,  # LiteLLM's hash of the caller's key
    "user": pl.String,  # `user_hash` of the key's user
    "end_user": pl.String,  # ... and of the one that the request names
    "time": pl.Float64,  # seconds since 1970
}
"""Columns of prompts; null is not known."""
REFERENCE = {"reference": pl.String}
"""Right answers, as JSON, where files have them or callers gave them as feedback."""

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz")
_READERS = 4
_MOST_GIVEN = 20_000  # references, the newest
_REDACTED = re.compile(r"\s*redacted-by-litellm|\s*\Z", re.IGNORECASE)
_CUT = re.compile(r"\.\.\. \(litellm_truncated skipped \d+ chars\..{0,600}?\) \.\.\.")

Fields = Mapping[str, Any]


def read_prompts(config: BenchRouterConfig, *, references: bool = False) -> pl.DataFrame:
    """Read the newest prompts of own traffic, the oldest first.

    Returns
    -------
    DataFrame
        Of `SCHEMA`, and `REFERENCE` where it is asked for; at most `traffic.most` rows.

    Raises
    ------
    ConfigError
        If the configuration names no place.
    SourceError, StoreUnavailableError, TrafficError
        If prompts cannot be read.
    """
    traffic = config.traffic or TrafficConfig()
    rows = islice(
        (row for row in _rows(config, traffic, references) if not _REDACTED.match(row["text"])),
        traffic.most,
    )
    # UTF-8 cannot hold half a surrogate pair, which JSON can.
    clean = [row | {"text": row["text"].encode("utf-8", "replace").decode()} for row in rows]
    frame = pl.DataFrame(clean, schema={**SCHEMA, **(REFERENCE if references else {})})
    return frame.reverse().sort("time", nulls_last=False, maintain_order=True)


def origin_of(config: BenchRouterConfig) -> str:
    """Return where prompts are read; raise ConfigError where the configuration names no place."""
    traffic = config.traffic or TrafficConfig()
    if traffic.origin is not None:
        return traffic.origin
    if traffic.collect is None:
        raise ConfigError(
            f"`{BLOCK}.traffic` names no prompts. Set `from: {SPEND_LOGS}`, a path or a URL, or "
            f"`collect: {{}}` to let the proxy keep some."
        )
    return traffic.collect.to


def _given_references(config: BenchRouterConfig) -> dict[tuple[str, str], str]:
    """Return the right answers that callers gave as feedback, by call and key."""
    try:
        store = FeedbackStore.of(config)
        if store is None:
            return {}
        rows = store.latest(_MOST_GIVEN, ("call_id", "key", "reference"), "reference")
        return {(call_id, key): reference for call_id, key, reference in rows}
    except BenchRouterError as error:
        logger.warning("Right answers that were given as feedback are left out: %s", error)
        return {}


def _rows(
    config: BenchRouterConfig, traffic: TrafficConfig, references: bool
) -> Iterator[dict[str, Any]]:
    """Yield prompts, the newest first as far as their place tells."""
    origin, collect = origin_of(config), traffic.collect
    choice = config.serving.ask

    def model_of(name: object) -> str | None:
        return config.aliases.get(str(name), str(name)) if name else None

    if origin == SPEND_LOGS:
        for fields in SpendLogs.of(config).rows():
            yield from _of_payload(fields, choice, model_of)
    elif collect is not None and origin == collect.to:
        given = _given_references(config) if references else {}
        try:
            for fields in PromptStore(collect, config.storage_options).rows():
                whose = (str(fields.get("call_id")), str(fields.get("key") or ""))
                yield _of_store({"reference": given.get(whose), **fields})
        except OSError as error:
            raise SourceError(f"{origin}: prompts cannot be read ({error.strerror}).") from error
    else:
        for fields in _documents(origin, config.storage_options):
            if "text" in fields and "time" in fields:
                yield _of_store(fields)
            elif "call_type" in fields:
                yield from _of_payload(fields, choice, model_of)
            else:
                yield from _of_body(fields, choice, model_of)


def _of_store(fields: Fields) -> dict[str, Any]:
    """Return a row as the collector wrote it."""
    row = {name: _typed(fields.get(name), kind) for name, kind in SCHEMA.items()}
    return row | {"text": str(fields.get("text") or ""), "vector": vector_of(fields),
                  "time": seconds_of(row["time"]),
                  "reference": _json(fields.get("reference"))}  # fmt: skip


def _of_payload(
    fields: Fields, choice: str, model_of: Callable[[object], str | None]
) -> Iterator[dict[str, Any]]:
    """Yield the row of a StandardLoggingPayload or of a spend log, if a person asks anew in it."""
    if str(fields.get("call_type")) not in TEXT_CALLS:
        return
    body = _mapping(fields.get("proxy_server_request")) or {
        **_mapping(fields.get("model_parameters")),
        "messages": fields.get("messages"),
    }
    text = _ask(body, choice)
    if text is None:
        return
    metadata = _mapping(fields.get("metadata"))
    ours = _mapping(_mapping(metadata.get("spend_logs_metadata")).get(BLOCK))
    start, end = seconds_of(fields.get("startTime")), seconds_of(fields.get("endTime"))
    is_failure = fields.get("status") == "failure"
    yield {
        "text": text,
        "model": _text(ours.get("model"))
        or model_of(fields.get("model_group") or fields.get("model")),
        "cost_usd": _typed(fields.get("response_cost", fields.get("spend")), pl.Float64),
        "latency_s": None if start is None or end is None else max(end - start, 0.0),
        "outcome": "failed" if is_failure else "answered",
        "key": _text(metadata.get("user_api_key_hash") or fields.get("api_key")),
        "user": user_hash(_text(metadata.get("user_api_key_user_id") or fields.get("user"))),
        "end_user": user_hash(_text(fields.get("end_user"))),
        "time": start,
    }


def _of_body(
    fields: Fields, choice: str, model_of: Callable[[object], str | None]
) -> Iterator[dict[str, Any]]:
    """Yield the row of a prompt or a request body, if a person asks anew in it."""
    text = _ask(fields, choice)
    if text is not None:
        yield {"text": text, "model": model_of(fields.get("model")),
               "time": seconds_of(fields.get("time")),
               "reference": _json(fields.get("reference"))}  # fmt: skip


def _ask(body: Fields, choice: str) -> str | None:
    """Return the text that a request would be routed on; None where nothing new is asked."""
    request = {"proxy_server_request": None, **body}
    ask = ask_to_route_on(turns_of(request), request, choice)
    return _CUT.sub("\n", ask.text or "") if ask.kind == "ask" else None


def _documents(origin: str, options: Mapping[str, Any]) -> Iterator[Fields]:
    """Yield the objects of files, the last file and the last object first."""
    names, read = _remote(origin, options) if is_url(origin) else _local(origin)
    if not names:
        raise ConfigError(f"{BLOCK}.traffic.from: no JSON is in {origin}. Name files, or a folder.")
    names = sorted(names, reverse=True)
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(names), 16 * _READERS):  # or all are read before the first
            block = names[start : start + 16 * _READERS]
            for name, content in zip(block, pool.map(read, block), strict=True):
                yield from reversed(_objects(content or b"", name))


def _local(origin: str) -> tuple[list[str], Callable[[str], bytes | None]]:
    path = Path(origin)
    if path.is_dir():
        names = [str(file) for file in path.rglob("*") if file.name.endswith(_SUFFIXES)]
    else:
        names = [str(file) for file in ([path] if path.is_file() else files_like(path))]

    def read(name: str) -> bytes:
        try:
            return Path(name).read_bytes()
        except OSError as error:
            raise SourceError(f"{name}: it cannot be read ({error.strerror}).") from error

    return names, read


def _remote(
    origin: str, options: Mapping[str, Any]
) -> tuple[list[str], Callable[[str], bytes | None]]:
    """List the objects under a URL, or behind a pattern at its end."""
    fixed = re.split(r"[*?\[]", origin, maxsplit=1)[0]
    folder = origin if fixed == origin else fixed.rpartition("/")[0]
    pattern = origin[len(folder) + 1 :] or "*"
    if origin.endswith(_SUFFIXES) and fixed == origin:
        folder, _, pattern = origin.rpartition("/")
    remote = Remote(folder, options)
    names = [name for name in remote.names("") if fnmatchcase(name, pattern)]
    return [name for name in names if name.endswith(_SUFFIXES)], remote.read


def _objects(content: bytes, name: str) -> list[Fields]:
    """Return the objects of a JSON document, a list of them, or lines; a cut last line is none."""
    if name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(
                f"{name}: it cannot be unpacked ({error}). Give a whole .gz file, or remove it."
            ) from error
    try:
        document = parse_json(content)
        items = document if isinstance(document, list) else [document]
    except Fault:
        items = []
        for line in content.splitlines():
            with suppress(Fault):
                items.append(parse_json(line) if line.strip() else None)
        if content.strip() and not any(items):
            raise SourceError(f"{name}: no line of it is JSON. Give JSONL, or JSON.") from None
    texts = ({"prompt": item} if isinstance(item, str) else item for item in items)
    return [item for item in texts if isinstance(item, dict)]


def seconds_of(value: object) -> float | None:
    """Return a time in seconds since 1970, from a number, a text or a moment without a zone.

    None where it is none of the calendar's, as of milliseconds.
    """
    with suppress(TypeError, ValueError, OverflowError, OSError):
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        seconds = float(value)  # type: ignore[arg-type]
        datetime.fromtimestamp(seconds, UTC)
        return seconds
    return None


def _json(reference: object) -> str | None:
    return None if reference in (None, "", [], {}) else json.dumps(reference)


def _typed(value: object, kind: object) -> Any:
    """Return a value if it is of a column's kind, else None."""
    if kind == pl.Float64:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        with suppress(OverflowError):
            return float(value) if is_number else None  # type: ignore[arg-type]
        return None
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _mapping(value: object) -> Fields:
    return value if isinstance(value, dict) else {}
