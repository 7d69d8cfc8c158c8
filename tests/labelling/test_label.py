"""`benchrouter label` as a person and as a program meet it, before a fake provider."""

from __future__ import annotations

import io
import json
import math
import re
import stat
import sys
from collections import Counter

import numpy as np
import pytest
import tiny
from proxy.harness import deployment
from proxy.upstream import BROKEN, RATE_LIMITED, Answer, saying

from labelling.conftest import N_INPUTS, PRICES, Lab, prompt
from litellm_benchrouter.guarded.few_labels import herd
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.sources.tasks import prompt_key, read_labels


def by_model(document: dict) -> dict:
    return {entry["model"]: entry for entry in document["models"]}


# asking


def test_what_providers_say_of_their_tokens_is_kept(lab: Lab):
    lab.upstream.tell("ant", saying("This is ant.", logprobs=(-0.1, -0.3)))
    assert lab.asking("--n", "2").code == 0
    for answer in lab.events("answer"):
        likely = answer.get("mean_probability")
        assert likely == (pytest.approx(math.exp(-0.2)) if answer["model"] == "ant" else None)


def test_every_model_is_asked_ten_inputs_and_the_next_build_reads_the_labels(lab: Lab, benchrouter):
    ended = lab.asking()
    assert (ended.code, ended.err) == (0, "")
    document = ended.document
    found = by_model(document)
    assert set(found) == set(tiny.MODELS)
    assert {entry["labels"] for entry in found.values()} == {10}
    assert document["inputs"] == {"all": N_INPUTS, "chosen": 10, "labelled": 10}
    assert found["ant"]["mean_score"] + found["bee"]["mean_score"] == 1
    assert found["cat"]["mean_score"] == 0
    assert document["spent_usd_now"] == pytest.approx(40 * (7e-6 + 3e-5))
    assert document["labels_file"] == str(lab.journal)

    assert len(lab.upstream.requests) == len(set(lab.asked)) == 40
    assert set(lab.cells("answer")) == set(lab.cells("score")) == set(lab.asked)
    answer = lab.events("answer")[0]
    assert answer["answer"] == f"This is {answer['model']}."
    assert (answer["prompt_tokens"], answer["completion_tokens"]) == (7, 3)
    assert answer["cost_usd"] == pytest.approx(3.7e-5)
    assert (answer["finish_reason"], answer["score"]) == ("stop", None)
    assert answer["seconds"] > 0
    assert stat.S_IMODE(lab.journal.stat().st_mode) == 0o600
    assert "number" not in lab.journal.read_text()  # no prompt is kept

    prompts = [prompt(i) for i in range(N_INPUTS)]
    labels = read_labels(lab.journal, prompts, tiny.MODELS)
    assert (~np.isnan(labels)).sum() == 40
    known = ~np.isnan(labels[:, 0])
    np.testing.assert_array_equal(labels[known, 0], (np.arange(N_INPUTS) % 2 == 0)[known])
    np.testing.assert_array_equal(labels[known, 1], (np.arange(N_INPUTS) % 2 == 1)[known])
    assert benchrouter("build", "--config", lab.config).code == 0


def test_people_see_the_cost_before_and_the_labels_after(lab: Lab):
    ended = lab.label("--yes", "--n", 4)
    assert ended.code == 0
    assert "Task new: 4 of 24 inputs" in ended.out
    # The headings "About $" and "At most $", however they are broken into lines, and two sums.
    assert re.search(r"Abo.*At.*\d\.\d{4} .*\d\.\d{4}", ended.out, re.DOTALL)
    assert f"4 of 24 inputs have labels: {lab.journal}" in ended.out.replace("\n", "")
    assert "Run benchrouter build to take them in." in ended.out


def test_the_first_ten_are_herded_and_more_are_drawn_beside_them(lab: Lab):
    lab.asking()
    vectors = normalize(np.load(lab.folder / "new.npy").astype(np.float32))
    first = {prompt_key(prompt(i)) for i in herd(vectors)}
    assert {key for key, _ in lab.asked} == first

    lab.upstream.reset()
    assert lab.asking("--n", 10).document["plan"]["calls"] == 0
    assert lab.upstream.requests == []
    ended = lab.asking("--n", 13)
    assert len(lab.asked) == 12
    assert not first & {key for key, _ in lab.asked}
    assert {e["labels"] for e in ended.document["models"]} == {13}
    ended = lab.asking("--n", 1000)
    assert ended.document["inputs"]["labelled"] == N_INPUTS


