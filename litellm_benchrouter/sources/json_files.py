"""JSON files that tools wrote: reading them, and saying in words what is wrong with one."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts

T = TypeVar("T")

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""How files begin that are not UTF-8, as Windows writes them."""
_NAMES = {dict: "object", list: "list", str: "text", int: "whole number"}


class Fault(Exception):  # noqa: N818 - it is noted and read past, not an error of its own
    """A fault of a file, in words that follow its name and the place: "is not JSON"."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(what)
        self.place = place


class Faults:
    """The faults of one source: each is named and counted, and the rest is read on.

    Files are named relative to `root`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._first: dict[tuple[Path, str], str] = {}
        self._count: Counter[tuple[Path, str]] = Counter()

    @contextmanager
    def noted(self, file: Path, place: str = "") -> Iterator[None]:
        """Note a `Fault`, or that the file cannot be opened, and go on after it."""
        try:
            yield
        except Fault as fault:
            self.add(file, str(fault), f"{place} {fault.place}".strip())
        except OSError as error:
            self.add(file, f"cannot be read ({error.strerror})", place)

    def add(self, file: Path, what: str, place: str = "") -> None:
        """Note a fault; of equal ones in a file only the first place is kept, and their number."""
        self._first.setdefault((file, what), f"{place} {what}".strip())
        self._count[file, what] += 1

    def __str__(self) -> str:
        """Return the first fault, with the path of its file, and how many more there are."""
        first = next((f"{file}: {text}" for (file, _), text in self._first.items()), "")
        more = self._count.total() - 1
        return f"{first} (and {more} more)" if more > 0 else first

    def counted(self) -> Counter[str]:
        """Return the faults as a report shows them: "file x.jsonl: line 7 is not JSON"."""
        counted: Counter[str] = Counter()
        for key, n in self._count.items():
            file, text = key[0], self._first[key]
            name = file.relative_to(self._root) if file != self._root else file.name
            counted[f"file {name}: {text}" + (f" (first of {n})" if n > 1 else "")] += n
        return counted


def files_in(path: Path, *endings: str) -> list[Path]:
    """Return the file itself, or the files below a folder whose names end so, sorted."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path} does not exist; give the file or folder with the results.")
    files = [
        Path(folder, name)
        for folder, _, names in os.walk(path)  # which does not follow links, such as HELM's latest
        for name in names
        if name.endswith(endings)
    ]
    return sorted(files)


def parse_json(content: bytes) -> Any:
    """Return a JSON document, a bare NaN included; half a surrogate pair in a text becomes "?".

    Raises Fault, with the line where that shows, where it is none.
    """
    if not content.strip():
        raise Fault("is empty")
    try:
        document = json.loads(content.removeprefix(b"\xef\xbb\xbf"))
        if _SURROGATE.search(content):  # which JSON can escape and UTF-8 cannot hold
            written = json.dumps(document, ensure_ascii=False)
            document = json.loads(written.encode("utf-8", "replace"))
        return document
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Fault(f"is not JSON ({error.msg})", place) from error
    except UnicodeDecodeError as error:
        raise Fault("is not UTF-8 text") from error
    except (RecursionError, ValueError) as error:  # nested too deep; an integer too long
        raise Fault(f"is not JSON that can be read ({error})") from error


def json_object(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line holds, None where it holds something else."""
    try:
        value = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_json(file: Path) -> Any:
    """Return the JSON document in a file; raises `Fault` as `parse_json` does."""
    return parse_json(file.read_bytes())


