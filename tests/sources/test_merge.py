"""Several sources become one benchmark: labels, merged rows, what wins, what is warned of."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.paper.benchmark import (
    MISSING,
    Benchmark,
    ModelFacts,
    average_accuracy,
    task_accuracy,
)
from litellm_benchrouter.sources.merge import MergeReport, SourceJudgement, merge
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.table import read

Row = tuple[str, str, str, str, float | None]
"""sample_id, task, prompt, model, score"""


def source(
    *rows: Row, models: dict[str, ModelFacts] | None = None, **more: list[float | None]
) -> SourceTable:
    columns = ["sample_id", "task", "prompt", "model", "score"]
    frame = pl.DataFrame(
        rows, schema=dict.fromkeys(columns[:4], pl.String) | {"score": pl.Float64}, orient="row"
    )
    numbers = [pl.Series(name, values, dtype=pl.Float64) for name, values in more.items()]
    return SourceTable.of(
        frame.select(columns[:3]).unique("sample_id", keep="first", maintain_order=True),
        frame.select("sample_id", "model", "score").with_columns(numbers),
        models or {},
    )


def merged(
    *tables: SourceTable,
    aliases: dict[str, str] | None = None,
    facts: dict[str, ModelFacts] | None = None,
    keep_models: list[str] | None = None,
    **judgement: object,
) -> tuple[Benchmark, MergeReport]:
    judged = [
        (table, SourceJudgement(name, **judgement))
        for table, name in zip(tables, "ABCDEFGH", strict=False)
    ]
    return merge(judged, aliases=aliases or {}, facts=facts or {}, keep_models=keep_models)


def cells(benchmark: Benchmark) -> dict[tuple[str, str], float]:
    """Return the known scores by sample id and model."""
    return {
        (benchmark.sample_ids[i], benchmark.models[m]): float(benchmark.scores[i, m])
        for i, m in np.argwhere(~np.isnan(benchmark.scores))
    }


def test_a_score_above_the_threshold_and_not_at_it_is_correct() -> None:
    table = source(
        ("1", "t", "p", "m", 0.5),
        ("2", "t", "q", "m", 0.51),
        ("3", "u", "r", "m", 0.6),
        ("4", "u", "s", "m", math.nextafter(0.6, 1)),
        ("5", "u", "v", "m", None),
        ("5", "u", "v", "n", 1.0),
    )
    benchmark, _ = merged(table, thresholds={"u": 0.6})
    assert benchmark.correctness[:, 0].tolist() == [0, 1, 0, 1, MISSING]
    assert benchmark.correctness[:, 1].tolist() == [MISSING] * 4 + [1]
    assert benchmark.correctness.dtype == np.uint8
    assert benchmark.scores.dtype == np.float32


def test_one_source_keeps_the_order_of_its_file_and_names_are_sorted() -> None:
    table = source(("z", "u", "p", "n", 1), ("a", "t", "q", "m", 0), ("k", "u", "r", "m", 1))
    benchmark, _ = merged(table)
    assert benchmark.sample_ids == ["z", "a", "k"]
    assert benchmark.prompts == ["p", "q", "r"]
    assert benchmark.tasks == ("t", "u")
    assert benchmark.task.tolist() == [1, 0, 1]
    assert benchmark.task.dtype == np.int32
    assert benchmark.models == ("m", "n")


def test_a_second_source_adds_a_models_results_to_the_same_rows() -> None:
    old = source(("2", "t", "q", "m", 0), ("1", "t", "p", "m", 1))
    new = source(("1", "t", "p", "new", 0.9), ("3", "t", "r", "new", 0), ("2", "t", "q", "new", 1))
    benchmark, report = merged(old, new)
    assert benchmark.sample_ids == ["2", "1", "3"]
    assert benchmark.correctness.tolist() == [[0, 1], [1, 1], [MISSING, 0]]
    assert report.source_row.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert [s.samples for s in report.sources] == [2, 3]
    assert [s.scores for s in report.sources] == [2, 3]


def test_ids_of_different_samples_get_the_sources_name_and_others_stay() -> None:
    first = source(("1", "t", "p", "m", 1), ("2", "t", "q", "m", 1))
    second = source(("1", "t", "other", "m", 0), ("2", "t", "q", "n", 0), ("3", "t", "r", "m", 0))
    third = source(("1", "t", "other", "n", 1), ("1b", "t", "p", "n", 0))
    benchmark, _ = merged(first, second, third)
    assert cells(benchmark) == {
        ("A/1", "m"): 1,
        ("2", "m"): 1,
        ("B/1", "m"): 0,
        ("2", "n"): 0,
        ("3", "m"): 0,
        ("B/1", "n"): 1,  # the third source has the second's sample
        ("1b", "n"): 0,
    }
    one = merge(
        [(first, SourceJudgement("A", prefix="one")), (second, SourceJudgement("B"))],
        aliases={},
        facts={},
    )[0]
    assert one.sample_ids == ["one/1", "2", "B/1", "3"]


def test_the_same_id_in_another_task_is_another_sample() -> None:
    benchmark, _ = merged(source(("1", "t", "p", "m", 1)), source(("1", "u", "p", "m", 0)))
    assert cells(benchmark) == {("A/1", "m"): 1, ("B/1", "m"): 0}


def test_sources_that_cannot_be_told_apart_are_refused() -> None:
    tables = [source(("1", "t", "p", "m", 1)), source(("1", "t", "q", "m", 1))]
    with pytest.raises(SourceError, match=r'sample id "1" .* \(x, x\)'):
        merge([(table, SourceJudgement("x")) for table in tables], aliases={}, facts={})


def test_aliases_merge_models_and_the_first_source_wins() -> None:
    first = source(("1", "t", "p", "gpt-4", 1), ("2", "t", "q", "GPT 4", 0.25))
    second = source(
        ("1", "t", "p", "openai/gpt-4", 1),  # as the first source has it
        ("2", "t", "q", "gpt-4", 0.75),  # not as the first source has it
        ("3", "t", "r", "openai/gpt-4", 0.5),
        ("3", "t", "r", "gpt-4", 1),
    )
    benchmark, report = merged(
        first, second, aliases={"GPT 4": "gpt-4", "openai/gpt-4": "gpt-4", "unused": "x"}
    )
    assert benchmark.models == ("gpt-4",)
    assert benchmark.scores[:, 0].tolist() == [1, 0.25, 0.5]
    assert report.sources[0].dropped == {}
    assert report.sources[1].dropped == {
        "scores that were there already": 1,
        "scores that were there already and differ (the first stays)": 2,
    }
    assert report.sources[1].scores == 1


def test_a_label_uses_the_threshold_of_the_source_that_gave_the_score() -> None:
    strict = (source(("1", "t", "p", "a", 0.6)), SourceJudgement("strict", threshold=0.7))
    lenient = (source(("1", "t", "p", "b", 0.6)), SourceJudgement("lenient", threshold=0.1))
    benchmark, _ = merge([strict, lenient], aliases={}, facts={})
    assert benchmark.correctness.tolist() == [[0, 1]]


def test_further_numbers_come_from_the_source_of_the_score() -> None:
    failed = source(("1", "t", "p", "m", None), ("2", "t", "q", "m", None), cost_usd=[9, 3])
    repeated = source(("1", "t", "p", "m", 1), log_likelihood=[-2])
    other = source(("2", "t", "q", "n", 1), cost_usd=[0.5])
    benchmark, _ = merged(failed, repeated, other)
    cost, likelihood = benchmark.columns["cost_usd"], benchmark.columns["log_likelihood"]
    # The answer that was scored has no known cost; the one that was never scored keeps its own.
    np.testing.assert_array_equal(cost, np.float32([[np.nan, np.nan], [3, 0.5]]))
    np.testing.assert_array_equal(likelihood, np.float32([[-2, np.nan], [np.nan, np.nan]]))
    assert set(benchmark.columns) == {"cost_usd", "log_likelihood"}


def test_a_reference_that_the_first_source_lacks_comes_from_a_later_one() -> None:
    first, second = source(("1", "t", "p", "m", 1)), source(("1", "t", "p", "n", 1))
    assert merged(first, second)[0].references is None
    second.samples = second.samples.with_columns(reference=pl.lit("42"), split=pl.lit("test"))
    third = source(("3", "t", "r", "m", 0))
    benchmark, _ = merged(first, second, third)
    assert benchmark.references == ["42", None]
    assert benchmark.split == ["test", ""]


def grouped(*rows: tuple[str, str | None], model: str = "m") -> SourceTable:
    """Return a source of samples with their declared groups."""
    table = source(*[(name, "t", f"p{name}", model, 1.0) for name, _ in rows])
    table.samples = table.samples.with_columns(
        group=pl.Series([g for _, g in rows], dtype=pl.String)
    )
    return table


def test_declared_groups_are_carried_and_follow_rows_and_pool() -> None:
    benchmark, _ = merged(grouped(("1", "a"), ("2", None), ("3", "a")))
    assert benchmark.group == ["a", None, "a"]
    assert benchmark.rows(np.array([1, 2])).group == [None, "a"]
    assert benchmark.pool(["m"]).group == ["a", None, "a"]
    assert merged(source(("1", "t", "p", "m", 1.0)))[0].group is None


def test_groups_of_two_sources_are_one_only_where_they_share_a_sample() -> None:
    def parts(*tables: SourceTable) -> list[list[str]]:
        benchmark, _ = merged(*tables)
        assert benchmark.group is not None
        by_name: dict[str | None, list[str]] = {}
        for name, sample_id in zip(benchmark.group, benchmark.sample_ids, strict=True):
            by_name.setdefault(name, []).append(sample_id)
        return [ids for name, ids in by_name.items() if name is not None]

    apart = grouped(("1", "a"), ("2", "a")), grouped(("3", "a"), ("4", "a"))
    assert parts(*apart) == [["1", "2"], ["3", "4"]]
    chained = grouped(("1", "a"), ("2", "a")), grouped(("2", "b"), ("3", "b"), ("4", None))
    assert parts(*chained) == [["1", "2", "3"]]
    undeclared = source(("1", "t", "p1", "n", 0.0), ("2", "t", "p2", "n", 1.0))
    assert parts(undeclared, grouped(("1", "a"), ("2", "a"))) == [["1", "2"]]


def test_facts_of_the_operator_go_before_those_of_the_sources() -> None:
    rows: list[Row] = [("1", "t", "p", "m", 1), ("1", "t", "p", "n", 0), ("1", "t", "p", "o", 0)]
    first = source(*rows, models={"M": ModelFacts(params_b=7, output_price_usd_per_mtok=2)})
    second = source(
        *rows, models={"m": ModelFacts(params_b=8, mean_cost_usd=0.1)}, cost_usd=[5, 6, None]
    )
    benchmark, report = merged(
        first,
        second,
        aliases={"M": "m"},
        facts={"m": ModelFacts(output_price_usd_per_mtok=3), "typo": ModelFacts(params_b=1)},
    )
    assert benchmark.facts["m"] == ModelFacts(7, None, 3, 0.1)
    assert benchmark.facts.get("o", ModelFacts()) == ModelFacts()
    assert "Models that are configured and in no source: typo." in report.warnings


def test_recorded_costs_give_the_mean_cost() -> None:
    table = source(
        ("1", "t", "p", "m", 1),
        ("2", "t", "q", "m", 1),
        ("2", "t", "q", "n", 1),
        cost_usd=[1, 2, None],
    )
    benchmark, _ = merged(table)
    assert benchmark.facts == {"m": ModelFacts(mean_cost_usd=1.5), "n": ModelFacts()}


def test_only_models_to_keep_stay() -> None:
    table = source(("1", "t", "p", "m", 1), ("1", "t", "p", "n", 1), ("2", "t", "q", "n", 0))
    benchmark, report = merged(table, aliases={"M": "m"}, keep_models=["M"])
    assert benchmark.models == ("m",)
    assert benchmark.sample_ids == ["1"]
    assert report.sources[0].dropped == {
        "samples without any score": 1,
        "scores of models that are not kept": 2,
    }
    with pytest.raises(SourceError, match=re.escape("no source has the model x")):
        merged(table, keep_models=["n", "x"])


def test_nothing_useful_is_refused() -> None:
    with pytest.raises(SourceError, match="there are no sources"):
        merge([], aliases={}, facts={})
    unscored = source(("1", "t", "p", "m", None), ("1", "t", "p", "n", 1))
    with pytest.raises(SourceError, match="no score of a model that is kept"):
        merged(unscored, keep_models=["m"])
    with pytest.raises(SourceError, match="no score"):
        merged(source())


def test_what_makes_the_result_less_than_it_seems_is_warned_of() -> None:
    table = source(
        ("1", "t", "p", "m", 1),
        ("2", "t", "p", "m", 1),
        ("3", "u", "p", "m", 1),
        ("1", "t", "p", "n", 1),
        ("4", "v", "q", "silent", None),
    )
    benchmark, report = merged(table, thresholds={"w": 0.1})
    assert benchmark.models == ("m", "n")
    assert benchmark.tasks == ("t", "u")
    assert report.warnings == [
        "Models without any score are left out: silent.",
        "A: all 4 results count as correct, so no model can be told from another. Check the scores "
        "and the threshold.",
        "A lacks tasks that have a threshold: w.",
        "Tasks without any score are left out: v.",
        "1 of 2 models have no score in some task, so averages over tasks do not compare like with "
        "like; n lacks the most, 1 of 2 tasks.",
        "Tasks with a single sample: u.",
        "1 samples repeat the prompt of another sample of their task under another id (sources "
        "that share samples must share their ids).",
        "Tasks that share at least half of their prompts with other tasks: t, u. Their results do "
        "not say how the router does on a new task.",
    ]
    complete = source(("1", "t", "p", "m", 1), ("2", "t", "q", "m", 0))
    assert merged(complete)[1].warnings == []


def test_the_report_is_plain_data_and_the_tables_stay_as_they_were() -> None:
    table = source(("1", "t", "p", "m", 1), ("1", "t", "p", "M", 0))
    table.dropped = Counter({"empty prompts": 3})
    _, report = merged(table, aliases={"M": "m"})
    assert json.loads(json.dumps(report.as_dict())) == {
        "sources": [
            {
                "name": "A",
                "samples": 1,
                "scores": 1,
                "models": 1,
                "tasks": 1,
                "dropped": {
                    "empty prompts": 3,
                    "scores that were there already and differ (the first stays)": 1,
                },
            }
        ],
        "warnings": ["Tasks with a single sample: t."],
    }
    assert table.dropped == {"empty prompts": 3}


def test_source_rows_pick_the_vectors_of_a_file_after_samples_were_left_out(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(
        "sample_id,task,prompt,m\n0,t,zero,1\n1,t,,1\n2,t,two,\n3,t,three,0\n"
    )
    (tmp_path / "two.csv").write_text("sample_id,task,prompt,m\n0,t,,1\n3,t,three,1\n9,t,nine,0\n")
    words = [["zero", "", "two", "three"], ["", "three", "nine"]]
    benchmark, report = merged(read(tmp_path / "one.csv"), read(tmp_path / "two.csv"))
    assert benchmark.prompts == ["zero", "three", "nine"]
    assert [words[s][row] for s, row in report.source_row] == benchmark.prompts
    assert report.sources[0].dropped["samples without any score"] == 1


ids = st.sampled_from(["1", "2", "3"])
rows_of_a_source = st.lists(
    st.tuples(
        ids,
        st.sampled_from(["a", "b", "b2"]),
        st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[:2],
)


@settings(deadline=None)
@given(st.lists(st.tuples(rows_of_a_source, st.sampled_from([0.2, 0.5])), min_size=1, max_size=3))
def test_merging_equals_a_plain_loop_over_the_scores(
    drawn: list[tuple[list[tuple[str, str, float | None]], float]],
) -> None:
    expected: dict[tuple[str, str], tuple[float, bool]] = {}
    judged = []
    for name, (rows, eta) in zip("ABC", drawn, strict=False):
        table = source(*((i, f"t{i}", f"p{i}", m, score) for i, m, score in rows))
        judged.append((table, SourceJudgement(name, threshold=eta)))
        for i, m, score in rows:
            if score is not None:
                expected.setdefault((i, "b" if m == "b2" else m), (score, score > eta))
    if not expected:
        with pytest.raises(SourceError):
            merge(judged, aliases={"b2": "b"}, facts={})
        return
    benchmark, report = merge(judged, aliases={"b2": "b"}, facts={})
    assert cells(benchmark) == {cell: score for cell, (score, _) in expected.items()}
    for (i, m), (_, correct) in expected.items():
        place = benchmark.sample_ids.index(i), benchmark.models.index(m)
        assert benchmark.correctness[place] == correct
    np.testing.assert_array_equal(benchmark.correctness == MISSING, np.isnan(benchmark.scores))
    n_rows = sum(score is not None for rows, _ in drawn for *_, score in rows)
    n_there = sum(
        sum(s.dropped.values()) - s.dropped.get("samples without any score", 0)
        for s in report.sources
    )
    assert sum(s.scores for s in report.sources) == len(expected) == n_rows - n_there


@pytest.mark.parametrize("name", ["openllm_v2", "mmlu_pro", "reasoning_gym", "flask_rougel"])
def test_averages_of_shared_sets_are_those_that_their_source_states(
    shared: Path, name: str
) -> None:
    folder = shared / "data" / name
    benchmark, report = merged(read(folder))
    stated = (folder / "SOURCE.md").read_text(encoding="utf-8")
    average = average_accuracy(
        task_accuracy(benchmark.scores, benchmark.task, len(benchmark.tasks))
    )
    for which, place in {"best": average.argmax(), "worst": average.argmin()}.items():
        match = re.search(rf"- {which} model on average: (\S+) (\S+)", stated)
        assert match is not None
        assert benchmark.models[place] == match[1]
        assert average[place] == pytest.approx(float(match[2]), abs=5e-5)
    assert report.source_row.tolist() == [[0, i] for i in range(len(benchmark))]


def test_a_set_cut_by_models_merges_to_the_whole(shared: Path) -> None:
    whole = read(shared / "data" / "openllm_v2")
    models = whole.scores["model"].unique().sort()
    parts = [
        SourceTable.of(whole.samples, whole.scores.filter(pl.col("model").is_in(some.implode())))
        for some in (models[:7], models[7:8], models[8:])
    ]
    one, _ = merged(whole)
    many, report = merged(*parts)
    assert many.sample_ids == one.sample_ids
    assert many.models == one.models
    np.testing.assert_array_equal(many.correctness, one.correctness)
    np.testing.assert_array_equal(many.scores, one.scores)
    assert [s.dropped for s in report.sources] == [{}, {}, {}]


def test_scores_above_1_need_a_threshold() -> None:
    table = source(("1", "t", "p", "m", 9.0), ("1", "t", "p", "n", 2.0), ("2", "u", "q", "m", 1.0))
    with pytest.raises(SourceError, match=r"A: scores go up to 9 in task t, .* Set `threshold`"):
        merged(table)
    assert merged(table, threshold=5.0)[0].correctness.tolist() == [[1, 0], [0, 255]]
    assert merged(table, thresholds={"t": 5.0})[0].correctness.tolist() == [[1, 0], [1, 255]]
    assert len(merged(source(("1", "t", "p", "m", 1.0), ("1", "t", "p", "n", 0.0)))[0]) == 1


def test_labels_that_are_all_equal_and_tasks_that_share_prompts_are_warned_of() -> None:
    same = source(("1", "t", "p", "m", 1.0), ("1", "t", "p", "n", 0.75))
    assert "A: all 2 results count as correct" in merged(same)[1].warnings[0]
    assert "count as wrong" in merged(same, threshold=2.0)[1].warnings[0]
    rows = [("1", "t", "p"), ("2", "t", "q"), ("3", "u", "p"), ("4", "v", "r"), ("5", "v", "s")]
    table = source(*((*row, "m", float(i % 2)) for i, row in enumerate(rows)))
    [families] = [w for w in merged(table)[1].warnings if "share at least half" in w]
    assert "with other tasks: t, u. " in families
    table.warnings.append("B is gone.")
    assert "A: B is gone." in merged(table)[1].warnings


def test_minus_one_beside_scores_up_to_one_is_asked_about() -> None:
    rows = [(f"{i}", "t", f"p{i}", "m", score) for i, score in enumerate([-1.0, 0.0, 1.0])]
    with pytest.raises(SourceError, match="A: 1 scores are -1, and all others from 0 to 1"):
        merged(source(*rows))
    assert merged(source(*rows), threshold=0.5)[0].correctness.ravel().tolist() == [0, 0, 1]
    both_ways = source(("1", "t", "p", "m", -1.0), ("2", "t", "q", "m", 1.0))
    assert merged(both_ways)[0].correctness.ravel().tolist() == [0, 1]


def test_any_number_that_may_mark_a_gap_and_scores_below_0_are_not_silent() -> None:
    rows = [(f"{i}", "t", f"p{i}", "m", score) for i, score in enumerate([-99.0, 0.0, 1.0, -99.0])]
    with pytest.raises(SourceError, match="A: 2 scores are -99, and all others from 0 to 1"):
        merged(source(*rows))
    rows = [(f"{i}", "t", f"p{i}", "m", score) for i, score in enumerate([-0.8, -0.1, 0.9])]
    assert "A: scores go from -0.8 to 0.9" in merged(source(*rows))[1].warnings[0]
    assert merged(source(*rows), threshold=0.0)[1].warnings == []


def test_models_that_share_no_sample_are_refused() -> None:
    apart = [(f"{m}{i}", "t", f"{m} {i}", m, float(i % 2)) for m in "ab" for i in range(10)]
    with pytest.raises(SourceError, match="no sample with results of two models"):
        merged(source(*apart))
    shared = ("a0", "t", "a 0", "b", 1.0)
    assert len(merged(source(*apart, shared))[0]) == 20
    assert len(merged(source(*apart[:18]))[0]) == 18  # less is no benchmark
    assert len(merged(source(*apart[:10], *[(*row[:3], "a", 1.0) for row in apart[10:]]))[0]) == 20


def test_models_with_one_anothers_results_are_named() -> None:
    rows = [(f"{i}", "t", f"p{i}", m, float(i % 3 == 0)) for i in range(100) for m in "ab"]
    [said] = merged(source(*rows))[1].warnings
    assert "same score on every sample: a and b. " in said
    assert merged(source(*rows[:-1], ("99", "t", "p99", "b", 0.25)))[1].warnings == []
    assert merged(source(*rows[:198]))[1].warnings == []


def test_models_that_are_none_by_their_names_are_named() -> None:
    names = ("ant", "Human expert", "oracle", "best of 5", "nan", "human-7b", "bestial")
    warnings = merged(source(*[("1", "t", "p", m, float(m == "ant")) for m in names]))[1].warnings
    [said] = [w for w in warnings if "none by their names" in w]
    assert "names: Human expert, best of 5, nan, oracle. " in said


def test_a_task_or_a_model_on_another_scale_is_named() -> None:
    tasks = source(
        *[(f"t{i}", "t", f"p{i}", "m", 10.0 * i) for i in range(10)],
        *[(f"u{i}", "u", f"q{i}", "m", i / 10) for i in range(10)],
    )
    [warning] = merged(tasks, threshold=50)[1].warnings
    assert "though they differ: u (0 to 0.9). Set `thresholds`" in warning
    assert merged(tasks, threshold=50, thresholds={"u": 0.5})[1].warnings == []
    hard = source(*[(f"t{i}", "ab"[i % 2], f"p{i}", "m", i % 2 or i / 30) for i in range(10)])
    assert merged(hard)[1].warnings == []
    models = source(
        *[(f"{i}", "t", f"p{i}", "m", 10.0 * i) for i in range(10)],
        *[(f"{i}", "t", f"p{i}", "n", i / 10) for i in range(10)],
    )
    [warning] = merged(models, threshold=50)[1].warnings
    assert "no score of n is above 1" in warning


def test_names_that_may_mean_one_are_warned_of() -> None:
    spelled = source(
        ("1", "GSM8K", "p", "GPT-4o", 1.0),
        ("2", "gsm8k", "q", "gpt_4o", 0.0),
        ("3", "gsm8k", "r", "gpt_4o", 1.0),
        ("4", "GSM8K", "s", "GPT-4o", 1.0),
    )
    warnings = " ".join(merged(spelled)[1].warnings)
    assert "Models that may be one under several spellings: GPT-4o and gpt_4o" in warnings
    assert "Tasks that may be one under several spellings: GSM8K and gsm8k" in warnings
    owned = [source((str(i), "t", str(i), m, 1.0)) for i, m in enumerate(["x/gpt", "gpt"])]
    warnings = " ".join(merged(*owned)[1].warnings)
    assert "may be one, and have no sample in common: gpt and x/gpt" in warnings
    shared = source(("1", "t", "p", "x/gpt", 1.0), ("1", "t", "p", "y/gpt", 0.0))
    assert "may be one" not in " ".join(merged(shared)[1].warnings)
