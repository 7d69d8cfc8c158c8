"""The table that every reader returns, and the collector that fills it."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import polars as pl

from litellm_benchrouter.conversation.text import last_user_turn
from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.json_files import Fault, Faults, parse_json
from litellm_benchrouter.sources.tidy import (
    BLANKS,
    OF_SAMPLE,
    count,
    lost_models,
    placed,
    useful_samples,
)

_NAN = math.nan


@dataclass
class SourceTable:
    """One source, read and not yet judged: no thresholds, no merging.

    Attributes
    ----------
    samples : polars.DataFrame
        One row a sample: `sample_id` (unique in the source), `task`, `prompt`, and where known
        `reference`, `split` and `group`, all str; `source_row` where rows were left out.
    results : polars.DataFrame
        One row a sample and model: `row` (UInt32, position in `samples`), `model` (Enum), `score`
        (null where it is missing, an error or not a number), and where known `cost_usd`,
        `prompt_tokens`, `completion_tokens`, `log_likelihood`, `metric:NAME` and `ranker:NAME`;
        all numbers are Float64.
    models : dict of str to ModelFacts
        Facts that the source itself states.
    dropped : Counter
        What was left out and how often, keyed by the words a report shows
        ("rows with a perturbed prompt").
    n_rows : int or None
        How many samples the source holds, with those that were left out; None: as many as
        `samples`. Vectors of a source have as many rows.
    warnings : list of str
        Sentences about what may change which model is best.
    """

    samples: pl.DataFrame
    results: pl.DataFrame
    models: dict[str, ModelFacts] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    n_rows: int | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        samples: pl.DataFrame,
        scores: pl.DataFrame,
        models: dict[str, ModelFacts] | None = None,
    ) -> Self:
        """Make a table from scores with `sample_id` and `model` as text, as `scores` returns."""
        dropped: Counter[str] = Counter()
        ids = samples.select("sample_id").with_row_index("row")
        placed = scores.join(ids, on="sample_id", how="inner", maintain_order="left")
        count(dropped, "scores of unknown samples", scores.height - placed.height)
        names = pl.Enum(placed["model"].unique(maintain_order=True))
        # What a float32 cannot hold would be infinite in the benchmark.
        finite = pl.when(pl.col("score").cast(pl.Float32).is_finite()).then("score")
        results = placed.with_columns(pl.col("model").cast(names), finite.alias("score"))
        first = ("row", "model", "score")
        return cls(
            samples, results.select(*first, pl.exclude(*first, "sample_id")), models or {}, dropped
        )

    @property
    def scores(self) -> pl.DataFrame:
        """The results with `sample_id` and the model's name in place of their numbers."""
        return self.results.select(
            self.samples["sample_id"].gather(self.results["row"]),
            pl.col("model").cast(pl.String),
            pl.exclude("row", "model"),
        )


class Sample(NamedTuple):
    """A sample as a source describes it."""

    sample_id: str
    task: str
    prompt: str
    reference: str | None = None
    split: str | None = None
    group: str | None = None
    identity: str | None = None  # what must agree wherever this id occurs; default: the prompt


