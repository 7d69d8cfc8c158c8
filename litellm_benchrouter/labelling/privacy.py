"""To whom prompts of own traffic go, and how their labels and answers are erased."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import LabellingError
from litellm_benchrouter.labelling.journal import prompt_of, require_lines
from litellm_benchrouter.labelling.run import Run
from litellm_benchrouter.traffic.parts import Folder, split_rows
from litellm_benchrouter.upstream import import_litellm

ERASED_BY = ("key", "user", "end_user")
"""Fields of a line that say whose prompt it is, as hashes."""


def recipients(run: Run) -> dict[str, dict[str, Any]]:
    """Say to whom prompts go, by provider or the host of an own one: models, and how many."""
    keys: dict[str, set[str]] = {}
    for job in run.plan.jobs:
        if not job.is_answered:
            keys.setdefault(job.model, set()).add(job.question.key)
        if run.judge is not None:
            keys.setdefault(run.judge, set()).add(job.question.key)
    places: dict[str, tuple[set[str], set[str]]] = {}
    for model in run.asked:
        for entry in model.deployments if model.name in keys else []:
            names, prompts = places.setdefault(_provider(entry["litellm_params"]), (set(), set()))
            names.add(model.name)
            prompts |= keys[model.name]
    return {
        place: {"models": sorted(names), "prompts": len(prompts)}
        for place, (names, prompts) in sorted(places.items())
    }


def _provider(params: Mapping[str, Any]) -> str:
    base = params.get("api_base") or params.get("base_url")
    host = urlsplit(base).netloc.rpartition("@")[2] if isinstance(base, str) else ""
    if host:
        return host
    try:
        provider = import_litellm().get_llm_provider(model=params["model"])[1]
    except Exception:  # of a model that it cannot place
        provider = params["model"].partition("/")[0]
    return str(params.get("custom_llm_provider") or provider)


def erase_labels(
    config: BenchRouterConfig,
    is_meant: Callable[[Mapping[str, Any]], bool],
    texts: Collection[str],
) -> tuple[str, int] | None:
    """Remove the labels and answers of erased prompts; return the file, and how many prompts.

    Meant are lines of these texts, and those that say whose prompt it is or were written by a run.
    None where there is no file.
    """
    path = config.traffic_labels
    if path is None or not path.exists():
        return None
    require_lines(path)
    gone: set[str] = set()

    def goes(line: Mapping[str, Any]) -> bool:
        prompt = prompt_of(line)
        says_whose = not {"event", *ERASED_BY}.isdisjoint(line)
        is_one = prompt in texts or (says_whose and is_meant(line))
        if is_one:
            gone.add(prompt)
        return is_one

    try:
        with FileLock(path.with_name(f".{path.name}.lock"), mode=0o600).acquire(timeout=0):
            for beside in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 8}"):
                beside.unlink()  # of a command that was killed
            rest, lines = split_rows(path.read_bytes(), goes)
            if lines:
                Folder(path.parent).write(path.name, b"".join(rest))
    except Timeout as error:
        raise LabellingError(
            f"another run is writing to {path}; wait for it to end and erase again."
        ) from error
    except OSError as error:
        raise LabellingError(
            f"{path}: labels could not be erased ({error.strerror}). Try again."
        ) from error
    return str(path), len(gone)
