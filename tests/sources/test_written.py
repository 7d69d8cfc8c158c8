"""What holds for every reader of files in a tool's layout, on small invented ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from reading import means, prompts
from written import MEANS, QUESTIONS, WRITERS

from litellm_benchrouter import sources
from litellm_benchrouter.cli import cli
from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.merge import SourceJudgement, merge


@pytest.fixture(params=sorted(MEANS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(kind: str, tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    return WRITERS[kind](folder)


def test_the_means_are_those_that_the_tool_states(kind: str, path: Path) -> None:
    table = sources.read(kind, path, {})
    assert means(table) == pytest.approx(MEANS[kind])
    assert set(prompts(table).values()) == {prompt for _, prompt, _ in QUESTIONS.values()}
    assert table.samples["sample_id"].is_unique().all()
    assert not table.warnings
    benchmark, _ = merge([(table, SourceJudgement(kind))], aliases={}, facts={})
    assert len(benchmark) == len(QUESTIONS)


def test_check_finds_the_format_out(kind: str, path: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(path), "--json"])
    document = json.loads(result.output)
    assert (result.exit_code, document["kind"]) == (0, kind), document["problem"]
    assert document["yaml"]


def test_a_foreign_and_an_empty_file_cost_nothing_else(kind: str, path: Path) -> None:
    folder = path if path.is_dir() else path.parent
    for ending in ("json", "jsonl", "csv", "parquet"):
        (folder / f"foreign_score.{ending}").write_text('{"foreign": true}\n')
        (folder / f"empty_eval_results.{ending}").write_text("")
    table = sources.read(kind, folder, {})
    assert sorted(means(table).values()) == pytest.approx(sorted(MEANS[kind].values()))
    if kind not in ("swe-bench", "embedllm"):
        assert any("foreign" in words or "empty" in words for words in table.dropped)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_files_that_were_cut_off_are_named_or_refused(kind: str, path: Path, share: float) -> None:
    folder = path if path.is_dir() else path.parent
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            file.write_bytes(content[: int(share * len(content))])
            try:
                table = sources.read(kind, path, {})
            except SourceError as error:
                assert str(folder) in str(error) or "models" in str(error)
            else:
                assert table.results["score"].count()
            file.write_bytes(content)


def test_rows_without_what_they_need_are_named(kind: str, path: Path) -> None:
    """Drop or change each key of JSON rows in turn: a SourceError or a table, nothing else."""
    folder = path if path.is_dir() else path.parent
    for file in sorted(folder.rglob("*.json*")):
        text = file.read_text()
        for key in sorted({part.partition('"')[0] for part in text.split('"')[1::2]}):
            odd = ('{"odd": [1]}', "[[1]]", "7.5", '"odd"')
            changes = [f'"no_{key}": ', *(f'"{key}": {value}, "x": ' for value in odd)]
            for change in changes:
                file.write_text(text.replace(f'"{key}": ', change))
                try:
                    sources.read(kind, path, {})
                except SourceError as error:
                    assert "\n" not in str(error)
        file.write_text(text)
