"""The three forms of a table: a folder with samples and scores, long files, a wide file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources.column_names import is_no_model
from litellm_benchrouter.sources.columns import (
    no_model,
    refuse_a_doubtful_model,
    refuse_a_long_table,
    refuse_words_for_scores,
    say_unread,
    unread_words,
)
from litellm_benchrouter.sources.frames import listed, scan
from litellm_benchrouter.sources.json_files import Faults
from litellm_benchrouter.sources.long_rows import (
    about_failures,
    about_settings,
    refuse_several_metrics,
)
from litellm_benchrouter.sources.record import SourceTable, question
from litellm_benchrouter.sources.tidy import (
    BLANKS,
    SAMPLE,
    TableFile,
    as_number,
    as_text,
    complete,
    count,
    distinct_samples,
    is_number,
    lost_models,
    one_each,
    placed,
    require,
    useful_samples,
)

_MANY_RUNS = 9  # of a sample and model, besides the first, beyond which it may be a mistake

_Read = tuple[pl.DataFrame, pl.DataFrame, int]
"""Samples, results, and how many samples the source holds."""


@dataclass
class Reading:
    """The state of reading one path, with what was left out."""

    path: Path
    words: dict[str, float]
    dropped: Counter[str]
    faults: Faults
    warnings: list[str]
    unread: Counter[str]  # words in place of scores
    less_is_better: str = ""  # the name of the score where less of it is better

    def opened(
        self, paths: Sequence[Path], theirs: dict[str, str], *form: str | None
    ) -> list[TableFile]:
        """Open files under our names of their columns; other columns with such a name go."""
        options = dict(zip(("separator", "encoding", "sheet"), form, strict=True))
        tables = [scan(p, self.faults, **options) for p in paths]
        there = list(dict.fromkeys(name for table in tables for name in table.schema))
        for our, name in theirs.items():
            if not {name, name.partition(".")[0]} & {*there}:
                raise SourceError(
                    f'{self.path} has no column "{name}" to take for "{our}"; it has '
                    f"{listed(there)}."
                )
        files = []
        for table in tables:
            columns = {*table.schema}
            here = {o: n for o, n in theirs.items() if {n, n.partition(".")[0]} & columns}
            rest = {n: n for n in table.schema if n not in {*here, *here.values()}}
            files.append(TableFile(table, rest | here, {}))
        return files

    def collect(
        self, file: TableFile, texts: Sequence[str], numbers: Sequence[str]
    ) -> pl.DataFrame:
        """Read texts as categories, and numbers; count the values of all other columns."""
        others = [name for name in file.names if name not in {*texts, *numbers}]
        frame = file.table.collect(
            *(file.text(name).cast(pl.Categorical).alias(name) for name in texts),
            *(self.number(file, name) for name in numbers),
            *(file.column(name)[0].is_not_null().alias(name) for name in others),
        )
        for name in others:
            self.dropped[f'values in the unknown column "{name}"'] += int(frame[name].sum())
        return frame.drop(others)

    def number(self, file: TableFile, name: str) -> pl.Expr:
        column, dtype = file.column(name)
        value = as_number(column, dtype, self.words, file.table.decimal_comma)
        is_negative = name == "score" and self.less_is_better
        return (-value if is_negative else value).alias(name)

    def note_words(self, file: TableFile, scores: pl.DataFrame) -> None:
        """Note the words that stand in the columns of scores."""
        names = [name for name in scores.columns if scores[name].is_nan().any()]
        self.unread.update(unread_words(file, names, [self.number(file, n) for n in names]))

    def folder(self, samples_file: TableFile, file: TableFile) -> _Read:
        """Read the samples of a folder and their scores."""
        require(samples_file, ("sample_id", "task", "prompt"))
        texts = [name for name in SAMPLE if name in samples_file.columns]
        frame = _plain(self.collect(samples_file, texts, ())).with_row_index("source_row")
        n_rows = frame.height
        frame = complete(frame, ("sample_id", "task"), self.dropped)
        key = ["sample_id", "task", "prompt"]
        first = frame.unique("sample_id", keep="first", maintain_order=True)
        same = frame.join(first, on=key, how="semi", nulls_equal=True, maintain_order="left")
        samples, gone = one_each(same), frame.height - same.height
        count(self.dropped, "rows whose sample_id had another prompt", gone)
        count(self.dropped, "repeated samples", frame.height - gone - samples.height)
        if gone:
            self.warnings.append(
                f"{gone} samples have the sample_id of another sample with another prompt, so that "
                "scores under it may be of either. Give each sample an id of its own, as TASK/ID."
            )
        require(file, ("sample_id", "model", "score"))
        self.say_how_rows_differ(file)
        numbers = [name for name in file.columns if is_number(name)]
        scores = self.collect(file, ["sample_id", "model"], numbers)
        self.note_words(file, scores.select("score"))
        scores = complete(scores, ("sample_id", "model"), self.dropped)
        ids = samples.select(pl.col("sample_id").cast(pl.Categorical)).with_row_index("row")
        scores = scores.join(ids, on="sample_id", how="left", maintain_order="left")
        scores = self.counted(scores.drop("sample_id"), numbers)
        unknown, scores = scores.filter(pl.col("row").is_null()), scores.drop_nulls("row")
        count(self.dropped, "scores of unknown samples", len(unknown))
        self.warnings += lost_models(
            _by_model(unknown), scores["model"], "a sample_id that no sample has"
        )
        return samples, scores, n_rows

    def say_how_rows_differ(self, file: TableFile) -> None:
        """Refuse rows of several metrics; warn of those of several settings, and of failures."""
        refuse_several_metrics(file)
        self.warnings += about_settings(file)
        self.warnings += about_failures(file, self.number(file, "score"))

    def long(self, files: Sequence[TableFile]) -> _Read:
        """Read the samples and scores of files with a row a sample and model."""
        parts = []
        for file in files:
            require(file, ("task", "prompt", "model", "score"))
            self.say_how_rows_differ(file)
            texts = [name for name in (*SAMPLE, "model") if name in file.columns]
            parts.append(self.collect(file, texts, [n for n in file.columns if is_number(n)]))
            self.note_words(file, parts[-1].select("score"))
        whole = parts[0] if len(parts) == 1 else pl.concat(parts, how="diagonal")
        frame = complete(whole, ("sample_id", "task", "model"), self.dropped)
        for name in ("sample_id", "task") if len(frame) < len(whole) else ():
            without = whole.filter(pl.col(name).is_null()) if name in whole.columns else frame[:0]
            self.warnings += lost_models(_by_model(without), frame["model"], f"no {name}")
        texts = [name for name in SAMPLE if name in frame.columns]
        distinct = frame.select(texts).unique(maintain_order=True)
        lines = _plain(distinct).with_row_index("source_row")
        samples, row_of = distinct_samples(lines, distinct.height)
        rows = distinct.with_columns(row=pl.Series(row_of))
        results = frame.join(rows, on=texts, how="left", nulls_equal=True, maintain_order="left")
        results = results.drop(texts)
        is_gone = results["row"] < 0
        if is_gone.any():
            why = "rows whose sample_id had another prompt"
            gone, results = results.filter(is_gone), results.filter(~is_gone)
            count(self.dropped, why, len(gone))
            other = "another prompt under the same sample_id"
            self.warnings += lost_models(_by_model(gone), results["model"], other)
        results = self.counted(results, [n for n in results.columns if is_number(n)])
        return samples.drop("source_row").with_row_index("source_row"), results, samples.height

    def counted(self, results: pl.DataFrame, numbers: Sequence[str]) -> pl.DataFrame:
        """Count what is no number (NaN) or is empty, and make it null."""
        for name in numbers:
            words = "scores" if name == "score" else f"values of {name}"
            count(self.dropped, f"{words} that are not numbers", int(results[name].is_nan().sum()))
        count(self.dropped, "empty scores", results["score"].null_count())
        models = pl.Enum(results["model"].unique(maintain_order=True).cast(pl.String))
        return results.select("row", pl.col("model").cast(models), pl.col(*numbers).fill_nan(None))

    def wide(self, file: TableFile, models: list[str] | dict[str, str] | None) -> _Read:
        """Read the samples and scores of a file with a row a sample."""
        costs = [name for name in file.columns if name.endswith("|total_cost")]
        if costs:
            raise SourceError(
                f'{file.table.path} has RouterBench\'s columns ("{costs[0]}"); read it with kind: '
                "routerbench."
            )
        require(file, ("task", "prompt"))
        texts = [name for name in SAMPLE if name in file.columns]
        others = [name for name in file.columns if name not in SAMPLE]
        require(file, list(models or ()))
        named = dict(models) if isinstance(models, dict) else dict.fromkeys(models or others)
        frame = file.table.collect(
            *(file.text(name) for name in texts), *(self.number(file, name) for name in others)
        )
        columns, useless = [], []
        for name in others:
            scores = frame[name]
            is_model = name in named if models else not is_no_model(name)
            if not is_model or is_number(name) or not scores.fill_nan(None).count():
                self.dropped[f'values in the unknown column "{name}"'] += scores.count()
                if is_model and (models or file.names[name] != name):
                    useless.append(name)
                continue
            columns.append(name)
            n_other = int(scores.is_nan().sum())
            count(self.dropped, "scores that are not numbers", n_other)
            count(self.dropped, "empty scores", scores.null_count())
        if not columns:
            refuse_a_long_table(file, frame, others)
            raise SourceError(no_model(file, others))
        self.note_words(file, frame.select(columns + useless))
        if useless:
            self.warnings.append(
                f"Columns that the options name as models have no number: {listed(useless)}. These "
                "models are left out."
            )
        frame = frame.with_columns(pl.col(columns).fill_nan(None))
        refuse_several_metrics(file, columns)
        if models is None:
            rest = [name for name in others if name not in columns]
            refuse_words_for_scores(file, rest)
            refuse_a_long_table(file, frame, rest)
            refuse_a_doubtful_model(file, frame.select(columns))
        self.warnings += about_settings(file, columns)
        lines = _plain(frame.select(texts)).with_row_index("source_row")
        lines = complete(lines, ("sample_id", "task"), self.dropped)
        samples, row_of = distinct_samples(lines, frame.height)
        n_gone = lines.height - int(np.count_nonzero(row_of >= 0))
        count(self.dropped, "rows whose sample_id had another prompt", n_gone)
        placed_rows = frame.select(*columns, row=pl.Series(row_of)).filter(pl.col("row") >= 0)
        model_of = {name: named.get(name) or name.strip(BLANKS) for name in columns}
        enum = pl.Enum(list(dict.fromkeys(model_of.values())))
        parts = [
            placed_rows.select(
                pl.col("row").cast(pl.UInt32), model=pl.lit(model_of[name], enum), score=name
            ).drop_nulls("score")
            for name in columns
        ]
        return samples, pl.concat(parts), frame.height

    def finished(
        self,
        samples: pl.DataFrame,
        results: pl.DataFrame,
        n_rows: int,
        tasks: Sequence[str] | None,
        facts: dict[str, ModelFacts],
    ) -> SourceTable:
        """Leave out samples without a prompt or of other tasks, with their results."""
        useful, position = useful_samples(samples, tasks, self.path, self.dropped)
        results = placed(results, position, self.dropped)
        again = self.dropped["repeated results, which are averaged"]
        if again > _MANY_RUNS * len(results):
            self.warnings.append(
                f"{again + len(results)} results are of {len(useful)} samples alone, by prompt or "
                "sample_id, and are averaged. Where these are different questions, give each a "
                "prompt and a sample_id of its own."
            )
        self.dropped.update(self.faults.counted())
        if not results["score"].count():
            left_out = ", ".join(f"{words}: {n}" for words, n in sorted(self.dropped.items()))
            raise SourceError(
                f"{self.path} holds no sample with a score (left out: {left_out or 'nothing'}); "
                "see that it holds prompts, and scores that are numbers."
                f"{f' {said}' if (said := say_unread(self.unread)) else ''}"
            )
        self.warnings += [said] if (said := say_unread(self.unread)) else []
        if self.less_is_better:
            self.warnings.append(
                f'Less of "{self.less_is_better}" is better, so its negative is the score: the '
                "threshold has to be negative, too."
            )
        return SourceTable(useful, results, facts, self.dropped, n_rows, self.warnings)


def _by_model(results: pl.DataFrame) -> dict[str, int]:
    models = results["model"].cast(pl.String).drop_nulls()
    return dict(models.value_counts().sort("model").iter_rows())


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Return categories as text, and of a prompt that is a chat the question."""
    frame = frame.with_columns(pl.col(pl.Categorical).cast(pl.String))
    if not frame["prompt"].str.contains(r"^\s*\[").any():
        return frame
    prompts = pl.Series([question(prompt) for prompt in frame["prompt"]], dtype=pl.String)
    return frame.with_columns(as_text(pl.lit(prompts), "prompt"))
