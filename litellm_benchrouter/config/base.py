"""What every part of the configuration shares: blocks, YAML files, places, problems in words."""

from __future__ import annotations

import hashlib
import os
import re
import reprlib
import tempfile
from pathlib import Path, PurePosixPath
from types import NoneType, UnionType
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from litellm_benchrouter.errors import ConfigError

Probability = Annotated[float, Field(ge=0.0, le=1.0)]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s][^\s?#]*")
_PATH = re.compile(r"(file|local)://(?=/)")
_LONGEST_SLUG = 40
_WAY_OUT = "correct the `include:` or `proxy_config:` that names it"


RETIRED = {
    "embedder.candidates": "`benchrouter evaluate --embedders lexical,static` compares embedders",
    "embedder.on_disagreement": "models are exported in full precision only",
    "embedder.precision": "models are exported in full precision only",
    "embedder.second": "requests go to the best model on average while a hosted embedder is late",
    "embedder.tolerance": "`benchrouter evaluate --embedders lexical,static` compares embedders",
    "serving.decide_in": "all decisions are taken in the proxy's own process",
}
"""Keys that are accepted for one release without effect -> what stands in for each."""

RETIRED_VALUES = {
    ("embedder.kind", "auto"): (
        "choose one kind; `benchrouter evaluate --embedders lexical,static` compares them"
    ),
}
"""Values that are refused -> what stands in for each."""


def without_retired(block: dict[str, Any], where: str) -> tuple[dict[str, Any], list[str]]:
    """Leave out the keys of `RETIRED`, with a warning for each."""
    warnings = []
    for path, stand_in in RETIRED.items():
        section, _, key = path.partition(".")
        part = block.get(section)
        if isinstance(part, dict) and key in part:
            block = block | {section: {name: part[name] for name in part if name != key}}
            warnings.append(f"{where}: `benchrouter.{path}` has no effect: {stand_in}. Remove it.")
    return block, warnings


class Block(BaseModel):
    """A part of the configuration: a key it does not know is refused, not ignored."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


def read_document(path: Path, way_out: str) -> dict[str, Any]:
    """Read a YAML file; one without a block of keys counts as empty.

    `way_out` says what to do where it cannot be read or is no YAML, for the ConfigError.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}; {way_out}."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8. Save it as UTF-8.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{where} is not valid YAML. Correct the syntax there.") from error
    return document if isinstance(document, dict) else {}


def read_proxy_yaml(path: Path) -> dict[str, Any]:
    """Read the proxy's YAML with the files that its `include:` names, and those that they name.

    Lists of an included file are appended, all else replaces what was there.
    """
    document = read_document(path, _WAY_OUT)
    pending, read = _included(document, path), {path.resolve()}
    while pending:
        file = pending.pop(0)
        if file.resolve() in read:
            continue
        read.add(file.resolve())
        included = read_document(file, _WAY_OUT)
        pending += _included(included, file)
        for key, value in included.items():
            before = document.get(key)
            if isinstance(before, list) and isinstance(value, list):
                document[key] = before + value
            else:
                document[key] = value
    return document


def _included(document: dict[str, Any], path: Path) -> list[Path]:
    names = document.pop("include", None) or []
    return [path.parent / str(name) for name in names] if isinstance(names, list) else []


def first_problem(error: ValidationError, where: str, block: str, model: type[BaseModel]) -> str:
    """Say what is wrong first: the file, the key's path in the block, and the value."""
    problems = error.errors(include_url=False)
    # A misspelt key is also one that is missing: the misspelling is what there is to mend.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    key = block
    for part in problem["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    more = f" ({len(problems) - 1} more after it)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        keys = _known_keys(model, problem["loc"][:-1])
        return f"{where}: unknown key `{key}`; known here: {keys}{more}."
    retired = RETIRED_VALUES.get((key.removeprefix(f"{block}."), str(problem["input"])))
    if retired is not None:
        return f"{where}: `{key}: {problem['input']}` was removed: {retired}{more}."
    if problem["type"] == "missing":
        return f"{where}: `{key}` is missing; add it{more}."
    if problem["type"] == "value_error":
        return f"{where}: `{key}`: {problem['msg'].removeprefix('Value error, ')}{more}."
    message = problem["msg"][:1].lower() + problem["msg"][1:]
    if problem["type"] == "model_type":
        message = "it should be a block of keys"
    return f"{where}: `{key}` is {reprlib.repr(problem['input'])}, but {message}{more}."


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Keys that the block at a location takes."""
    block: Any = model
    for part in location:
        inner = getattr(block, "__args__", ())  # of list[X] and dict[str, X]
        block = inner[-1] if inner else _without_none(block.model_fields[part].annotation)
    return ", ".join(sorted(key.alias or name for name, key in block.model_fields.items()))


def _without_none(annotation: Any) -> Any:
    """Return X of `X | None`."""
    if not isinstance(annotation, UnionType):
        return annotation
    return next(part for part in annotation.__args__ if part is not NoneType)


def is_url(value: object) -> bool:
    """Say whether something is behind a URL."""
    return isinstance(value, str) and _URL.match(value) is not None


def without_scheme(place: str) -> str:
    """Return a place on this machine as a path, whose mode is then ours to say; others as given."""
    return _PATH.sub("", place, count=1) if _PATH.match(place) else place


def checked(url: str) -> str:
    """Return a URL; raise ConfigError unless it names a place."""
    if _PLACE.fullmatch(url) is None and _PATH.match(url) is None:
        shown = re.sub(r"//.*@", "//***@", url)
        raise ConfigError(
            f"benchrouter.artifacts: {shown!r} names no place; s3://bucket/prefix does."
        )
    return url.rstrip("/")


def mirror_folder(url: str, cache: Path | None) -> Path:
    """Return the local folder for copies of a remote place; by default in the user's cache."""
    place = re.sub(r"(//[^/:@]*):[^@]*@", r"\1@", url)  # a new password is the same place
    slug = re.sub(r"[^A-Za-z0-9]+", "-", place.partition("://")[2]).strip("-")[:_LONGEST_SLUG]
    name = f"{slug}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
    return (cache or _users_cache()) / name


def copy_path(url: str, cache: Path | None) -> Path:
    """Return where the copy of a file, a folder or a pattern's files behind a URL is here."""
    path = url if not url.startswith(("http://", "https://")) else urlsplit(url).path
    name = PurePosixPath(unquote(path.rstrip("/"))).name
    try:
        folder = mirror_folder(url, cache)
    except ConfigError:  # a proxy, which copies nothing, is not to end for want of a home
        folder = mirror_folder(url, Path(tempfile.gettempdir()) / "litellm-benchrouter")
    return folder / (name or "index.html")


def _users_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    if given and Path(given).is_absolute():
        return Path(given) / "litellm-benchrouter"
    try:
        return Path.home() / ".cache" / "litellm-benchrouter"
    except RuntimeError as error:
        raise ConfigError(
            "what is behind a URL is copied to the user's cache directory, and this user has "
            "none; name a folder in benchrouter.artifacts_cache."
        ) from error
