"""`kind: inspect`: the logs of Inspect AI, .eval and .json."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.json_files import (
    Fault,
    Faults,
    each_object,
    files_in,
    first_of,
    lookup,
    optional,
    parse_json,
    pick,
    read_json,
)
from litellm_benchrouter.sources.record import (
    Collector,
    Sample,
    SourceTable,
    number,
    question,
    text,
)

_ZSTANDARD = 93  # the number of the method in a zip archive
_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def read(
    path: Path,
    *,
    scorer: str | list[str] | None = None,
    prompt: Literal["input", "request"] = "input",
) -> SourceTable:
    """Read the logs of Inspect AI.

    A task is its name with the arguments that were passed. Of several runs of a task and model the
    successful one is read, of equal ones that with the most samples, then the newest; a run that is
    there as .eval and as .json is read once. Epochs are averaged. A sample with an error, without a
    score, or invalidated is missing and not wrong. Logs in Zstandard need the extra `inspect`.

    Parameters
    ----------
    path : Path
        A log, or a folder with logs.
    scorer : str or list of str, optional
        The scorer whose value is the score, or several in order of preference; "NAME.KEY" where it
        gives several values. Default: the first of the task. "C" is 1, "P" 0.5, "I" and "N" 0, as
        the tool has it. Every value is kept as `metric:NAME`.
    prompt : {"input", "request"}
        The last user message of the sample's input, or of what was sent (with the choices and
        their instructions).

    Returns
    -------
    SourceTable
        `log_likelihood` is the sum over the tokens of the answer, where `--logprobs` was given.
    """
    collector = Collector(path)
    logs: dict[tuple[str, str], _Log] = {}
    seen: set[str] = set()
    for file in sorted(files_in(path, ".eval", ".json"), key=lambda f: (f.suffix != ".eval", f)):
        with collector.faults.noted(file):
            log = _Log.of(file)
            if log.eval_id in seen:
                collector.dropped["logs of a run that another log holds"] += 1
                continue
            seen |= {log.eval_id} if log.eval_id else set()
            other = logs.setdefault((log.task, log.model), log)
            if other is not log:
                collector.dropped["runs of which a successful, fuller or newer one is there"] += 1
                logs[log.task, log.model] = max(log, other, key=lambda log: log.rank)
    for log in logs.values():
        is_empty = True
        for place, sample in log.samples(collector.faults):
            is_empty = False
            with collector.faults.noted(log.file, place):
                _add(sample, log, scorer, prompt, collector)
        if is_empty:
            collector.faults.add(log.file, f"holds no samples; its status is {log.status!r}")
    return collector.table("Inspect", "scorer", scorer)


@dataclass(frozen=True)
class _Log:
    """One log: what its header says, and how to get at its samples."""

    file: Path
    task: str
    model: str
    eval_id: str | None
    status: str
    scorers: list[str]
    rank: tuple[bool, int, datetime]

    @classmethod
    def of(cls, file: Path) -> _Log:
        header = _header(file)
        spec = pick(header, "eval", dict)
        all_arguments = optional(spec, "task_args", dict) or {}
        passed = optional(spec, "task_args_passed", dict)
        arguments = all_arguments if passed is None else passed
        variant = ",".join(f"{name}={value}" for name, value in arguments.items())
        names = [lookup(scorer, "name") for scorer in optional(spec, "scorers", list) or []]
        return cls(
            file,
            pick(spec, "task", str) + (f":{variant}" if variant else ""),
            pick(spec, "model", str),
            optional(spec, "eval_id", str),
            optional(header, "status", str) or "unknown",
            [name.rpartition("/")[2] for name in names if isinstance(name, str)],
            (
                header.get("status") == "success",
                optional(header, "results.total_samples", int) or 0,
                _time(spec.get("created")),
            ),
        )

    def samples(self, faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the samples with their places; those of an .eval are read one by one."""
        with faults.noted(self.file):
            if self.file.suffix == ".json":
                yield from each_object(read_json(self.file), "samples", self.file, faults)
                return
            with _archive(self.file) as archive:
                for name in dict.fromkeys(archive.namelist()):
                    if name.startswith("samples/") and name.endswith(".json"):
                        with faults.noted(self.file, name):
                            yield name, pick(_member(self.file, archive, name), "", dict)


def _header(file: Path) -> dict[str, Any]:
    if file.suffix == ".json":
        document = pick(read_json(file), "", dict)
        return {key: document.get(key) for key in ("status", "eval", "results")}
    with _archive(file) as archive:
        # A run that was killed has no header, only what was known at its start.
        parts = [n for n in ("header.json", "_journal/start.json") if n in archive.namelist()]
        if not parts:
            raise Fault("has no header.json")
        return pick(_member(file, archive, parts[0]), "", dict)


