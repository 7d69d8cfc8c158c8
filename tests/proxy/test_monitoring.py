"""The dashboard and the alerts under deploy/: they name what is exported, and promtool agrees."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from litellm_benchrouter.routing.decision import KINDS
from proxy.conftest import ask
from proxy.harness import ProxyProcess, eventually
from proxy.upstream import FakeUpstream

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yaml"
RULE_TESTS = sorted(HERE.glob("*.test.yaml"))
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_bytes())
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]

OPERATIONS = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PANEL_QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = DASHBOARD["templating"]["list"]


def promtool(*arguments: object) -> None:
    """Run promtool, or skip the test where it is not installed."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("needs promtool (Debian: apt-get install prometheus)")
    ended = subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"


def test_every_metric_of_the_dashboard_and_the_alerts_is_one_that_a_proxy_exports(
    routed: ProxyProcess,
) -> None:
    text = routed.http.get("/metrics/").text
    families = dict(re.findall(r"^# TYPE (benchrouter_\w+) (\w+)$", text, re.MULTILINE))
    exported = set(families)
    for name, kind in families.items():
        if kind == "histogram":
            exported |= {f"{name}_{part}" for part in ("bucket", "count", "sum")}
    queries = [*PANEL_QUERIES, *(v.get("definition", "") for v in VARIABLES)]
    queries += [rule["expr"] for rule in RULES]
    used = {name for query in queries for name in re.findall(r"benchrouter_\w+", query)}
    assert used <= exported
    # and what we export is shown somewhere
    parts = re.compile("_(bucket|count|sum)$")
    shown = {name if name in families else parts.sub("", name) for name in used}
    ours = {name for name in families if not name.endswith("_created")}
    assert ours == shown
    explained = re.findall(r"^\| `(benchrouter_\w+)` \|", OPERATIONS, re.MULTILINE)
    assert sorted(explained) == sorted(ours)


def test_every_reason_that_is_counted_is_explained() -> None:
    table = OPERATIONS.partition("| `reason` | |\n")[2].partition("\n\n")[0]
    words = [
        word for row in table.splitlines() for word in re.findall(r"`(\w+)`", row.split("|")[1])
    ]
    assert sorted(words) == sorted(KINDS)


def test_each_label_of_a_query_is_one_that_its_metric_has(
    routed: ProxyProcess, upstream: FakeUpstream
) -> None:
    ask(routed, "How many are left of 12 tickets?")  # what counts nothing yet shows no labels
    eventually(lambda: "benchrouter_answers_total{" in routed.http.get("/metrics/").text)
    text = routed.http.get("/metrics/").text
    labels = {"job", "instance", "le"}
    labels |= set(re.findall(r'(\w+)="', "\n".join(re.findall(r"^benchrouter.*", text, re.M))))
    labels |= {"agrees", "alarm"}  # until a shadow decides, and feedback is watched
    labels |= {"ended", "answer"}  # until there is a cascade
    for query in (*PANEL_QUERIES, *(rule["expr"] for rule in RULES)):
        used = set(re.findall(r'(\w+)(?:=~|!=|=)"', query))
        for listed in re.findall(r"by \(([^)]*)\)", query):
            used |= {label.strip() for label in listed.split(",")}
        assert used <= labels, query


def test_the_panels_have_a_place_of_their_own_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]),
                range(place["y"], place["y"] + place["h"]),
            )
        )
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["description"], panel["title"]
        assert [t["refId"] for t in panel["targets"]] == list("ABCDE"[: len(panel["targets"])])


def test_every_variable_is_defined_and_the_data_source_is_the_readers_choice() -> None:
    known = {variable["name"] for variable in VARIABLES}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(DASHBOARD)))
    assert {name for name in used if not name.startswith("__")} == known
    for panel in PANELS:
        sources = {panel["datasource"]["uid"], *(t["datasource"]["uid"] for t in panel["targets"])}
        assert sources == {"${datasource}"}


def test_prometheus_parses_every_query_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{i}",
            "expr": query.replace("$__rate_interval", "5m").replace("$", ""),
        }
        for i, query in enumerate(PANEL_QUERIES)
    ]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", file)


def test_the_alerts_are_valid_and_fire_when_they_should() -> None:
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", *RULE_TESTS)


def test_every_alert_is_seen_to_fire_and_to_stay_silent() -> None:
    fired, silent = set(), set()
    for file in RULE_TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for expected in case["alert_rule_test"]:
                (fired if expected.get("exp_alerts") else silent).add(expected["alertname"])
    assert fired == silent == {rule["alert"] for rule in RULES}
