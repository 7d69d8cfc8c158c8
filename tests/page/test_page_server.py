"""The page over HTTP: what it says, what it refuses, and what it never keeps."""

from __future__ import annotations

import errno
import http.client
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from page.conftest import ServedPage

CODE = "Write a Python function that reverses a queue."
SECRET = "xylophone-quokka-4711"


def test_a_prompt_gets_a_pick_with_its_reasons(served: ServedPage) -> None:
    answer = served.ask(prompt=CODE, model=["atlas-70b", "coder-14b"])

    assert answer.status == 200
    assert "<title>coder-14b" in answer.body
    assert "the guarded method:" in answer.body
    assert "code-" in answer.body  # ids of neighbours
    assert "2 of 5" in answer.body
    ranked = answer.body.partition("Models, best first")[2].partition("</table>")[0]
    assert "atlas" in ranked
    assert "spark" not in ranked


def test_a_named_task_gets_its_stored_decision(served: ServedPage) -> None:
    answer = served.ask(prompt="", task="report-queries")

    assert answer.status == 200
    for column in ("S1", "S2", "S3", "P(better)"):
        assert f'<th scope="col">{column}</th>' in answer.body


def test_a_policy_weighs_cost(served: ServedPage) -> None:
    assert "<title>spark-3b" in served.ask(prompt=CODE, policy="cheapest:0").body


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"prompt": " \n", "task": " "}, "Type a prompt, or name a task."),
        ({"prompt": CODE}, "No model was ticked"),
        ({"prompt": CODE, "model": ["gone", "atlas-70b"]}, "does not know were left out"),
        ({"prompt": CODE, "policy": "dearest"}, "is not a policy; write quality"),
        ({"prompt": CODE, "task": "never heard of"}, "the task is not in the artifact"),
    ],
)
def test_what_is_asked_oddly_is_answered_in_words(
    served: ServedPage, fields: dict[str, Any], said: str
) -> None:
    answer = served.ask(**fields)

    assert answer.status == 200
    assert said in answer.body


@pytest.mark.parametrize("field", ["prompt", "task", "policy", "model"])
def test_nothing_that_is_typed_becomes_markup(served: ServedPage, field: str) -> None:
    hostile = "</textarea><script>document.title='owned'</script>\"'><img src=x>"

    answer = served.ask(**{"prompt": "hello", field: hostile})

    assert answer.status == 200
    for part in ("<script", "</textarea><", "<img"):
        assert part not in answer.body


@pytest.mark.parametrize(
    "body",
    [
        b"prompt=%ED%A0%80half+a+pair&task=%ED%B0%80",
        b"prompt=\xed\xa0\x80\xff\xfe&task=x",
        b"prompt=%00%01%1b[31mred&policy=%00",
        b"prompt=%zz%&&=&=x&prompt",
        b"",
        b"\x00" * 1000,
    ],
)
def test_bytes_that_are_no_text_are_answered(served: ServedPage, body: bytes) -> None:
    assert served.ask(body).status == 200


def test_ten_megabytes_are_refused_in_words(served: ServedPage) -> None:
    answer = served.ask(b"prompt=" + b"a" * 10_000_000)

    assert answer.status == 413
    assert "1,000,000 bytes" in answer.body
    assert served.ask(prompt="a" * 900_000).status == 200
    assert served.ask(b"model=a&" * 6000).status == 413


