"""A small OpenAI-compatible provider on loopback for the real proxy to call.

It answers every model name, says in the text which model answered, records every request, and can
be told per model to answer 429 or 500, or to take its time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """How a model answers: the HTTP status, after `delay` seconds.

    A chat answers `text` in place of its own; `finish_reason` says why it ended, and
    `completion_tokens` what its usage says, and `logprobs` are those of its tokens.
    """

    status: int = 200
    delay: float = 0.0
    text: str | None = None
    finish_reason: str = "stop"
    completion_tokens: int = 3
    logprobs: tuple[float, ...] = ()


OK = Answer()
RATE_LIMITED = Answer(status=429)
BROKEN = Answer(status=500)

_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def slow(seconds: float, answer: Answer = OK) -> Answer:
    """Return `answer`, given only after `seconds`."""
    return replace(answer, delay=seconds)


@dataclass(frozen=True)
class Request:
    """One request as it arrived here; header names are in lower case."""

    model: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


def embedding(text: str) -> list[float]:
    """Return the vector of a text: eight numbers that depend on nothing else."""
    return [byte / 255 - 0.5 for byte in hashlib.sha256(text.encode()).digest()[:8]]


@dataclass
class _Plan:
    answer: Answer
    times: int | None
    after: int


@dataclass
class _State:
    embed: Callable[[str], list[float]]
    speak: Callable[[str, str], str] | None = None
    requests: list[Request] = field(default_factory=list)
    plans: dict[str, _Plan] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)


class FakeUpstream:
    """The provider, in threads of this process; a context manager.

    Parameters
    ----------
    embed : callable
        Returns the vector of a text.
    speak : callable, optional
        Returns what a model says to a prompt, where it was told nothing else.

    Attributes
    ----------
    base_url : str
        What a deployment's `api_base` has to be.
    """

    def __init__(
        self,
        embed: Callable[[str], list[float]] = embedding,
        speak: Callable[[str, str], str] | None = None,
    ) -> None:
        self._state = _State(embed, speak)
        self._server = _Server(self._state)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.reset()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tell(self, model: str, answer: Answer, *, times: int | None = None, after: int = 0) -> None:
        """Make `model` give `answer`, for its next `times` requests or until told otherwise.

        Before that, the model is well for `after` requests.
        """
        with self._state.lock:
            self._state.plans[model] = _Plan(answer, times, after)

    def release(self) -> None:
        """Let who is slow answer now; what was recorded and told stays."""
        with self._state.lock:
            self._state.released.set()

    def reset(self) -> None:
        """Forget all requests; every model is well again, and who is slow answers now."""
        with self._state.lock:
            self._state.requests.clear()
            self._state.plans.clear()
            self._state.released.set()
            self._state.released = threading.Event()

    @property
    def requests(self) -> list[Request]:
        """Every request since the last reset, in the order of arrival."""
        with self._state.lock:
            return list(self._state.requests)

    @property
    def models(self) -> list[str]:
        """The model that each request asked for, in the order of arrival."""
        return [request.model for request in self.requests]


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 256  # the default of 5 makes concurrent connections wait for a second
    # Threads that server_close() joins leave no socket behind for a ResourceWarning.
    daemon_threads = False

    def __init__(self, state: _State) -> None:
        self.state = state
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0, the default: one request a connection, so no idle connection holds the server up.
    server: _Server
    timeout = 30

    def log_message(self, format: str, *args: object) -> None:
        pass  # the recorded requests are the log

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = body["model"]
        answer, released = self._record(model, body)
        released.wait(answer.delay)
        # The proxy may have given up waiting, which is what a slow answer is for.
        with contextlib.suppress(ConnectionError):
            self._respond(model, body, answer)

    def _record(self, model: str, body: dict[str, Any]) -> tuple[Answer, threading.Event]:
        headers = {name.lower(): value for name, value in self.headers.items()}
        state = self.server.state
        with state.lock:
            state.requests.append(Request(model, self.path, body, headers))
            plan = state.plans.get(model)
            if plan is None or plan.times == 0:
                messages = body.get("messages")
                if state.speak is not None and messages:
                    text = state.speak(model, str(messages[-1]["content"]))
                    return replace(OK, text=text), state.released
                return OK, state.released
            if plan.after > 0:
                plan.after -= 1
                return OK, state.released
            if plan.times is not None:
                plan.times -= 1
            return plan.answer, state.released

    def _respond(self, model: str, body: dict[str, Any], answer: Answer) -> None:
        if answer.status != 200:
            message = f"{model} was told to answer {answer.status}"
            self._json(answer.status, {"error": {"message": message, "type": "fake_upstream"}})
        elif self.path == "/v1/embeddings":
            self._json(200, _embeddings(model, body, self.server.state.embed))
        elif self.path == "/v1/chat/completions" and body.get("stream"):
            self._events(_chat_events(model, answer))
        elif self.path == "/v1/chat/completions":
            self._json(200, _chat(model, answer))
        elif self.path == "/v1/completions":
            self._json(200, _text_completion(model))
        elif self.path == "/v1/responses" and body.get("stream"):
            self._events(_response_events(model))
        elif self.path == "/v1/responses":
            self._json(200, _response(model, answer))
        else:
            self._json(404, {"error": {"message": f"the fake upstream has no {self.path}"}})

    def _json(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _events(self, events: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in events:
            self.wfile.write(f"{event}\n\n".encode())
            self.wfile.flush()


def answer_text(model: str) -> str:
    """Return the text with which `model` answers."""
    return f"This is {model}."


def saying(text: str, **more: Any) -> Answer:
    """Return an answer of a chat with this text."""
    return Answer(text=text, **more)


def _chat_id() -> str:
    """Return an id of its own: by it LiteLLM's spend logs tell answers apart."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def _chat(model: str, answer: Answer) -> dict[str, Any]:
    text = answer_text(model) if answer.text is None else answer.text
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    if answer.logprobs:
        token = {"token": "a", "bytes": None, "top_logprobs": []}
        choice["logprobs"] = {"content": [token | {"logprob": each} for each in answer.logprobs]}
    return {
        "id": _chat_id(),
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
        "usage": {**_USAGE, "completion_tokens": answer.completion_tokens},
    }


