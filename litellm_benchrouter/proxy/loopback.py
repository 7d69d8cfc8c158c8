"""The proxy asked by itself, in its caller's name: as if the caller had sent another request.

So every call of a cascade goes through LiteLLM's own authentication, budgets, rate limits,
guardrails and logs, whatever the release does there. No socket is opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

from litellm_benchrouter.conversation.text import metadata_of
from litellm_benchrouter.proxy import running
from litellm_benchrouter.serving.call import Call

_CHAT_PATH = "/v1/chat/completions"
_DROPPED_HEADERS = frozenset(
    {
        *("host", "content-length", "content-encoding", "content-type", "transfer-encoding"),
        *("connection", "accept-encoding", "expect", "x-litellm-call-id"),
    }
)
# What LiteLLM has put into the body, and what makes a stream of the answer.
_DROPPED = frozenset(
    {
        *("metadata", "litellm_metadata", "proxy_server_request", "secret_fields"),
        *("litellm_call_id", "litellm_logging_obj", "litellm_trace_id", "litellm_session_id"),
        *("stream", "stream_options", "model_info"),
    }
)

_MOVED = ("guardrails", "guardrail_config")  # by LiteLLM, from the body into its metadata


@dataclass
class Step:
    """A request that the plugin sends itself; `call` is what is decided of it already."""

    call: Call | None = None


STEP: ContextVar[Step | None] = ContextVar("benchrouter_step", default=None)
"""Of this task, where the plugin itself asks the proxy."""


class ProxyError(Exception):
    """The proxy answered with a status that is not 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answered {status}")
        self.status = status


@dataclass(frozen=True)
class Caller:
    """Whom a request comes from, and what it asks: enough to ask in its name."""

    url: str
    headers: Mapping[str, str] = field(repr=False)  # with the caller's key
    body: Mapping[str, Any] = field(repr=False)  # without `stream`
    address: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Caller | None:
        """Read LiteLLM's data of a request; None where it does not hold all that is needed."""
        received, secret = data.get("proxy_server_request"), data.get("secret_fields")
        headers = secret.get("raw_headers") if isinstance(secret, Mapping) else None
        body = received.get("body") if isinstance(received, Mapping) else None
        if not isinstance(received, Mapping) or not isinstance(body, Mapping) or not headers:
            return None
        if received.get("credential_fields") or received.get("caller_credential_fields"):
            return None  # the caller's own keys of a provider are not among what is left
        metadata = metadata_of(data)
        own = metadata.get("requester_metadata")
        if not own and metadata is not data.get("metadata"):
            own = body.get("metadata")
        fields = {k: v for k, v in body.items() if k not in _DROPPED and not k.startswith("_")}
        fields |= {key: metadata[key] for key in _MOVED if key in metadata}
        address = metadata.get("requester_ip_address") or "127.0.0.1"
        return cls(
            str(received.get("url")),
            {k: v for k, v in headers.items() if k.lower() not in _DROPPED_HEADERS},
            fields | ({"metadata": own} if own else {}),
            str(address),
        )

    async def ask(self, step: Step) -> tuple[dict[str, Any], httpx.Headers]:
        """Ask what the caller asked once more, past LiteLLM's cache; return the answer.

        Raises
        ------
        ProxyError
            The proxy refused, or the model failed.
        """
        cache = self.body.get("cache")
        options = {**(cache if isinstance(cache, Mapping) else {}), "no-cache": True}
        return await self._post(self.url, {**self.body, "cache": options}, step)

    async def ask_group(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], httpx.Headers]:
        """Send a chat completion of ours in the caller's name."""
        url = str(httpx.URL(self.url).copy_with(path=_CHAT_PATH, query=None))
        return await self._post(url, dict(body), Step())

    async def _post(
        self, url: str, body: dict[str, Any], step: Step
    ) -> tuple[dict[str, Any], httpx.Headers]:
        app = running.attribute("app")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(self.address, 0))
        headers = {**self.headers, "content-type": "application/json"}
        request = httpx.Request("POST", url, headers=headers, content=json.dumps(body))
        token = STEP.set(step)
        try:
            response = await transport.handle_async_request(request)
            content = await response.aread()
        finally:
            STEP.reset(token)
        if response.status_code != httpx.codes.OK:
            raise ProxyError(response.status_code)
        answer = json.loads(content)
        if not isinstance(answer, dict):
            raise TypeError("the proxy's answer is not an object")
        return answer, response.headers