class Collector:
    """Gathers results; several of one sample and model (trials, epochs, repeats) are averaged.

    Numbers are kept as packed arrays, so that a million results take tens of megabytes. `dropped`
    has what was left out, in words, and `faults` what could not be read below `root`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dropped: Counter[str] = Counter()
        self.faults = Faults(root)
        self._samples: dict[str, tuple[int, Sample]] = {}
        self._models: dict[str, int] = {}
        self._gone: Counter[str] = Counter()
        self._rows, self._numbers_of_models = array("I"), array("I")
        self._numbers: dict[str, array[float]] = {"score": array("d")}

    def add(
        self,
        sample: Sample,
        model: str,
        score: float | None,
        numbers: Mapping[str, float | None] | None = None,
    ) -> None:
        """Add the result of a model on a sample, and further columns of `SourceTable.results`."""
        model = model.strip(BLANKS)
        row, first = self._samples.setdefault(sample.sample_id, (len(self._samples), sample))
        number_of_model = self._models.setdefault(model, len(self._models))
        if (first.identity or first.prompt) != (sample.identity or sample.prompt):
            self.dropped["results whose sample id had another prompt"] += 1
            self._gone[model] += 1
            return
        n_before = len(self._rows)
        self._rows.append(row)
        self._numbers_of_models.append(number_of_model)
        for name, value in {**(numbers or {}), "score": score}.items():
            column = self._numbers.setdefault(name, array("d"))
            column.extend([_NAN] * (n_before - len(column)))
            column.append(_NAN if value is None else value)

    @property
    def has_scores(self) -> bool:
        """Say whether any result has a score."""
        return any(not math.isnan(score) for score in self._numbers["score"])

    def table(
        self, tool: str, option: str = "metric", asked: str | Sequence[str] | None = None
    ) -> SourceTable:
        """Return what was gathered, the samples in the order in which they came.

        Where there is no score, the SourceError names the tool that writes such files, and the
        option that chose the score.
        """
        described = pl.DataFrame(
            [sample[:-1] for _, sample in self._samples.values()],
            schema=dict.fromkeys(Sample._fields[:-1], pl.String),
            orient="row",
        )
        prompt = (
            pl.when(pl.col("prompt").str.strip_chars(BLANKS) != "").then("prompt").alias("prompt")
        )
        samples = described.with_columns(prompt).with_row_index("source_row")
        results = self._without_zeros(self._results(), samples["task"])
        metrics = [name for name in results.columns if name.startswith("metric:")]
        useful, position = useful_samples(samples, None, self.root, self.dropped)
        warnings = lost_models(self._gone, results["model"], "another prompt under the same id")
        results = placed(results, position, self.dropped)
        if not results["score"].count():
            raise SourceError(self._nothing(tool, option, asked, metrics))
        if len(metrics) == 1:  # it is the score
            results = results.drop(metrics)
        unknown = [name for name in OF_SAMPLE if not useful[name].count()]
        dropped = self.dropped + self.faults.counted()
        return SourceTable(useful.drop(unknown), results, {}, dropped, samples.height, warnings)

    def _results(self) -> pl.DataFrame:
        n = len(self._rows)
        models = pl.Series(list(self._models), dtype=pl.String).cast(pl.Enum(list(self._models)))
        numbers_of_models = pl.Series(self._numbers_of_models, dtype=pl.UInt32)
        columns = {"row": pl.Series(self._rows, dtype=pl.UInt32)}
        columns["model"] = models.gather(numbers_of_models)
        for name, packed in self._numbers.items():
            packed.extend([_NAN] * (n - len(packed)))
            numbers = pl.Series(packed, dtype=pl.Float64).fill_nan(None)
            if name == "score" or numbers.count():
                columns[name] = numbers
        results = pl.DataFrame(columns)
        if results.select(pl.struct("row", "model").n_unique()).item() < n:
            results = results.group_by("row", "model", maintain_order=True).mean()
        return results

    def _without_zeros(self, results: pl.DataFrame, task: pl.Series) -> pl.DataFrame:
        """Leave out log-likelihoods of a model that are zero throughout a task.

        Clients of hosted models that give no log-probabilities put zeros in their place.
        """
        if "log_likelihood" not in results.columns:
            return results
        is_told = (pl.col("log_likelihood") != 0).any().over("model", task.gather(results["row"]))
        cleaned = results.with_columns(
            pl.when(is_told).then("log_likelihood").alias("log_likelihood")
        )
        n_zero = results["log_likelihood"].count() - cleaned["log_likelihood"].count()
        count(self.dropped, "log-likelihoods that are zero throughout a task", n_zero)
        return cleaned if cleaned["log_likelihood"].count() else cleaned.drop("log_likelihood")

    def _nothing(
        self, tool: str, option: str, asked: str | Sequence[str] | None, metrics: Sequence[str]
    ) -> str:
        if asked and metrics:
            names = asked if isinstance(asked, str) else listed(asked)
            there = listed([name.removeprefix("metric:") for name in metrics])
            return f"{self.root} has no {option} {names}; choose among {there}."
        if str(self.faults) and not self._rows:
            return (
                f"{self.faults}, and nothing else in {self.root} has a score; give complete files "
                f"as {tool} writes them."
            )
        dropped = self.dropped + self.faults.counted()
        left_out = listed([f"{words}: {n}" for words, n in dropped.items()] or ["nothing"])
        return (
            f"{self.root} holds no result with a score (left out: {left_out}); give files as "
            f"{tool} writes them."
        )


def number(value: object) -> float | None:
    """Return a finite number (true is 1, false 0), or None where there is none."""
    if not isinstance(value, bool | int | float):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) else None


def text(value: object) -> str | None:
    """Return a text, or None where the value is something else."""
    return value if isinstance(value, str) else None


def question(prompt: object) -> str | None:
    """Return the text of a prompt, of a chat what it asks: what the router embeds when it serves.

    A prompt is a text, a list of {role, content}, or such a list written as JSON into a text.
    """
    if isinstance(prompt, str):
        chat = _chat(prompt)
        return prompt if chat is None else question(chat)
    if not isinstance(prompt, list):
        return None
    messages = [message for message in prompt if isinstance(message, dict)]
    if not any(message.get("role") == "user" for message in messages):
        messages = [message | {"role": "user"} for message in messages]
    return last_user_turn(messages, {}) or None


def _chat(prompt: str) -> list[object] | None:
    """Return the messages that a text holds as JSON, None where it is an ordinary text."""
    if not prompt.lstrip().startswith("["):
        return None
    try:
        messages = parse_json(prompt.encode())
    except Fault:
        return None
    is_chat = isinstance(messages, list) and all(
        isinstance(message, dict) and "role" in message for message in messages
    )
    return messages if is_chat and messages else None
