"""`benchrouter serve`: one page for the operator, over one artifact directory.

It reads what is there and changes nothing. A prompt is answered and forgotten: none is in an
address, a log or a file. The page may import views and what lies below them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.costs.policy import QUALITY, SPELLING, Policy, Terms
from litellm_benchrouter.errors import BenchRouterError, ConfigError
from litellm_benchrouter.routing.decision import Explanation
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store
from litellm_benchrouter.views import Table, breakable, moment
from litellm_benchrouter.views.decision import Answer, answer
from litellm_benchrouter.views.verdict import verdict_view
from litellm_benchrouter.views.version import (
    best_on_average,
    candidates_table,
    describe_versions,
    facts,
    models_table,
    tasks_table,
    versions_table,
)

_MOST_FIELDS = 5_000  # a benchmark may have hundreds of models, and each is a field
_MOST_VERSIONS = 20
_RETRY_SECONDS = 10.0  # a network volume may be back


@dataclass(frozen=True)
class Question:
    """A filled-in form."""

    prompt: str = ""
    task: str = ""
    models: tuple[str, ...] = ()  # those that were ticked, whether the benchmark knows them or not
    policy: str = ""  # as it was typed; empty for the configuration's

    @property
    def empty(self) -> bool:
        """Say whether nothing was asked."""
        return not self.prompt.strip() and not self.task

    def offer(self, models: Sequence[str]) -> list[str]:
        """Return the models on offer: those ticked that the benchmark knows, else all."""
        return [model for model in models if model in self.models] or list(models)


def fields_of(body: bytes) -> list[tuple[str, str]]:
    """Read a form as browsers encode it; what is not UTF-8 becomes U+FFFD.

    Raises ValueError where it has more fields than any form of ours.
    """
    return parse_qsl(
        body.decode("utf-8", errors="replace"),
        keep_blank_values=True,
        errors="replace",
        max_num_fields=_MOST_FIELDS,
    )


def parse_form(body: bytes) -> Question:
    """Read what the page is asked; raise ValueError as `fields_of` does."""
    fields = fields_of(body)
    last = dict(fields)
    return Question(
        # Browsers send line ends as CR LF; clients of the proxy write LF.
        prompt=last.get("prompt", "").replace("\r\n", "\n"),
        task=last.get("task", "").strip(),
        models=tuple(value for key, value in fields if key == "model"),
        policy=last.get("policy", "").strip(),
    )


def ask(router: BenchRouter, question: Question, policy: Policy) -> Explanation:
    """Decide as the proxy does, by the given policy where the question names none."""
    if question.policy:
        try:
            policy = Policy.parse(question.policy)
        except ValueError as error:
            raise ConfigError(f"{error}.") from error
    return router.explain(
        question.prompt,
        task=question.task or None,
        models=question.offer(router.models),
        terms=Terms(policy),
    )


@dataclass(frozen=True)
class OpenVersion:
    """The version to show."""

    router: BenchRouter | None  # of the version that could be opened last; None before the first
    problem: str | None = None  # why it is not the one that CURRENT names


class Current:
    """The version that CURRENT names, opened again when it names another.

    One thread loads while the others go on with what was there.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._loading = threading.Lock()
        self._open = OpenVersion(None)
        self._state = ""
        self._retry_at = 0.0

    def look(self) -> OpenVersion:
        """Return what there is, after opening a version that is new."""
        if self._loading.acquire(blocking=self._open.router is None):
            try:
                self._follow()
            finally:
                self._loading.release()
        return self._open

    def _follow(self) -> None:
        serving = self._open.router
        state = ""
        try:
            version = self.store.current()
            if version is None:
                gone = f"{self.store.name} names no current version any more."
                self._open, self._state = OpenVersion(serving, gone if serving else None), ""
                return
            state = self.store.state(version)
            if state == self._state and (
                self._open.problem is None or time.monotonic() < self._retry_at
            ):
                return
            before = serving.artifact if serving else None
            artifact = read_artifact(self.store.fetch(version), known=before)
            self._open = OpenVersion(BenchRouter(artifact))
        except BenchRouterError as error:
            self._refuse(str(error))
        except Exception as error:
            self._refuse(f"the current version cannot be opened ({type(error).__name__}).")
        self._state = state

    def _refuse(self, reason: str) -> None:
        self._open = OpenVersion(self._open.router, reason)
        self._retry_at = time.monotonic() + _RETRY_SECONDS