def test_inputs_without_vectors_of_their_own_are_herded_by_the_embedder(lab: Lab):
    lab.configure(embedder={"kind": "lexical", "dimensions": 4}, tasks={})
    document = lab.asking("--models", "ant", task="fresh").document
    assert document["warnings"] == []
    assert document["inputs"]["labelled"] == 10


def test_a_limit_by_the_provider_and_a_failure_are_retried(lab: Lab):
    lab.upstream.tell("ant", RATE_LIMITED, times=3)
    lab.upstream.tell("bee", BROKEN, times=2)
    document = lab.asking("--n", 4, "--concurrency", 1).document
    assert {entry["labels"] for entry in document["models"]} == {4}
    assert Counter(lab.upstream.models) == {"ant": 7, "bee": 6, "cat": 4, "dog": 4}


def test_what_failed_is_noted_and_asked_again_by_the_next_run(lab: Lab):
    lab.upstream.tell("ant", BROKEN, times=4)
    document = lab.asking("--n", 4, "--retries", 1, "--concurrency", 1).document
    assert by_model(document)["ant"]["failures_now"] == 2
    assert by_model(document)["ant"]["labels"] == 2
    failures = lab.events("failure")
    assert [line["model"] for line in failures] == ["ant", "ant"]
    assert "InternalServerError" in failures[0]["error"]
    lab.upstream.reset()
    assert {e["labels"] for e in lab.asking("--n", 4).document["models"]} == {4}
    assert sorted(lab.asked) == sorted(lab.cells("failure"))


def test_a_model_that_fails_three_inputs_in_a_row_is_asked_no_more(lab: Lab):
    lab.upstream.tell("dog", BROKEN)
    document = lab.asking("--n", 4, "--retries", 0, "--concurrency", 1).document
    assert lab.upstream.models.count("dog") == 3
    assert "3 inputs in a row failed" in by_model(document)["dog"]["given_up"]
    assert by_model(document)["cat"]["labels"] == 4


def test_a_refused_key_stops_that_model_and_not_the_others(lab: Lab):
    lab.upstream.tell("dog", Answer(status=401))
    ended = lab.label("--yes", "--n", 4, "--concurrency", 1)
    assert ended.code == 0
    assert lab.upstream.models.count("dog") == 1
    assert "Warning: dog was asked no more: AuthenticationError: " in ended.out
    assert len(lab.events("score")) == 12


def test_no_label_at_all_is_a_failure_that_says_why(lab: Lab):
    for model in tiny.MODELS:
        lab.upstream.tell(model, Answer(status=401))
    ended = lab.asking("--n", 4, "--models", "ant, dog")
    assert ended.code == 1
    assert "no label came of 8 questions (ant: AuthenticationError" in ended.err
    assert json.loads(ended.out)["spent_usd_now"] == 0


def test_a_key_that_is_not_set_is_said_before_anything_is_asked(lab: Lab, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    base = lab.upstream.base_url
    keyless = deployment("smart", "dog", base, params={"api_key": "os.environ/NO_SUCH_KEY"})
    lab.configure(deployments=[deployment("smart", "ant", base, params=PRICES), keyless])
    document = lab.asking("--n", 2).document
    assert document["plan"]["unusable"] == {
        "dog": "the environment variable NO_SUCH_KEY is not set"
    }
    assert set(lab.upstream.models) == {"ant"}
    lab.configure(deployments=[keyless])
    ended = lab.asking()
    assert ended.code == 1
    assert "no candidate can be asked: dog: the environment variable NO_SUCH_KEY" in ended.err
    monkeypatch.setenv("NO_SUCH_KEY", "sk-now-it-is")
    lab.upstream.reset()
    assert lab.asking("--n", 2).code == 0
    assert lab.upstream.requests[0].headers["authorization"] == "Bearer sk-now-it-is"


def test_options_reach_the_model_and_a_cut_answer_is_told(lab: Lab):
    lab.upstream.tell("ant", saying("This is", finish_reason="length"))
    ended = lab.label("--yes", "--n", 4, "--models", "ant", "--max-tokens", 2, "--temperature", 0.5)
    assert "4 answers of ant were cut at --max-tokens" in ended.out
    body = lab.upstream.requests[0].body
    assert (body["max_tokens"], body["temperature"]) == (2, 0.5)
    lab.upstream.reset()
    lab.asking("--n", 4, "--models", "bee")
    assert "temperature" not in lab.upstream.requests[0].body


def test_a_conversation_is_sent_whole_and_known_by_its_last_user_turn(lab: Lab, benchrouter):
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Who is it?"}]},
    ]
    lab.write_inputs([{"messages": turns, "reference": "ant"}])
    lab.configure(embedder={"kind": "lexical"}, sources=[{"path": "benchmark.csv"}],
                  tasks={"talk": {"inputs": "inputs.jsonl", "metric": "contains"}})  # fmt: skip
    ended = benchrouter("label", "--config", lab.config, "--task", "talk", "--yes", "--json")
    assert ended.code == 0
    assert by_model(ended.document)["ant"]["mean_score"] == 1
    assert lab.upstream.requests[0].body["messages"] == turns
    journal = lab.journal.with_name("talk.jsonl")
    assert read_labels(journal, ["Who is it?"], ["ant", "bee"]).tolist() == [[1, 0]]
    assert benchrouter("build", "--config", lab.config).code == 0


