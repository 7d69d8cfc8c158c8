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

GAIN, UNCLEAR, LOSS = "gain", "unclear", "loss"

_FEW_TASKS = 8  # an interval over fewer differences says little
_LEVEL = 1e-9
_PHRASES = {
    GAIN: "routing pays ",
    LOSS: "routing loses ",
    UNCLEAR: "no difference from the best single model is proven ",
}
_SIGNS = {GAIN: "✓", UNCLEAR: "≈", LOSS: "✕"}


@dataclass(frozen=True)
class Finding:
    """One answer: a number, what it is of, and a sentence.

    Attributes
    ----------
    tone : str
        `gain`, `unclear` or `loss`.
    figure : str
        The number.
    what : str
        What the number is of, a few words.
    range : str
        How sure it is.
    sentence : str
    where : str
        Short: on what the finding holds, for the headline.
    """

    tone: str
    figure: str
    what: str
    range: str
    sentence: str
    where: str = ""

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
    findings: list[Finding] = []
    if "task" in documents:
        findings += _task(documents["task"])
    if "request" in documents:
        findings += _request(documents["request"])
    tone, headline = _headline([finding for finding in findings if finding.where])
    if "cost" in documents:
        saved = _cost(documents["cost"])
        findings += saved
        if any(finding.tone == GAIN for finding in saved):
            headline += f" It saves {saved[0].figure} of the cost at equal quality."
    return Verdict(tone, headline, tuple(findings))


def _headline(findings: list[Finding]) -> tuple[str, str]:
    clauses = [
        phrase + " and ".join(finding.where for finding in findings if finding.tone == tone)
        for tone, phrase in _PHRASES.items()
        if any(finding.tone == tone for finding in findings)
    ]
    if not clauses:
        return UNCLEAR, "These experiments alone give no verdict."
    tones = {finding.tone for finding in findings}
    mixed = {GAIN, LOSS} <= tones
    tone = UNCLEAR if mixed else next((t for t in (GAIN, LOSS) if t in tones), UNCLEAR)
    text = "; ".join(clauses)
    return tone, f"{text[0].upper()}{text[1:]}."


def _task(document: Document) -> list[Finding]:
    method = ours(document, "s3")
    row = document["methods"].get(method)
    if row is None or row["gain"] is None:
        return []
    tone = tone_of(row["gain_over_tasks_95"])
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
        PERCENT.between(row["gain_over_tasks_95"]),
        f"On a task of which no answers are known, {said(method)} gets "
        f"{PERCENT.value(row['accuracy'])} right where the best single model gets "
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
            GAIN if won else UNCLEAR,
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
    tone = tone_of(row["gain_over_samples_95"])
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
            unit.between(row["gain_over_samples_95"]),
            f"On requests like those in the benchmark, {said(method)} reaches "
            f"{unit.value(row['mean_score'])} where the best single model reaches "
            f"{unit.value(bma)}{_proof(tone)}.{of_oracle}",
            "on requests like those in the benchmark",
        )
    ]


def _cost(document: Document) -> list[Finding]:
    method = ours(document, "s1")
    row = document["methods"].get(method)
    if row is None or row["tuned"]["equal_quality"]["saved"] is None:
        return []
    unit = unit_of(document["protocol"]["metric"])
    equal, less = row["tuned"]["equal_quality"], row["tuned"]["quality_95"]
    kept = tone_of(equal["quality_gain_over_samples_95"])
    tone = LOSS if kept == LOSS else tone_of(equal["saved_over_samples_95"])
    low, high = equal["saved_over_samples_95"] or (None, None)
    sure = (
        f"95 % interval {PERCENT.bare(low, 0)} to {PERCENT.value(high, 0)}"
        if low is not None
        else "no interval"
    )
    words = {
        GAIN: "better than",
        UNCLEAR: "not provably different from",
        LOSS: "worse than",
    }[kept]
    return [
        Finding(
            tone,
            PERCENT.value(equal["saved"], 0),
            "cost saved at equal quality",
            sure,
            f"Asked to keep the best single model's quality, {said(method)} saves "
            f"{PERCENT.value(equal['saved'])} of its cost; its quality was then {words} that "
            f"model's ({unit.difference(equal['quality_gain'])} {unit.gain}".rstrip()
            + f"). At 95 % of the quality it saves {PERCENT.value(less['saved'])}.",
        )
    ]


def tone_of(bounds: Any) -> str:
    """Judge a 95 % interval of a difference: all above zero, all below, or neither."""
    low, high = bounds or (None, None)
    if low is not None and low > 0:
        return GAIN
    return LOSS if high is not None and high < 0 else UNCLEAR


def _proof(tone: str) -> str:
    return "" if tone != UNCLEAR else ", a difference that chance alone may make"


def _difference(accuracy: Mapping[str, float | None], method: str) -> float:
    value, bma = accuracy[method], accuracy["bma"]
    return 0.0 if value is None or bma is None else value - bma
