"""A headless Chromium for tests: opens a file, resizes, asks the page, takes a picture.

It speaks the DevTools protocol over the `websockets` that litellm[proxy] brings; a window cannot
be narrower than 500 pixels, the protocol's own metrics can.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "needs Chromium on the PATH (Debian: apt-get install chromium)"

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_SECONDS = 60.0

CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const pixel = (colours) => {           // colours laid over one another, the last on top
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = (element) => {
    const found = [];
    for (let e = element; e; e = e.parentElement) {
      found.unshift(getComputedStyle(e).backgroundColor);
    }
    return found;
  };
  const bad = [];
  let seen = 0;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].filter((n) => n.nodeType === 3 && n.data.trim());
    if (!own.length || ['TITLE', 'STYLE'].includes(element.tagName.toUpperCase())) continue;
    if (!element.getClientRects().length) continue;
    const style = getComputedStyle(element), inSvg = element instanceof SVGElement;
    const below = grounds(element);
    if (element.classList.contains('label')) {   // a letter stands on its square
      const squares = element.closest('svg').querySelectorAll('.model .dot');
      below.push(getComputedStyle(squares[0]).fill);
    }
    const text = luminance(pixel([...below, inSvg ? style.fill : style.color]).slice(0, 3));
    const ground = luminance(pixel(below).slice(0, 3));
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    seen += 1;
    if (ratio < 4.5) bad.push([element.className.baseVal ?? element.className,
                               own[0].data.trim(), ratio]);
  }
  return {seen, bad, page: pixel(grounds(document.body)).slice(0, 3)};
})()
"""
"""Text with a contrast below 4.5 to 1 (WCAG AA), of how many, and the colour of the page."""


class Page:
    """One tab.

    Attributes
    ----------
    problems : list of str
        Exceptions, console errors and refused or failed loads, as they were reported.
    requests : list of str
        Every address that the page asked for.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._loaded: set[str] = set()
        self.problems: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def open(self, url: str) -> None:
        """Open an address and wait until it has loaded."""
        document = self.call("Page.navigate", url=url)["loaderId"]
        while document not in self._loaded:
            self._receive()

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Wait until the document that what is done here leads to has loaded."""
        before = set(self._loaded)
        yield
        while self._loaded <= before:
            self._receive()

    def look(self, *, width: int, dark: bool, height: int = 900) -> None:
        """Set the width in pixels and whether the reader prefers dark pages."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=_SECONDS))
        params = message.get("params", {})
        match message.get("method"):
            case "Page.lifecycleEvent" if params["name"] == "load":
                self._loaded.add(params["loaderId"])
            case "Runtime.exceptionThrown":
                self.problems.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.problems.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(params["entry"]["text"])
            case "Network.loadingFailed":
                self.problems.append(params["errorText"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
        return message


@contextmanager
def chromium() -> Iterator[Page]:
    """Start a browser of its own, and end it."""
    assert PROGRAM is not None, MISSING
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with connect(_address(Path(profile), process), max_size=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            try:
                process.wait(timeout=_SECONDS)
            finally:
                process.kill()


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait until the browser says where it listens, and return its first tab's socket."""
    said = profile / "DevToolsActivePort"
    end = time.monotonic() + _SECONDS
    while not (said.exists() and "\n" in said.read_text()):
        assert process.poll() is None, "Chromium ended at its start"
        assert time.monotonic() < end, "Chromium did not start"
        time.sleep(0.05)
    port = said.read_text().split()[0]
    while True:  # it listens before it has opened its tab
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        if tabs:
            return str(tabs[0]["webSocketDebuggerUrl"])
        assert time.monotonic() < end, "Chromium opened no tab"
        time.sleep(0.05)
