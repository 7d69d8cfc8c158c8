"""Results of two harnesses: lighteval and OpenCompass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litellm_benchrouter.sources.frames import listed
from litellm_benchrouter.sources.json_files import (
    Fault,
    first_of,
    lookup,
    pick,
    read_json,
)
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable, number
from litellm_benchrouter.sources.rows import (
    Row,
    UndecidedError,
    answer_text,
    as_number,
    asked,
    marked_files,
    rows_in,
    sample_key,
    unpacked,
)

_DETAILS = re.compile(r"details_(.+)_(\d{4}-\d\d-\d\dT[\d.-]+)\.parquet")
_LESS_IS_BETTER = ("ppl", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte",
                   "ter", "wer", "cer", "brier_score", "target_perplexity")  # fmt: skip

_MOST_APART = 0.5  # percent, between an accuracy that is stated and that of the details
_EXACT = 0.01


def lighteval(path: Path, *, metric: str | list[str] | None = None) -> SourceTable:
    """Read the details of lighteval (`--save-details`), since 0.10 or before.

    Of several runs of a task and model the newest is read. The model is the folder below `details`,
    the task what the file's name says, with its number of examples ("gsm8k|5"). The prompt is the
    question without examples.

    Parameters
    ----------
    path : Path
        A file, the folder `details`, or the output folder with it.
    metric : str or list of str, optional
        The metric to take for the score, or several: a task takes the first that it has. Default:
        the first in the file of which more is better. All are kept as `metric:NAME`; of those of
        which less is better (perplexities and the like) the negative is taken.
    """
    collector = Collector(path)
    newest: dict[tuple[str, str], tuple[str, Path]] = {}
    marks = ("metric",)
    for file in marked_files(path, (".parquet",), marks, "lighteval", collector.faults):
        name = _DETAILS.fullmatch(file.name)
        if name is None:
            collector.faults.add(file, "is not named details_TASK_TIME.parquet")
            continue
        parts = name[1].split("|")
        task = "|".join(parts[1:3]) if len(parts) > 2 else name[1]
        key, run = (_lighteval_model(file), task), (name[2], file)
        if key in newest:
            collector.dropped["runs of which a newer one is there"] += 1
        newest[key] = max(run, newest.get(key, run))
    for (model, task), (_, file) in newest.items():
        rows = list(rows_in(file, collector.faults))
        names = list(dict.fromkeys(n for _, row, _ in rows for n in _lighteval_metrics(row)))
        better = [name for name in names if not name.lower().startswith(_LESS_IS_BETTER)]
        main = first_of(metric, names) if metric is not None else next(iter(better), None)
        for place, row, _ in rows:
            with collector.faults.noted(file, place):
                doc = row["doc"] if isinstance(row.get("doc"), dict) else row
                text = asked(doc.get("query") or doc.get("example"))
                if not text:
                    raise Fault("has no question (doc.query, or example)")
                gold = _gold(doc)
                sample = Sample(sample_key(task, text, gold), task, text, gold)
                values = _lighteval_metrics(row)
                score = values.get(main or "")
                if score is None:
                    collector.dropped[f"results without {main or metric or 'a metric'}"] += 1
                numbers: dict[str, float | None] = {f"metric:{n}": v for n, v in values.items()}
                collector.add(sample, model, score, numbers | _lighteval_tokens(row))
    return collector.table("lighteval", asked=metric)


def _lighteval_model(file: Path) -> str:
    """Return the model: the folders between `details` and the time of the run."""
    folders = file.parent.parts
    start = next((i for i in reversed(range(len(folders))) if folders[i] == "details"), None)
    names = folders[start + 1 :] if start is not None else folders[-2:]
    if names and re.match(r"\d{4}-\d\d-\d\dT", names[-1]):
        names = names[:-1]
    return "/".join(names[-2:]) if start is not None else (names[-1] if names else file.stem)


def _lighteval_metrics(row: Row) -> dict[str, float]:
    held = unpacked(row.get("metric") or row.get("metrics"))
    values = {name: number(value) for name, value in held.items()} if isinstance(held, dict) else {}
    return {
        name: -value if name.lower().startswith(_LESS_IS_BETTER) else value
        for name, value in values.items()
        if value is not None
    }


def _gold(doc: Mapping[str, Any]) -> str | None:
    choices, index = doc.get("choices"), doc.get("gold_index")
    index = index[0] if isinstance(index, list) and index else index
    if isinstance(choices, list) and isinstance(index, int) and 0 <= index < len(choices):
        return answer_text(choices[index])
    return answer_text(doc.get("gold"))


def _lighteval_tokens(row: Row) -> dict[str, float | None]:
    answer = row.get("model_response")
    if not isinstance(answer, dict) or not answer.get("text"):  # of choices none was written
        return {}
    sent, written = answer.get("input_tokens") or [], answer.get("output_tokens") or []
    lengths = [len(each) for each in written if isinstance(each, list)]
    return {
        "prompt_tokens": float(len(sent)) or None,
        "completion_tokens": sum(lengths) / len(lengths) if lengths else None,
    }


@dataclass
class _Predictions:
    """The shards of a model's predictions of a data set."""

    rows: dict[int, list[Row]] = field(default_factory=dict)

    def sample(self, position: int) -> Row:
        every = [row for shard in sorted(self.rows) for row in self.rows[shard]]
        return every[position] if position < len(every) else {}


