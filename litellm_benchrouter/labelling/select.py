"""Which inputs to label first."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.embed import read_vectors
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.embedders import Embedder, embed_with_cache, make_embedder
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.errors import ConfigError, EmbedderError
from litellm_benchrouter.guarded.few_labels import herd
from litellm_benchrouter.labelling.journal import Journal
from litellm_benchrouter.labelling.task import LabelTask, Question
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.sources.tasks import prompt_key, read_inputs
from litellm_benchrouter.store import open_store
from litellm_benchrouter.store.directory import Store


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
    """Choose n inputs: those begun before, then ten herded, then at random.

    Parameters
    ----------
    questions : sequence of Question
    n : int
        How many in all.
    asked : collection of str
        Keys of inputs that some model was asked. All of them are chosen, whatever n: models are
        compared on the same inputs.
    given : collection of str
        Keys of inputs with labels made elsewhere; they are chosen before others.
    vectors : callable
        Gives the inputs' vectors, shape (len(questions), d); called only where it matters. Without
        vectors all are drawn at random.
    task : str
        Draws another order for each task.
    seed : int

    Returns
    -------
    list of Question
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


def input_vectors(
    config: BenchRouterConfig,
    store: Store,
    embedder: Embedder | None,
    questions: Sequence[Question],
    task: str,
    warnings: list[str],
) -> NDArray[np.float32] | None:
    """Embed the inputs as a build would.

    Parameters
    ----------
    config, store : BenchRouterConfig, Store
    embedder : Embedder or None
        That of the artifact; without one the configured kind is made, fitted on the inputs alone.
    questions : sequence of Question
    task : str
        Vectors that the configuration gives to its inputs are taken where they have all questions.
    warnings : list of str
        Gets a sentence where there are no vectors.

    Returns
    -------
    ndarray of float32, shape (n, d), or None
    """
    own = config.tasks.get(task)
    try:
        if own is not None and own.embeddings is not None:
            where = f"benchrouter.tasks.{task}"
            rows = {prompt_key(p): i for i, p in enumerate(read_inputs(own.inputs, where))}
            vectors = read_vectors(own.embeddings, f"{where}.embeddings")
            if len(vectors) == len(rows) and all(q.key in rows for q in questions):
                return normalize(vectors[[rows[q.key] for q in questions]])
        prompts = [question.prompt for question in questions]
        if embedder is None or isinstance(embedder, PrecomputedEmbedder):
            embedder = make_embedder(config.embedder, prompts, seed=config.seed)
        cache = store.cache if config.embedder.cache else None
        embedded, _ = embed_with_cache(embedder, prompts, cache)
    except (ConfigError, EmbedderError) as error:
        warnings.append(f"the inputs are drawn at random, as they have no vectors: {error}")
        return None
    return embedded


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
            opened = read_artifact(store.fetch(version), config=config.embedder)
            embedder = opened.embedder
        return input_vectors(config, store, embedder, questions, task.name, task.warnings)

    return select_inputs(questions, n, asked, given, vectors, task=task.name, seed=config.seed)
