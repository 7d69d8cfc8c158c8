"""The proxy without our plugin, so that a failure elsewhere is not the harness's."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from .harness import ProxyProcess, deployment
from .upstream import BROKEN, RATE_LIMITED, Answer, FakeUpstream, answer_text, embedding, slow


@pytest.fixture(scope="module")
def proxy(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    config = {
        "model_list": [
            deployment("chat", "alpha", upstream_server.base_url),
            deployment("vectors", "beta", upstream_server.base_url),
        ],
        # A failing model must neither be tried again nor rest for the next test.
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }
    with ProxyProcess(config, tmp_path_factory.mktemp("proxy")) as running:
        yield running


def test_chat_is_answered_by_the_upstream(proxy: ProxyProcess, upstream: FakeUpstream) -> None:
    answer = proxy.openai.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "Who are you?"}]
    )

    assert answer.choices[0].message.content == answer_text("alpha")
    (request,) = upstream.requests
    assert (request.model, request.path) == ("alpha", "/v1/chat/completions")
    assert request.body["messages"] == [{"role": "user", "content": "Who are you?"}]
    assert request.headers["authorization"] == "Bearer sk-fake-upstream"


def test_chat_is_streamed(proxy: ProxyProcess, upstream: FakeUpstream) -> None:
    chunks = list(
        proxy.openai.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "Who are you?"}], stream=True
        )
    )

    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(piece or "" for piece in pieces) == answer_text("alpha")
    assert upstream.models == ["alpha"]


@pytest.mark.parametrize("stream", [False, True])
def test_responses_are_answered(proxy: ProxyProcess, upstream: FakeUpstream, stream: bool) -> None:
    answer = proxy.openai.responses.create(model="chat", input="Who are you?", stream=stream)

    if stream:
        pieces = [e.delta for e in answer if e.type == "response.output_text.delta"]
        assert "".join(pieces) == answer_text("alpha")
    else:
        assert answer.output_text == answer_text("alpha")
    assert [request.path for request in upstream.requests] == ["/v1/responses"]


@pytest.mark.parametrize("stream", [False, True])
def test_messages_are_answered(proxy: ProxyProcess, upstream: FakeUpstream, stream: bool) -> None:
    answer = proxy.http.post(
        "/v1/messages",
        json={
            "model": "chat",
            "max_tokens": 50,
            "stream": stream,
            "messages": [{"role": "user", "content": "Who are you?"}],
        },
    )

    assert answer.status_code == 200, answer.text
    if stream:
        assert "content_block_delta" in answer.text
        assert "message_stop" in answer.text
    else:
        assert answer.json()["content"][0]["text"] == answer_text("alpha")
    assert upstream.models == ["alpha"]


def test_embeddings_are_answered(proxy: ProxyProcess, upstream: FakeUpstream) -> None:
    answer = proxy.openai.embeddings.create(
        model="vectors", input=["one", "two"], encoding_format="float"
    )

    assert [row.embedding for row in answer.data] == [embedding(text) for text in ("one", "two")]
    assert [(request.model, request.path) for request in upstream.requests] == [
        ("beta", "/v1/embeddings")
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(RATE_LIMITED, openai.RateLimitError), (BROKEN, openai.InternalServerError)],
)
def test_a_failing_model_fails_until_it_is_well(
    proxy: ProxyProcess,
    upstream: FakeUpstream,
    answer: Answer,
    error: type[openai.APIStatusError],
) -> None:
    upstream.tell("alpha", answer, times=1)
    ask = {"model": "chat", "messages": [{"role": "user", "content": "Who are you?"}]}

    with pytest.raises(error):
        proxy.openai.chat.completions.create(**ask)
    assert proxy.openai.chat.completions.create(**ask).choices[0].message.content
    assert upstream.models == ["alpha", "alpha"]


def test_a_slow_model_makes_an_impatient_client_give_up(
    proxy: ProxyProcess, upstream: FakeUpstream
) -> None:
    upstream.tell("alpha", slow(30))

    with pytest.raises(openai.APITimeoutError):
        proxy.openai.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "Who are you?"}], timeout=1
        )
    assert upstream.models == ["alpha"]