def _chat_events(model: str, answer: Answer) -> Iterator[str]:
    text = answer_text(model) if answer.text is None else answer.text
    head = {"id": _chat_id(), "object": "chat.completion.chunk", "created": 1, "model": model}
    deltas = [{"role": "assistant", "content": ""}] + [
        {"content": piece} for piece in _pieces(text)
    ]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}"
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield f"data: {json.dumps({**head, 'choices': [end], 'usage': _USAGE})}"
    yield "data: [DONE]"


def _text_completion(model: str) -> dict[str, Any]:
    return {
        "id": "cmpl-fake",
        "object": "text_completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "text": answer_text(model), "finish_reason": "stop"}],
        "usage": _USAGE,
    }


def _embeddings(
    model: str, body: dict[str, Any], embed: Callable[[str], list[float]]
) -> dict[str, Any]:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    return {
        "object": "list",
        "model": model,
        "data": [
            {"object": "embedding", "index": index, "embedding": embed(str(text))}
            for index, text in enumerate(texts)
        ],
        "usage": _USAGE,
    }


def _message_item(text: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part] if text else [],
    }


def _response(model: str, answer: Answer = OK, status: str = "completed") -> dict[str, Any]:
    done = status == "completed"
    text = answer_text(model) if answer.text is None else answer.text
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": model,
        "output": [_message_item(text)] if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10} if done else None,
    }


def _response_events(model: str) -> Iterator[str]:
    text = answer_text(model)
    part = {"type": "output_text", "text": text, "annotations": []}
    place = {"item_id": "msg_fake", "output_index": 0, "content_index": 0}
    item = {"output_index": 0, "item": _message_item("", "in_progress")}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": _response(model, status="in_progress")}),
        ("response.output_item.added", item),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**place, "delta": piece}) for piece in _pieces(text)),
        ("response.output_text.done", {**place, "text": text}),
        ("response.content_part.done", {**place, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": _message_item(text)}),
        ("response.completed", {"response": _response(model)}),
    ]
    for number, (kind, fields) in enumerate(events):
        data = json.dumps({"type": kind, "sequence_number": number, **fields})
        yield f"event: {kind}\ndata: {data}"


def _pieces(text: str) -> list[str]:
    middle = len(text) // 2
    return [text[:middle], text[middle:]]
