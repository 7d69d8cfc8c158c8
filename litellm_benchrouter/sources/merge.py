"""Several sources, each with its thresholds, become one benchmark."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import MISSING, Benchmark, ModelFacts, mean
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.grid import Grid, Placed, SourceJudgement, SourceReport
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.remarks import remarks
from litellm_benchrouter.sources.tidy import OF_SAMPLE, SAMPLE, count, models_of, one_each

__all__ = ["MergeReport", "SourceJudgement", "SourceReport", "merge"]

_MANY = 20  # samples from which on it is no chance that no two models share one


@dataclass(frozen=True)
class MergeReport:
    """The sources of a benchmark, and warnings about it."""

    sources: list[SourceReport]
    warnings: list[str]
    # shape (n, 2): where each row came from first: the source, and its row there before anything
    # was left out
    source_row: NDArray[np.int64]
    n_rows: list[int]  # samples that each source held then

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without what says which row of a source is where."""
        return {"sources": [s.as_dict() for s in self.sources], "warnings": self.warnings}


def merge(
    tables: Sequence[tuple[SourceTable, SourceJudgement]],
    *,
    aliases: Mapping[str, str],
    facts: Mapping[str, ModelFacts],
    keep_models: Sequence[str] | None = None,
) -> tuple[Benchmark, MergeReport]:
    """Merge sources into one benchmark, its tasks and models sorted by name.

    Samples stay in the order of the sources. The same sample_id with the same task and prompt is
    the same sample, and its scores come together in one row. An id that stands for different
    samples in different sources gets the name of the source in front ("NAME/ID"). Where several
    sources, or several names of a model (`aliases`), give a score for the same cell, the first one
    counts. The operator's facts go before what the sources state; with `keep_models` all other
    models are left out.

    Raises SourceError where no sample has a score, a model to keep is in no source, two sources
    that have to be told apart have the same name, no sample has results of two models, or scores
    are above 1 and no threshold says which are correct.
    """
    if not tables:
        raise SourceError("there are no sources; name at least one.")
    dropped = [Counter(table.dropped) for table, _ in tables]
    samples = _samples(tables)
    models, warnings, placed = _models(tables, aliases, facts, keep_models, dropped)
    for s, source in enumerate(placed):
        source.row_of = samples.filter(source=s)["row"].to_numpy().astype(np.int64)
    rows = _with_scores(one_each(samples, "row"), placed, dropped)
    tasks = sorted(rows["task"].unique())
    grid = Grid(placed, rows["task"], len(models))
    reports = []
    for source, (table, judgement), left_out in zip(placed, tables, dropped, strict=True):
        report, of_source = grid.fill(source, judgement, left_out, models)
        reports.append(report)
        warnings += [f"{judgement.name}: {warning}" for warning in table.warnings] + of_source
        unused = sorted(set(judgement.thresholds) - set(table.samples["task"].unique()))
        if unused:
            warnings.append(
                f"{judgement.name} lacks tasks that have a threshold: {listed(unused)}."
            )
    if (
        len(rows) >= _MANY
        and len(models) > 1
        and ((grid.correctness != MISSING).sum(axis=1) < 2).all()
    ):
        raise SourceError(
            "the sources hold no sample with results of two models, so that none can be compared "
            "with another; where they answered the same questions, give these the same sample_id, "
            "or prompts that are the same to the letter and no sample_id."
        )
    benchmark = Benchmark(
        sample_ids=rows["sample_id"].to_list(),
        prompts=rows["prompt"].to_list(),
        task=rows["task"].cast(pl.Enum(tasks)).to_physical().to_numpy().astype(np.int32),
        tasks=tuple(tasks),
        models=tuple(models),
        correctness=grid.correctness,
        scores=grid.scores,
        facts=_facts(tables, aliases, facts, models, grid.columns),
        columns=grid.columns,
        references=rows["reference"].to_list() if rows["reference"].count() else None,
        split=rows["split"].fill_null("").to_list() if rows["split"].count() else None,
        group=rows["group"].to_list() if rows["group"].count() else None,
    )
    warnings += remarks(benchmark, rows, samples["task"])
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
        absent = {*OF_SAMPLE} - {*frame.columns}
        frame = frame.with_columns(pl.lit(None).alias(name) for name in absent)
        texts = pl.col(SAMPLE).cast(pl.String)
        frame = frame.select(texts, "source_row", source=pl.lit(s, pl.UInt32))
        if len(tables) > 1:  # equal names in two sources mean nothing
            frame = frame.with_columns(group=pl.concat_str(pl.lit(f"{s}/"), "group"))
        frames.append(frame)
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
    return _united(samples.join(numbered, on="sample_id", how="left", maintain_order="left"))