def _archive(file: Path) -> zipfile.ZipFile:
    if not hasattr(zipfile, "ZIP_ZSTANDARD"):  # which Python 3.14 has
        with suppress(ImportError):  # logs of older versions do not need it
            import_module("zipfile_zstd")  # which teaches zipfile the method
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Fault("is not a complete zip archive") from error


def _member(file: Path, archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return parse_json(archive.read(name))
    except NotImplementedError as error:
        if archive.getinfo(name).compress_type == _ZSTANDARD:
            raise SourceError(
                f"{file} is compressed with Zstandard, which Python itself reads from 3.14 on; "
                "pip install zipfile-zstd."
            ) from error
        raise Fault(f"has {name} in a compression that is not known") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise Fault(f"is damaged ({error})") from error
    except Exception as error:
        # Zstandard's own error, whose class is in a package that need not be there.
        if type(error).__name__ != "ZstdError":
            raise
        raise Fault(f"is damaged ({error})") from error


def _time(created: object) -> datetime:
    try:
        time = datetime.fromisoformat(created if isinstance(created, str) else "")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _add(
    sample: Mapping[str, Any],
    log: _Log,
    scorer: str | list[str] | None,
    prompt: str,
    collector: Collector,
) -> None:
    key = sample.get("id")
    if not isinstance(key, str | int):
        raise Fault("has no id")
    asked = question(sample.get("input"))
    sent = asked if prompt == "input" else question(sample.get("messages"))
    described = Sample(
        sample_id=f"{log.task}/{key}",
        task=log.task,
        prompt=sent or "",
        reference=_reference(sample),
        identity=asked,
    )
    values = _values(optional(sample, "scores", dict) or {})
    score = None
    if sample.get("error"):
        collector.dropped["samples with an error, which are missing and not wrong"] += 1
    elif sample.get("invalidation"):
        collector.dropped["samples that were invalidated"] += 1
    else:
        score = _score(values, scorer, log.scorers)
        if score is None:
            collector.dropped["samples without a value that is a number"] += 1
    usage = lookup(sample, "model_usage")
    usage = usage.get(log.model) if isinstance(usage, dict) else None
    numbers = {f"metric:{name}": value for name, value in values.items()} | {
        "log_likelihood": _log_likelihood(sample),
        "prompt_tokens": number(lookup(usage, "input_tokens")),
        "completion_tokens": number(lookup(usage, "output_tokens")),
        "cost_usd": number(lookup(usage, "total_cost")),
    }
    collector.add(described, log.model, score, numbers)


def _values(scores: Mapping[str, object]) -> dict[str, float | None]:
    """Return every value of every scorer; of one that gives several, as NAME.KEY."""
    values: dict[str, float | None] = {}
    for name, score in scores.items():
        value = lookup(score, "value")
        if isinstance(value, list):
            value = {str(i): item for i, item in enumerate(value)}
        if isinstance(value, dict):
            values |= {f"{name}.{key}": _number(item) for key, item in value.items()}
        else:
            values[name] = _number(value)
    return values


def _number(value: object) -> float | None:
    if not isinstance(value, str):
        return number(value)  # an unscored value is NaN
    if value in _VALUES:
        return _VALUES[value]
    try:
        return number(float(value))
    except ValueError:
        return _WORDS.get(value.lower())


def _score(
    values: Mapping[str, float | None], asked: str | list[str] | None, scorers: list[str]
) -> float | None:
    names = list(values)
    if asked is not None:
        return values.get(first_of(asked, names) or "")
    first = scorers[0] if scorers else ""
    main = [name for name in names if name == first or name.startswith(f"{first}.")]
    return values[(main or names)[0]] if names else None


def _reference(sample: Mapping[str, object]) -> str | None:
    """Return the target, the first of several; of a lettered choice its text."""
    target = sample.get("target")
    if isinstance(target, list) and target:
        target = target[0]
    choices = optional(sample, "choices", list) or []
    if isinstance(target, str) and len(target) == 1 and 0 <= ord(target) - ord("A") < len(choices):
        target = choices[ord(target) - ord("A")]
    return text(target)


def _log_likelihood(sample: Mapping[str, object]) -> float | None:
    choices = optional(sample, "output.choices", list) or [None]
    tokens = optional(choices[0], "logprobs.content", list) or []
    likelihoods = [number(lookup(token, "logprob")) for token in tokens]
    values = [value for value in likelihoods if value is not None]
    return sum(values) if values and len(values) == len(likelihoods) else None