# who is asked


def test_deployments_are_found_by_what_they_say_and_a_new_model_by_its_name(lab: Lab):
    base = lab.upstream.base_url
    lab.configure(
        deployments=[
            deployment("smart", "a-1", base, benchrouter_model="formica"),
            deployment("smart", "a-2", base, benchrouter_model="ant"),
            deployment("smart", "vectors", base, benchrouter_model="bee", mode="embedding"),
            deployment("smart", "newcomer", base, benchrouter_model="eel"),
        ],
        models={"ant": {"aliases": ["formica"]}},
    )
    lab.asking("--n", 4)
    assert {model for _, model in lab.cells("answer")} == {"ant"}
    assert set(lab.upstream.models) <= {"a-1", "a-2"}
    lab.upstream.reset()
    assert lab.asking("--n", 4, "--models", "eel,formica").code == 0
    assert set(lab.upstream.models) == {"newcomer"}  # ant has its labels already


def test_deployments_of_an_included_file_count(lab: Lab):
    whole = lab.config.read_text()
    head, rest = whole.split("benchrouter:", 1)
    block, models = rest.split("model_list:", 1)
    (lab.folder / "models.yaml").write_text(f"model_list:{models}")
    lab.config.write_text(f"include: [models.yaml]\n{head}benchrouter:{block}")
    assert lab.asking("--n", 4).code == 0
    assert len(lab.asked) == 16


# cost


def test_prices_come_from_litellm_then_from_the_configuration(lab: Lab):
    base = lab.upstream.base_url
    lab.configure(
        deployments=[
            deployment("smart", "gpt-4o-mini", base, benchrouter_model="ant"),
            deployment("smart", "own", base, benchrouter_model="bee"),
            deployment("smart", "free", base, benchrouter_model="cat"),
        ],
        models={"bee": {"input_price_usd_per_mtok": 3, "output_price_usd_per_mtok": 4}},
    )
    plan = lab.label("--dry-run", "--json").document
    prices = {
        line["model"]: (line["input_price_usd_per_mtok"], line["output_price_usd_per_mtok"])
        for line in plan["models"]
    }
    assert prices["ant"] == pytest.approx((0.15, 0.6))
    assert prices["bee"] == pytest.approx((3, 4))
    assert prices["cat"] == (None, None)
    assert lab.upstream.requests == []
    assert not lab.journal.parent.exists()
    assert "no price is known of cat" in lab.label("--dry-run").out
    ended = lab.asking("--limit-usd", 1)
    assert ended.code == 2
    assert "--limit-usd cannot be held to, as no price is known of cat" in ended.err
    lab.asking("--n", 2, "--models", "ant,bee,cat")
    costs = {line["model"]: line["cost_usd"] for line in lab.events("answer")}
    assert costs["bee"] == pytest.approx(7 * 3e-6 + 3 * 4e-6)
    assert costs["ant"] == pytest.approx(7 * 0.15e-6 + 3 * 0.6e-6)
    assert costs["cat"] is None


def test_an_estimate_above_the_limit_asks_nobody(lab: Lab):
    ended = lab.asking("--limit-usd", 0.01)
    assert ended.code == 2
    assert "--limit-usd: 0.01 is below the estimate, about $" in ended.err
    assert lab.upstream.requests == []