def _united(samples: pl.DataFrame) -> pl.DataFrame:
    """Give the groups of several sources that share a sample (`row`) one name, the first."""
    pairs = samples.select("row", "group").drop_nulls().unique(maintain_order=True)
    if not pairs["row"].is_duplicated().any():
        return samples
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = pairs["group"].unique(maintain_order=True)
    group = pairs["group"].cast(pl.Enum(names)).to_physical().to_numpy()
    node = len(names) + pairs["row"].to_numpy().astype(np.int64)  # of each sample
    size = int(node.max()) + 1
    edges = (np.ones(len(pairs)), (group, node))
    _, part = connected_components(coo_array(edges, shape=(size, size)), directed=False)
    _, first, of_name = np.unique(part[: len(names)], return_index=True, return_inverse=True)
    return samples.with_columns(pl.col("group").replace_strict(names, names[first][of_name]))


def _models(
    tables: Sequence[tuple[SourceTable, SourceJudgement]],
    aliases: Mapping[str, str],
    facts: Mapping[str, ModelFacts],
    keep_models: Sequence[str] | None,
    dropped: Sequence[Counter[str]],
) -> tuple[list[str], list[str], list[Placed]]:
    """Return the models of the benchmark by name, warnings about those without a score, and the
    results of each source with the number in the benchmark of each of its models.
    """
    tallies = []
    named: set[str] = set()
    scored: set[str] = set()
    for table, _ in tables:
        tally = table.results.group_by("model").agg(pl.col("score").count())
        n_scores = dict(tally.with_columns(pl.col("model").cast(pl.String)).iter_rows())
        tallies.append(n_scores)
        named |= {aliases.get(name, name) for name in n_scores}
        scored |= {aliases.get(name, name) for name, n in n_scores.items() if n}
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
    placed = []
    for (table, _), n_scores, left_out in zip(tables, tallies, dropped, strict=True):
        theirs = models_of(table.results)
        model_of = np.array([number.get(aliases.get(n, n), -1) for n in theirs], dtype=np.int64)
        n_left_out = sum(n for name, n in n_scores.items() if aliases.get(name, name) not in number)
        count(left_out, "scores of models that are not kept", n_left_out)
        placed.append(Placed(table.results, model_of))
    return models, warnings, placed


def _with_scores(
    rows: pl.DataFrame, placed: Sequence[Placed], dropped: Sequence[Counter[str]]
) -> pl.DataFrame:
    """Leave out samples that no model has a score for, and number the others anew."""
    is_scored = np.zeros(len(rows), dtype=bool)
    for source in placed:
        for part in source.parts():
            is_scored[part.drop_nulls("score")["row"].to_numpy()] = True
    if is_scored.all():
        return rows
    unscored = np.bincount(rows["source"].to_numpy()[~is_scored], minlength=len(dropped))
    for left_out, n_unscored in zip(dropped, unscored, strict=True):
        count(left_out, "samples without any score", int(n_unscored))
    number = np.where(is_scored, np.cumsum(is_scored) - 1, -1)
    for source in placed:
        source.row_of = number[source.row_of]
    return rows.filter(pl.Series(is_scored))


def _facts(
    tables: Sequence[tuple[SourceTable, object]],
    aliases: Mapping[str, str],
    facts: Mapping[str, ModelFacts],
    models: Sequence[str],
    columns: Mapping[str, NDArray[np.float32]],
) -> dict[str, ModelFacts]:
    """Take each fact from whoever states it first: operator, sources in order, recorded means."""
    stated = {model: [facts[model]] if model in facts else [] for model in models}
    for table, _ in tables:
        for name, of_source in table.models.items():
            stated.get(aliases.get(name, name), []).append(of_source)
    means = {name: mean(columns[name]) for name in _RECORDED if name in columns}
    for m, model in enumerate(models if means else ()):
        recorded = {name: float(values[m]) for name, values in means.items()}
        facts_recorded: dict[str, Any] = {
            _RECORDED[name]: value
            for name, value in recorded.items()
            if not np.isnan(value) and (value or name == "cost_usd")
        }
        stated[model].append(ModelFacts(**facts_recorded))
    merged = {}
    for model, several in stated.items():
        stated_facts = [
            {n: v for n, v in asdict(each).items() if v is not None} for each in several
        ]
        if stated_facts:
            merged[model] = ModelFacts(**dict(ChainMap(*stated_facts)))
    return merged


_RECORDED = {  # tokens are 0 where a tool does not count them
    "cost_usd": "mean_cost_usd",
    "prompt_tokens": "mean_input_tokens",
    "completion_tokens": "mean_output_tokens",
}
