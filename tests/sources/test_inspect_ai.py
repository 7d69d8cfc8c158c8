"""`kind: inspect` against what Inspect AI itself wrote: .eval new and old, and .json."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from reading import by_sample, means, prompts

from litellm_benchrouter.errors import SourceError
from litellm_benchrouter.sources.inspect_ai import _archive, read

MODELS = ["rules/birch-70b", "rules/cedar-13b", "rules/maple-7b"]


@pytest.fixture
def logs(shared: Path) -> Path:
    if sys.version_info < (3, 14):
        pytest.importorskip("zipfile_zstd", reason="needs zipfile-zstd to read the newer logs")
    return shared / "raw" / "inspect"


@pytest.fixture
def document(shared: Path) -> dict[str, Any]:
    """One log with 15 samples of one model, as the tool wrote it."""
    [file] = (shared / "raw" / "inspect" / "json").glob("*_LgPoWuxLuo9NWcGL2QcZ7Q.json")
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def header(file: Path) -> dict[str, Any]:
    with _archive(file) as archive:
        found: dict[str, Any] = json.loads(archive.read("header.json"))
    return found


def written(folder: Path, document: dict[str, Any], name: str = "log.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(document))
    return file


def samples(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["samples"]
    return found


@pytest.mark.parametrize("folder", ["logs", "logs-0.3.120"])
def test_the_means_are_those_of_the_tool_for_every_task_model_and_scorer(
    logs: Path, folder: str
) -> None:
    table = read(logs / folder)
    checked = 0
    for file in (logs / folder).glob("*.eval"):
        stated = header(file)
        key = stated["eval"]["task"], stated["eval"]["model"]
        for i, score in enumerate(stated["results"]["scores"]):
            if score.get("reducer") == "at_least_1":
                continue
            metrics = score["metrics"]
            own = metrics.get("accuracy", metrics.get("mean"))["value"]
            part = score["scorer"] != score["name"]
            name = f"{score['scorer']}.{score['name']}" if part else score["name"]
            assert means(table, f"metric:{name}")[key] == pytest.approx(own)
            if i == 0:
                assert means(table)[key] == pytest.approx(own)
            checked += 1
    assert checked == {"logs": 9 + 15, "logs-0.3.120": 2 + 10}[folder]


def test_an_error_is_missing_and_not_wrong(logs: Path) -> None:
    table = read(logs / "logs")
    units = by_sample(table, "rules/maple-7b")
    assert [key for key, score in units.items() if score is None] == ["units/units-07"]
    assert table.dropped == {"samples with an error, which are missing and not wrong": 1}
    assert means(table)["units", "rules/maple-7b"] == pytest.approx(8 / 14)


def test_a_run_that_failed_keeps_the_samples_it_scored(logs: Path) -> None:
    table = read(logs / "logs-error")
    assert table.scores["score"].count() == 14
    assert means(table)["units", "rules/maple-7b"] == pytest.approx(8 / 14)


def test_the_two_forms_of_a_log_hold_the_same(logs: Path) -> None:
    as_json = read(logs / "json")
    of_eval = read(logs / "logs").scores
    joined = as_json.scores.join(of_eval, on=["sample_id", "model"], suffix="_eval")
    assert joined.height == as_json.scores.height == 30
    for name in ("score", "log_likelihood", "prompt_tokens", "completion_tokens"):
        assert joined[name].to_list() == joined[f"{name}_eval"].to_list()


def test_a_run_that_is_there_twice_counts_once_and_a_successful_one_goes_first(logs: Path) -> None:
    everything = read(logs)
    assert means(everything) == pytest.approx(means(read(logs / "logs")))
    assert everything.dropped == {
        "logs of a run that another log holds": 2,
        "runs of which a successful, fuller or newer one is there": 5,
        "samples with an error, which are missing and not wrong": 1,
    }


def test_of_two_runs_the_newer_is_read(document: dict[str, Any], tmp_path: Path) -> None:
    written(tmp_path, document, "b.json")
    document["eval"] |= {"eval_id": "retried", "created": "2026-11-22T02:00:00-05:00"}
    for sample in samples(document):
        for score in sample["scores"].values():
            score["value"] = 0.25
    written(tmp_path, document, "a.json")
    assert means(read(tmp_path)) == {("units", "rules/maple-7b"): 0.25}


def test_a_run_that_succeeded_is_read_before_a_newer_one_that_failed(
    document: dict[str, Any], tmp_path: Path
) -> None:
    written(tmp_path, document, "b.json")
    later = {"eval_id": "retried", "created": "2027-01-01T00:00:00+00:00"}
    failed = document | {"status": "error", "eval": document["eval"] | later}
    failed["samples"] = samples(document)[:2]
    written(tmp_path, failed, "a.json")
    assert read(tmp_path).samples.height == 15


def test_epochs_are_averaged(logs: Path) -> None:
    table = read(logs / "logs")
    [file] = (logs / "logs").glob("*arithmetic_HHuqiYuEoJS72sijDVc3Ph.eval")
    with _archive(file) as archive:
        [reduced] = [
            r for r in json.loads(archive.read("reductions.json")) if r["reducer"] == "mean"
        ]
    assert len(reduced["samples"]) == 24
    [model] = {header(file)["eval"]["model"]}
    arithmetic = by_sample(table, model, "metric:match")
    for sample in reduced["samples"]:
        assert arithmetic[f"arithmetic/{sample['sample_id']}"] == sample["value"]
    assert {0.0, 0.5, 1.0} == {value for value in arithmetic.values() if value is not None}


def test_a_scorer_or_one_of_its_values_can_be_chosen(logs: Path) -> None:
    table = read(logs / "logs", scorer=["parts.unit", "choice", "match"])
    assert means(table)["units", "rules/maple-7b"] == pytest.approx(12 / 14)
    assert means(table)["antonyms", "rules/cedar-13b"] == pytest.approx(0.6)
    with pytest.raises(SourceError, match=r"no scorer parts; choose among .*parts\.number"):
        read(logs / "logs", scorer="parts")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0)),
        *((True, 1.0), (False, 0.0), (0.25, 0.25), ("0.75", 0.75), ("Yes", 1.0), ("FALSE", 0.0)),
        *((float("nan"), None), ("excellent", None), (None, None)),
        *(([0.5, 1.0], 0.5), ({"a": "P"}, 0.5)),
    ],
)
def test_a_value_is_read_as_the_tool_reads_it(
    document: dict[str, Any], tmp_path: Path, value: object, expected: float | None
) -> None:
    samples(document)[0]["scores"] = {"graded": {"value": value}}
    table = read(written(tmp_path, document))
    assert by_sample(table, "rules/maple-7b")["units/units-00"] == expected
    words = "samples without a value that is a number"
    assert table.dropped[words] == (1 if expected is None else 0)


def test_the_prompt_is_the_question_or_the_last_message_that_was_sent(logs: Path) -> None:
    asked, sent = prompts(read(logs / "logs")), prompts(read(logs / "logs", prompt="request"))
    assert asked["units/units-00"] == "How many centimetres are there in 2 metres?"
    assert asked["antonyms/antonyms-00"] == 'Which word is the opposite of "hot"?'
    assert sent["antonyms/antonyms-00"].startswith("Answer the following multiple choice question")
    assert sent["antonyms/antonyms-00"].endswith("D) rude")


def test_references_of_lettered_choices_are_their_texts(logs: Path) -> None:
    own = dict(read(logs / "logs").samples.select("sample_id", "reference").iter_rows())
    assert own["antonyms/antonyms-00"] == "cold"
    assert own["units/units-00"] == "200 centimetres"


def test_log_likelihoods_and_tokens_are_those_of_the_samples(
    document: dict[str, Any], tmp_path: Path
) -> None:
    table = read(written(tmp_path, document))
    likelihood = by_sample(table, "rules/maple-7b", "log_likelihood")
    tokens = by_sample(table, "rules/maple-7b", "completion_tokens")
    for sample in samples(document):
        if "error" in sample:
            continue
        content = sample["output"]["choices"][0]["logprobs"]["content"]
        own = sum(token["logprob"] for token in content)
        assert likelihood[f"units/{sample['id']}"] == pytest.approx(own)
        usage = sample["model_usage"]["rules/maple-7b"]["output_tokens"]
        assert tokens[f"units/{sample['id']}"] == usage


def test_arguments_that_were_passed_make_another_task(
    document: dict[str, Any], tmp_path: Path
) -> None:
    document["eval"] |= {"task_args_passed": {"level": 2}, "task_args": {"level": 2, "seed": 1}}
    assert means(read(written(tmp_path, document))).keys() == {("units:level=2", "rules/maple-7b")}


def test_invalidated_samples_are_missing(document: dict[str, Any], tmp_path: Path) -> None:
    samples(document)[0]["invalidation"] = {"author": "someone"}
    table = read(written(tmp_path, document))
    assert by_sample(table, "rules/maple-7b")["units/units-00"] is None
    assert table.dropped["samples that were invalidated"] == 1


def test_a_run_that_was_killed_is_read_from_its_journal(
    document: dict[str, Any], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "killed.eval", "w") as archive:
        archive.writestr("_journal/start.json", json.dumps({"eval": document["eval"]}))
        for sample in samples(document)[:3]:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    assert read(tmp_path).scores["score"].count() == 3


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python reads Zstandard from 3.14 on")
def test_without_the_package_for_zstandard_the_error_names_it(shared: Path, tmp_path: Path) -> None:
    folder = shared / "raw" / "inspect"
    code = (
        "import sys; sys.modules['zipfile_zstd'] = None\n"
        "from pathlib import Path\n"
        "from litellm_benchrouter.errors import SourceError\n"
        "from litellm_benchrouter.sources.inspect_ai import read\n"
        "print(read(Path(sys.argv[1])).samples.height)\n"
        "try: read(Path(sys.argv[2]))\n"
        "except SourceError as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder / "logs-0.3.120"), str(folder / "logs")],
        check=True,
        capture_output=True,
        text=True,
    )
    older, newer = ran.stdout.splitlines()
    assert older == "33"
    assert newer.endswith("itself reads from 3.14 on; pip install zipfile-zstd.")
