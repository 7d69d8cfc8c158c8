"""From 500 chat completions to a version that routes otherwise, by one command."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from litellm_benchrouter.config import load_config
from litellm_benchrouter.traffic.prompts import read_prompts
from proxy.conftest import ask
from proxy.database import Database
from proxy.harness import deployment, eventually
from proxy.test_collect import collecting, is_ready, started
from proxy.upstream import FakeUpstream

GOOD = {"soup": "coder", "poem": "mathsmith"}
"""Who is right about each kind of prompt; the benchmark has neither kind."""
FRAMES = {
    "soup": ("Which soup simmers with {}?", "Season my soup of {}, ladle by ladle.",
             "How long does a broth of {} boil in the pot?"),
    "poem": ("Write a sonnet on {}.", "Rhyme a stanza about {} for her.",
             "Is this verse of {} a ballad or an elegy?"),
}  # fmt: skip
WORDS = (
    "apple barley cedar dawn ember fennel ginger heron iris juniper kelp lentil maple nettle onion "
    "parsley quince rye sage thyme umber violet willow yarrow zinnia amber birch clover dill elm"
)


def prompts(n: int) -> list[str]:
    """Return prompts of both kinds in turn, no two of the same words."""
    draw = random.Random(0)
    kinds = [list(FRAMES)[i % 2] for i in range(n)]
    return [
        draw.choice(FRAMES[kind]).format(", ".join(draw.sample(WORDS.split(), 6)) + f" and {i}")
        for i, kind in enumerate(kinds)
    ]


def kind_of(text: str) -> str:
    return "soup" if any(word in text for word in ("soup", "broth")) else "poem"


def speak(model: str, text: str) -> str:
    """Answer as a model that is right about one kind, or judge such an answer."""
    if model == "wise":
        is_right = json.loads(text)["answer"].startswith("Right")
        return json.dumps({"correct": is_right, "reason": ""})
    return "Right." if GOOD[kind_of(text)] == model else "I do not know."


def test_from_500_completions_to_a_version_that_routes_otherwise(
    database: Database,
    tmp_path: Path,
    benchrouter: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.environment["DATABASE_URL"])
    texts = prompts(500)
    with FakeUpstream(speak=speak) as upstream:
        config = collecting(upstream.base_url, None)
        prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}
        config["model_list"].append(deployment("judges", "wise", upstream.base_url, params=prices))
        config["benchrouter"]["traffic"] = {"from": "spend_logs", "metric": "judge:wise"}
        with started(tmp_path, config, env=database.environment) as proxy:
            path = tmp_path / "config.yaml"
            eventually(lambda: is_ready(proxy))

            def routed(text: str) -> tuple[str, str]:
                """Return who the router says is best, and the version that says so."""
                headers = ask(proxy, text).headers
                return headers["x-benchrouter-model"], headers["x-benchrouter-artifact"]

            with ThreadPoolExecutor(8) as pool:
                before = list(pool.map(routed, texts))
            known = load_config(path)
            eventually(lambda: set(texts) <= set(read_prompts(known)["text"]), within=120)

            ended = benchrouter("refresh", "--config", path, "--limit-usd", 5, "--n", 60, "--json")
            assert ended.code == 0, ended.err
            document = ended.document
            assert document["traffic"]["prompts"] >= 500
            assert document["label"]["prompts"] == 60
            assert document["build"]["verdict"]["served"]["traffic"] == "traffic"
            version = document["build"]["version"]
            assert {each[1] for each in before} == {document["build"]["before"]} != {version}
            eventually(lambda: routed(texts[0])[1] == version)

            def share(picks: list[str]) -> float:
                """Return how often the pick is the model that is right."""
                pairs = zip(picks, texts, strict=False)
                return sum(pick.startswith(GOOD[kind_of(t)]) for pick, t in pairs) / len(picks)

            after = [routed(text)[0] for text in texts[:40]]
            assert share(after) > share([model for model, _ in before[:40]]) + 0.2