def test_a_run_stops_before_the_limit_and_the_next_one_goes_on(lab: Lab):
    for model in tiny.MODELS:
        lab.upstream.tell(model, saying("This is ant", completion_tokens=2000))
    document = lab.asking("--limit-usd", 0.125).document
    assert document["stopped"] == "limit"
    assert 0 < document["spent_usd_now"] <= 0.125
    assert len(lab.events("answer")) == len(lab.asked) == 6  # a seventh could cost $0.0205
    assert len(lab.events("score")) == 6
    before = set(lab.asked)
    lab.upstream.reset()
    document = lab.asking().document
    assert document["stopped"] is None
    assert len(lab.asked) == 34
    assert not before & set(lab.asked)
    # Answers turned out longer than a guess had it.
    assert document["plan"]["expected_usd"] > 30 * 0.02


def test_without_a_terminal_somebody_has_to_say_yes(lab: Lab, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ended = lab.label()
    assert ended.code == 2
    assert "--yes is required without a terminal: 40 calls cost about $" in ended.err
    assert lab.upstream.requests == []


def test_on_a_terminal_the_cost_is_agreed_to(lab: Lab, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert lab.label().code == 1
    assert lab.upstream.requests == []
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert lab.label("--n", 4).code == 0
    assert len(lab.upstream.requests) == 16


# scores


def test_another_metric_scores_the_stored_answers_and_asks_nobody(lab: Lab):
    lab.asking("--n", 4)
    lab.upstream.reset()
    ended = lab.asking("--metric", "exact")
    assert ended.code == 2
    assert "scored by contains; add --rescore to score them by exact first" in ended.err
    ended = lab.label("--rescore", "--metric", "exact")
    assert ended.code == 0
    assert "16 stored answers were scored by exact." in ended.out
    document = lab.asking("--rescore", "--metric", "exact").document
    assert document["rescored"] == 0
    assert by_model(document)["bee"]["mean_score"] == 0  # the reference is "is bee"
    assert lab.upstream.requests == []
    assert lab.asking("--n", 4, "--metric", "exact").code == 0


def test_the_metric_may_stand_in_the_configuration(lab: Lab, benchrouter):
    tasks = {"new": {"inputs": "inputs.jsonl", "metric": "f1", "labels": "kept/mine.jsonl"}}
    lab.configure(tasks=tasks)
    ended = benchrouter(
        "label", "--config", lab.config, "--task", "new", "--yes", "--json", "--n", 2
    )
    assert ended.document["metric"] == "f1"
    assert (lab.folder / "kept" / "mine.jsonl").is_file()


def test_a_judge_grades_each_answer_and_is_paid_and_written_down(lab: Lab):
    lab.upstream.tell("wise", saying('{"correct": true, "reason": "it says so"}'))
    document = lab.asking("--metric", "judge:wise", "--models", "ant,cat", "--n", 4).document
    assert {entry["mean_score"] for entry in document["models"]} == {1}
    assert document["judge"]["verdicts_now"] == 8
    assert document["judge"]["spent_usd_now"] == pytest.approx(8 * 3.7e-5)
    assert document["spent_usd_now"] == pytest.approx(16 * 3.7e-5)
    assert Counter(lab.upstream.models) == {"ant": 4, "cat": 4, "wise": 8}
    line = lab.events("score")[0]
    assert (line["judge"], line["metric"], line["score"]) == ("judge wise", "judge:wise", 1)
    assert line["verdict"] == '{"correct": true, "reason": "it says so"}'
    assert line["cost_usd"] == pytest.approx(3.7e-5)
    sent = [r.body["messages"] for r in lab.upstream.requests if r.model == "wise"]
    material = json.loads(sent[0][1]["content"])
    assert material["question"].startswith("Who is number")
    assert material["answer"] in ("This is ant.", "This is cat.")


def test_a_verdict_that_cannot_be_read_is_asked_for_again_and_later_graded_alone(lab: Lab):
    lab.upstream.tell("wise", saying("I like it."))
    ended = lab.asking("--metric", "judge:judges", "--models", "ant", "--n", 3)
    assert ended.code == 1
    assert Counter(lab.upstream.models) == {"ant": 3, "wise": 6}
    document = json.loads(ended.out)
    assert document["unscored"] == 3
    assert document["judge"]["failures_now"] == 3
    lab.upstream.reset()
    lab.upstream.tell("wise", saying('{"correct": false}'))
    document = lab.asking("--metric", "judge:judges", "--models", "ant", "--n", 3).document
    assert Counter(lab.upstream.models) == {"wise": 3}
    assert by_model(document)["ant"]["mean_score"] == 0


def test_a_judge_that_cannot_be_asked_stops_the_run_and_loses_no_answer(lab: Lab):
    lab.upstream.tell("wise", Answer(status=403))
    ended = lab.asking("--metric", "judge:wise", "--concurrency", 1)
    assert ended.code == 1
    assert "judge wise: APIError: OpenAIException" in ended.err
    assert json.loads(ended.out)["stopped"] == "judge"
    assert Counter(lab.upstream.models)["wise"] == 1
    assert len(lab.events("answer")) == 1


def test_rescoring_by_a_judge_takes_back_the_other_scores_first(lab: Lab):
    lab.asking("--n", 4, "--models", "ant")
    lab.upstream.reset()
    lab.upstream.tell("wise", saying("{}"))
    ended = lab.asking("--rescore", "--metric", "judge:wise", "--retries", 0)
    assert ended.code == 1
    prompts = [prompt(i) for i in range(N_INPUTS)]
    assert np.isnan(read_labels(lab.journal, prompts, ["ant"])).all()
    lab.upstream.tell("wise", saying('{"correct": true}'))
    document = lab.asking("--rescore", "--metric", "judge:wise").document
    assert by_model(document)["ant"]["mean_score"] == 1
    assert "ant" not in lab.upstream.models
    lab.upstream.reset()
    assert lab.asking("--rescore", "--metric", "contains").document["rescored"] == 4
    assert lab.upstream.requests == []


# what the user got wrong


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--task", "old"], "benchrouter.tasks has no task 'old'; it has new. Give --inputs FILE"),
        (["--metric", "rouge"], "--metric is 'rouge', which is not a metric. Use one of exact,"),
        (["--models", "eel"], "--models names eel, which no deployment in model_list is; there are "
         "ant, bee, cat, dog"),
        (["--metric", "judge:nobody"], "the judge 'nobody' is neither a model nor a group"),
        (["--metric", "exact"], "new.txt has no references, which exact needs; give JSONL"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_sentence(lab: Lab, more, told):
    has_inputs = "--models" in more or "judge:nobody" in more
    metric = [] if "--metric" in more else ["--metric", "contains"]
    ended = lab.run_here(*lab.arguments("--yes", *metric, *more, inputs=has_inputs))
    assert ended.code == 2
    assert told in ended.err
    assert lab.upstream.requests == []


def test_no_metric_no_candidates_and_a_table_for_a_journal(lab: Lab):
    ended = lab.run_here(*lab.arguments("--yes"))
    assert "no metric says when an answer is right; give --metric" in ended.err
    assert "has no answers to score again; run it without" in lab.asking("--rescore").err
    lab.configure(deployments=[])
    assert "no candidates: no deployment in model_list is a model of" in lab.asking().err
    lab.configure(tasks={"new": {"inputs": "new.txt", "labels": "labels.csv"}})
    assert "only .jsonl can be added to line by line" in lab.asking().err


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('{"prompt": "a", "reference": "b"\n', "line 1 is not JSON"),
        ('{"text": "a"}\n', "line 1 has no text"),
        ('{"messages": [7, {"role": "user", "content": "a"}]}\n', "messages that are not turns"),
        ('{"prompt": "a", "reference": "b"}\n{"prompt": "a", "reference": "c"}\n',
         "line 2 repeats the prompt of"),
        ("\n", "holds no inputs"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_used_are_told_with_their_line(lab: Lab, lines, told):
    lab.inputs.write_text(lines)
    ended = lab.asking()
    assert ended.code == 2
    assert told in ended.err


def test_inputs_without_a_reference_and_inputs_that_are_not_the_tasks_are_told(lab: Lab):
    lab.write_inputs([{"prompt": "A", "reference": "x"}, {"prompt": "B"}, {"prompt": prompt(1)}])
    document = lab.asking("--models", "ant").document
    assert document["inputs"]["labelled"] == 1
    assert any("2 of the 3 inputs" in w and "no reference" in w for w in document["warnings"])
    assert any("2 of the 3 inputs" in w and "are not in" in w for w in document["warnings"])


def test_a_new_task_is_labelled_and_what_to_add_to_the_configuration_is_said(lab: Lab):
    ended = lab.label("--yes", "--n", 2, "--models", "ant", task="a/../b")
    assert ended.code == 0
    assert "Add the task to the configuration: tasks: {a/../b: {inputs: " in ended.out
    kept = [path for path in lab.folder.rglob("*.jsonl") if path != lab.inputs]
    assert [path.parent for path in kept] == [lab.journal.parent]
