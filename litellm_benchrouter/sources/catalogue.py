"""The catalogue of public benchmarks: what each holds, where its files are, and which to take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from litellm_benchrouter.config.base import Block
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.sources import reader_of

_PLACES = ("hub", "github", "bucket")
_TOKENS = re.compile(r"(\{model\}|\{task\}|\*\*/|\*|\?)")
_REGEX = {
    "{model}": r"(?P<model>[^/,]+)",
    "{task}": r"(?P<task>[^/]+?)",
    "**/": r"(?:.*/)?",
    "*": r"[^/]*",
    "?": r"[^/]",
}
_OPEN_LICENCES = ("apache-2.0", "mit", "bsd", "cc-by-4.0", "cc0", "odc-by")


class CatalogueEntry(Block):
    """One public set of per-sample results; what is not known is left out.

    It lies in one place: `hub` (a Hugging Face dataset, "OWNER/NAME"; with "{model}" in it one for
    each model), `github` ("OWNER/NAME"), or `bucket` (of Google Cloud Storage). `files` are
    patterns of paths below `prefix`, in which {model} and {task} are what they stand for.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    url: str | None = None
    hub: str | None = None
    github: str | None = None
    bucket: str | None = None
    revision: str = "main"
    prefix: str = ""
    files: list[str] = Field(min_length=1)
    kind: str
    path: str = "."  # of the source, from the folder of the set
    options: dict[str, Any] = Field(default_factory=dict)
    threshold: float | None = None
    unpack: bool = False  # of .tar.gz
    models: int | list[str] | None = None
    tasks: int | list[str] | None = None
    samples: int | None = None
    size_mb: float | None = None
    changed: str | None = None
    licence: str | None = None
    note: str | None = None
    sha256: dict[str, str] = Field(default_factory=dict)  # path -> hex

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if sum(getattr(self, place) is not None for place in _PLACES) != 1:
            raise ValueError(f"needs one of {', '.join(_PLACES)}")
        return self

    @property
    def is_open(self) -> bool:
        """Say whether the licence is known, and asks for no more than a mention."""
        return bool(self.licence) and str(self.licence).lower().startswith(_OPEN_LICENCES)

    @property
    def files_tell_models(self) -> bool:
        """Say whether a model's results are in files of their own."""
        return any("{model}" in pattern for pattern in [*self.files, self.hub or ""])

    def matches(self, paths: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the paths that a pattern matches, each with its model and task if it tells them.

        Paths are relative to `prefix`.
        """
        patterns = [re.compile(_regex(pattern)) for pattern in self.files]
        matching = {}
        for path in paths:
            match = next((m for p in patterns if (m := p.fullmatch(path))), None)
            if match is not None:
                groups = {k: v.strip(":,_") for k, v in match.groupdict().items() if v}
                matching[path] = groups
        return matching


def _regex(pattern: str) -> str:
    """Return a regular expression of a pattern; a second {model} is the same as the first."""
    text, seen = "", set()
    for part in _TOKENS.split(pattern):
        again = part in ("{model}", "{task}") and part in seen
        text += f"(?P={part[1:-1]})" if again else _REGEX.get(part, re.escape(part))
        seen.add(part)
    return text


def read_catalogue(path: Path | None) -> dict[str, CatalogueEntry]:
    """Return the sets of the package's catalogue by name; those in `path` go before them."""
    own = files("litellm_benchrouter.sources").joinpath("catalogue.yaml").read_text("utf-8")
    entries = _parsed(own, "catalogue.yaml")
    if path is not None:
        try:
            given = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--catalogue {path}: cannot be read ({error}).") from error
        entries |= _parsed(given, str(path))
    return entries


def _parsed(text: str, where: str) -> dict[str, CatalogueEntry]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: is not YAML ({str(error).splitlines()[0]}).") from error
    sets = document.get("sets") if isinstance(document, dict) else None
    if not isinstance(sets, list):
        raise ConfigError(f"{where}: has no list `sets`. See docs/fetch.md for its form.")
    entries = {}
    for number, each in enumerate(sets):
        try:
            entry = CatalogueEntry.model_validate(each)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ConfigError(
                f"{where}: sets[{number}]{'.' if place else ''}{place}: {first['msg']}."
            ) from error
        if entry.name in entries:
            raise ConfigError(f"{where}: two sets are named {entry.name}. Rename one.")
        reader_of(entry.kind, entry.options, f"{where}: sets[{number}]")
        entries[entry.name] = entry
    return entries


@dataclass(frozen=True)
class WantedModels:
    """Models that are asked for, each with the names under which results may know it.

    Attributes
    ----------
    names : mapping of str to sequence of str
        As the operator calls it -> its names; an own name may be a pattern.
    """

    names: Mapping[str, Sequence[str]]

    def of(self, published: str) -> str | None:
        """Return which model a published name stands for, None where it is none of them.

        Upper case, and what is between letters and digits, does not matter.
        """
        return next(iter(self.all_of(published)), None)

    def all_of(self, published: str) -> list[str]:
        """Return all models that a published name stands for, as `of` finds the first."""
        tails = _tails(published)
        return [
            asked
            for asked, names in self.names.items()
            if any(
                ("*" in name and fnmatchcase(published.lower(), name.lower()))
                or tails & _tails(name)
                for name in names
            )
        ]


def _tails(name: str) -> set[str]:
    """Return a name and what is behind its owners, as letters and digits alone."""
    parts = re.split(r"/|__|--", name)
    tails = ["/".join(parts[i:]) for i in range(len(parts))]
    owner, _, rest = name.partition("_")  # HELM: openai_gpt-4o
    tails += [rest] if rest and "-" in rest and owner.isalpha() else []
    own = name.rpartition("/")[2]  # however short: o1
    kept = (tail for tail in tails if len(tail) > 2 or tail == own)
    return {key for tail in kept if (key := re.sub(r"[^a-z0-9]", "", tail.lower()))}


def wanted_task(task: str, asked: Sequence[str]) -> bool:
    """Say whether a task is one of those asked for: by name, pattern, or what is before a colon."""
    return any(fnmatchcase(task, each) or task.partition(":")[0] == each for each in asked)
