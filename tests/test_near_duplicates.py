"""What is held out together: near-duplicates among samples, and variants among tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.guarded.fit import neighbors_of_each
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.validation.groups import Groups, find_groups

TOPICS = ("harbour", "invoice", "violin", "glacier", "senate", "recipe", "orchard", "engine")


def texts_of(n: int, seed: int = 0) -> list[str]:
    """Return prompts of eight random words each; no two are alike."""
    draws = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in TOPICS for b in ("", "s", "ed", "ing", "like")]
    return [" ".join(draws.choice(words, 8)) for _ in range(n)]


def found(
    prompts: Sequence[str],
    task: Sequence[int],
    vectors: NDArray[np.float32] | None = None,
    **declared: Any,
) -> Groups:
    """Find the groups, of texts whose vectors tell nothing unless they are given."""
    if vectors is None:
        vectors = np.eye(len(prompts), dtype=np.float32)
    numbers = np.asarray(task, dtype=np.int32)
    near = neighbors_of_each(vectors)
    return find_groups(prompts, numbers, int(numbers.max()) + 1, near, **declared)


def together(groups: Groups) -> set[frozenset[int]]:
    """Return the groups of more than one sample."""
    members = [np.flatnonzero(groups.group == g) for g in np.unique(groups.group)]
    return {frozenset(rows.tolist()) for rows in members if len(rows) > 1}


def test_texts_that_differ_in_spaces_and_case_alone_are_one_group() -> None:
    prompts = texts_of(12)
    prompts[7] = "  " + prompts[2].upper().replace(" ", " \n ")
    groups = found(prompts, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    assert together(groups) == {frozenset({2, 7})}
    assert groups.n_copies == 1
    assert groups.group.tolist() == [0, 1, 2, 3, 4, 5, 6, 2, 7, 8, 9, 10]


def test_what_the_source_declares_is_one_group_whatever_the_texts_are() -> None:
    declared = [None] * 10
    declared[0] = declared[4] = declared[9] = "the same story"
    declared[5] = "alone"
    groups = found(texts_of(10), [0] * 5 + [1] * 5, declared=declared)
    assert together(groups) == {frozenset({0, 4, 9})}


def test_near_duplicates_need_a_near_vector_and_shared_words() -> None:
    prompts = texts_of(40)
    vectors = normalize(np.random.default_rng(1).normal(size=(40, 16)))
    reworded = prompts[3].rsplit(" ", 1)[0] + " nevertheless"  # one of eight words
    prompts[20], prompts[21] = reworded, reworded + " again"
    vectors[20] = vectors[3]  # near, and alike in words
    vectors[22] = vectors[5]  # near, of other words; and 21 is alike in words, and not near
    groups = found(prompts, [0] * 20 + [1] * 20, normalize(vectors))
    assert together(groups) == {frozenset({3, 20})}


def test_a_template_is_no_group_but_its_equal_texts_are() -> None:
    prompts = texts_of(130)
    template = [
        f"count how many birds the {i} hunters saw on that same long day" for i in range(15)
    ]
    prompts[:15] = template
    prompts[15] = template[4]
    vectors = normalize(np.random.default_rng(1).normal(size=(130, 16)))
    vectors[:16] = vectors[0]
    few = found(prompts, [0] * 130, vectors)
    assert together(few) == {frozenset({4, 15})}  # 16 are above 10, and above 10 % of 130
    prompts += texts_of(70, seed=2)
    vectors = normalize(np.vstack([vectors, np.random.default_rng(2).normal(size=(70, 16))]))
    many = found(prompts, [0] * 200, vectors.astype(np.float32))
    assert together(many) == {frozenset(range(16))}  # 16 are no more than 10 % of 200


def test_copies_with_other_numbers_or_a_few_other_words_are_one_group() -> None:
    prompts = texts_of(40)
    prompts[3] = "a train of 12 waggons leaves at 9 and needs 45 minutes for 31 miles"
    prompts[30] = "a train of 17 waggons leaves at 8 and needs 50 minutes for 44 miles"
    prompts[5] = "which of the two kings who ruled in that year was the older one"
    prompts[31] = "which of these two kings who ruled in that year was an older one"
    prompts[7] = "how many birds sat on the roof"
    prompts[32] = "where did the 7 hunters sleep"  # near, and of other words
    vectors = normalize(np.random.default_rng(1).normal(size=(40, 16)))
    vectors[[30, 31, 32]] = vectors[[3, 5, 7]]
    groups = found(prompts, [0] * 20 + [1] * 20, vectors)
    assert together(groups) == {frozenset({3, 30}), frozenset({5, 31})}


def test_copies_in_scripts_without_spaces_are_one_group() -> None:
    prompts = texts_of(40)
    prompts[3], prompts[30] = "一列火车九点出发需要45分钟", "一列火车九点出发需要50分钟"
    prompts[5], prompts[31] = "รถไฟออกเดินทางเก้าโมง 45 นาที", "รถไฟออกเดินทางเก้าโมง 50 นาที"
    vectors = normalize(np.random.default_rng(1).normal(size=(40, 16)))
    vectors[[30, 31]] = vectors[[3, 5]]
    groups = found(prompts, [0] * 20 + [1] * 20, vectors)
    assert together(groups) == {frozenset({3, 30}), frozenset({5, 31})}


def test_many_copies_are_no_template_where_models_do_the_same_on_all() -> None:
    draws = np.random.default_rng(1)
    prompts = [f"{text} {i}" for text in texts_of(8) for i in range(12)]
    cluster = np.repeat(np.arange(8), 12)
    vectors = normalize(
        np.eye(8, dtype=np.float32)[cluster] + 0.001 * np.eye(96, 8, dtype=np.float32)
    )
    copied = draws.integers(0, 2, (8, 4)).astype(np.float32)[cluster]
    copied[5:9, 1] = np.nan  # missing
    own = draws.integers(0, 2, (96, 4)).astype(
        np.float32
    )  # a template's samples have answers of their own
    equal = np.ones((96, 4), dtype=np.float32)  # that all are right everywhere says nothing
    copies = found(prompts, [0] * 96, vectors, labels=copied)
    assert together(copies) == {frozenset(range(a, a + 12)) for a in range(0, 96, 12)}
    for labels in (own, equal, None):
        assert together(found(prompts, [0] * 96, vectors, labels=labels)) == set()


def test_copies_within_a_template_stay_together() -> None:
    prompts = texts_of(130)
    prompts[:15] = [f"{i} {i} birds sat on the {i} roofs of {i} barns" for i in range(15)]
    prompts[15] = prompts[4] + " and then went far away"  # 6 of its 13 trigrams are of its own
    vectors = normalize(np.random.default_rng(1).normal(size=(130, 16)))
    vectors[:16] = vectors[0]
    assert together(found(prompts, [0] * 130, vectors)) == {frozenset({4, 15})}


def test_tasks_that_share_a_fifth_of_their_questions_are_a_family() -> None:
    for shared, kin in ((4, True), (3, False)):
        prompts = texts_of(60)
        prompts[20 : 20 + shared] = prompts[:shared]
        groups = found(prompts, [0] * 20 + [1] * 20 + [2] * 20)
        assert groups.family.tolist() == ([0, 0, 1] if kin else [0, 1, 2])


def test_copies_within_a_task_do_not_make_it_larger() -> None:
    prompts = texts_of(25)
    task = [0] * 5 + [1] * 20
    prompts[5] = prompts[0]  # one of the five questions of task 0
    assert found(prompts, task).family.tolist() == [0, 0]
    copied = prompts[1:5] * 5 + prompts
    assert found(copied, [0] * 20 + task).family.tolist() == [0, 0]


def test_tasks_of_the_same_templates_with_other_numbers_are_a_family() -> None:
    prompts = texts_of(30)
    for i in range(5):
        prompts[i] = f"{prompts[i]} {i}"
        prompts[10 + i] = prompts[i].replace(str(i), str(70 + i))
    groups = found(prompts, [0] * 10 + [1] * 10 + [2] * 10)
    assert groups.family.tolist() == [0, 0, 1]
    assert groups.n_copies == 0


def test_the_same_questions_after_long_instructions_are_a_family() -> None:
    questions = texts_of(24)
    instructed = [
        f"{' '.join(texts_of(6, seed=2))} {question}? Think step by step." for question in questions
    ]
    others = texts_of(20, seed=3)
    groups = found([*questions[:20], *instructed[16:], *others], [0] * 20 + [1] * 8 + [2] * 20)
    assert groups.family.tolist() == [0, 0, 1]
    assert together(groups) == {frozenset({16 + i, 20 + i}) for i in range(4)}


def test_a_few_words_among_the_same_instructions_are_no_question() -> None:
    words = [f"{topic} {number}" for topic in TOPICS for number in range(3)]
    prompts = [f"Spell this backwards: {word}." for word in words]
    prompts += [f"How many letters has it: {word}." for word in words]
    groups = found(prompts, [0] * 24 + [1] * 24)
    assert (groups.family.tolist(), groups.n_copies) == ([0, 1], 0)


def test_families_are_joined_by_name_and_through_others() -> None:
    prompts = texts_of(50)
    prompts[10:15] = prompts[:5]  # tasks 0 and 1
    task = [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10
    groups = found(prompts, task, families={1: "law", 3: "law", 4: "verse"})
    assert groups.family.tolist() == [0, 0, 1, 0, 2]
