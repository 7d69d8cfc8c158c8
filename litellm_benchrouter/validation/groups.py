"""Groups of near-duplicate samples and families of tasks: what has to be held out together.

A copy of a prompt on the other side of a split tells the answer, and a variant of a task that stays
when the task is held out makes it anything but new. Both are recognised from texts and vectors
(docs/proof.md, step 1), and can be declared.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from litellm_benchrouter.embedders.lexical import UNSPACED, tokens
from litellm_benchrouter.paper.neighbors import Neighbors, task_rows

NEAR = 0.03
"""Largest cosine distance between near-duplicates."""
NEAREST = 10
"""Neighbours of a sample that are looked at."""
SHARED_TRIGRAMS, SHARED_WORDS = 0.5, 0.75
"""Smallest Jaccard index of two near-duplicates' word trigrams, or of their words."""
MANY_WORDS = 10
"""Different words that tell copies of a prompt in any order and with other numbers."""
FEWEST_WORDS = 4
"""Words of a question, without the instructions of its task, that tell it from others."""
TEMPLATE_SAMPLES, TEMPLATE_SHARE = 10, 0.1
"""A cluster above both, the share being of its task, is a template, whose texts differ."""
SHARED_ANSWERS, TELLING_ANSWERS = 0.4, 0.05
"""... unless models differ so much less within it than in its task, where they do so at least."""
FAMILY_SHARE = 0.2
"""Smallest share of a task's questions, or of its templates, that makes another task its kin."""

Ints = NDArray[np.intp]
Labels = NDArray[np.float32]

_SPACE = re.compile(r"\s+")
_DIGITS = re.compile(r"\d+")
_IN_A_WORD = re.compile(rf"[^\W{UNSPACED}]")
_MARKS = string.punctuation + string.whitespace + "\u3001\u3002\uff01\uff0c\uff1a\uff1f"
_BEGINNING = 100  # characters in which a question has its fewest words, if it has them


@dataclass(frozen=True)
class Groups:
    """What is held out together.

    Attributes
    ----------
    group : ndarray of int, shape (n,)
        Group of each sample, numbered from 0.
    family : ndarray of int, shape (D,)
        Family of each task, numbered from 0 in the order of the tasks.
    """

    group: Ints
    family: Ints

    @property
    def n_copies(self) -> int:
        """Number of samples that another of their group stands for."""
        return len(self.group) - len(np.unique(self.group))


def find_groups(
    prompts: Sequence[str],
    task: NDArray[np.int32],
    n_tasks: int,
    near: Neighbors,
    *,
    labels: Labels | None = None,
    rows: Ints | None = None,
    declared: Sequence[str | None] | None = None,
    families: Mapping[int, str] | None = None,
) -> Groups:
    """Return the groups of near-duplicate samples and the families of tasks.

    Parameters
    ----------
    prompts : sequence of str, length n
    task : ndarray of int32, shape (n,)
    n_tasks : int
    near : Neighbors
        Of each sample among the others, nearest first.
    labels : ndarray of float32, shape (n, M), optional
        1 correct, 0 incorrect, NaN missing. Many samples of a task on which each model does the
        same are copies and no template.
    rows : ndarray of int, optional
        The samples whose neighbours these are; default: all.
    declared : sequence of str or None, length n, optional
        The group that the source names.
    families : mapping of int to str, optional
        The family that the configuration names, by task.
    """
    texts = [_SPACE.sub(" ", prompt).strip().casefold() for prompt in prompts]
    same = _codes(texts)
    if declared is not None:
        same = _joined(same, [(name, i) for i, name in enumerate(declared) if name is not None])
    questions = _questions(texts, task)
    same = _joined(same, [(text, i) for i, text in enumerate(questions) if _is_telling(text)])
    group = same
    every = np.arange(len(texts)) if rows is None else rows
    for first, second in _near_duplicates(texts, near, every):
        cluster = _components(len(texts), first, second, group)
        group = _without_templates(cluster, group, task, labels)
    return Groups(group, _families(texts, task, n_tasks, group, families or {}))


def _questions(texts: Sequence[str], task: NDArray[np.int32]) -> list[str]:
    """Return the texts without the words that all of their task begin or end with.

    Variants of a task ask the same questions among other instructions and examples.
    """
    questions = list(texts)
    for rows in task_rows(task, int(task.max(initial=-1)) + 1):
        own = {texts[row] for row in rows.tolist()}
        if len(own) < 2:
            continue
        start = _shared_words(own)
        end = _shared_words({text[start:][::-1] for text in own})
        for row in rows.tolist():
            question = texts[row][start : len(texts[row]) - end]
            questions[row] = question.strip(_MARKS)
    return questions


def _shared_words(texts: Collection[str]) -> int:
    """Count the characters of the whole words that all texts begin with."""
    first, last = min(texts), max(texts)  # what these two begin with, all do
    differ = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    shared = next(differ, min(len(first), len(last)))
    while shared and _IN_A_WORD.match(first[shared - 1]):
        shared -= 1
    return shared


def _is_telling(question: str) -> bool:
    return len(tokens(question[:_BEGINNING])) >= FEWEST_WORDS


