"""Where prices come from, and what a request is expected to cost."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from litellm_benchrouter.costs import (
    OUTPUT_TOKENS,
    Lengths,
    Prices,
    bundled_cost_map,
    cost_model,
    in_cost_map,
    with_known_prices,
)
from litellm_benchrouter.paper.benchmark import Benchmark, ModelFacts, cost_ranks
from litellm_benchrouter.proxy.facts import DeploymentFacts, price_of

COST_MAP = {
    "gpt-9": {
        "input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6,
        "litellm_provider": "openai", "mode": "chat",
    },
    "azure/gpt-9": {"input_cost_per_token": 3e-6, "output_cost_per_token": 9e-6, "mode": "chat"},
    "pictures": {"input_cost_per_token": 1e-6, "mode": "image_generation"},
    "openai/self-hosted": {"max_tokens": 100},
    "one-sided": {"output_cost_per_token": "4e-6"},
    "broken": {"input_cost_per_token": -1, "output_cost_per_token": float("nan")},
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "provider", "prices"),
    [
        ("gpt-9", None, Prices(2e-6, 8e-6)),
        ("openai/gpt-9", None, Prices(2e-6, 8e-6)),
        ("gpt-9", "openai", Prices(2e-6, 8e-6)),
        ("gpt-9", "azure", Prices(3e-6, 9e-6)),
        ("azure/gpt-9", None, Prices(3e-6, 9e-6)),
        ("elsewhere/gpt-9", None, None),  # another provider may ask another price
        ("openai/self-hosted", None, None),
        ("pictures", None, None),
        ("one-sided", None, Prices(4e-6, 4e-6)),
        ("broken", None, None),
        ("", None, None),
    ],
)
def test_a_model_is_found_in_the_cost_map_by_its_provider(model, provider, prices):
    assert in_cost_map(COST_MAP, model, provider) == prices


def test_the_cost_map_is_read_without_importing_litellm():
    code = (
        "import sys\n"
        "from litellm_benchrouter.costs import bundled_cost_map, in_cost_map\n"
        "print(in_cost_map(bundled_cost_map(), 'gpt-4o').input, 'litellm' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    price, imported = ran.stdout.split()
    assert float(price) > 0
    assert imported == "False"


def benchmark_of(**facts: ModelFacts) -> Benchmark:
    n = len(facts)
    return Benchmark(
        sample_ids=["s"], prompts=["p"], task=np.zeros(1, np.int32), tasks=("t",),
        models=tuple(facts), correctness=np.ones((1, n), np.uint8),
        scores=np.ones((1, n), np.float32), facts=facts,
    )  # fmt: skip


def test_only_prices_that_nobody_stated_are_taken_from_the_cost_map():
    known = bundled_cost_map()["gpt-4o"]
    facts = {
        "gpt-4o": ModelFacts(),
        "ours": ModelFacts(params_b=7),
        "mine": ModelFacts(),
        "stated": ModelFacts(output_price_usd_per_mtok=1.0),
    }
    aliases = {"openai/gpt-4o": "mine", "gpt-4o-mini": "stated"}
    filled = with_known_prices(benchmark_of(**facts), aliases).facts
    for name in ("gpt-4o", "mine"):
        per_mtok = filled[name].input_price_usd_per_mtok
        assert per_mtok == pytest.approx(1e6 * known["input_cost_per_token"])
        assert filled[name].price_source == "litellm"
    assert filled["ours"] == facts["ours"]
    assert filled["stated"] == facts["stated"]


def deployment(model: str = "openai/nobody", **parts: dict[str, object]) -> dict[str, object]:
    params = {"model": model, **parts.get("params", {})}
    return {"litellm_params": params, "model_info": {"id": model, **parts.get("info", {})}}


OWN = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}


def test_a_deployments_own_prices_go_before_those_of_the_cost_map():
    of_map = in_cost_map(bundled_cost_map(), "gpt-4o")
    assert price_of(deployment("openai/gpt-4o")) == of_map
    assert price_of(deployment("openai/gpt-4o", params=OWN)) == Prices(1e-6, 2e-6)
    assert price_of(deployment("openai/gpt-4o", info=OWN)) == Prices(1e-6, 2e-6)
    assert price_of(deployment("gpt-4o", params={"custom_llm_provider": "openai"})) == of_map
    on_azure = deployment("azure/prod-eu-1", info={"base_model": "azure/gpt-4o"})
    assert price_of(on_azure) == in_cost_map(bundled_cost_map(), "azure/gpt-4o")
    assert price_of(deployment()) is None
    assert price_of({"litellm_params": None}) is None


def test_a_model_costs_the_mean_of_its_replicas_and_nothing_is_said_of_the_unknown():
    group = [
        deployment("a", params={"input_cost_per_token": 1.0}),
        deployment("b", params={"input_cost_per_token": 3.0}),
        deployment("c"),
        deployment("d", params=OWN),
    ]
    facts = DeploymentFacts()
    found = facts.prices(group, ["ant", "ant", "bee", None])
    assert found == (("ant", Prices(2.0, 2.0)),)
    group[0]["litellm_params"]["input_cost_per_token"] = 9.0
    assert (
        facts.prices(group, ["ant", "ant", "bee", None]) == found
    )  # not looked up for each request


# Expected cost

PRICED = ModelFacts(input_price_usd_per_mtok=1.0, output_price_usd_per_mtok=3.0)
RECORDED = ModelFacts(mean_cost_usd=0.5)
SIZED = ModelFacts(params_b=7.0)


def costs_of(*facts: ModelFacts, given: dict[str, Prices] | None = None, characters: int = 4_000):
    models = [f"m{i}" for i in range(len(facts))]
    known = dict(zip(models, facts, strict=True))
    found = cost_model(known, models, Lengths.of(facts), given or {})
    return found and (found.basis, found.in_usd, found.of(characters).tolist())


def test_prices_count_the_prompts_tokens_and_the_expected_answer():
    cost = 1_000 * 1e-6 + OUTPUT_TOKENS * 3e-6
    basis, in_usd, values = costs_of(PRICED, PRICED)
    assert (basis, in_usd) == ("costs by price", True)
    assert values == pytest.approx([cost, cost])


def test_the_deployments_prices_go_before_those_of_the_build():
    _, _, values = costs_of(PRICED, SIZED, given={"m0": Prices(0, 1e-6), "m1": Prices(0, 2e-6)})
    assert values == pytest.approx([OUTPUT_TOKENS * 1e-6, OUTPUT_TOKENS * 2e-6])


def test_answers_are_as_long_as_the_benchmark_recorded_or_as_the_others():
    long = ModelFacts(output_price_usd_per_mtok=1.0, mean_output_tokens=900)
    short = ModelFacts(output_price_usd_per_mtok=1.0, mean_output_tokens=100)
    unknown = ModelFacts(output_price_usd_per_mtok=1.0)
    _, _, values = costs_of(long, short, unknown, characters=0)
    assert values == pytest.approx([900e-6, 100e-6, 500e-6])


def test_a_request_without_text_reads_as_much_as_the_benchmarks_prompts():
    facts = ModelFacts(input_price_usd_per_mtok=1.0, mean_input_tokens=50, mean_output_tokens=1e-9)
    _, _, values = costs_of(facts, characters=0)
    assert values == pytest.approx([50e-6])


@pytest.mark.parametrize(
    ("facts", "basis", "in_usd"),
    [
        ([RECORDED, RECORDED], "costs as recorded", True),
        ([RECORDED, PRICED], "costs by price or as recorded", True),
        ([SIZED, SIZED], "costs by size", False),
        ([ModelFacts(params_b=7.0, mean_cost_usd=0.5), SIZED], "costs by size", False),
    ],
)
def test_one_basis_covers_all_models_on_offer(facts, basis, in_usd):
    found = costs_of(*facts)
    assert found is not None
    assert found[:2] == (basis, in_usd)


def test_dollars_are_never_compared_with_parameters():
    assert costs_of(PRICED, SIZED) is None
    assert costs_of(RECORDED, ModelFacts()) is None


def test_ties_are_broken_by_what_is_known_of_most_models():
    ranks = cost_ranks([PRICED, SIZED, ModelFacts(params_b=1.0), ModelFacts()])
    assert sorted(range(4), key=lambda m: ranks[m]) == [2, 1, 0, 3]
