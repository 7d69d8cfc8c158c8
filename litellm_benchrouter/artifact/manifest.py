"""`manifest.json`: what a version holds, and the digests that everything is checked against."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from litellm_benchrouter.errors import ArtifactError, VersionError
from litellm_benchrouter.paper.benchmark import MISSING, Benchmark, ModelFacts, average_accuracy

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

VERSION_ID = re.compile(r"[0-9a-f]{16}")
_DECIDING = (
    *("schema_version", "files", "embedder", "parameters", "models", "tasks"),
    *("named_tasks", "index", "second"),
)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class FileRecord(_Record):
    """Digest and size of one file of a version."""

    sha256: str
    bytes: int


class ModelRecord(_Record):
    """One model: `average_accuracy` is the unweighted mean over tasks; null where unknown."""

    name: str
    average_accuracy: float | None
    n_labels: int
    params_b: float | None = None
    input_price_usd_per_mtok: float | None = None
    output_price_usd_per_mtok: float | None = None
    mean_cost_usd: float | None = None
    mean_input_tokens: float | None = None
    mean_output_tokens: float | None = None
    price_source: str | None = None

    @property
    def facts(self) -> ModelFacts:
        """Size, prices and lengths, as the core holds them."""
        return ModelFacts(**{field.name: getattr(self, field.name) for field in fields(ModelFacts)})


class TaskRecord(_Record):
    """One task of the benchmark; its family is named where others are variants of it."""

    name: str
    n_samples: int
    family: str | None = None


class Manifest(_Record):
    """The whole of `manifest.json`; `router_artifacts/README.md` specifies it.

    `version` is the first 16 hex digits of the SHA-256 over everything that decides: files,
    embedder, parameters, models, tasks and verdict, so the same input and seed give the same one.
    `digest` is the SHA-256 of this manifest with `digest` empty, so that no byte can change unseen.
    `embedder_measured` decides nothing: another machine may measure a little otherwise, and the
    fingerprint in `embedder` tells embedders apart. `second`, of earlier releases, is hashed and
    ignored.
    """

    schema_version: int
    version: str
    digest: str
    created_at: str
    files: dict[str, FileRecord]
    embedder: dict[str, Any]
    parameters: dict[str, Any]
    models: list[ModelRecord]
    tasks: list[TaskRecord]
    named_tasks: list[str]
    counts: dict[str, int]
    index: dict[str, float | str]
    sources: list[dict[str, Any]]
    warnings: list[str]
    guarded: dict[str, Any] | None = None
    verdict: dict[str, Any] | None = None
    embedder_measured: dict[str, Any] | None = None
    second: dict[str, Any] | None = None
    libraries: dict[str, str]
    build_seconds: dict[str, float]

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, FileRecord]) -> dict[str, FileRecord]:
        for name in files:
            if not _FILE_NAME.fullmatch(name):
                raise ValueError(f"file name {name!r} could leave the version's folder")
        return files

    @property
    def content_id(self) -> str:
        """What `version` must be."""
        return _content_id(self._as_written())

    @property
    def may_serve(self) -> bool:
        """Whether the verdict allows it to be published; without a verdict nothing forbids it."""
        return self.verdict is None or bool(self.verdict["passes"])

    def _as_written(self) -> dict[str, Any]:
        """Return the manifest without the optional fields that its writer did not know."""
        return self.model_dump(exclude_unset=True)

    def sealed(self) -> Manifest:
        """Return the manifest with `version` and `digest` filled in."""
        document = self._as_written()
        seal = {"version": _content_id(document), "digest": _digest(document)}
        return self.model_copy(update=seal)

    def as_forced(self) -> Manifest:
        """Return the manifest of a version that was published although its verdict fails."""
        if self.verdict is None:
            return self
        return self.model_copy(update={"verdict": self.verdict | {"forced": True}}).sealed()

    def to_bytes(self) -> bytes:
        """Return the one way to write this manifest."""
        return _canonical(self._as_written())


def read_manifest(folder: Path) -> Manifest:
    """Read and check `manifest.json` of a version.

    Raises VersionError where its schema is not known here, and ArtifactError where it is missing,
    malformed, or was changed after it was written.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read ({error.strerror}); build the artifact again."
        ) from error
    return parse_manifest(raw, path, folder.name)


