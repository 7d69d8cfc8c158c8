"""`benchrouter doctor` as a person and as a program meet it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.yaml"


def test_the_demo_is_well(demo_built, benchrouter):
    ended = benchrouter("doctor", "--config", demo_built / "config.yaml")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert all(line.startswith("ok   ") for line in lines[:-1])
    assert lines[-1] == f"{len(lines) - 1} ok, 0 warn, 0 fail"


def test_the_example_configuration_with_the_demos_artifact(
    demo_built, tmp_path, benchrouter, monkeypatch
):
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LITELLM_MASTER_KEY"):
        monkeypatch.setenv(name, "sk-a-secret-that-nobody-may-see")
    shutil.copytree(demo_built / "router_artifacts", tmp_path / "router_artifacts")
    config = Path(shutil.copy(EXAMPLE, tmp_path))
    ended = benchrouter("doctor", "--config", config, "--json")
    assert (ended.code, ended.err) == (1, "")
    assert "secret" not in ended.out
    document = ended.document
    assert set(document) == {"config", "status", "counts", "findings"}
    assert (document["config"], document["status"]) == (str(config), "fail")
    assert set(document["counts"]) == {"ok", "warn", "fail"}
    assert sum(document["counts"].values()) == len(document["findings"])
    for finding in document["findings"]:
        assert set(finding) == {"check", "status", "found", "remedy"}
        assert bool(finding["remedy"]) is (finding["status"] != "ok")
    # The demo's benchmark knows none of the example's models; all else is as it should be.
    bad = {(f["check"], f["status"]) for f in document["findings"] if f["status"] != "ok"}
    assert bad == {("deployments", "warn"), ("groups", "fail")}
    unknown = [f["found"] for f in document["findings"] if f["check"] == "deployments"]
    assert "gpt-4o of group smart is no model of the benchmark" in unknown


def test_a_failure_says_what_to_do_and_ends_with_1(tmp_path, benchrouter):
    ended = benchrouter("doctor", "--config", tiny.write(tmp_path))
    assert (ended.code, ended.err) == (1, "")
    (line,) = (line for line in ended.out.splitlines() if line.startswith("fail version"))
    assert line.endswith("-> run benchrouter build --config FILE")


@pytest.mark.parametrize("content", [None, "{", "model_list: []", "benchrouter: {unknown: 1}"])
def test_a_configuration_that_cannot_be_read_ends_with_2(tmp_path, benchrouter, content):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    ended = benchrouter("doctor", "--config", path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Error: ")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory; correct the `include:`"),
        ("model_list: [\n", "line 2 is not valid YAML"),
    ],
)
def test_an_included_file_that_cannot_be_read_is_named(
    demo_built, tmp_path, benchrouter, content, said
):
    shutil.copytree(demo_built, tmp_path, dirs_exist_ok=True)
    if content is not None:
        (tmp_path / "more.yaml").write_text(content)
    with (tmp_path / "config.yaml").open("a") as config:
        config.write("\ninclude: [more.yaml]\n")
    ended = benchrouter("doctor", "--config", tmp_path / "config.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert "more.yaml" in ended.err
    assert said in ended.err


def test_deployments_of_included_files_count(demo_built, tmp_path, benchrouter):
    shutil.copytree(demo_built, tmp_path, dirs_exist_ok=True)
    whole = yaml.safe_load((tmp_path / "config.yaml").read_text())
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "models.yaml").write_text(
        yaml.safe_dump({"model_list": whole.pop("model_list"), "include": ["settings.yaml"]})
    )
    (tmp_path / "more" / "settings.yaml").write_text(
        yaml.safe_dump({"litellm_settings": whole.pop("litellm_settings")})
    )
    whole["include"] = ["more/models.yaml"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(whole))
    ended = benchrouter("doctor", "--config", tmp_path / "config.yaml", "--json")
    assert (ended.code, ended.document["status"]) == (0, "ok")
