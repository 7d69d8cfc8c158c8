"""Files of a table under our names of their columns, and which columns are models."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import polars as pl

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources.frames import FORMATS, LazyTable, listed
from litellm_benchrouter.sources.tidy import as_text

NO_MODEL = re.compile(
    r"|source_row|unnamed: ?\d+|(.*_)?(id|idx|index|uuid|row|line|key|seed|epoch|fold|turns?)"
    r"|(.*_)?(length|len|chars|tokens|usd|cost|price|latency|duration|runtime|elapsed|seconds|count)"
    r"|(latency|time|duration|runtime|elapsed|tokens|cost|price)_.*|(n|num|is|has)_.*"
    r"|nr|no|number|year|date|time|timestamp|created_at|difficulty|level|rank|weight|points"
    r"|group|cluster|family|template"
    r"|(.*_)?(accuracy|faithfulness|relevancy|relevance|precision|recall|correctness|similarity)"
    r"|f1|bleu|rouge.*|exact_match|confidence|toxicity",
    re.IGNORECASE,
)
"""Names of columns that hold numbers and are no models."""

_MANY = 20  # different scores of a model, where all others have two


@dataclass
class TableFile:
    """A file, our name of each column -> the file's, and columns that it does not have."""

    table: LazyTable
    names: dict[str, str]
    constants: dict[str, str]

    @property
    def columns(self) -> list[str]:
        return [*self.names, *(name for name in self.constants if name not in self.names)]

    def column(self, name: str) -> tuple[pl.Expr, pl.DataType]:
        """Return a column under the file's name of it, and its type."""
        schema, theirs = self.table.schema, self.names.get(name)
        if theirs is None:
            return pl.lit(self.constants[name]), pl.String()
        if theirs in schema:
            return pl.col(theirs), schema[theirs]
        outer, _, key = theirs.partition(".")
        if schema[outer] == pl.String:
            return pl.col(outer).str.json_path_match(f"$.{key}"), pl.String()
        if schema[outer] == pl.Categorical:
            return pl.col(outer).cast(pl.String).str.json_path_match(f"$.{key}"), pl.String()
        column = pl.col(outer)
        for part in key.split("."):
            column = column.struct.field(part)
        return column, self.table.frame.select(column).collect_schema().dtypes()[0]

    def text(self, name: str) -> pl.Expr:
        column, dtype = self.column(name)
        if name == "prompt" and isinstance(dtype, pl.List):  # a chat
            column = column.map_batches(_json, return_dtype=pl.String)
        elif dtype.is_nested() or dtype == pl.Binary:
            raise SourceError(
                f'{self.table.path} holds {dtype} in its column "{name}"; give text, one value a '
                "row."
            )
        return as_text(column, name)


def _json(values: pl.Series) -> pl.Series:
    texts = [None if value is None else json.dumps(value) for value in values.to_list()]
    return pl.Series(values.name, texts, dtype=pl.String)


def require(file: TableFile, names: Sequence[str]) -> None:
    """Raise a SourceError where a column is missing."""
    ways = {
        "task": ", or give the option task",
        "model": ", or give the option model, or as path a pattern of files named after the models",
    }
    for name in names:
        if name not in file.columns:
            raise SourceError(
                f'{file.table.path} has no column "{name}" (it has {listed(file.columns)}); say '
                f"which one it is with columns: {{{name}: THEIRS}}{ways.get(name, '')}."
            )


def no_model(file: TableFile, others: Sequence[str]) -> str:
    """Say that no column holds a model's scores, and what might."""
    for name in others:
        column, dtype = file.column(name)
        if dtype == pl.String:
            some = file.table.frame.select(column.alias(name)).head(1_000).collect()[name]
            words = some.drop_nulls().unique(maintain_order=True).to_list()
            if 1 < len(words) <= 5 and max(map(len, words)) < 20:
                meaning = ", ".join(f"{word}: ..." for word in words)
                return (
                    f'{file.table.path} has no column of numbers, but "{name}" holds '
                    f"{listed(words)}; say what they mean with options: {{words: {{{meaning}}}}}."
                )
    return (
        f"{file.table.path} has no column with a model's scores (it has {listed(file.columns)}); a "
        "wide table has one column a model, a long one has the columns model and score. Name the "
        "models with options: {models: [...]} where their names look like something else."
    )


def refuse_a_doubtful_model(path: Path, scores: pl.DataFrame) -> None:
    """Refuse a column of numbers that do not look like the scores of the other columns."""
    names = scores.columns
    is_outside = [bool(((scores[n] < 0) | (scores[n] > 1)).any()) for n in names]
    n_values = [scores[n].n_unique() - bool(scores[n].null_count()) for n in names]
    is_fine = [n > _MANY for n in n_values]
    for doubtful, how in ((is_outside, "outside [0, 1]"), (is_fine, "many different values")):
        others = [n for name, n in zip(doubtful, n_values, strict=True) if not name]
        if any(doubtful) and others and (doubtful is is_outside or max(others) <= 2):
            listing = [name for name, is_so in zip(names, doubtful, strict=True) if is_so]
            rest = [name for name, is_so in zip(names, doubtful, strict=True) if not is_so]
            raise SourceError(
                f"{path}: the columns {listed(listing)} hold {how}, and {listed(rest)} do not; not "
                f"all can be scores of models. Name the models with options: {{models: "
                f"[{', '.join(rest)}]}}."
            )


def matching(path: Path) -> list[Path]:
    """Return the files that a pattern names, or the path itself where it has no pattern."""
    if path.exists() or not {"*", "?"} & {*str(path)}:
        return [path]
    root = Path(path.anchor)
    files = sorted(f for f in root.glob(str(path.relative_to(root))) if f.is_file())
    if not files:
        raise SourceError(f"{path} matches no file; give a file, a folder or another pattern.")
    return files


def model_names(paths: Sequence[Path]) -> list[str]:
    """Return models' names from those of their files, or of their folders where these tell more."""
    for names in (
        [path.name.removesuffix(".gz").rpartition(".")[0] for path in paths],
        [path.parent.name for path in paths],
    ):
        if len(set(names)) == len(names):
            return names
    raise SourceError(
        f"{paths[0]} and other files have the same name; name each file after its model."
    )


def file_in(folder: Path, stem: str) -> Path:
    """Return the one file of that name in the folder, whatever its format."""
    names = [f"{stem}{ending}" for ending in FORMATS]
    found = [name for name in names if (folder / name).is_file()]
    if len(found) != 1:
        raise SourceError(
            f"{folder} holds {' and '.join(found) or f'no {stem} file'}; a table's folder has one "
            f"of {', '.join(names)}."
        )
    return folder / found[0]


def read_facts(path: Path, dropped: Counter[str]) -> dict[str, ModelFacts]:
    """Read `models.json`: model -> {params_b, prices, mean_cost_usd, mean tokens}."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is not valid JSON ({error}). Correct or remove it.") from error
    if not isinstance(document, dict) or not all(isinstance(v, dict) for v in document.values()):
        raise SourceError(f"{path} is not an object of objects; write {{MODEL: {{params_b: 7}}}}.")
    known = [field.name for field in fields(ModelFacts) if field.name != "price_source"]
    facts = {}
    for model, stated in document.items():
        for name, value in stated.items():
            if name not in known:
                dropped[f'values of the unknown model fact "{name}"'] += 1
            elif value is not None and not _is_amount(value):
                raise SourceError(
                    f"{path}: {name} of {model} is {value!r}; give a number that is not negative."
                )
        facts[model] = ModelFacts(**{name: stated.get(name) for name in known})
    return facts


def _is_amount(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
