"""Whole requests as many kinds of clients send them, in ten languages; all wording is invented."""

from __future__ import annotations

from typing import Any

import pytest

from conversation.test_ask import TOOLS, answer, result, said, schema, system, user
from litellm_benchrouter.conversation.ask import read_ask

CALL = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "3 rows"}
BEEKEEPING = "The colony is fed with syrup in autumn and left alone in winter. "
Case = tuple[object, dict[str, Any], dict[str, str], str, str | None]


def parts(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"text": text} for text in texts]}


def case(
    messages: object,
    kind: str,
    text: str | None = None,
    headers: dict[str, str] | None = None,
    **request: Any,
) -> Case:
    return messages, request, headers or {}, kind, text


DE = "Warum läuft der Import der Bienenstöcke doppelt so lange wie der Export?"
FR = "Écris un sonnet sur la pluie qui tombe sur les toits d'ardoise de Rennes."
ES = "Explica por qué el índice de la tabla de colmenas no se usa en esta consulta."
PT = "Refatora o cálculo da colheita para que aceite várias unidades de peso."
RU = "Почему тест планировщика падает только в ночь перехода на летнее время?"
ZH = "请把蜂箱温度的采样间隔从一分钟改成十秒，并说明对存储的影响。"
JA = "巣箱の温度を一時間ごとに平均して、折れ線グラフを描く関数を書いてください。"
KO = "벌통 온도 센서가 한 시간마다 끊기는 이유를 찾아서 고쳐 주세요."
AR = "اكتب دالة تحسب متوسط حرارة الخلية لكل ساعة وترسم المخطط."
HI = "छत्तों के तापमान का औसत निकालने वाला फ़ंक्शन लिखो और उसका परीक्षण जोड़ो।"
TR = "Kovan sıcaklıklarını saatlik ortalayan bir sorgu yaz ve dizini açıkla."
EN = "Find out why the hive sensors report the same minute twice and write a test."

