"""What holds for every reader of a tool's files, by its name in the configuration."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from litellm_benchrouter import sources
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.paper.benchmark import MISSING
from litellm_benchrouter.sources.merge import SourceJudgement, merge
from litellm_benchrouter.sources.record import SourceTable

RAW = {
    "helm": "helm",
    "inspect": "inspect",
    "lm-eval": "lm-eval/results",
    "promptfoo": "promptfoo",
    "routerbench": "routerbench_mbpp_test.csv",
}
NUMBERS = ("score", "cost_usd", "prompt_tokens", "completion_tokens", "log_likelihood")


def read_raw(shared: Path, kind: str) -> SourceTable:
    if kind == "inspect" and sys.version_info < (3, 14):
        pytest.importorskip("zipfile_zstd", reason="needs zipfile-zstd to read the newer logs")
    return sources.read(kind, shared / "raw" / RAW[kind], {})


@pytest.mark.parametrize("kind", RAW)
def test_a_table_keeps_the_contract(shared: Path, kind: str) -> None:
    table = read_raw(shared, kind)
    assert table.samples["sample_id"].is_unique().all()
    assert table.scores.select("sample_id", "model").is_unique().all()
    assert set(table.scores["sample_id"]) <= set(table.samples["sample_id"])
    assert table.samples.null_count().select("sample_id", "task", "prompt").row(0) == (0, 0, 0)
    for name, dtype in table.scores.drop("sample_id", "model").schema.items():
        assert name in NUMBERS or name.startswith("metric:")
        assert dtype == pl.Float64
        assert table.scores[name].is_finite().all(ignore_nulls=True)
    assert all(n > 0 for n in table.dropped.values())


@pytest.mark.parametrize("kind", RAW)
def test_a_table_becomes_a_benchmark(shared: Path, kind: str) -> None:
    table = read_raw(shared, kind)
    benchmark, _ = merge([(table, SourceJudgement(kind))], aliases={}, facts={})
    scored = table.scores.drop_nulls("score")
    assert len(benchmark) == scored["sample_id"].n_unique()
    assert set(benchmark.models) == set(scored["model"])
    assert int((benchmark.correctness != MISSING).sum()) == scored.height
    np.testing.assert_allclose(np.nansum(benchmark.scores), scored["score"].sum(), rtol=1e-5)


@pytest.mark.parametrize("kind", sorted({*sources.READERS} - {"table"}))
def test_an_unknown_option_and_a_missing_path_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match='no option "colour"'):
        sources.read(kind, tmp_path, {"colour": "red"})
    with pytest.raises(SourceError, match="does not exist"):
        sources.read(kind, tmp_path / "nowhere", {})
    with pytest.raises(SourceError, match=str(tmp_path)):
        sources.read(kind, tmp_path, {})


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("helm", ConfigError, "option prompt is 'output'"),
        ("inspect", ConfigError, "option prompt is 'output'"),
        ("lm-eval", SourceError, 'prompt is "output"; choose among input, request and doc.FIELD'),
        ("promptfoo", SourceError, 'prompt is "output"; choose request or vars.NAME'),
    ],
)
def test_a_value_that_an_option_does_not_have_is_refused(
    tmp_path: Path, kind: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        sources.read(kind, tmp_path, {"prompt": "output"})
