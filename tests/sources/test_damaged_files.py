"""Damaged files of each kind: what cannot be read is named and counted, and the rest is read."""

from __future__ import annotations

import csv
import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reading import copied

from litellm_benchrouter import sources
from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.record import SourceTable

HELM = "helm/benchmark_output/runs/v1"
STATS = "rt_arithmetic:model=forest_birch-70b/per_instance_stats.json"
BIRCH = "lm-eval/results/forest__birch-70b"
LM_EVAL = "samples_t_2026-11-22T03-04-40.122019.jsonl"
FOREIGN = "prompt,mistralai/Mixtral-8x7B-Instruct-v0.1,gpt-4-1106-preview\nOne?,True,False\n"
ROUTERBENCH = "sample_id,prompt,eval_name,small,large,small|total_cost,large|total_cost\n"


def read(kind: str, path: Path) -> SourceTable:
    if kind == "inspect" and sys.version_info < (3, 14):
        pytest.importorskip("zipfile_zstd", reason="needs zipfile-zstd to read the newer logs")
    return sources.read(kind, path, {})


def cut(file: Path, n_bytes: int) -> None:
    file.write_bytes(file.read_bytes()[:n_bytes])


def edit_lines(file: Path, change: Callable[[list[str]], object]) -> None:
    lines = file.read_text().splitlines()
    change(lines)
    file.write_text("\n".join(lines))


def mistake_samples(folder: Path) -> None:
    rows: list[dict[str, Any]] = json.loads((folder / STATS).read_bytes())
    del rows[3]["instance_id"]
    rows[5]["instance_id"] = "id999"
    (folder / STATS).write_text(json.dumps(rows))


def cut_log(folder: Path) -> None:
    cut(sorted(folder.glob("*.eval"))[0], 20_000)
    (folder / "settings.json").write_text('{"some": "other file"}')


def damage_sample(folder: Path) -> None:
    [log] = folder.glob("*_MLPDyyJaw6kKxyqixrKT25.eval")
    with zipfile.ZipFile(log) as archive:
        info = archive.getinfo("samples/units-03_epoch_1.json")
    content = bytearray(log.read_bytes())
    at = info.header_offset + 30 + len(info.filename) + 40
    content[at : at + 8] = bytes(8)
    log.write_bytes(content)


def cut_lines(folder: Path) -> None:
    def change(lines: list[str]) -> None:
        lines[6], lines[-1] = lines[6][:90], lines[-1][:40]

    edit_lines(sorted(folder.glob("samples_lr_tone_*"))[0], change)


def damage_results(folder: Path) -> None:
    def change(lines: list[str]) -> None:
        lines[6] = lines[6][:300]
        lines[9] = json.dumps(json.loads(lines[9]) | {"provider": {}})

    (folder / "units.json").unlink()  # which holds the same
    edit_lines(folder / "units.jsonl", change)
    cut(folder / "tone.json", -1000)
    (folder / "package.json").write_text('{"name": "other"}')


def cut_table(folder: Path) -> None:
    """Cut the file off within the fourth row, and put another tool's beside it."""
    file = folder / "routerbench_mbpp_test.csv"
    with file.open(newline="") as lines:
        reader = csv.reader(lines)
        for _ in range(4):
            next(reader)
        n_lines = reader.line_num
    content = file.read_text()
    start = "".join(content.splitlines(keepends=True)[:n_lines])
    file.write_text(content[: len(start) + 500])
    (folder / "a_foreign.csv").write_text(FOREIGN)


