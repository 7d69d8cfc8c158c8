"""Labels by people: answers to own traffic that are rated blind, and how far a judge agrees."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from litellm_benchrouter.config import BLOCK, BenchRouterConfig
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.labelling.journal import GIVEN, Cell, Journal, writing
from litellm_benchrouter.labelling.privacy import ERASED_BY

TASK = "traffic"
"""The name that own traffic has as a task."""

NOTED = ("prompt", *ERASED_BY, "time", "reference", "group")
"""What the line of a label says of its prompt."""

MOST_SIDE_BY_SIDE = 3
_FEWEST = 2
_CORRECT = 0.5  # above it a score counts as correct
_FILE = "rated by people"


def journal_of(config: BenchRouterConfig) -> Path:
    """Return the file that labels of own traffic are written to.

    Raises ConfigError where there is no `traffic:`, or it would be that of a task.
    """
    path = config.traffic_labels
    if config.traffic is None:
        raise ConfigError(
            f"`{BLOCK}.traffic` is missing. Set `from: spend_logs`, a path or a URL, or "
            f"`collect: {{}}` to let the proxy keep prompts."
        )
    if path is None:
        raise ConfigError(
            f"a task is named {TASK!r}, and labels/traffic.jsonl is its own file. Set "
            f"`{BLOCK}.traffic.labels` to another."
        )
    return path


@dataclass(frozen=True)
class Comparison:
    """A prompt and some different answers to it, without a word about who gave them.

    Attributes
    ----------
    key : str
        SHA-256 of the prompt, hex.
    prompt : str
    reference : object
        A right answer, or None.
    answers : tuple of (str, str)
        Digest and text of each, in an order that says nothing about the models.
    """

    key: str
    prompt: str
    reference: Any
    answers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Rater:
    """Rates the answers that a journal of own traffic holds; a rating is a label in the journal.

    Attributes
    ----------
    path : Path
        The journal, which is read anew each time: other runs may write to it in between.
    aliases : mapping of str to str
    seed : int
    """

    path: Path
    aliases: Mapping[str, str]
    seed: int

    def journal(self) -> Journal:
        """Read the journal."""
        return Journal(self.path, self.aliases)

    def next(self, journal: Journal, passed_over: Collection[str] = ()) -> Comparison | None:
        """Return the next prompt with two different answers that nobody has rated.

        Models that have been rated least come first, so that the judge is held against people on
        every model. None where nothing is left besides what is passed over.
        """
        rated = Counter(model for (_, model), cell in journal.cells.items() if _is_rated(cell))
        by_prompt = _answers_by_prompt(journal)
        for key in sorted(by_prompt, key=lambda key: self._draw(key, "")):
            if key in passed_over:
                continue
            models = by_prompt[key]
            if any(_is_rated(journal.cells[key, model]) for model in models):
                continue
            texts: dict[str, str] = {}
            for model in sorted(models, key=lambda model: (rated[model], self._draw(key, model))):
                texts.setdefault(_digest(models[model]), models[model])
            if len(texts) >= _FEWEST:
                return self._comparison(journal, key, list(texts.items())[:MOST_SIDE_BY_SIDE])
        return None

    def again(self, journal: Journal, key: str) -> tuple[Comparison, dict[str, float]] | None:
        """Return a prompt that was rated, with the ratings by digest; None where it is gone."""
        scores: dict[str, float] = {}
        texts: dict[str, str] = {}
        for model, answer in _answers_by_prompt(journal).get(key, {}).items():
            cell = journal.cells[key, model]
            if _is_rated(cell) and cell.score is not None:
                texts[_digest(answer)], scores[_digest(answer)] = answer, cell.score
        return (self._comparison(journal, key, list(texts.items())), scores) if texts else None

    def rate(self, key: str, scores: Mapping[str, float]) -> int:
        """Write the ratings of a prompt's answers as labels; return how many.

        Models that gave the same answer get the same label.

        Parameters
        ----------
        key : str
        scores : mapping of str to float
            By digest; in [0, 1].

        Raises
        ------
        LabellingError
            If another run is writing to the journal, or it cannot be written.
        """
        with writing(self.path, self.aliases) as journal:
            noted = {name: value for name in NOTED
                     if (value := journal.noted.get(key, {}).get(name)) is not None}  # fmt: skip
            lines = [
                {"prompt_sha256": key, **noted, "model": model, "score": scores[digest],
                 "event": GIVEN, "file": _FILE}
                for model, answer in _answers_by_prompt(journal).get(key, {}).items()
                if (digest := _digest(answer)) in scores
            ]  # fmt: skip
            journal.append(*lines)
        return len(lines)

    def progress(self, journal: Journal) -> tuple[int, int]:
        """Return how many prompts are rated, and how many there are with answers that differ."""
        rated = different = 0
        for key, answers in _answers_by_prompt(journal).items():
            is_rated = any(_is_rated(journal.cells[key, model]) for model in answers)
            rated += is_rated
            different += is_rated or len(set(answers.values())) >= _FEWEST
        return rated, different

    def _draw(self, key: str, word: str) -> int:
        return zlib.crc32(f"{self.seed} {key} {word}".encode("utf-8", "surrogatepass"))

    def _comparison(self, journal: Journal, key: str, answers: list[tuple[str, str]]) -> Comparison:
        line = journal.noted[key]
        answers.sort(key=lambda answer: self._draw(key, answer[0]))
        return Comparison(key, str(line["prompt"]), line.get("reference"), tuple(answers))


def agreement(journal: Journal) -> dict[str, Any]:
    """Compare a judge with people where both scored an answer.

    Returns
    -------
    dict
        `gold` labels, those `compared`, the share of `agreement` about what is correct, and by
        model the `bias`: the mean of the judge's score less people's.
    """
    gold = {cell: each for cell, each in journal.cells.items() if _is_rated(each)}
    both = {
        cell: (each.verdict, each.score)
        for cell, each in gold.items()
        if each.verdict is not None and each.score is not None
    }
    right = [(a > _CORRECT) == (b > _CORRECT) for a, b in both.values()]
    by_model: dict[str, list[float]] = {}
    for (_, model), (judged, score) in both.items():
        by_model.setdefault(model, []).append(judged - score)
    return {
        "gold": len(gold),
        "compared": len(both),
        "agreement": fmean(right) if right else None,
        "bias": [
            {"model": model, "compared": len(differences), "bias": fmean(differences)}
            for model, differences in sorted(by_model.items())
        ],
    }


def _is_rated(cell: Cell) -> bool:
    return cell.score is not None and cell.metric is None


def _answers_by_prompt(journal: Journal) -> dict[str, dict[str, str]]:
    """Return the answers that the journal holds, by prompt and model."""
    answers: dict[str, dict[str, str]] = {}
    for (key, model), cell in journal.cells.items():
        if cell.answer is not None and key in journal.noted:
            answers.setdefault(key, {})[model] = cell.answer
    return answers


def _digest(answer: str) -> str:
    return hashlib.sha256(answer.strip().encode("utf-8", "surrogatepass")).hexdigest()[:16]