CASES: dict[str, Case] = {
    # clients that put surroundings in tags
    "camel case around, Russian": case(
        [user("<editorState>\nopenFile: hive.ts\n</editorState>\n"
              f"<userQuery>\n{RU}\n</userQuery>")],
        "ask", RU, tools=TOOLS,
    ),
    "camel case behind, French": case(
        [user(f"{FR}\n\n<workspaceInfo>\nfolders: 2\n</workspaceInfo>")], "ask", FR
    ),
    "several blocks with attributes": case(
        [user(f'<attached_files count="1">\n<file path="a.py">x = 1</file>\n</attached_files>\n'
              f'<cursor_position line="3" />\n{PT}')],
        "ask", PT, tools=TOOLS,
    ),
    "an editor's request behind its attachments, Japanese": case(
        [user("<attachments>\n<attachment id=\"hive.py\">\ndef mean(): ...\n</attachment>\n"
              f"</attachments>\n<context>\nToday is Monday.\n</context>\n<userRequest>\n{JA}\n"
              "</userRequest>")],
        "ask", JA, tools=TOOLS,
    ),
    "rules of the project as a turn of their own": case(
        [user("<project_rules>\nTwo blanks.\n</project_rules>"), answer("Understood."), user(KO)],
        "ask", KO, tools=TOOLS,
    ),
    "a reminder glued to a yes, Turkish": case(
        [user(TR), answer("Yazayım mı?"),
         user("evet\n\n<system-reminder>\nNo to-dos.\n</system-reminder>")],
        "keep", TR, tools=TOOLS,
    ),
    "notes only, no tool before": case(
        [user(EN), answer("Look at the log."), user("<ide_opened_file>hive.py</ide_opened_file>")],
        "keep", EN, tools=TOOLS,
    ),
    "an ask with a note of a file that is open": case(
        [user(f"<ide_opened_file>The file hive.py is open.</ide_opened_file>\n{EN}")], "ask", EN
    ),
    # pasted markup
    "pasted custom elements": case(
        [user("<hive-card>\n  <hive-title>North</hive-title>\n</hive-card>\n\n"
              "Give this element a dark mode.")],
        "ask",
        "<hive-card>\n  <hive-title>North</hive-title>\n</hive-card>\n\n"
        "Give this element a dark mode.",
    ),
    "pasted custom element with text": case(
        [user("<hive-note>\nFeed them.\n</hive-note>\nWhy does this web component not render?")],
        "ask", "<hive-note>\nFeed them.\n</hive-note>\nWhy does this web component not render?",
    ),
    "pasted camel case": case(
        [user("<hiveList>\n  <hive>1</hive>\n</hiveList>\n\nWrite an XSD for this.")],
        "ask", "<hiveList>\n  <hive>1</hive>\n</hiveList>\n\nWrite an XSD for this.",
    ),
    "pasted page": case(
        [user("Center the list:\n\n<ul class='hives'>\n<li>1</li>\n</ul>")],
        "ask", "Center the list:\n\n<ul class='hives'>\n<li>1</li>\n</ul>",
    ),
    # retrieval
    "sources before the question": case(
        [user("Use the sources.\n\n<sources>\n"
              f"<source>{BEEKEEPING * 5}</source>\n</sources>\n\n{DE}")],
        "ask", DE,
    ),
    "search results, labelled, Spanish": case(
        [user(f"Responde con los pasajes.\n\nPasajes: {BEEKEEPING * 60}\n\n"
              f"Pregunta: {ES}\n\nRespuesta:")],
        "ask", ES,
    ),
    "labelled in bold, Chinese": case(
        [user(f"根据资料回答。\n\n资料：{BEEKEEPING * 60}\n\n**问题：** {ZH}\n\n**答案：**")],
        "ask", ZH,
    ),
    "a heading for the question": case(
        [user(f"# Context\n{BEEKEEPING * 60}\n\n# Question\n{EN}")], "ask", EN
    ),
    "retrieved text in the system turn": case(
        [system(f"Answer from:\n<docs>{BEEKEEPING * 50}</docs>"), user(HI)], "ask", HI
    ),
    "a question before the passages, Hindi": case(
        [user(f"{HI}\n\n<passages>\n{BEEKEEPING * 40}\n</passages>")], "ask", HI
    ),
    # long
    "an instruction behind a transcript of a meeting": case(
        [user("Anna: the hives are fine.\nBen: are they?\n" * 400 + f"\n\n{FR}")], "ask", FR
    ),
    "an instruction before and behind": case(
        [user(f"{EN}\n\n" + "09:00 hive 4 ok\n" * 1_000 + f"\n\n{DE}")], "ask", f"{EN}\n{DE}"
    ),
    # generateContent
    "contents, Korean": case(
        None, "ask", KO, contents=[parts("user", EN), parts("model", "ok"), parts("user", KO)],
        systemInstruction={"parts": [{"text": "Be brief."}]},
    ),
    "contents, a yes": case(
        None, "keep", AR,
        contents=[parts("user", AR), parts("model", "هل أتابع؟"), parts("user", "نعم")],
    ),
    "contents, a function's result in snake case": case(
        None, "keep", EN,
        contents=[parts("user", EN),
                  {"role": "model", "parts": [{"function_call": {"name": "look"}}]},
                  {"role": "user", "parts": [{"function_response": {"name": "look"}}]}],
    ),
    "contents, a function's result with the role of a function": case(
        None, "keep", EN,
        contents=[parts("user", EN),
                  {"role": "model", "parts": [{"functionCall": {"name": "look"}}]},
                  {"role": "function", "parts": [{"functionResponse": {"name": "look"}}]}],
    ),
    "contents, one mapping and not a list": case(None, "ask", TR, contents=parts("user", TR)),
    # completions
    "a prompt": case(None, "ask", RU, prompt=RU),
    "a list of prompts": case(None, "ask", RU, prompt=[RU]),
    "tokens": case(None, "none", "", prompt=[1, 2, 3]),
    # responses
    "responses, the whole input": case(
        None, "ask", ZH, input=[said(EN), CALL, OUTPUT,
        {"role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}, said(ZH)],
        tools=TOOLS,
    ),
    "responses, an earlier response and a new ask": case(
        None, "ask", PT, previous_response_id="resp_7", input=[said(PT)]
    ),
    "responses, in a conversation, go on": case(
        None, "keep", None, conversation={"id": "conv_1"}, input="продолжай"
    ),
    "responses, a custom tool's output": case(
        None, "keep", EN, input=[said(EN), {"type": "custom_tool_call", "name": "patch"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"}],
    ),
    "responses, a developer's note behind": case(
        None, "ask", ES, input=[said(ES), {"type": "message", "role": "developer",
        "content": [{"type": "input_text", "text": "Approvals are off."}]}],
    ),
    "responses, a mention of surroundings": case(
        None, "ask", JA, input=[said("<permissions_info>\nread only\n</permissions_info>"),
        said("# CONVENTIONS.md for /srv/hive\n\n<INSTRUCTIONS>\nTabs.\n</INSTRUCTIONS>"), said(JA)],
    ),
    # messages
    "messages, system turns between": case(
        [user(FR), answer("Voilà."), system("Mode: plan."), user(ES), system("Mode: edit.")],
        "ask", ES, tools=TOOLS, system="Help.",
    ),
    "messages, a tool's result and a reminder": case(
        [user(EN), answer("I look."),
         {"role": "user", "content": [*result()["content"],
          {"type": "text", "text": "<system-reminder>\nTests changed.\n</system-reminder>"}]}],
        "keep", EN, tools=TOOLS,
    ),
    "messages, a tool's result with a picture": case(
        [user(EN), answer("I look."),
         {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
             {"type": "image", "source": {}}]}]}],
        "keep", EN, tools=TOOLS,
    ),
    "chat, the old form of functions": case(
        [user(DE), {"role": "assistant", "content": None, "function_call": {"name": "look"}},
         {"role": "function", "name": "look", "content": "9"}],
        "keep", DE,
    ),
    "chat, a short new topic without a question mark": case(
        [user(DE), answer("Wegen des Index."), user("Write a haiku about rain")],
        "ask", "Write a haiku about rain",
    ),
    "chat, a short new topic, Chinese": case(
        [user(ZH), answer("好。"), user("写一首关于雨的俳句")], "ask", "写一首关于雨的俳句"
    ),
    "chat, a short new topic, Spanish": case(
        [user(ES), answer("Hecho."), user("Traduce al inglés: buenas noches")],
        "ask", "Traduce al inglés: buenas noches",
    ),
    "chat, a complaint, Portuguese": case(
        [user(PT), answer("Pronto."), user("está errado, tenta de novo")], "keep", PT
    ),
    "chat, a complaint, Japanese": case([user(JA), answer("はい。"), user("違います")], "keep", JA),
    "chat, a choice": case([user(EN), answer("A or B?"), user("the second one")], "keep", EN),
    "chat, shorter": case([user(FR), answer("Voilà."), user("plus court")], "keep", FR),
    # side requests
    "a title, French": case(
        [system("Donne un titre court à cette conversation, cinq mots au plus."), user(FR)],
        "side",
    ),
    "a title, German": case(
        [system("Erzeuge einen kurzen Titel für die Unterhaltung."), user(DE)], "side"
    ),
    "a title over a transcript": case(
        [user(f"Name this chat in a few words.\n\n<conversation>\nUser: {EN}\n</conversation>")],
        "side", max_tokens=40,
    ),
    "a title, contents": case(
        None, "side", contents=[parts("user", EN)],
        generationConfig={"responseSchema": {"type": "OBJECT", "properties": {"title": {}}},
                          "maxOutputTokens": 50},
    ),
    "queries for a search": case(
        [system("Write one to three search queries for the user's message."), user(EN)],
        "side", response_format=schema("queries"),
    ),
    "a one-token probe of responses": case(None, "side", input="hi", max_output_tokens=1),
    "a one-token probe of contents": case(
        None, "side", contents=[parts("user", "hi")], generationConfig={"maxOutputTokens": 1}
    ),
    "autocomplete": case(
        [system("Complete the code at the cursor. Answer with the missing code alone."),
         user("<|fim_prefix|>def mean(xs):\n    <|fim_suffix|>\n<|fim_middle|>")],
        "side", max_tokens=64,
    ),
    "autocomplete, a prompt": case(
        None, "side", prompt="<PRE> def mean(xs):\n <SUF>\n <MID>", max_tokens=64
    ),
    "autocomplete, a suffix": case(
        None, "side", prompt="def mean(xs):\n    ", suffix="\n\nprint(mean([1]))", max_tokens=64
    ),
    "a title over a dialogue in lines": case(
        [user(f"Write a short title for the conversation.\n\nUser: {EN}\nAI: I look into it.")],
        "side",
    ),
    "what a person has begun to type": case(
        [user('### Task:\nComplete the text.\nJSON: { "text": "..." }\n<chat_history>\nUSER: hi\n'
              "</chat_history>\n<text>How do I</text>")],
        "side",
    ),
    "a summary of the conversation, asked for by the client": case(
        [user(EN), answer("Done."), user(
            "Summarize the conversation so far inside <summary> tags. Do not call any tools.")],
        "side", tools=TOOLS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "request_", "headers", "kind", "text"), CASES.values(), ids=CASES
)
def test_what_a_client_sends_is_read_by_its_shape(
    messages: object, request_: dict[str, Any], headers: dict[str, str], kind: str, text: str | None
) -> None:
    ask = read_ask(messages, request_, headers)
    assert ask.kind == kind
    if kind != "side":
        assert ask.text == text


SHORT_TASKS = (
    *("Suggest names for a grey cat", "Donne-moi une recette de crêpes"),
    *("Dame una receta de gazpacho", "Gib mir ein Rezept für Linsensuppe"),
    *("Write a haiku about rain", "now translate good night to Welsh", "who wrote Faust"),
    *("Schreib ein Gedicht über Regen", "Übersetze guten Abend ins Walisische"),
    *("Écris un poème sur la pluie", "Explica la fotosíntesis en dos frases"),
    *("Escreve um poema sobre a chuva", "Напиши стих о дожде", "写一首关于雨的诗"),
    *("雨についての俳句を書いてください", "비에 관한 시를 써 주세요", "اكتب قصيدة عن المطر"),
    *("बारिश पर एक कविता लिखो", "yağmur üzerine bir şiir yaz"),
)
REACTIONS = (
    *("looks good, ship it", "run the tests", "use tabs", "make it faster", "in Python please"),
    *("write it again", "explain that more simply", "now the other one", "list them", "what now"),
    *("schreib es kürzer", "erklär das nochmal", "écris-la encore", "explícalo otra vez"),
    *(
        "escreve isso de novo",
        "напиши это ещё раз",
        "再写一遍",
        "もう一度書いてください",
        "다시 써 주세요",
    ),
    *(
        "اكتبها مرة أخرى",
        "इसे फिर लिखो",
        "bunu tekrar yaz",
        "translate",
        "write more",
        "do the rest",
    ),
)


@pytest.mark.parametrize("text", SHORT_TASKS)
def test_a_short_task_with_an_object_of_its_own_is_an_ask(text: str) -> None:
    ask = read_ask([user(EN), answer(), user(text)], {})
    assert (ask.kind, ask.text) == ("ask", text)


@pytest.mark.parametrize("text", REACTIONS)
def test_a_short_text_that_points_at_the_answer_keeps_the_conversation(text: str) -> None:
    ask = read_ask([user(EN), answer(), user(text)], {})
    assert (ask.kind, ask.text) == ("keep", EN)


@pytest.mark.parametrize(
    "text",
    [
        "What does <|fim_prefix|> stand for in code models?",
        "The page shows <details> without <summary>; which session context does the browser keep?",
        "Summarise the conversation of Faust and Gretchen.",
        "Why does <status-line>ok</status-line> not render in my component?",
        "<user-card>\nAnn\n</user-card>\n\nWhy does the shadow DOM swallow my slot?",
        "<PriceNote>\nOn sale\n</PriceNote>\n\nAdd a prop for the currency.",
    ],
)
def test_what_only_looks_like_a_clients_work_is_an_ask(text: str) -> None:
    ask = read_ask([user(DE), answer(), user(text)], {})
    assert (ask.kind, ask.text) == ("ask", text)
