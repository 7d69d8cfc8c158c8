"""MT-Bench, arenas and AlpacaEval: failed judgments, several judges, other layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reading import by_sample, means
from written import PLAIN, WRITERS, put, put_lines

from litellm_benchrouter.sources import read
from litellm_benchrouter.sources.rows import UndecidedError


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_rating_that_failed_is_missing_and_turns_can_be_chosen(tmp_path: Path) -> None:
    folder = WRITERS["mt-bench"](tmp_path)
    file = folder / "model_judgment" / "gpt-4_single.jsonl"
    rows = lines(file)
    rows[0]["score"] = -1
    rows[1]["score"] = 11
    put_lines(file, rows)
    table = read("mt-bench", folder, {"turn": 1})
    assert by_sample(table, "acme/ant-7b")["80"] is None
    assert by_sample(table, "bee-2")["81"] == pytest.approx(7 / 9)
    assert table.dropped["judgments that failed, which are missing and not wrong"] == 1
    assert table.dropped["ratings of the other turn"] == 8
    assert read("mt-bench", folder, {"turn": 2}).dropped["ratings outside 1 to 10"] == 1


def test_a_model_with_one_turn_is_named(tmp_path: Path) -> None:
    folder = WRITERS["mt-bench"](tmp_path)
    file = folder / "model_judgment" / "gpt-4_single.jsonl"
    put_lines(file, [row for row in lines(file) if row["turn"] == 1 or row["model"] != "bee-2"])
    (warning,) = read("mt-bench", folder, {}).warnings
    assert "Only one turn is rated of bee-2" in warning


def test_several_judges_are_asked_about(tmp_path: Path) -> None:
    folder = WRITERS["mt-bench"](tmp_path)
    file = folder / "model_judgment" / "gpt-4_single.jsonl"
    others = [{**row, "judge": ["claude", "single-v1"], "score": 1} for row in lines(file)]
    put_lines(folder / "model_judgment" / "claude_single.jsonl", others)
    with pytest.raises(UndecidedError, match=r"several judges \(claude, gpt-4\)\. Choose one"):
        read("mt-bench", folder, {})
    assert set(means(read("mt-bench", folder, {"judge": "claude"})).values()) == {0}


def test_judgments_without_their_questions_ask_for_them(tmp_path: Path) -> None:
    folder = WRITERS["mt-bench"](tmp_path)
    questions = (folder / "question.jsonl").rename(tmp_path / "asked.jsonl")
    with pytest.raises(UndecidedError, match=r"judgments hold no prompts.*questions: FILE"):
        read("mt-bench", folder, {})
    file = folder / "model_judgment" / "gpt-4_single.jsonl"
    assert read("mt-bench", file, {"questions": str(questions)}).samples.height == 4
    put_lines(questions, lines(questions)[1:])
    table = read("mt-bench", folder, {"questions": "../asked.jsonl"})
    assert table.samples.height == 3
    assert any("question.jsonl does not have (80)" in words for words in table.dropped)


def pair(question: int, first: str, second: str, *winners: str) -> dict[str, Any]:
    return {"question_id": 80 + question, "model_1": first, "model_2": second, "turn": 1,
            "g1_winner": winners[0], "g2_winner": winners[1], "judge": ["gpt-4", "pair-v2"],
            "g1_judgment": "[[A]]", "g2_judgment": "[[B]]"}  # fmt: skip


def test_a_pair_is_won_only_where_both_orders_agree(tmp_path: Path) -> None:
    folder = WRITERS["mt-bench"](tmp_path)
    file = put_lines(
        folder / "model_judgment" / "gpt-4_pair.jsonl",
        [
            pair(0, "a", "b", "model_1", "model_1"),
            pair(1, "a", "b", "model_1", "model_2"),
            pair(2, "a", "b", "model_1", "error"),
            pair(3, "a", "b", "model_2", "model_2"),
        ],
    )
    table = read("arena", file, {})
    assert by_sample(table, "a") == {"80": 1.0, "81": 0.5, "82": None, "83": 0.0}
    assert by_sample(table, "b") == {"80": 0.0, "81": 0.5, "82": None, "83": 1.0}
    # FastChat's win_rate_adjusted: wins, and half of the ties
    assert table.scores.filter(model="a")["score"].mean() == pytest.approx((1 + 0.5) / 3)


def test_battles_hold_their_prompts_and_unequal_opponents_are_said(tmp_path: Path) -> None:
    def battle(number: int, first: str, second: str, winner: str) -> dict[str, Any]:
        chat = [{"role": "user", "content": f"question {number}"},
                {"role": "assistant", "content": "?"}]  # fmt: skip
        return {"question_id": f"{number}-{first}", "model_a": first, "model_b": second,
                "winner": winner, "judge": f"arena_user_{number}", "turn": 1,
                "conversation_a": chat, "conversation_b": chat, "language": "English"}  # fmt: skip

    rows = [battle(0, "a", "b", "model_a"), battle(1, "a", "b", "tie (bothbad)"),
            battle(2, "a", "b", "model_b")]  # fmt: skip
    table = read("arena", put(tmp_path / "battles.json", rows), {"task": "chat"})
    assert means(table) == {("chat", "a"): 0.5, ("chat", "b"): 0.5}
    assert table.warnings == []
    rows.append(battle(3, "a", "c", "model_a"))
    table = read("arena", put(tmp_path / "battles.json", rows), {"task": "chat"})
    assert "did not all meet the same opponents" in table.warnings[0]


def test_a_game_without_a_verdict_is_missing(tmp_path: Path) -> None:
    folder = WRITERS["arena"](tmp_path)
    file = next(folder.rglob("bee-2.jsonl"))
    rows = lines(file)
    rows[0]["games"][1]["score"] = None
    rows[1]["games"] = []
    put_lines(file, rows)
    table = read("arena", folder, {})
    assert by_sample(table, "bee-2")["q1"] is None
    assert table.dropped["judgments that failed, which are missing and not wrong"] == 2


def test_draws_of_both_versions_of_alpaca_eval_are_half(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"do {i}", "generator_1": "base", "generator_2": "m", "annotator": "gpt4",
         "dataset": "koala", "preference": preference}
        for i, preference in enumerate((0, 1.5, 1, 2, None, 7))
    ]  # fmt: skip
    table = read("alpaca-eval", put(tmp_path / "annotations.json", rows), {})
    assert sorted(table.scores["score"].drop_nulls()) == [0, 0.5, 0.5, 1]
    assert table.dropped["judgments that failed, which are missing and not wrong"] == 2


def test_preferences_of_several_judges_or_baselines_are_asked_about(tmp_path: Path) -> None:
    folder = WRITERS["alpaca-eval"](tmp_path)
    file = next(folder.rglob("annotations.json"))
    rows = json.loads(file.read_text())
    elsewhere = [{**row, "annotator": "gpt4", "generator_1": "davinci"} for row in rows]
    other = put(file.parent.parent / "gpt4" / "annotations.json", elsewhere)
    with pytest.raises(UndecidedError, match=r"several annotators \(.*options: \{annotator: NAME"):
        read("alpaca-eval", folder, {})
    put(other, [{**row, "generator_1": "davinci"} for row in rows])
    with pytest.raises(UndecidedError, match=r"several baselines \(.*options: \{baseline: NAME"):
        read("alpaca-eval", folder, {})
    chosen = {"baseline": "gpt4_1106_preview"}
    table = read("alpaca-eval", folder, chosen)
    assert means(table) == {key: 0.25 + 0.5 * mean for key, mean in PLAIN.items()}
    assert table.dropped["preferences of another baseline"] == 4


def test_a_leaderboard_is_compared_and_is_no_result(tmp_path: Path) -> None:
    folder = WRITERS["alpaca-eval"](tmp_path)
    board = folder / "leaderboard.csv"
    with pytest.raises(
        UndecidedError, match="a leaderboard of AlpacaEval, which has averages only"
    ):
        read("alpaca-eval", board, {})
    board.write_text(board.read_text().replace("62.5", "71.5"))
    (warning,) = read("alpaca-eval", folder, {}).warnings
    assert "states a win rate of 71.5 % for acme/ant-7b, the annotations have 62.5 %" in warning