def parse_manifest(raw: bytes, path: Path | str, folder_name: str) -> Manifest:
    """Check the content of a `manifest.json`; see `read_manifest`.

    Messages say `path`. Where the folder's name is a version's id, it must be this version's.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not JSON ({error}); build the artifact again.") from error
    schema_version = document.get("schema_version") if isinstance(document, dict) else None
    if type(schema_version) is not int or schema_version != SCHEMA_VERSION:  # True would equal 1
        raise VersionError(
            f"{path} has schema_version {schema_version!r}, this release reads {SCHEMA_VERSION}; "
            f"build again with this release or install the one that wrote it."
        )
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise ArtifactError(
            f"{path}: `{key}` is wrong ({problem['msg']}); build the artifact again."
        ) from error
    try:
        # Of what was read: a key that a later release added is not in the manifests of this one.
        unchanged = _canonical(document) == raw and _digest(document) == manifest.digest
    except ValueError:  # NaN or an infinite number, which is never written
        unchanged = False
    if not unchanged:
        raise ArtifactError(f"{path} was changed after it was written; build the artifact again.")
    if (content_id := _content_id(document)) != manifest.version:
        raise ArtifactError(
            f"{path} says version {manifest.version}, its content is {content_id}; "
            f"build the artifact again."
        )
    if VERSION_ID.fullmatch(folder_name) and folder_name != manifest.version:
        raise ArtifactError(
            f"{path} is of version {manifest.version}, its folder is named {folder_name}; build "
            f"the artifact again."
        )
    return manifest


def model_records(benchmark: Benchmark, accuracy: NDArray[np.float64]) -> list[ModelRecord]:
    """Return the record of each model, from accuracies of shape (D, M)."""
    count = (benchmark.correctness != MISSING).sum(axis=0)
    average = average_accuracy(accuracy)
    return [
        ModelRecord(
            name=name,
            average_accuracy=None if math.isnan(average[m]) else float(average[m]),
            n_labels=int(count[m]),
            **vars(benchmark.facts.get(name, ModelFacts())),
        )
        for m, name in enumerate(benchmark.models)
    ]


def task_records(benchmark: Benchmark, family: NDArray[np.intp] | None) -> list[TaskRecord]:
    """Return the record of each task; a family is called by the first of its tasks."""
    count, tasks = np.bincount(benchmark.task, minlength=len(benchmark.tasks)), benchmark.tasks
    family = np.arange(len(tasks)) if family is None else family
    shared = np.bincount(family)[family] > 1
    first = [int(np.flatnonzero(family == each)[0]) for each in family] if shared.any() else []
    return [
        TaskRecord(
            name=name, n_samples=int(count[d]), family=tasks[first[d]] if shared[d] else None
        )
        for d, name in enumerate(tasks)
    ]


def _content_id(document: dict[str, Any]) -> str:
    # A key that a version lacks is left out, not null, so that older versions keep their ids.
    deciding = {key: document[key] for key in _DECIDING if key in document}
    if document.get("verdict") is not None:
        # That somebody forced a version does not make it another.
        verdict = document["verdict"].items()
        deciding["verdict"] = {key: value for key, value in verdict if key != "forced"}
    return hashlib.sha256(_canonical(deciding)).hexdigest()[:16]


def _digest(document: dict[str, Any]) -> str:
    sealed = document | {"version": _content_id(document), "digest": ""}
    return hashlib.sha256(_canonical(sealed)).hexdigest()


def _canonical(document: object) -> bytes:
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"
