"""The verdict of `benchrouter evaluate` in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litellm_benchrouter.views import (
    GAIN,
    LEVEL,
    LOSS,
    PERCENT,
    SIGNS,
    UNCLEAR,
    count,
)
from litellm_benchrouter.views.protocols import (
    Document,
    best_single,
    in_a_sentence,
    in_usd,
    metric_of,
    models_of,
    ours,
    pool,
)

_FEW_TASKS = 8  # an interval over fewer differences says little
_TINY = 1e-9
_PHRASES = {
    GAIN: "pays",
    LOSS: "loses",
    LEVEL: "keeps to the best single model",
    UNCLEAR: "brings no proven gain or loss of quality",
}


@dataclass(frozen=True)
class Tile:
    """One answer of the verdict."""

    tone: str  # `gain`, `unclear`, `level` or `loss`
    figure: str  # the number
    what: str  # what the number is of, in a few words
    range: str  # how sure it is
    sentence: str
    pool: str  # the models, tasks and questions that it was measured on
    where: str = ""  # where the tone holds, for the headline
    clause: str = ""  # a further clause for the headline

    @property
    def sign(self) -> str:
        """The tone as a sign."""
        return SIGNS[self.tone]


@dataclass(frozen=True)
class Summary:
    """The headline of an evaluation, its tone, and the tiles behind it."""

    tone: str
    headline: str
    tiles: tuple[Tile, ...]

    @property
    def sign(self) -> str:
        """The tone as a sign."""
        return SIGNS[self.tone]


def summarise(documents: Mapping[str, Document]) -> Summary:
    """Weigh what the protocols found; those that were not run have no say."""
    makers = {"task": _task_tiles, "request": _request_tiles, "cost": _cost_tiles}
    tiles = tuple(
        tile for name, make in makers.items() if name in documents for tile in make(documents[name])
    )
    clauses = [
        f"{phrase} {' and '.join(tile.where for tile in tiles if tile.tone == tone and tile.where)}"
        for tone, phrase in _PHRASES.items()
        if any(tile.tone == tone and tile.where for tile in tiles)
    ]
    clauses[1:1] = [tile.clause for tile in tiles if tile.clause]
    if not clauses:
        return Summary(UNCLEAR, "These experiments alone give no verdict.", tiles)
    tones = {tile.tone for tile in tiles if tile.where or tile.clause}
    tone = next((t for t in (GAIN, LOSS, UNCLEAR) if t in tones), LEVEL)
    tone = UNCLEAR if {GAIN, LOSS} <= tones else tone
    return Summary(tone, f"Routing {'; it '.join(clauses)}.", tiles)


def tone_of(bounds: Any) -> str:
    """Judge a 95 % interval of a difference: all above zero, all below, or neither."""
    low, high = bounds or (None, None)
    if low is not None and low > 0:
        return GAIN
    return LOSS if high is not None and high < 0 else UNCLEAR


def _task_tiles(document: Document) -> list[Tile]:
    method = ours(document) or ""
    row = document["methods"].get(method)
    if row is None or row["gain"] is None:
        return []
    tone = LEVEL if row["bma_share"] == 1.0 else tone_of(row["gain_over_tasks_95"])
    bma = document["methods"]["bma"]["accuracy"]
    tasks = document["protocol"]["n_tasks"]
    rough = f" With {count(tasks, 'task')} the interval is rough." if tasks < _FEW_TASKS else ""
    oracle = document["methods"]["oracle"]["gain"]
    half = document["baselines"]["half_split_oracle"]["accuracy"]
    real = ""
    if half is not None:
        real = ", all of it by luck"
        if half > bma:
            real = f", {PERCENT.bare(half - bma)} of them without luck"
    tile = Tile(
        tone,
        PERCENT.change(row["gain"]),
        "accuracy on a new task",
        _range(tone, PERCENT.between(row["gain_over_tasks_95"])),
        f"On a task of which no answers are known, {in_a_sentence(method)} gets "
        f"{PERCENT.value(row['accuracy'])} right and {best_single(document)} "
        f"{PERCENT.value(bma)}{_proof(tone)}.{rough} Perfect choices would gain "
        f"{PERCENT.bare(oracle)} points{real}.",
        pool(document),
        "on new tasks",
    )
    return [tile, _losses(document, method)]


def _losses(document: Document, method: str) -> Tile:
    gains = {row["task"]: task_gain(row, method) for row in document["tasks"]}
    lost = [task for task, gain in gains.items() if gain < -_TINY]
    won = sum(gain > _TINY for gain in gains.values())
    level = len(gains) - len(lost) - won
    figure, what = f"{len(lost)} of {len(gains)}", "tasks on which it would lose"
    if not lost:
        sentence = f"It would not have lost on any task: {won} won, {level} level."
        return Tile(GAIN, figure, what, "on none", sentence, pool(document))
    worst = min(lost, key=lambda task: gains[task])
    mean = sum(gains[task] for task in lost) / len(lost)
    on_average = f"{PERCENT.change(mean)} on average; at worst " if len(lost) > 1 else ""
    return Tile(
        LOSS if len(lost) > won else UNCLEAR,
        figure,
        what,
        f"at worst {PERCENT.change(gains[worst])}",
        f"It would lose on {count(len(lost), 'task')} ({on_average}{PERCENT.change(gains[worst])} "
        f"on {worst}), win on {won}, and be level on {level}.",
        pool(document),
    )


def task_gain(row: Mapping[str, Any], method: str) -> float:
    """Return what a method gains over BMA on a held-out task; 0 where either is not known."""
    value, bma = row["method_accuracy"][method], row["method_accuracy"]["bma"]
    return 0.0 if value is None or bma is None else value - bma


def _request_tiles(document: Document) -> list[Tile]:
    method = ours(document) or ""
    row = document["methods"].get(method)
    if row is None or row["gain"] is None:
        return []
    _, what, unit = metric_of(document)
    tone = LEVEL if row["bma_share"] == 1.0 else tone_of(row["gain_over_samples_95"])
    share = row["task_oracle_share"]
    of_oracle = (
        f" That is {PERCENT.value(share, 0)} of what one perfect choice a task would gain."
        if share is not None and share > 0
        else ""
    )
    return [
        Tile(
            tone,
            unit.change(row["gain"]),
            f"{what} on requests like the benchmark's",
            _range(tone, unit.between(row["gain_over_samples_95"])),
            f"On requests like those in the benchmark, {in_a_sentence(method)} reaches "
            f"{unit.value(row['mean_score'])} and {best_single(document)} "
            f"{unit.value(document['methods']['bma']['mean_score'])}{_proof(tone)}.{of_oracle}",
            pool(document),
            "on requests like those in the benchmark",
        )
    ]


def _cost_tiles(document: Document) -> list[Tile]:
    method = ours(document) or ""
    row = document["methods"].get(method)
    if row is None or row["tuned"]["equal_quality"]["saved"] is None:
        return []
    equal, less = row["tuned"]["equal_quality"], row["tuned"]["quality_95"]
    quality = tone_of(equal["quality_gain_over_samples_95"])
    tone = LOSS if quality == LOSS else tone_of(equal["saved_over_samples_95"])
    low, high = equal["saved_over_samples_95"] or (None, None)
    saved, usd = PERCENT.value(equal["saved"], 0), in_usd(document)
    of_cost = "of the cost" if usd else "of the cost, counted in parameters,"
    left_out = document["cost_basis"].get("left_out")
    among = f" among the {models_of(document)} whose cost is known" if left_out else ""
    what = "cost" if usd else "parameters"
    words = {GAIN: "better than", LOSS: "worse than", UNCLEAR: "not provably different from"}
    result = (
        "finds nothing to save"
        if abs(equal["saved"]) < _TINY
        else f"saves {PERCENT.value(equal['saved'])} of its {what}; its quality was then "
        f"{words[quality]} that model's ({metric_of(document)[2].change(equal['quality_gain'])})"
    )
    return [
        Tile(
            tone,
            saved,
            f"{what} saved at equal quality",
            "no interval"
            if low is None
            else f"95 % interval {PERCENT.bare(low, 0)} to {PERCENT.value(high, 0)}",
            f"Asked to keep the quality of {best_single(document)}{among}, {in_a_sentence(method)} "
            f"{result}. At 95 % of the quality it saves {PERCENT.value(less['saved'])}.",
            pool(document) + (" (those whose cost is known)" if left_out else ""),
            clause=f"saves {saved} {of_cost} at equal quality{among}" if tone == GAIN else "",
        )
    ]


def _range(tone: str, interval: str) -> str:
    return "keeps to the best single model" if tone == LEVEL else interval


def _proof(tone: str) -> str:
    if tone == LEVEL:
        return ", which it always picks: nothing in the benchmark speaks for leaving it"
    return ", a difference that chance alone may make" if tone == UNCLEAR else ""
