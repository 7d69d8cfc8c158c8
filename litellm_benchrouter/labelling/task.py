"""The task to label: its inputs with their references, its metric, and which inputs come first."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.embed import load_benchmark, read_vectors
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.embedders import Embedder, embed_with_cache, make_embedder
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.errors import ConfigError, EmbedderError
from litellm_benchrouter.guarded.few_labels import herd
from litellm_benchrouter.labelling.journal import Journal
from litellm_benchrouter.labelling.metrics import METRICS, Metric, parse_metric
from litellm_benchrouter.labelling.models import models_named
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.sources.tasks import (
    Entry,
    labels_path,
    prompt_key,
    read_entries,
    read_inputs,
)
from litellm_benchrouter.store import open_store
from litellm_benchrouter.upstream import Proxy


@dataclass(frozen=True)
class Question:
    """One input."""

    prompt: str  # the text that the router routes by: of a conversation, the last user turn
    messages: tuple[dict[str, Any], ...]  # what is sent
    reference: Any  # a text, a list of which any will do, or another JSON value; None where unknown
    place: str  # where it was read, for messages to the user
    # what each of its lines in the journal holds besides
    noted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The SHA-256 by which the journal names it."""
        return prompt_key(self.prompt)

    @property
    def asked(self) -> object:
        """The question as a judge sees it: the prompt, or the messages of a conversation."""
        return self.prompt if len(self.messages) == 1 else list(self.messages)


def read_questions(path: Path, where: str) -> list[Question]:
    """Read a task's inputs, equal ones once.

    JSONL has `prompt` or `messages`, and `reference`; of a text every line is an input without a
    reference. `where` is the option or key that names the file. Raises ConfigError where the file
    cannot be used, or two lines contradict each other.
    """
    questions: dict[str, Question] = {}
    for entry in read_entries(path, where):
        question = _question(entry)
        first = questions.setdefault(question.key, question)
        if (first.messages, first.reference) != (question.messages, question.reference):
            raise ConfigError(
                f"{question.place} repeats the prompt of {first.place} with another reference or "
                f"conversation. Keep one of them: labels are kept by the (last user) prompt."
            )
    return list(questions.values())


def _question(entry: Entry) -> Question:
    reference = entry.fields.get("reference")
    if reference in ("", [], {}):
        reference = None
    if isinstance(entry.fields.get("prompt", entry.fields.get("input")), str):
        messages = [{"role": "user", "content": entry.prompt}]
    else:
        messages = entry.fields["messages"]
    if not all(isinstance(turn, dict) and isinstance(turn.get("role"), str) for turn in messages):
        raise ConfigError(
            f"{entry.place} has messages that are not turns. Give "
            '{"role": "user", "content": "..."}.'
        )
    return Question(entry.prompt, tuple(messages), reference, entry.place)


@dataclass(frozen=True)
class LabelTask:
    """A task with its inputs."""

    name: str
    questions: Sequence[Question]
    path: Path  # the journal
    inputs: Path | str  # where the questions were read
    is_configured: bool  # whether a build knows the task
    warnings: list[str] = field(default_factory=list)