def opencompass(path: Path) -> SourceTable:
    """Read OpenCompass's `results` with details (`--dump-eval-details`), joined with `predictions`.

    Whether an answer is right stands in the details; where they do not say it, an answer that is
    the reference is right, if the accuracy in the file comes out so (OpenCompass's `AccEvaluator`).
    Repeated runs within a file are averaged, of several folders of results the last by name is
    read, and a data set is a task. A mean that is not the accuracy in the same file is a warning.

    Of a chat the prompt is the last turn of a human; a prompt that was sent as one text, as to base
    models, is kept whole, with its examples. Where options were scored, it is what they share.

    Parameters
    ----------
    path : Path
        The output folder (`outputs/default`), or that of one time, with `predictions` and
        `results`.
    """
    collector = Collector(path)
    latest: dict[tuple[str, str], Path] = {}
    warnings, without = [], []
    marks = ('"details"', '"accuracy"', '"score"', '"prediction"')
    for file in marked_files(path, (".json",), marks, "OpenCompass", collector.faults):
        if file.parent.parent.name != "results":
            continue
        key = (file.parent.name, file.stem)
        if key in latest:
            collector.dropped["results of which later ones are there"] += 1
        latest[key] = file
    for (model, task), file in latest.items():
        with collector.faults.noted(file):
            document = pick(read_json(file), "", dict)
            details = document.get("details")
            if isinstance(details, dict):
                details = [v for k, v in details.items() if k.isdigit() and isinstance(v, dict)]
            if not isinstance(details, list) or not details:
                without.append(f"{model}/{task}")
                continue
            predictions = _predictions(file, collector)
            stated = _stated_accuracy(document)
            correct = _correctness(details, stated)
            scores = [score for score in correct if score is not None]
            for position, (detail, score) in enumerate(zip(details, correct, strict=True)):
                if score is None:
                    collector.dropped["details that do not say what is correct"] += 1
                sent = predictions.sample(position)
                text = _sent(detail) or _sent(sent)
                if not text:
                    raise Fault(
                        f"has no prompt of sample {position}; give the predictions beside it"
                    )
                gold = answer_text(sent.get("gold") or lookup(detail, "references"))
                collector.add(Sample(f"{task}/{position}", task, text, gold), model, score)
            mean = 100 * sum(scores) / len(scores) if scores else None
            if stated is not None and mean is not None and abs(stated - mean) > _MOST_APART:
                warnings.append(
                    f"{file.name} of {model} states an accuracy of {stated:.1f}, its details have "
                    f"{mean:.1f}."
                )
    if without and not collector.has_scores:
        raise UndecidedError(
            f"{path}: the results of {listed(without)} have averages only. Run OpenCompass with "
            "--dump-eval-details."
        )
    if without:
        warnings.append(f"Results without details are left out: {listed(without)}.")
    table = collector.table("OpenCompass")
    table.warnings += warnings
    return table