@pytest.mark.parametrize(
    ("kind", "original", "damage", "faults", "lost"),
    [
        ("helm", HELM, lambda folder: cut(folder / STATS, 5000),
         [rf"{STATS}: line \d+, column \d+ is not JSON"], 12),
        ("helm", HELM, mistake_samples,
         [rf"{STATS}: item\[3\] has no instance_id$",
          rf"{STATS}: item\[5\] has an instance_id that the run does not describe"], 2),
        ("inspect", "inspect/logs", cut_log,
         [r"\S+\.eval: is not a complete zip archive", "settings.json: has no eval"], 20),
        ("inspect", "inspect/logs", damage_sample,
         [r"\S+\.eval: samples/units-03_epoch_1\.json is damaged \("], 1),
        ("lm-eval", BIRCH, cut_lines,
         [rf"samples_lr_tone_\S+: line {n} is not JSON" for n in (7, 18)], 2),
        ("promptfoo", "promptfoo", damage_results,
         [r"package\.json: has no results\.results", r"tone\.json: line ",
          r"units\.jsonl: line 7 is not JSON",
          r"units\.jsonl: line 10 has no provider\.label and no provider\.id"], 54),
        ("routerbench", "routerbench_mbpp_test.csv", cut_table,
         [r"a_foreign\.csv: has no column sample_id", r"routerbench_mbpp_test\.csv: line "], 1375),
    ],
)  # fmt: skip
def test_what_is_damaged_is_named_and_the_rest_is_read(
    shared: Path,
    tmp_path: Path,
    kind: str,
    original: str,
    damage: Callable[[Path], object],
    faults: list[str],
    lost: int,
) -> None:
    folder = shared / "raw" / original
    if folder.is_dir():
        copied(folder, tmp_path)
    else:
        copied(folder.parent, tmp_path, lambda file: file.match(original))
    whole = read(kind, tmp_path).scores
    damage(tmp_path)
    table = read(kind, tmp_path)
    named = [words for words in table.dropped if words.startswith("file ")]
    assert len(named) == len(faults)
    for fault in faults:
        assert [words for words in named if re.match(f"file {fault}", words)], named
    both = table.scores.join(whole, on=["sample_id", "model"], suffix="_whole")
    assert whole.height - lost == both.height == table.scores.height
    # Of promptfoo, whose repetitions are averaged, two samples have lost one of two.
    is_same = both["score"].eq_missing(both["score_whole"])
    assert (~is_same).sum() <= 2 * (kind == "promptfoo")


@pytest.mark.parametrize(
    ("kind", "name", "content", "says"),
    [
        ("helm", "x.json", "{}", r"holds no run_spec\.json; give helm-run's"),
        ("inspect", "x.json", '{"eval": {"task": "t"}}', r"x\.json: has no model, and nothing"),
        ("inspect", "x.json", '{"eval": {"task": "t", "model": "m"},\n "samples": [',
         "line 2, column 14 is not JSON"),
        ("inspect", "x.json",
         '{"status": "cancelled", "eval": {"task": "t", "model": "m"}, "samples": []}',
         r"x\.json: holds no samples; its status is 'cancelled'"),
        ("lm-eval", LM_EVAL, '{"doc_id": 0, "acc": 1.0}\n',
         f"{LM_EVAL}: line 1 has no arguments, and nothing else"),
        ("mixinstruct", "x.jsonl", "id,prompt\n1,hello\n", r"x\.jsonl: line 1 is not JSON"),
        ("mixinstruct", "x.jsonl", '{"question": "?"}\n', "line 1 has no id, and nothing else"),
        ("mixinstruct", "x.jsonl", "", "is empty"),
        ("promptfoo", "x.json", '{"results": {"version": 3, "results": {}}}',
         r"x\.json: has no list at results\.results, and nothing"),
        ("promptfoo", "x.json", '{"results": {"results": []}}',
         r"holds no result with a score \(left out: nothing\)"),
        ("routerbench", "x.csv", FOREIGN, r"x\.csv: has no column sample_id"),
        ("routerbench", "x.csv", "sample_id,prompt,eval_name,small\na,One?,t,1\n", "kind: table"),
        ("routerbench", "x.csv", ROUTERBENCH + "a,One?,t\n", "line 2 has not the 7 fields"),
    ],
)  # fmt: skip
def test_where_nothing_remains_the_error_names_the_file_and_the_place(
    tmp_path: Path, kind: str, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=says) as caught:
        read(kind, tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_run_of_which_nothing_remains_is_named_with_the_line(
    shared: Path, tmp_path: Path
) -> None:
    run = copied((shared / "raw" / HELM / STATS).parent, tmp_path / "v1" / "run")
    file = run / "per_instance_stats.json"
    file.write_text('[\n{"instance_id": "id1",\n')
    with pytest.raises(SourceError, match=f"^{file}: line 3, column 1 is not"):
        read("helm", tmp_path)
