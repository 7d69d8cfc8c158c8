"""Which columns of a table may be models, by how their values look, and what to ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.column_names import is_no_model
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.tidy import TableFile

NOTHING = frozenset(("nan", "+nan", "-nan", "n/a", "na", "none", "null", "nil", "-", "--", "?"))
"""Words, in lower case, that stand where nothing is."""

_VERDICTS = frozenset(
    ("pass", "passed", "fail", "failed", "correct", "incorrect", "right", "wrong", "success")
)
_YES_OR_NO = frozenset(
    (
        *("yes", "no", "y", "n", "t", "f", "true", "false", "ok", "ja", "nein", "wahr", "falsch"),
        *("richtig", "oui", "non", "vrai", "faux", "si", "sí", "sì", "verdadero", "falso"),
        *("correcto", "incorrecto", "vero", "sim", "não", "verdadeiro", "да", "нет", "tak", "nie"),
        *("是", "否", "对", "错", "✓", "✔", "✗", "✘", "✅", "❌"),
    )
)
_RUN = re.compile(r"(run|seed|trial|attempt|epoch|repeat|rep|try)[ _-]?\d+", re.IGNORECASE)
_MANY = 20  # rows from which on a column that does not look like the others is asked about
_MANY_MORE = 100  # ... and one that a good or a bad model may have on easy or hard questions


def no_model(file: TableFile, others: Sequence[str]) -> str:
    """Say that no column holds a model's scores, and what might."""
    for name in others:
        if keys := _keys(file, name):
            columns = ", ".join(f"{key}: {name}.{key}" for key in keys)
            return (
                f'{file.table.path} has no column of numbers, but "{name}" holds objects with the '
                f"keys {listed(keys)}; where these are models, give options: "
                f"{{columns: {{{columns}}}}}."
            )
    for name, words in _words(file, others).items():
        if unread := _unread_numbers(file, name, words):
            return unread
        if 1 < len(words) <= 5 and max(map(len, words)) < 20 and not any(map(_is_number, words)):
            return (
                f'{file.table.path} has no column of numbers, but "{name}" holds '
                f"{listed(words)}; say what they mean with options: {{words: {_meaning(words)}}}."
            )
    scores = [n for n in others if is_no_model(n)]
    example = (
        f' Where "{scores[0]}" has one model\'s, give options: {{score: {scores[0]}, model: NAME}}.'
        if scores
        else ""
    )
    return (
        f"{file.table.path} has no column with a model's scores (it has {listed(file.columns)}); a "
        "wide table has one column a model, a long one has the columns model and score. Name the "
        "models with options: {models: [...]} where their names look like something else."
        f"{example}"
    )


