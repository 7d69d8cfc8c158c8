"""What judges said of answers: MT-Bench and arenas."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal

from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.json_files import Fault
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable
from litellm_benchrouter.sources.rows import (
    Row,
    UndecidedError,
    answer_text,
    as_number,
    asked,
    look,
    look_text,
    marked_files,
    question_files,
    rows_in,
    sample_key,
)

_ENDINGS = (".jsonl", ".json", ".parquet", ".csv")
_BESIDE = ("question.jsonl", "model_answer", "reference_answer")
_STRONG = 3  # battles that "much better" stands for, as in arena-hard
JUDGE_ERRORS = "judgments that failed, which are missing and not wrong"


def mt_bench(
    path: Path,
    *,
    questions: str | None = None,
    judge: str | None = None,
    turn: Literal[1, 2] | None = None,
) -> SourceTable:
    """Read FastChat's ratings of single answers (`*_single.jsonl`), joined with `question.jsonl`.

    A rating from 1 to 10 becomes (rating - 1) / 9, so that by default a rating of 6 and more is
    correct. -1, which stands for a judgment that failed, is missing: where one of two turns failed,
    the other counts alone. The prompt is the first turn of a question and the task its category.

    Parameters
    ----------
    path : Path
        A file, or a folder such as `data/mt_bench`.
    questions : str, optional
        The file with the questions, from the path's folder. Default: `question.jsonl` below the
        folder, or up to three folders above.
    judge : str, optional
        The judge whose ratings are read, where there are several.
    turn : int, optional
        Only the ratings of this turn. Default: both, averaged, as MT-Bench does.
    """
    collector = Collector(path)
    files = marked_files(
        path, _ENDINGS, ('"judgment"',), "MT-Bench", collector.faults, beside=_BESIDE
    )
    rows = _judged(files, ("model", "score"), judge, collector)
    asked_of = _questions(path, questions, rows)
    turns: defaultdict[str, set[str]] = defaultdict(set)
    for file, place, row in rows:
        with collector.faults.noted(file, place):
            if turn is not None and row.get("turn") != turn:
                collector.dropped["ratings of the other turn"] += 1
                continue
            rating = as_number(row["score"])
            if rating is None or not 1 <= rating <= 10:
                is_error = rating in (None, -1)
                collector.dropped[JUDGE_ERRORS if is_error else "ratings outside 1 to 10"] += 1
                rating = None
            model = str(row["model"])
            turns[model].add(str(row.get("turn")))
            sample = _sample(row, asked_of)
            collector.add(sample, model, None if rating is None else (rating - 1) / 9)
    table = collector.table("MT-Bench", "judge", judge)
    if len({len(of_model) for of_model in turns.values()}) > 1:
        single = sorted(model for model, of_model in turns.items() if len(of_model) == 1)
        table.warnings.append(
            f"Only one turn is rated of {listed(single)}, and two of others. Compare one turn with "
            "options: {turn: 1}."
        )
    return table


def arena(
    path: Path, *, questions: str | None = None, judge: str | None = None, task: str | None = None
) -> SourceTable:
    """Read comparisons of two answers: 1 for the better one, 0.5 each for a tie, 0 for the worse.

    Three kinds of rows are known: FastChat's `*_pair.jsonl` (a win only where both orders agree),
    arena-hard's games against a baseline (the mean of both orders, in which "much better" counts
    three times), and battles between `model_a` and `model_b` with a `winner` and conversations.

    Parameters
    ----------
    path : Path
        A file (JSONL, JSON, Parquet, CSV), or a folder with such files.
    questions : str, optional
        As in `mt_bench`. Battles hold their prompts.
    judge : str, optional
        The judge whose comparisons are read, where there are several.
    task : str, optional
        The task of all. Default: the question's category, else "arena".
    """
    collector = Collector(path)
    marks = ("g1_winner", '"games"', "winner")
    files = marked_files(path, _ENDINGS, marks, "an arena", collector.faults, beside=_BESIDE)
    rows = _judged(files, (), judge, collector)
    opponents: defaultdict[str, set[str]] = defaultdict(set)
    joined = [row for _, _, row in rows if "winner" not in row]
    asked_of = _questions(path, questions, rows) if joined else {}
    for file, place, row in rows:
        with collector.faults.noted(file, place):
            sample = _battle(row) if "winner" in row else _sample(row, asked_of)
            if task is not None:
                sample = sample._replace(task=task, sample_id=f"{task}/{sample.sample_id}")
            scores = _compared(row)
            if None in scores.values():
                collector.dropped[JUDGE_ERRORS] += 1
            for model, score in scores.items():
                collector.add(sample, model, score)
            against = look_text(row, "baseline")
            for model in scores:
                opponents[model] |= ({against} if against else {*scores}) - {model}
    table = collector.table("an arena", "judge", judge)
    met = {model: frozenset(others) for model, others in opponents.items() if others}
    alike = len(set(met.values())), len({others | {model} for model, others in met.items()})
    if met and min(alike) > 1:
        fewest = min(met, key=lambda model: len(met[model]))
        table.warnings.append(
            "Models did not all meet the same opponents, so their shares of wins do not compare "
            f"like with like; {fewest} met {len(met[fewest])} of "
            f"{len(frozenset().union(*met.values()) - {fewest})}."
        )
    return table


def _judged(
    files: list[Path], needed: tuple[str, ...], judge: str | None, collector: Collector
) -> list[tuple[Path, str, Row]]:
    """Return the rows of one judge; raise UndecidedError where there are several."""
    rows, judges = [], Counter[str]()
    for file in files:
        for place, row, _ in rows_in(file, collector.faults):
            with collector.faults.noted(file, place):
                is_other = {"model_1", "games", "winner"} & row.keys()
                if (is_other if needed else not is_other) or not {*needed} <= row.keys():
                    collector.dropped["rows of another kind"] += 1
                    continue
                by = row.get("judge")
                name = str(by[0] if isinstance(by, list) and by else by)
                judges[name] += 1
                if judge in (None, name):
                    rows.append((file, place, row))
    named = [name for name in judges if name != "None" and not _is_person(name)]
    if judge is None and len(named) > 1:
        raise UndecidedError(
            f"{collector.root} has verdicts of several judges ({listed(named)}). Choose one with "
            "options: {judge: NAME}."
        )
    return rows


def _is_person(judge: str) -> bool:
    """Say whether a judge is one of many people, as in MT-Bench's human judgments."""
    return judge.startswith(("author_", "expert_", "arena_user_"))


