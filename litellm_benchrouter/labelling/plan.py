"""What is to be asked, what that will cost, and the limit that it keeps to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from litellm_benchrouter.labelling.journal import Cell, Journal
from litellm_benchrouter.labelling.metrics import Metric, judge_messages
from litellm_benchrouter.labelling.provider import CallOptions, Price, Provider
from litellm_benchrouter.labelling.task import Question

EXPECTED_TOKENS = 300
"""Length of an answer, where none is known yet."""
VERDICT_TOKENS = 60
MARGIN = 1.25
"""Of the tokens asked, for tokenizers that are not the one counted with."""


@dataclass(frozen=True)
class Job:
    """One model on one input: to be asked, or an answer to be graded that is there already.

    Attributes
    ----------
    question : Question
    model : str
    is_answered : bool
    most_usd, judge_most_usd : float
        What the call can cost at the most, 0 where no price is known.
    """

    question: Question
    model: str
    is_answered: bool
    most_usd: float = 0.0
    judge_most_usd: float = 0.0


@dataclass(frozen=True)
class Line:
    """What one model will cost.

    Attributes
    ----------
    model : str
    n_calls : int
    price : Price or None
    expected_usd, most_usd : float or None
        None where no price is known.
    """

    model: str
    n_calls: int
    price: Price | None
    expected_usd: float | None
    most_usd: float | None


@dataclass(frozen=True)
class Plan:
    """All jobs, input by input, so that a run which stops leaves models compared on the same."""

    jobs: Sequence[Job]
    lines: Sequence[Line]

    @property
    def expected_usd(self) -> float:
        """Over the models whose price is known."""
        return sum(line.expected_usd or 0.0 for line in self.lines)

    @property
    def most_usd(self) -> float:
        """Over the models whose price is known, were every answer as long as it may be."""
        return sum(line.most_usd or 0.0 for line in self.lines)

    @property
    def n_calls(self) -> int:
        """How often a model is asked, a judge included."""
        return sum(line.n_calls for line in self.lines)

    @property
    def unpriced(self) -> list[str]:
        """Models to be asked whose price is unknown."""
        return [line.model for line in self.lines if line.n_calls and line.price is None]


def make_plan(
    provider: Provider,
    journal: Journal,
    chosen: Sequence[Question],
    models: Sequence[str],
    metric: Metric,
    judge: str | None,
    options: CallOptions,
    *,
    ask: bool = True,
) -> Plan:
    """Find what is missing, and estimate what it costs.

    Parameters
    ----------
    provider : Provider
    journal : Journal
    chosen : sequence of Question
    models : sequence of str
    metric : Metric
    judge : str or None
        Under which name the provider has the judge.
    options : CallOptions
    ask : bool
        False to grade only what is answered.
    """
    length = _Lengths(journal)
    prices = {model: provider.price(model) for model in models if ask}
    judge_price = provider.price(judge) if judge else None
    jobs = []
    totals = {name: _Total() for name in [*prices, *([judge] if judge else [])]}
    for question in chosen:
        tokens = provider.count_tokens(question.messages)
        frame = (
            provider.count_tokens(judge_messages(question.asked, question.reference, ""))
            if judge
            else 0
        )
        for model in models:
            cell = journal.cells.get((question.key, model), _NOTHING)
            is_answered = cell.answer is not None
            if is_scored(cell, metric) or not (judge if is_answered else ask):
                continue
            expected_tokens = min(length.of(model), options.max_tokens)
            most_usd = judge_usd = 0.0
            if not is_answered:
                most_usd = totals[model].add(
                    prices[model], tokens, expected_tokens, MARGIN * tokens, options.max_tokens
                )
            if judge:
                most_asked = MARGIN * (frame + options.max_tokens)
                judge_usd = totals[judge].add(
                    judge_price,
                    frame + expected_tokens,
                    VERDICT_TOKENS,
                    most_asked,
                    options.max_tokens,
                )
            jobs.append(Job(question, model, is_answered, most_usd, judge_usd))
    lines = [
        Line(name, total.n_calls, price, *total.known(price))
        for name, total in totals.items()
        for price in [judge_price if name == judge else prices[name]]
    ]
    return Plan(jobs, lines)


def is_scored(cell: Cell, metric: Metric) -> bool:
    """Say whether a cell has a score by this metric, or a label that was given."""
    return cell.score is not None and cell.metric in (None, metric.name)


@dataclass
class _Total:
    n_calls: int = 0
    expected_usd: float = 0.0
    most_usd: float = 0.0

    def add(
        self, price: Price | None, asked: float, answered: float, most_asked: float, longest: float
    ) -> float:
        """Count a call; returns what it can cost at the most."""
        self.n_calls += 1
        if price is None:
            return 0.0
        most = price.of(most_asked, longest)
        self.expected_usd += price.of(asked, answered)
        self.most_usd += most
        return most

    def known(self, price: Price | None) -> tuple[float | None, float | None]:
        return (None, None) if price is None else (self.expected_usd, self.most_usd)


_NOTHING = Cell()


class _Lengths:
    """How long answers are: the model's own so far, else all models', else a guess."""

    def __init__(self, journal: Journal) -> None:
        self._of: dict[str, list[int]] = {}
        for (_, model), cell in journal.cells.items():
            if cell.completion_tokens is not None:
                self._of.setdefault(model, []).append(cell.completion_tokens)
        every = [length for lengths in self._of.values() for length in lengths]
        self._usual = fmean(every) if every else float(EXPECTED_TOKENS)

    def of(self, model: str) -> float:
        lengths = self._of.get(model)
        return fmean(lengths) if lengths else self._usual


class Budget:
    """What a run may spend.

    Parameters
    ----------
    limit_usd : float or None

    Attributes
    ----------
    spent_usd : float
    """

    def __init__(self, limit_usd: float | None) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        self._in_flight = 0.0
        self._settled = asyncio.Condition()

    async def reserve(self, most_usd: float) -> bool:
        """Set aside what a call can cost at the most; wait where calls in flight decide it.

        Returns
        -------
        bool
            False if it would go above the limit.
        """
        async with self._settled:
            while self.limit_usd is not None:
                if self.spent_usd + self._in_flight + most_usd <= self.limit_usd:
                    break
                if self.spent_usd + most_usd > self.limit_usd:
                    return False
                await self._settled.wait()
            self._in_flight += most_usd
            return True

    async def settle(self, most_usd: float, cost_usd: float) -> None:
        """Replace what was set aside by what the call did cost."""
        async with self._settled:
            self._in_flight = max(self._in_flight - most_usd, 0.0)
            self.spent_usd += cost_usd
            self._settled.notify_all()