def json_objects(file: Path, faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a JSONL file, or of one JSON list, each with its place in words.

    Which of the two it is shows in the first character, not in the file's name. JSONL is read line
    by line; a list is read whole. What is no object is noted in `faults` and left out.
    """
    with faults.noted(file), file.open("rb") as opened:
        marked = BYTE_ORDER_MARKS.get(opened.read(2))
        opened.seek(0)
        lines: BinaryIO = BytesIO(_decoded(opened.read(), marked)) if marked else opened
        start = lines.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
        lines.seek(0)
        if not start:
            raise Fault("is empty")
        if start.startswith(b"["):
            yield from each_object(parse_json(lines.read()), "", file, faults)
        else:
            yield from _objects(_lines(lines, file, faults), file, faults)


def _decoded(content: bytes, encoding: str) -> bytes:
    try:
        return content.decode(encoding).encode()
    except UnicodeError as error:
        raise Fault(f"is not {encoding.upper()} text, as it begins") from error


def each_object(
    document: object, key: str, file: Path, faults: Faults
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of the list that has to lie under a key, each with its place in words.

    What is no object is noted in `faults` and left out; raises `Fault` as `pick` does.
    """
    items = enumerate(pick(document, key, list))
    yield from _objects(((f"{key or 'item'}[{i}]", item) for i, item in items), file, faults)


def _lines(lines: BinaryIO, file: Path, faults: Faults) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            document = parse_json(line.rstrip(b"\r\n"))
        except Fault as fault:  # whose own place is in this one line
            faults.add(file, str(fault), f"line {number}")
            continue
        yield f"line {number}", document


def _objects(
    documents: Iterator[tuple[str, object]], file: Path, faults: Faults
) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, document in documents:
        if isinstance(document, dict):
            yield place, document
        else:
            faults.add(file, "is not an object", place)


def lookup(document: object, key: str) -> Any:
    """Return what lies under a key ("input.text": one inside another), None where nothing does."""
    value = document
    for part in key.split(".") if key else []:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def optional(document: object, key: str, kind: type[T]) -> T | None:
    """Return what lies under a key, as `lookup` does, if it is of that kind."""
    value = lookup(document, key)
    return value if isinstance(value, kind) else None


def pick(document: object, key: str, kind: type[T]) -> T:
    """Return what lies under a key and has to be there; else raise Fault.

    "input.text" is one key inside another, "" the document itself.
    """
    value = optional(document, key, kind)
    if value is not None:
        return value
    expected = _NAMES.get(kind, kind.__name__)
    if not key:
        raise Fault(f"is not {_article(expected)} {expected}")
    raise Fault(f"has no {key}" if lookup(document, key) is None else f"has no {expected} at {key}")


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeio" else "a"


def pick_objects(document: object, key: str) -> list[dict[str, Any]]:
    """Return the list that has to lie under a key and to hold objects; raises `Fault` as `pick`."""
    items = pick(document, key, list)
    if not all(isinstance(item, dict) for item in items):
        raise Fault(f"has at {key} a list of something else than objects")
    return items


def first_of(asked: str | Sequence[str], there: Sequence[str]) -> str | None:
    """Return the first of the names asked for that is there."""
    names = [asked] if isinstance(asked, str) else asked
    return next((name for name in names if name in there), None)


def read_facts(path: Path, dropped: Counter[str]) -> dict[str, ModelFacts]:
    """Read `models.json`: model -> {params_b, prices, mean_cost_usd, mean tokens}."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is not valid JSON ({error}). Correct or remove it.") from error
    if not isinstance(document, dict) or not all(isinstance(v, dict) for v in document.values()):
        raise SourceError(f"{path} is not an object of objects; write {{MODEL: {{params_b: 7}}}}.")
    names = [field.name for field in fields(ModelFacts) if field.name != "price_source"]
    facts = {}
    for model, stated in document.items():
        for name, value in stated.items():
            if name not in names:
                dropped[f'values of the unknown model fact "{name}"'] += 1
            elif value is not None and not _is_amount(value):
                raise SourceError(
                    f"{path}: {name} of {model} is {value!r}; give a number that is not negative."
                )
        facts[model] = ModelFacts(**{name: stated.get(name) for name in names})
    return facts


def _is_amount(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
