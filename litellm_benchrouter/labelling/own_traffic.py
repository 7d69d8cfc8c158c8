"""Prompts of own traffic to label: which, and whom to ask on each."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import BLOCK, BenchRouterConfig
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.guarded.fit import neighbors_of_each
from litellm_benchrouter.guarded.impute import TaskAccuracies, served_average
from litellm_benchrouter.guarded.racing import FEWEST_ASKED, race
from litellm_benchrouter.guarded.traffic import BenchmarkPrior
from litellm_benchrouter.labelling.journal import Journal
from litellm_benchrouter.labelling.metrics import (
    METRICS,
    PEOPLE,
    Metric,
    parse_metric,
    without_references,
)
from litellm_benchrouter.labelling.people import NOTED, TASK
from litellm_benchrouter.labelling.plan import Job
from litellm_benchrouter.labelling.privacy import ERASED_BY
from litellm_benchrouter.labelling.run import Run
from litellm_benchrouter.labelling.task import LabelTask, Question
from litellm_benchrouter.paper.benchmark import labels
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.sources.tasks import prompt_key
from litellm_benchrouter.store import open_store
from litellm_benchrouter.traffic.figures import vectors_of
from litellm_benchrouter.traffic.prompts import SCHEMA, origin_of, read_prompts
from litellm_benchrouter.validation.groups import find_groups

N = 100
"""Prompts that are labelled unless `--n` says otherwise."""

_LOOKED_AT = 3  # times as many prompts are looked at for near-duplicates as are to be labelled


def metric_of_traffic(config: BenchRouterConfig, given: str | None) -> Metric:
    """Return the metric of `--metric`, or of the configuration; raise ConfigError without one."""
    traffic = config.traffic
    configured, rubric = (traffic.metric, traffic.rubric) if traffic else (None, None)
    if given is None and configured is None:
        raise ConfigError(
            f"nothing says when an answer is right. Give --metric, or set `{BLOCK}.traffic.metric`:"
            f" {METRICS}; judge:MODEL and {PEOPLE.name} need no references."
        )
    if (given or configured) == PEOPLE.name:
        return PEOPLE
    where = f"{BLOCK}.traffic.metric" if given is None else "--metric"
    folder = config.folder if given is None else None
    return without_references(parse_metric(given or configured or "", where, folder), rubric)


@dataclass(frozen=True)
class OwnTraffic:
    """Own traffic as a task whose inputs are the prompts of the journal, then those to draw from.

    Attributes
    ----------
    n : int
        Prompts that are to have labels, those of earlier runs included.
    racing : bool
        Ask in batches, and no more of models that cannot be the best.
    """

    config: BenchRouterConfig
    task: LabelTask
    journal: Journal
    prompts: pl.DataFrame
    n: int
    racing: bool

    @classmethod
    def open(
        cls,
        config: BenchRouterConfig,
        journal: Journal,
        n: int,
        *,
        racing: bool,
        prompts: pl.DataFrame | None = None,
    ) -> OwnTraffic:
        """Read the prompts, in random order and equal ones once; raise SourceError of none.

        `prompts`, with references, are those of a caller that has read them.
        """
        origin = origin_of(config)
        prompts = read_prompts(config, references=True) if prompts is None else prompts
        drawn = np.random.default_rng([config.seed, zlib.crc32(TASK.encode())])
        prompts = prompts[drawn.permutation(prompts.height)]
        questions = {key: _question(line, origin) for key, line in journal.noted.items()}
        equal = {_plain(question.prompt) for question in questions.values()}
        for row in prompts.iter_rows(named=True):
            fields = {"prompt": row["text"], **{name: row[name] for name in ERASED_BY}}
            reference = None if row["reference"] is None else json.loads(row["reference"])
            fields |= {"time": row["time"], "reference": reference}
            key = prompt_key(row["text"])
            earlier = questions.get(key)
            if earlier is not None and earlier.reference is None and reference is not None:
                questions[key] = _question({**earlier.noted, "reference": reference}, origin)
            elif earlier is None and _plain(row["text"]) not in equal:
                equal.add(_plain(row["text"]))
                questions[key] = _question(fields, origin)
        if not questions:
            raise SourceError(
                f"{origin} holds no prompts yet. Collect some, or name another place."
            )
        task = LabelTask(TASK, list(questions.values()), journal.path, origin, True)
        return cls(config, task, journal, prompts, n, racing)

    @cached_property
    def artifact(self) -> Artifact | None:
        """The version that serves."""
        store = open_store(self.config)
        version = store.current()
        if version is None:
            return None
        return read_artifact(store.fetch(version), config=self.config.embedder)

    def choose(
        self, questions: list[Question], models: Sequence[str]
    ) -> tuple[list[Question], set[tuple[str, str]]]:
        """Choose prompts: those begun before, then at random, none that is like another one.

        What a race has decided on labels that are there is not asked again.
        """
        begun = [question for question in questions if question.key in self.journal.noted]
        rest = [question for question in questions if question.key not in self.journal.noted]
        chosen = begun[: self.n]
        while rest and len(chosen) < self.n:
            several, rest = rest[: _LOOKED_AT * self.n], rest[_LOOKED_AT * self.n :]
            chosen += self._without_duplicates(chosen, several)[: self.n - len(chosen)]
        skip = set()
        for rows, active, given in self._race(chosen, models):
            batch = [question.key for question in chosen[rows]]
            given[rows] = self._labels(batch, models)
            if np.isnan(given[rows][:, active]).any():
                break  # what is answered next decides
            skip |= {(key, models[m]) for key in batch for m in np.flatnonzero(~active).tolist()}
        return chosen, skip

    def batches(self, run: Run, advance: Callable[[int], None]) -> Iterator[Sequence[Job]]:
        """Yield the jobs of a run batch by batch, of the models that are still in the race."""
        models = [line.model for line in run.plan.lines if line.model != run.judge]
        of_prompt: dict[str, list[Job]] = {}
        for job in run.plan.jobs:
            of_prompt.setdefault(job.question.key, []).append(job)
        rows = slice(0, 0)
        for rows, active, given in self._race(run.chosen, models):
            asked = {model for model, is_asked in zip(models, active, strict=True) if is_asked}
            batch = [question.key for question in run.chosen[rows]]
            jobs = [job for key in batch for job in of_prompt.get(key, [])]
            wanted = [job for job in jobs if job.is_answered or job.model in asked]
            advance(len(jobs) - len(wanted))
            if wanted:
                yield wanted
            given[rows] = self._labels(batch, models)
        rest = [job for q in run.chosen[rows.stop :] for job in of_prompt.get(q.key, [])]
        if rest:
            yield rest

    def _race(
        self, chosen: Sequence[Question], models: Sequence[str]
    ) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.float64]]]:
        """Yield batches, the models to ask and the labels to fill in; none without a race."""
        if not self.racing or len(models) <= FEWEST_ASKED:
            return
        columns, prior = self._prior(models)
        if len(columns) <= FEWEST_ASKED:
            return
        given = np.full((len(chosen), len(columns)), np.nan)
        values = np.full((len(chosen), len(models)), np.nan)
        for rows, active in race(given, prior, [self.config.seed]):
            everybody = np.ones(len(models), dtype=bool)  # whom no benchmark knows is asked on
            everybody[columns] = active
            yield rows, everybody, values
            given[rows] = values[rows][:, columns]

    def _prior(self, models: Sequence[str]) -> tuple[list[int], BenchmarkPrior]:
        """Return the models that the benchmark knows, as positions, and what it expects of them."""
        artifact = self.artifact
        if artifact is None:
            benchmark = load_benchmark(self.config, Progress())[0]
            names, task, correctness = benchmark.models, benchmark.task, benchmark.correctness
        else:
            names, task, correctness = artifact.models, artifact.task, artifact.correctness
        column = {model: m for m, model in enumerate(names)}
        there = [i for i, model in enumerate(models) if model in column]
        columns = [column[models[i]] for i in there]
        values, n_tasks = labels(np.asarray(correctness)), int(task.max()) + 1
        cells = TaskAccuracies.of(values, task, n_tasks)
        average = served_average(values, task, n_tasks)[columns]
        size = cells.count.mean(axis=1)
        accuracy = cells.imputed()[:, columns]
        return there, BenchmarkPrior.of(accuracy, size, average, int(average.argmax()))

    def _labels(self, keys: Sequence[str], models: Sequence[str]) -> NDArray[np.float64]:
        """Scores that the journal has, shape (len(keys), len(models)); NaN is missing."""
        cells = self.journal.cells
        rows = [[cells.get((key, model)) for model in models] for key in keys]
        scores = [[None if cell is None else cell.score for cell in row] for row in rows]
        return np.array(scores, dtype=np.float64).reshape(len(keys), len(models))

    def _without_duplicates(
        self, begun: Sequence[Question], fresh: Sequence[Question]
    ) -> list[Question]:
        """Leave out what is a near-duplicate, by vectors of the version that serves, if any."""
        several = [*begun, *fresh]
        if self.artifact is None or len(several) < 2:
            return list(fresh)
        rows = {text: row for row, text in enumerate(self.prompts["text"])}
        prompts = self.prompts.select(list(SCHEMA))
        frame = pl.concat([
            prompts[rows[q.prompt]] if q.prompt in rows
            else pl.DataFrame([{"text": q.prompt}], schema=SCHEMA)
            for q in several
        ])  # fmt: skip
        there, vectors = vectors_of(frame, self.artifact, Progress())
        if len(there) < 2:
            return list(fresh)
        near = neighbors_of_each(vectors)
        texts = [several[i].prompt for i in there]
        group = find_groups(texts, np.zeros(len(there), dtype=np.int32), 1, near).group
        group_of = dict(zip(there.tolist(), group.tolist(), strict=True))
        taken = {group_of[i] for i in range(len(begun)) if i in group_of}
        different = []
        for i in range(len(begun), len(several)):
            if i not in group_of or group_of[i] not in taken:
                different.append(several[i])
                taken.add(group_of.get(i, -1))
        return different


def _question(line: Mapping[str, Any], place: str) -> Question:
    noted = {name: line[name] for name in NOTED if line.get(name) is not None}
    text = str(noted.get("prompt") or "")
    return Question(
        text, ({"role": "user", "content": text},), noted.get("reference"), place, noted
    )


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
