"""The page: what there is to see, put into its template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from litellm_benchrouter.costs.policy import QUALITY, SPELLING, Policy
from litellm_benchrouter.errors import BenchRouterError
from litellm_benchrouter.page.about import about
from litellm_benchrouter.page.answer import Answer, answer
from litellm_benchrouter.page.current import Current
from litellm_benchrouter.page.metrics_reader import Live, read_live
from litellm_benchrouter.page.past import past
from litellm_benchrouter.page.question import Question, ask
from litellm_benchrouter.page.words import breakable
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store

_THEME = "evaluation/report/templates"  # the report's colours; its code is not imported


@dataclass(frozen=True)
class MetricsSource:
    """Where the proxy's metrics are, and the key that it asks for."""

    url: str
    key: str | None = None


class Page:
    """Everything that the page says; it holds no question beyond its answer.

    Parameters
    ----------
    store : Store
    config_path : Path, optional
        Named where there is nothing to show yet.
    policy : Policy
        What counts where a question names none.
    metrics : MetricsSource, optional
    """

    def __init__(
        self,
        store: Store,
        *,
        config_path: Path | None = None,
        policy: Policy = QUALITY,
        metrics: MetricsSource | None = None,
    ) -> None:
        self._store = store
        self._config_path = config_path
        self._policy = policy
        self._metrics = metrics
        self._current = Current(store)
        environment = Environment(
            loader=PackageLoader("litellm_benchrouter", "page/templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["breakable"] = breakable
        self._template = environment.get_template("page.html.jinja")
        self._error = environment.get_template("error.html.jinja")
        theme = PackageLoader("litellm_benchrouter", _THEME)
        self.style = "\n".join(
            loader.get_source(environment, name)[0]
            for loader, name in ((theme, "theme.css"), (environment.loader, "style.css"))
            if loader is not None
        )

    def warm_up(self) -> str | None:
        """Open the current version; return what is wrong with it, if anything is."""
        return self._current.look().problem

    def show(self, question: Question | None = None) -> str:
        """Return the page as HTML, with the answer to a question if there is one."""
        seen = self._current.look()
        router = seen.router
        version = None if router is None else router.artifact.manifest.version
        notes: list[str] = []
        found = None
        if router is not None and question is not None:
            found, notes = _answered(router, question, self._policy)
        elif question is not None:
            notes = ["There is no version to ask yet."]
        question = question or Question()
        return self._template.render(
            about=None if router is None else about(router.artifact.manifest),
            problem=seen.problem,
            question=question,
            answer=found,
            notes=notes,
            policy=str(self._policy),
            policies=SPELLING,
            models=_ticked(router, question),
            tasks=_tasks(router),
            past=past(self._store, version),
            live=self._live(),
            artifacts=self._store.name,
            config=str(self._config_path or "CONFIG"),
        )

    def sorry(self, title: str, sentence: str) -> str:
        """Return a page that says what went wrong."""
        return self._error.render(title=title, sentence=sentence)

    def _live(self) -> Live | None:
        return None if self._metrics is None else read_live(self._metrics.url, self._metrics.key)


def _answered(
    router: BenchRouter, question: Question, policy: Policy
) -> tuple[Answer | None, list[str]]:
    if question.empty:
        return None, ["Type a prompt, or name a task."]
    notes = []
    known = [model for model in question.models if model in router.models]
    if not question.models:
        notes.append("No model was ticked, so all of them were on offer.")
    elif len(known) < len(question.models):
        notes.append("Models that this version does not know were left out.")
    try:
        return answer(router, question, ask(router, question, policy)), notes
    except BenchRouterError as error:
        return None, [*notes, str(error)]


def _ticked(router: BenchRouter | None, question: Question) -> list[tuple[str, bool]]:
    if router is None:
        return []
    offered = question.offer(router.models)
    return [(model, model in offered) for model in sorted(router.models)]


def _tasks(router: BenchRouter | None) -> list[str]:
    """Names of tasks to choose from: the configuration's, then the benchmark's."""
    if router is None:
        return []
    named: dict[str, Any] = dict.fromkeys([*router.artifact.manifest.named_tasks])
    return list(named | dict.fromkeys(router.artifact.tasks))