def _stated_accuracy(document: Mapping[str, Any]) -> float | None:
    """Return the accuracy of a file in percent, of repeated runs "accuracy (3 runs average)"."""
    names = (name for name in document if re.fullmatch(r"accuracy( \(\d+ runs average\))?", name))
    return next((n for name in names if (n := as_number(document[name])) is not None), None)


def _correctness(details: list[Any], stated: float | None) -> list[float | None]:
    """Return whether each answer is right, None where that is not known.

    Where no detail says it, predictions are compared with references, as text; they do not count
    where that does not give the accuracy that is stated, for then they were compared otherwise.
    """
    correct = [_correct(detail) for detail in details]
    if stated is None or any(score is not None for score in correct):
        return correct
    pairs = [(lookup(each, "predictions"), lookup(each, "references")) for each in details]
    equal = [float(None not in pair and str(pair[0]) == str(pair[1])) for pair in pairs]
    is_so = abs(100 * sum(equal) / len(equal) - stated) <= _EXACT
    return list(equal) if is_so and not any(None in pair for pair in pairs) else correct


def _correct(detail: object) -> float | None:
    """Return whether an answer is right, the mean of repeated runs; None where it is not stated."""
    for name in ("correct", "is_correct", "cascade_correct"):
        value = lookup(detail, name)
        values = [as_number(each) for each in (value if isinstance(value, list) else [value])]
        stated = [each for each in values if each is not None]
        if stated:
            return sum(stated) / len(stated)
    return None


def _predictions(results: Path, collector: Collector) -> _Predictions:
    """Read the predictions of the same model and data set, in one file or in numbered ones."""
    folder = results.parent.parent.parent / "predictions" / results.parent.name
    predictions = _Predictions()
    whole = folder / results.name
    shards = [whole] if whole.is_file() else sorted(folder.glob(f"{results.stem}_*.json"))
    for file in shards:
        shard = file.stem.removeprefix(f"{results.stem}_")
        if file == whole or shard.isdigit():
            with collector.faults.noted(file):
                held = pick(read_json(file), "", dict)
                keys = sorted((key for key in held if key.isdigit()), key=int)
                number_of = 0 if file == whole else int(shard)
                predictions.rows[number_of] = [pick(held, key, dict) for key in keys]
    return predictions


def _sent(entry: Mapping[str, Any] | object) -> str | None:
    """Return the last prompt of a human in what was sent, which may be a list, or a text."""
    if not isinstance(entry, dict):
        return None
    options = [v for k, v in entry.items() if k.startswith("label: ") and isinstance(v, dict)]
    inputs = [option.get("testing input") for option in options]
    sent = entry.get("origin_prompt") or entry.get("prompt") or next(iter(inputs), None)
    texts = [text for text in inputs if isinstance(text, str)]
    if len(texts) > 1 and isinstance(sent, str):
        return _shared(texts) or sent
    if isinstance(sent, list) and sent and isinstance(sent[0], list | str):  # of each run
        sent = sent[0]
    if isinstance(sent, list):
        turns = [t for t in sent if isinstance(t, dict) and t.get("role") in ("HUMAN", "user")]
        return text if turns and isinstance(text := turns[-1].get("prompt"), str) else None
    return sent if isinstance(sent, str) else None


def _shared(texts: list[str]) -> str:
    """Return the beginning that texts share, up to its last white space if it has any."""
    first, last = min(texts), max(texts)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    shared = first[:length]
    return (re.sub(r"\S+\Z", "", shared) or shared).strip()
