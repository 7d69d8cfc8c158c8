"""What a decision costs grows with what is asked, not with what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from served import Served

from litellm_benchrouter.costs import Prices
from litellm_benchrouter.serving.call import Call
from litellm_benchrouter.serving.metrics import Metrics
from litellm_benchrouter.serving.service import RoutingService

from .conftest import tuned

MODELS = ["atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "spark-3b"]


class Looked:
    """What the hook knows of deployments, with a count of those that were looked at."""

    def __init__(self) -> None:
        self.n = 0

    def prices(self, deployments: Any, models: Any) -> tuple[tuple[str, Prices], ...]:
        self.n += len(deployments)
        return ()

    def abilities(self, deployment: Any, model: str | None) -> Mapping[str, Any]:
        self.n += 1
        return {"supports_vision": model == "atlas-70b", "max_input_tokens": 1000}


def offered(n: int) -> tuple[list[dict[str, Any]], list[str | None]]:
    deployments = [{"model_name": "smart", "model_info": {"id": f"id-{i}"}} for i in range(n)]
    return deployments, [MODELS[i % len(MODELS)] for i in range(n)]


@pytest.fixture
def looked() -> Looked:
    return Looked()


@pytest.fixture
def service(folder: Path, served: Served, looked: Looked) -> RoutingService:
    config = tuned(folder)
    return RoutingService(
        config, served.loader, served.executor, looked.prices, looked.abilities, Metrics()
    )


def turns(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


async def test_the_deployments_of_a_group_are_looked_at_once_not_once_a_request(
    service: RoutingService, served: Served, looked: Looked
) -> None:
    deployments, models = offered(200)
    for number in range(20):
        asked = turns(f"What is number {number}?")
        group = service.group(deployments, models, asked, {})
        decision = await service.rank(served.router, Call(), "smart", group, asked, {})
        assert set(decision.ranking) == set(MODELS)
    assert looked.n == 400, "abilities and prices of each, once"
    service.group(deployments[:100], models[:100], turns("hello"), {})
    assert looked.n == 600, "half of the group, as while the others cool down, is another offer"
    for _ in range(20):
        service.group(deployments, models, turns("hello"), {})
    assert looked.n == 600


def test_what_a_request_needs_is_compared_with_each_kind_of_deployment(
    service: RoutingService, looked: Looked
) -> None:
    deployments, models = offered(50)
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    for _ in range(3):
        group = service.group(deployments, models, image, {})
        assert set(group.able.names) == {"atlas-70b"}
        assert len(group.unable) == 40 and set(group.unable.values()) == {"images"}
    long = service.group(deployments, models, turns("word " * 2000), {})
    assert long.note == "; no model is known to take all that is asked"
    assert not service.group(deployments, models, turns("hello"), {}).unable
    assert looked.n == 100


def test_deployments_without_an_id_are_looked_at_each_time(
    service: RoutingService, looked: Looked
) -> None:
    for _ in range(2):
        service.group([{"model_name": "smart"}], ["atlas-70b"], turns("hello"), {})
    assert looked.n == 4
