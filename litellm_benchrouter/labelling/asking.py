"""Jobs done concurrently: each answer is on the disk before it is looked at."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from litellm_benchrouter.labelling.journal import ANSWER, FAILURE, SCORE, Journal
from litellm_benchrouter.labelling.metrics import Metric
from litellm_benchrouter.labelling.models import CallOptions, Provider, Reply
from litellm_benchrouter.labelling.plan import Budget, Job
from litellm_benchrouter.labelling.task import Question
from litellm_benchrouter.upstream import CallError
from litellm_benchrouter.verifiers.judge import judge_messages, read_verdict

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
GIVE_UP_AFTER = 3
"""Inputs in a row that a model fails, after all retries, before it is asked no more."""
LIMIT, INTERRUPTED, JUDGE = "limit", "interrupted", "judge"


class Asking:
    """One run over the jobs.

    Counts are by model, `spent` in USD with the judge's under its own name. `given_up` says why a
    model is asked no more, `cut` counts answers that ended at --max-tokens, and `stopped` says why
    the run ended early: "limit", "interrupted" or "judge".
    """

    def __init__(
        self,
        provider: Provider,
        journal: Journal,
        metric: Metric,
        judge: str | None,
        options: CallOptions,
        budget: Budget,
        *,
        retries: int,
        given_up: dict[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.provider, self.journal, self.options = provider, journal, options
        self.metric, self.judge, self.budget, self.retries = metric, judge, budget, retries
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.spent: dict[str, float] = {}
        self.given_up: dict[str, str] = dict(given_up or {})
        self.stopped: str | None = None
        self.n_jobs = 0
        self._stop = asyncio.Event()
        self._in_a_row: Counter[str] = Counter()
        self._say = say

    async def run(
        self, jobs: Sequence[Job], concurrency: int, advance: Callable[[int], None]
    ) -> None:
        """Do the jobs, so many at a time, until they are done or something stops the run."""
        waiting = iter(jobs)
        self.n_jobs += len(jobs)

        async def worker() -> None:
            for job in waiting:
                if self._stop.is_set():
                    return
                if job.is_answered or job.model not in self.given_up:
                    await self._do(job)
                advance(1)

        with self._interruptible():
            workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                self.stopped = INTERRUPTED  # asked twice: what is in flight is dropped
            finally:
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def stop(self, why: str) -> None:
        """Begin no more calls; those in flight are waited for."""
        self.stopped = self.stopped or why
        self._stop.set()

    async def _do(self, job: Job) -> None:
        cell = self.journal.cells.get((job.question.key, job.model))
        answer = cell.answer if cell is not None and job.is_answered else await self._answer(job)
        if answer is None:
            return
        if self.judge is not None:
            await self._grade(job, answer)
        elif self.metric.is_direct:
            # A command may take its time, which the others need not wait for.
            score = await asyncio.to_thread(
                self.metric.score_of, job.question.prompt, answer, job.question.reference
            )
            self.journal.append(score_line(job.question, job.model, self.metric, score))

    async def _answer(self, job: Job) -> str | None:
        if not await self.budget.reserve(job.most_usd):
            self.stop(LIMIT)
            return None
        cost = 0.0
        try:
            reply = await self._ask(job.model, job.question.messages)
            if reply is None:
                return None
            cost = reply.cost_usd or 0.0
            line = _line(job.question, job.model, ANSWER, answer=reply.text, **_facts(reply))
            self.journal.append(line)
        except CallError as error:
            self.journal.append(_line(job.question, job.model, FAILURE, error=str(error)))
            self.failed[job.model] += 1
            return None
        finally:
            await self.budget.settle(job.most_usd, cost)
        self.answered[job.model] += 1
        self.cut[job.model] += reply.finish_reason == "length"
        self.spent[job.model] = self.spent.get(job.model, 0.0) + cost
        return reply.text

    async def _grade(self, job: Job, answer: str) -> None:
        """Ask the judge; a verdict that cannot be read is asked for once more."""
        assert self.judge is not None
        for attempt in range(2):
            if self._stop.is_set() or not await self.budget.reserve(job.judge_most_usd):
                self.stop(LIMIT)
                return
            score, cost = None, 0.0
            noted: dict[str, Any] = {"judge": self.judge}
            try:
                messages = judge_messages(
                    job.question.asked, job.question.reference, answer, self.metric.rubric
                )
                reply = await self._ask(self.judge, messages)
                if reply is None:
                    return
                cost = reply.cost_usd or 0.0
                self.spent[self.judge] = self.spent.get(self.judge, 0.0) + cost
                noted |= {"verdict": reply.text, **_facts(reply)}
                score, _ = read_verdict(reply.text)
                self.answered[self.judge] += 1
            except CallError as error:
                noted["error"] = str(error)
                self.failed[self.judge] += 1
                if self.judge in self.given_up:
                    self.stop(JUDGE)  # what is answered is kept, and graded by the next run
            except ValueError as error:
                noted["error"] = f"the judge's verdict cannot be read ({error})"
                self.failed[self.judge] += attempt
            finally:
                await self.budget.settle(job.judge_most_usd, cost)
            self.journal.append(score_line(job.question, job.model, self.metric, score, **noted))
            if score is not None or "verdict" not in noted:
                return

    async def _ask(self, model: str, messages: Sequence[dict[str, Any]]) -> Reply | None:
        """Ask with retries; None where the run is stopped before an answer came.

        Raises `CallError` if there is none after all retries, or retrying cannot help.
        """
        for attempt in range(self.retries + 1):
            try:
                reply = await self.provider.ask(model, messages, self.options)
            except CallError as error:
                if error.is_of_model:
                    self.given_up.setdefault(model, str(error))
                    raise
                if not error.is_transient:
                    raise
                if attempt == self.retries:
                    self._in_a_row[model] += 1
                    if self._in_a_row[model] >= GIVE_UP_AFTER:
                        why = f"{GIVE_UP_AFTER} inputs in a row failed, the last with {error}"
                        self.given_up.setdefault(model, why)
                    raise
                if await self._stopped_within(error.wait or _delay(attempt)):
                    return None
            else:
                self._in_a_row[model] = 0
                return reply
            if model in self.given_up:  # by another question meanwhile
                return None
        raise AssertionError("unreachable")

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), min(seconds, LONGEST_DELAY))
        return self._stop.is_set()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C ends the run after the calls in flight, which are paid for; twice, at once."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupted() -> None:
            if self._stop.is_set() and task is not None:
                task.cancel()
                return
            self.stop(INTERRUPTED)
            self._say("Waiting for the calls under way, which are paid for; Ctrl-C drops them.")

        signals = (signal.SIGINT, signal.SIGTERM)
        handled = []
        for number in signals:
            # Not in a thread of a program that calls us, and not on Windows.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, interrupted)
                handled.append(number)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)


def score_line(
    question: Question, model: str, metric: Metric, score: float | None, **more: Any
) -> dict[str, Any]:
    """Return the journal's line for a score."""
    return _line(question, model, SCORE, score, metric=metric.name, **more)


def _line(
    question: Question, model: str, event: str, score: float | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "prompt_sha256": question.key,
        **question.noted,
        "model": model,
        "score": score,
        "event": event,
        **more,
    }


def _facts(reply: Reply) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(reply).items() if name != "text"}
    if reply.mean_probability is None:
        del facts["mean_probability"]
    return facts


def _delay(attempt: int) -> float:
    return FIRST_DELAY * 2.0**attempt * random.uniform(0.75, 1.25)
