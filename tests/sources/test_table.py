"""`kind: table`: the three forms, what is left out and counted, and what is refused."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litellm_benchrouter import sources
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.sources.frames import matching, read_frame
from litellm_benchrouter.sources.record import SourceTable
from litellm_benchrouter.sources.table import read
from litellm_benchrouter.sources.tidy import as_number

SETS = [
    "alpaca_eval",
    "alpaca_eval_v1",
    "bfcl",
    "flask_rougel",
    "llmrouter",
    "mmlu_pro",
    "openllm_v2",
    "reasoning_gym",
    "routerbench",
    "routerdc",
    "zeroeval",
]

SAMPLES = pl.DataFrame(
    {
        "sample_id": ["a1", "a2", "b1"],
        "task": ["add", "add", "spell"],
        "prompt": ["1 + 1?", 'Say "2 + 2",\nin words', "Où est-ce?"],
    }
)
SCORES = pl.DataFrame(
    {
        "sample_id": ["a1", "a2", "b1", "a1", "a2", "b1"],
        "model": ["small"] * 3 + ["vendor/large"] * 3,
        "score": [1.0, 0.25, None, 0.1, 0.75, 0.3],
    }
)
WRITERS: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "csv": lambda frame, path: frame.write_csv(path),
    "jsonl": lambda frame, path: frame.write_ndjson(path),
    "parquet": lambda frame, path: frame.write_parquet(path),
}


def long_table() -> pl.DataFrame:
    return SAMPLES.join(SCORES, on="sample_id", maintain_order="right_left")


def csv(tmp_path: Path, text: str, name: str = "results.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def numbers_in(values: list[str | None], *, decimal_comma: bool = False) -> pl.Series:
    """Return a column of text as numbers: null where it is empty, NaN where it is no number."""
    column = as_number(pl.col("x"), pl.String(), {"pass": 1.0}, decimal_comma)
    return pl.DataFrame({"x": values}, schema={"x": pl.String}).select(column).to_series()


def scores_of(table: SourceTable) -> dict[tuple[str, str], float | None]:
    return {(row["sample_id"], row["model"]): row["score"] for row in table.scores.to_dicts()}


@pytest.mark.parametrize("name", SETS)
def test_shared_sets_have_the_counts_that_their_source_states(shared: Path, name: str) -> None:
    folder = shared / "data" / name
    table = read(folder)
    stated = (folder / "SOURCE.md").read_text(encoding="utf-8")
    for what, found in {
        "samples": table.samples.height,
        "tasks": table.samples["task"].n_unique(),
        "models": table.scores["model"].n_unique(),
    }.items():
        match = re.search(rf"- {what}: (\d+)|'{what}': (\d+)", stated)
        assert match is not None
        assert found == int(match[1] or match[2]), what
    assert set(table.models) == set(table.scores["model"])
    assert set(table.dropped) <= {"empty scores"}
    assert table.samples["source_row"].to_list() == list(range(table.samples.height))
    embeddings = folder / "embeddings.npy"
    if embeddings.exists():
        assert len(np.load(embeddings, mmap_mode="r")) == table.samples.height


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("form", ["folder", "long", "wide"])
def test_every_form_in_every_format_reads_the_same(tmp_path: Path, form: str, kind: str) -> None:
    write, path = WRITERS[kind], tmp_path / f"results.{kind}"
    if form == "folder":
        path = tmp_path
        write(SAMPLES, tmp_path / f"samples.{kind}")
        write(SCORES, tmp_path / f"scores.{kind}")
    elif form == "long":
        write(long_table(), path)
    else:
        write(long_table().pivot("model", index=SAMPLES.columns, values="score"), path)
    table = read(path)
    assert table.samples.select(SAMPLES.columns).equals(SAMPLES)
    assert table.samples["source_row"].to_list() == [0, 1, 2]
    assert table.samples.schema["source_row"] == pl.UInt32
    expected = {(s, m): score for s, m, score in SCORES.iter_rows()}
    if form == "wide":
        del expected["b1", "small"]
    assert scores_of(table) == expected
    assert table.dropped == {"empty scores": 1}


def test_scores_are_numbers_whatever_their_spelling(tmp_path: Path) -> None:
    spelled = ["0.5", " 1 ", "true", "False", "1e-3", "-2", "n/a", "NaN", "inf", "1,5", "", "  "]
    frame = pl.DataFrame(
        {"task": "t", "prompt": [f"p{i}" for i in range(12)], "model": "m", "score": spelled}
    )
    frame.write_csv(tmp_path / "x.csv")
    table = read(tmp_path / "x.csv")
    assert table.scores["score"].to_list() == [0.5, 1, 1, 0, 0.001, -2, *[None] * 6]
    assert table.dropped == {"scores that are not numbers": 4, "empty scores": 2}


def test_jsonl_takes_mixed_types_and_what_python_writes_for_nan(tmp_path: Path) -> None:
    lines = [
        {"task": "t", "prompt": str(i), "model": "m", "score": score}
        for i, score in enumerate([True, 0.25, "0.5", float("nan"), float("inf"), None, [1], 3])
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    table = read(csv(tmp_path, "\ufeff" + text, "x.jsonl"))
    assert table.scores["score"].to_list() == [1, 0.25, 0.5, None, None, None, None, 3]
    assert table.dropped == {"scores that are not numbers": 3, "empty scores": 1}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_numbers_written_as_text_are_read_exactly(values: list[float]) -> None:
    assert numbers_in([repr(value) for value in values]).to_list() == values


def test_percents_words_and_decimal_commas_are_numbers_where_they_may_be() -> None:
    values = ["90 %", "Pass", "0,5", "-,5", "1,000.5", "5%%", "%"]
    numbers = numbers_in(values, decimal_comma=True).fill_nan(None).to_list()
    assert numbers == [0.9, 1.0, 0.5, -0.5, None, None, None]
    assert numbers_in(["0,5"]).is_nan().all()


# Without control characters: Python takes some of them for blanks, Unicode does not.
texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=5)


@given(st.lists(st.none() | texts | st.floats().map(str)))
def test_every_text_is_a_number_or_empty_or_counted(values: list[str | None]) -> None:
    numbers = numbers_in(values)
    assert numbers.null_count() == sum(value is None or not value.strip() for value in values)
    assert not numbers.is_infinite().any()


def test_further_columns_are_kept_and_unknown_ones_named(tmp_path: Path) -> None:
    text = (
        "task,prompt,model,score,cost_usd,prompt_tokens,completion_tokens,log_likelihood,"
        "metric:bleu,ranker:pair,reference,split,note,mood\n"
        "t,p,m,1,0.01,5,n/a,-2.5,30,0.7,42,test,hello,\n"
    )
    table = read(csv(tmp_path, text))
    [row] = table.scores.drop("sample_id").to_dicts()
    assert row == {
        "model": "m",
        "score": 1.0,
        "cost_usd": 0.01,
        "prompt_tokens": 5.0,
        "completion_tokens": None,
        "log_likelihood": -2.5,
        "metric:bleu": 30.0,
        "ranker:pair": 0.7,
    }
    assert table.samples.select("reference", "split").row(0) == ("42", "test")
    assert dict(table.dropped) == {
        'values in the unknown column "note"': 1,
        'values in the unknown column "mood"': 0,
        "values of completion_tokens that are not numbers": 1,
    }


def test_empty_prompts_go_with_their_scores_and_rows_keep_their_numbers(tmp_path: Path) -> None:
    text = "sample_id,task,prompt,a,b\n1,t,,1,0\n2,t,  ,1,0\n3,t,x,1,0\n4,,y,1,1\n"
    table = read(csv(tmp_path, text))
    assert table.samples.select("source_row", "sample_id").rows() == [(2, "3")]
    assert scores_of(table) == {("3", "a"): 1, ("3", "b"): 0}
    assert table.dropped == {
        "empty prompts": 2,
        "scores of samples left out": 4,
        "rows without a task": 1,
    }


def test_several_results_of_a_sample_and_model_are_averaged(tmp_path: Path) -> None:
    text = (
        "sample_id,task,prompt,model,score\n"
        "1,t,p,m,1\n1,t,p,m ,1\n1,t,p,m,0\n"  # the name of a model has no blanks around it
        "2,t,q,m,\n2,t,q,m,0.5\n"  # a failed run, then its repetition
    )
    table = read(csv(tmp_path, text))
    assert scores_of(table) == {("1", "m"): pytest.approx(2 / 3), ("2", "m"): 0.5}
    assert table.dropped == {"repeated results, which are averaged": 3, "empty scores": 1}


def test_a_folder_counts_unknown_and_repeated_samples(tmp_path: Path) -> None:
    csv(tmp_path, "sample_id,task,prompt\n1,t,p\n1,t,p\n2,t,q\n2,t,other\n,t,r\n", "samples.csv")
    scores = {"sample_id": ["1", "9", "2"], "model": ["m", "m", None], "score": [1, 1, 0]}
    pl.DataFrame(scores).write_parquet(tmp_path / "scores.parquet")
    table = read(tmp_path)
    assert table.samples["source_row"].to_list() == [0, 2]
    assert scores_of(table) == {("1", "m"): 1}
    assert table.dropped == {
        "repeated samples": 1,
        "rows whose sample_id had another prompt": 1,
        "rows without a sample_id": 1,
        "rows without a model": 1,
        "scores of unknown samples": 1,
    }


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("form", ["folder", "long", "wide"])
def test_a_column_group_is_kept_in_every_form_and_is_no_model(
    tmp_path: Path, form: str, kind: str
) -> None:
    write, path = WRITERS[kind], tmp_path / f"results.{kind}"
    samples = SAMPLES.with_columns(group=pl.Series([7, None, 7]))
    if form == "folder":
        path = tmp_path
        write(samples, tmp_path / f"samples.{kind}")
        write(SCORES, tmp_path / f"scores.{kind}")
    else:
        rows = long_table().join(samples.select("sample_id", "group"), on="sample_id", how="left")
        if form == "wide":
            rows = rows.pivot("model", index=samples.columns, values="score")
        write(rows, path)
    table = read(path)
    assert table.samples["group"].to_list() == ["7", None, "7"]
    assert set(table.scores["model"]) == {*SCORES["model"]}


def test_a_group_that_only_some_rows_of_a_sample_state_is_that_of_the_sample(
    tmp_path: Path,
) -> None:
    text = "sample_id,task,prompt,model,score,theirs\n1,t,p,m,1,\n1,t,p,n,0, a \n2,t,q,m,1,a\n"
    table = read(csv(tmp_path, text), columns={"group": "theirs"})
    assert table.samples["group"].to_list() == ["a", "a"]
    assert table.scores.height == 3
    csv(
        tmp_path,
        "sample_id,task,prompt,group\n1,t,p,\n1,t,p,a\n2,t,q,\n1,t,other,b\n",
        "samples.csv",
    )
    csv(tmp_path, "sample_id,model,score\n1,m,1\n2,m,0\n", "scores.csv")
    assert read(tmp_path).samples["group"].to_list() == ["a", None]


def test_a_derived_sample_id_depends_on_task_and_prompt_alone(tmp_path: Path) -> None:
    one = read(csv(tmp_path, "task,prompt,model,score\nt,p,m,1\nt,q,m,0\nu,p,m,1\n", "one.csv"))
    two = read(csv(tmp_path, "prompt,x,task,y\nq,1,t,1\np,0,u,1\np,1,t,0\n", "two.csv"))

    def ids(table: SourceTable) -> dict[tuple[str, str], str]:
        return {(row["task"], row["prompt"]): row["sample_id"] for row in table.samples.to_dicts()}

    assert ids(one) == ids(two)
    assert len(set(ids(one).values())) == 3


def test_empty_prompts_without_a_sample_id_are_counted_too(tmp_path: Path) -> None:
    table = read(csv(tmp_path, "task,prompt,model,score\nt,,m,1\nt,p,m,1\nu,,m,1\nu,q,m,0\n"))
    assert table.samples["source_row"].to_list() == [1, 3]
    assert table.dropped == {"empty prompts": 2, "scores of samples left out": 2}


def test_tasks_that_number_their_samples_alike_are_told_apart(tmp_path: Path) -> None:
    text = "sample_id,task,prompt,model,score\n0,t,p,m,1\n0,u,q,m,0\n1,u,r,m,1\n"
    table = read(csv(tmp_path, text))
    assert scores_of(table) == {("t/0", "m"): 1, ("u/0", "m"): 0, ("1", "m"): 1}
    assert not table.dropped


def test_a_score_never_goes_to_another_prompt_with_the_same_id(tmp_path: Path) -> None:
    text = "sample_id,task,prompt,model,score\n0,t,p,a,1\n0,t,other,b,1\n1,t,,a,0\n1,t,,b,0\n"
    table = read(csv(tmp_path, text))
    assert scores_of(table) == {("0", "a"): 1}
    assert table.dropped["rows whose sample_id had another prompt"] == 1


def test_columns_metric_rankers_tasks_and_task_choose_what_is_read(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "question,llm,acc,metric:f1,summa,domain\nq1,m,1,0.5,3,law\nq2,m,0,0.6,4,math\n",
    )
    names = {"prompt": "question", "model": "llm", "score": "acc"}
    table = read(
        path,
        metric="f1",
        rankers=["summa"],
        tasks=["math"],
        columns={**names, "task": "domain"},
    )
    [row] = table.scores.drop("sample_id").to_dicts()
    assert row == {"model": "m", "score": 0.6, "metric:score": 0.0, "ranker:summa": 4.0}
    assert table.dropped == {"samples of other tasks": 1, "scores of samples left out": 1}
    assert table.samples["source_row"].to_list() == [1]
    one = read(path, columns=names, task="all")
    assert one.samples["task"].to_list() == ["all", "all"]


def test_a_wide_table_of_another_project_is_read_with_the_task_named(shared: Path) -> None:
    path = shared / "raw" / "routellm_mmlu_abstract_algebra.csv"
    table = read(path, task="abstract_algebra")
    assert set(table.scores["model"]) == {
        "mistralai/Mixtral-8x7B-Instruct-v0.1",
        "gpt-4-1106-preview",
    }
    assert set(table.scores["score"]) == {0.0, 1.0}
    assert not table.dropped


def test_a_wide_tables_text_and_index_columns_are_no_models(tmp_path: Path) -> None:
    text = ",task,prompt,gpt,comment,cost_usd\n0,t,p,1,good,0.1\n1,t,q,0.2,,0.1\n"
    table = read(csv(tmp_path, text))
    assert set(table.scores["model"]) == {"gpt"}
    assert dict(table.dropped) == {
        'values in the unknown column ""': 2,
        'values in the unknown column "comment"': 1,
        'values in the unknown column "cost_usd"': 2,
    }


def test_models_json_gives_facts(tmp_path: Path) -> None:
    WRITERS["csv"](SAMPLES, tmp_path / "samples.csv")
    WRITERS["csv"](SCORES, tmp_path / "scores.csv")
    facts = tmp_path / "models.json"
    facts.write_text(
        '{"small": {"params_b": 7, "vendor": "x"}, "vendor/large": {"params_b": null}}'
    )
    table = read(tmp_path)
    assert table.models == {"small": ModelFacts(params_b=7), "vendor/large": ModelFacts()}
    assert table.dropped['values of the unknown model fact "vendor"'] == 1
    for bad, says in {
        '{"small": {"params_b": "7"}}': "params_b of small is '7'",
        '{"small": {"input_price_usd_per_mtok": -1}}': "is -1",
        '{"small": {"params_b": true}}': "is True",
        '{"small": 7}': "not an object of objects",
        "[1": "not valid JSON",
    }.items():
        facts.write_text(bad)
        with pytest.raises(SourceError, match=re.escape(says)):
            read(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prompt,a,b\np,1,0\n", 'no column "task" (it has prompt, a, b)'),
        ("task,question,a\nt,p,1\n", 'no column "prompt"'),
        ("task,prompt,score\nt,p,1\n", 'no column "model"'),
        ("task,prompt,model\nt,p,1\n", 'no column "score"'),
        ("task,prompt\nt,p\n", "no column with a model's scores"),
        ("task,prompt,a,a\nt,p,1,0\n", 'has the column "a" twice'),
        ("task,prompt,gpt|total_cost,gpt\nt,p,1,0\n", "kind: routerbench"),
        ("task,prompt,model,score\n", "holds no rows"),
        ("", "holds no rows"),
        ("task,prompt,model,score\nt,,m,1\n", "empty prompts: 1"),
        ("task,prompt,model,score\nt,p,m,good\n", "scores that are not numbers: 1"),
        ("task,prompt,model,score\nt,p,m,1\nt,q,m,1,9,9\n", "line 3 has 6 fields, the header 4"),
        ('task,prompt,model,score\nt,p,m,1\nt,"q,m,1', "line 3: unexpected end of data"),
        ('task,prompt,model,score\nt,p,m,1\nt,"q, or r",m', "last line has 3 of 4 fields"),
    ],
)
def test_a_wrong_csv_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(SourceError) as caught:
        read(path)
    message = str(caught.value)
    assert says in message
    assert message.startswith(str(path))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metric": "f1"}, 'no column "metric:f1"; its metrics are metric:bleu'),
        ({"rankers": ["pair"]}, 'no column "pair"'),
        ({"columns": {"prompt": "question"}}, 'no column "question" to take for "prompt"'),
        ({"tasks": ["u"]}, 'no task "u"; it has t'),
        ({"task": "u"}, "leave out the option task"),
    ],
)
def test_an_option_that_names_what_is_not_there_is_refused(
    tmp_path: Path, options: dict[str, object], says: str
) -> None:
    path = csv(tmp_path, "task,prompt,model,score,metric:bleu\nt,p,m,1,2\n")
    with pytest.raises(SourceError, match=re.escape(says)):
        sources.read("table", path, options)


def test_a_wide_table_has_no_metric_to_choose(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='no column "model"'):
        read(csv(tmp_path, "task,prompt,a\nt,p,1\n"), metric="f1")


def test_broken_lines_of_jsonl_are_counted_and_the_others_read(tmp_path: Path) -> None:
    good = '{"task": "t", "prompt": "p", "model": "m", "score": 1}\n'
    path = csv(tmp_path, good + "[1]\n" + good + good[:20], "x.jsonl")
    table = read(path)
    assert table.scores["score"].to_list() == [1]
    assert table.dropped == {
        "file x.jsonl: line 2 is not an object": 1,
        "file x.jsonl: line 4 is not JSON (Unterminated string starting at)": 1,
        "repeated results, which are averaged": 1,
    }
    with pytest.raises(SourceError, match="line 2 is not an object"):
        read_frame(path)
    with pytest.raises(SourceError, match=r"line 1 is not JSON .* give a file with results"):
        read(csv(tmp_path, good[:20], "y.jsonl"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_cut_parquet_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "x.parquet"
    long_table().write_parquet(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=r"x\.parquet cannot be read as Parquet"):
        read(path)


def test_a_path_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    for name in ("nowhere", "nowhere.csv"):
        with pytest.raises(SourceError, match=f"{name} does not exist"):
            read(tmp_path / name)
    with pytest.raises(SourceError, match="no samples file"):
        read(tmp_path)
    with pytest.raises(SourceError, match=r"none of \.parquet, \.csv, .* save it as \.xlsx or CSV"):
        read(csv(tmp_path, "x", "results.xls"))
    for kind in ("csv", "parquet"):
        WRITERS[kind](SAMPLES, tmp_path / f"samples.{kind}")
    with pytest.raises(SourceError, match=r"samples\.parquet and samples\.csv"):
        read(tmp_path)


@pytest.mark.parametrize("kind", WRITERS)
def test_of_a_prompt_that_is_a_chat_the_last_user_message_counts(tmp_path: Path, kind: str) -> None:
    chat = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "yes?"}]
    chat.append({"role": "user", "content": "What is one?"})
    prompts = pl.Series([chat if kind != "csv" else json.dumps(chat)])
    frame = pl.DataFrame({"task": ["t"], "prompt": prompts, "model": ["m"], "score": [1]})
    WRITERS[kind](frame, tmp_path / f"x.{kind}")
    assert read(tmp_path / f"x.{kind}").samples["prompt"].to_list() == ["What is one?"]


def test_nested_text_is_refused_and_a_chat_without_text_has_no_prompt(tmp_path: Path) -> None:
    frame = pl.DataFrame({"task": [["t"]], "prompt": ["p"], "model": ["m"], "score": [1]})
    frame.write_parquet(tmp_path / "x.parquet")
    with pytest.raises(SourceError, match='in its column "task"'):
        read(tmp_path / "x.parquet")
    row = {"task": "t", "prompt": [{"role": "user"}], "model": "m", "score": 1}
    with pytest.raises(SourceError, match="empty prompts: 1"):
        read(csv(tmp_path, json.dumps(row), "x.jsonl"))


@pytest.mark.parametrize("kind", WRITERS)
def test_brackets_in_a_path_are_no_pattern(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](long_table().head(1), tmp_path / f"run1.{kind}")
    WRITERS[kind](long_table(), tmp_path / f"run[1].{kind}")
    assert read(tmp_path / f"run[1].{kind}").samples.height == 3


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), kind=st.sampled_from(sorted(WRITERS)), cut=st.booleans())
def test_any_bytes_are_read_or_refused_and_never_a_crash(
    tmp_path: Path, data: bytes, kind: str, cut: bool
) -> None:
    path = tmp_path / f"x.{kind}"
    WRITERS[kind](long_table(), path)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2] + data + (b"" if cut else good[len(good) // 2 :]))
    try:
        table = read(path)
    except SourceError as error:
        assert "\n" not in str(error)
    else:
        assert table.samples["sample_id"].is_unique().all()


def test_the_frame_of_a_csv_is_text(tmp_path: Path) -> None:
    frame = read_frame(csv(tmp_path, "sample_id,score\n007,0.10\n"))
    assert frame.rows() == [("007", "0.10")]


def test_a_source_is_read_by_kind_with_options_checked(tmp_path: Path) -> None:
    path = csv(tmp_path, "task,prompt,a\nt,p,1\nu,q,0\n")
    assert sources.read("table", path, {"tasks": ["t"]}).samples.height == 1
    with pytest.raises(
        ConfigError, match=r'"tabel" is not a kind of source\. Use one of alpaca-eval'
    ):
        sources.read("tabel", path, {})
    with pytest.raises(
        ConfigError, match='no option "metrics"; it has columns, encoding, metric, model, models'
    ):
        sources.read("table", path, {"metrics": "f1"})
    with pytest.raises(ConfigError, match="option tasks is 't', but input should be a valid list"):
        sources.read("table", path, {"tasks": "t"})


@pytest.mark.parametrize("kind", sources.READERS)
def test_every_kind_has_a_reader_that_names_its_options(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=f'kind {kind} has no option "nonsense"; it has '):
        sources.read(kind, tmp_path, {"nonsense": 1})


WIDE = "task,prompt,a,b{name}\nt,one,1,0{0}\nt,two,0,1{1}\nu,three,1,1{2}\n"


@pytest.mark.parametrize(
    "name",
    [
        *("id", "Unnamed: 0", "difficulty", "input_tokens", "latency_s", "total_cost", "seed"),
        *("faithfulness", "answer_relevancy", "response_length", "created_at", "num_turns"),
    ],
)
def test_columns_of_numbers_with_usual_names_are_no_models(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, WIDE.format(",3", ",0.5", ",1", name=f",{name}"))
    table = read(path)
    assert set(table.scores["model"]) == {"a", "b"}
    assert table.dropped == {f'values in the unknown column "{name}"': 3}
    assert set(read(path, models=["a", name]).scores["model"]) == {"a", name}
    assert set(read(path, models={"a": "gpt", "b": "llama"}).scores["model"]) == {"gpt", "llama"}


def test_a_column_that_may_be_no_model_is_asked_about(tmp_path: Path) -> None:
    path = csv(tmp_path, WIDE.format(",300", ",50", ",1", name=",mystery"))
    with pytest.raises(
        SourceError, match=r"mystery hold values outside \[0, 1\].*models: \[a, b\]"
    ):
        read(path)
    assert set(read(path, models=["a", "b"]).scores["model"]) == {"a", "b"}
    rows = "".join(f"t,p{i},{i % 2},{(i % 3) // 2},{i / 40}\n" for i in range(40))
    path = csv(tmp_path, "task,prompt,a,b,mystery\n" + rows)
    with pytest.raises(SourceError, match="mystery hold mostly parts of 1"):
        read(path)
    path = csv(tmp_path, "task,prompt,a,b\nt,p,90,20\nt,q,3,80\n")  # one scale for all
    assert set(read(path).scores["model"]) == {"a", "b"}


@pytest.mark.parametrize(
    "name",
    [
        *("Latency (s)", "inputTokens", "costUsd", "gpt-4o tokens", "a_time", "answer", "label"),
        *("gold", "average", "oracle", "judge_score", "pass@1", "version", "requires_code"),
        *("No.", "qid", "tok/s", "hardness", "Release Year", "attempt", "rater_2", "kappa"),
        *("random baseline", "ensemble", "best_of_5", "all_correct", "overall", "conf", "dist"),
        *("isVerified", "verified", "in_train", "pass_rate", "upvotes", "__index_level_0__"),
    ],
)
def test_names_of_columns_are_known_in_every_spelling(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, WIDE.format(",1", ",1", ",1", name=f",{name}"))
    assert set(read(path).scores["model"]) == {"a", "b"}


@pytest.mark.parametrize(
    "name",
    [*("doubao-seed", "time-moe", "step-index", "gpt-4", "o1", "n"), "best-7b", "in.a.kimi-k3"],
)
def test_names_of_models_stay_names_of_models(tmp_path: Path, name: str) -> None:
    path = csv(tmp_path, WIDE.format(",1", ",0", ",1", name=f",{name}"))
    assert set(read(path).scores["model"]) == {"a", "b", name}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["True", "False"], "mystery hold true and false"),
        (["1"], "mystery hold one value alone"),
        (["0.2", "0.7", "1"], "mystery hold mostly parts of 1"),
        (["PASS", "FAIL"], '"mystery" holds PASS, FAIL, and other columns hold numbers'),
        (["ja", "nein"], '"mystery" holds ja, nein, and other columns hold numbers'),
        (["Y", "N", "n/a"], '"mystery" holds Y, N, n/a, and other columns hold numbers'),
        (['"0,25"', '"1,0"'], '"mystery" holds numbers that may be read in several ways (0,25'),
    ],
)
def test_a_column_unlike_the_others_is_asked_about(
    tmp_path: Path, values: list[str], says: str
) -> None:
    rows = [f"t,p{i},{i % 2},{i % 3 // 2},{values[i % len(values)]}\n" for i in range(120)]
    path = csv(tmp_path, "task,prompt,a,b,mystery\n" + "".join(rows))
    with pytest.raises(SourceError, match=re.escape(says)):
        read(path)
    assert set(read(path, models=["a", "b"]).scores["model"]) == {"a", "b"}


def test_words_that_are_no_verdicts_are_left_out(tmp_path: Path) -> None:
    rows = [f"t,p{i},{i % 2},{i % 3 // 2},{('no', 'sv', 'da')[i % 3]}\n" for i in range(30)]
    table = read(csv(tmp_path, "task,prompt,a,b,language\n" + "".join(rows)))
    assert set(table.scores["model"]) == {"a", "b"}


def test_what_most_models_say_is_no_model(tmp_path: Path) -> None:
    rows = [(i % 2, i % 3 // 2, i % 5 > 1) for i in range(120)]
    text = [f"t,p{i},{a},{b},{c:d},{a + b + c > 1:d}\n" for i, (a, b, c) in enumerate(rows)]
    with pytest.raises(SourceError, match="mystery hold what most of the others have in every"):
        read(csv(tmp_path, "task,prompt,a,b,c,mystery\n" + "".join(text)))


@pytest.mark.parametrize("mark", ["_", "/", " "])
def test_several_metrics_of_a_model_are_not_several_models(tmp_path: Path, mark: str) -> None:
    rows = "t,p,0.1,0.2,0.3\nt,q,0.7,0.6,0.5\n"
    path = csv(tmp_path, f"task,prompt,ant{mark}f1,ant{mark}bleu,bee{mark}f1\n{rows}")
    with pytest.raises(SourceError, match=rf"ant{mark}f1, ant{mark}bleu may be several metrics"):
        read(path)
    runs = csv(tmp_path, f"task,prompt,ant{mark}run1,ant{mark}run2,bee\n{rows}", "runs.csv")
    with pytest.raises(SourceError, match=rf"ant{mark}run1, ant{mark}run2 may be several"):
        read(runs)
    alike = {f"ant{mark}run1": "ant", f"ant{mark}run2": "ant"}
    assert read(runs, models=alike).scores["score"].to_list() == pytest.approx([0.15, 0.65])
    named = read(path, models={f"ant{mark}f1": "ant", f"bee{mark}f1": "bee"})
    assert set(named.scores["model"]) == {"ant", "bee"}


def test_a_model_that_is_named_and_has_no_number_is_named(tmp_path: Path) -> None:
    path = csv(tmp_path, "task,prompt,a,b\nt,p,1,PASS\nt,q,0,FAIL\n")
    warnings = read(path, models=["a", "b"]).warnings
    assert "name as models have no number: b" in warnings[0]
    assert '"FAIL" (1), "PASS" (1)' in warnings[1]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_scores_inside_objects_are_asked_about_and_read(tmp_path: Path, ending: str) -> None:
    names = ["gpt-4o", "llama-3.1-8b", "a b"]
    rows = [{"task": "t", "prompt": f"p{i}", "runs": dict.fromkeys(names, i)} for i in (0, 1)]
    path = tmp_path / f"x.{ending}"
    if ending == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SourceError, match=r"keys gpt-4o, llama-3.1-8b, a b; .*a b: runs.a b\}"):
        read(path)
    columns = {name: f"runs.{name}" for name in names}
    assert set(read(path, columns=columns).scores["model"]) == {*names}
    if ending == "parquet":
        with pytest.raises(SourceError, match='no "nope" in its column "runs"'):
            read(path, columns={"a": "runs.nope"})


def test_a_score_that_is_an_object_is_asked_about(tmp_path: Path) -> None:
    row = {"task": "t", "prompt": "p", "model": "m", "score": {"acc": 1, "f1": 0.5}}
    path = csv(tmp_path, json.dumps(row), "x.jsonl")
    with pytest.raises(SourceError, match=r"keys acc, f1.*\{score: score.acc\}"):
        read(path)


def test_models_that_are_sometimes_half_right_or_always_right_are_models(tmp_path: Path) -> None:
    rows = [f"t,p{i},{i % 2},{(0, 1, 0.5)[i % 3]},1\n" for i in range(80)]
    path = csv(tmp_path, "task,prompt,plain,partly,perfect\n" + "".join(rows))
    assert set(read(path).scores["model"]) == {"plain", "partly", "perfect"}


def test_what_is_asked_suggests_the_larger_part(tmp_path: Path) -> None:
    rows = [f"t,p{i},{i % 2 == 0},{i % 3 == 0},{i % 2}\n" for i in range(30)]
    with pytest.raises(SourceError, match=r"a, b hold true and false.*models: \[a, b\]"):
        read(csv(tmp_path, "task,prompt,a,b,multi\n" + "".join(rows)))


def test_a_separator_of_several_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="separator is ';;', not one character"):
        read(csv(tmp_path, "task,prompt,a\nt,p,1\n"), separator=";;")


def test_the_best_of_all_models_is_no_model(tmp_path: Path) -> None:
    rows = [f"t,p{i},{i % 2},{i % 3 // 2},{max(i % 2, i % 3 // 2)}\n" for i in range(120)]
    with pytest.raises(SourceError, match="mystery hold the best of the others in every row"):
        read(csv(tmp_path, "task,prompt,a,b,mystery\n" + "".join(rows)))


def test_a_long_table_with_other_names_is_not_taken_for_a_wide_one(tmp_path: Path) -> None:
    rows = [f"t,p{i},{llm},{i % 2}\n" for i in range(6) for llm in ("x", "y")]
    path = csv(tmp_path, "task,prompt,LLM,outcome\n" + "".join(rows))
    with pytest.raises(SourceError, match=r'another "LLM" \(x, y\).*columns: \{model: LLM'):
        read(path)
    columns = {"model": "LLM", "score": "outcome"}
    assert set(read(path, columns=columns).scores["model"]) == {"x", "y"}
    path = csv(tmp_path, "task,prompt,LLM,correct\n" + "".join(rows))  # no column of a model
    with pytest.raises(SourceError, match=r'another "LLM" \(x, y\).*columns: \{model: LLM'):
        read(path)
    one = csv(tmp_path, "task,prompt,correct\nt,p,1\nt,q,0\n", "one.csv")
    with pytest.raises(SourceError, match=r"score: correct, model: NAME"):
        read(one)
    assert read(one, score="correct", model="x").scores["score"].to_list() == [1, 0]


def test_rows_of_several_metrics_are_not_averaged(tmp_path: Path) -> None:
    rows = "t,p,m,acc,1\nt,p,m,wer,0.2\nt,q,m,acc,0\n"
    path = csv(tmp_path, "task,prompt,model,metric,score\n" + rows)
    with pytest.raises(SourceError, match=r'a row for each "metric" \(acc, wer\)'):
        read(path)
    one_each = csv(tmp_path, "task,prompt,model,metric,score\nt,p,m,acc,1\nu,q,m,f1,0.9\n")
    assert read(one_each).scores.height == 2


@pytest.mark.parametrize("name", ["n_shot", "Judge", "temperature", "prompt_version"])
def test_settings_that_are_averaged_are_named(tmp_path: Path, name: str) -> None:
    rows = "t,p,m,0,1\nt,p,m,5,0\nt,q,m,0,1\nt,q,m,5,1\n"
    [warning] = read(csv(tmp_path, f"task,prompt,model,{name},score\n{rows}")).warnings
    assert f'differ in "{name}" (0, 5) are averaged' in warning
    runs = csv(tmp_path, f"task,prompt,model,epoch,score\n{rows}", "runs.csv")
    assert read(runs).warnings == []
    one_each = rows.replace(",5,", ",0,")
    assert read(csv(tmp_path, f"task,prompt,model,{name},score\n{one_each}")).warnings == []


@pytest.mark.parametrize(
    ("name", "words", "is_named"),
    [
        ("model_version", ("0613", "1106"), True),  # by its name, whatever it holds
        ("aspect", ("fluency", "truth"), True),  # each row of a cell has another one
        ("judged by", ("gpt", "human"), True),
        ("run_name", ("first", "second"), False),  # repetitions
        ("number", ("1", "2"), False),
        ("answered at", ("Monday", "Tuesday"), False),
        ("verdict", ("right", "right"), False),  # which does not tell rows apart
    ],
)
def test_words_that_tell_averaged_rows_apart_are_named(
    tmp_path: Path, name: str, words: tuple[str, str], is_named: bool
) -> None:
    a, b = words
    rows = f"t,p,m,{a},1\nt,p,m,{b},0\nt,q,m,{b},1\nt,q,m,{a},1\nt,r,m,{a},1\n"
    path = csv(tmp_path, f"task,prompt,model,{name},score\n{rows}")
    warnings = read(path).warnings
    assert [f'differ in "{name}" ({a}, {b})' in warning for warning in warnings] == [
        True
    ] * is_named


def test_rows_of_a_wide_table_are_doubted_as_those_of_a_long_one(tmp_path: Path) -> None:
    rows = "t,p,{0},1,0\nt,p,{1},0,0\nt,q,{0},1,1\nt,q,{1},1,1\n"
    path = csv(tmp_path, "task,prompt,judge,m,n\n" + rows.format("x", "y"))
    [warning] = read(path).warnings
    assert 'differ in "judge" (x, y) are averaged' in warning
    path = csv(tmp_path, "task,prompt,metric,m,n\n" + rows.format("acc", "f1"), "metrics.csv")
    for options in ({}, {"models": ["m", "n"]}):
        with pytest.raises(SourceError, match=r'a row for each "metric" \(acc, f1\)'):
            read(path, **options)
    path = csv(tmp_path, "task,prompt,thinking,direct\nt,p,1,0\nt,p,0,0\n", "names.csv")
    assert read(path).warnings == []  # columns of scores, whatever their names


def test_errors_that_count_as_wrong_are_named(tmp_path: Path) -> None:
    head = "task,prompt,model,score,error\n"
    path = csv(tmp_path, head + "t,p,m,1,\nt,q,m,0,timeout\nt,r,m,0,n/a\nt,s,n,0,HTTP 429\n")
    [warning] = read(path).warnings
    assert '2 results with a text in "error" have a score of 0 (m: 1, n: 1)' in warning
    assert read(csv(tmp_path, head + "t,p,m,1,\nt,q,m,,timeout\n")).warnings == []
    assert read(csv(tmp_path, head + "t,p,m,1,a warning\nt,q,m,0,timeout\n")).warnings == []


def test_models_whose_rows_have_no_sample_id_are_named(tmp_path: Path) -> None:
    csv(tmp_path, "task,prompt,score\nt,p,1\nt,q,0\n", "ant.csv")
    csv(tmp_path, "sample_id,task,prompt,score\n1,t,p,1\n2,t,q,0\n", "bee.csv")
    [warning] = read(tmp_path / "*.csv").warnings
    assert "they had no sample_id: ant (2 of 2)" in warning
    text = "task,prompt,model,score\n,p,m,1\n,q,m,1\nt,p,m,0\nt,p,n,1\n"
    [warning] = read(csv(tmp_path, text, "x.csv")).warnings
    assert "they had no task: m (2 of 3)" in warning


def folder(path: Path, samples: str, scores: str) -> Path:
    path.mkdir(exist_ok=True)
    csv(path, f"sample_id,task,prompt\n{samples}", "samples.csv")
    csv(path, scores, "scores.csv")
    return path


def test_the_rows_of_a_folder_are_doubted_as_those_of_a_file(tmp_path: Path) -> None:
    head = "sample_id,model,score"
    scores = f"{head}\n1,m,1\n9,n,1\n8,n,0\n1,n,0\n"
    [warning] = read(folder(tmp_path, "1,t,p\n2,t,q\n", scores)).warnings
    assert "a sample_id that no sample has: n (2 of 3)" in warning
    several = f"{head},metric\n1,m,1,acc\n1,m,0,f1\n"
    with pytest.raises(SourceError, match=r'a row for each "metric" \(acc, f1\)'):
        read(folder(tmp_path, "1,t,p\n2,t,q\n", several))
    settings = f"{head},shots,error\n1,m,1,0,\n1,m,0,5,timeout\n"
    warnings = read(folder(tmp_path, "1,t,p\n2,t,q\n", settings)).warnings
    assert 'differ in "shots" (0, 5)' in warnings[0]
    assert '1 results with a text in "error"' in warnings[1]
    twice = read(folder(tmp_path, "1,t,p\n1,u,q\n2,t,r\n", f"{head}\n1,m,1\n2,m,0\n"))
    assert "1 samples have the sample_id of another sample" in twice.warnings[0]


def test_rows_that_shrink_to_few_samples_are_named(tmp_path: Path) -> None:
    rows = [f"t,Choose.,{i % 2},1\n" for i in range(12)]
    [warning] = read(csv(tmp_path, "task,prompt,a,b\n" + "".join(rows))).warnings
    assert "24 results are of 1 samples alone" in warning
    assert read(csv(tmp_path, "task,prompt,a,b\n" + "".join(rows[:8]))).warnings == []  # runs


def test_white_space_around_a_prompt_or_an_id_makes_no_other_sample(tmp_path: Path) -> None:
    rows = 't,p,m,1\nt," p\n",n,0\n'
    table = read(csv(tmp_path, f"task,prompt,model,score\n{rows}"))
    assert (table.samples["prompt"].to_list(), table.scores.height) == (["p"], 2)
    plain = read(csv(tmp_path, "task,prompt,model,score\nt,p,m,1\n"))
    assert table.samples["sample_id"].to_list() == plain.samples["sample_id"].to_list()
    table = read(csv(tmp_path, "sample_id,task,prompt,model,score\n1,t,p,m,1\n 1,t,p ,n,0\n"))
    assert (table.samples.height, table.scores.height, dict(table.dropped)) == (1, 2, {})


def test_words_in_place_of_scores_are_named(tmp_path: Path) -> None:
    text = "task,prompt,model,score\nt,p,m,1\nt,q,m,Timeout\nt,r,m,n/a\nt,s,m,NaN\nt,u,m,-\n"
    [warning] = read(csv(tmp_path, text)).warnings
    assert 'there is "Timeout" (1): missing, not wrong' in warning
    assert read(csv(tmp_path, text), words={"timeout": 0}).warnings == []
    wide = csv(tmp_path, "task,prompt,a,b\nt,p,1,error\nt,q,0,1\n", "wide.csv")
    assert 'there is "error" (1)' in read(wide).warnings[0]
    none = csv(tmp_path, "task,prompt,model,score\nt,p,m,good\nt,q,m,bad\n", "none.csv")
    with pytest.raises(SourceError, match=r'there is "bad" \(1\), "good" \(1\).*words: \{bad'):
        read(none)


def test_of_an_error_the_negative_is_the_score_and_that_is_said(tmp_path: Path) -> None:
    text = "task,prompt,model,wer,metric:loss\nt,p,m,0.25,2\n"
    path = csv(tmp_path, text)
    table = read(path, score="wer")
    assert table.scores["score"].to_list() == [-0.25]
    assert 'Less of "wer" is better' in table.warnings[0]
    named = read(path, score="wer", metric="loss")
    assert named.scores["score"].to_list() == [-2]


def test_names_and_prompts_have_no_blanks_of_any_kind(tmp_path: Path) -> None:
    text = "task,prompt,gpt \u200b,llama\nt,p,1,0\nt,\u200b\u00a0,1,0\n"
    table = read(csv(tmp_path, "\ufeff" + text))
    assert set(table.scores["model"]) == {"gpt", "llama"}
    assert table.dropped["empty prompts"] == 1


def test_a_file_a_model_is_named_by_an_option_or_by_its_name(tmp_path: Path) -> None:
    for name, score in (("gpt-4.1", 1), ("llama", 0)):
        csv(tmp_path, f"task,prompt,score\nt,p,{score}\n", f"{name}.csv")
    with pytest.raises(SourceError, match=r'no column "model".*option model, or as path a pattern'):
        read(tmp_path / "llama.csv")
    assert set(read(tmp_path / "llama.csv", model="mine").scores["model"]) == {"mine"}
    table = read(tmp_path / "*.csv")
    assert dict(table.scores.select("model", "score").iter_rows()) == {"gpt-4.1": 1, "llama": 0}
    assert table.samples.height == 1
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        csv(tmp_path / folder, f"task,prompt,score\nt,p,{folder == 'x':d}\n", "scores.csv")
    assert set(read(tmp_path / "?" / "scores.csv").scores["model"]) == {"x", "y"}
    csv(tmp_path, "what a Mac keeps beside it", "._llama.csv")
    assert set(read(tmp_path / "*.csv").scores["model"]) == {"gpt-4.1", "llama"}
    with pytest.raises(SourceError, match="matches no file"):
        read(tmp_path / "*.tsv")


def test_a_model_that_loses_its_results_to_another_prompt_is_named(tmp_path: Path) -> None:
    rows = [f"{i},t,prompt {i} of {model},{model},1\n" for model in "ab" for i in range(4)]
    table = read(csv(tmp_path, "sample_id,task,prompt,model,score\n" + "".join(rows)))
    [warning] = table.warnings
    assert "another prompt under the same sample_id: b (4 of 4)" in warning


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("semicolons.csv", b"task;prompt;a;b\nt;p, q;0,9;0,1\n"),
        ("excel.csv", b'"sep=;"\ntask;prompt;a;b\nt;p, q;0,9;0,1\n'),
        ("tabs.tsv", b"task\tprompt\ta\tb\nt\tp, q\t0.9\t0.1\n"),
        ("utf16.csv", "task,prompt,a,b\nt,'p, q',0.9,0.1\n".replace("'", '"').encode("utf-16")),
        ("returns.csv", b'task,prompt,a,b\rt,"p, q",0.9,0.1\r'),
        ("quoted.csv", b'task;prompt;a;"b"\nt;p, q;0,9;0,1\n'),
        ("utf16.csv.gz", gzip.compress('task,prompt,a,b\nt,"p, q",0.9,0.1\n'.encode("utf-16"))),
        ("utf16.jsonl", '{"task":"t","prompt":"p, q","a":0.9,"b":0.1}\n'.encode("utf-16")),
        ("packed.csv.gz", gzip.compress(b'task,prompt,a,b\nt,"p, q",90 %,10%\n')),
        ("list.json", b'[{"task": "t", "prompt": "p, q", "a": 0.9, "b": 0.1}]'),
        ("lines.json", b'{"task": "t", "prompt": "p, q", "a": 0.9, "b": 0.1}\n'),
    ],
)
def test_tables_are_read_as_programs_write_them(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    table = read(tmp_path / name)
    assert table.samples["prompt"].to_list() == ["p, q"]
    assert dict(table.scores.select("model", "score").iter_rows()) == {"a": 0.9, "b": 0.1}


def test_another_encoding_is_named_and_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("task,prompt,a\nt,Où?,1\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"not UTF-8.*encoding"):
        read(path)
    assert read(path, encoding="latin-1").samples["prompt"].to_list() == ["Où?"]
    with pytest.raises(SourceError, match="unknown encoding"):
        read(path, encoding="latin-99")


def test_words_and_nested_fields_can_be_scores(tmp_path: Path) -> None:
    path = csv(tmp_path, "task,prompt,a,b\nt,p,PASS,FAIL\nt,q,FAIL,PASS\n")
    with pytest.raises(SourceError, match=r'"a" holds PASS, FAIL; say what they mean .*words'):
        read(path)
    assert read(path, words={"pass": 1, "Fail": 0}).scores["score"].to_list() == [1, 0, 0, 1]
    row = {"task": "t", "prompt": "p", "model": "m", "metrics": {"acc": {"value": 0.5}}}
    nested = csv(tmp_path, json.dumps(row) + "\n", "x.jsonl")
    assert read(nested, score="metrics.acc.value").scores["score"].to_list() == [0.5]
    pl.DataFrame([row]).write_parquet(tmp_path / "x.parquet")
    columns = {"score": "metrics.acc.value"}
    assert read(tmp_path / "x.parquet", columns=columns).scores["score"].to_list() == [0.5]


@pytest.mark.parametrize(
    ("pattern", "files"),
    [("*.csv", "a"), ("**.csv", "a"), ("**/*.csv", "abc"), ("**", "abc"), ("?/*.csv", "b")],
)
def test_patterns_mean_the_same_files_in_every_python(
    tmp_path: Path, pattern: str, files: str
) -> None:
    paths = {"a": "ax.csv", "b": "b/bx.csv", "c": "b/c/cx.csv", "hidden": ".x.csv"}
    for name in paths.values():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert matching(tmp_path / pattern) == sorted(tmp_path / paths[letter] for letter in files)
    with pytest.raises(SourceError, match=r"matches no file"):
        matching(tmp_path / "none*")