def test_an_address_cannot_ask(served: ServedPage) -> None:
    answer = served.request("GET", f"/?prompt={SECRET}&task=report-queries")

    assert answer.status == 200
    assert SECRET not in answer.body
    assert "Models, best first" not in answer.body
    assert '<textarea id="prompt"' in answer.body


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8787", "", "127.0.0.1.nip.io", "["])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_that_is_not_ours_is_refused(served: ServedPage, host: str, method: str) -> None:
    answer = served.request(method, "/", b"prompt=x" if method == "POST" else None, Host=host)

    assert answer.status == 421
    assert "--allow-host" in answer.body
    assert "textarea" not in answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8787", "[::1]:8787"])
def test_loopback_may_be_called_by_each_of_its_names(served: ServedPage, host: str) -> None:
    assert served.request("GET", "/", Host=host).status == 200


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/", {"Content_Type": FORM, "Origin": "http://evil.example"}, 403),
        ("POST", "/", {"Content_Type": FORM, "Origin": "null"}, 403),
        ("POST", "/", {"Content_Type": "application/json"}, 415),
        ("POST", "/", {"Content_Type": FORM, "Content_Length": "-1"}, 411),
        ("POST", "/", {"Content_Type": FORM, "Transfer_Encoding": "chunked"}, 411),
        ("POST", "/other", {"Content_Type": FORM}, 404),
        ("GET", "/../../etc/passwd", {}, 404),
        ("PUT", "/", {}, 501),
        ("<B>", "/", {}, 501),
    ],
)
def test_what_is_not_the_pages_own_form_is_refused(
    served: ServedPage, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    body = b"prompt=hello" if method == "POST" else None

    answer = served.request(method, path, body, **headers)

    assert answer.status == status
    assert "Traceback" not in answer.body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_browser_may_load_and_keep_nothing_else(served: ServedPage) -> None:
    for path in ("/", "/style.css", "/favicon.ico"):
        headers = served.request("GET", path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert "script-src" not in policy
        assert policy.startswith("default-src 'none'")
    head = served.request("HEAD", "/")
    assert head.status == 200
    assert head.body == ""


def test_a_prompt_is_kept_nowhere(demo_built: Path, tmp_path: Path) -> None:
    with ServedPage(demo_built / "config.yaml", tmp_path) as page:
        assert SECRET in page.ask(prompt=f"Write {SECRET} in Python", task="x").body
        page.ask(prompt=SECRET, policy="wrong")
        page.ask(prompt=SECRET + "a" * 2_000_000)
        page.request("GET", f"/?prompt={SECRET}")
        page.request("GET", f"/{SECRET}")
        page.request("POST", "/", f"prompt={SECRET}", Host="evil.example")
        with socket.create_connection((urlsplit(page.url).hostname, _port(page))) as connection:
            connection.sendall(f"{SECRET} nonsense\r\n\r\n".encode())
        assert page.end(signal.SIGINT) == 0

    written = [path for folder in (demo_built, tmp_path) for path in folder.rglob("*")]
    assert any(path.name == "manifest.json" for path in written)
    for path in written:
        assert SECRET not in path.name
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    assert SECRET not in page.out + page.err
    assert page.err == ""


def test_a_client_that_leaves_early_is_no_error(demo_built: Path, tmp_path: Path) -> None:
    with ServedPage(demo_built / "config.yaml", tmp_path) as page:
        for _ in range(3):
            connection = http.client.HTTPConnection(urlsplit(page.url).netloc)
            connection.putrequest("POST", "/")
            connection.putheader("Content-Length", "1000")
            connection.endheaders(b"prompt=hel")
            connection.close()
        assert page.request("GET").status == 200
        assert page.end(signal.SIGTERM) == 0
    assert page.err == ""


def test_a_port_in_use_is_one_sentence(
    benchrouter: Callable[..., Any], demo_built: Path, served: ServedPage
) -> None:
    port = _port(served)

    ended = benchrouter("serve", "--config", demo_built / "config.yaml", "--port", port)

    assert ended.code == 1
    assert ended.err.strip() == (
        f"Error: port {port} of 127.0.0.1 is in use; end what listens there, or give another "
        "--port."
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "--allow-remote"),
        (("--host", "::"), "--allow-remote"),
    ],
)
def test_options_that_cannot_be_meant_end_with_a_sentence(
    benchrouter: Callable[..., Any], demo_built: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = benchrouter("serve", "--config", demo_built / "config.yaml", *arguments)

    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_other_machines_are_let_in_only_with_a_warning(demo_built: Path, tmp_path: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--allow-remote", "--allow-host", "Bench.Internal")
    with ServedPage(demo_built / "config.yaml", tmp_path, *arguments) as page:
        assert page.request("GET", Host="bench.internal:80").status == 200
        assert page.request("GET", Host="other.internal").status == 421
        page.end(signal.SIGINT)
    assert "Warning: whoever reaches" in page.err


def test_it_listens_on_loopback_alone(served: ServedPage) -> None:
    assert urlsplit(served.url).hostname == "127.0.0.1"
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", _port(served))) == errno.ECONNREFUSED


def _port(page: ServedPage) -> int:
    port = urlsplit(page.url).port
    assert port is not None
    return port
