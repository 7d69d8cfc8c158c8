"""`benchrouter label --traffic`: prompts asked and scored, compared with people, erased."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from filelock import FileLock
from proxy.upstream import Answer, saying

from labelling.conftest import Lab
from litellm_benchrouter.config import load_config
from litellm_benchrouter.labelling.people import Rater
from litellm_benchrouter.sources.tasks import prompt_key
from litellm_benchrouter.sources.traffic import read_traffic_labels
from litellm_benchrouter.store import open_store
from litellm_benchrouter.traffic.collect import user_hash

WORDS = ("harbour", "violet", "engine", "meadow", "ticket", "lantern", "copper", "winter")


def text(i: int) -> str:
    return f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} question {i}"


def row(i: int, **more: Any) -> dict[str, Any]:
    """Return a prompt as the collector writes it; users take turns."""
    user = user_hash("amira" if i % 2 else "bo")
    return {"text": text(i), "time": 1_700_000_000.0 + i, "key": f"key{i % 2}", "user": user} | more


@pytest.fixture
def own(lab: Lab) -> Lab:
    """The lab, with 40 prompts of own traffic that the collector kept."""
    place = lab.folder / "kept"
    place.mkdir()
    part = place / "20261129T070000000000-00000000-00000000.jsonl"
    part.write_text("".join(json.dumps(row(i)) + "\n" for i in range(40)))
    settle(lab)
    return lab


def settle(lab: Lab, **traffic: Any) -> None:
    block = {"collect": {"to": "kept", "keep_days": 36_500}, "metric": "regex:ant"} | traffic
    lab.configure(traffic={key: value for key, value in block.items() if value is not None})


@pytest.fixture
def label(own: Lab) -> Callable[..., Any]:
    def run(*more: object) -> Any:
        return own.run_here(*map(str, ["label", "--config", own.config, "--traffic", *more]))

    return run


def labels_file(lab: Lab) -> Path:
    return lab.folder / "router_artifacts" / "labels" / "traffic.jsonl"


def grep(folder: Path, words: str) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and words.encode() in p.read_bytes()]


def test_random_prompts_are_asked_scored_and_read_by_the_next_build(own, label, benchrouter):
    ended = label("--n", 12, "--yes", "--json", "--no-racing")
    assert ended.code == 0, ended.err
    document = ended.document
    assert len(own.asked) == len(set(own.asked)) == 48
    assert {each["model"]: each["mean_score"] for each in document["models"]} == {
        "ant": 1, "bee": 0, "cat": 0, "dog": 0
    }  # fmt: skip
    assert document["calls"] == {"made": 48, "planned": 48}
    assert "12 prompts of own traffic are sent out" in ended.err
    assert document["plan"]["recipients"]["127.0.0.1:" + own.upstream.base_url[17:-3]] == {
        "models": list(tiny.MODELS), "prompts": 12
    }  # fmt: skip
    path = labels_file(own)
    assert path.stat().st_mode & 0o777 == 0o600
    labels = read_traffic_labels(path, tiny.MODELS, {}, [])
    assert {prompt_key(prompt) for prompt in labels.prompts} == {key for key, _ in own.asked}
    assert labels.labels.tolist() == [[1, 0, 0, 0]] * 12
    assert set(labels.time) <= {1_700_000_000.0 + i for i in range(40)}
    # No prompt is chosen by its place: a draw of 12 of 40 is not the first or the last of them.
    places = sorted(int(prompt.rsplit(" ", 1)[1]) for prompt in labels.prompts)
    assert places not in (list(range(12)), list(range(28, 40)))

    own.configure(method="guarded", embedder={"kind": "lexical", "dimensions": 16}, tasks={},
                  sources=[{"path": "benchmark.csv"}],
                  traffic={"collect": {"to": "kept", "keep_days": 36_500}})  # fmt: skip
    assert benchrouter("build", "--config", own.config).code == 0
    store = open_store(load_config(own.config))
    version = store.current()
    assert version is not None
    verdict = store.manifest(version).verdict
    assert verdict is not None
    assert verdict["traffic"]["n_samples"] == 12


def test_what_is_there_is_never_asked_again_and_more_are_drawn_beside_it(own, label):
    assert label("--n", 6, "--yes", "--no-racing").code == 0
    first = set(own.asked)
    own.upstream.reset()
    again = label("--n", 6, "--yes", "--json", "--no-racing")
    assert (again.code, own.asked, again.document["plan"]["calls"]) == (0, [], 0)
    assert label("--n", 9, "--yes", "--no-racing").code == 0
    assert len(own.asked) == 12
    assert not set(own.asked) & first


def test_a_race_asks_no_more_of_models_that_are_out_and_settles_what_it_asks(own, label):
    for model in ("cat", "dog"):  # neither is BMA or ever right
        own.upstream.tell(model, saying("No."))
    for model in ("ant", "bee"):
        own.upstream.tell(model, saying("ant"))
    ended = label("--n", 40, "--yes", "--json")
    assert ended.code == 0, ended.err
    counts = Counter(own.upstream.models)
    assert counts["ant"] == 40
    assert min(counts.values()) < 40
    assert ended.document["calls"]["made"] == sum(counts.values()) < 160
    own.upstream.reset()
    again = label("--n", 40, "--yes", "--json")
    assert (again.code, own.asked, again.document["plan"]["calls"]) == (0, [], 0)
    assert label("--n", 40, "--yes", "--no-racing").code == 0
    assert Counter(own.upstream.models) == {m: 40 - n for m, n in counts.items() if n < 40}


def test_a_run_that_stopped_at_its_limit_goes_on_where_it_was(own, label):
    refused = label("--n", 20, "--yes", "--limit-usd", 0.021, "--no-racing")
    assert (refused.code, "below the estimate" in refused.err, own.asked) == (2, True, [])
    stopped = label("--n", 20, "--yes", "--json", "--limit-usd", 0.021, "--concurrency", 1)
    assert (stopped.code, stopped.document["stopped"]) == (0, "limit")
    assert stopped.document["spent_usd_now"] <= 0.021
    before = own.asked
    assert 0 < len(before) < 40
    own.upstream.reset()
    assert label("--n", 20, "--yes", "--no-racing").code == 0
    assert not set(before) & set(own.asked)
    assert len({*before, *own.asked}) == len(before) + len(own.asked) == 80
    assert len({key for key, _ in [*before, *own.asked]}) == 20


def test_equal_and_nearly_equal_prompts_are_asked_once(own, label, benchrouter):
    rows = [row(i, text=f"{text(0)} please  TELL me about the harbour now") for i in range(20)]
    rows += [row(i, text=f"{text(0)} please tell me about the harbour now") for i in range(20)]
    (own.folder / "own.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    settle(own, **{"from": "own.jsonl"})
    document = label("--n", 10, "--yes", "--json", "--no-racing").document
    assert document["inputs"] == {"all": 1, "chosen": 1, "labelled": 1}


def test_variants_by_the_vectors_of_the_version_count_as_one(own, label, benchrouter):
    story = "the old clerk keeps a ledger of every ship that ever came into this port at dawn and"
    near = [f"{story} wonders why the {word} came {i}" for i, word in enumerate(("one", "two"))]
    far = [f"{word} question of its own kind number {i}" for i, word in enumerate(WORDS)]
    lines = [json.dumps({"prompt": p}) for p in near + far]
    (own.folder / "own.jsonl").write_text("\n".join(lines))
    own.configure(method="guarded", embedder={"kind": "lexical", "dimensions": 16}, tasks={},
                  sources=[{"path": "benchmark.csv"}],
                  traffic={"from": "own.jsonl", "metric": "regex:ant"})  # fmt: skip
    assert benchrouter("build", "--config", own.config).code == 0
    label("--n", 30, "--yes", "--no-racing")
    asked = {key for key, _ in own.asked}
    assert len(asked & {prompt_key(p) for p in near}) == 1


def test_references_score_where_rows_have_them_and_others_are_left_out(own, label):
    lines = [{"prompt": text(i)} | ({"reference": "this is ant"} if i < 5 else {})
             for i in range(9)]  # fmt: skip
    (own.folder / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settle(own, **{"from": "own.jsonl", "metric": "contains"})
    document = label("--yes", "--json").document
    assert {key for key, _ in own.asked} == {prompt_key(text(i)) for i in range(5)}
    assert {e["model"]: e["mean_score"] for e in document["models"]}["ant"] == 1
    assert any("4 of the 9 inputs" in warning for warning in document["warnings"])


def test_a_judge_goes_by_a_rubric_and_is_not_told_whose_answer_it_is(own, label):
    verdict = {"correct": True, "reason": "It does."}
    own.upstream.tell("wise", saying(json.dumps(verdict)))
    settle(own, metric="judge:wise", rubric="It is short.")
    document = label("--n", 3, "--yes", "--json").document
    assert {each["mean_score"] for each in document["models"]} == {1.0}
    judged = [r.body["messages"] for r in own.upstream.requests if r.model == "wise"]
    assert len(judged) == 12
    for system, user in judged:
        material = json.loads(user["content"])
        assert sorted(material) == ["answer", "question", "rubric"]
        assert material["rubric"] == "It is short."
        assert "reference" not in system["content"]
    asked = own.upstream.requests
    own.upstream.reset()
    settle(own, metric="judge:wise")  # another rubric: what is there has to be scored again
    assert label("--n", 3, "--yes").code == 2
    own.upstream.tell("wise", saying(json.dumps({"correct": False, "reason": ""})))
    again = label("--n", 3, "--yes", "--json", "--rescore")
    assert {each["mean_score"] for each in again.document["models"]} == {0.0}
    assert set(own.upstream.models) == {"wise"}
    assert len(asked) == 24


def test_people_stand_in_place_of_a_judge_and_show_its_bias(own, label):
    own.upstream.tell("wise", saying(json.dumps({"correct": True, "reason": ""})))
    settle(own, metric="judge:wise")
    label("--n", 4, "--yes")
    path = labels_file(own)
    prompts = list(read_traffic_labels(path, tiny.MODELS, {}, []).prompts)
    gold = [{"prompt": p, "model": m, "score": int(m != "cat")}
            for p in prompts[:3] for m in tiny.MODELS]  # fmt: skip
    gold.append({"prompt": "of nobody", "model": "ant", "score": 1})
    (own.folder / "gold.jsonl").write_text("".join(json.dumps(g) + "\n" for g in gold))
    own.upstream.reset()
    ended = label("--gold", own.folder / "gold.jsonl", "--json")
    assert (ended.code, own.asked) == (0, [])
    people = ended.document["people"]
    assert (people["gold"], people["compared"], people["left_out"]) == (12, 12, 1)
    assert people["agreement"] == pytest.approx(0.75)
    assert people["paid_usd"] == pytest.approx(32 * (7e-6 + 3e-5))
    bias = {each["model"]: (each["compared"], each["bias"]) for each in people["bias"]}
    assert bias == {"ant": (3, 0.0), "bee": (3, 0.0), "cat": (3, 1.0), "dog": (3, 0.0)}
    found = read_traffic_labels(path, tiny.MODELS, {}, [])
    assert found.prompts == prompts
    assert found.labels[:, 2].tolist() == [0, 0, 0, 1]
    table = label("--gold", own.folder / "gold.jsonl")
    assert "75% of 12 agree" in table.out
    assert "known already" in table.out
    # A judge asked again does not take their place.
    label("--n", 4, "--yes", "--rescore")
    again = read_traffic_labels(path, tiny.MODELS, {}, []).labels
    assert again[:, 2].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("traffic", "options", "words"),
    [
        ({"metric": None}, [], "nothing says when an answer is right"),
        ({"metric": "guess"}, [], "is not a metric"),
        ({"metric": "exact"}, [], "has no references"),
        ({}, ["--task", "new"], "--traffic excludes"),
        ({"labels": "own.csv"}, [], "only .jsonl can be added to"),
        ({"collect": None, "labels": "own.jsonl"}, [], "names no prompts"),
    ],
)
def test_what_cannot_be_done_is_said(own, label, traffic, options, words):
    settle(own, **traffic)
    ended = label("--yes", *options)
    assert ended.code == 2
    assert words in " ".join(ended.err.split())
    assert own.upstream.requests == []


def test_without_traffic_in_the_configuration_the_way_out_is_said(lab: Lab):
    ended = lab.run_here("label", "--config", str(lab.config), "--traffic", "--metric", "exact")
    assert (ended.code, "`benchrouter.traffic` is missing" in ended.err) == (2, True)
    assert lab.run_here("label", "--config", str(lab.config)).code == 2


def test_the_file_of_a_task_of_that_name_is_not_touched(own, label, benchrouter):
    task = {"inputs": "new.txt", "embeddings": "new.npy"}
    own.configure(tasks={"traffic": task}, traffic={"collect": {"to": "kept"}, "metric": "exact"})
    ended = label("--yes")
    assert (ended.code, "a task is named 'traffic'" in ended.err) == (2, True)
    labels_file(own).parent.mkdir(parents=True)
    line = {"prompt_sha256": prompt_key("Who is number 1?"), "model": "ant", "score": 1}
    labels_file(own).write_text(json.dumps(line) + "\n")
    assert benchrouter("build", "--config", own.config).code == 0


def test_nothing_leaves_before_it_is_said_and_agreed_to(own, label):
    ended = label("--n", 5)
    assert (ended.code, own.upstream.requests) == (2, [])
    assert "5 prompts of own traffic are sent out" in ended.err
    assert "A race usually asks about half" in ended.err
    few = label("--n", 5, "--models", "ant,bee,cat")  # of whom all stay in a race
    assert (few.code, "A race" in few.err) == (2, False)
    assert "--yes is required" in ended.err
    shown = label("--n", 5, "--dry-run", "--json")
    assert (shown.code, shown.document["inputs"]) == (0, 5)
    assert own.upstream.requests == []
    assert not labels_file(own).exists()


def test_labels_made_elsewhere_stay_and_are_added_to(own, label):
    path = own.folder / "made.jsonl"
    made = [{"prompt": text(0), "scores": {"ant": 0, "bee": 1}}, {"prompt": "other", "model": "ant",
            "score": 1}]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, made)))
    settle(own, labels="made.jsonl")
    assert label("--n", 3, "--yes", "--no-racing").code == 0
    asked = {(prompt_key(text(0)), "ant"), (prompt_key(text(0)), "bee"),
             (prompt_key("other"), "ant")}  # fmt: skip
    assert not asked & set(own.asked)
    labels = read_traffic_labels(path, tiny.MODELS, {}, [])
    assert labels.prompts[:2] == [text(0), "other"]
    assert labels.labels[0].tolist() == [0, 1, 0, 0]
    assert labels.labels[1].tolist() == [1, 0, 0, 0]
    assert len(labels.prompts) == 3


def test_what_a_killed_run_left_unfinished_stops_no_build_and_no_run(own, label):
    label("--n", 2, "--yes", "--no-racing")
    path = labels_file(own)
    whole = read_traffic_labels(path, tiny.MODELS, {}, [])
    with path.open("a") as file:
        file.write('{"prompt": "half of a li')
    assert read_traffic_labels(path, tiny.MODELS, {}, []).prompts == whole.prompts
    again = label("--n", 2, "--yes", "--json", "--no-racing")
    assert again.document["plan"]["calls"] == 0
    assert "half of a li" not in path.read_text()
    path.write_text("")
    assert read_traffic_labels(path, tiny.MODELS, {}, []).prompts == []


def test_what_is_erased_is_gone_from_every_file(own, label, benchrouter):
    own.upstream.tell("ant", Answer(text="She asked about the secret lantern."))
    label("--n", 40, "--yes", "--no-racing")
    lines = map(json.loads, labels_file(own).read_text().splitlines())
    assert {line["user"] for line in lines} == {user_hash("amira"), user_hash("bo")}
    assert benchrouter("build", "--config", own.config).code == 0
    cut = labels_file(own).with_name(".traffic.jsonl.0123abcd")  # of a command that was killed
    cut.write_bytes(labels_file(own).read_bytes())
    ended = benchrouter("traffic", "--config", own.config, "--erase", "--user", "amira", "--json")
    assert ended.code == 0
    assert sorted(ended.document["erased"].values()) == [0, 20, 20]  # no feedback
    for i in range(40):
        assert bool(grep(own.folder, text(i))) == (i % 2 == 0), i
        assert bool(grep(own.folder, prompt_key(text(i)))) == (i % 2 == 0), i
    left = read_traffic_labels(labels_file(own), tiny.MODELS, {}, [])
    assert sorted(int(p.rsplit(" ", 1)[1]) for p in left.prompts) == list(range(0, 40, 2))
    before = "2023-11-14T22:13:30"  # the first ten
    benchrouter("traffic", "--config", own.config, "--erase", "--before", before)
    assert not grep(own.folder, text(8)) and grep(own.folder, text(12))
    ended = benchrouter("traffic", "--config", own.config, "--erase", "--all")
    assert ended.code == 0
    assert "The next benchrouter build leaves these labels out." in ended.out
    assert not grep(own.folder, "question") and not grep(own.folder, "secret lantern")
    assert benchrouter("build", "--config", own.config, "--force").code == 0


def test_labels_made_by_hand_go_only_with_their_prompts(own, benchrouter):
    path = own.folder / "made.jsonl"
    made = [{"prompt": p, "model": "ant", "score": 1} for p in (text(1), "a golden one")]
    path.write_text("\n".join(map(json.dumps, made)))
    settle(own, labels="made.jsonl")
    ended = benchrouter("traffic", "--config", own.config, "--erase", "--all", "--json")
    assert sorted(ended.document["erased"].values()) == [0, 1, 40]
    assert read_traffic_labels(path, tiny.MODELS, {}, []).prompts == ["a golden one"]


def test_answers_are_kept_for_people_to_rate_and_no_race_drops_anybody(own, label):
    ended = label("--n", 12, "--metric", "people", "--yes", "--json")
    assert ended.code == 0, ended.err
    assert ended.document["calls"] == {"made": 48, "planned": 48}
    assert (ended.document["unscored"], ended.document["inputs"]["labelled"]) == (48, 0)
    own.upstream.reset()
    again = label("--n", 12, "--metric", "people", "--yes")
    assert (again.code, own.asked) == (0, [])
    assert "48 answers have no score yet; rate them: benchrouter serve --rate" in again.out

    rater = Rater(labels_file(own), {}, 0)
    shown = rater.next(rater.journal())
    assert shown is not None
    rater.rate(shown.key, dict.fromkeys(dict(shown.answers), 1.0))
    judged = label("--n", 12, "--yes", "--json")  # the others by the metric of the configuration
    assert judged.code == 0, judged.err
    assert (own.asked, judged.document["unscored"]) == ([], 0)
    labels = read_traffic_labels(labels_file(own), tiny.MODELS, {}, [])
    scores = dict(zip(labels.prompts, labels.labels.sum(axis=1).tolist(), strict=True))
    assert scores.pop(shown.prompt) == len(shown.answers)
    assert set(scores.values()) == {1}


def test_an_erasure_that_fails_halfway_finds_the_labels_when_it_is_run_again(own, benchrouter):
    path = own.folder / "made.jsonl"
    path.write_text(json.dumps({"prompt": text(1), "model": "ant", "score": 1}))
    settle(own, labels="made.jsonl")
    erase = ("traffic", "--config", own.config, "--erase", "--all")
    with FileLock(path.with_name(f".{path.name}.lock")):
        ended = benchrouter(*erase)
    assert (ended.code, "another run is writing" in ended.err) == (1, True)
    assert benchrouter(*erase).code == 0
    assert not grep(own.folder, text(1))


def test_labels_that_are_no_lines_are_neither_erased_nor_read(own, benchrouter):
    path = own.folder / "made.csv"
    path.write_text("prompt,model,score\nx,ant,1\n")
    settle(own, labels="made.csv")
    ended = benchrouter("traffic", "--config", own.config, "--erase", "--user", "amira")
    assert (ended.code, "made.csv" in ended.err) == (2, True)
    assert path.read_text() == "prompt,model,score\nx,ant,1\n"
    ended = benchrouter("build", "--config", own.config)
    assert (ended.code, "made.csv is not JSONL" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cost_usd": "0.1"}, "\"cost_usd\" is '0.1'"),
        ({"cost_usd": -1}, '"cost_usd" is -1'),
        ({"completion_tokens": [3]}, '"completion_tokens" is [3]'),
        ({"event": "score", "metric": 5}, '"metric" is 5'),
        ({"model": ["ant"]}, "names no model"),
        ({"score": 1.5}, "the score is 1.5"),
    ],
)
def test_a_mistake_in_a_line_made_by_hand_is_named(own, label, changed, message):
    line = {"prompt": "made", "model": "ant", "score": 1, "event": "given", **changed}
    labels_file(own).parent.mkdir(parents=True, exist_ok=True)
    labels_file(own).write_text(json.dumps(line) + "\n")
    ended = label("--n", 1, "--yes")
    assert ended.code == 2
    assert f"{labels_file(own)}, line 1" in ended.err
    assert message in " ".join(ended.err.split())
