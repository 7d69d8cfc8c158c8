"""The stages of `benchrouter refresh`; each notes in a document what it did, or why it did not."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout

from litellm_benchrouter.artifact.verdict import sentence
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.build import refusal
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ArtifactError, ConfigError, LabellingError, PublishError
from litellm_benchrouter.evaluation.run import Options, evaluate
from litellm_benchrouter.labelling.journal import replace_file, writing
from litellm_benchrouter.labelling.metrics import PEOPLE
from litellm_benchrouter.labelling.own_traffic import OwnTraffic, metric_of_traffic
from litellm_benchrouter.labelling.people import journal_of
from litellm_benchrouter.labelling.run import AskOptions, do_run, plan_run, summary
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.sources.frames import matching
from litellm_benchrouter.sources.traffic import ExploredEvents
from litellm_benchrouter.store import open_store
from litellm_benchrouter.store.secrets import without_password
from litellm_benchrouter.traffic.explored import read_explored
from litellm_benchrouter.traffic.prompts import origin_of, read_prompts
from litellm_benchrouter.upstream import Proxy
from litellm_benchrouter.views import without_nan
from litellm_benchrouter.views.charts import require_charts
from litellm_benchrouter.views.report import render_html

Document = dict[str, Any]

REPORT = "report.html"
_LOCK, _STATE = ".refreshing", "refreshed.json"
_ENVIRONMENT = "os.environ/"  # as LiteLLM writes it
_WEBHOOK_SECONDS = 10.0
_OF_SERVING = {
    *("groups", "mode", "policy", "refresh", "request_policies", "serving", "virtual_models")
}
"""Keys of the configuration that no build reads."""


@contextmanager
def alone(config: BenchRouterConfig) -> Iterator[None]:
    """Hold the lock of refreshing; raise ArtifactError where another refresh has it."""
    lock = FileLock(config.artifacts / _LOCK, timeout=0)
    try:
        config.artifacts.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ArtifactError(
            f"another refresh is running on {config.artifacts}. Wait for it to end."
        ) from error
    except OSError as error:
        raise ArtifactError(
            f"cannot write to {config.artifacts} ({error.strerror}). Make the folder writable."
        ) from error
    try:
        yield
    finally:
        lock.release()


def label(
    config: BenchRouterConfig,
    proxy: Proxy,
    limit_usd: float,
    most: int,
    document: Document,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Ask models at most so many more prompts of own traffic, as far as the money goes.

    Raises what `benchrouter label --traffic` does, but where the money ends before a label came.
    """
    traffic = config.traffic
    if traffic is None or (traffic.origin is None and traffic.collect is None):
        document["label"] = {"skipped": "the configuration names no own traffic"}
        return
    prompts = read_prompts(config, references=True)
    document["traffic"] = {"from": without_password(origin_of(config)), "prompts": prompts.height}
    if not limit_usd:
        document["label"] = {"skipped": "there is no budget"}
        return
    path, metric = journal_of(config), metric_of_traffic(config, None)
    if prompts.is_empty() and not path.exists():
        document["label"] = {"skipped": "there are no prompts yet"}
        return
    with writing(path, config.aliases) as journal:
        n = len(journal.noted) + most
        racing = metric != PEOPLE  # who is out is not known before they have rated
        own = OwnTraffic.open(config, journal, n, racing=racing, prompts=prompts)
        options = AskOptions(n, limit_usd=limit_usd)
        run = plan_run(config, proxy, own.task, metric, journal, options, own.choose)
        asking = asyncio.run(do_run(run, progress, say, own.batches))
        done = summary(run, asking)
    for warning in done["warnings"]:
        say(f"Warning: {warning}")
    if asking is None and not run.rescored:
        document["label"] = {"skipped": "every prompt has the labels that it needs"}
    else:
        document["label"] = {
            "prompts": done["inputs"]["labelled"],
            "calls": done["calls"]["made"],
            "spent_usd": done["spent_usd_now"],
            "stopped": done["stopped"],
        }
    if asking is not None and not done["calls"]["made"] and done["stopped"] is None:
        # Not what providers said: it may quote prompts, and this goes to the webhook.
        raise LabellingError(
            f"no label came of {run.plan.n_calls} questions; {path} has the reasons. See that the "
            f"models can be asked."
        )


