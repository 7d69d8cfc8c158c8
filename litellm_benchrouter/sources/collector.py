"""What a reader found, gathered sample by sample into a `SourceTable`."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.files import Fault, Faults, optional, parse_json
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.source_table import SourceTable
from litellm_benchrouter.sources.tidy import useful_samples, useful_scores

_NAN = math.nan


class Sample(NamedTuple):
    """A sample as a source describes it.

    Attributes
    ----------
    sample_id, task, prompt : str
    reference, split : str or None
    identity : str or None
        What must agree wherever this id occurs; default: the prompt.
    """

    sample_id: str
    task: str
    prompt: str
    reference: str | None = None
    split: str | None = None
    identity: str | None = None


class Collector:
    """Gathers results; several of one sample and model (trials, epochs, repeats) are averaged.

    Numbers are kept as packed float64, so that a million results take tens of megabytes.

    Parameters
    ----------
    root : Path
        The file or folder that is read.

    Attributes
    ----------
    dropped : Counter
        What was left out, in words.
    faults : Faults
        What could not be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dropped: Counter[str] = Counter()
        self.faults = Faults(root)
        self._samples: dict[str, Sample] = {}
        self._ids: list[str] = []
        self._models: list[str] = []
        self._numbers: dict[str, array[float]] = {"score": array("d")}

    def add(
        self,
        sample: Sample,
        model: str,
        score: float | None,
        numbers: Mapping[str, float | None] | None = None,
    ) -> None:
        """Add the result of a model on a sample.

        Parameters
        ----------
        sample : Sample
        model : str
        score : float or None
            None where the result is missing.
        numbers : mapping of str to float or None
            Further columns of `SourceTable.scores`.
        """
        known = self._samples.setdefault(sample.sample_id, sample)
        if known is not sample and (known.identity or known.prompt) != (
            sample.identity or sample.prompt
        ):
            self.dropped["results whose sample id had another prompt"] += 1
            return
        n_before = len(self._ids)
        self._ids.append(known.sample_id)
        self._models.append(model)
        for name, value in {**(numbers or {}), "score": score}.items():
            column = self._numbers.setdefault(name, array("d"))
            column.extend([_NAN] * (n_before - len(column)))
            column.append(_NAN if value is None else value)

    def table(
        self, tool: str, option: str = "metric", asked: str | Sequence[str] | None = None
    ) -> SourceTable:
        """Return what was gathered, the samples in the order in which they came.

        Parameters
        ----------
        tool : str
            Who writes such files, for the error.
        option, asked : str, str or sequence of str or None
            The option that chose the score, and its value.

        Raises
        ------
        SourceError
            If there is no score.
        """
        scores = self._scores()
        metrics = [name for name in scores.columns if name.startswith("metric:")]
        described = pl.DataFrame(
            [sample[:5] for sample in self._samples.values()],
            schema=dict.fromkeys(Sample._fields[:5], pl.String),
            orient="row",
        )
        prompt = pl.when(pl.col("prompt").str.strip_chars() != "").then("prompt").alias("prompt")
        samples = described.with_columns(prompt).with_row_index("source_row")
        kept = useful_samples(samples, None, self.root, self.dropped)
        scores = useful_scores(scores, samples, kept, self.dropped)
        if not scores["score"].count():
            raise SourceError(self._nothing(tool, option, asked, metrics))
        if len(metrics) == 1:  # it is the score
            scores = scores.drop(metrics)
        unknown = [name for name in ("reference", "split") if not kept[name].count()]
        dropped = self.dropped + self.faults.counted()
        return SourceTable(kept.drop(unknown), scores, {}, dropped, samples.height)

    def _scores(self) -> pl.DataFrame:
        n = len(self._ids)
        columns = {"sample_id": pl.Series(self._ids, dtype=pl.String)}
        columns["model"] = pl.Series(self._models, dtype=pl.String)
        for name, packed in self._numbers.items():
            packed.extend([_NAN] * (n - len(packed)))
            numbers = pl.Series(packed, dtype=pl.Float64).fill_nan(None)
            if name == "score" or numbers.count():
                columns[name] = numbers
        scores = pl.DataFrame(columns)
        cell = ["sample_id", "model"]
        if scores.select(pl.struct(cell).n_unique()).item() < n:
            scores = scores.group_by(cell, maintain_order=True).mean()
        return self._without_zeros(scores)

    def _without_zeros(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Leave out log-likelihoods of a model that are zero throughout a task.

        Clients of hosted models that give no log-probabilities put zeros in their place.
        """
        if "log_likelihood" not in scores.columns:
            return scores
        task = {sample.sample_id: sample.task for sample in self._samples.values()}
        of_task = scores["sample_id"].replace_strict(task, return_dtype=pl.String)
        told = (pl.col("log_likelihood") != 0).any().over("model", of_task)
        with_told = scores.with_columns(
            pl.when(told).then("log_likelihood").alias("log_likelihood")
        )
        n_zero = scores["log_likelihood"].count() - with_told["log_likelihood"].count()
        if n_zero:
            self.dropped["log-likelihoods that are zero throughout a task"] += n_zero
        if not with_told["log_likelihood"].count():
            return with_told.drop("log_likelihood")
        return with_told

    def _nothing(
        self, tool: str, option: str, asked: str | Sequence[str] | None, metrics: Sequence[str]
    ) -> str:
        if asked and metrics:
            names = asked if isinstance(asked, str) else listed(asked)
            there = listed([name.removeprefix("metric:") for name in metrics])
            return f"{self.root} has no {option} {names}; choose among {there}."
        if str(self.faults) and not self._ids:
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
    """Return a finite number (true is 1, false 0), or None where it is none."""
    if not isinstance(value, bool | int | float):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) else None


def text(value: object) -> str | None:
    """Return a text, or None where it is none."""
    return value if isinstance(value, str) else None


def last_user_turn(prompt: object) -> str | None:
    """Return the text of a prompt, of a chat that of the last user message.

    That is what the router embeds when it serves.

    Parameters
    ----------
    prompt : object
        A text, a list of {role, content}, or such a list written as JSON into a text. A content
        is a text or a list of parts.

    Returns
    -------
    str or None
        None where there is no text.
    """
    if isinstance(prompt, str):
        chat = _chat(prompt)
        return prompt if chat is None else last_user_turn(chat)
    if not isinstance(prompt, list):
        return None
    messages: list[dict[str, object]] = [m for m in prompt if isinstance(m, dict)]
    by_user = [message for message in messages if message.get("role") == "user"]
    for message in reversed(by_user or messages):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [optional(part, "text", str) for part in parts]
        found = "\n".join(part for part in texts if part)
        if found:
            return found
    return None


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
