"""From a call to its decision: what the request says, what is on offer, what is noted of it.

No LiteLLM in here: the hook brings the request, and the deployments of a group.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.conversation.ask import Ask, ask_to_route_on, first_ask, text_choice
from litellm_benchrouter.conversation.failures import Failures, read_failures
from litellm_benchrouter.conversation.state import (
    Held,
    Sessions,
    SharedMemory,
    read_session,
    share_of,
)
from litellm_benchrouter.conversation.text import asked_policy, named_task
from litellm_benchrouter.conversation.turns import is_bound
from litellm_benchrouter.costs import CHARACTERS_PER_TOKEN, Prices
from litellm_benchrouter.costs.policy import QUALITY, Policy, Terms
from litellm_benchrouter.costs.switching import WARM_SECONDS, best_move
from litellm_benchrouter.limits import Memory
from litellm_benchrouter.routing.decision import GIVEN_UP, Decision
from litellm_benchrouter.routing.deployments import id_of
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.capabilities import lacking, needs_of
from litellm_benchrouter.serving.decision_log import log_decision
from litellm_benchrouter.serving.escalation import despite, next_better, trouble_in
from litellm_benchrouter.serving.executor import Executor
from litellm_benchrouter.serving.explore import Explorer
from litellm_benchrouter.serving.loader import VersionLoader
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.serving.offer import DeploymentGroup, GroupFacts

PriceList = Callable[[Sequence[Any], Sequence[str | None]], tuple[tuple[str, Prices], ...]]
"""What the models of some deployments cost: (deployments, the benchmark model of each)."""

AbilitiesOf = Callable[[Any, str | None], Mapping[str, Any]]
"""What a deployment can take besides text: (deployment, its benchmark model)."""

_GROUPS = 256  # groups, and parts of groups, whose facts are remembered
_FACTS_SECONDS = 60.0  # prices and abilities may change while we run


class RoutingService:
    """Ranks the models of a group for a call, by the configuration; counts and logs decisions."""

    def __init__(
        self,
        config: BenchRouterConfig,
        loader: VersionLoader,
        executor: Executor,
        prices: PriceList,
        abilities: AbilitiesOf,
        metrics: Metrics,
    ) -> None:
        self._config = config
        self._loader = loader
        self._executor = executor
        self._prices = prices
        self._abilities = abilities
        self._metrics = metrics
        self._facts: Memory[object, GroupFacts] = Memory(_GROUPS, _FACTS_SECONDS)
        self._sessions = Sessions(config.serving.session_seconds)
        self._explorer = Explorer(0.0 if config.traffic is None else config.traffic.explore)

    @property
    def router(self) -> BenchRouter | None:
        """The router of the version that serves."""
        return self._loader.router

    def start(self) -> None:
        """Start looking for versions."""
        self._loader.start()

    def stop(self) -> None:
        """Stop looking for versions, and end the threads that decide."""
        self._loader.stop()
        self._executor.stop()

    @property
    def wants_memory(self) -> bool:
        """Whether conversations are to be remembered where all workers do."""
        serving = self._config.serving
        return serving.stickiness == "session" and serving.memory == "auto"

    def share(self, memory: SharedMemory) -> None:
        """Keep conversations in a memory of all workers, besides this one's own."""
        self._sessions.shared = memory

    async def recall(self, request: Mapping[str, Any]) -> None:
        """Ask the other workers' memory for the response that a request continues, if it does."""
        previous = request.get("previous_response_id")
        if self._config.serving.stickiness == "session" and isinstance(previous, str) and previous:
            await self._sessions.recall(previous)

    def begin(self, call: Call, messages: object, request: Mapping[str, Any]) -> None:
        """Note what a call asks, its conversation, and whether its decision is followed."""
        serving = self._config.serving
        call.turn = ask_to_route_on(messages, request, serving.ask)
        is_sticky = serving.stickiness == "session"
        call.explores = self._explorer.draws(call.turn, messages, request, is_sticky=is_sticky)
        if serving.mode == "active" and serving.stickiness == "none":
            return
        call.conversation = read_session(messages, request, self._sessions.of_response)
        call.session = call.conversation.name if call.conversation else ""
        share = 1.0 if serving.mode == "active" else 0.0
        if serving.mode == "canary":
            share = serving.canary_percent / 100
        call.shadow = share_of(call.session or str(request.get("litellm_call_id"))) >= share

    def group(
        self,
        deployments: Sequence[Any],
        models: Sequence[str | None],
        messages: object,
        request: Mapping[str, Any],
    ) -> DeploymentGroup:
        """Return the deployments, with those that cannot serve the request.

        Parameters
        ----------
        models : sequence of str or None
            The benchmark model of each.
        messages, request
            As in `conversation.ask.read_ask`.
        """
        needs, facts = needs_of(messages, request), self._facts_of(deployments, models)
        unable: dict[str, str] = {}
        for abilities, ids in facts.by_abilities:
            lacks = lacking(abilities, needs)
            if lacks is not None:
                unable |= dict.fromkeys(ids, lacks)
        return DeploymentGroup(deployments, models, unable, needs.characters, facts)

    def _facts_of(self, deployments: Sequence[Any], models: Sequence[str | None]) -> GroupFacts:
        """Return what is known of some deployments; they are looked at once a minute."""
        ids = tuple(map(id_of, deployments))
        key = (ids, tuple(models))
        facts = self._facts.get(key)
        if facts is not None:
            return facts
        by_abilities: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
        for deployment_id, deployment, model in zip(ids, deployments, models, strict=True):
            abilities = self._abilities(deployment, model)
            group = by_abilities.setdefault(repr(sorted(abilities.items())), (abilities, []))
            group[1].append(str(deployment_id))
        names = sorted({model for model in models if model is not None})
        facts = GroupFacts(names, self._prices(deployments, models), list(by_abilities.values()))
        # Without an id, nothing tells a deployment from others.
        return facts if None in ids else self._facts.put(key, facts)

    async def rank(
        self,
        router: BenchRouter,
        call: Call,
        group: str,
        offer: DeploymentGroup,
        messages: object,
        request: Mapping[str, Any],
    ) -> Decision:
        """Rank the benchmark models of a group.

        Parameters
        ----------
        router : BenchRouter
            It knows the models on offer.
        group : str
            Its policy holds.
        offer : DeploymentGroup
            At least one of its models is known.
        messages, request
            As in `conversation.ask.read_ask`.
        """
        started = time.perf_counter()
        able = offer.able
        names = able.names
        turn, choice = call.turn, self._config.serving.ask
        if turn is None:
            turn = call.turn = ask_to_route_on(messages, request, choice)
        policy, note = self._policy_of(group, call, asked_policy(request))
        facts = able.facts
        prices = self._prices(able.deployments, able.models) if facts is None else facts.prices
        terms = Terms(policy, note, prices, offer.characters)
        # By its first ask every worker decides alike for a conversation that it does not hold.
        by_first = turn.kind != "side" and self._is_sticky(call)
        by_first = by_first and text_choice(request, choice) == "ask"
        text = first_ask(messages, request) if by_first else turn.text or ""
        task = named_task(request)
        held = await self._held(call)
        decision = self._sticky_decision(held, router, names, terms)
        if decision is None or held is None:
            # No failure so far is of a model that is asked now.
            call.failures = len(self._failures(call, messages, request).signs)
        else:
            decision = await self._stay_or_leave(
                router, call, held, decision, terms, messages, request
            )
        if decision is None and len(names) == 1:
            decision = router.the_only(names[0], terms)
        if decision is None:
            decision = await self._executor.run(router, text, task, names, terms)
            if by_first and text != turn.text:  # the vector is not that of the ask
                decision = replace(decision, vector=None)
            if call.explores and not call.shadow and held is None:
                decision, call.explores = self._explorer.explored(decision, policy), False
            passes = self._config.serving.on_error == "pass_through"
            call.passed = passes and decision.kind in GIVEN_UP
        seconds = time.perf_counter() - started
        decision = replace(decision, reason=decision.reason + offer.note, seconds=seconds)
        with contextlib.suppress(Exception):  # nothing of that may stand in a request's way
            self._metrics.decided(group, decision)
            prompt = text if self._config.serving.log_prompts else None
            call_id = request.get("litellm_call_id")
            log_decision(decision, group=group, offer=names, call_id=call_id, prompt=prompt)
        return decision

    def answered(self, call: Call, response_id: str | None = None) -> None:
        """Count who answered, and keep the conversation with it; responses continue by their id."""
        decision = call.decisions.get(call.group)
        if call.shadow and decision is not None:
            self._metrics.shadowed(call.group, agrees=call.answered_by == decision.pick)
            return
        if call.passed:
            return
        self._metrics.answered(call.group, call.answered_by, call.outcome)
        conversation = call.conversation
        if call.propensity is not None:
            return  # the conversation is not held by a model that chance has picked
        if conversation and self._is_sticky(call) and call.answered_by and not call.is_side:
            self._sessions.hold(conversation.now, call.answered_by, call.failures)
            if response_id:
                self._sessions.note_response(response_id, conversation.name)
                self._sessions.hold(conversation.name, call.answered_by, call.failures)

    def _is_sticky(self, call: Call) -> bool:
        serving = self._config.serving
        if call.is_side and serving.side is not None:
            return False
        return serving.stickiness == "session" and bool(call.session)

    def _policy_of(self, group: str, call: Call, asked: str | None) -> tuple[Policy, str]:
        """Return the policy of a call, and what is to be noted of it."""
        side = self._config.serving.side
        if call.is_side and side is not None and asked is None:
            return side, "the client's own request, not a person's"
        return self._config.policy_of(group, asked)

    async def _stay_or_leave(
        self,
        router: BenchRouter,
        call: Call,
        held: Held,
        stay: Decision,
        terms: Terms,
        messages: object,
        request: Mapping[str, Any],
    ) -> Decision:
        """Return the decision for a conversation that is held: it stays, escalates, or moves."""
        failures, escalate = self._failures(call, messages, request), self._config.serving.escalate
        number, names = len(failures.signs), sorted(stay.ranking)
        call.failures = min(held.failures, number)  # what was over is not new again
        after = None if escalate is None else escalate.after_failures
        trouble = trouble_in(failures, call.failures, after)
        turn, task = call.turn or Ask("none", ""), named_task(request)
        may_move = self._may_move(turn, terms, task)
        if not trouble and not may_move:
            return stay
        if len(names) == 1 or is_bound(messages, request):
            why = "no other model is on offer" if len(names) == 1 else "no other can read it"
            return despite(trouble, stay, why) if trouble else stay
        asked = await self._executor.run(router, turn.text or "", task, names, terms)
        decision = next_better(trouble, stay, asked) if trouble else stay
        if decision.kind == "escalated":
            self._metrics.escalated(failures.signs[0])
        elif may_move:
            decision = self._moved(held, decision, asked, terms)
        if decision.pick != held.model or (trouble and asked.kind not in GIVEN_UP):
            call.failures = number  # they are dealt with, moved or not
        return decision

    def _failures(self, call: Call, messages: object, request: Mapping[str, Any]) -> Failures:
        """Return what went wrong in a conversation that may leave its model for it."""
        escalate = self._config.serving.escalate
        if escalate is None or call.is_side or not self._is_sticky(call):
            return Failures()
        return read_failures(messages, request, escalate.signs)

    def _may_move(self, turn: Ask, terms: Terms, task: str | None) -> bool:
        """Say whether a conversation may leave its model where that pays: with a new ask."""
        policy = terms.policy
        is_new = turn.kind == "ask" and not task
        return is_new and policy.kind == "balanced" and bool(policy.value and terms.prices)

    def _moved(self, held: Held, stay: Decision, asked: Decision, terms: Terms) -> Decision:
        """Return the decision to move where that pays, else the one to stay; docs/policies.md."""
        if asked.kind in GIVEN_UP or not asked.scores or not asked.costs_usd:
            return stay
        move = best_move(
            stay.pick,
            asked.scores,
            asked.costs_usd,
            dict(terms.prices),
            weight=terms.policy.value,
            tokens=(terms.characters or 0) / CHARACTERS_PER_TOKEN,
            is_warm=self._sessions.rested(held) < WARM_SECONDS,
        )
        if move is None:
            return stay
        if not move.pays:
            return replace(stay, reason=f"{stay.reason}: {move}, which does not pay")
        ranking = (move.model, *(model for model in asked.ranking if model != move.model))
        reason = f"the conversation leaves {stay.pick}: {move}, which pays; {asked.reason}"
        return replace(asked, ranking=ranking, reason=reason)

    async def _held(self, call: Call) -> Held | None:
        """Return who holds the conversation of a call; None where nobody does, or it is loose."""
        if call.conversation is None or not self._is_sticky(call):
            return None
        return await self._sessions.held(call.conversation)

    def _sticky_decision(
        self, held: Held | None, router: BenchRouter, names: list[str], terms: Terms
    ) -> Decision | None:
        """Return the decision to stay with the model that holds the conversation, if any does."""
        if held is None or held.model not in names:
            return None
        model = held.model
        reason = f"the conversation stays with {model}"
        plain = replace(terms, policy=QUALITY)
        average = router.best_on_average(names, reason, terms=plain, kind="session")
        ranking = (model, *(other for other in average.ranking if other != model))
        return replace(average, ranking=ranking, method="session", policy=str(terms.policy))