def build_version(config: BenchRouterConfig, document: Document, progress: Progress) -> bool:
    """Build and publish a version where anything has changed since the last one.

    Returns
    -------
    bool
        Whether there is another version than before.

    Raises
    ------
    PublishError
        If its verdict fails; the version that served still does.
    ConfigError, SourceError, EmbedderError, EngineError, ArtifactError
        As `build` does.
    """
    explored = read_explored(config)
    store, inputs = open_store(config), _inputs(config, explored)
    state = config.artifacts / _STATE
    serving = None
    with suppress(ArtifactError):  # one that cannot be read is built anew
        serving = store.current()
    if inputs is not None and serving is not None and _read(state) == inputs:
        document["build"] = {"version": serving, "skipped": "nothing has changed"}
        return False
    built = build(config, progress=progress, explored=explored)
    verdict = built.manifest.verdict
    document["build"] = {
        "version": built.manifest.version,
        "before": serving,
        "published": built.published,
        "unchanged": built.unchanged,
        "says": None if verdict is None else sentence(verdict),
        "verdict": verdict,
    }
    if not built.published:
        raise PublishError(refusal(built, store))
    if inputs is not None:
        replace_file(state, json.dumps({"inputs": inputs}) + "\n")
    return built.manifest.version != serving


def write_report(config: BenchRouterConfig, document: Document, progress: Progress) -> None:
    """Write the HTML of the usual experiments; without the extra or enough tasks, say why not."""
    try:
        require_charts()
        result = without_nan(evaluate(config, Options(), progress=progress))
    except ConfigError as error:
        document["report"] = {"skipped": str(error)}
        return
    path = config.labels_home / REPORT
    replace_file(path, render_html(result))
    document["report"] = {"file": str(path)}


def post(webhook: str, document: Document) -> str | None:
    """Post a document as JSON; return why it did not arrive, without an address that is secret."""
    url = webhook
    if webhook.startswith(_ENVIRONMENT):
        name = webhook.removeprefix(_ENVIRONMENT)
        url = os.environ.get(name, "")
        if not url:
            return f"the environment variable {name} is not set"
    host = "its address"
    body = json.dumps(without_nan(document)).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "benchrouter"}
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "its address begins neither with https:// nor with http://"
        host = parts.hostname
        with urlopen(Request(url, body, headers), timeout=_WEBHOOK_SECONDS):
            return None
    except Exception as error:  # of urllib and of whoever answers; the run is done
        reason = getattr(error, "code", None) or type(getattr(error, "reason", error)).__name__
        return f"{host} did not take it ({reason})"


def _read(state: Path) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(state.read_bytes())["inputs"])
    return None


def _inputs(config: BenchRouterConfig, explored: ExploredEvents | None) -> str | None:
    """Return a digest of what a build would read: configuration, files by size and time, scores.

    None where a source is no file or folder here, as then nothing tells cheaply.
    """
    if any(source.url is not None for source in config.sources):
        return None
    named = [path for source in config.sources for path in (source.path, source.embeddings)]
    for task_name, task in config.tasks.items():
        labels = task.labels or config.labels_home / "labels" / f"{task_name}.jsonl"
        named += [task.inputs, task.embeddings, labels]
    named += [config.traffic_labels, Path(config.embedder.model)]
    for source in config.sources:
        named += [Path(v) for v in source.options.values() if isinstance(v, str) and "\0" not in v]
    seen = hashlib.sha256(config.model_dump_json(exclude=_OF_SERVING).encode())
    seen.update(version("litellm-benchrouter").encode())
    if explored is not None:
        seen.update(json.dumps(asdict(explored)).encode())
    try:
        for path in filter(None, named):
            for root in matching(path):
                files = sorted(root.rglob("*")) if root.is_dir() else [root]
                for file in files:
                    if file.is_file():
                        stat = file.stat()
                        seen.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        if not all(matching(source.path)[0].exists() for source in config.sources):
            return None
    except Exception:  # the build says what is wrong with it
        return None
    return seen.hexdigest()
