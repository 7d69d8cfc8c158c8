"""Labelling a task: what is missing is found and priced, asked, and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ConfigError, LabellingError
from litellm_benchrouter.labelling.asking import Asking, score_line
from litellm_benchrouter.labelling.journal import Journal
from litellm_benchrouter.labelling.metrics import Metric
from litellm_benchrouter.labelling.models import (
    AskedModel,
    CallOptions,
    Provider,
    find_candidates,
    find_judge,
)
from litellm_benchrouter.labelling.plan import Budget, Job, Plan, is_scored, make_plan
from litellm_benchrouter.labelling.task import (
    LabelTask,
    Question,
    answerable,
    benchmark_models,
    choose_questions,
)
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.upstream import Proxy


@dataclass(frozen=True)
class AskOptions:
    """The options of a run."""

    n: int  # inputs that are to have labels, those of earlier runs included
    models: Sequence[str] | None = None  # None for every deployment that the benchmark knows
    rescore: bool = False  # score the stored answers again, and ask no candidate
    concurrency: int = 8
    retries: int = 4
    call: CallOptions = field(default_factory=CallOptions)
    limit_usd: float | None = None


Choose = Callable[[list[Question], Sequence[str]], tuple[list[Question], set[tuple[str, str]]]]
"""Chooses the inputs to label, and the cells, by key and model, that need no label."""

Batches = Callable[["Run", Callable[[int], None]], Iterator[Sequence[Job]]]
"""Yields a run's jobs, each batch after the one before is done; counts those that it drops."""


@dataclass
class Run:
    """A run that is planned, and then done."""

    task: LabelTask
    metric: Metric
    questions: list[Question]  # those that can be scored
    chosen: list[Question]
    journal: Journal
    plan: Plan
    provider: Provider | None  # None where nobody has to be asked
    judge: str | None
    options: AskOptions
    models: list[str]  # candidates; of `rescore` those with answers
    asked: Sequence[AskedModel]  # the candidates and the judge
    # candidates that cannot be asked, and why
    unusable: dict[str, str] = field(default_factory=dict)
    rescored: int = 0  # answers that got another score without asking anybody


def plan_run(
    config: BenchRouterConfig,
    proxy: Proxy,
    task: LabelTask,
    metric: Metric,
    journal: Journal,
    options: AskOptions,
    choose: Choose | None = None,
    known: set[str] | None = None,
) -> Run:
    """Find out whom to ask what, and what that costs; nothing is asked yet.

    `choose` stands in place of `choose_questions`, `known` of the models of the benchmark.

    Raises ConfigError where there is nothing to ask, nobody to ask, or no price where a limit needs
    one, and LabellingError where no candidate can be asked.
    """
    questions = answerable(task, metric)
    judge = find_judge(config, proxy, metric.judge) if metric.judge else None
    stored = {model for (_, model), cell in journal.cells.items() if cell.answer is not None}
    candidates = []
    if options.rescore and not stored:
        raise ConfigError(f"{task.path} has no answers to score again; run it without --rescore.")
    if not options.rescore:
        if not metric.is_people:
            _same_metric(journal, questions, metric)
        known = benchmark_models(config, proxy) if known is None else known
        candidates = find_candidates(config, proxy, known, options.models)
    asked = [*candidates, *([judge] if judge else [])]
    provider = Provider(config, proxy, asked) if asked else None
    unusable = {}
    for model in asked:
        unset = model.unset_variables
        if unset:
            unusable[model.name] = f"the environment variable {unset[0]} is not set"
        elif provider is not None and not provider.is_usable(model.name):
            unusable[model.name] = "LiteLLM knows no provider for its model"
    if judge and judge.name in unusable:
        raise ConfigError(f"the {judge.name} cannot be asked: {unusable[judge.name]}.")
    models = sorted(stored) if options.rescore else [model.name for model in candidates]
    usable = [model for model in models if model not in unusable]
    if models and not usable:
        reasons = "; ".join(f"{model}: {why}" for model, why in unusable.items())
        raise LabellingError(f"no candidate can be asked: {reasons}.")
    chosen, skip = questions, set[tuple[str, str]]()
    if choose is not None and not options.rescore:
        chosen, skip = choose(questions, usable)
    elif not options.rescore:
        chosen = choose_questions(config, task, questions, journal, options.n)
    plan = Plan([], [])
    if provider is not None:
        plan = make_plan(
            provider, journal, chosen, usable, metric, judge.name if judge else None,
            options.call, ask=not options.rescore, skip=skip,
        )  # fmt: skip
    if options.limit_usd is not None and plan.unpriced:
        raise ConfigError(
            f"--limit-usd cannot be held to, as no price is known of {', '.join(plan.unpriced)}; "
            f"give input_price_usd_per_mtok and output_price_usd_per_mtok under benchrouter.models "
            f"(0 for what costs nothing)."
        )
    return Run(
        task, metric, questions, chosen, journal, plan, provider, judge.name if judge else None,
        options, models, asked, unusable,
    )  # fmt: skip