def _key(row: Row) -> str:
    key = look(row, "question_id", "uid")
    if key is None:
        raise Fault("has no question_id and no uid")
    return str(key)


def _questions(path: Path, given: str | None, rows: list[tuple[Path, str, Row]]) -> dict[str, Row]:
    files = question_files(path, given, "question.jsonl")
    collector = Collector(path)
    by_id = {
        str(look(row, "question_id", "uid")): row
        for file in files
        for _, row, _ in rows_in(file, collector.faults)
    }
    if rows and not by_id:
        raise UndecidedError(
            f"{path}: judgments hold no prompts, and no question.jsonl is here or up to three "
            "folders above. Name it with options: {questions: FILE}."
        )
    return by_id


def _sample(row: Row, asked_of: dict[str, Row]) -> Sample:
    key = _key(row)
    question = asked_of.get(key)
    if question is None:
        raise Fault(f"is about a question that question.jsonl does not have ({key})")
    turns = look(question, "turns")
    text = asked(turns[0] if isinstance(turns, list) else question.get("prompt"))
    if not text:
        raise Fault(f"is about a question without text ({key})")
    task = look_text(question, "category", "cluster") or look_text(row, "category") or "arena"
    reference = look(question, "reference")
    first = reference[0] if isinstance(reference, list) and reference else reference
    return Sample(key, task, text, answer_text(first))


def _battle(row: Row) -> Sample:
    text = asked(look(row, "conversation_a", "prompt"))
    if not text:
        raise Fault("has no conversation_a")
    task = look_text(row, "category", "task") or "arena"
    return Sample(sample_key(task, text), task, text)


def _compared(row: Row) -> dict[str, float | None]:
    """Return the score of each model that a row compares; None where the judge failed."""
    if "winner" in row:
        first, second = (look_text(row, name) for name in ("model_a", "model_b"))
        won = {"model_a": 1.0, "model_b": 0.0}.get(str(row["winner"]))
        if won is None:
            won = 0.5 if str(row["winner"]).startswith(("tie", "both")) else None
    elif "games" in row:
        model = look_text(row, "model")
        if model is None:
            raise Fault("has no model")
        return {model: _games(row["games"])}
    else:
        first, second = (look_text(row, name) for name in ("model_1", "model_2"))
        winners = [row.get("g1_winner"), row.get("g2_winner")]
        agreed = winners[0] if winners[0] == winners[1] else "tie"
        won = {"model_1": 1.0, "model_2": 0.0}.get(str(agreed), 0.5)
        won = None if "error" in winners or None in winners else won
    if first is None or second is None:
        raise Fault("has no two models")
    return {first: won, second: None if won is None else 1 - won}


def _games(games: object) -> float | None:
    """Return the share of arena-hard's battles that a model wins against the baseline.

    In the first game the baseline is A, in the second B.
    """
    battles: list[float] = []
    for number, game in enumerate(games if isinstance(games, list) else []):
        label = look_text(game, "score")
        if label is None or label[:1] not in "AB":
            return None
        side, sign = label[0], label[1:-1]
        of_a = 0.5 if sign == "=" else float((side == "A") == (sign[0] == ">"))
        battles += [of_a if number % 2 else 1 - of_a] * (_STRONG if len(sign) == 2 else 1)
    return sum(battles) / len(battles) if battles else None
