"""FastChat judges invented answers, single ones and pairs, and shows the results.

What loads models is not needed, and would bring torch; the judge goes by a number in the answers.
"""

import builtins
import contextlib
import json
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

from fastchat.conversation import get_conv_template


def judge(messages, **_):
    """Rate what an answer says it is worth, above 10 nothing; of two the better one wins."""
    worths = [int(number) for number in re.findall(r"worth (\d+)", messages[-1]["content"])]
    if "single" in messages[0]["content"]:
        verdict = f"Rating: [[{worths[-1]}]]" if 0 < worths[-1] <= 10 else "I cannot say."
    else:
        a, b = worths[-2:]
        verdict = "[[A]]" if a > b else "[[B]]" if b > a else "[[C]]"
        verdict = verdict if a and b else "I cannot say."
    return {"choices": [{"message": {"content": verdict}}]}


def module(name, **content):
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(content)


module("anthropic")
module("openai", ChatCompletion=SimpleNamespace(create=judge))
module(
    "fastchat.model.model_adapter",
    get_conversation_template=lambda _: get_conv_template("chatgpt"),
    OPENAI_MODEL_LIST=("gpt-4",),
    ANTHROPIC_MODEL_LIST=(),
)
builtins.input = lambda *_: ""


def put(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


bench = Path("data/mt_bench")
questions = {
    "writing": ["Write one line about a lamp.", "Name a boat."],
    "math": ["What is 12 + 30?", "What is 9 - 4?"],
}
turns = [(category, asked) for category, each in questions.items() for asked in each]
put(
    bench / "question.jsonl",
    [
        {"question_id": 81 + i, "category": category, "turns": [asked, "And another?"]}
        for i, (category, asked) in enumerate(turns)
    ],
)
worth = {
    "ant": [(9, 8), (5, 5), (3, 2), (10, 11)],
    "bee": [(4, 6), (5, 7), (6, 1), (0, 0)],
    "gpt-3.5-turbo": [(5, 5), (5, 5), (4, 4), (9, 9)],
}
for name, of_model in worth.items():
    rows = [
        {"question_id": 81 + i, "choices": [{"turns": [f"I am worth {n}." for n in both]}]}
        for i, both in enumerate(of_model)
    ]
    put(bench / "model_answer" / f"{name}.jsonl", rows)
put(
    bench / "reference_answer" / "gpt-4.jsonl",
    [{"question_id": 81 + i, "choices": [{"turns": ["42", "42"]}]} for i in range(4)],
)
# The names are those that FastChat looks for.
templates = {
    ("single", ""): ("{answer}", "[[rating]]"),
    ("single", "-multi-turn"): ("{answer_1} {answer_2}", "[[rating]]"),
    ("pair", ""): ("{answer_a} {answer_b}", "[[A]]"),
    ("pair", "-multi-turn"): ("{answer_a_2} {answer_b_2}", "[[A]]"),
}
prompts = [
    {"name": f"{kind}{version}{ending}", "type": "single" if kind == "single" else "pairwise",
     "system_prompt": f"Judge a {kind}.", "prompt_template": template, "output_format": output}
    for (kind, ending), (template, output) in templates.items()
    for version in ("-v1" if kind == "single" else "-v2", "-math-v1")
]  # fmt: skip
put(Path("judge_prompts.jsonl"), prompts)

for mode in ("single", "pairwise-baseline"):
    for script, options in (
        ("gen_judgment", ["--judge-file", "judge_prompts.jsonl"]),
        ("show_result", []),
    ):
        sys.argv = [script, "--mode", mode, *options]
        with Path(f"shown_{mode}.txt").open("w") as shown, contextlib.redirect_stdout(shown):
            runpy.run_module(f"fastchat.llm_judge.{script}", run_name="__main__")
