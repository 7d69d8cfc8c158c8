"""What is known of each model, from whoever states it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.paper.benchmark import ModelFacts, mean
from litellm_benchrouter.sources.source_table import SourceTable


def facts_of(
    tables: Sequence[tuple[SourceTable, object]],
    aliases: Mapping[str, str],
    facts: Mapping[str, ModelFacts],
    models: Sequence[str],
    columns: Mapping[str, NDArray[np.float32]],
) -> dict[str, ModelFacts]:
    """Take each fact from whoever states it first: operator, sources in order, recorded means.

    Parameters
    ----------
    tables : sequence of (SourceTable, how it is judged)
    aliases : mapping of str to str
    facts : mapping of str to ModelFacts
        What the operator states.
    models : sequence of str, length M
    columns : mapping of str to ndarray of float32, shape (n, M)
        What the sources recorded of each answer.
    """
    stated = {model: [facts[model]] if model in facts else [] for model in models}
    for table, _ in tables:
        for name, of_source in table.models.items():
            stated.get(aliases.get(name, name), []).append(of_source)
    if columns.keys() & {"cost_usd", "prompt_tokens", "completion_tokens"}:
        for model, of_answers in zip(models, _recorded(columns, len(models)), strict=True):
            stated[model].append(of_answers)
    names = [fact.name for fact in fields(ModelFacts)]
    return {
        model: ModelFacts(
            **{
                name: next((v for fact in known if (v := getattr(fact, name)) is not None), None)
                for name in names
            }
        )
        for model, known in stated.items()
        if known
    }


def _recorded(columns: Mapping[str, NDArray[np.float32]], n_models: int) -> list[ModelFacts]:
    """Means of what the sources recorded of each model's answers."""

    def means(column: str) -> list[float | None]:
        if column not in columns:
            return [None] * n_models
        return [None if np.isnan(value) else float(value) for value in mean(columns[column])]

    def tokens(column: str) -> list[float | None]:
        return [value or None for value in means(column)]  # 0 where a tool does not count them

    of_each = zip(
        means("cost_usd"), tokens("prompt_tokens"), tokens("completion_tokens"), strict=True
    )
    return [
        ModelFacts(mean_cost_usd=cost, mean_input_tokens=read, mean_output_tokens=said)
        for cost, read, said in of_each
    ]
