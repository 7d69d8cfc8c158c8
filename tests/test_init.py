"""`benchrouter init`, and the example configuration, as a person sets them up."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from litellm_benchrouter.config import load_config

EXAMPLE = Path(__file__).resolve().parents[1] / "config.example.yaml"
HANDLER = "litellm_benchrouter.hook.handler"
MODELS = """\
model_list:
  - model_name: smart
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/KEY}   # the large one
  - model_name: smart
    litellm_params: {model: hosted_vllm/org/llama-3, api_base: "http://llama.internal"}
  - model_name: smart
    litellm_params: {model: openai/x, api_key: none}
    model_info: {benchrouter_model: phi-4}
  - model_name: vectors
    litellm_params: {model: openai/text-embedding-3-small}
"""


def written(folder: Path, more: str = "") -> Path:
    path = folder / "proxy.yaml"
    path.write_text(MODELS + more)
    return path


def test_the_block_names_the_results_to_come_and_the_ways_to_them_are_said(tmp_path, benchrouter):
    path = written(tmp_path)
    ended = benchrouter("init", "--config", path)
    assert (ended.code, ended.err) == (0, "")
    assert path.read_text().startswith(MODELS), "comments and all"
    config = load_config(path)
    assert config.serving.mode == "active"
    source = config.sources[0].path
    assert source == tmp_path / "benchmarks" / "starter.jsonl"
    assert not source.exists(), "nothing is invented"
    for model in ("gpt-4o", "llama-3", "phi-4"):
        assert f"Public results of {model}: in no set that lists its models here." in ended.out
    assert "text-embedding" not in ended.out
    assert f"benchrouter label --starter --limit-usd 5 --config {path}" in ended.out
    assert f"benchrouter fetch NAME --for {path}" in ended.out
    built = benchrouter("build", "--config", path)
    assert built.code in (1, 2)
    assert "benchrouter label --starter" in built.err


def test_commands_that_are_shown_can_be_pasted(tmp_path, benchrouter):
    folder = tmp_path / "a folder"
    folder.mkdir()
    path = written(folder)
    lines = benchrouter("init", "--config", path).out.splitlines()
    shown = [shlex.split(line) for line in lines if "benchrouter" in line and str(path) in line]
    assert [words[-1] for words in shown if words[-2] in ("--config", "--for")] == [str(path)] * 3


def test_mode_and_owner_stay_and_a_folder_that_takes_nothing_is_said(
    tmp_path, benchrouter, monkeypatch
):
    path = written(tmp_path)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 65_534, 65_534)
    before = path.stat()

    def full(self, *given, **named):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        ended = benchrouter("init", "--config", path)
    assert (ended.code, "cannot be written (No space left on device)" in ended.err) == (2, True)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == MODELS
    assert benchrouter("init", "--config", path).code == 0
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid
    )  # fmt: skip


def test_public_results_of_a_model_are_said_by_any_of_its_names(tmp_path, benchrouter):
    path = tmp_path / "proxy.yaml"
    models = "model_list:\n  - model_name: small\n    litellm_params: "
    path.write_text(models + "{model: together_ai/lmsys/vicuna-13b-1.1}\n")
    ended = benchrouter("init", "--config", path)
    assert "Public results of vicuna-13b-1.1: in mixinstruct." in ended.out


@pytest.mark.parametrize(
    "settings",
    [
        "litellm_settings:\n  # two\n  num_retries: 2\n",
        "litellm_settings: {}\n",
        "litellm_settings:\n  callbacks: [prometheus]\n  num_retries: 2\n",
        "litellm_settings:\n  callbacks:\n    - prometheus # counts\ngeneral_settings: {}\n",
        f"litellm_settings:\n  callbacks: ['{HANDLER}']\n",
        "",
    ],
)
def test_the_callback_is_added_and_all_else_is_as_it_was(tmp_path, benchrouter, settings):
    path = written(tmp_path, settings)
    before = yaml.safe_load(path.read_text())
    assert benchrouter("init", "--config", path).code == 0
    after = yaml.safe_load(path.read_text())
    found = after["litellm_settings"].pop("callbacks")
    named = (before.get("litellm_settings") or {}).pop("callbacks", [])
    assert found == [HANDLER, *(name for name in named if name != HANDLER)]
    after.pop("benchrouter")
    assert after == before | {"litellm_settings": before.get("litellm_settings") or {}}


def test_a_block_that_is_there_is_replaced_by_force_alone(tmp_path, benchrouter):
    path = written(tmp_path, "benchrouter:\n  seed: 3\n# end\ngeneral_settings: {}\n")
    before = path.read_text()
    ended = benchrouter("init", "--config", path)
    assert (ended.code, path.read_text()) == (2, before)
    assert "--force" in ended.err
    assert benchrouter("init", "--config", path, "--print").code == 0
    assert path.read_text() == before
    assert benchrouter("init", "--config", path, "--force").code == 0
    assert load_config(path).seed == 0
    assert yaml.safe_load(path.read_text())["general_settings"] == {}


def test_with_results_of_ones_own_the_block_names_them_and_who_is_unknown(tmp_path, benchrouter):
    path = written(tmp_path)
    (tmp_path / "data").mkdir()
    rows = ["task,prompt,gpt-4o,llama-3-8b"]
    rows += [f"t{i % 3},question number {i},{i % 2},{i % 3 and 1}" for i in range(60)]
    source = tmp_path / "data" / "ours.csv"
    source.write_text("\n".join(rows) + "\n")
    ended = benchrouter("init", "--config", path, "--source", source)
    assert "knows 1 of the 3 deployments" in ended.out
    config = load_config(path)
    assert config.sources[0].path == source
    assert config.serving.mode == "active"
    assert "#   llama-3-8b: { aliases: [hosted_vllm/org/llama-3] }" in path.read_text()
    assert benchrouter("build", "--config", path).code == 0


def test_results_that_a_build_refuses_are_said_at_once(tmp_path, benchrouter):
    path, source = written(tmp_path), tmp_path / "ours.csv"
    source.write_text("task,prompt,gpt-4o,b\nt,p,90,20\nt,q,3,80\n")
    ended = benchrouter("init", "--config", path, "--source", source)
    assert ended.code == 0  # the block is where to say it
    assert "A build refuses it as it is: ours.csv: scores go up to 90" in ended.err


@pytest.mark.parametrize(
    "more", ["litellm_settings:\n  callbacks: prometheus\n", "litellm_settings: [1]\n"]
)
def test_a_callback_that_cannot_be_added_is_left_to_the_operator(tmp_path, benchrouter, more):
    path = written(tmp_path, more)
    before = path.read_text()
    ended = benchrouter("init", "--config", path)
    assert (ended.code, path.read_text()) == (2, before)
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("content", ["model_list: []\n", "{", "model_list: [3, {model_name: x}]\n"])
def test_without_models_there_is_nothing_to_set_up(tmp_path, benchrouter, content):
    path = tmp_path / "proxy.yaml"
    path.write_text(content)
    ended = benchrouter("init", "--config", path)
    assert (ended.code, path.read_text()) == (2, content)
    assert ended.err.startswith("Error: ")


def test_the_example_configuration_builds_in_an_empty_folder(tmp_path, benchrouter):
    """By the commands of README.md."""
    path = Path(shutil.copy(EXAMPLE, tmp_path / "config.yaml"))
    for command in ("init", "build"):
        ended = benchrouter(command, "--config", path)
        assert (ended.code, ended.err) == (0, ""), ended.out
    assert path.read_text() == EXAMPLE.read_text()
    decided = benchrouter("explain", "--config", path, "What is 3 times 11?", "--json")
    assert decided.code == 0


@pytest.mark.parametrize(
    "content",
    [
        '{"model_list": [{"model_name": "a", "litellm_params": {"model": "openai/gpt-4o"}}]}',
        "model_list:\n  - model_name: a\n    litellm_params: {model: openai/gpt-4o}\n...\n",
    ],
)
def test_a_file_to_which_nothing_can_be_added_stays_and_is_said(tmp_path, benchrouter, content):
    path = tmp_path / "proxy.yaml"
    path.write_text(content)
    ended = benchrouter("init", "--config", path)
    assert (ended.code, path.read_text()) == (2, content)
    assert "nothing can be added at its end" in ended.err


def test_patterns_and_what_answers_no_text_are_no_models(tmp_path, benchrouter):
    path = tmp_path / "proxy.yaml"
    entry = "  - {{model_name: g, litellm_params: {{model: '{}'}}}}\n"
    path.write_text("model_list:\n" + entry.format("openai/*"))
    ended = benchrouter("init", "--config", path)
    assert ended.code == 2
    assert "has only patterns (openai/*), which name no model" in ended.err
    others = ("whisper-1", "voyage/voyage-3", "cohere/rerank-english-v3.0", "openai/gpt-image-1")
    path.write_text("model_list:\n" + "".join(map(entry.format, ("openai/*", *others, "a/chat"))))
    ended = benchrouter("init", "--config", path)
    assert ended.code == 0
    assert "what is behind them is not asked: openai/*." in ended.out
    assert ended.out.count("Public results of") == 1
    assert "Public results of chat" in ended.out


def test_a_model_that_the_environment_names_is_known(tmp_path, benchrouter, monkeypatch):
    monkeypatch.setenv("OUR_MODEL", "openai/gpt-4o-mini")
    path = tmp_path / "proxy.yaml"
    entry = "  - {model_name: g, litellm_params: {model: os.environ/OUR_MODEL}}\n"
    path.write_text("model_list:\n" + entry)
    assert "Public results of gpt-4o-mini" in benchrouter("init", "--config", path).out
    ended = benchrouter("label", "--config", path, "--starter", "--limit-usd", "1", "--dry-run")
    assert (ended.code, "gpt-4o-mini" in ended.out) == (0, True), ended.err


def test_a_proxy_that_does_not_answer_is_said(tmp_path, benchrouter):
    ended = benchrouter("init", "--proxy", "http://127.0.0.1:1")
    assert ended.code == 2
    assert "http://127.0.0.1:1: does not answer as LiteLLM's proxy does (ConnectError)" in ended.err
    assert "set LITELLM_MASTER_KEY" in ended.err
