"""Several sources, each with its thresholds, become one benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts
from litellm_benchrouter.sources.facts import facts_of
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.grid import Grid
from litellm_benchrouter.sources.merge_report import (
    MergeReport,
    SourceReport,
    source_report,
    warnings_about,
)
from litellm_benchrouter.sources.results import Placed, Results, numbered, positions
from litellm_benchrouter.sources.source_table import SourceTable
from litellm_benchrouter.sources.tidy import count

__all__ = ["MergeReport", "SourceJudgement", "SourceReport", "merge"]


@dataclass(frozen=True)
class SourceJudgement:
    """How a source's scores become labels: y(x, m) = 1 where the score is above eta_d.

    Attributes
    ----------
    name : str
        How reports call the source.
    threshold : float
        eta_d of every task that has none of its own.
    thresholds : mapping of str to float
        eta_d of single tasks.
    prefix : str or None
        Put before its sample ids where they collide with another source's; default: `name`.
    """

    name: str
    threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)
    prefix: str | None = None


def merge(
    tables: Sequence[tuple[SourceTable, SourceJudgement]],
    *,
    aliases: Mapping[str, str],
    facts: Mapping[str, ModelFacts],
    keep_models: Sequence[str] | None = None,
) -> tuple[Benchmark, MergeReport]:
    """Merge sources into one benchmark.

    The same sample_id with the same task and prompt is the same sample, and its scores come
    together in one row. An id that stands for different samples in different sources gets the
    name of the source in front ("NAME/ID"). Where several sources, or several names of a model,
    give a score for the same cell, the first one counts.

    Parameters
    ----------
    tables : sequence of (SourceTable, SourceJudgement)
    aliases : mapping of str to str
        Other name of a model -> its name in the benchmark.
    facts : mapping of str to ModelFacts
        What the operator states; goes before what the sources state.
    keep_models : sequence of str, optional
        Leave out all other models.

    Returns
    -------
    Benchmark
        Samples in the order of the sources and of their files, tasks and models sorted by name.
    MergeReport

    Raises
    ------
    SourceError
        If no sample has a score, a model to keep is in no source, or two sources that have to be
        told apart have the same name.
    """
    if not tables:
        raise SourceError("there are no sources; name at least one.")
    dropped = [Counter(table.dropped) for table, _ in tables]
    samples = _samples(tables)
    results = [
        numbered(table.results, table.samples, left_out)
        if isinstance(table.results, pl.DataFrame)
        else table.results
        for (table, _), left_out in zip(tables, dropped, strict=True)
    ]
    models, warnings, model_of = _models(results, aliases, facts, keep_models, dropped)
    row_of = [
        samples.filter(source=s)["row"].to_numpy().astype(np.int64) for s in range(len(tables))
    ]
    placed = [Placed(*of_source) for of_source in zip(results, row_of, model_of, strict=True)]
    rows, placed = _with_scores(_rows(samples), placed, dropped)
    tasks = sorted(rows["task"].unique())
    task = positions(rows["task"], tasks).to_numpy().astype(np.int32)
    grid = Grid(placed, len(rows), len(models))
    reports = []
    for source, (table, judgement), left_out in zip(placed, tables, dropped, strict=True):
        filled = grid.fill(source, _eta(rows["task"], judgement), left_out)
        reports.append(source_report(judgement.name, filled, task, left_out))
        unused = sorted(set(judgement.thresholds) - set(table.samples["task"].unique()))
        if unused:
            warnings.append(
                f"{judgement.name} lacks tasks that have a threshold: {listed(unused)}."
            )
    benchmark = Benchmark(
        sample_ids=rows["sample_id"].to_list(),
        prompts=rows["prompt"].to_list(),
        task=task,
        tasks=tuple(tasks),
        models=tuple(models),
        correctness=grid.correctness,
        scores=grid.scores,
        facts=facts_of(tables, aliases, facts, models, grid.columns),
        columns=grid.columns,
        references=rows["reference"].to_list() if rows["reference"].count() else None,
        split=rows["split"].fill_null("").to_list() if rows["split"].count() else None,
    )
    warnings += warnings_about(benchmark, rows, samples["task"])
    source_row = rows.select(pl.col("source", "source_row").cast(pl.Int64)).to_numpy()
    n_rows = [len(t.samples) if t.n_rows is None else t.n_rows for t, _ in tables]
    return benchmark, MergeReport(reports, warnings, source_row, n_rows)


def _samples(tables: Sequence[tuple[SourceTable, SourceJudgement]]) -> pl.DataFrame:
    """Return the samples of all sources, one below the other, with their row in the benchmark.

    `own_id` is the id in the source, `sample_id` the one in the benchmark.
    """
    frames = []
    for s, (table, _) in enumerate(tables):
        frame = table.samples
        if "source_row" not in frame.columns:
            frame = frame.with_row_index("source_row")
        absent = {"reference", "split"} - {*frame.columns}
        frame = frame.with_columns(pl.lit(None).alias(name) for name in absent)
        texts = pl.col("sample_id", "task", "prompt", "reference", "split").cast(pl.String)
        frames.append(frame.select(texts, "source_row", source=pl.lit(s, pl.UInt32)))
    samples = pl.concat(frames).with_columns(own_id="sample_id")
    if len(tables) == 1:
        return samples.with_row_index("row")
    # Ids are unique in a source: a source that brings another sample under a known id is its first.
    samples = samples.with_columns(
        first=pl.col("source").first().over("own_id", "task", "prompt")
    ).with_columns(collides=pl.col("first").n_unique().over("own_id") > 1)
    names = [judgement.prefix or judgement.name for _, judgement in tables]
    prefix = pl.col("first").replace_strict(dict(enumerate(names)), return_dtype=pl.String)
    samples = samples.with_columns(
        sample_id=pl.when("collides").then(prefix + "/" + pl.col("own_id")).otherwise("own_id")
    )
    different = samples.unique(["first", "own_id"], maintain_order=True)
    again = different.filter(pl.col("sample_id").is_duplicated())["own_id"]
    if len(again):
        raise SourceError(
            f'the sample id "{again[0]}" stands for different samples in several sources, and the '
            f"sources' names ({listed(names)}) do not tell them apart; give each source a name of "
            "its own."
        )
    numbered = different.select("sample_id").with_row_index("row")
    return samples.join(numbered, on="sample_id", how="left", maintain_order="left")


def _rows(samples: pl.DataFrame) -> pl.DataFrame:
    """Return one line a row of the benchmark, from the first source that has the sample."""
    rows = samples.unique("row", keep="first", maintain_order=True)
    if len(rows) < len(samples):
        texts = samples.group_by("row", maintain_order=True).agg(
            pl.col("reference", "split").drop_nulls().first()
        )
        rows = rows.update(texts, on="row")
    return rows


def _models(
    results: Sequence[Results],
    aliases: Mapping[str, str],
    facts: Mapping[str, ModelFacts],
    keep_models: Sequence[str] | None,
    dropped: Sequence[Counter[str]],
) -> tuple[list[str], list[str], list[NDArray[np.int64]]]:
    """Return the models of the benchmark by name, warnings about those without a score, and the
    number in the benchmark of each model of each source.
    """
    names = [[aliases.get(name, name) for name in of_source.models] for of_source in results]
    n_scores = []
    named: set[str] = set()
    for of_source, ours in zip(results, names, strict=True):
        answered, scored_by = _tally(of_source)
        n_scores.append(scored_by)
        named |= {ours[m] for m in np.flatnonzero(answered)}
    scored = {
        ours[m]
        for ours, scored_by in zip(names, n_scores, strict=True)
        for m in np.flatnonzero(scored_by)
    }
    strangers = sorted(set(facts) - named)
    if keep_models is not None:
        keep = {aliases.get(model, model) for model in keep_models}
        if keep - named:
            raise SourceError(
                f"no source has the model {min(keep - named)} that is to be kept; they have "
                f"{listed(sorted(named))}."
            )
        named, scored = named & keep, scored & keep
    if not scored:
        raise SourceError(
            "the sources hold no score of a model that is kept; see that their scores are numbers."
        )
    warnings = []
    if named - scored:
        warnings.append(f"Models without any score are left out: {listed(sorted(named - scored))}.")
    if strangers:
        warnings.append(f"Models that are configured and in no source: {listed(strangers)}.")
    models = sorted(scored)
    number = {model: m for m, model in enumerate(models)}
    model_of = [np.array([number.get(name, -1) for name in ours], dtype=np.int64) for ours in names]
    for of_each, scored_by, left_out in zip(model_of, n_scores, dropped, strict=True):
        count(left_out, "scores of models that are not kept", int(scored_by[of_each < 0].sum()))
    return models, warnings, model_of


def _tally(results: Results) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the answers and the scores of each model of a source."""
    n_models = len(results.models)
    answers, scores = np.zeros(n_models, dtype=np.int64), np.zeros(n_models, dtype=np.int64)
    for part in results.parts():
        answers += np.bincount(part["model"].to_numpy(), minlength=n_models)
        scored = part["model"].filter(part["score"].is_not_null())
        scores += np.bincount(scored.to_numpy(), minlength=n_models)
    return answers, scores


def _with_scores(
    rows: pl.DataFrame, placed: Sequence[Placed], dropped: Sequence[Counter[str]]
) -> tuple[pl.DataFrame, list[Placed]]:
    """Leave out samples that no model has a score for, and number the others anew."""
    scored = np.zeros(len(rows), dtype=bool)
    for source in placed:
        for part in source.parts():
            scored[part["row"].filter(part["score"].is_not_null()).to_numpy()] = True
    if scored.all():
        return rows, list(placed)
    unscored = np.bincount(rows["source"].to_numpy()[~scored], minlength=len(dropped))
    for s, n_unscored in enumerate(unscored):
        count(dropped[s], "samples without any score", int(n_unscored))
    number = np.where(scored, np.cumsum(scored) - 1, -1)
    kept = rows.filter(pl.Series(scored))
    return kept, [replace(source, row_of=number[source.row_of]) for source in placed]


def _eta(task: pl.Series, judgement: SourceJudgement) -> NDArray[np.float64]:
    """Return eta_d of each row."""
    eta = task.replace_strict(
        dict(judgement.thresholds), default=judgement.threshold, return_dtype=pl.Float64
    )
    return eta.to_numpy()