def _near_duplicates(texts: Sequence[str], near: Neighbors, of: Ints) -> list[tuple[Ints, Ints]]:
    """Return the pairs of samples that are near in direction and alike in words, strictest first.

    Half of the trigrams of the words as they stand, then three quarters of the words, numbers
    aside, of texts that have many: in short ones order and numbers are what is asked.
    """
    index, distance = near.index[:, :NEAREST], near.distance[:, :NEAREST]
    place = np.nonzero((distance <= NEAR) & (index >= 0))
    rows, columns = of[place[0]], index[place].astype(np.intp)
    looked_at = np.union1d(rows, columns).tolist()
    measured = []
    for parts, share in ((_trigrams, SHARED_TRIGRAMS), (_words, SHARED_WORDS)):
        of_text = {row: parts(texts[row]) for row in looked_at}
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        alike = np.array([_alike(of_text[a], of_text[b], share) for a, b in pairs], dtype=bool)
        measured.append((rows[alike], columns[alike]))
    return measured


def _trigrams(text: str) -> frozenset[Any]:
    words = text.split(" ")
    return frozenset(tuple(words[i : i + 3]) for i in range(max(len(words) - 2, 1)))


def _words(text: str) -> frozenset[Any]:
    words = frozenset(tokens(text))
    return words if len(words) >= MANY_WORDS else _trigrams(text)


def _alike(first: frozenset[Any], second: frozenset[Any], share: float) -> bool:
    shared = len(first & second)
    return shared >= share * (len(first) + len(second) - shared)


def _without_templates(
    cluster: Ints, same: Ints, task: NDArray[np.int32], labels: Labels | None
) -> Ints:
    """Return the clusters, with those too large to be copies split into equal texts."""
    size, in_task = np.bincount(cluster), np.bincount(task)
    largest = np.maximum(TEMPLATE_SAMPLES, TEMPLATE_SHARE * in_task[task])
    is_template = size[cluster] > largest
    # A cluster is one template for all of its samples, whatever the size of their tasks.
    is_template = np.bincount(cluster, is_template)[cluster] > 0
    if labels is not None:
        of_task = task_rows(task, len(in_task))
        for each in np.unique(cluster[is_template]):
            rows = np.flatnonzero(cluster == each)
            is_template[rows] = not _answered_alike(labels, task, rows, of_task)
    name = np.where(is_template, same, cluster)
    return _codes(list(zip(is_template.tolist(), name.tolist(), strict=True)))


def _answered_alike(
    labels: Labels, task: NDArray[np.int32], rows: Ints, of_task: Sequence[Ints]
) -> bool:
    """Say whether models do the same on all of these samples, as they do on one prompt's copies."""
    within = usual = n = 0.0
    for d in np.unique(task[rows]):
        own = labels[rows[task[rows] == d]]
        count = (~np.isnan(own)).sum(axis=0) * (len(own) > 1)
        within += float(count @ _disagreement(own))
        usual += float(count @ _disagreement(labels[of_task[d]]))
        n += float(count.sum())
    return usual > TELLING_ANSWERS * n and within <= SHARED_ANSWERS * usual


def _disagreement(labels: Labels) -> NDArray[np.float64]:
    """Return the share of pairs of samples that differ, shape (M,)."""
    n, right = (~np.isnan(labels)).sum(axis=0), np.nansum(labels, axis=0)
    pairs: NDArray[np.float64] = 2 * right * (n - right) / np.maximum(n * (n - 1), 1)
    return pairs


def _families(
    texts: Sequence[str],
    task: NDArray[np.int32],
    n_tasks: int,
    group: Ints,
    declared: Mapping[int, str],
) -> Ints:
    templates = _codes([_DIGITS.sub("0", text) for text in texts])
    links: list[tuple[int, int]] = []
    for keys in (group, templates):
        # One row a task and question, so that copies within a task count once.
        pair = np.unique(np.stack([keys, task.astype(np.intp)], axis=1), axis=0)
        n_keys = int(keys.max(initial=0)) + 1
        of_task = coo_array((np.ones(len(pair)), (pair[:, 1], pair[:, 0])), shape=(n_tasks, n_keys))
        table = of_task.tocsr()
        shared = (table @ table.T).tocoo()
        size = np.maximum(np.asarray(table.sum(axis=1)).ravel(), 1)
        a, b = shared.coords
        kin = (a < b) & (shared.data >= FAMILY_SHARE * np.minimum(size[a], size[b]))
        links += zip(a[kin].tolist(), b[kin].tolist(), strict=True)
    by_name: dict[str, int] = {}
    links += [(by_name.setdefault(name, d), d) for d, name in declared.items()]
    first = np.array([link[0] for link in links], dtype=np.intp)
    second = np.array([link[1] for link in links], dtype=np.intp)
    return _codes(_components(n_tasks, first, second, np.arange(n_tasks)).tolist())


def _components(n: int, rows: Ints, columns: Ints, same: Ints) -> Ints:
    """Return the connected parts of pairs and of what is the same."""
    first = np.full(int(same.max(initial=-1)) + 1, -1, dtype=np.intp)
    order = np.arange(n)[::-1]
    first[same[order]] = order  # the first sample of each
    everything = np.concatenate([rows, np.arange(n)]), np.concatenate([columns, first[same]])
    graph = coo_array((np.ones(len(everything[0]), dtype=np.int8), everything), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _joined(same: Ints, named: Sequence[tuple[str, int]]) -> Ints:
    first: dict[str, int] = {}
    rows = np.array([first.setdefault(name, i) for name, i in named], dtype=np.intp)
    columns = np.array([i for _, i in named], dtype=np.intp)
    return _components(len(same), rows, columns, same)


def _codes(keys: Sequence[object]) -> Ints:
    """Number keys from 0 in the order in which they first appear."""
    number: dict[object, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.intp)
