"""How long it takes to read what a request asks, and what failed: `python benchmarks/ask.py`.

Prints CPU microseconds a request, the best of five runs, for the shapes that gateways carry.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from litellm_benchrouter.conversation.ask import read_ask
from litellm_benchrouter.conversation.failures import read_failures

ASK = "Find out why the tide gauge reports the same minute twice and write a test."
NOTE = {"type": "text", "text": f"<system-reminder>\n{'note ' * 400}</system-reminder>"}
HEADERS = {f"x-header-{number}": "value" for number in range(12)}
CALL = [{"type": "text", "text": "I look."}, {"type": "tool_use", "id": "t"}]
FAILURE = [{"type": "tool_result", "tool_use_id": "t", "content": f"Exit code 1\n{'x' * 10_000}"}]
RESULT = [{"type": "tool_result", "tool_use_id": "t", "content": "x" * 10_000}]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def answer(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


FIRST = user([NOTE, {"type": "text", "text": ASK}])
SHAPES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], int]] = {
    "one question": ([{"role": "system", "content": "You help."}, user(ASK)], {}, 2_000),
    "an agent's first ask": ([FIRST], {"tools": [{}]}, 2_000),
    "200 turns of tools, 1 MB": (
        [FIRST, *[turn for _ in range(100) for turn in (answer(CALL), user(RESULT))]],
        {"tools": [{}]},
        100,
    ),
    "200 turns of tools that fail, 1 MB": (
        [FIRST, *[turn for _ in range(100) for turn in (answer(CALL), user(FAILURE))]],
        {"tools": [{}]},
        100,
    ),
    "200 turns of chat, 1 MB": (
        [*[turn for _ in range(100) for turn in (user("word " * 1_000), answer("word " * 1_000))],
         user("yes")],
        {},
        100,
    ),
    "one text of 1 MB": ([user("word " * 200_000)], {}, 20),
    "a text of 120 KB of speakers": ([user("user:\n" * 20_000)], {}, 20),
    "one text of 1 MB of tags": ([user("<a-b>" * 200_000)], {}, 20),
}  # fmt: skip


def microseconds(read: Callable[[], object], repeats: int) -> float:
    """Return the CPU time of one reading, the best of five runs."""
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(repeats):
            read()
        best = min(best, (time.process_time() - started) / repeats)
    return best * 1e6


def main() -> None:
    """Print a line for each shape."""
    print(f"{'':36} {'what is asked':>16} {'what failed':>16}")
    for name, (messages, request, repeats) in SHAPES.items():
        reads = (
            partial(read_ask, messages, request, HEADERS),
            partial(read_failures, messages, request),
        )
        asked, failed = (microseconds(read, repeats) for read in reads)
        print(f"{name:36} {asked:13.1f} us {failed:13.1f} us")


if __name__ == "__main__":
    main()
