"""A task to label: the tiny benchmark's models behind a fake provider, inputs with references."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from proxy.harness import deployment
from proxy.upstream import FakeUpstream

from litellm_benchrouter.labelling import asking
from litellm_benchrouter.sources.tasks import prompt_key

N_INPUTS = 24
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-5}


def prompt(i: int) -> str:
    return f"Who is number {i}?"


@dataclass
class Lab:
    """A folder with a configuration, and the commands that run in it.

    `This is ant.` is right for even inputs, `This is bee.` for odd ones.
    """

    folder: Path
    upstream: FakeUpstream
    run_here: Callable[..., Any]

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs.jsonl"

    @property
    def journal(self) -> Path:
        return self.folder / "router_artifacts" / "labels" / "new.jsonl"

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]

    def cells(self, event: str) -> list[tuple[str, str]]:
        return [(line["prompt_sha256"], line["model"]) for line in self.events(event)]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """The cell of each request, in the order of arrival."""
        return [
            (prompt_key(request.body["messages"][-1]["content"]), request.model)
            for request in self.upstream.requests
        ]

    def arguments(self, *more: object, task: str = "new", inputs: bool = True) -> list[str]:
        given = ["--inputs", self.inputs] if inputs else []
        return list(map(str, ["label", "--config", self.config, "--task", task, *given, *more]))

    def label(self, *more: object, **how: Any) -> Any:
        """Run in this process, by the metric `contains` unless another is named."""
        return self.run_here(*self.arguments(*self._with_metric(more), **how))

    def asking(self, *more: object, **how: Any) -> Any:
        """Run and agree to the cost; the outcome is JSON."""
        return self.label("--yes", "--json", *more, **how)

    @contextmanager
    def start(self, *more: object) -> Iterator[subprocess.Popen[str]]:
        """Run in a process of its own, which is killed at the latest when the context ends."""
        arguments = self.arguments("--yes", "--json", *self._with_metric(more))
        with subprocess.Popen(
            [*tiny.COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def _with_metric(self, more: tuple[object, ...]) -> tuple[object, ...]:
        given = {"--metric", "--labels"} & set(map(str, more))
        return more if given else ("--metric", "contains", *more)

    def configure(self, *, deployments: list[dict[str, Any]] | None = None, **block: Any) -> None:
        """Write the configuration anew."""
        document = yaml.safe_load(tiny.configure(self.folder, **block).read_text())
        base = self.upstream.base_url
        usual = [deployment("smart", model, base, params=PRICES) for model in tiny.MODELS]
        usual.append(deployment("judges", "wise", base, params=PRICES))
        document["model_list"] = usual if deployments is None else deployments
        document["router_settings"] = {"disable_cooldowns": True}
        self.config.write_text(yaml.safe_dump(document), encoding="utf-8")

    def write_inputs(self, entries: list[Any]) -> None:
        self.inputs.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


@pytest.fixture
def lab(
    tmp_path: Path,
    upstream: FakeUpstream,
    benchrouter: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Lab:
    monkeypatch.setattr(asking, "FIRST_DELAY", 0.01)
    tiny.write(tmp_path)
    made = Lab(tmp_path, upstream, benchrouter)
    made.configure()
    made.write_inputs(
        [
            {"prompt": prompt(i), "reference": "this is Ant" if i % 2 == 0 else ["x", "is bee"]}
            for i in range(N_INPUTS)
        ]
    )
    return made
