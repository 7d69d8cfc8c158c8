"""The proxy's own `/metrics` and the lines of decisions, with one worker and with two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from proxy.conftest import ask, routed_config
from proxy.harness import MASTER_KEY, ProxyProcess, eventually
from proxy.upstream import BROKEN, FakeUpstream

MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"
UNUSUAL = "Zanzibar quicksilver umbrella: how many left of 12 tickets?"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(proxy: ProxyProcess) -> str:
    response = proxy.http.get("/metrics/")
    assert response.status_code == 200
    return response.text


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("benchrouter_")
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((f"benchrouter_{name}", frozenset(labels.items())), 0.0)


def total(found: Samples, name: str) -> float:
    return sum(v for (n, _), v in found.items() if n == f"benchrouter_{name}")


def decision_lines(proxy: ProxyProcess) -> list[dict[str, Any]]:
    lines = proxy.log.rpartition("\n")[0].splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"event": "benchrouter')]


def test_each_decision_and_who_answered_is_counted(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    before = samples(scrape(routed))

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    ask(routed, "")
    ask(routed, MATH)
    ask(routed, "anything", headers={"x-benchrouter-task": "translation"})
    ask(routed, MATH, model="plain")
    ask(routed, f"{MATH} " * 30, model="short-context", stream=True)
    upstream.tell("mathsmith", BROKEN)
    ask(routed, MATH)
    after = samples(scrape(routed))

    smart = {"group": "smart"}
    mathsmith = {**smart, "model": "mathsmith-8b"}
    assert more("decisions_total", **mathsmith, method="s1", reason="routed") == 2
    assert more("decisions_total", **smart, model="atlas-70b", method="bma", reason="no_text") == 1
    polyglot = {**smart, "model": "polyglot-12b"}
    assert more("decisions_total", **polyglot, method="measured", reason="routed") == 1
    assert total(after, "decisions_total") - total(before, "decisions_total") == 5  # plain: none
    assert total(after, "answers_total") - total(before, "answers_total") == 5
    assert more("answers_total", **mathsmith, outcome="pick") == 1
    assert more("answers_total", group="short-context", model="mathsmith-8b", outcome="pick") == 1
    others = [model for model in ("atlas-70b", "coder-14b", "polyglot-12b")
              if more("answers_total", **smart, model=model, outcome="pick_failed")]  # fmt: skip
    assert len(others) == 1
    assert more("decision_seconds_count", method="s1") == 2
    assert more("decision_seconds_count", method="only") == 1  # the other's context is too short
    assert more("embedding_seconds_count") == 2
    assert more("neighbor_distance_count") == 2
    assert more("errors_total") == 0
    assert value(after, "ready") == 1
    assert value(after, "loads_total", result="loaded") == 1


def test_a_fallback_out_of_our_groups_is_counted_as_one(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    labels = {"group": "frail", "model": "other", "outcome": "other_group"}
    before = value(samples(scrape(routed)), "answers_total", **labels)
    upstream.tell("frail", BROKEN)
    upstream.tell("frail-2", BROKEN)
    assert ask(routed, MATH, model="frail").status_code == 200
    assert value(samples(scrape(routed)), "answers_total", **labels) == before + 1


def test_metrics_ask_for_a_key(routed: ProxyProcess) -> None:
    assert httpx.get(f"{routed.base_url}/metrics/", timeout=60, trust_env=False).status_code == 401


def test_each_decision_is_a_line_that_the_call_id_finds(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(routed, MATH)
    call_id = response.headers["x-litellm-call-id"]
    (line,) = [line for line in decision_lines(routed) if line["call_id"] == call_id]
    assert line["group"] == "smart"
    assert line["pick"] == response.headers["x-benchrouter-model"] == "mathsmith-8b"
    assert line["offer"] == ["atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b"]
    assert (line["method"], line["kind"]) == ("s1", "routed")
    assert line["reason"] == response.headers["x-benchrouter-reason"]
    assert line["artifact"] == response.headers["x-benchrouter-artifact"]
    assert 0 < line["embed_seconds"] < line["seconds"]
    assert 0 < line["distance"] < 2


def test_no_prompt_is_in_metrics_lines_or_headers(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(routed, UNUSUAL)
    call_id = response.headers["x-litellm-call-id"]
    assert any(line["call_id"] == call_id for line in decision_lines(routed))
    for text in (scrape(routed), routed.log, str(response.headers)):
        assert "benchrouter" in text
        assert "Zanzibar" not in text


@pytest.fixture(scope="module")
def pair(
    upstream_server: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """Run a proxy of two workers that may log prompts."""
    folder = tmp_path_factory.mktemp("pair")
    copy_files(folder)
    config = routed_config(upstream_server.base_url)
    config["litellm_settings"]["callbacks"].remove("recorder.handler")
    config["benchrouter"]["serving"]["log_prompts"] = True
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(folder / "prometheus")}
    proxy = ProxyProcess(config, folder, env=environment, workers=2)
    build(load_config(folder / "config.yaml"))
    with proxy:
        eventually(lambda: workers_that_serve(proxy) == 2, within=120)
        yield proxy


def workers_that_serve(proxy: ProxyProcess) -> float:
    return total(samples(scrape(proxy)), "artifact_info")


def decided_by_worker(folder: Path) -> list[float]:
    """Return how many decisions each worker counted, from the files that they share."""
    return [
        sum(
            sample.value
            for metric in MultiProcessCollector.merge([str(file)])
            if metric.name == "benchrouter_decisions"
            for sample in metric.samples
            if sample.name == "benchrouter_decisions_total"
        )
        for file in folder.glob("counter_*.db")
    ]


def test_two_workers_show_their_sum_whichever_is_asked(
    pair: ProxyProcess, upstream: FakeUpstream
) -> None:
    def post(_: int) -> None:
        httpx.post(  # a new connection each time: one that is kept stays with its worker
            f"{pair.base_url}/v1/chat/completions",
            json={"model": "smart", "messages": [{"role": "user", "content": UNUSUAL}]},
            headers={"Authorization": f"Bearer {MASTER_KEY}"},
            timeout=60,
            trust_env=False,
        ).raise_for_status()

    before, sent = samples(scrape(pair)), 0
    with ThreadPoolExecutor(8) as pool:
        while sum(n > 0 for n in decided_by_worker(pair.folder / "prometheus")) < 2:
            assert sent < 10_000
            list(pool.map(post, range(8)))
            sent += 8
    for _ in range(4):
        found = samples(scrape(pair))
        for name in ("decisions_total", "answers_total", "decision_seconds_count"):
            assert total(found, name) - total(before, name) == sent
        assert value(found, "loads_total", result="loaded") == 2
        assert total(found, "artifact_info") == 2
        assert value(found, "ready") == 1
        assert value(found, "version_refused") == value(found, "breaker_open") == 0
        assert total(found, "artifact_created_timestamp_seconds") > 1.7e9


def test_prompts_are_on_the_lines_and_nowhere_else_where_the_operator_wants_them(
    pair: ProxyProcess, upstream: FakeUpstream
) -> None:
    response = ask(pair, f"{UNUSUAL}{'?' * 1000}")
    call_id = response.headers["x-litellm-call-id"]
    (line,) = [line for line in decision_lines(pair) if line["call_id"] == call_id]
    assert line["prompt"] == f"{UNUSUAL}{'?' * 1000}"[:500]
    assert "Zanzibar" not in scrape(pair)
    assert "Zanzibar" not in str(response.headers)
