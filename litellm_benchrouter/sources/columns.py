"""Which columns of a table may be models: by their names, and by how their values look."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.tidy import TableFile

_NO_MODEL = re.compile(
    r"|source_row|unnamed_?\d+"
    r"|(.*_)?(id|idx|index|uuid|row|line|key|seed|epoch|fold|turns?)"
    r"|(.*_)?(length|len|chars|tokens|usd|cost|price|latency|duration|time|runtime|elapsed|seconds)"
    r"|(.*_)?(count|ms|std|stdev|stderr|variance|confidence|probability|logprob)"
    r"|(latency|time|duration|runtime|elapsed|tokens|cost|price)_.*"
    r"|(n|num|is|has|needs|requires|contains|uses|judge|human|gold|expected|ground)_.*"
    r"|nr|no|num|number|year|date|timestamp|created_at|page|batch|version|subset|shots|temperature"
    r"|top_[pk]|max_\w+|difficulty|level|rank|weight|points|votes?|group|cluster|family|template"
    r"|answer|labels?|gold|target|truth|expected|prediction|pred|choice|judge|human|annotator"
    r"|average|avg|mean|median|max|min|sum|total|oracle|best|worst|majority|agreement"
    r"|score|scores|acc|correct|incorrect|pass|passed|fail|failed|success|result|rating|grade|value"
    r"|pass_?(at_)?\d+|wins?|won|em|errors?|timeouts?|truncated|refusal|refused"
    r"|(.*_)?(accuracy|faithfulness|relevancy|relevance|precision|recall|correctness|similarity)"
    r"|f1|bleu|rouge.*|bertscore|exact_match|toxicity|contamination",
    re.IGNORECASE,
)
_LESS_IS_BETTER = re.compile(
    r"(hallucination|bias|toxicity|noise_sensitivity).*"
    r"|(?!no_|not_|non_|without_)(.*_)?(wer|cer|ter|loss|nll|perplexity|ppl|bits_per_byte|brier"
    r"|latency|duration|cost|errors?|mae|mse|rmse|distance)(_(rate|score|s|ms|seconds|usd))?",
    re.IGNORECASE,
)
_VERDICTS = frozenset(
    ("pass", "passed", "fail", "failed", "correct", "incorrect", "right", "wrong", "success")
)
_OF_ROWS = ("metric", "metric_name", "measure", "scorer", "criterion", "criteria", "dimension")
_MANY = 20  # rows from which on a column that does not look like the others is asked about
_MANY_MORE = 100  # ... and one that a good or a bad model may have on easy or hard questions


def _key(name: str) -> str:
    """Return a column's name as words with underscores: "Latency (s)" and "latencyS" are one."""
    if name[:1].islower():
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[\s()\[\]$%|:#@]+", "_", name).strip("_")


def is_no_model(name: str) -> bool:
    """Say whether a column has a usual name of something else than a model."""
    return _NO_MODEL.fullmatch(_key(name)) is not None


def less_is_better(metric: str) -> bool:
    """Say whether a metric is known by its name to be better the lower it is."""
    return _LESS_IS_BETTER.fullmatch(_key(metric)) is not None


def no_model(file: TableFile, others: Sequence[str]) -> str:
    """Say that no column holds a model's scores, and what might."""
    for name, words in _words(file, others).items():
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
        if len(words) <= 5 and {word.strip().lower() for word in words} & _VERDICTS:
            raise SourceError(
                f'{file.table.path}: "{name}" holds {listed(words)}, and other columns hold '
                f"numbers. Say what the words mean with options: {{words: {_meaning(words)}}}, or "
                "name the models with options: {models: [...]}."
            )


def refuse_a_doubtful_model(file: TableFile, scores: pl.DataFrame) -> None:
    """Refuse a column of numbers that do not look like the scores of the other columns."""
    names = scores.columns
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


def refuse_several_metrics(file: TableFile) -> None:
    """Refuse a long table with a row a metric: these would be averaged."""
    name = next((n for n in file.names if _key(n).lower() in _OF_ROWS), None)
    if name is None or file.column(name)[1].is_nested():
        return
    ids = [n for n in ("sample_id", "task", "prompt", "model") if n in file.columns]
    frame = file.table.collect(*(file.text(n) for n in ids), file.column(name)[0].alias("\0"))
    if (frame.group_by(ids).agg(pl.col("\0").n_unique())["\0"] > 1).any():
        metrics = frame["\0"].drop_nulls().unique().cast(pl.String).sort().to_list()
        raise SourceError(
            f'{file.table.path}: has a row for each "{name}" ({listed(metrics)}) of a sample and '
            "model, which would be averaged. Keep the rows of one, in a file of its own."
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
            if word.lower() not in _NOTHING:
                counts[word] = counts.get(word, 0) + n
    return counts


_NOTHING = frozenset(("nan", "+nan", "-nan", "n/a", "na", "none", "null", "nil", "-", "--", "?"))


def say_unread(words: Mapping[str, int]) -> str:
    """Return a sentence that names words in place of scores; "" where there are none."""
    if not words:
        return ""
    most = sorted(words, key=lambda word: (-words[word], word))
    shown = listed([f'"{word[:30]}" ({words[word]})' for word in most], 4)
    return (
        f"In place of scores there is {shown}: missing, not wrong. Say what a word means with "
        f"options: {{words: {{{most[0][:30]}: ...}}}}."
    )
