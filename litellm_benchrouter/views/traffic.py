"""Own traffic in words and tables, from the document of `traffic.figures.describe`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from litellm_benchrouter.views import PERCENT, UNKNOWN, Table, count, is_number, number

_LONGEST = 80  # characters of an example
_LIKELY = 0.05  # p-value below which traffic is said to have changed

Document = Mapping[str, Any]


def masked(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document with the lengths of its examples in place of their texts."""
    clusters = [
        cluster | {"examples": [{"characters": len(text)} for text in cluster["examples"]]}
        for cluster in document.get("clusters", ())
    ]
    return document | {"clusters": clusters} if clusters else document


def facts(document: Document) -> Iterator[tuple[str, str]]:
    """Say what there is, and how near the benchmark it is."""
    amount, near = document["amount"], document["benchmark"]
    different = f", {amount['different']:,} different" if amount["prompts"] else ""
    yield "Prompts", f"{amount['prompts']:,}{different}{_span(amount['first'], amount['last'])}"
    if not amount["prompts"]:
        return
    yield "Callers", f"{count(amount['keys'], 'key')}, {count(amount['users'], 'user')}"
    if is_number(amount["cost_usd"]):
        yield "Cost", f"${amount['cost_usd']:,.4f}"
    if near is None:
        yield "Benchmark", "no version is published, or no prompt has a vector; nothing is compared"
        return
    if document["without_vector"]:
        yield "Left out below", f"{count(document['without_vector'], 'prompt')} without a vector"
    if near["far"] is not None:
        yield (
            "Far from the benchmark",
            f"{PERCENT.value(near['far_share'])}, where {100 - near['far_percentile']} % of its "
            f"own samples are; the median prompt is at its percentile {near['percentile']:.0f}",
        )
    routing = document["routing"]
    yield "Routed by", ", ".join(f"{name} {n:,}" for name, n in routing["methods"].items())
    yield "To the best on average", f"{PERCENT.value(routing['bma_share'])}, {routing['bma']}"
    yield "Drift", _drift(document["drift"])
    if document["alarm"] is not None:
        yield "Unlike the labelled prompts", _alarm(document["alarm"])


def feedback_facts(feedback: Document | None) -> Iterator[tuple[str, str]]:
    """Say how many answers were scored and how well, and what the alarms say."""
    if feedback is None:
        return
    scored = f"{feedback['scores']:,} of {count(feedback['calls'], 'answered call')} scored"
    mean = f", mean {feedback['mean']:.2f}" if is_number(feedback["mean"]) else ""
    explored = f"; {feedback['explored']:,} of them explored" if feedback["explored"] else ""
    yield "Feedback", f"{scored}{mean}{explored}"
    alarms = feedback["alarms"] or {}
    if alarms.get("similarity") is not None:
        yield "Calls unlike the labelled prompts", _alarm(alarms["similarity"])
    if alarms.get("success") is not None:
        yield "Answers worse than predicted", _alarm(alarms["success"])


def _alarm(alarm: Document) -> str:
    last = f", the last at {_moment(alarm['time'])} UTC" if alarm["alarms"] else ""
    return (
        f"{count(alarm['alarms'], 'alarm')}{last}; the sum is {alarm['sum']:.1f} of "
        f"{alarm['threshold']:g}"
    )


def tables(document: Document) -> Iterator[Table]:
    """Tabulate answers and picks, distances, clusters, and the two halves."""
    amount, near = document["amount"], document["benchmark"]
    picks = {} if near is None else document["routing"]["picks"]
    models = sorted(
        {*amount["answered_by"], *picks},
        key=lambda model: (-picks.get(model, 0), -amount["answered_by"].get(model, 0), model),
    )
    if models:
        rows = [
            [model, f"{amount['answered_by'].get(model, 0):,}", f"{picks.get(model, 0):,}"]
            for model in models
        ]
        yield Table("Who answered, and who would now", ("Model", "Answered", "Picked now"), rows)
    if near is None:
        return
    rows = [["own traffic", *map(number, near["distance"].values())]]
    if near["own"] is not None:
        rows.append(["the benchmark's samples", *map(number, near["own"].values())])
    quantiles = ("Mean cosine distance of", "10 % below", "Median", "90 % below")
    yield Table("How near the benchmark", quantiles, rows)
    rows = [
        [
            _example(cluster["examples"][0]),
            cluster["pick"],
            f"{cluster['prompts']:,}",
            PERCENT.bare(cluster["share"], 0),
            number(cluster["distance"]),
            PERCENT.bare(cluster["far_share"], 0),
            PERCENT.bare(cluster["pick_share"], 0),
        ]
        for cluster in document["clusters"]
    ]
    kinds = ("Example", "Picked most", "Prompts", "%", "Distance", "Far %", "Picked %")
    yield Table("Kinds of prompts", kinds, rows, n_text=2)
    if document["drift"] is not None:
        halves = [(name, document["drift"][name]) for name in ("older", "newer")]
        rows = [
            [
                name,
                f"{_moment(half['from'])} to {_moment(half['to'])}",
                f"{half['prompts']:,}",
                number(half["distance"]),
                PERCENT.bare(half["far_share"], 1),
            ]
            for name, half in halves
        ]
        columns = ("Half", "From, to (UTC)", "Prompts", "Median distance", "Far %")
        yield Table("Older and newer", columns, rows, n_text=2)


def _example(example: Any) -> str:
    if isinstance(example, Mapping):
        return f"••• ({count(example['characters'], 'character')})"
    text = " ".join(str(example).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _drift(drift: Document | None) -> str:
    if drift is None:
        return "too few prompts with a time to tell"
    p = drift["p_value"]
    said = "the newer half differs from the older" if p < _LIKELY else "none to be seen"
    return f"{said} (p = {p:.3f})"


def _span(first: Any, last: Any) -> str:
    if not is_number(first):
        return ""
    return f", from {_moment(first)} to {_moment(last)} UTC"


def _moment(seconds: Any) -> str:
    if not is_number(seconds):
        return UNKNOWN
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