class Served(Protocol):
    """What a server of one page asks of it."""

    style: str
    script: str  # none where it is empty

    def show(self) -> str:
        """Return the page as HTML."""

    def answer(self, body: bytes) -> str:
        """Return the page after a form was sent; raise ValueError where it has too many fields."""

    def sorry(self, title: str, sentence: str) -> str:
        """Return a page that says what went wrong."""


class Page:
    """Everything that the page says; it holds no question beyond its answer."""

    script = ""

    def __init__(
        self, store: Store, *, config_path: Path | None = None, policy: Policy = QUALITY
    ) -> None:
        self._store = store
        self._config_path = config_path
        self._policy = policy
        self._current = Current(store)
        templates = open_templates()
        self._template = templates.get_template("page.html.jinja")
        self._error = templates.get_template("error.html.jinja")
        self.style = style_of(templates)

    def warm_up(self) -> str | None:
        """Open the current version; return what is wrong with it, if anything is."""
        return self._current.look().problem

    def answer(self, body: bytes) -> str:
        """Return the page with the answer to a form; raise ValueError as `parse_form` does."""
        return self.show(parse_form(body))

    def show(self, question: Question | None = None) -> str:
        """Return the page as HTML, with the answer to a question if there is one."""
        opened = self._current.look()
        router, shown = opened.router, None
        notes: list[str] = []
        if router is not None and question is not None:
            shown, notes = _answered(router, question, self._policy)
        elif question is not None:
            notes = ["There is no version to ask yet."]
        question = question or Question()
        models = [] if router is None else sorted(router.models)
        offered = question.offer(models)
        return self._template.render(
            about=None if router is None else _about(router),
            problem=opened.problem,
            question=question,
            answer=shown,
            notes=notes,
            policy=str(self._policy),
            policies=SPELLING,
            models=[(model, model in offered) for model in models],
            tasks=_task_names(router),
            history=_history(self._store),
            artifacts=self._store.name,
            config=str(self._config_path or "CONFIG"),
        )

    def sorry(self, title: str, sentence: str) -> str:
        """Return a page that says what went wrong."""
        return self._error.render(title=title, sentence=sentence)


def open_templates() -> Environment:
    """Open the templates of pages."""
    own = PackageLoader("litellm_benchrouter", "page/templates")
    shared = PackageLoader("litellm_benchrouter", "views/templates")
    environment = Environment(
        loader=ChoiceLoader([own, shared]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment


def style_of(templates: Environment) -> str:
    """Return the style sheet of a page."""
    return "\n".join(templates.get_template(name).render() for name in ("theme.css", "style.css"))


def _about(router: BenchRouter) -> dict[str, object]:
    manifest = router.artifact.manifest
    averages = sorted((model.average_accuracy or 0.0 for model in manifest.models), reverse=True)
    return {
        "version": manifest.version,
        "facts": facts(manifest),
        "warnings": manifest.warnings,
        "verdict": verdict_view(manifest.verdict, best_on_average(manifest)),
        "models": models_table(manifest),
        "shares": [average if 0 < average <= 1 else None for average in averages],
        "tasks": tasks_table(router),
        "named_tasks": manifest.named_tasks,
        "candidates": candidates_table(manifest),
    }


def _answered(
    router: BenchRouter, question: Question, policy: Policy
) -> tuple[Answer | None, list[str]]:
    if question.empty:
        return None, ["Type a prompt, or name a task."]
    notes = []
    if not question.models:
        notes.append("No model was ticked, so all of them were on offer.")
    elif not set(question.models) <= set(router.models):
        notes.append("Models that this version does not know were left out.")
    try:
        return answer(router, ask(router, question, policy)), notes
    except BenchRouterError as error:
        return None, [*notes, str(error)]


def _history(store: Store) -> dict[str, object] | None:
    try:
        document = describe_versions(store)
    except (OSError, BenchRouterError):  # one was removed meanwhile, or no answer
        return None
    published = document["history"][::-1][:_MOST_VERSIONS]
    rows = [[moment(each["at"]), each["version"], each["how"]] for each in published]
    return {
        "versions": versions_table(document, _MOST_VERSIONS),
        "older": max(len(document["versions"]) - _MOST_VERSIONS, 0),
        "publications": Table("Published when", ("When, UTC", "Version", "By"), rows, n_text=3),
    }


def _task_names(router: BenchRouter | None) -> list[str]:
    """Name the tasks to choose from: the configuration's, then the benchmark's."""
    if router is None:
        return []
    return list(dict.fromkeys([*router.artifact.manifest.named_tasks, *router.artifact.tasks]))
