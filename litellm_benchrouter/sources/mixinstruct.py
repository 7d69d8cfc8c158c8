"""`kind: mixinstruct`: LLM-Blender's MixInstruct, as JSONL or as one JSON list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from litellm_benchrouter.sources.json_files import (
    Fault,
    files_in,
    json_objects,
    optional,
    parse_json,
    pick,
    pick_objects,
)
from litellm_benchrouter.sources.record import Collector, Sample, SourceTable, number, text

_PREPARED = "_data_prepared"
_NEVER_ZERO = ("logprobs", "bartscore")
_VERDICTS = {"A is better": 1.0, "B is better": -1.0, "Same good": 0.0, "Same bad": 0.0}


def read(path: Path, *, metric: str = "bertscore", rankers: list[str] | None = None) -> SourceTable:
    """Read MixInstruct, line by line.

    The task of a sample is the data set that it comes from: its id up to the first "/", after a
    leading "laion/". The split is in the file's name (`test_data_prepared.jsonl`).

    Parameters
    ----------
    path : Path
        A file, or a folder with such files. Of a split that is there as .jsonl and as .json the
        .jsonl is read.
    metric : str
        The metric to take for the score: a name in the candidates' `scores`, or `gpt_rank`, minus
        the rank of a candidate by the pairwise verdicts in `cmp_results` (-1 is the best; LLM-
        Blender's "max_logits"). All are kept as `metric:NAME`.
    rankers : list of str, optional
        Names in `scores` that are a ranker's and no metric's; they become `ranker:NAME`.

    Returns
    -------
    SourceTable
        `log_likelihood` is `logprobs`. A logprobs or bartscore of exactly 0, which no answer can
        have, is a placeholder and counts as missing.
    """
    collector = Collector(path)
    files = files_in(path, ".jsonl", ".json")
    for file in files:
        if file.suffix == ".json" and file.with_suffix(".jsonl") in files:
            continue
        split = file.name.partition(_PREPARED)[0] if _PREPARED in file.name else None
        for place, row in json_objects(file, collector.faults):
            with collector.faults.noted(file, place):
                _add(row, split, metric, rankers or [], collector)
    return collector.table("LLM-Blender", asked=metric)


def _add(
    row: Mapping[str, object],
    split: str | None,
    metric: str,
    rankers: Sequence[str],
    collector: Collector,
) -> None:
    key = pick(row, "id", str)
    source, slash, _ = key.removeprefix("laion/").partition("/")
    output = row.get("output")
    sample = Sample(
        sample_id=key,
        task=source if slash else "mixinstruct",
        prompt=(optional(row, "instruction", str) or "") + pick(row, "input", str),
        reference=text(output[0] if isinstance(output, list) and output else output),
        split=split,
    )
    candidates = pick_objects(row, "candidates")
    models = [pick(candidate, "model", str) for candidate in candidates]
    ranks = _ranks(models, row.get("cmp_results"), collector.dropped)
    for model, candidate in zip(models, candidates, strict=True):
        stated = optional(candidate, "scores", dict) or {}
        scores = {name: number(value) for name, value in stated.items()}
        for name in _NEVER_ZERO:
            if scores.get(name) == 0.0:
                collector.dropped[f"{name} of exactly 0"] += 1
                scores[name] = None
        numbers = {
            f"ranker:{name}" if name in rankers else f"metric:{name}": value
            for name, value in scores.items()
            if name != "logprobs"
        }
        numbers["log_likelihood"] = scores.get("logprobs")
        if model in ranks:
            numbers["metric:gpt_rank"] = ranks[model]
        score = numbers.get(f"metric:{metric}")
        if score is None:
            collector.dropped[f"candidates without {metric}"] += 1
        collector.add(sample, model, score, numbers)


def _ranks(models: Sequence[str], verdicts: object, dropped: Counter[str]) -> dict[str, float]:
    """Return minus the rank of each model by pairwise verdicts; nothing where there are none.

    A model's score is the number of verdicts for it less those against it; its rank is one more
    than the number of models with a higher score.
    """
    if isinstance(verdicts, str):  # JSON in a text, "null" where there are none
        try:
            verdicts = parse_json(verdicts.encode())
        except Fault:
            dropped["cmp_results that are not JSON"] += 1
    if not isinstance(verdicts, dict) or not verdicts:
        return {}
    score = dict.fromkeys(models, 0.0)
    for pair, verdict in verdicts.items():
        first, _, second = pair.partition(",")
        sign = _VERDICTS.get(verdict) if isinstance(verdict, str) else None
        if sign is None or first not in score or second not in score:
            dropped["verdicts of cmp_results on no two candidates"] += 1
            continue
        score[first] += sign
        score[second] -= sign
    return {m: -1.0 - sum(other > score[m] for other in score.values()) for m in score}
