"""How the report calls things and writes numbers: once, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

UNKNOWN = "–"

NAMES = {
    "default": "Default router",
    "s1": "S1",
    "s1_prior": "S1 with a prior",
    "s2": "S2",
    "s3": "S3",
    "s3_atc": "S3 with ATC",
    "s3_true_p": "S3, true p",
    "raw": "Labels alone",
    "beta20": "Labels and averages",
    "ll": "LL",
    "bma": "BMA",
    "oracle": "Oracle",
    "half_split_oracle": "Half-split oracle",
    "fixed_best_in_hindsight": "Best in hindsight",
    "random": "Random model",
    "zero_router": "Zero router",
    "reference": "Best of the whole pool",
    "best_per_task": "Best per known task",
    "task_oracle": "Task oracle",
    "half_split_task_oracle": "Half-split task oracle",
}

GLOSSARY = {
    "default": "What the proxy does unless told otherwise: it leaves BMA only where the benchmark "
    "itself shows that this pays.",
    "s1": "Takes the model that answered the most similar questions of the benchmark best "
    "(equation 1 of the paper).",
    "s1_prior": "S1 over more questions, drawn towards each model's average.",
    "s2": "Like S1, but counts each prediction as simply right or wrong (equation 2).",
    "s3": "Like S2, but trusts the predictions only as far as they were right on tasks that lay "
    "equally far away, and leaves BMA only when it is confident (equations 5 and 6).",
    "s3_atc": "S3 with another estimate of that trust, from the predictors' own confidence.",
    "s3_true_p": "S3 if it knew how often its predictions are right. It needs the answers, so it "
    "only shows what a better estimate could win.",
    "raw": "Takes the model that is best on the labelled questions.",
    "beta20": "The same, drawn towards each model's average, which counts as 20 labels.",
    "ll": "Takes the model that is surest of its own answer (log-likelihood). It has to ask every "
    "model first.",
    "bma": "Best model on average: the one model that did best on everything else. This is what "
    "you would use without a router.",
    "oracle": "Knows the answers and picks the best model of all. No router can beat it, and part "
    "of its lead is luck.",
    "half_split_oracle": "Picks on half of the answers and is measured on the other half: the "
    "oracle without its luck.",
    "best_per_task": "Is told which task a question is of, and takes the model that did best on "
    "that task before.",
    "task_oracle": "Knows the answers and picks one model a task.",
    "half_split_task_oracle": "The task oracle without its luck.",
    "fixed_best_in_hindsight": "The one model that turned out best in the end.",
    "random": "A model picked blindly.",
    "zero_router": "No router: a coin tossed between single models, at whatever share gives the "
    "wanted cost.",
}

NEEDS_ANSWERS = frozenset(
    {
        "s3_true_p",
        "oracle",
        "half_split_oracle",
        "task_oracle",
        "half_split_task_oracle",
        "fixed_best_in_hindsight",
    }
)
"""Methods that look at the answers of what they are measured on: for comparison only."""


@dataclass(frozen=True)
class Unit:
    """How a metric's values are written.

    Attributes
    ----------
    scale : float
    suffix : str
        After a value.
    gain : str
        After a difference of values.
    digits : int
    """

    scale: float
    suffix: str
    gain: str
    digits: int

    def value(self, value: float | None, digits: int | None = None) -> str:
        """Write a value with its unit."""
        return UNKNOWN if value is None else self.bare(value, digits) + self.suffix

    def bare(self, value: float | None, digits: int | None = None) -> str:
        """Write a value for a column that names the unit."""
        digits = self.digits if digits is None else digits
        return UNKNOWN if value is None else number(value * self.scale, digits)

    def difference(self, value: float | None, digits: int | None = None) -> str:
        """Write a difference with its sign, without the unit."""
        digits = self.digits if digits is None else digits
        return UNKNOWN if value is None else signed(value * self.scale, digits)

    def interval(self, bounds: Iterable[float | None] | None, digits: int | None = None) -> str:
        """Write a 95 % interval of a difference."""
        low, high = bounds or (None, None)
        if low is None or high is None:
            return UNKNOWN
        return f"[{self.difference(low, digits)}, {self.difference(high, digits)}]"

    def between(self, bounds: Iterable[float | None] | None) -> str:
        """Write a 95 % interval of a difference for a sentence."""
        low, high = bounds or (None, None)
        if low is None or high is None:
            return "no interval"
        return f"95 % interval {self.difference(low)} to {self.difference(high)}"


PERCENT = Unit(100.0, " %", "points", 1)
RAW = Unit(1.0, "", "", 3)


def name_of(method: str) -> str:
    """Return how a method is called; a model or a ranker keeps its own name."""
    return NAMES.get(method, method)


def said(method: str | None) -> str:
    """Return how a sentence calls a method."""
    return "the default router" if method == "default" else name_of(method or "")


def ordered(methods: Iterable[str]) -> list[str]:
    """Sort methods as the glossary does; models and rankers keep their order after them."""
    names = list(NAMES)
    return sorted(methods, key=lambda name: names.index(name) if name in NAMES else len(names))


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with a true minus sign, a dash where it is not known, never "-0.0"."""
    if value is None:
        return UNKNOWN
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def signed(value: float, digits: int = 1) -> str:
    """Write a number with its sign, zero without."""
    text = number(value, digits)
    positive = not text.startswith("−") and any(digit in text for digit in "123456789")
    return f"+{text}" if positive else text


def count(n: int, one: str, many: str | None = None) -> str:
    """Write "1 task" or "5,000 tasks"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(words: Iterable[str]) -> str:
    """Join words as a sentence does."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def tight(sentence: str) -> str:
    """Keep a number and its percent sign on one line."""
    return sentence.replace(" %", "\u00a0%")
