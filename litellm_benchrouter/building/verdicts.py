"""What verifiers say of labelled answers, and what it costs to hear it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.sources.answers import JUDGE, ScoredAnswers
from litellm_benchrouter.sources.tasks import labels_path
from litellm_benchrouter.validation.splits import Array, Rows
from litellm_benchrouter.verifiers import AGREEMENT, LOGPROBS, answer_of, verifier
from litellm_benchrouter.verifiers.agreement import likeness


@dataclass(frozen=True)
class Verdicts:
    """What a verifier says of each answer, all of shape (n, M).

    Attributes
    ----------
    scores : ndarray of float64
        NaN where it says nothing.
    fee : ndarray of float64, optional
        USD for each, NaN where that is not known.
    beside : ndarray of int, optional
        The model whose answer each is compared with; -1 for none.
    """

    scores: Array
    fee: Array | None = None
    beside: Rows | None = None


def verdicts_of(name: str, answers: ScoredAnswers, expected: Array) -> Verdicts | None:
    """Return what a verifier says; None where the answers do not tell it.

    A judge counts where the journal has its scores, `logprobs` where providers sent them to
    `benchrouter label`. Raises ConfigError where a function of the user's own cannot be imported or
    fails.

    Parameters
    ----------
    expected : ndarray of float64, shape (n, M)
        Expected cost of each model, in USD: `agreement` compares with the cheapest other.
    """
    if name.startswith(JUDGE):
        judged = answers.judged.get(name)
        return None if judged is None else Verdicts(judged, answers.fees[name])
    if name == AGREEMENT:
        return compared(answers, expected)
    if name == LOGPROBS:
        return None if np.isnan(answers.likely).all() else Verdicts(answers.likely)
    of = verifier(name)
    if inspect.iscoroutinefunction(of.check):
        return None
    scores = np.full(answers.right.shape, np.nan)
    for (i, m), text in answers.texts.items():
        request = {"messages": [{"role": "user", "content": answers.prompts[i]}]}
        try:
            score = of.check(request, answer_of(text))
            scores[i, m] = np.nan if score is None else float(score)
        except Exception as error:
            raise ConfigError(
                f"benchrouter.cascade.verifiers: {name!r} fails on a labelled answer "
                f"({type(error).__name__}). Mend it, or take it out."
            ) from error
    return Verdicts(scores)


def compared(answers: ScoredAnswers, expected: Array) -> Verdicts:
    """Compare each answer with that of the cheapest other model, as the proxy does."""
    scores = np.full(answers.right.shape, np.nan)
    beside = np.full(answers.right.shape, -1, dtype=np.intp)
    by_prompt: dict[int, list[int]] = {}
    for i, m in answers.texts:
        by_prompt.setdefault(i, []).append(m)
    for i, models in by_prompt.items():
        by_cost = sorted(models, key=lambda m: (float(expected[i, m]), m))[:2]
        for m in models if len(models) > 1 else ():
            other = by_cost[1] if m == by_cost[0] else by_cost[0]
            a, b = (answer_of(answers.texts[i, each]) for each in (m, other))
            score = likeness(a, b)
            scores[i, m], beside[i, m] = np.nan if score is None else score, other
    return Verdicts(scores, beside=beside)


def journals_of(
    config: BenchRouterConfig, inputs: Mapping[str, Sequence[str]]
) -> list[tuple[Path, float, Sequence[str]]]:
    """Return the journals of labels that exist, each with its threshold and prompts."""
    journals: list[tuple[Path, float, Sequence[str]]] = [
        (task.labels or labels_path(config.labels_home, name), task.threshold, inputs[name])
        for name, task in sorted(config.tasks.items())
    ]
    if config.traffic_labels is not None:
        journals.append((config.traffic_labels, 0.5, ()))
    return [each for each in journals if each[0].suffix == ".jsonl" and each[0].exists()]
