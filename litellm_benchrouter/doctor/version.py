"""The version that serves: can it be opened, is it what was configured, does it decide in time?"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from litellm_benchrouter.artifact.files import differences
from litellm_benchrouter.artifact.manifest import Manifest
from litellm_benchrouter.artifact.version import Artifact, read_artifact
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.doctor.places import nearest, user_name
from litellm_benchrouter.doctor.proxy import offers
from litellm_benchrouter.embedders import HostedEmbedder, LexicalEmbedder, PrecomputedEmbedder
from litellm_benchrouter.errors import ArtifactError, BenchRouterError, EmbedderError
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store import open_store
from litellm_benchrouter.store.versions import Versions
from litellm_benchrouter.views import Finding, Status, fail, listed, ok, warn

_OLD_DAYS = 90
_SKEW = timedelta(hours=1)  # of clocks that agree well enough
_LEAST_FREE = 100_000_000  # bytes
_MEGABYTE = 1_000_000
_BUILD = "benchrouter build --config FILE"
PROMPTS = (
    "What is the capital of Portugal?",
    "Write a Python function that returns the n-th prime number.",
    "A train leaves at 9:40 and arrives at 13:05. How long does it travel?",
    "Translate into French: the meeting was moved to next Thursday.",
    "Summarise in one sentence. " + "The committee met and postponed its decision. " * 60,
)
_ROUNDS = 8
_MOST_SECONDS = 3.0


def check_directory(config: BenchRouterConfig) -> Iterator[Finding]:
    """Check access, builds that run or were killed, and room for the next build."""
    root = config.artifacts
    there = nearest(root)
    if config.artifacts_url is not None:
        yield _store(config)
    access = _access(root, there)
    if config.artifacts_url is not None and access.status is Status.WARN:
        access = fail(
            "directory",
            f"{there} cannot be written, so nothing can be copied there",
            "name another folder in benchrouter.artifacts_cache",
        )
    yield access
    if access.status is Status.FAIL:
        return
    yield _builds(root)
    versions = Versions(root)
    served = versions.served()
    size = 0 if served is None else _bytes_of(versions.folder(served))
    needed, free = max(2 * size, _LEAST_FREE), shutil.disk_usage(there).free
    room = f"{free // _MEGABYTE} MB are free, a build may take {needed // _MEGABYTE} MB"
    if free < needed:
        yield warn("disk", room, "make room, or `benchrouter prune --config FILE`")
    else:
        yield ok("disk", room)


def check_version(
    config: BenchRouterConfig,
) -> Generator[Finding, None, tuple[tuple[str, ...], Artifact | None]]:
    """Check the version that serves.

    Returns the benchmark's models, none where no version can be used, and the version, where it is
    here: nothing is downloaded.
    """
    versions = open_store(config)
    try:
        version = versions.current()
        if version is None:
            yield fail("version", f"none was published in {versions.name}", f"run {_BUILD}")
            return (), None
        folder, manifest = versions.folder(version), versions.manifest(version)
        if config.artifacts_url is not None and any(differences(folder, manifest)):
            size = sum(record.bytes for record in manifest.files.values()) / _MEGABYTE
            yield ok("version", f"{version}; a proxy will copy its {size:.1f} MB here")
            opened: Artifact | EmbedderError | None = None
        else:
            opened = _opened(folder, config)
            yield ok("version", f"{version}, all {len(manifest.files)} files verify")
    except ArtifactError as error:
        yield fail("version", str(error), f"benchrouter rollback --config FILE, or {_BUILD}")
        return (), None
    yield _age(manifest)
    yield from _verdict(manifest)
    yield _warnings(manifest)
    yield _differences(config, manifest)
    if isinstance(opened, EmbedderError):
        yield fail("embedder", str(opened), f"install what it names, or run {_BUILD}")
        return (), None
    return tuple(model.name for model in manifest.models), opened


def _opened(folder: Path, config: BenchRouterConfig) -> Artifact | EmbedderError:
    """Open a version, or say why its embedder cannot be loaded, which is the last thing done."""
    try:
        return read_artifact(folder, config=config.embedder)
    except EmbedderError as error:
        return error


def _store(config: BenchRouterConfig) -> Finding:
    store = open_store(config)
    started = time.perf_counter()
    try:
        version = store.current()
    except BenchRouterError as error:
        remedy = "look at its address, network and credentials; a running proxy goes on meanwhile"
        return fail("store", str(error), remedy)
    taken = f"{store.name} answers in {1000 * (time.perf_counter() - started):.0f} ms"
    return ok("store", f"{taken}, CURRENT names {version or 'nothing yet'}")


def _access(root: Path, there: Path) -> Finding:
    user = user_name()
    if not there.is_dir():
        return fail(
            "directory", f"{there} is not a directory", "name another in benchrouter.artifacts"
        )

    def may(mode: int) -> bool:
        return os.access(there, mode | os.X_OK, effective_ids=True)

    if not may(os.R_OK if there == root else os.F_OK):
        return fail(
            "directory", f"{there} cannot be read by {user}", "give it to the proxy's user to read"
        )
    if not may(os.W_OK):
        return warn(
            "directory",
            f"{there} cannot be written by {user}: versions are served, none can be built",
            "build as another user, or give it to this one",
        )
    return ok("directory", f"{root} can be read and written by {user}")


def _builds(root: Path) -> Finding:
    left = [path for path in root.glob("versions/.building-*") if path.is_dir()]
    if _is_building(root):
        return warn("builds", "one is running", "wait for it before you build")
    if left:
        return warn(
            "builds",
            f"{len(left)} that were killed left {sum(map(_bytes_of, left)) // _MEGABYTE} MB",
            "the next build removes it, or `benchrouter prune --config FILE`",
        )
    return ok("builds", "none is running, none was left unfinished")


def _is_building(root: Path) -> bool:
    lock = root / ".lock"
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # not ours to lock: who may not write here cannot know
        return False


def _age(manifest: Manifest) -> Finding:
    built = datetime.fromisoformat(manifest.created_at)
    passed = datetime.now(UTC) - built
    when = f"built {built:%Y-%m-%d %H:%M} UTC"
    if passed < -_SKEW:
        remedy = "set the clock of this machine, or of the one that builds"
        return warn("age", f"{when}, which is still to come by this machine's clock", remedy)
    days = max(0, passed.days)
    age = f"{when}, {days} days ago"
    if days > _OLD_DAYS:
        remedy = f"run your benchmarks on what you serve today, then {_BUILD}"
        return warn("age", age, remedy)
    return ok("age", age)


def _verdict(manifest: Manifest) -> Iterator[Finding]:
    verdict = manifest.verdict
    if verdict is None:
        return
    if verdict.get("passes"):
        yield ok("verdict", "it passed its evaluation")
    else:
        how = "was published by force" if verdict.get("forced") else "serves all the same"
        yield warn(
            "verdict",
            f"it did not pass its evaluation against the best model on average, and {how}",
            "`benchrouter inspect --config FILE` shows it; roll back, or serving.mode: shadow",
        )


def _warnings(manifest: Manifest) -> Finding:
    told = manifest.warnings
    if not told:
        return ok("benchmark", "the build warned of nothing")
    others = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    remedy = "`benchrouter inspect --config FILE` shows all; mend the sources, or leave it so"
    return warn("benchmark", f"the build warned: {told[0].rstrip('.')}{others}", remedy)


def _differences(config: BenchRouterConfig, manifest: Manifest) -> Finding:
    wanted = json.loads(json.dumps(config.parameters))
    changed = [*_changes(wanted, manifest.parameters), *_embedder_changes(config, manifest)]
    missing = sorted(set(config.tasks) - set(manifest.named_tasks))
    if missing:
        changed.append(f"tasks lack {listed(missing)}")
    if changed:
        return warn("settings", f"the version was built otherwise: {'; '.join(changed)}", _BUILD)
    return ok("settings", "embedder, method, constants and tasks are those of the version")


def _changes(wanted: Mapping[str, Any], built: Mapping[str, Any], inside: str = "") -> list[str]:
    changes = []
    for key in sorted(wanted.keys() & built.keys()):
        name, now, then = f"{inside}{key}", wanted[key], built[key]
        if isinstance(now, dict) and isinstance(then, dict):
            changes += _changes(now, then, f"{name}.")
        elif now != then:
            changes.append(f"{name} was {then}, is {now}")
    return changes


def _embedder_changes(config: BenchRouterConfig, manifest: Manifest) -> list[str]:
    embedder, built = config.embedder, manifest.embedder
    if built.get("kind") != embedder.kind:
        return [f"embedder was {built.get('kind')}, is {embedder.kind}"]
    wanted: dict[str, Any] = {"model": embedder.model}
    if embedder.max_seq_length is not None:
        wanted |= dict.fromkeys(("max_seq_length", "max_tokens"), embedder.max_seq_length)
    if "dimensions" in embedder.model_fields_set:
        wanted["dimensions"] = embedder.dimensions  # of a hosted model
    if embedder.kind == LexicalEmbedder.kind:
        wanted["parameters"] = {"dimensions": embedder.dimensions}
    return _changes(wanted, built, "embedder.")


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_decisions(
    config: BenchRouterConfig, proxy: Mapping[str, Any], artifact: Artifact
) -> Iterator[Finding]:
    """Embed some prompts and take decisions about them, warm; a provider is not asked."""
    kind, identity = artifact.embedder.kind, artifact.manifest.embedder
    if kind == HostedEmbedder.kind:
        yield _hosted(config)
        return
    try:
        vectors = artifact.embedder.embed(PROMPTS)
    except BenchRouterError as error:
        yield fail("embedder", str(error), "benchrouter build --config FILE")
        return
    if kind == PrecomputedEmbedder.kind:
        yield warn(
            "embedder",
            "precomputed: no prompt can be embedded, so only named tasks are routed",
            "choose another embedder.kind to route by prompt",
        )
    elif not np.isfinite(vectors).all() or not vectors.any():
        yield fail("embedder", f"{kind} gives no vectors", "benchrouter build --config FILE")
    else:
        yield ok("embedder", f"{kind} gives vectors of {identity['dimension']} numbers")
    yield _in_time(config, proxy, artifact)


def _hosted(config: BenchRouterConfig) -> Finding:
    waits, limit = config.embedder.time_limit_ms, config.serving.time_limit_ms
    what = f"{config.embedder.model} is not asked, as it costs; decisions wait {waits:g} ms for it"
    if waits >= limit:
        return warn(
            "embedder",
            f"{what}, and has {limit:g} ms in all",
            "set embedder.time_limit_ms below serving.time_limit_ms",
        )
    return ok("embedder", what)


def _in_time(config: BenchRouterConfig, proxy: Mapping[str, Any], artifact: Artifact) -> Finding:
    router, limit = BenchRouter(artifact), config.serving.time_limit_ms
    chosen = list(offers(config, proxy, artifact.models).values()) or [list(artifact.models)]
    for models in chosen:
        router.decide(PROMPTS[0], models=models)
    times: list[float] = []
    started = time.perf_counter()
    for turn in range(_ROUNDS * len(PROMPTS)):
        before = time.perf_counter()
        router.decide(PROMPTS[turn % len(PROMPTS)], models=chosen[turn % len(chosen)])
        times.append(1000 * (time.perf_counter() - before))
        if time.perf_counter() - started > _MOST_SECONDS:
            break
    middle, worst = median(times), max(times)
    what = (
        f"{middle:.2g} ms in the median and {worst:.2g} ms at worst of {len(times)}; the limit is "
        f"{limit:g} ms"
    )
    remedy = "raise serving.time_limit_ms, or choose a faster embedder (static, lexical)"
    if middle > limit:
        return fail("decisions", f"{what}: most are late", remedy)
    if worst > limit:
        return warn("decisions", f"{what}: some are late", remedy)
    return ok("decisions", what)