async def do_run(
    run: Run, progress: Progress, say: Callable[[str], None], batches: Batches | None = None
) -> Asking | None:
    """Score what is stored, and ask what is missing; None where nobody had to be asked.

    `say` tells whoever interrupts the run what happens then.
    """
    if run.metric.is_direct:
        run.rescored = _score_stored(run)
    elif run.judge is not None and run.options.rescore:
        _take_back(run)
    if run.provider is None or not run.plan.jobs:
        return None
    asking = Asking(
        run.provider, run.journal, run.metric, run.judge, run.options.call,
        Budget(run.options.limit_usd), retries=run.options.retries, given_up=run.unusable,
        say=say,
    )  # fmt: skip
    try:
        with progress.stage("asking", len(run.plan.jobs)) as advance:
            for jobs in [run.plan.jobs] if batches is None else batches(run, advance):
                await asking.run(jobs, run.options.concurrency, advance)
                if asking.stopped:
                    break
    finally:
        await run.provider.close()
    return asking


def summary(run: Run, asking: Asking | None) -> dict[str, Any]:
    """Say what the journal holds now and what this run did, in values that JSON can hold.

    `mean_score` is None where a model has no label.
    """
    keys = {question.key for question in run.task.questions}
    cells = {cell: cell_of for cell, cell_of in run.journal.cells.items() if cell[0] in keys}
    given_up = run.unusable if asking is None else asking.given_up
    models = []
    for model in dict.fromkeys([*run.models, *sorted(model for _, model in cells)]):
        scores = [c.score for (_, m), c in cells.items() if m == model and c.score is not None]
        models.append(
            {
                "model": model,
                "labels": len(scores),
                "mean_score": fmean(scores) if scores else None,
                "answers_now": asking.answered[model] if asking else 0,
                "failures_now": asking.failed[model] if asking else 0,
                "cut_now": asking.cut[model] if asking else 0,
                "spent_usd_now": asking.spent.get(model, 0.0) if asking else 0.0,
                "paid_usd": run.journal.paid_usd.get(model, 0.0),
                "given_up": given_up.get(model),
            }
        )
    judge = None
    if run.judge is not None:
        judge = {
            "model": run.judge,
            "verdicts_now": asking.answered[run.judge] if asking else 0,
            "failures_now": asking.failed[run.judge] if asking else 0,
            "spent_usd_now": asking.spent.get(run.judge, 0.0) if asking else 0.0,
            "given_up": given_up.get(run.judge),
        }
    return {
        "task": run.task.name,
        "labels_file": str(run.task.path),
        "metric": run.metric.name,
        "inputs": {
            "all": len(run.task.questions),
            "chosen": len(run.chosen),
            "labelled": len({key for (key, _), c in cells.items() if c.score is not None}),
        },
        "models": models,
        "judge": judge,
        "unscored": sum(cell.is_unscored for cell in cells.values()),
        "rescored": run.rescored,
        "calls": {
            "made": asking.answered.total() if asking else 0,
            "planned": run.plan.n_calls,
        },
        "spent_usd_now": asking.budget.spent_usd if asking else 0.0,
        "stopped": asking.stopped if asking else None,
        "warnings": run.task.warnings,
    }


def _same_metric(journal: Journal, questions: Sequence[Question], metric: Metric) -> None:
    """Refuse to mix scores of two metrics in one task."""
    keys = {question.key for question in questions}
    others = {
        cell.metric
        for (key, _), cell in journal.cells.items()
        if key in keys and cell.score is not None and not is_scored(cell, metric)
    }
    if others:
        named = ", ".join(sorted(map(str, others)))
        raise ConfigError(
            f"{journal.path} has answers that were scored by {named}; add --rescore to score them "
            f"by {metric.name} first."
        )


def _score_stored(run: Run) -> int:
    """Score the answers that have no score by this metric, all in one step."""
    lines = []
    for question in run.questions:
        for model in sorted({model for _, model in run.journal.cells}):
            cell = run.journal.cells.get((question.key, model))
            if cell is None or cell.answer is None or (cell.score is not None and not cell.metric):
                continue  # a label that was given stays
            is_checked = run.metric.check is not None and is_scored(cell, run.metric)
            if is_checked and not run.options.rescore:
                continue  # a command may take its time
            score = run.metric.score_of(question.prompt, cell.answer, question.reference)
            if (cell.score, cell.metric) != (score, run.metric.name):
                lines.append(score_line(question, model, run.metric, score))
    run.journal.append(*lines)
    return len(lines)


def _take_back(run: Run) -> None:
    """Take back scores of another metric, so that no build mixes them with the judge's."""
    run.journal.append(
        *(
            score_line(job.question, job.model, run.metric, None)
            for job in run.plan.jobs
            if run.journal.cells[job.question.key, job.model].score is not None
        )
    )
