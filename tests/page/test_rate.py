"""`benchrouter serve --rate`: answers side by side, rated blind, by keys alone, and resumed."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
from browser import chromium, look

from litellm_benchrouter.labelling.journal import ANSWER, SCORE, Journal, writing
from litellm_benchrouter.labelling.people import Rater, agreement
from litellm_benchrouter.sources.tasks import prompt_key
from litellm_benchrouter.sources.traffic import read_traffic_labels
from page.conftest import Response, ServedPage

PROMPTS = [f"How tall is tower {i}? </pre><script>1</script>" for i in range(4)]
SAME = "All alike."


def answers(i: int) -> dict[str, str]:
    """What the models said: two of them the same, and on the last prompt all of them."""
    each = {"ant": f"{i}0 metres.", "bee": f"{i}1 metres.", "cat": f"{i}0 metres.",
            "dog": f"Ask dog-keeper number {i}!"}  # fmt: skip
    return dict.fromkeys(each, SAME) if i == 3 else each


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder whose journal of own traffic holds answers that a judge has scored."""
    tiny.write(tmp_path, traffic={"collect": {"to": "own"}, "metric": "judge:judy"})
    with writing(journal_path(tmp_path)) as journal:
        for i, prompt in enumerate(PROMPTS):
            noted = {"prompt_sha256": prompt_key(prompt), "prompt": prompt, "key": f"key{i}"}
            for model, answer in answers(i).items():
                line: dict[str, Any] = noted | {"model": model, "score": None}
                journal.append(line | {"event": ANSWER, "answer": answer})
                verdict = {"event": SCORE, "score": 1.0, "metric": "judge:judy"}
                journal.append(line | verdict)
    return tmp_path


def journal_path(folder: Path) -> Path:
    (folder / "router_artifacts" / "labels").mkdir(parents=True, exist_ok=True)
    return folder / "router_artifacts" / "labels" / "traffic.jsonl"


def rater(folder: Path) -> Rater:
    return Rater(journal_path(folder), {}, 0)


def serve(folder: Path) -> ServedPage:
    return ServedPage(folder / "config.yaml", folder, "--rate")


def form_of(shown: Response) -> tuple[str, dict[str, str]]:
    """Return the key of the prompt on a page, and its answers by the name of their choice."""
    body = shown.body
    key = re.findall(r'name="key" value="(\w+)"', body)[0]
    names = list(dict.fromkeys(re.findall(r'name="(score-\w+)"', body)))
    texts = re.findall(r'</div>\s*<pre class="said">(.*?)</pre>', body, re.DOTALL)
    return key, {n: html.unescape(t).strip() for n, t in zip(names, texts, strict=True)}


def test_ratings_become_labels_of_every_model_that_gave_the_answer(lab: Path) -> None:
    one = rater(lab)
    seen = []
    while (shown := one.next(one.journal())) is not None:
        seen.append(shown.key)
        i = PROMPTS.index(shown.prompt)
        assert sorted(text for _, text in shown.answers) == sorted(set(answers(i).values()))
        scores = {digest: float(text.endswith("0 metres.")) for digest, text in shown.answers}
        assert one.rate(shown.key, scores) == 4
    assert len(seen) == len(set(seen)) == 3  # answers that are all alike tell nothing
    assert one.progress(one.journal()) == (3, 3)

    labels = read_traffic_labels(one.path, tiny.MODELS, {}, [])
    by_prompt = dict(zip(labels.prompts, labels.labels.tolist(), strict=True))
    assert {prompt: by_prompt[prompt] for prompt in PROMPTS[:3]} == {
        key: [1, 0, 1, 0] for key in PROMPTS[:3]
    }
    people = agreement(one.journal())
    assert (people["gold"], people["compared"], people["agreement"]) == (12, 12, 0.5)
    assert [each["bias"] for each in people["bias"]] == [0, 1, 0, 1]
    # What a label is erased by stands in it.
    lines = [json.loads(line) for line in one.path.read_text().splitlines()]
    rated = [line for line in lines if line["event"] == "given"]
    assert {line["key"] for line in rated} == {"key0", "key1", "key2"}


