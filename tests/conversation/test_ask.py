"""The ask of requests as agents and chat programs shape them; all wording is invented."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from conversation.test_text import ANYTHING, BODIES
from litellm_benchrouter.conversation.ask import first_ask, prompt_text, read_ask
from litellm_benchrouter.embedders import embed_with_cache

CASES = Path(__file__).parents[3] / "shared" / "cases" / "agents"

REMINDER = "<system-reminder>\nThe list of chores is empty.\n</system-reminder>"
PLACE = "<environment_details>\n# Tabs\nsrc/tide.py\n# Time\n09:15\n</environment_details>"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
ASK = "Sort the harbours by the height of their spring tides and plot the first ten."


def user(*parts: str) -> dict[str, Any]:
    if len(parts) == 1:
        return {"role": "user", "content": parts[0]}
    return {"role": "user", "content": [{"type": "text", "text": part} for part in parts]}


def answer(text: str = "Done.") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def result(text: str = "ok") -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "t", "content": text}],
    }


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


WRAPPED = {
    "a reminder before": [user(REMINDER, ASK)],
    "a reminder behind": [user(f"{ASK}\n{REMINDER}")],
    "reminders around": [user(f"{REMINDER}\n\n{ASK}\n\n{REMINDER}{REMINDER}")],
    "surroundings in a part": [user(f"<user_message>\n{ASK}\n</user_message>", PLACE)],
    "surroundings in a string": [user(f"<task>{ASK}</task>\n\n{PLACE}")],
    "a typed block with attributes": [user(f'<user_input mode="act">\n{ASK}\n</user_input>')],
    "names in camel case": [user(f"<environmentDetails>\ncwd: /srv\n</environmentDetails>\n{ASK}")],
    "shouted": [user("# RULES.md for /srv\n\n<RULES>\nUse tabs.\n</RULES>"), user(ASK)],
    "in a command line's quotes": [user(f'"{ASK}"')],
    "a command": [
        user(
            "<command-message>steady runs</command-message>\n<command-name>/steady</command-name>"
            f"\n<command-args>{ASK}</command-args>"
        )
    ],
    "an interruption": [user("Plot."), result(), user("[Request interrupted by user]"), user(ASK)],
    "a summary before": [user("<summary>\n1. Sorted.\n</summary>"), answer(), user(ASK)],
    "a summary in the same turn": [user("Condensed.\n<summary>\nSorted.\n</summary>", ASK)],
    "a note of the harness behind": [user(ASK), system("Two files are open.")],
    "files as earlier turns": [user("These files: tide.py"), answer("Ok."), user(ASK)],
    "documents before": [user(f"<documents>\n<doc>High water.</doc>\n</documents>\n\n{ASK}")],
    "documents behind": [user(f"{ASK}\n\n<documents>\n<doc>High water.</doc>\n</documents>")],
    "a retrieval template": [
        user(
            "### Task:\nAnswer by the context.\n\n<context>\n<source id=1>High water.</source>\n"
            f"</context>\n\n<user_query>\n{ASK}\n</user_query>"
        )
    ],
    "a labelled question": [
        user("Context: " + "The harbour lies in the lee. " * 90 + f"\n\nQuestion: {ASK}\nAnswer:")
    ],
    "an answer begun by the client": [user(ASK), answer("{")],
    "a long document behind": [user(f"{ASK}\n\n" + "High water at nine. " * 2_000)],
    "a long document before": [user("High water at nine. " * 2_000 + f"\n\n{ASK}")],
    "a tool's result with a new ask": [
        *(user("Plot the tides of the year."), answer()),
        {"role": "user", "content": [*result()["content"], {"type": "text", "text": ASK}]},
    ],
}


@pytest.mark.parametrize("messages", WRAPPED.values(), ids=WRAPPED)
def test_what_clients_put_around_an_ask_is_taken_off(messages):
    ask = read_ask(messages, {"tools": TOOLS})
    assert (ask.kind, ask.text) == ("ask", ASK)


OWN_MARKUP = (
    "What does a <system-reminder> tag mean?",
    "Why is this rejected?\n\n<task-list>\n  <task id=1>paint</task>\n</task-list>",
    "<div class='a'>\n<p>x</p>\n</div>\n\nCentre this.",
    "<my-gauge>42</my-gauge> is not rendered, why?",
    "```html\n<context>\n```\nWhat is this element?",
    "Why does <data>1</data> fail to parse in my feed reader?",
    "if a<b and c>d then swap(a, c) </loop>",
    "def f(x):\n    return x\n\nMake this generic.",
    "[1, 2, 3] plus [4] in numpy gives what?",
)


@pytest.mark.parametrize("text", OWN_MARKUP)
def test_markup_that_a_person_pasted_is_the_asks_own(text):
    assert read_ask([user(text)], {}).text == text


FOLLOW_UPS = (
    *("yes", "Yes, please do that.", "continue", "go on with the rest", "ok", "sure!", "2"),
    *("ja bitte", "mach weiter", "noch einmal", "nein, anders", "continue s'il te plaît"),
    *(
        "sí, hazlo",
        "continúa",
        "继续",
        "好的，请继续",
        "続けてください",
        "はい",
        "계속해 주세요",
        "да, продолжай",
    ),
    *("نعم", "أكمل من فضلك", "हाँ, आगे बढ़ो", "sim, continue", "evet devam et", "why?", "warum?"),
)


@pytest.mark.parametrize("text", FOLLOW_UPS)
def test_a_short_reaction_keeps_the_conversation_with_the_ask_before_it(text):
    ask = read_ask([user(ASK), answer(), user(text, REMINDER)], {"tools": TOOLS})
    assert (ask.kind, ask.text) == ("keep", ASK)
    again = [user(ASK), answer(), user(text), answer(), user(text)]
    assert read_ask(again, {}).text == ASK
    assert read_ask([user(text)], {}).kind == "ask", "a first turn is an ask however short"


NEW_ASKS = (
    "Danke! Was ist die Hauptstadt von Peru?",
    "What is 37 * 43?",
    "Now explain how the moon raises two tides a day and not one.",
    "谢谢！秘鲁的首都是哪里？",
    "请用三段话写一篇关于潮汐成因的短文，并举两个例子。",
    "ありがとう。次に、月が潮汐を起こす仕組みを中学生に説明してください。",
    "شكراً، اكتب الآن رسالة قصيرة إلى مدير الميناء عن جدول المد والجزر.",
    "Спасибо. Теперь напиши письмо начальнику порта о расписании приливов.",
)


@pytest.mark.parametrize("text", NEW_ASKS)
def test_a_new_ask_after_an_answer_is_an_ask(text):
    ask = read_ask([user(ASK), answer(), user(text)], {})
    assert (ask.kind, ask.text) == ("ask", text)


CALL = {"type": "function_call", "call_id": "c", "name": "shell", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "3 hits"}
KEPT = {
    "a tool's result": ([user(ASK), answer(), result()], {}),
    "a tool turn": ([user(ASK), answer(), {"role": "tool", "content": "42"}], {}),
    "surroundings after a tool": ([user(ASK), answer(), {"role": "tool"}, user(PLACE)], {}),
    "shell output of the user": (
        [
            user(ASK),
            answer("Which branch?"),
            user(
                "<bash-input>git branch</bash-input>\n"
                "<bash-stdout>tide</bash-stdout><bash-stderr></bash-stderr>"
            ),
        ],
        {},
    ),
    "responses, a loop of tools": (None, {"input": [said(ASK), CALL, OUTPUT]}),
    "responses, a note of an agent": (
        None,
        {"input": [said(ASK), CALL, OUTPUT, said("<agent_notification>{}</agent_notification>")]},
    ),
    "contents": (
        None,
        {
            "contents": [
                {"role": "user", "parts": [{"text": ASK}]},
                {"role": "model", "parts": [{"functionCall": {"name": "look"}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "look"}}]},
            ]
        },
    ),
}


@pytest.mark.parametrize(("messages", "request_"), KEPT.values(), ids=KEPT)
def test_a_loop_of_tools_keeps_the_decision_of_its_ask(messages, request_):
    ask = read_ask(messages, {"tools": TOOLS, **request_})
    assert (ask.kind, ask.text) == ("keep", ASK)


@pytest.mark.parametrize(
    ("messages", "request_"),
    [
        ([user("What came before.\n<summary>\n1. Sorted.\n</summary>", REMINDER)], {}),
        ([user("## Conversation Summary\nSorted.", REMINDER, PLACE)], {}),
        (None, {"previous_response_id": "resp_1", "input": [OUTPUT]}),
        (None, {"previous_response_id": "resp_1", "input": "yes, do that"}),
        ([user(PLACE)], {}),
    ],
)
def test_where_the_ask_is_not_in_the_request_the_conversation_goes_on_without_it(
    messages, request_
):
    assert read_ask(messages, request_) == read_ask(messages, {**request_, "tools": TOOLS})
    assert read_ask(messages, request_).kind == "keep"
    assert read_ask(messages, request_).text is None


def schema(*fields: str) -> dict[str, Any]:
    inner = {"type": "object", "properties": {key: {"type": "string"} for key in fields}}
    return {"type": "json_schema", "json_schema": {"schema": inner}}


HISTORY = "<chat_history>\nUSER: tides?\nASSISTANT: twice a day\n</chat_history>"
SIDE = {
    "said by a header": (
        [user(ASK)],
        {"tools": TOOLS},
        {"X-Claude-Code-Request-Class": "compaction"},
    ),
    "said by turn metadata": (
        [user(ASK)],
        {},
        {"x-codex-turn-metadata": '{"request_kind":"compact"}'},
    ),
    "a probe": ([user("quota")], {"max_tokens": 1}, {}),
    "a title by its schema": ([user(ASK)], {"response_format": schema("title")}, {}),
    "tags by their schema": ([user(ASK)], {"response_format": schema("tags")}, {}),
    "a title by the instruction": (
        [system("Write a short title for the conversation."), user(ASK)],
        {},
        {},
    ),
    "a title, the instruction as a turn": (
        [system("You name threads."), user("Generate a title for this conversation:"), user(ASK)],
        {},
        {},
    ),
    "follow-ups over a transcript": (
        [user(f'### Task:\nWhat next?\nJSON: {{"follow_ups": ["..."]}}\n{HISTORY}')],
        {},
        {},
    ),
    "queries over a transcript": (
        [user(f'### Task:\nWrite search queries.\nJSON: {{"queries": []}}\n{HISTORY}')],
        {},
        {},
    ),
    "a transcript with a small answer": (
        [user(f"<session>\n{ASK}\n</session>\nName it.")],
        {"max_tokens": 64},
        {},
    ),
    "a commit message": (
        [
            system("Write a one-line commit message for the diff."),
            user("diff --git a/tide.py b/tide.py\n+x"),
        ],
        {},
        {},
    ),
}


@pytest.mark.parametrize(("messages", "request_", "headers"), SIDE.values(), ids=SIDE)
def test_housekeeping_of_a_client_is_told_from_asks(messages, request_, headers):
    assert read_ask(messages, request_, headers).kind == "side"


NO_SIDE = {
    "the main loop": ([user(ASK)], {"tools": TOOLS}, {"x-claude-code-request-class": "main"}),
    "a sub-agent": ([user(ASK)], {"tools": TOOLS}, {"x-claude-code-request-class": "subagent"}),
    "an application's schema": ([user(ASK)], {"response_format": schema("harbour", "title")}, {}),
    "a summary that a person wants": (
        [user(f"Summarise this letter.\n\n{ASK}")],
        {"max_tokens": 64},
        {},
    ),
    "a title that a person wants": ([user("Suggest a title for my essay on tides.")], {}, {}),
    "questions for a lesson": ([user(ASK)], {"response_format": schema("questions")}, {}),
}


@pytest.mark.parametrize(("messages", "request_", "headers"), NO_SIDE.values(), ids=NO_SIDE)
def test_what_people_ask_is_no_housekeeping(messages, request_, headers):
    assert read_ask(messages, request_, headers).kind == "ask"


@pytest.mark.parametrize(
    ("messages", "request_"),
    [
        ([], {}),
        (None, {}),
        ([system("Greet.")], {}),
        ([user("  ")], {}),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}], {}),
    ],
)
def test_a_request_without_a_word_of_a_person_has_no_ask(messages, request_):
    assert read_ask(messages, request_).kind == "none"
    assert first_ask(messages, request_) == ""


def test_the_task_of_the_system_turn_counts_where_the_user_turn_is_material_for_a_schema():
    task = "Pull the gate and the crates out of the note."
    messages = [system(task), user("Nine crates at gate two. " * 100)]
    assert read_ask(messages, {"response_format": schema("gate", "crates")}).text == task
    assert read_ask(messages, {}).text != task
    assert read_ask([system(task), user(ASK)], {"response_format": schema("gate")}).text == ASK


def test_a_conversation_is_known_by_its_first_ask():
    turns = [
        user(REMINDER, ASK),
        answer(),
        user("Now explain the neap tides, with a drawing please."),
    ]
    assert first_ask(turns, {}) == ASK
    assert (
        first_ask(None, {"input": [said("<INSTRUCTIONS>\nTabs.\n</INSTRUCTIONS>"), said(ASK)]})
        == ASK
    )


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside the project")
@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_the_shared_cases(path):
    case = json.loads(path.read_text(encoding="utf-8"))
    request, expected = case["request"], case["expect"]
    ask = read_ask(request.get("messages"), request, case.get("headers"))
    assert ask.kind == expected["kind"]
    if expected["text"] is not None:
        assert (ask.text or "") == expected["text"]


@settings(max_examples=300, deadline=None)
@given(ANYTHING, BODIES)
def test_no_body_is_an_error_and_none_is_changed(messages, body):
    before = copy.deepcopy((messages, body))
    ask = read_ask(messages, body, body)
    assert ask.kind in ("ask", "keep", "side", "none")
    assert isinstance(first_ask(messages, body), str)
    assert repr((messages, body)) == repr(before)


def test_the_command_shows_what_would_be_routed_on(tmp_path, benchrouter):
    body, wrapped = tmp_path / "body.json", tmp_path / "wrapped.json"
    body.write_text(json.dumps({"messages": WRAPPED["a reminder behind"]}), encoding="utf-8")
    side = {
        "request": {"messages": [user(ASK)]},
        "headers": {"x-claude-code-request-class": "title"},
    }
    wrapped.write_text(json.dumps(side), encoding="utf-8")
    assert benchrouter("ask", body, "--json").document == {
        "file": str(body),
        "kind": "ask",
        "text": ASK,
    }
    both = benchrouter("ask", body, wrapped, "--json").document
    assert [(ask["kind"], ask["text"]) for ask in both] == [("ask", ASK), ("side", None)]
    assert f"ask: {ASK}" in " ".join(benchrouter("ask", body, wrapped).out.split())


def test_explain_goes_on_from_a_request_body(tmp_path, benchrouter, demo_built):
    body = tmp_path / "body.json"
    turns = [user(REMINDER, ASK), answer(), user("yes, please")]
    body.write_text(json.dumps({"messages": turns}), encoding="utf-8")
    place = ("--artifacts", demo_built / "router_artifacts", "--json")
    of_request = benchrouter("explain", *place, "--request", body).document
    of_prompt = benchrouter("explain", *place, ASK).document
    assert (of_request.pop("kind"), of_request.pop("text")) == ("keep", ASK)
    for key in ("pick", "reason", "scores", "neighbors"):
        assert of_request[key] == of_prompt[key]
    shown = benchrouter("explain", *place[:2], "--request", body)
    assert f"keep: {ASK}" in " ".join(shown.out.split())
    assert benchrouter("explain", *place, ASK, "--request", body).code == 2


class Noted:
    """An embedder that notes what it is given."""

    cacheable = False

    def __init__(self):
        self.texts = []

    def embed(self, texts, progress=None):
        self.texts += texts
        return np.zeros((len(texts), 2), dtype=np.float32)


def test_benchmark_prompts_are_cleaned_as_requests_are():
    prompts = [
        ASK,
        WRAPPED["surroundings in a string"][0]["content"],
        WRAPPED["a labelled question"][0]["content"],
        WRAPPED["a long document before"][0]["content"],
        REMINDER,
    ]
    noted = Noted()
    embed_with_cache(noted, prompts, None)
    assert noted.texts == [ASK, ASK, ASK, ASK, REMINDER]
    assert noted.texts[:4] == [read_ask([user(prompt)], {}).text for prompt in prompts[:4]]
    assert [prompt_text(text) for text in noted.texts] == noted.texts


@pytest.mark.parametrize("text", ["{", "[]", '{"request": "hi"}'])
def test_a_file_that_is_no_request_body_is_told(tmp_path, benchrouter, text):
    path = tmp_path / "body.json"
    path.write_text(text, encoding="utf-8")
    done = benchrouter("ask", path)
    assert done.code == 2
    assert done.err.startswith(f"Error: {path}: ")
