"""`kind: routerbench` against a piece of the real table, and against damaged copies of it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from reading import by_sample, means, prompts

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.routerbench import read

HEADER = "sample_id,prompt,eval_name,small,large,small|total_cost,large|total_cost"


@pytest.fixture
def real(shared: Path) -> Path:
    return shared / "raw" / "routerbench_mbpp_test.csv"


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    file = folder / "routerbench.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_scores_and_costs_are_those_of_the_columns(real: Path) -> None:
    table, wide = read(real), pl.read_csv(real)
    models = [name.removesuffix("|total_cost") for name in wide.columns if "|total_cost" in name]
    assert len(models) == 11
    for column, suffix in {"score": "", "cost_usd": "|total_cost"}.items():
        own = {("mbpp", model): wide[f"{model}{suffix}"].mean() for model in models}
        assert means(table, column) == pytest.approx(own)
    assert set(table.scores["model"]) == set(models)
    assert table.dropped == {}


def test_the_answers_are_those_of_the_set_made_from_the_whole_table(
    real: Path, shared: Path
) -> None:
    theirs = pl.read_parquet(shared / "data" / "routerbench" / "scores.parquet")
    both = read(real).scores.join(theirs, on=["sample_id", "model"], suffix="_theirs")
    assert both.height > 1000
    assert (both["score"] == both["score_theirs"]).all()
    assert both["cost_usd"].to_list() == pytest.approx(both["cost_usd_theirs"].to_list())


def test_a_prompt_written_as_a_list_is_joined(real: Path, tmp_path: Path) -> None:
    assert prompts(read(real))["mbpp.dev.1"] == (
        "Write a python function to identify non-prime numbers."
    )
    file = written(
        tmp_path,
        """a,"['First turn', ""It's the second""]",chat,1.0,0.5,0.1,0.2""",
        """b,"[1, 2] is a list; what is its sum?",chat,1.0,0.5,0.1,0.2""",
        """c,"[__import__('os').getcwd()]",chat,1.0,0.5,0.1,0.2""",
        """d,"[3, 4]",chat,1.0,0.5,0.1,0.2""",
    )
    assert prompts(read(file)) == {
        "a": "First turn\nIt's the second",
        "b": "[1, 2] is a list; what is its sum?",
        "c": "[__import__('os').getcwd()]",
        "d": "[3, 4]",
    }


def test_what_is_no_score_is_missing_and_counted(tmp_path: Path) -> None:
    file = written(
        tmp_path, "a,One?,t,,1.0,0.1,0.2", "b,Two?,t,nan,False,,0.2", "b,Two?,t,1.0,1.0,0.1,0.2"
    )
    table = read(file)
    assert by_sample(table, "small") == {"a": None, "b": None}
    assert by_sample(table, "large") == {"a": 1.0, "b": 0.0}
    assert by_sample(table, "small", "cost_usd") == {"a": 0.1, "b": None}
    assert table.dropped == {
        "empty scores": 1,
        "scores that are not numbers": 1,
        "rows whose sample_id was there before": 1,
    }


def test_a_row_of_another_length_is_named_and_the_others_stay(real: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "a,One?,t,1.0,1.0,0.1,0.2", "b,Two?,t", "c,Three?,t,0.0,1.0,0.1,0.2")
    table = read(file)
    assert by_sample(table, "small") == {"a": 1.0, "c": 0.0}
    assert table.dropped == {"file routerbench.csv: line 3 has not the 7 fields of the header": 1}


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    file = tmp_path / "routerbench_0shot.pkl"
    file.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(SourceError, match="convert it to CSV"):
        read(file)
