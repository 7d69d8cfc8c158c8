"""A conversation leaves its model when that pays: the formula by hand, and as it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from served import Served

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.costs import Prices
from litellm_benchrouter.costs.switching import best_move

from .test_service import CODE, MATH, Asked, Looked, conversation

BIG, SMALL = Prices(3e-6, 15e-6, 0.3e-6, 3.75e-6), Prices(0.25e-6, 2e-6)
P = {"big": 0.8, "small": 0.7}


def move(anchor: str, *, tokens: float = 100_000, out: float = 800, **changed: Any) -> Any:
    prices = changed.pop("prices", {"big": BIG, "small": SMALL})
    cost = {m: tokens * p.input + out * p.output for m, p in prices.items()}
    given: dict[str, Any] = {"weight": 0.1, "is_warm": True, "probability": P} | changed
    probability = given.pop("probability")
    return best_move(anchor, probability, cost, prices, tokens=tokens, **given)


def test_a_move_costs_what_the_other_has_to_read_less_what_the_own_reads_from_its_cache() -> None:
    up = move("small")
    # 100k written at 3.75 and 800 out at 15, less 100k cached at .025 (a tenth) and 800 out at 2.
    assert up.usd == pytest.approx(0.375 + 0.012 - (0.0025 + 0.0016))
    assert up.points == pytest.approx(10)
    # The dearest request, .312 USD, is worth the weight of .1: ten points.
    assert up.usd_per_point == pytest.approx(0.312 / 10)
    assert not up.pays and move("small", weight=0.05).pays
    down = move("big")
    assert down.usd == pytest.approx(0.025 + 0.0016 - (0.03 + 0.012))
    assert down.usd < 0 and not down.pays, "ten points are worth more than it saves"
    assert move("big", probability={"big": 0.8, "small": 0.7999}).pays


def test_a_cold_cache_makes_a_move_cheaper() -> None:
    warm, cold = (move("big", is_warm=is_warm) for is_warm in (True, False))
    assert cold.usd == pytest.approx(warm.usd - 100_000 * (3e-6 - 0.3e-6))
    assert move("small", tokens=10).usd < move("small").usd


def test_without_prices_a_conversation_stays() -> None:
    assert move("other") is None
    assert move("big", prices={"big": BIG}) is None
    assert move("big", prices={"big": Prices(0, 0), "small": Prices(0, 0)}) is None


class Priced(Looked):
    """Prices of two models, the first a tenth of the second."""

    def __init__(self, coder: float, mathsmith: float) -> None:
        super().__init__()
        self.of = {"coder-14b": coder, "mathsmith-8b": mathsmith}

    def prices(self, deployments: Any, models: Any) -> tuple[tuple[str, Prices], ...]:
        return tuple(
            (m, Prices(usd, usd)) for m in sorted({*models}) if (usd := self.of.get(m, 1e-3))
        )


def balanced(asked: Asked, weight: float) -> Asked:
    config: BenchRouterConfig = asked.service._config
    policy = type(config.policy).parse(f"balanced:{weight}")
    asked.service._config = config.model_copy(update={"policy": policy})
    return asked


async def test_a_new_ask_moves_a_conversation_where_it_pays(folder: Path, served: Served) -> None:
    asked = balanced(Asked(folder, served, Priced(1e-6, 1e-6), stickiness="session"), 0.01)
    _, first = await asked(conversation(CODE))
    assert first.pick == "coder-14b"
    _, yes = await asked(conversation(CODE, "Done.", "yes"))
    assert (yes.pick, yes.method) == ("coder-14b", "session"), "no new ask"
    _, moved = await asked(conversation(CODE, "Done.", MATH))
    assert moved.pick == "mathsmith-8b"
    assert moved.reason.startswith("the conversation leaves coder-14b: mathsmith-8b would gain ")
    _, after = await asked(conversation(CODE, "Done.", MATH, "102.", "ok"))
    assert (after.pick, after.method) == ("mathsmith-8b", "session")


async def test_a_move_that_costs_more_than_it_gains_is_not_made(
    folder: Path, served: Served
) -> None:
    asked = balanced(Asked(folder, served, Priced(1e-6, 9e-4), stickiness="session"), 1.0)
    _, first = await asked(conversation(CODE))
    assert first.pick == "coder-14b"
    _, stays = await asked(conversation(CODE, "Done.", MATH))
    assert (stays.pick, stays.method) == ("coder-14b", "session")
    assert stays.reason.endswith("which does not pay")


@pytest.mark.parametrize(
    "request_",
    [
        {"metadata": {"headers": {"x-session-id": "s-1"}}, "conversation": "s-1"},
        {"metadata": {"headers": {"x-session-id": "s-1"}}, "previous_response_id": "resp_1"},
        {
            "metadata": {"headers": {"x-session-id": "s-1"}},
            "input": [{"type": "reasoning", "encrypted_content": "xx"}],
        },
    ],
)
async def test_what_only_its_model_can_read_is_never_moved(
    folder: Path, served: Served, request_: dict[str, Any]
) -> None:
    asked = balanced(Asked(folder, served, Priced(1e-6, 1e-6), stickiness="session"), 0.01)
    session = {"metadata": request_["metadata"]}
    _, first = await asked(conversation(CODE), **session)
    _, stays = await asked(conversation(CODE, "Done.", MATH), **request_)
    assert (stays.pick, stays.method) == (first.pick, "session")
    _, moved = await asked(conversation(CODE, "Done.", MATH), **session)
    assert moved.pick == "mathsmith-8b"


async def test_other_policies_know_no_price_of_a_point_and_stay(
    folder: Path, served: Served
) -> None:
    asked = Asked(folder, served, Priced(1e-6, 1e-6), stickiness="session")
    await asked(conversation(CODE))
    _, stays = await asked(conversation(CODE, "Done.", MATH))
    assert (stays.pick, stays.method) == ("coder-14b", "session")
