"""What a newcomer runs first, run as they run it."""

from __future__ import annotations

import json
import subprocess
import sys

COMMAND = [sys.executable, "-c", "from litellm_benchrouter.cli import main; main()", "demo"]


def test_the_demo_routes_real_requests_and_stops_by_itself() -> None:
    ended = subprocess.run(
        [*COMMAND, "--json"], capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 0, ended.stderr
    answers = json.loads(ended.stdout)
    picks = {answer["prompt"].split()[0]: answer["headers"]["model"] for answer in answers}
    assert picks["Write"] in ("coder-14b", "atlas-70b")
    assert picks["Amira"] == "mathsmith-8b"
    assert picks["Translate"] == "polyglot-12b"
    for answer in answers:
        assert answer["text"] == f"{answer['headers']['model']} answers"
        assert len(answer["headers"]["artifact"]) == 16
    assert any(answer["streamed"] for answer in answers)
    named = [answer for answer in answers if answer["task"] == "report-queries"]
    assert named[0]["headers"]["task"] == "report-queries"