def open_task(config: BenchRouterConfig, name: str, inputs: Path | None) -> LabelTask:
    """Read a task of the configuration, or a new one.

    `inputs` stand in place of the configured ones, which may lack references. Raises ConfigError
    where there is neither, or they cannot be used.
    """
    configured = config.tasks.get(name)
    if configured is None and inputs is None:
        there = ", ".join(sorted(config.tasks)) or "none"
        raise ConfigError(
            f"benchrouter.tasks has no task {name!r}; it has {there}. Give --inputs FILE to label "
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
    """Return the metric of `--metric`, or of the configuration."""
    configured = config.tasks[task].metric if task in config.tasks else None
    if given is None and configured is None:
        raise ConfigError(
            f"no metric says when an answer is right; give --metric, or `metric:` of the task: "
            f"{METRICS}."
        )
    if given is None:
        where = f"benchrouter.tasks.{task}.metric"
        return parse_metric(configured or "", where, config.folder)
    return parse_metric(given, "--metric")


def answerable(task: LabelTask, metric: Metric) -> list[Question]:
    """Return the inputs that the metric can score; raise ConfigError where there is none."""
    if not metric.needs_reference:
        return list(task.questions)
    usable = [question for question in task.questions if question.reference is not None]
    n_without = len(task.questions) - len(usable)
    if not usable:
        raise ConfigError(
            f"{task.inputs} has no references, which {metric.name} needs; give JSONL with "
            f'{{"prompt": "...", "reference": "..."}} a line.'
        )
    if n_without:
        task.warnings.append(
            f"{n_without} of the {len(task.questions)} inputs in {task.inputs} have no reference "
            f"and are left out."
        )
    return usable


def benchmark_models(config: BenchRouterConfig, proxy: Proxy) -> set[str]:
    """Models that the benchmark knows: as built, else as the sources have them."""
    store = open_store(config)
    version = store.current()
    if version is not None:
        return {model.name for model in store.manifest(version).models}
    if not config.sources:
        return models_named(config, proxy)
    return set(load_benchmark(config, Progress())[0].models)


def select_inputs(
    questions: Sequence[Question],
    n: int,
    asked: Collection[str],
    given: Collection[str],
    vectors: Callable[[], NDArray[np.float32] | None],
    *,
    task: str,
    seed: int,
) -> list[Question]:
    """Choose n inputs in all: those begun before, then ten herded, then at random.

    All that some model was asked are chosen, whatever n, as models are compared on the same inputs;
    then those with labels made elsewhere (`given`). `vectors` gives the inputs' vectors, shape
    (len(questions), d), and is called only where it matters; without vectors all are drawn at
    random, each task in an order of its own.
    """
    every = range(len(questions))
    first = [i for i in every if questions[i].key in asked]
    n = max(n, len(first))
    order = first + [i for i in every if questions[i].key in given]
    if len(set(order)) < n < len(questions):
        embedded = vectors()
        order += [] if embedded is None else herd(embedded).tolist()
        drawn = np.random.default_rng([seed, zlib.crc32(task.encode())])
        order += drawn.permutation(len(questions)).tolist()
    return [questions[i] for i in dict.fromkeys([*order, *every])][:n]


def choose_questions(
    config: BenchRouterConfig, task: LabelTask, questions: list[Question], journal: Journal, n: int
) -> list[Question]:
    """Choose the inputs to label; see `select_inputs`."""
    asked: set[str] = set()
    given: set[str] = set()
    for (key, _), cell in journal.cells.items():
        (asked if cell.answer is not None or cell.error is not None else given).add(key)

    def vectors() -> NDArray[np.float32] | None:
        store = open_store(config)
        version = store.current()
        embedder = None
        if version is not None:
            embedder = read_artifact(store.fetch(version), config=config.embedder).embedder
        try:
            return _input_vectors(config, store.cache, embedder, questions, task.name)
        except (ConfigError, EmbedderError) as error:
            problem = f"the inputs are drawn at random, as they have no vectors: {error}"
            task.warnings.append(problem)
            return None

    return select_inputs(questions, n, asked, given, vectors, task=task.name, seed=config.seed)


def _input_vectors(
    config: BenchRouterConfig,
    cache: Path,
    embedder: Embedder | None,
    questions: Sequence[Question],
    task: str,
) -> NDArray[np.float32]:
    """Embed the inputs as a build would, shape (n, d); see `choose_questions`.

    Vectors that the configuration gives to the task's inputs are taken where they have all
    questions; without an artifact the configured embedder is made, fitted on the inputs alone.
    """
    own = config.tasks.get(task)
    if own is not None and own.embeddings is not None:
        where = f"benchrouter.tasks.{task}"
        rows = {prompt_key(p): i for i, p in enumerate(read_inputs(own.inputs, where))}
        vectors = read_vectors(own.embeddings, f"{where}.embeddings")
        if len(vectors) == len(rows) and all(q.key in rows for q in questions):
            return normalize(vectors[[rows[q.key] for q in questions]])
    prompts = [question.prompt for question in questions]
    if embedder is None or isinstance(embedder, PrecomputedEmbedder):
        embedder = make_embedder(config.embedder, prompts, seed=config.seed)
    return embed_with_cache(embedder, prompts, cache if config.embedder.cache else None)[0]