def test_models_that_were_rated_least_are_shown_first(lab: Path) -> None:
    with writing(journal_path(lab)) as journal:
        for i, prompt in enumerate(PROMPTS[:3]):
            key = {"prompt_sha256": prompt_key(prompt), "prompt": prompt, "score": None}
            answer = {"event": ANSWER, "answer": f"{i} yards"}
            journal.append(key | answer | {"model": "eel"})
    one = rater(lab)
    for _ in range(2):
        shown = one.next(one.journal())
        assert shown is not None
        assert len(shown.answers) == 3
        one.rate(shown.key, dict.fromkeys(dict(shown.answers), 0.5))
    rated = [model for (_, model), cell in one.journal().cells.items() if cell.metric is None]
    assert set(rated) == {*tiny.MODELS, "eel"}


def test_nobody_is_named_and_a_page_that_ends_is_gone_on_with(lab: Path) -> None:
    with serve(lab) as page:
        first = page.request("GET")
        assert first.status == 200
        key, shown = form_of(first)
        for model in tiny.MODELS:
            assert not re.search(rf"\b{model}\b(?!-keeper)", first.body)
        assert "judge" not in first.body
        assert "<script>1" not in first.body
        assert "0 of 3 prompts rated" in first.body
        assert "script-src 'self'" in first.headers["Content-Security-Policy"]
        assert page.request("GET", "/script.js").status == 200
        assert form_of(page.request("GET"))[0] == key  # looking again changes nothing
        second = page.ask(key=key, action="rate", **dict.fromkeys(shown, "partly"))
        assert "1 of 3 prompts rated" in second.body
        third, _ = form_of(second)
        passed = page.ask(key=third, action="skip")
        assert "1 passed over" in passed.body
        assert form_of(passed)[0] not in (key, third)
        back = page.ask(action="back", key=third)
        assert form_of(back)[0] == key
        assert back.body.count("checked") == len(shown)
        page.ask(key=key, action="rate", **dict.fromkeys(shown, "wrong"))
    scores = {cell.score for (k, _), cell in Journal(journal_path(lab)).cells.items() if k == key}
    assert scores == {0}
    with serve(lab) as page:
        again = page.request("GET")
        assert form_of(again)[0] != key
        assert "1 of 3 prompts rated" in again.body


def test_what_cannot_be_saved_is_said_and_what_is_no_rating_writes_nothing(lab: Path) -> None:
    before = journal_path(lab).read_bytes()
    with serve(lab) as page:
        key, shown = form_of(page.request("GET"))
        with writing(journal_path(lab)):
            busy = page.ask(key=key, action="rate", **dict.fromkeys(shown, "right"))
        assert "another run is writing" in busy.body
        assert form_of(busy)[0] == key
        for fields in ({"key": key}, {"key": "no", **dict.fromkeys(shown, "right")},
                       {"key": key, **dict.fromkeys(shown, "2")}, {}):  # fmt: skip
            assert "Nothing was saved" in page.ask(**fields).body
    assert journal_path(lab).read_bytes() == before


def test_keys_alone_rate_everything_in_a_browser(lab: Path) -> None:
    with serve(lab) as served, chromium() as (page, problems, requests):
        look(page, width=1280, dark=False)
        page.goto(served.url)
        for _ in range(3):
            texts = page.locator(".rated .said").all_inner_texts()
            rated = page.inner_text(".lead")
            for text in texts:
                page.keyboard.press("r" if text.strip().endswith("0 metres.") else "w")
            page.keyboard.press("Enter")
            page.wait_for_function(
                "t => document.querySelector('.lead').innerText !== t", arg=rated
            )
        assert page.inner_text("h2") == "Everything is rated"
        assert "50% of 12 agree" in page.inner_text(".card")
        page.click("button[value=back]")
        page.wait_for_selector(".rated")
        assert page.locator("input:checked").count() == page.locator(".rated").count()
        look(page, width=400, dark=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert problems == []
        own = ("", "style.css", "script.js", "favicon.ico")
        assert set(requests) <= {f"{served.url}{name}" for name in own}
    assert agreement(Journal(journal_path(lab)))["agreement"] == 0.5


def test_without_answers_it_says_what_to_do_and_without_traffic_it_refuses(
    tmp_path: Path, benchrouter: Any
) -> None:
    tiny.write(tmp_path, traffic={"collect": {"to": "own"}})
    with serve(tmp_path) as page:
        assert "benchrouter label --traffic" in page.request("GET").body
        page.__exit__()
        assert "no prompt with two different answers" in page.err
    tiny.write(tmp_path)
    ended = benchrouter("serve", "--rate", "--config", tmp_path / "config.yaml", "--port", "0")
    assert ended.code == 2
    assert "`benchrouter.traffic` is missing" in ended.err
