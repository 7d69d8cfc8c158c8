"""The calls of a run, their cost, and the limit on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean

from litellm_benchrouter.labelling.journal import Cell, Journal
from litellm_benchrouter.labelling.metrics import Metric
from litellm_benchrouter.labelling.models import CallOptions, Price, Provider
from litellm_benchrouter.labelling.task import Question
from litellm_benchrouter.verifiers.judge import judge_messages

EXPECTED_TOKENS = 300
"""Length of an answer, where none is known yet."""
VERDICT_TOKENS = 60
MARGIN = 1.25
"""Of the tokens asked, for tokenizers that are not the one counted with."""


@dataclass(frozen=True)
class Job:
    """One model on one input: to be asked, or an answer to be graded that is there already.

    The most that its calls can cost is 0 where no price is known.
    """

    question: Question
    model: str
    is_answered: bool
    most_usd: float = 0.0
    judge_most_usd: float = 0.0


@dataclass
class Line:
    """The cost of one model; no sums where its price is unknown."""

    model: str
    price: Price | None
    n_calls: int = 0
    expected_usd: float | None = None
    most_usd: float | None = None

    def __post_init__(self) -> None:
        if self.price is not None:
            self.expected_usd = self.most_usd = 0.0

    def add(self, asked: float, answered: float, most_asked: float, longest: float) -> float:
        """Count a call of so many tokens; return what it can cost at the most."""
        self.n_calls += 1
        if self.price is None:
            return 0.0
        most = self.price.of(most_asked, longest)
        self.expected_usd = (self.expected_usd or 0.0) + self.price.of(asked, answered)
        self.most_usd = (self.most_usd or 0.0) + most
        return most


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
        """The number of calls, those to a judge included."""
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
    skip: Collection[tuple[str, str]] = (),
) -> Plan:
    """Find what is missing, and estimate what it costs.

    `judge` is the provider's name of the judge; without `ask` only what is answered is graded.
    Nothing is asked for the cells to `skip`.
    """
    length_of = _answer_lengths(journal)
    lines = {model: Line(model, provider.price(model)) for model in models if ask}
    if judge:
        lines[judge] = Line(judge, provider.price(judge))
    jobs = []
    for question in chosen:
        tokens = provider.count_tokens(question.messages)
        frame = 0
        if judge:
            frame = provider.count_tokens(
                judge_messages(question.asked, question.reference, "", metric.rubric)
            )
        for model in models:
            cell = journal.cells.get((question.key, model), _NOTHING)
            is_answered = cell.answer is not None
            if not is_answered and (question.key, model) in skip:
                continue
            if is_scored(cell, metric) or not (judge if is_answered else ask):
                continue
            longest = options.max_tokens
            expected = min(length_of(model), longest)
            most_usd = judge_usd = 0.0
            if not is_answered:
                most_usd = lines[model].add(tokens, expected, MARGIN * tokens, longest)
            if judge:
                most_asked = MARGIN * (frame + longest)
                judge_usd = lines[judge].add(frame + expected, VERDICT_TOKENS, most_asked, longest)
            jobs.append(Job(question, model, is_answered, most_usd, judge_usd))
    return Plan(jobs, list(lines.values()))


def is_scored(cell: Cell, metric: Metric) -> bool:
    """Say whether a cell has a score by this metric, or a label that was given."""
    return cell.score is not None and cell.metric in (None, metric.name)


_NOTHING = Cell()


def _answer_lengths(journal: Journal) -> Callable[[str], float]:
    """Return how long a model's answers are: its own so far, else all models', else a guess."""
    of_model: dict[str, list[int]] = {}
    for (_, model), cell in journal.cells.items():
        if cell.completion_tokens is not None:
            of_model.setdefault(model, []).append(cell.completion_tokens)
    every = [length for lengths in of_model.values() for length in lengths]
    usual = fmean(every) if every else float(EXPECTED_TOKENS)
    means = {model: fmean(lengths) for model, lengths in of_model.items()}
    return lambda model: means.get(model, usual)


class Budget:
    """The money of a run."""

    def __init__(self, limit_usd: float | None) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        self._in_flight = 0.0
        self._settled = asyncio.Condition()

    async def reserve(self, most_usd: float) -> bool:
        """Set aside what a call can cost at the most; False where that would go above the limit.

        Waits where calls in flight decide it.
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
