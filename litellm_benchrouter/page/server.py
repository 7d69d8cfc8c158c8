"""HTTP for the page: who may ask, how much, and what the browser may do with the answer.

Prompts come by POST alone; no request line, form or address is logged.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import socketserver
import sys
from collections.abc import Callable, Collection
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from litellm_benchrouter.page import Served

logger = logging.getLogger("litellm_benchrouter")

MOST_BYTES = 1_000_000
"""Longest form that is read."""

_MOST_DISCARDED = 32_000_000  # of a longer one, so that the browser lives to read why
_SILENCE_SECONDS = 20.0
_FORM = "application/x-www-form-urlencoded"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: it would make the origin of our own form "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ERRORS = {
    HTTPStatus.NOT_FOUND: "There is one page here, and it is at /.",
    HTTPStatus.FORBIDDEN: "Only the page's own form may ask.",
    HTTPStatus.LENGTH_REQUIRED: "The form came without its length.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: f"A form may be {MOST_BYTES:,} bytes long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Only the page's own form is read.",
    HTTPStatus.MISDIRECTED_REQUEST: "The page is not served under the name in the address; ask it "
    "by IP address or as localhost, or start it with --allow-host NAME.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong here; the log names the error.",
}


class PageServer(ThreadingHTTPServer):
    """Server of one page, a thread a request.

    Port 0 takes a free one; `names` are those besides localhost under which browsers may ask.
    Raises OSError where it cannot listen.
    """

    daemon_threads = True

    def __init__(self, page: Served, host: str, port: int, names: Collection[str] = ()) -> None:
        self.page = page
        self.names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Return the address that it listens on."""
        host, port = self.server_address[:2]
        host = str(host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def server_bind(self) -> None:
        """Bind, without the look-up of the machine's name that http.server would make."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the kind of an error; its message or traceback could hold a prompt."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            logger.error("benchrouter: the page failed (%s)", type(error).__name__)

    def may_be_called(self, host: str) -> bool:
        """Say whether a Host header is one of ours.

        A page elsewhere can make its own name point here (DNS rebinding), but no IP address.
        """
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self.names or is_address(name)


def is_address(name: str) -> bool:
    """Say whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Say whether what listens on a host can only be reached from this machine."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "benchrouter"
    sys_version = ""
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, how: Callable[[], None]) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.may_be_called(hosts[0]):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        try:
            how()
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            logger.error("benchrouter: the page failed (%s)", type(error).__name__)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _get(self) -> None:
        path = self.path.partition("?")[0]  # what a query says is not read
        if path == "/":
            self._send(HTTPStatus.OK, "text/html", self.server.page.show())
        elif path == "/style.css":
            self._send(HTTPStatus.OK, "text/css", self.server.page.style)
        elif path == "/script.js" and self.server.page.script:
            self._send(HTTPStatus.OK, "text/javascript", self.server.page.script)
        elif path == "/favicon.ico":
            self._send(HTTPStatus.NO_CONTENT, "image/x-icon", "")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _post(self) -> None:
        body = self._body()
        if isinstance(body, HTTPStatus):
            self.send_error(body)
            return
        try:
            text = self.server.page.answer(body)
        except ValueError:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        self._send(HTTPStatus.OK, "text/html", text)

    def _body(self) -> bytes | HTTPStatus:
        """Return the form, or why it is not read."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()) or "Transfer-Encoding" in self.headers:
            return HTTPStatus.LENGTH_REQUIRED
        if int(length) > MOST_BYTES:
            self._discard(int(length))
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        body = self.rfile.read(int(length))
        if self.path != "/":
            return HTTPStatus.NOT_FOUND
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers["Host"]:
            return HTTPStatus.FORBIDDEN
        if self.headers.get_content_type() != _FORM:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        return body if len(body) == int(length) else HTTPStatus.BAD_REQUEST

    def _discard(self, length: int) -> None:
        left = min(length, _MOST_DISCARDED)
        while left > 0 and (block := self.rfile.read(min(left, 65_536))):
            left -= len(block)

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        # Names of models and tasks come from JSON, which can hold half a surrogate pair.
        content = text.encode("utf-8", errors="replace")
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        scripts = "; script-src 'self'" if self.server.page.script else ""
        self.send_header("Content-Security-Policy", _POLICY + scripts)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with a page of ours; the message of http.server may quote the request."""
        status = HTTPStatus(code)
        sentence = _ERRORS.get(status, "The request could not be understood.")
        self._send(status, "text/html", self.server.page.sorry(status.phrase, sentence))

    def log_message(self, format: str, *args: Any) -> None:
        """Log no request: its line is whatever was typed into the address bar."""
