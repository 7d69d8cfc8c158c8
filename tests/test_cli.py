"""The commands as a person and as a program meet them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml

import litellm_benchrouter
from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.cli import cli
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.store.directory import Store

CODE = "Write a Python function that reverses a queue of seeds without recursion."


def router_of(folder: Path) -> BenchRouter:
    store = Store(folder / "router_artifacts")
    return BenchRouter(read_artifact(store.folder(store.current() or "")))


# benchrouter build


def test_build_says_what_was_read_what_was_left_out_and_which_version_serves(tmp_path, benchrouter):
    config = tiny.write(tmp_path)
    table = (tmp_path / "benchmark.csv").read_text().splitlines()
    table[1] = table[1].replace(tiny.prompt(0), "")
    (tmp_path / "benchmark.csv").write_text("\n".join(table) + "\n")
    ended = benchrouter("build", "--config", config)
    version = Store(tmp_path / "router_artifacts").current()
    assert (ended.code, ended.err) == (0, "")
    assert "1 empty prompts" in ended.out
    assert "79 samples, 4 tasks, 4 models; best on average: " in ended.out
    assert "index: recall 1.0000 at ef=64; embedded now: 0; " in ended.out
    assert "Warning: vectors were given without the embedder" in ended.out
    assert f"Version {version} is current: {tmp_path}/router_artifacts/versions/" in ended.out

    ended = benchrouter("build", "--config", config)
    assert f"Version {version} is current already, nothing changed" in ended.out


def test_build_as_json_is_one_document_with_the_manifest(tmp_path, benchrouter):
    config = tiny.write(tmp_path)
    ended = benchrouter("build", "--config", config, "--json")
    document = ended.document
    store = Store(tmp_path / "router_artifacts")
    assert (ended.code, ended.err) == (0, "")
    assert set(document) == {
        *("version", "folder", "unchanged", "published", "verdict", "manifest"),
    }
    assert document["version"] == store.current()
    assert Path(document["folder"]) == store.folder(document["version"])
    assert document["unchanged"] is False
    written = tiny.read_document(Path(document["folder"]))
    assert document["manifest"] == written | {"second": None, "cascade": None}
    assert benchrouter("build", "--config", config, "--json").document["unchanged"] is True


def test_vectors_are_given_by_option_and_the_file_must_be_there(tmp_path, benchrouter):
    tiny.write(tmp_path)
    config = tiny.configure(tmp_path, sources=[{"path": "benchmark.csv"}])
    ended = benchrouter(
        "build", "--config", config, "--embeddings", tmp_path / "vectors.npy", "--json"
    )
    assert ended.code == 0
    assert ended.document["manifest"]["embedder"]["dimension"] == 8
    ended = benchrouter("build", "--config", config, "--embeddings", tmp_path / "nowhere.npy")
    assert ended.code == 2
    assert ended.err.startswith(f"Error: --embeddings: {tmp_path}/nowhere.npy is not a .npy file")


def test_the_configuration_may_come_from_the_environment(tmp_path, benchrouter, monkeypatch):
    config = tiny.write(tmp_path)
    monkeypatch.setenv("CONFIG_FILE_PATH", str(config))
    assert benchrouter("build", "--json").code == 0
    monkeypatch.setenv("BENCHROUTER_CONFIG", str(tmp_path / "nowhere.yaml"))
    assert "nowhere.yaml" in benchrouter("build").err


def test_an_unexpected_failure_shows_itself_as_a_bug_of_ours(tmp_path, benchrouter, monkeypatch):
    monkeypatch.setattr("litellm_benchrouter.cli.build.build", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        benchrouter("build", "--config", tiny.write(tmp_path))


# benchrouter explain


def test_explain_as_json_holds_the_whole_decision(demo_built, benchrouter):
    router = router_of(demo_built)
    expected = router.explain(CODE)
    artifacts = demo_built / "router_artifacts"
    ended = benchrouter("explain", "--artifacts", artifacts, "--json", CODE)
    document = ended.document
    assert (ended.code, ended.err) == (0, "")
    assert set(document) == {
        *("pick", "method", "reason", "task", "artifact", "ranking", "scores", "g", "average"),
        *("task_scores", "u", "neighbors", "labels"),
        *("policy", "probability", "expected_cost", "cost_basis", "cost_unit", "embedder"),
    }
    assert document["pick"] == document["ranking"][0] == "coder-14b"
    assert document["ranking"] == list(expected.decision.ranking)
    assert document["method"] == expected.decision.method
    assert document["reason"] == expected.decision.reason
    assert document["scores"] == pytest.approx(expected.decision.scores)
    assert document["g"] == pytest.approx(expected.g)
    assert document["average"] == pytest.approx(expected.average)
    assert document["artifact"] == router.artifact.manifest.version
    assert (document["task"], document["u"], document["task_scores"]) == (None, None, {})
    assert [tuple(near.values()) for near in document["neighbors"]] == [
        (sample, task, pytest.approx(distance)) for sample, task, distance in expected.neighbors
    ]
    assert len(document["neighbors"]) == 5
    assert {near["task"] for near in document["neighbors"]} == {"code"}


def test_explain_shows_the_same_to_people(demo_built, benchrouter):
    artifacts = demo_built / "router_artifacts"
    ended = benchrouter("explain", "--artifacts", artifacts, CODE)
    assert ended.code == 0
    assert "Pick: coder-14b\n" in ended.out
    expected = router_of(demo_built).explain(CODE)
    assert expected.decision.reason in ended.out.replace("\n", " ")
    for sample, _, distance in expected.neighbors:
        assert any(sample in line and f"{distance:.3f}" in line for line in ended.out.splitlines())
    for model in expected.decision.ranking:
        assert model in ended.out


def test_explain_a_named_task_over_some_models(tiny_built, benchrouter):
    config = tiny_built / "config.yaml"
    expected = router_of(tiny_built).explain("", task="new", models=["bee", "dog"])
    document = benchrouter(
        "explain", "--config", config, "--task", "new", "--models", " dog, bee,", "--json"
    ).document
    assert document["ranking"] == list(expected.decision.ranking)
    assert document["task"] == "new"
    assert document["u"] == pytest.approx(expected.u)
    assert document["task_scores"] == {
        model: pytest.approx(scores) for model, scores in expected.task_scores.items()
    }
    assert document["g"] == {"bee": None, "dog": None}  # JSON has no NaN
    assert document["neighbors"] == []
    ended = benchrouter("explain", "--config", config, "--task", "new")
    assert ended.code == 0
    for word in ("S1", "S2", "S3", *tiny.MODELS):
        assert word in ended.out


def test_explain_an_unknown_task_says_so(demo_built, benchrouter):
    artifacts = demo_built / "router_artifacts"
    ended = benchrouter("explain", "--artifacts", artifacts, "--task", "nobody's", CODE, "--json")
    assert ended.document["reason"].startswith("the task is not in the artifact; ")
    assert ended.document["pick"] == "coder-14b"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "PROMPT is missing. Add one, or name a task with --task NAME."),
        (
            ["--models", "ant,eel", "x"],
            "--models: the benchmark does not know eel. Use some of ",
        ),
    ],
)
def test_explain_refuses_what_it_cannot_explain(tiny_built, benchrouter, arguments, said):
    ended = benchrouter("explain", "--config", tiny_built / "config.yaml", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path, benchrouter):
    (tmp_path / "benchmark.csv").write_text(
        "sample_id,task,prompt,model,score\n"
        + "".join(
            f"[/s{i}],[bold]:smile:,some words {i % 7},[red]model,{i % 2}\n" for i in range(30)
        )
    )
    config = tiny.configure(
        tmp_path, sources=[{"path": "benchmark.csv"}], embedder={"kind": "lexical"}, tasks={}
    )
    assert "[red]model" in benchrouter("build", "--config", config).out
    shown = benchrouter("explain", "--config", config, "some words")
    assert shown.code == 0
    assert "[/s" in shown.out
    assert "[bold]:smile:" in shown.out
    shown = benchrouter("inspect", "--config", config)
    assert shown.code == 0
    assert "[red]model" in shown.out


# benchrouter inspect


def test_inspect_as_json_is_the_manifest_with_the_decisions(tiny_built, benchrouter):
    router = router_of(tiny_built)
    ended = benchrouter("inspect", "--config", tiny_built / "config.yaml", "--json")
    document = ended.document
    manifest = tiny.read_document(router.artifact.folder)
    assert (ended.code, ended.err) == (0, "")
    assert set(document) == {*manifest, "second", "cascade", "task_accuracy"}
    for key in set(manifest) - {"named_tasks"}:
        assert document[key] == manifest[key]
    new, decision = document["named_tasks"]["new"], router.decide("", task="new")
    assert (new["pick"], new["method"], new["n_inputs"]) == (decision.pick, decision.method, 24)
    assert new["reason"] == decision.reason
    assert [row["model"] for row in new["ranking"]] == list(decision.ranking)
    scores = router.artifact.named_tasks["new"]
    for row in new["ranking"]:
        m = tiny.MODELS.index(row["model"])
        for key in ("s1", "s2", "s3", "p"):
            assert row[key] == pytest.approx(getattr(scores, key)[m])
    for d, task in enumerate(tiny.TASKS):
        assert list(document["task_accuracy"][task].values()) == pytest.approx(
            router.artifact.task_accuracy[d].tolist()
        )


def test_inspect_shows_models_tasks_and_named_tasks_to_people(tiny_built, benchrouter):
    ended = benchrouter("inspect", "--config", tiny_built / "config.yaml")
    artifact = router_of(tiny_built).artifact
    assert (ended.code, ended.err) == (0, "")
    assert f"Version {artifact.manifest.version}, schema " in ended.out
    assert "Holds: 80 samples of 4 tasks, " in ended.out
    assert "Index: finds 100.00 % of the 5 nearest samples" in ended.out
    assert "Named task new: " in ended.out
    for m, model in enumerate(tiny.MODELS):
        assert any(
            model in line and f"{artifact.average[m]:.3f}" in line
            for line in ended.out.splitlines()
        )
    for task in tiny.TASKS:
        assert task in ended.out


def test_another_version_is_inspected_by_its_id(tmp_path, benchrouter):
    config = tiny.write(tmp_path)
    first = benchrouter("build", "--config", config, "--json").document["version"]
    tiny.configure(tmp_path, seed=1)
    second = benchrouter("build", "--config", config, "--json").document["version"]
    assert first != second
    for option, version in (([], second), (["--version", first], first)):
        shown = benchrouter("inspect", "--config", config, "--json", *option)
        assert shown.document["version"] == version


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0123456789abcdef", "holds no version 0123456789abcdef; it holds "),
        ("latest", "'latest' is not a version id"),
        ("../../..", "is not a version id"),
    ],
)
def test_a_version_that_is_not_there_is_refused(tiny_built, benchrouter, version, said):
    ended = benchrouter("inspect", "--config", tiny_built / "config.yaml", "--version", version)
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_where_nothing_was_published_the_way_out_is_told(tmp_path, benchrouter, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["inspect"], ["explain", "a prompt"]):
        ended = benchrouter(*command)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == (
            "Error: router_artifacts: no version is published. Run `benchrouter build --config "
            "FILE`.\n"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_version_is_refused_by_the_name_of_its_file(tiny_folder, benchrouter):
    folder = router_of(tiny_folder).artifact.folder
    content = np.load(folder / "task.npy")
    np.save(folder / "task.npy", content[::-1])
    for command in (["inspect"], ["explain", "a prompt"]):
        ended = benchrouter(*command, "--config", tiny_folder / "config.yaml")
        assert (ended.code, ended.out) == (1, "")
        assert f"{folder}/task.npy has SHA-256" in ended.err
        assert ended.err.count("\n") == 1


# The command itself


def test_the_installed_command_ends_in_one_sentence_and_not_in_a_traceback(tmp_path):
    installed = Path(sys.executable).with_name("benchrouter")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"benchrouter": {"sorces": []}}))
    ended = subprocess.run(
        [installed, "build", "--config", config], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"Error: {config}: unknown key `benchrouter.sorces`")
    assert ended.stderr.count("\n") == 1


def test_building_and_explaining_leave_heavy_libraries_alone(tmp_path):
    config = tiny.write(tmp_path)
    script = (
        "import json, sys\n"
        "from litellm_benchrouter.cli import cli\n"
        "for command in (['build', '--json'], ['explain', '--json', '--task', 'new']):\n"
        "    cli([*command, '--config', sys.argv[1]], standalone_mode=False)\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(json.dumps(sorted(names & {'torch', 'sentence_transformers', 'matplotlib'})))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(config)], capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("command", cli.list_commands(None))
def test_every_command_explains_itself_and_help_lists_its_first_sentence(benchrouter, command):
    ended = benchrouter(command, "--help")
    lines = " ".join(benchrouter("--help").out.split())

    assert ended.code == 0
    assert ended.out.startswith("Usage: ")
    sentence = " ".join(cli.get_command(None, command).help.partition("\n\n")[0].split())
    assert f" {command} {sentence} " in f"{lines} "


def test_help_loads_no_command_and_no_library_that_one_needs():
    script = (
        "import sys\n"
        "from litellm_benchrouter.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "loaded = {'numpy', 'pydantic', 'rich', 'polars', 'litellm'} & set(sys.modules)\n"
        "ours = {name for name in sys.modules if name.startswith('litellm_benchrouter.')}\n"
        "print(sorted(loaded), sorted(ours))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == (
        "[] ['litellm_benchrouter.cli', 'litellm_benchrouter.errors']"
    )


def test_public_names_are_there_and_others_are_not():
    assert {
        getattr(litellm_benchrouter, name).__name__ for name in litellm_benchrouter.__all__
    } == {*litellm_benchrouter.__all__}
    with pytest.raises(AttributeError, match="has no attribute 'Artefact'"):
        _ = litellm_benchrouter.Artefact


@pytest.mark.parametrize("arguments", [["bild"], ["build", "--confg", "x"], ["explain", "a", "b"]])
def test_what_is_no_command_is_refused_with_its_usage(benchrouter, arguments):
    ended = benchrouter(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: " in ended.err


def test_the_version_is_the_packages(benchrouter):
    from importlib.metadata import version

    assert benchrouter("--version").out.strip().endswith(version("litellm-benchrouter"))


# Policies


def test_explain_takes_a_policy_and_inspect_suggests_weights(demo_built, benchrouter):
    artifacts = demo_built / "router_artifacts"
    asked = ("explain", "--artifacts", artifacts, "--policy", "within:1", CODE)
    document = benchrouter(*asked, "--json").document
    assert (document["pick"], document["policy"]) == ("spark-3b", "within:1")
    assert (document["cost_basis"], document["cost_unit"]) == ("costs by price", "usd")
    assert document["expected_cost"]["spark-3b"] == min(document["expected_cost"].values())
    assert "Policy: within:1" in benchrouter(*asked).out
    shown = benchrouter("inspect", "--artifacts", artifacts).out
    assert "At equal quality: balanced:" in shown
    assert "Calibration: P(success) is off by 0." in shown


def test_a_policy_that_is_none_is_refused_in_one_sentence(demo_built, benchrouter):
    artifacts = demo_built / "router_artifacts"
    ended = benchrouter("explain", "--artifacts", artifacts, "--policy", "thrifty", CODE)
    assert ended.code == 2
    assert ended.err.startswith("Error: --policy: 'thrifty' is not a policy; write quality,")


def test_evaluate_takes_some_samples_of_each_task_and_says_so(tmp_path, benchrouter):
    config = tiny.write(tmp_path, n=400)
    asked = ("evaluate", "--config", config, "--protocol", "request", "--runs", "1")
    file = tmp_path / "found.json"
    ended = benchrouter(*asked, "--samples", "120", "--json", file)
    assert ended.code == 0, ended.err
    assert "120 of 400 samples, of each task alike." in ended.out
    protocol = json.loads(file.read_text())["protocol"]
    assert protocol["samples"] == {"taken": 120, "of": 400}
    assert "of each task alike" not in benchrouter(*asked).out