def _words(file: TableFile, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the first different texts in each column that holds text."""
    columns = {n: column for n in names for column, dtype in [file.column(n)] if dtype == pl.String}
    if not columns:
        return {}
    some = file.table.frame.select(c.alias(n) for n, c in columns.items()).head(1_000).collect()
    different = {n: some[n].drop_nulls().unique(maintain_order=True).to_list() for n in columns}
    return {n: [word for word in words if word.strip()] for n, words in different.items()}


def _keys(file: TableFile, name: str) -> list[str]:
    """Return the keys of a column of objects, else nothing."""
    dtype = file.column(name)[1]
    if isinstance(dtype, pl.Struct):
        return [field.name for field in dtype.fields]
    return _keys_of(_words(file, [name]).get(name, []))


def _keys_of(words: Iterable[str]) -> list[str]:
    """Return the keys that all of some JSON objects have, else nothing."""
    keys: list[str] = []
    for n, word in enumerate(words):
        try:
            value = json.loads(word) if word.startswith("{") else None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            return []
        keys = [*value] if n == 0 else [key for key in keys if key in value]
    return keys


def _unread_numbers(file: TableFile, name: str, words: Sequence[str]) -> str:
    """Say that a column holds numbers with commas ("0,5"); "" where it does not."""
    said = [word for word in words if word.strip().lower() not in NOTHING]
    if not said or not all("," in word and _is_number(word) for word in said):
        return ""
    return (
        f'{file.table.path}: "{name}" holds numbers that may be read in several ways '
        f"({listed(said, 3)}). Write them with a point and without separators of thousands, or "
        "name the models with options: {models: [...]}."
    )


def _is_number(word: str) -> bool:
    try:
        float(word.strip("% ").replace(",", "."))
    except ValueError:
        return False
    return True


def _meaning(words: Sequence[str]) -> str:
    return "{" + ", ".join(f"{word}: ..." for word in words) + "}"


def refuse_words_for_scores(file: TableFile, others: Sequence[str]) -> None:
    """Refuse columns of verdicts ("PASS") beside columns of numbers: these models would be lost."""
    for name, words in _words(file, [n for n in others if not is_no_model(n)]).items():
        spelled = {word.strip().lower() for word in words} - NOTHING
        if unread := _unread_numbers(file, name, words):
            raise SourceError(unread)
        is_yes_or_no = len(spelled) > 1 and spelled <= _YES_OR_NO
        if len(words) <= 5 and (spelled & _VERDICTS or is_yes_or_no):
            raise SourceError(
                f'{file.table.path}: "{name}" holds {listed(words)}, and other columns hold '
                f"numbers. Say what the words mean with options: {{words: {_meaning(words)}}}, or "
                "name the models with options: {models: [...]}."
            )


def _refuse_several_columns_a_model(file: TableFile, names: Sequence[str]) -> None:
    """Refuse columns as "ant_f1" and "ant_bleu", or "ant_run1" and "ant_run2": no two models."""
    metrics: dict[str, list[str]] = {}
    for name in names:
        for mark in re.finditer(r"[_/.:|\s-]+", name):
            rest = name[mark.end() :]
            if mark.start() and rest and (is_no_model(rest) or _RUN.fullmatch(rest)):
                metrics.setdefault(name[: mark.start()], []).append(name)
    for model, several in metrics.items():
        if len(several) > 1:
            raise SourceError(
                f"{file.table.path}: the columns {listed(several)} may be several metrics of one "
                f'model, "{model}". Name one column of each model with options: '
                f"{{models: {{{several[0]}: {model}}}}}."
            )


def refuse_a_doubtful_model(file: TableFile, scores: pl.DataFrame) -> None:
    """Refuse a column of numbers that do not look like the scores of the other columns."""
    names = scores.columns
    _refuse_several_columns_a_model(file, names)
    words = _words(file, names)
    values = {n: scores[n].drop_nulls() for n in names}
    labels = {n: int(values[n].is_in([0.0, 1.0]).sum()) / max(len(values[n]), 1) for n in names}
    varied = {n: values[n].n_unique() > 1 for n in names}
    doubts = {"values outside [0, 1]": [n for n in names if not values[n].is_between(0, 1).all()]}
    if scores.height >= _MANY:  # less is no benchmark, and chance makes anything alike
        doubts["true and false"] = [n for n in names if _is_truth(file, n, words.get(n, []))]
        if max(labels.values()) == 1:  # half right, or right in some of several runs, is usual
            doubts["mostly parts of 1"] = [n for n in names if labels[n] < 0.5]
    if scores.height >= _MANY_MORE:
        doubts["one value alone"] = [n for n in names if len(values[n]) > 1 and not varied[n]]
        doubts["the best of the others in every row"] = _best_of_all(scores)
        doubts["what most of the others have in every row"] = _most_of_all(scores)
    for how, doubtful in doubts.items():
        rest = [n for n in names if n not in doubtful]
        if doubtful and rest:
            likely = max(rest, doubtful, key=len)  # flags are fewer than models
            raise SourceError(
                f"{file.table.path}: the columns {listed(doubtful)} hold {how}, and {listed(rest)} "
                "do not. Name those that are models with options: "
                f"{{models: [{', '.join(likely)}]}}."
            )


def _best_of_all(scores: pl.DataFrame) -> list[str]:
    """Return the column that has the best score of each row, where no other column has."""
    best = scores.max_horizontal()
    alike = [name for name in scores.columns if scores[name].equals(best)]
    return alike if len(alike) == 1 and scores.width > 2 else []


def _most_of_all(scores: pl.DataFrame) -> list[str]:
    """Return the column that says in each row what most others say, where no other column does."""
    total = scores.sum_horizontal()
    n_scored = scores.select(pl.all().is_not_null().cast(pl.UInt32)).sum_horizontal()
    alike = []
    for name in scores.columns if scores.width > 3 else ():
        one = scores[name]
        others = (total - one) / (n_scored - 1)  # null where the column is
        is_clear = ((others - 0.5).abs() > 1e-6).fill_null(value=False) & (n_scored > 1)
        if one.filter(is_clear).equals((others > 0.5).cast(pl.Float64).filter(is_clear)):
            alike.append(name)
    return alike if len(alike) == 1 else []


def _is_truth(file: TableFile, name: str, words: Sequence[str]) -> bool:
    """Say whether a column holds true and false, as flags do."""
    spelled = {word.strip().lower() for word in words}
    return file.column(name)[1] == pl.Boolean or bool(spelled and spelled <= {"true", "false"})


def refuse_a_long_table(file: TableFile, frame: pl.DataFrame, others: Sequence[str]) -> None:
    """Refuse a table with several rows a sample, each with another word: that may be the model."""
    key = ["sample_id"] if "sample_id" in frame.columns else ["task", "prompt"]
    if frame.height < 4 or frame.select(key).n_unique() > frame.height / 2:
        return
    for name in others:
        if file.column(name)[1] != pl.String or is_no_model(name):
            continue
        texts = file.table.collect(*(file.text(n) for n in key), file.column(name)[0].alias("\0"))
        words = texts["\0"].drop_nulls().unique().cast(pl.String).sort().to_list()
        if 1 < len(words) <= frame.height / 2 and texts.n_unique() == frame.height:
            raise SourceError(
                f'{file.table.path}: every sample has several rows, each with another "{name}" '
                f"({listed(words, 3)}). Where that is "
                f"the model, give options: {{columns: {{model: {name}, score: THEIRS}}}}."
            )


def unread_words(
    file: TableFile, names: Sequence[str], numbers: Sequence[pl.Expr]
) -> dict[str, int]:
    """Return the words in columns of scores that are no numbers and do not say "none"."""
    counts: dict[str, int] = {}
    for name, score in zip(names, numbers, strict=True):
        column, dtype = file.column(name)
        if dtype not in (pl.String, pl.Categorical):
            continue
        text = column.cast(pl.String).str.strip_chars()
        bad = file.table.frame.select(word=text, score=score).filter(pl.col("score").is_nan())
        for word, n in bad.group_by("word").len().collect().iter_rows():
            if word.lower() not in NOTHING:
                counts[word] = counts.get(word, 0) + n
    return counts


def say_unread(words: Mapping[str, int]) -> str:
    """Return a sentence that names words in place of scores; "" where there are none."""
    if not words:
        return ""
    if keys := _keys_of(words):
        return (
            f"In place of scores there are objects with the keys {listed(keys)}. Say which one is "
            f"the score with options: {{score: score.{keys[0]}}}."
        )
    most = sorted(words, key=lambda word: (-words[word], word))
    shown = listed([f'"{word[:30]}" ({words[word]})' for word in most], 4)
    return (
        f"In place of scores there is {shown}: missing, not wrong. Say what a word means with "
        f"options: {{words: {{{most[0][:30]}: ...}}}}."
    )
