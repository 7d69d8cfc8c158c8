"""The task to label: its inputs, its journal, its metric, and the models that may be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.embed import load_benchmark
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.labelling.candidates import Proxy, models_named
from litellm_benchrouter.labelling.choose import choose, input_vectors
from litellm_benchrouter.labelling.journal import Journal
from litellm_benchrouter.labelling.metrics import METRICS, Metric, parse_metric
from litellm_benchrouter.labelling.questions import Question, read_questions
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.sources.tasks import labels_path
from litellm_benchrouter.store import open_store


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


def choose_questions(
    config: BenchRouterConfig, task: LabelTask, questions: list[Question], journal: Journal, n: int
) -> list[Question]:
    """Choose the inputs to label; see `choose`."""
    asked: set[str] = set()
    given: set[str] = set()
    for (key, _), cell in journal.cells.items():
        (asked if cell.answer is not None or cell.error is not None else given).add(key)

    def vectors() -> NDArray[np.float32] | None:
        store = open_store(config)
        version = store.current()
        embedder = None
        if version is not None:
            opened = read_artifact(store.fetch(version), config=config.embedder)
            embedder = opened.embedder
        return input_vectors(config, store, embedder, questions, task.name, task.warnings)

    return choose(questions, n, asked, given, vectors, task=task.name, seed=config.seed)
