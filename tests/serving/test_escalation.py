"""A conversation that fails leaves its model: when, for whom, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conversation.test_failures import FAILS, PASSES, looked
from pydantic import ValidationError
from served import Served

from litellm_benchrouter.config import ServingConfig
from litellm_benchrouter.costs.policy import Policy
from litellm_benchrouter.routing.decision import Decision

from .test_service import CODE, MATH, TITLE, Asked, Looked, conversation

SESSION = {"headers": {"x-session-id": "s-1"}}
WRONG = ["102.", "that's wrong", "103.", "still wrong"]


class Agent(Asked):
    """A conversation that began with code and now is about mathematics: coder-14b holds it.

    `decided` counts what the executor was asked for.
    """

    def __init__(self, folder: Path, served: Served, **escalate: Any) -> None:
        super().__init__(folder, served, Looked(), stickiness="session", escalate=escalate)
        self.decided: list[str] = []
        run = self.service._executor.run

        async def counted(router: Any, text: str, *more: Any) -> Decision:
            self.decided.append(text)
            return await run(router, text, *more)

        self.service._executor.run = counted  # type: ignore[method-assign]
        self.turns = conversation(CODE, "Done.", MATH)

    async def go(self, *steps: Any, **request: Any) -> Decision:
        self.turns += steps
        decision: Decision = (await self(self.turns, metadata=SESSION, **request))[1]
        return decision


@pytest.fixture
async def agent(folder: Path, served: Served) -> Agent:
    return await begun(Agent(folder, served))


async def begun(agent: Agent) -> Agent:
    _, first = await agent(conversation(CODE), metadata=SESSION)
    assert first.pick == "coder-14b"
    assert (await agent.go()).method == "session"
    agent.decided.clear()
    return agent


async def test_a_stuck_agent_goes_to_the_next_better_model_and_says_why(agent: Agent) -> None:
    once = await agent.go(*FAILS)
    assert (once.pick, once.method) == ("coder-14b", "session")
    assert agent.decided == []
    left = await agent.go(*FAILS)
    assert (left.method, left.kind) == ("escalated", "escalated")
    assert left.reason.startswith("the conversation leaves coder-14b after 2 failed tool calls: ")
    assert agent.decided == [MATH], "one decision, on the ask"
    scores = left.scores or {}
    better = {model for model, score in scores.items() if score > scores["coder-14b"]}
    assert left.pick == min(better, key=scores.__getitem__)
    assert set(left.ranking) == set(scores)


async def test_it_moves_again_only_after_new_failures_and_never_past_the_best(
    agent: Agent,
) -> None:
    picks = [(await agent.go(*FAILS)).pick for _ in range(10)]
    scores = (await agent.service._executor.run(
        agent.served.router, MATH, None, sorted(set(agent.served.router.models))
    )).scores or {}  # fmt: skip
    assert picks[0] == "coder-14b"
    ladder = list(dict.fromkeys(picks))
    assert [scores[model] for model in ladder] == sorted(scores[model] for model in ladder)
    assert all(picks[n] == picks[n + 1] for n in range(1, 9, 2)), "two failures for each step"
    assert picks[-1] == max(scores, key=scores.__getitem__)
    while True:
        stays = await agent.go(*FAILS)
        if "despite" in stays.reason:
            break
    assert (stays.pick, stays.method) == (picks[-1], "session")
    assert stays.reason.endswith("failed tool calls: no model on offer is expected to do better")
    agent.decided.clear()
    again = await agent.go(*FAILS)
    assert again.reason == f"the conversation stays with {picks[-1]}", "asked once for all of these"
    assert agent.decided == []


async def test_trouble_that_is_over_counts_no_more(agent: Agent) -> None:
    await agent.go(*FAILS)
    assert (await agent.go(*PASSES)).method == "session"
    assert (await agent.go(*FAILS)).method == "session"
    moved = await agent.go(*FAILS)
    assert moved.method == "escalated"
    assert (await agent.go(*PASSES)).pick == moved.pick
    assert (await agent.go(*FAILS)).pick == moved.pick, "the count begins anew"
    scores = moved.scores or {}
    at_the_top = scores[moved.pick] == max(scores.values())
    assert ((await agent.go(*FAILS)).method == "session") is at_the_top


async def test_a_person_who_complains_moves_it_by_the_ask_before(agent: Agent) -> None:
    left = await agent.go(*conversation("", *WRONG)[1:])
    assert left.reason.startswith("the conversation leaves coder-14b after 2 complaints: ")
    assert agent.decided == [MATH]


@pytest.mark.parametrize("text", ["no, thanks", "yes", "That's right, go on."])
async def test_other_reactions_move_nothing(agent: Agent, text: str) -> None:
    turns = [turn for _ in range(3) for turn in conversation("", "102.", text)[1:]]
    assert (await agent.go(*turns)).method == "session"


async def test_only_what_is_configured_counts(folder: Path, served: Served) -> None:
    agent = await begun(Agent(folder, served, after_failures=3, signs=["complaint"]))
    assert (await agent.go(*FAILS * 5)).method == "session"
    assert (await agent.go(*conversation("", *WRONG)[1:])).method == "session"
    left = await agent.go(*conversation("", "104.", "no, that's still wrong")[1:])
    assert left.method == "escalated"


async def test_off_by_default(folder: Path, served: Served) -> None:
    asked = Asked(folder, served, Looked(), stickiness="session")
    await asked(conversation(CODE), metadata=SESSION)
    turns = [*conversation(CODE, "Done.", MATH), *FAILS * 5]
    _, stays = await asked(turns, metadata=SESSION)
    assert (stays.pick, stays.reason) == ("coder-14b", "the conversation stays with coder-14b")


@pytest.mark.parametrize(
    "bound",
    [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"},
     {"input": [{"type": "reasoning", "encrypted_content": "xx"}]}],
)  # fmt: skip
async def test_what_only_its_model_can_read_never_leaves(
    folder: Path, served: Served, bound: dict[str, Any]
) -> None:
    agent = Agent(folder, served)
    await agent(conversation(CODE), metadata=SESSION)
    agent.decided.clear()
    stays = await agent.go(*FAILS * 2, **bound)
    assert (stays.pick, stays.method) == ("coder-14b", "session")
    assert stays.reason.endswith("despite 2 failed tool calls: no other can read it")
    assert agent.decided == []
    assert (await agent.go()).method == "escalated"


async def test_a_title_in_between_neither_moves_nor_counts(agent: Agent) -> None:
    await agent.go(*FAILS)
    _, side = await agent(
        [*agent.turns, *FAILS], metadata={"headers": SESSION["headers"] | TITLE["headers"]}
    )
    assert side.method == "session"
    assert (await agent.go(*looked(1))).method == "session"
    assert (await agent.go(*FAILS)).method == "escalated"


async def test_a_worker_that_does_not_hold_it_decides_and_counts_from_there(
    folder: Path, served: Served
) -> None:
    agent = Agent(folder, served)
    fresh = await agent.go(*FAILS * 2)
    assert fresh.method not in ("session", "escalated")
    assert (await agent.go(*FAILS)).method == "session"
    assert (await agent.go(*FAILS)).method == "escalated"


async def test_no_decision_in_time_leaves_it_where_it_is_and_asks_again(
    folder: Path, served: Served
) -> None:
    agent = await begun(Agent(folder, served))
    run = agent.service._executor.run

    async def late(router: Any, text: str, task: Any, models: Any, terms: Any) -> Decision:
        average: Decision = router.best_on_average(models, "no decision", terms, "time_limit")
        return average

    agent.service._executor.run = late  # type: ignore[method-assign]
    stays = await agent.go(*FAILS * 2)
    assert (stays.pick, stays.method) == ("coder-14b", "session")
    assert stays.reason.endswith("despite 2 failed tool calls: no decision")
    agent.service._executor.run = run  # type: ignore[method-assign]
    assert (await agent.go(*FAILS)).method == "escalated"


async def test_under_a_saving_policy_it_leaves_for_a_better_model(
    folder: Path, served: Served
) -> None:
    agent = Agent(folder, served)
    policy = Policy.parse("within:1")
    agent.service._config = agent.service._config.model_copy(update={"policy": policy})
    _, cheap = await agent(conversation(MATH), metadata=SESSION)
    agent.turns = conversation(MATH)
    left = await agent.go(*FAILS * 2)
    scores = left.scores or {}
    assert scores[left.pick] > scores[cheap.pick]
    assert left.policy == "within:1"


def test_it_needs_conversations_that_stay() -> None:
    with pytest.raises(ValidationError, match="escalate needs stickiness: session, got none"):
        ServingConfig.model_validate({"escalate": {}})
    with pytest.raises(ValidationError, match="refusal"):
        ServingConfig.model_validate({"stickiness": "session", "escalate": {"signs": ["sulks"]}})
    made = ServingConfig.model_validate({"stickiness": "session", "escalate": {}})
    assert made.escalate is not None and made.escalate.after_failures == 2
