"""What every reader returns: samples and scores as two tables, and what it had to leave out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources.results import Results, as_long


@dataclass
class SourceTable:
    """One source, read and not yet judged: no thresholds, no merging, no deduplication.

    Attributes
    ----------
    samples : polars.DataFrame
        One row a sample: `sample_id` (str, unique in the source), `task` (str), `prompt` (str),
        and where known `reference` (str), `split` (str).
    results : polars.DataFrame or Results
        What `scores` holds: as a frame, or, where there may be millions, in less room.
    models : dict of str to ModelFacts
        Facts that the source itself states.
    dropped : Counter
        What was left out and how often, keyed by the words a report shows
        ("rows with a perturbed prompt").
    n_rows : int or None
        How many samples the source holds, with those that were left out; None: as many as
        `samples`. Vectors of a source have as many rows.
    """

    samples: pl.DataFrame
    results: pl.DataFrame | Results
    models: dict[str, ModelFacts] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    n_rows: int | None = None

    @property
    def scores(self) -> pl.DataFrame:
        """One row a sample and model, made when asked for.

        `sample_id` (str), `model` (str), `score` (Float64; null where the result is missing, an
        error or not a number), and where known, all Float64: `cost_usd`, `prompt_tokens`,
        `completion_tokens`, `log_likelihood`, `metric:NAME`, `ranker:NAME`.
        """
        if isinstance(self.results, pl.DataFrame):
            return self.results
        return as_long(self.results, self.samples)
