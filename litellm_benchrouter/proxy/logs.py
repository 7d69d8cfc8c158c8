"""The plugin's messages in the proxy's log: each once, in the proxy's own form and at its level."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from litellm_benchrouter.artifact.verdict import sentence
from litellm_benchrouter.config import BLOCK
from litellm_benchrouter.routing.deployments import ModelNames
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.call import Call

logger = logging.getLogger("litellm_benchrouter")

_PROXY = "LiteLLM Proxy"


class _ProxyHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Hands records to who writes the proxy's log, whenever that was set up.

    With `json_logs` LiteLLM writes them, at whatever level the plugin's own is; else the handlers
    of the root logger, where there are any; else they go to standard error.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record once."""
        of_proxy = logging.getLogger(_PROXY).handlers
        as_json = [h for h in of_proxy if type(h.formatter).__name__ == "JsonFormatter"]
        root = [h for h in logging.getLogger().handlers if record.levelno >= h.level]
        if as_json:
            as_json[0].handle(record)
        elif root:
            for handler in root:
                handler.handle(record)
        else:
            super().emit(record)


class _Formatter(logging.Formatter):
    """Marks messages with their level; the line of a decision is JSON, and stays it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        if record.levelno == logging.DEBUG:
            return record.getMessage()
        return super().format(record)


def note_in_spend_log(metadata: dict[str, Any], call: Call) -> None:
    """Write what a call says of itself beside what the client has put into the spend log."""
    logged = metadata.get("spend_logs_metadata")
    fields = dict(logged) if isinstance(logged, Mapping) else {}
    fields.pop(BLOCK, None)  # a fallback starts with what the failed attempt wrote
    ours = call.as_log()
    metadata["spend_logs_metadata"] = fields if ours is None else fields | {BLOCK: ours}


def join_proxy_log(level: str | None) -> None:
    """Write the plugin's messages to the proxy's log; not where an operator sends them elsewhere.

    They are written from `level` on, by default the proxy's.
    """
    logger.setLevel(level.upper() if level else _proxy_level())
    if not logger.handlers:
        handler = _ProxyHandler()
        shape = "%(asctime)s - litellm_benchrouter:%(levelname)s: %(message)s"
        handler.setFormatter(_Formatter(shape, datefmt="%H:%M:%S"))
        logger.addHandler(handler)
        logger.propagate = False


def start_line(
    router: BenchRouter, groups: Iterable[Collection[str]], adapter: str, memory: str
) -> None:
    """Say in one line that requests are routed, at a level that the proxy shows.

    `groups` are the benchmark models on offer in each group; `adapter` is how LiteLLM is told which
    deployment is preferred; `memory` is where conversations are remembered.
    """
    manifest, offers = router.artifact.manifest, list(groups)
    models = {model for offer in offers for model in offer}
    proof = "not proved" if manifest.verdict is None else sentence(manifest.verdict)
    logger.log(
        min(_proxy_level(), logging.WARNING),
        "benchrouter: litellm-benchrouter %s routes by version %s; method: %s; proof: %s; groups: "
        "%d; models: %d of the benchmark's %d; adapter: %s; memory: %s",
        version("litellm-benchrouter"),
        manifest.version,
        manifest.parameters.get("method"),
        proof,
        len(offers),
        len(models),
        len(router.models),
        adapter,
        memory,
    )


def note_on_span(metadata: Mapping[str, Any], call: Call) -> None:
    """Put attributes `benchrouter.*` on LiteLLM's own OpenTelemetry span of a request, if any."""
    span = metadata.get("litellm_parent_otel_span")
    if span is None or not span.is_recording():
        return
    for key, value in call.as_attributes().items():
        span.set_attribute(f"benchrouter.{key}", value)


def _proxy_level() -> int:
    return max(logging.INFO, logging.getLogger(_PROXY).getEffectiveLevel())


def warn_of_unknown(
    deployments: Sequence[Mapping[str, Any]],
    models: Sequence[str | None],
    names: ModelNames,
    warned: set[str],
) -> None:
    """Say once for each deployment that the benchmark cannot rank it; `warned` grows."""
    for deployment, model in zip(deployments, models, strict=True):
        name = names.said(deployment) if model is None else ""
        if name and name not in warned:
            warned.add(name)
            logger.warning(
                "benchrouter: the benchmark does not know %s of group %s; it ranks last. "
                "Name its benchmark model in model_info.benchrouter_model.",
                name,
                deployment.get("model_name"),
            )
