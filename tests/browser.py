"""Debian's Chromium, driven by playwright, whose own browsers would be downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

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
    if (element.getAttribute('fill') === 'var(--surface)') {   // a letter stands on its square
      below.push(getComputedStyle(document.documentElement).getPropertyValue('--model').trim());
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


@contextmanager
def chromium() -> Iterator[tuple[Page, list[str], list[str]]]:
    """Open a page of its own.

    Yields
    ------
    page : playwright.sync_api.Page
    problems : list of str
        Exceptions, console errors and refused or failed loads, as they are reported.
    requests : list of str
        Every address that the page asks for.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium on the PATH (Debian: apt-get install chromium)")
    problems: list[str] = []
    requests: list[str] = []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        ) as browser,
    ):
        page = browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(f"{request.failure}"))
        page.on("request", lambda request: requests.append(request.url))
        page.on(
            "console",
            lambda line: problems.append(line.text) if line.type in ("error", "assert") else None,
        )
        yield page, problems, requests


def look(page: Page, *, width: int, dark: bool) -> None:
    """Set the width in pixels and whether the reader prefers dark pages."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if dark else "light")
