"""LiteLLM's semantic auto router: a proxy that another Python runs, where semantic-router is.

It asks an embedding model for every request. That is a deployment of the fake provider here, which
answers at once, so that what is measured is what LiteLLM itself does for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import polars as pl
from proxy.harness import deployment

from litellm_benchrouter.errors import BenchRouterError
from peers_run import litellm_routers
from peers_run.litellm_routers import GROUP, MODELS

NAME = "litellm, semantic"
NOTE = "its provider embeds at once: a real one's time comes on top"
_EMBEDDER = "embedder"
# What decides, besides the router, how long a proxy takes for a request.
_SAME = ("litellm", "fastapi", "starlette", "uvicorn", "uvloop", "pydantic", "openai", "httpx",
         "aiohttp", "orjson")  # fmt: skip
_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
print(json.dumps({name: of(name) for name in sys.argv[1:]}))
"""


def python_of(semantic_router: Path | None) -> Path:
    """Return the Python that runs the proxy.

    Parameters
    ----------
    semantic_router : Path or None
        A Python that can import semantic-router, if there is one.

    Raises
    ------
    BenchRouterError
        If there is none, or if its proxy is another than the one that runs the others.
    """
    if semantic_router is None:
        raise BenchRouterError("no --semantic-router-python that has it")
    command = [semantic_router, "-c", _VERSIONS, *_SAME]
    answer = subprocess.run(command, capture_output=True, check=True)
    there, here = json.loads(answer.stdout), {name: _version(name) for name in _SAME}
    for name in _SAME:
        if there[name] != here[name]:
            raise BenchRouterError(
                f"{semantic_router} has {name} {there[name] or '(none)'} and {sys.executable} has "
                f"{here[name] or '(none)'}: their proxies cannot be compared; install "
                f'"{name}=={here[name]}" there'
            )
    return semantic_router


def check(log: str) -> None:
    """See in a proxy's log that requests are routed: a failure is answered by the default model.

    Raises
    ------
    BenchRouterError
        If they are not.
    """
    for line in log.splitlines():
        if "semantic routing failed" in line:
            raise BenchRouterError(f"it routes nothing: {line.strip()[:300]}")


def model_list(api_base: str) -> list[dict[str, Any]]:
    """Return the deployments of the models, of the embedder, and the group that is routed."""
    router = {
        "model": "auto_router/semantic",
        "auto_router_config": json.dumps({"routes": _routes()}),
        "auto_router_default_model": litellm_routers.DEFAULT,
        "auto_router_embedding_model": _EMBEDDER,
    }
    return [
        *(deployment(model, model, api_base) for model in MODELS),
        deployment(_EMBEDDER, _EMBEDDER, api_base),
        {"model_name": GROUP, "litellm_params": router},
    ]


def _routes() -> list[dict[str, Any]]:
    """Make a route of each model: the prompts of the tasks that it is the best at on average.

    The prompts are all of the demo's benchmark, over which our hook decides.
    """
    with as_file(files("litellm_benchrouter") / "demo" / "benchmark.csv") as path:
        table = pl.read_csv(path)
    prompts: dict[str, list[str]] = {}
    for _, rows in table.group_by("task", maintain_order=True):
        means = rows.select(MODELS).mean().row(0)
        best = MODELS[means.index(max(means))]
        prompts.setdefault(best, []).extend(rows["prompt"])
    return [{"name": model, "utterances": listed} for model, listed in prompts.items()]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
