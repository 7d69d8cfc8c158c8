"""Draw docs/images from the demo's synthetic benchmark, in Chromium.

    python tools/make_images.py

The models do not exist. It needs the extra `report`, playwright, and Chromium on the PATH.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright

from litellm_benchrouter.cli.demo import PROMPTS, prepare
from litellm_benchrouter.config import load_config
from litellm_benchrouter.evaluation.run import Options, evaluate
from litellm_benchrouter.page import Page
from litellm_benchrouter.page.server import PageServer
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.views.report import render_html

TARGET = Path(__file__).parents[1] / "docs" / "images"
WIDTH, HEIGHT = 1100, 1180
MOST_BYTES = 250_000


def main() -> None:
    """Build, evaluate, ask, and photograph."""
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        prepare(folder, Progress())
        report = folder / "report.html"
        report.write_text(render_html(evaluate(load_config(folder / "config.yaml"), Options())))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(report.as_uri())
        _photograph(tab, "report", "body")
        store = Store(folder / "router_artifacts")
        with PageServer(Page(store), "127.0.0.1", 0) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            tab.goto(server.url)
            tab.fill("#prompt", PROMPTS[0][0])
            tab.click("button")
            tab.wait_for_selector(".pick")
            tab.evaluate("scrollTo(0, 0)")
            _photograph(tab, "page", "body")
            server.shutdown()
        browser.close()


def _photograph(tab: Tab, name: str, selector: str) -> None:
    path = TARGET / f"{name}.png"
    tab.locator(selector).wait_for()
    tab.screenshot(path=path)
    if (size := path.stat().st_size) > MOST_BYTES:
        raise SystemExit(f"{path}: {size:,} bytes are more than {MOST_BYTES:,}. Draw less of it.")
    print(f"{path}: {size:,} bytes")


if __name__ == "__main__":
    main()
