"""AlpacaEval: how far a judge prefers an answer to that of a baseline."""

from __future__ import annotations

from pathlib import Path

from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.json_files import Fault
from litellm_benchrouter.sources.judgments import JUDGE_ERRORS
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable
from litellm_benchrouter.sources.rows import (
    UndecidedError,
    look_number,
    look_text,
    marked_files,
    rows_in,
    sample_key,
)

_MOST_APART = 0.005  # between a leaderboard's win rate and that of the annotations


def read(path: Path, *, annotator: str | None = None, baseline: str | None = None) -> SourceTable:
    """Read AlpacaEval's `annotations.json`: how far a judge prefers an answer to the baseline's.

    The score is the preference less 1: 1 for the model, 0 for the baseline, 0.5 for a draw (1.5, or
    0 in older files), and in between in version 2; its mean is the win rate that AlpacaEval states,
    not the length-controlled one. The task is the `dataset` of an instruction. Leaderboards beside
    the annotations are compared with them, and are no results themselves.

    Parameters
    ----------
    path : Path
        A file, or a folder with such files, as `results` of AlpacaEval.
    annotator, baseline : str, optional
        Whose preferences are read, and against whom, where there are several.
    """
    collector = Collector(path)
    marks = ('"preference"', "win_rate")
    files = marked_files(path, (".json", ".csv"), marks, "AlpacaEval", collector.faults)
    boards = [file for file in files if file.suffix == ".csv"]
    rows = [
        (file, place, row)
        for file in files
        if file not in boards
        for place, row, _ in rows_in(file, collector.faults)
        if "preference" in row
    ]
    if boards and not rows:
        raise UndecidedError(
            f"{path} is a leaderboard of AlpacaEval, which has averages only. Give the folder with "
            "the annotations.json of each model."
        )
    for option, key, wanted in (
        ("annotator", "annotator", annotator),
        ("baseline", "generator_1", baseline),
    ):
        there = list(dict.fromkeys(str(row.get(key)) for _, _, row in rows))
        if wanted is None and len(there) > 1:
            raise UndecidedError(
                f"{path} has preferences of several {option}s ({listed(there)}), which do not "
                f"compare. Choose one with options: {{{option}: NAME}}."
            )
        if wanted is not None:
            n_rows = len(rows)
            rows = [each for each in rows if str(each[2].get(key)) == wanted]
            if n_rows > len(rows):
                collector.dropped[f"preferences of another {option}"] += n_rows - len(rows)
    for file, place, row in rows:
        with collector.faults.noted(file, place):
            instruction, model = look_text(row, "instruction"), look_text(row, "generator_2")
            if instruction is None or model is None:
                raise Fault("has no instruction and generator_2")
            preference = look_number(row, "preference")
            if preference is None or not (preference == 0 or 1 <= preference <= 2):
                collector.dropped[JUDGE_ERRORS] += 1
                score = None
            else:
                score = 0.5 if preference == 0 else preference - 1
            task = look_text(row, "dataset") or "alpaca_eval"
            sample = Sample(sample_key(task, instruction), task, instruction)
            collector.add(sample, model, score)
    table = collector.table("AlpacaEval")
    means = dict(table.scores.group_by("model").mean().select("model", "score").iter_rows())
    for file in boards:
        for _, row, _ in rows_in(file, collector.faults):
            model = next((str(value) for value in row.values() if value), "")  # its first column
            rate = look_number(row, "win_rate")
            mean = means.get(model)
            if rate is not None and mean is not None and abs(rate / 100 - mean) > _MOST_APART:
                table.warnings.append(
                    f"{file.name} states a win rate of {rate:.1f} % for {model}, the annotations "
                    f"have {100 * mean:.1f} %. Check that both are of the same judge and baseline."
                )
    return table
