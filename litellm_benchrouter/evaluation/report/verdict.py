"""The verdict in words and numbers: what would I gain, what would I save, can I lose?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.evaluation.report.parts import Document, ours
from litellm_benchrouter.evaluation.report.request import metric_name, unit_of
from litellm_benchrouter.evaluation.report.words import (
    PERCENT,
    count,
    said,
)

GAIN, UNCLEAR, LEVEL, LOSS = "gain", "unclear", "level", "loss"

_FEW_TASKS = 8  # an interval over fewer differences says little
_LEVEL = 1e-9
_SIGNS = {GAIN: "✓", UNCLEAR: "≈", LEVEL: "=", LOSS: "✕"}
_PHRASES = {
    GAIN: "pays",
    LOSS: "loses",
    LEVEL: "keeps to the best single model",
    UNCLEAR: "brings no proven gain or loss of quality",
}


@dataclass(frozen=True)
class Finding:
    """One answer: a number, what it is of, and a sentence.

    Attributes
    ----------
    tone : str
        `gain`, `unclear`, `level` or `loss`.
    figure : str
        The number.
    what : str
        What the number is of, a few words.
    range : str
        How sure it is.
    sentence : str
    where : str
        Where the tone holds, for the headline.
    clause : str
        What else the headline says of it.
    """

    tone: str
    figure: str
    what: str
    range: str
    sentence: str
    where: str = ""
    clause: str = ""

    @property
    def sign(self) -> str:
        """The tone as a sign, so that colour is not all that tells it."""
        return _SIGNS[self.tone]


@dataclass(frozen=True)
class Verdict:
    """The headline, its tone, and the findings behind it."""

    tone: str
    headline: str
    findings: tuple[Finding, ...]

    @property
    def sign(self) -> str:
        """The tone as a sign."""
        return _SIGNS[self.tone]


def verdict(documents: Mapping[str, Document]) -> Verdict:
    """Weigh what the protocols found; those that were not run have no say."""
    findings = [
        finding
        for name, read in (("task", _task), ("request", _request), ("cost", _cost))
        if name in documents
        for finding in read(documents[name])
    ]
    clauses = [
        f"{phrase} {' and '.join(f.where for f in findings if f.tone == tone and f.where)}"
        for tone, phrase in _PHRASES.items()
        if any(f.tone == tone and f.where for f in findings)
    ]
    clauses[1:1] = [f.clause for f in findings if f.clause]
    if not clauses:
        return Verdict(UNCLEAR, "These experiments alone give no verdict.", tuple(findings))
    tones = {f.tone for f in findings if f.where or f.clause}
    tone = next((t for t in (GAIN, LOSS, UNCLEAR) if t in tones), LEVEL)
    if {GAIN, LOSS} <= tones:
        tone = UNCLEAR
    return Verdict(tone, f"Routing {'; it '.join(clauses)}.", tuple(findings))


def _task(document: Document) -> list[Finding]:
    method = ours(document, "s3")
    row = document["methods"].get(method)
    if row is None or row["gain"] is None:
        return []
    tone = LEVEL if row["bma_share"] == 1.0 else tone_of(row["gain_over_tasks_95"])
    bma = document["methods"]["bma"]["accuracy"]
    tasks = document["protocol"]["n_tasks"]
    rough = f" With {count(tasks, 'task')} the interval is rough." if tasks < _FEW_TASKS else ""
    oracle = document["methods"]["oracle"]["gain"]
    half = document["baselines"]["half_split_oracle"]["accuracy"]
    real = f", {PERCENT.bare(half - bma)} of them without luck" if half is not None else ""
    gain = Finding(
        tone,
        f"{PERCENT.difference(row['gain'])} points",
        "accuracy on a new task",
        _range(tone, PERCENT.between(row["gain_over_tasks_95"])),
        f"On a task of which no answers are known, {said(method)} gets "
        f"{PERCENT.value(row['accuracy'])} right and the best single model "
        f"{PERCENT.value(bma)}{_proof(tone)}.{rough} Perfect choices would gain "
        f"{PERCENT.bare(oracle)} points{real}.",
        "on new tasks",
    )
    return [gain, _losses(document, method or "", row)]


def _losses(document: Document, method: str, row: Mapping[str, Any]) -> Finding:
    rows = document["tasks"]
    gains = {r["task"]: _difference(r["method_accuracy"], method) for r in rows}
    lost = [task for task, gain in gains.items() if gain < -_LEVEL]
    won = [task for task, gain in gains.items() if gain > _LEVEL]
    level = len(rows) - len(lost) - len(won)
    figure = f"{len(lost)} of {len(rows)}"
    if not lost:
        return Finding(
            GAIN,
            figure,
            "tasks on which it would lose",
            "on none",
            f"It would not have lost on any task: {len(won)} won, {level} level.",
        )
    worst = min(lost, key=lambda task: gains[task])
    mean = sum(gains[task] for task in lost) / len(lost)
    at_worst = f"{PERCENT.difference(gains[worst])} points on {worst}"
    on_average = f"{PERCENT.difference(mean)} points on average; at worst " if len(lost) > 1 else ""
    return Finding(
        LOSS if len(lost) > len(won) else UNCLEAR,
        figure,
        "tasks on which it would lose",
        f"at worst {PERCENT.difference(gains[worst])} points",
        f"It would lose on {count(len(lost), 'task')} ({on_average}{at_worst}), win on "
        f"{len(won)}, and be level on {level}.",
    )


def _request(document: Document) -> list[Finding]:
    method = ours(document, "s1")
    row = document["methods"].get(method)
    if row is None or row["gain"] is None:
        return []
    unit = unit_of(document["protocol"]["metric"])
    what = metric_name(document["protocol"]["metric"])
    tone = LEVEL if row["bma_share"] == 1.0 else tone_of(row["gain_over_samples_95"])
    bma = document["methods"]["bma"]["mean_score"]
    share = row["task_oracle_share"]
    of_oracle = (
        f" That is {PERCENT.value(share, 0)} of what one perfect choice a task would gain."
        if share is not None and share > 0
        else ""
    )
    return [
        Finding(
            tone,
            f"{unit.difference(row['gain'])} {unit.gain}".rstrip(),
            f"{what} on requests like the benchmark's",
            _range(tone, unit.between(row["gain_over_samples_95"])),
            f"On requests like those in the benchmark, {said(method)} reaches "
            f"{unit.value(row['mean_score'])} and the best single model "
            f"{unit.value(bma)}{_proof(tone)}.{of_oracle}",
            "on requests like those in the benchmark",
        )
    ]


def _cost(document: Document) -> list[Finding]:
    method = ours(document, "s1")
    row = document["methods"].get(method)
    if row is None or row["tuned"]["equal_quality"]["saved"] is None:
        return []
    equal, less = row["tuned"]["equal_quality"], row["tuned"]["quality_95"]
    quality = tone_of(equal["quality_gain_over_samples_95"])
    tone = LOSS if quality == LOSS else tone_of(equal["saved_over_samples_95"])
    low, high = equal["saved_over_samples_95"] or (None, None)
    in_usd = document["cost_basis"]["unit"] == "usd"
    saved = PERCENT.value(equal["saved"], 0)
    of_cost = "of the cost" if in_usd else "of the cost, counted in parameters,"
    return [
        Finding(
            tone,
            saved,
            "cost saved at equal quality" if in_usd else "parameters saved at equal quality",
            "no interval"
            if low is None
            else f"95 % interval {PERCENT.bare(low, 0)} to {PERCENT.value(high, 0)}",
            f"Asked to keep the best single model's quality, {said(method)} "
            f"{_saves(document, equal, quality)} At 95 % of the quality it saves "
            f"{PERCENT.value(less['saved'])}.",
            clause=f"saves {saved} {of_cost} at equal quality" if tone == GAIN else "",
        )
    ]


def _saves(document: Document, tuned: Mapping[str, Any], quality: str) -> str:
    if abs(tuned["saved"]) < _LEVEL:
        return "finds nothing to save."
    unit = unit_of(document["protocol"]["metric"])
    change = f"{unit.difference(tuned['quality_gain'])} {unit.gain}".rstrip()
    what = "cost" if document["cost_basis"]["unit"] == "usd" else "parameters"
    words = {GAIN: "better than", LOSS: "worse than", UNCLEAR: "not provably different from"}
    return (
        f"saves {PERCENT.value(tuned['saved'])} of its {what}; its quality was then "
        f"{words[quality]} that model's ({change})."
    )


def tone_of(bounds: Any) -> str:
    """Judge a 95 % interval of a difference: all above zero, all below, or neither."""
    low, high = bounds or (None, None)
    if low is not None and low > 0:
        return GAIN
    return LOSS if high is not None and high < 0 else UNCLEAR


def _range(tone: str, interval: str) -> str:
    return "keeps to the best single model" if tone == LEVEL else interval


def _proof(tone: str) -> str:
    if tone == LEVEL:
        return ", which it always picks: nothing in the benchmark speaks for leaving it"
    return ", a difference that chance alone may make" if tone == UNCLEAR else ""


def _difference(accuracy: Mapping[str, float | None], method: str) -> float:
    value, bma = accuracy[method], accuracy["bma"]
    return 0.0 if value is None or bma is None else value - bma
