"""Policies in the router: what is weighed against cost, for prompts, named tasks and BMA."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.cli.demo import copy_files
from litellm_benchrouter.config import load_config
from litellm_benchrouter.config.proxy import EVERYTHING, GroupConfig, PolicyLimits
from litellm_benchrouter.costs import Prices
from litellm_benchrouter.costs.policy import QUALITY, Policy, Terms
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.routing.router import BenchRouter

MATH = "Amira has 120 tickets and gives away 15 percent of them. How many are left?"
FAR = "Monday percent NULL queue bicycle x"


@pytest.fixture(scope="module")
def router(demo_built: Path) -> BenchRouter:
    versions = demo_built / "router_artifacts" / "versions"
    return BenchRouter(read_artifact(next(versions.iterdir())))


def by(policy: str, **more: object) -> Terms:
    return Terms(Policy.parse(policy), **more)


def test_quality_is_what_it_was_and_says_what_it_costs(router: BenchRouter):
    plain, asked = router.decide(MATH), router.decide(MATH, terms=by("quality"))
    assert plain == asked
    assert plain.policy == "quality"
    # 75 characters are 18.75 tokens; 256 of answer; 0.2 USD per million of either
    assert plain.costs_usd["mathsmith-8b"] == pytest.approx((len(MATH) / 4 + 256) * 0.2e-6)


def test_a_cheaper_model_is_picked_where_the_policy_lets_it(router: BenchRouter):
    offer = ["atlas-70b", "coder-14b", "polyglot-12b"]
    explained = router.explain(MATH, models=offer, terms=by("within:0.15"))
    best = max(explained.probability.values())
    decision = explained.decision
    assert router.decide(MATH, models=offer).pick == "atlas-70b"
    assert decision.pick == "coder-14b"
    assert explained.probability["coder-14b"] >= best - 0.15 > explained.probability["polyglot-12b"]
    assert decision.reason.startswith("cheapest of 2 models within 15 points of atlas-70b (P = 0.")
    assert "saves 67 %; costs by price; 20 neighbours" in decision.reason
    assert decision.scores == explained.probability
    assert decision.policy == "within:0.15"


def test_the_deployments_prices_decide_before_those_of_the_build(router: BenchRouter):
    gift = (("atlas-70b", Prices(0.0, 0.0)),)
    decision = router.decide(
        MATH, models=["atlas-70b", "coder-14b"], terms=by("within:1", prices=gift)
    )
    assert decision.pick == "atlas-70b"
    assert decision.costs_usd["atlas-70b"] == 0.0


def test_the_length_of_the_whole_request_counts(router: BenchRouter):
    short = router.decide(MATH)
    long = router.decide(MATH, terms=Terms(characters=40_000))
    assert long.costs_usd["atlas-70b"] > 30 * short.costs_usd["atlas-70b"]


def test_a_prompt_far_from_the_benchmark_is_weighed_by_the_averages(router: BenchRouter):
    decision = router.decide(FAR, terms=by("within:0.1"))
    assert (decision.pick, decision.method) == ("coder-14b", "bma")
    assert decision.scores == router.explain(FAR).average
    assert "farther from the benchmark" in decision.reason
    in_time_limit = router.best_on_average(
        router.models, "no decision within 50 ms", by("within:0.1")
    )
    assert in_time_limit.pick == "coder-14b"


def test_the_scores_of_a_named_task_are_its_probabilities(router: BenchRouter):
    assert router.decide("", task="math").pick == "mathsmith-8b"
    measured = dict(zip(router.models, router.artifact.task_accuracy[2], strict=True))
    assert router.artifact.tasks[2] == "math"
    decision = router.decide("", task="math", terms=by("cheapest:0.6"))
    reaching = [model for model, share in measured.items() if share >= 0.6]
    assert decision.pick in reaching
    assert decision.costs_usd[decision.pick] == min(decision.costs_usd[m] for m in reaching)
    assert (decision.method, decision.task) == ("measured", "math")
    configured = router.decide("", task="report-queries", terms=by("within:0.9"))
    assert configured.pick == "spark-3b"
    assert configured.task == "report-queries"


def test_a_task_that_is_not_known_is_weighed_by_its_text(router: BenchRouter):
    decision = router.decide(MATH, task="nobody-named-this", terms=by("cheapest:0.1"))
    assert decision.reason.startswith("the task is not in the artifact; cheapest of 5 models")
    assert decision.pick == "spark-3b"


def test_where_nothing_tells_the_costs_quality_decides_and_says_so(router: BenchRouter):
    manifest = router.artifact.manifest
    unknown = replace(
        router.artifact,
        manifest=manifest.model_copy(
            update={
                "models": [
                    model.model_copy(
                        update={
                            "params_b": None, "input_price_usd_per_mtok": None,
                            "output_price_usd_per_mtok": None,
                        }
                    )
                    for model in manifest.models
                ]
            }
        ),
    )  # fmt: skip
    decision = BenchRouter(unknown).decide(MATH, terms=by("within:1"))
    assert decision.pick == router.decide(MATH).pick
    assert decision.reason.startswith("nothing tells the costs of all models on offer; right with")
    assert (decision.policy, decision.costs_usd) == ("quality", None)


def test_the_only_model_on_offer_is_taken_under_any_policy(router: BenchRouter):
    decision = router.the_only("atlas-70b", by("cheapest:0.99", characters=400))
    assert (decision.ranking, decision.method) == (("atlas-70b",), "only")
    assert decision.policy == "cheapest:0.99"
    assert decision.costs_usd["atlas-70b"] == pytest.approx((100 + 256) * 0.9e-6)


def test_a_closed_gate_lets_no_model_be_better_but_cheaper_ones_as_good(tmp_path: Path):
    copy_files(tmp_path)
    path = tmp_path / "benchmark.csv"
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    generator = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows[1:]:
            # atlas is never beaten; on one task the second model is as good, elsewhere useless
            second = 0.9 if row[1] == "math" else 0.1
            right = generator.random(5) < np.array([0.9, second, 0.1, 0.1, 0.1])
            writer.writerow([*row[:3], *right.astype(int)])
    router = BenchRouter(read_artifact(build(load_config(tmp_path / "config.yaml")).folder))
    assert router.artifact.manifest.guarded["request"]["routes"] is False
    second = rows[0][4]
    translation = "Translate into Dutch: the tiles arrive on Monday morning."
    for prompt in (MATH, translation):
        explained = router.explain(prompt)
        assert explained.decision.pick == "atlas-70b"
        assert max(explained.probability.values()) == explained.probability["atlas-70b"]
    assert router.decide(MATH, terms=by("within:0.1")).pick == second
    assert router.decide(translation, terms=by("within:0.1")).pick == "atlas-70b"


def test_the_build_suggests_weights_that_save_at_equal_quality(router: BenchRouter):
    found = router.artifact.manifest.guarded["request"]
    suggested = found["trade_offs"]
    assert suggested["costs"] == "costs by price"
    for name, share in (("equal_quality", 1.0), ("quality_95", 0.95)):
        assert Policy.parse(suggested[name]["policy"]).kind == "balanced"
        assert 0 < suggested[name]["saved"] < 1
        assert suggested[name]["quality_ratio"] >= share - 1e-12
    assert 0 <= found["ece_of_picks"] < 0.1


# What the operator allows


@pytest.mark.parametrize(
    ("group", "limits", "asked", "policy", "note"),
    [
        ("quality", None, None, "quality", ""),
        ("quality", None, "balanced:3", "balanced:3", ""),
        ("balanced:0.1", None, "balanced:0.1", "balanced:0.1", ""),
        ("balanced:0.1", None, "quality", "balanced:0.1", "requests may not ask for quality here"),
        ("balanced:0.1", {"quality": True}, "quality", "quality", ""),
        ("balanced:0.1", {"within": [0, 0.05]}, "within:0.05", "within:0.05", ""),
        ("quality", {"within": [0, 0.05]}, "within:0.06", "quality",
         "requests may not ask for within:0.06 here"),
        ("quality", {}, "cheapest:0.5", "quality", "requests may not ask for cheapest:0.5 here"),
        ("quality", {"cheapest": True, "within": False}, "cheapest:1", "cheapest:1", ""),
        ("within:0.02", None, "please <script>", "within:0.02",
         "the policy that the request asks for is not one"),
    ],
)  # fmt: skip
def test_a_request_gets_the_policy_it_asks_for_within_the_limits(
    tmp_path: Path, group: str, limits: dict | None, asked: str, policy: str, note: str
):
    copy_files(tmp_path)
    path = tmp_path / "config.yaml"
    of_group = {"policy": group} | ({} if limits is None else {"request_policies": limits})
    path.write_text(
        f"{path.read_text(encoding='utf-8')}\n  groups: {{smart: {of_group}}}\n".replace(
            "True", "true"
        ).replace("False", "false"),
        encoding="utf-8",
    )
    config = load_config(path)
    settled, said = config.policy_of("smart", asked)
    assert (str(settled), said) == (policy, note)
    assert config.policy_of("another") == (QUALITY, "")


def test_what_a_group_does_not_say_holds_as_for_all_groups(tmp_path: Path):
    copy_files(tmp_path)
    config = load_config(tmp_path / "config.yaml").model_copy(
        update={
            "policy": Policy("within", 0.02),
            "request_policies": PolicyLimits(quality=True),
            "groups": {"thrifty": GroupConfig(policy=Policy("cheapest", 0.5))},
        }
    )
    assert config.policy_of("thrifty") == (Policy("cheapest", 0.5), "")
    assert config.policy_of("thrifty", "quality") == (QUALITY, "")
    assert config.policy_of("another") == (Policy("within", 0.02), "")
    assert config.policy_of("another", "cheapest:0.5")[0] == Policy("within", 0.02)


def test_everything_is_allowed_by_everything():
    for text in ("quality", "balanced:99", "cheapest:0", "within:1"):
        assert EVERYTHING.allow(Policy.parse(text))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("policy: cheap", "`benchrouter.policy`: 'cheap' is not a policy"),
        ("policy: 3", "`benchrouter.policy`: 3 is not a policy"),
        ("request_policies: {cheapest: 0.5}", "cheapest`: 0.5 is not a range; write [LOW, HIGH]"),
        ("request_policies: {within: [0.2, 0.1]}", "0 <= LOW <= HIGH <= 1 must hold"),
        ("groups: {smart: {request_policies: {best: true}}}",
         "known here: balanced, cascade, cheapest, quality, within"),
        ("groups: {smart: {polcy: quality}}", "known here: policy, request_policies"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, block: str, message: str):
    path = tmp_path / "config.yaml"
    path.write_text(f"benchrouter:\n  {block}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert message in str(raised.value)
