"""The task to label: its inputs with their references, and its metric."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.conversation.text import last_user_turn
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.labelling.metrics import METRICS, Metric, parse_metric
from litellm_benchrouter.labelling.models import Proxy, models_named
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.sources.tasks import JSON_LINES, labels_path, prompt_key, read_inputs
from litellm_benchrouter.store import open_store


@dataclass(frozen=True)
class Question:
    """One input.

    Attributes
    ----------
    prompt : str
        The text that the router routes by: of a conversation, the last user turn.
    messages : tuple of dict
        What is sent.
    reference : object
        A text, a list of texts of which any will do, or another JSON value; None where unknown.
    place : str
        Where it was read, for messages to the user.
    """

    prompt: str
    messages: tuple[dict[str, Any], ...]
    reference: Any
    place: str

    @property
    def key(self) -> str:
        """The SHA-256 by which the journal names it."""
        return prompt_key(self.prompt)

    @property
    def asked(self) -> object:
        """What a judge is told: the prompt, or the messages of a conversation."""
        return self.prompt if len(self.messages) == 1 else list(self.messages)


def read_questions(path: Path, where: str) -> list[Question]:
    """Read a task's inputs.

    Parameters
    ----------
    path : Path
        JSONL with `prompt` or `messages`, and `reference`; or text with one input a line, which
        then has no reference.
    where : str
        The option or key that names the file.

    Returns
    -------
    list of Question
        Equal ones once.

    Raises
    ------
    ConfigError
        If the file cannot be used, or two lines contradict each other.
    """
    # It also says what is wrong with the file, in the words that a build has for it.
    prompts = read_inputs(path, where)
    if path.suffix.lower() not in JSON_LINES:
        plain = [(f"input {i}", {"prompt": prompt}) for i, prompt in enumerate(prompts, start=1)]
        return _distinct([_question(entry, f"{path}, {place}") for place, entry in plain])
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if line.strip():
            question = _question(json.loads(line), f"{path}, line {number}")
            if question.prompt.strip():
                found.append(question)
    return _distinct(found)


def _question(entry: object, place: str) -> Question:
    fields: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {"prompt": entry}
    reference = fields.get("reference")
    if reference is None or reference in ("", [], {}):
        reference = None
    prompt = fields.get("prompt", fields.get("input"))
    if isinstance(prompt, str):
        return Question(prompt, ({"role": "user", "content": prompt},), reference, place)
    messages = fields["messages"]
    if not all(isinstance(turn, dict) and isinstance(turn.get("role"), str) for turn in messages):
        raise ConfigError(
            f'{place} has messages that are not turns; give {{"role": "user", "content": "..."}}.'
        )
    return Question(last_user_turn(messages, {}), tuple(messages), reference, place)


def _distinct(questions: list[Question]) -> list[Question]:
    first: dict[str, Question] = {}
    for question in questions:
        known = first.setdefault(question.key, question)
        if (known.messages, known.reference) != (question.messages, question.reference):
            raise ConfigError(
                f"{question.place} repeats the prompt of {known.place} with another reference or "
                f"conversation; keep one of them, as labels are kept by the (last user) prompt."
            )
    return list(first.values())


@dataclass(frozen=True)
class LabelTask:
    """A task with its inputs.

    Attributes
    ----------
    name : str
    questions : sequence of Question
    path : Path
        The journal.
    inputs : Path
        Where the questions were read.
    is_configured : bool
        Whether a build knows the task.
    warnings : list of str
    """

    name: str
    questions: Sequence[Question]
    path: Path
    inputs: Path
    is_configured: bool
    warnings: list[str] = field(default_factory=list)


def open_task(config: BenchRouterConfig, name: str, inputs: Path | None) -> LabelTask:
    """Read a task of the configuration, or a new one.

    Parameters
    ----------
    config : BenchRouterConfig
    name : str
    inputs : Path or None
        In place of the configured inputs, which may lack references.

    Raises
    ------
    ConfigError
        If there is no such task and no inputs, or these cannot be used.
    """
    configured = config.tasks.get(name)
    if configured is None and inputs is None:
        known = ", ".join(sorted(config.tasks)) or "none"
        raise ConfigError(
            f"benchrouter.tasks has no task {name!r}; it has {known}. Give --inputs FILE to label "
            f"a new one."
        )
    if not name.strip() or name in (".", ".."):
        raise ConfigError(f"--task is {name!r}; give a name.")
    where = f"benchrouter.tasks.{name}.inputs" if inputs is None else "--inputs"
    file = inputs if inputs is not None or configured is None else configured.inputs
    assert file is not None
    questions = read_questions(file, where)
    warnings = []
    if configured is not None and inputs is not None:
        own = {question.key for question in read_questions(configured.inputs, where)}
        n_strangers = sum(question.key not in own for question in questions)
        if n_strangers:
            warnings.append(
                f"{n_strangers} of the {len(questions)} inputs in {inputs} are not in "
                f"{configured.inputs}: a build takes in labels of the task's own inputs only."
            )
    given = configured.labels if configured is not None else None
    path = given or labels_path(config.labels_home, name)
    return LabelTask(name, questions, path, file, configured is not None, warnings)


def metric_of(config: BenchRouterConfig, task: str, given: str | None) -> Metric:
    """Return the metric of `--metric`, or of the configuration.

    Raises
    ------
    ConfigError
        If there is none, or it is wrong.
    """
    configured = config.tasks[task].metric if task in config.tasks else None
    if given is None and configured is None:
        raise ConfigError(
            f"no metric says when an answer is right; give --metric, or `metric:` of the task: "
            f"{METRICS}."
        )
    if given is None:
        return parse_metric(configured or "", f"benchrouter.tasks.{task}.metric")
    return parse_metric(given, "--metric")


def answerable(task: LabelTask, metric: Metric) -> list[Question]:
    """Return the inputs that the metric can score.

    Raises
    ------
    ConfigError
        If it needs references and no input has one.
    """
    if not metric.needs_reference:
        return list(task.questions)
    found = [question for question in task.questions if question.reference is not None]
    n_without = len(task.questions) - len(found)
    if not found:
        raise ConfigError(
            f"{task.inputs} has no references, which {metric.name} needs; give JSONL with "
            f'{{"prompt": "...", "reference": "..."}} a line.'
        )
    if n_without:
        task.warnings.append(
            f"{n_without} of the {len(task.questions)} inputs in {task.inputs} have no reference "
            f"and are left out."
        )
    return found


def benchmark_models(config: BenchRouterConfig, proxy: Proxy) -> set[str]:
    """Models that the benchmark knows: as built, else as the sources have them."""
    store = open_store(config)
    version = store.current()
    if version is not None:
        return {model.name for model in store.manifest(version).models}
    if not config.sources:
        return models_named(config, proxy)
    return set(load_benchmark(config, Silent())[0].models)
