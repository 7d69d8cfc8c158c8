"""The `benchrouter:` block: what it says, and one sentence for each way to get it wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from litellm_benchrouter.cli import cli
from litellm_benchrouter.config import base, load_config, parse_config
from litellm_benchrouter.config.schema import FILE, proxy_schema
from litellm_benchrouter.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]


def parse(block: object) -> Any:
    return parse_config(block, folder=Path("/somewhere"), where="config.yaml")


def test_the_defaults_are_the_papers():
    routing = parse({}).routing
    assert (routing.k, routing.t, routing.kappa) == (5, 0.5, 19)
    assert (routing.sigma, routing.eta) == (0.09, 0.6)
    assert (len(routing.alphas), routing.repeats, routing.max_moved) == (15, 10, 50)
    assert routing.s1_on == "correctness"


def test_an_empty_block_is_all_defaults():
    assert parse(None) == parse({})


def test_relative_paths_start_at_the_configurations_folder_and_absolute_ones_stay():
    config = parse(
        {
            "artifacts": "artifacts",
            "sources": [{"path": "a.csv", "embeddings": "a.npy"}, {"path": "/data/b.csv"}],
            "tasks": {"t": {"inputs": "t.txt"}},
        }
    )
    assert config.artifacts == Path("/somewhere/artifacts")
    assert config.sources[0].path == Path("/somewhere/a.csv")
    assert config.sources[0].embeddings == Path("/somewhere/a.npy")
    assert config.sources[1].path == Path("/data/b.csv")
    assert config.sources[1].embeddings is None
    assert config.tasks["t"].inputs == Path("/somewhere/t.txt")


def test_the_rest_of_the_proxys_configuration_is_not_ours(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("model_list: [{anything: goes}]\nbenchrouter: {seed: 3}\n")
    assert load_config(path).seed == 3


def test_aliases_lead_to_the_models_name():
    config = parse({"models": {"a": {"aliases": ["A", "org/a"]}, "b": {}}})
    assert config.aliases == {"A": "a", "org/a": "a"}


def test_a_family_is_named_by_tasks_or_patterns_and_a_task_has_one():
    tasks = ["gsm/0", "gsm/5", "law", "q[1]"]
    config = parse({"families": {"math": ["gsm/*", "gsm/0"], "other": ["q[1]"], "none": []}})
    assert config.family_of(tasks) == {0: "math", 1: "math", 3: "other"}
    assert config.families_without_tasks(tasks) == []
    assert parse({}).family_of(tasks) == {}
    with pytest.raises(ConfigError, match="task 'gsm/5' is in 'a' and in 'b'"):
        parse({"families": {"a": ["gsm/*"], "b": ["*5"]}}).family_of(tasks)


WRONG: list[tuple[dict[Any, Any], str]] = [
    ({"sorces": []}, "unknown key `benchrouter.sorces`; known here: artifacts,"),
    ({"sources": [{"path": "a", "treshold": 1}]}, "unknown key `benchrouter.sources[0].treshold`"),
    ({"routing": {"K": 5}}, "unknown key `benchrouter.routing.K`; known here: alphas, eta, k,"),
    ({"tasks": {"inputs": {"input": "f"}}}, "unknown key `benchrouter.tasks.inputs.input`"),
    ({"models": {"aliases": {"alias": []}}}, "known here: aliases, input_price_usd_per_mtok,"),
    ({"sources": [{}]}, "`benchrouter.sources[0].path` is missing"),
    ({"sources": [{"path": "a"}, {"path": 7}]}, "`benchrouter.sources[1].path` is 7"),
    ({"sources": {"path": "a"}}, "`benchrouter.sources` is {'path': 'a'}, but"),
    ({"sources": ["a.csv"]}, "`benchrouter.sources[0]` is 'a.csv', but it should be a block"),
    ({"routing": {"k": "five"}}, "`benchrouter.routing.k` is 'five', but"),
    ({"routing": {"k": 0}}, "`benchrouter.routing.k` is 0, but"),
    ({"routing": {"eta": 1.5}}, "`benchrouter.routing.eta` is 1.5, but"),
    ({"routing": {"sigma": float("inf")}}, "`benchrouter.routing.sigma` is inf, but"),
    ({"routing": {"alphas": []}}, "`benchrouter.routing.alphas` is [], but"),
    ({"routing": {"s1_on": "labels"}}, "'correctness' or 'score'"),
    ({"sources": [{"path": "a", "threshold": float("nan")}]}, "`benchrouter.sources[0].threshold`"),
    ({"embedder": {"kind": "lexcial"}}, "`benchrouter.embedder.kind` is 'lexcial', but"),
    ({"models": {"a": {"params_b": -7}}}, "`benchrouter.models.a.params_b` is -7, but"),
    ({"models": {"a": {"aliases": ["c"]}, "b": {"aliases": ["c"]}}}, "alias 'c' is given to"),
    ({"families": {"a": ["t/*"], "b": ["t/*"]}}, "'t/*' is given to 'a' and 'b'"),
    ({"families": {"a": "t/*"}}, "`benchrouter.families.a` is 't/*', but"),
    ({"models": {"a": {"aliases": ["b"]}, "b": {}}}, "alias 'b' of 'a' is a model of its own"),
    ({"models": {1: {}}}, "`benchrouter.models[1]"),
    ({"serving": {"time_limit_ms": 0}}, "`benchrouter.serving.time_limit_ms` is 0, but"),
]


@pytest.mark.parametrize(("block", "said"), WRONG)
def test_a_wrong_block_is_one_sentence_with_the_keys_path_and_nothing_is_written(
    tmp_path, benchrouter, block, said
):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"benchrouter": block}))
    ended = benchrouter("build", "--config", config)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith(f"Error: {config}: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err
    assert list(tmp_path.iterdir()) == [config]


@pytest.fixture
def a_key_and_a_value_are_retired(monkeypatch):
    """A key and a value that no release had, so that the test outlives those that are retired."""
    monkeypatch.setitem(base.RETIRED, "serving.old_key", "`poll_seconds` does that")
    monkeypatch.setitem(base.RETIRED_VALUES, ("embedder.kind", "old"), "use lexical")


def test_a_retired_key_has_no_effect_and_a_warning_names_what_stands_in(
    a_key_and_a_value_are_retired, caplog
):
    config = parse({"serving": {"old_key": [1], "poll_seconds": 7}, "seed": 3})
    warning = (
        "config.yaml: `benchrouter.serving.old_key` has no effect: `poll_seconds` does that. "
        "Remove it."
    )
    assert config.warnings == [warning] == caplog.messages
    assert (config.serving.poll_seconds, config.seed) == (7, 3)
    assert parse({"seed": 3}).warnings == []
    with pytest.raises(ConfigError, match=r"unknown key `benchrouter\.serving\.older_key`"):
        parse({"serving": {"old_key": 1, "older_key": 2}})


def test_a_retired_value_is_refused_with_what_stands_in(a_key_and_a_value_are_retired):
    with pytest.raises(ConfigError, match=r"`benchrouter\.embedder\.kind: old` .* use lexical\."):
        parse({"embedder": {"kind": "old"}})


def test_of_several_problems_the_first_is_told_and_the_others_are_counted():
    with pytest.raises(ConfigError, match=r"`benchrouter\.routing\.k` .* \(1 more after it\)\.$"):
        parse({"routing": {"k": 0, "kappa": 0}})


def test_a_misspelt_key_is_named_rather_than_the_key_that_is_missing_for_it():
    with pytest.raises(ConfigError, match=r"unknown key `benchrouter\.tasks\.t\.imputs`"):
        parse({"tasks": {"t": {"imputs": "f"}}})


def test_a_value_of_many_lines_is_not_repeated_in_full():
    with pytest.raises(ConfigError) as error:
        parse({"sources": [{"path": "a", "threshold": "long " * 1000}]})
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no top-level `benchrouter:` block"),
        ("model_list: []\n", "has no top-level `benchrouter:` block"),
        ("- benchrouter\n", "has no top-level `benchrouter:` block"),
        ("benchrouter: [1, 2]\n", "`benchrouter` is [1, 2]"),
        ("benchrouter:\n  sources: [\n", "line 3 is not valid YAML"),
        ("benchrouter:\n  seed: 2024-99-99\n", "is not valid YAML"),
        ("\0", "is not valid YAML"),
        ("benchrouter: " + "[" * 5000, "is not valid YAML"),
    ],
)
def test_what_is_no_configuration_is_refused_in_one_sentence(tmp_path, benchrouter, text, said):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    ended = benchrouter("build", "--config", config)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_a_file_that_is_not_text_is_refused(tmp_path, benchrouter):
    config = tmp_path / "config.yaml"
    config.write_bytes(b"benchrouter: \xff\xfe")
    ended = benchrouter("build", "--config", config)
    assert ended.code == 2
    assert "is not UTF-8. Save it as UTF-8" in ended.err


def test_yaml_cannot_run_code(tmp_path):
    config = tmp_path / "config.yaml"
    mark = tmp_path / "mark"
    config.write_text(f"benchrouter: !!python/object/apply:pathlib.Path.touch ['{mark}']\n")
    with pytest.raises(ConfigError):
        load_config(config)
    assert not mark.exists()


def test_a_missing_configuration_names_the_file_and_the_option(tmp_path, benchrouter):
    ended = benchrouter("build", "--config", tmp_path / "nowhere.yaml")
    assert ended.code == 2
    assert "nowhere.yaml: No such file or directory; give --config FILE" in ended.err
    ended = benchrouter("build")
    assert ended.code == 2
    assert "--config is missing" in ended.err


MISSING_FILES = [
    ({"sources": [{"path": "nowhere.csv"}]}, "benchrouter.sources[0]"),
    ({"sources": [{"path": "benchmark.csv"}, {"path": "nowhere"}]}, "benchrouter.sources[1]"),
    (
        {"sources": [{"path": "benchmark.csv", "embeddings": "nowhere.npy"}]},
        "benchrouter.sources[0].embeddings",
    ),
    ({"tasks": {"new": {"inputs": "nowhere.txt"}}}, "benchrouter.tasks.new.inputs"),
    (
        {"tasks": {"new": {"inputs": "new.txt", "embeddings": "nowhere.npy"}}},
        "benchrouter.tasks.new.embeddings",
    ),
]


@pytest.mark.parametrize(("block", "key"), MISSING_FILES)
def test_a_missing_file_is_one_sentence_with_the_keys_path_and_nothing_is_written(
    tmp_path, benchrouter, block, key
):
    config = tiny.write(tmp_path, **block)
    before = tiny.tree(tmp_path)
    ended = benchrouter("build", "--config", config)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {key}: ")
    assert str(tmp_path / "nowhere") in ended.err
    assert ended.err.count("\n") == 1
    assert tiny.tree(tmp_path) == before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"path": "benchmark.csv", "kind": "cvs"}, '"cvs" is not a kind of source'),
        ({"path": "benchmark.csv", "options": {"colums": {}}}, 'no option "colums"'),
        ({"path": "benchmark.csv", "options": {"task": 7}}, "option task is 7"),
        ({"path": "config.yaml"}, "is none of"),
    ],
)
def test_a_source_that_is_configured_wrongly_is_named_by_its_place(
    tmp_path, benchrouter, source, said
):
    config = tiny.write(tmp_path, sources=[{"path": "benchmark.csv"}, source])
    before = tiny.tree(tmp_path)
    ended = benchrouter("build", "--config", config)
    assert ended.code == 2
    assert ended.err.startswith("Error: benchrouter.sources[1]: ")
    assert said in ended.err
    assert tiny.tree(tmp_path) == before


KEYS = st.sampled_from(
    (
        *("artifacts", "sources", "models", "embedder", "routing", "index", "tasks", "serving"),
        *("seed", "path", "kind", "threshold", "aliases", "k", "alphas", "inputs", "x"),
    )
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_whatever_the_block_holds_it_is_read_or_refused_in_one_sentence(block):
    try:
        parse(block)
    except ConfigError as error:
        assert "benchrouter" in str(error)
        assert str(error).endswith(".")


def test_a_virtual_model_is_a_list_of_groups_a_star_or_a_block():
    config = parse(
        {
            "mode": "groups",
            "virtual_models": {
                "smart": ["gpt-4o", "llama"],
                "any": "*",
                "open": {"groups": ["llama"], "grants_access": True},
            },
        }
    )
    virtual = config.virtual_models
    assert virtual["smart"].groups == ["gpt-4o", "llama"]
    assert virtual["any"].groups == "*"
    assert [model.grants_access for model in virtual.values()] == [False, False, True]
    assert parse({}).mode == "deployments"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"mode": "groups"}, "mode groups needs virtual_models"),
        ({"virtual_models": {"smart": ["a"]}}, "virtual_models need `mode: groups`"),
        (
            {"mode": "groups", "virtual_models": {"smart": []}},
            "`benchrouter.virtual_models.smart.groups`: [] is neither a list of model groups nor",
        ),
        (
            {"mode": "groups", "virtual_models": {"smart": {"groups": 5}}},
            "`benchrouter.virtual_models.smart.groups`: 5 is neither a list of model groups nor",
        ),
        (
            {"mode": "groups", "virtual_models": {"a": ["b"], "b": ["c"]}},
            "'a' lists 'b', which is a virtual model itself",
        ),
        ({"mode": "group"}, "`benchrouter.mode` is 'group'"),
        (
            {"mode": "groups", "virtual_models": {"a": {"groups": ["b"], "grant": True}}},
            "unknown key `benchrouter.virtual_models.a.grant`; known here: grants_access, groups",
        ),
    ],
)
def test_what_is_wrong_with_a_virtual_model_is_said_in_one_sentence(block, said):
    with pytest.raises(ConfigError) as refused:
        parse(block)
    assert said in str(refused.value)


def schema_errors(document: object) -> list[str]:
    return [error.message for error in Draft202012Validator(proxy_schema()).iter_errors(document)]


@pytest.mark.parametrize("file", ["config.example.yaml", "deploy/config.yaml"])
def test_the_examples_follow_the_schema(file):
    document = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    assert "benchrouter" in document
    assert schema_errors(document) == []


@pytest.mark.parametrize(
    "block",
    [
        None,
        {"policy": "balanced:0.1"},
        {"request_policies": {"quality": True, "cheapest": [0.5, 1], "within": False}},
        {"mode": "groups", "virtual_models": {"a": ["x", "y"], "b": "*", "c": {"groups": "*"}}},
        {"sources": [{"path": "a.csv", "options": {"anything": 1}}], "artifacts": "s3://bucket/a"},
        {"serving": {"side": "cheapest:0.7", "breaker": {"failures": 1}}},
    ],
)
def test_what_is_read_follows_the_schema(block):
    parse(block)
    assert schema_errors({"benchrouter": block, "model_list": [1]}) == []


@pytest.mark.parametrize(
    "block",
    [
        {"sorces": []},
        {"policy": "chepest:1"},
        {"embedder": {"kind": "best"}},
        {"request_policies": {"cheapest": [0.5]}},
        {"serving": {"breaker": {"failures": 0}}},
        {"virtual_models": {"a": {"groups": 3}}, "mode": "groups"},
    ],
)
def test_what_is_refused_breaks_the_schema(block):
    with pytest.raises(ConfigError):
        parse(block)
    assert schema_errors({"benchrouter": block})


def test_the_shipped_schema_is_that_of_the_code():
    shipped = json.loads(FILE.read_text(encoding="utf-8"))
    made = proxy_schema()
    assert shipped["$defs"].keys() == made["$defs"].keys()
    for name, block in made["$defs"].items():
        assert shipped["$defs"][name].get("properties") == block.get("properties"), (
            f"{name}: run `benchrouter schema > {FILE.relative_to(ROOT)}`"
        )


def test_keys_are_described_in_the_schema():
    serving = proxy_schema()["$defs"]["ServingConfig"]
    assert "Attributes" not in serving["description"]
    assert (
        "Longest that a decision may hold" in serving["properties"]["time_limit_ms"]["description"]
    )
    missing = [key for key, each in serving["properties"].items() if "description" not in each]
    assert missing == []


def test_the_command_prints_the_schema():
    done = CliRunner().invoke(cli, ["schema"])
    assert json.loads(done.output) == proxy_schema()
