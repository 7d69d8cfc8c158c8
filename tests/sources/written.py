"""Small invented results in the layouts of tools that do not run in the tests, with their means.

Each function writes files as one tool does and returns the path to read; `MEANS` has what that
tool states for them: the mean score by task and model.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

MODELS = ("acme/ant-7b", "bee-2")
QUESTIONS = {
    "q1": ("sums", "What is three plus four?", "7"),
    "q2": ("sums", "What is nine minus two?", "7"),
    "q3": ("words", "What is the opposite of cold?", "hot"),
    "q4": ("words", "Which word rhymes with moon: spoon or chair?", "spoon"),
}
RIGHT = {"acme/ant-7b": ("q1", "q2", "q3"), "bee-2": ("q2", "q4")}
"""Which questions each model answers rightly."""

PLAIN = {
    ("sums", "acme/ant-7b"): 1.0,
    ("words", "acme/ant-7b"): 0.5,
    ("sums", "bee-2"): 0.5,
    ("words", "bee-2"): 0.5,
}


def each() -> Iterable[tuple[str, str, str, str, str, int]]:
    """Yield model, key, task, prompt, reference and label of every result."""
    for model in MODELS:
        for key, (task, prompt, reference) in QUESTIONS.items():
            yield model, key, task, prompt, reference, int(key in RIGHT[model])


def put(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))
    return path


def put_lines(path: Path, rows: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def put_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def deepeval(folder: Path) -> Path:
    """As `TestRun.save` writes, by alias and without what is None."""
    for number, model in enumerate(MODELS):
        cases = [
            {
                "name": f"test_case_{key}",
                "input": prompt,
                "actualOutput": "an answer",
                "expectedOutput": reference,
                "flaky": False,
                "success": bool(label),
                "metricsData": [
                    {"name": "Correctness [GEval]", "threshold": 0.5, "success": bool(label),
                     "score": 0.2 + 0.6 * label, "reason": "so it is", "strictMode": False,
                     "flaky": False, "evaluationModel": "judge", "evaluationCost": 0.01},
                    {"name": "Toxicity", "threshold": 0.5, "success": True, "score": 0.1,
                     "strictMode": False, "flaky": False, "evaluationModel": "judge"},
                ],
                "runDuration": 1.5, "evaluationCost": 0.01, "order": position,
                "metadata": {"task": task},
            }
            for position, (name, key, task, prompt, reference, label) in enumerate(each())
            if name == model
        ]  # fmt: skip
        run = {
            "testFile": "test_answers.py", "testCases": cases, "conversationalTestCases": [],
            "metricsScores": [], "hyperparameters": {"model": model, "prompt template": "plain"},
            "testPassed": 2, "testFailed": 2, "runDuration": 6.0, "official": False,
        }  # fmt: skip
        put(folder / f"test_run_20260401_12000{number}.json", run)
    return folder


def ragas(folder: Path) -> Path:
    """As `EvaluationResult.to_pandas().to_csv` writes, a file a model."""
    for model in MODELS:
        rows = [
            {
                "user_input": prompt, "retrieved_contexts": str([f"about {key}"]),
                "response": "an answer", "reference": reference, "task": task,
                "faithfulness": 0.9, "answer_correctness": float(label),
            }
            for name, key, task, prompt, reference, label in each()
            if name == model
        ]  # fmt: skip
        put_csv(folder / f"{model.rpartition('/')[2]}.csv", rows)
    return folder


def langsmith(folder: Path) -> Path:
    """As `ExperimentResults.to_pandas().to_csv` writes, an experiment a model."""
    for model in MODELS:
        rows = [
            {
                "inputs.question": prompt, "outputs.answer": "an answer", "error": "",
                "reference.answer": reference, "feedback.correctness": bool(label),
                "feedback.conciseness": 0.3, "execution_time": 0.4, "example_id": f"e-{key}",
                "id": f"r-{key}-{model}",
            }
            for name, key, _, prompt, reference, label in each()
            if name == model
        ]  # fmt: skip
        put_csv(folder / f"{model.rpartition('/')[2]}.csv", rows)
    return folder


def braintrust(folder: Path) -> Path:
    """As the events of an experiment are fetched: roots with scores, and spans of calls below."""
    rows: list[dict[str, Any]] = []
    for model, key, task, prompt, reference, label in each():
        root = f"{key}-{model}"
        common = {"experiment_id": "x", "root_span_id": root, "created": "2026-04-01T12:00:00Z"}
        rows += [
            {**common, "id": root, "span_id": root, "span_parents": None, "is_root": True,
             "input": prompt, "output": "an answer", "expected": reference, "error": None,
             "scores": {"Correct": label}, "metadata": {"task": task}, "tags": None,
             "metrics": {"start": 1.0, "end": 2.0}, "span_attributes": {"name": "eval"}},
            {**common, "id": f"{root}-call", "span_id": f"{root}-call", "span_parents": [root],
             "is_root": False, "input": [{"role": "user", "content": prompt}], "scores": None,
             "output": [], "metadata": {"model": model}, "span_attributes": {"type": "llm"},
             "metrics": {"prompt_tokens": 12, "completion_tokens": 3, "estimated_cost": 0.001}},
        ]  # fmt: skip
    return put(folder / "experiment.json", rows)


def langfuse(folder: Path) -> Path:
    """As the pages export generations as JSON: scores are columns that hold lists."""
    rows = [
        {
            "id": f"o-{key}-{model}", "traceId": f"t-{key}-{model}", "type": "GENERATION",
            "name": "answer", "startTime": "2026-04-01T12:00:00.000Z", "level": "DEFAULT",
            "input": {"messages": [{"role": "system", "content": "Be short."},
                                   {"role": "user", "content": prompt}]},
            "output": {"role": "assistant", "content": "an answer"}, "metadata": {"task": task},
            "model": model, "usageDetails": {"input": 12, "output": 3, "total": 15},
            "totalCost": 0.002, "traceName": "chat", "traceTags": ["nightly"], "userId": None,
            "comments": [], "correctness": [label], "tone": ["friendly"],
        }
        for model, key, task, prompt, _, label in each()
    ]  # fmt: skip
    return put(folder / "observations.json", rows)


def embedllm(folder: Path) -> Path:
    rows = [
        {"prompt_id": list(QUESTIONS).index(key), "model_id": MODELS.index(model),
         "category_id": 0 if task == "sums" else 1, "label": label, "model_name": model,
         "category": task, "prompt": prompt}
        for model, key, task, prompt, _, label in each()
    ]  # fmt: skip
    put_csv(folder / "train.csv", rows[:2] + rows[4:6])
    put_csv(folder / "test.csv", rows[2:4] + rows[6:])
    order = [{"prompt_id": i, "prompt": q[1]} for i, q in enumerate(QUESTIONS.values())]
    put_csv(folder / "question_order.csv", order)
    return folder


def llmrouterbench(folder: Path) -> Path:
    for model in MODELS:
        for task in ("sums", "words"):
            records = [
                {"index": i, "origin_query": prompt, "prompt": f"Question: {prompt}\nAnswer:",
                 "prompt_tokens": 12, "completion_tokens": 3, "cost": 0.001, "score": float(label),
                 "prediction": "?", "ground_truth": reference, "raw_output": "?",
                 "extra_fields": {}}
                for i, (name, _, of, prompt, reference, label) in enumerate(each())
                if name == model and of == task
            ]  # fmt: skip
            for i, record in enumerate(records):
                record["index"] = i
            scores = [record["score"] for record in records]
            name = model.rpartition("/")[2]
            document = {
                "performance": sum(scores) / len(scores), "time_taken": 1.0, "prompt_tokens": 24,
                "completion_tokens": 6, "cost": 0.002, "counts": 2, "model_name": model,
                "dataset_name": task, "split": "test", "demo": False, "extra_metrics": {},
                "data_fingerprint": "", "records": records,
            }  # fmt: skip
            file = f"{task}-test-{name}-20260401_120000.json"
            put(folder / "bench" / task / "test" / name / file, document)
    return folder / "bench"


def routerarena(folder: Path) -> Path:
    for model in MODELS:
        rows = [
            {"global_index": f"{task}_{key[1]}", "question": prompt, "llm_selected": model,
             "generated_answer": "an answer", "success": True, "provider": "p", "error": None,
             "token_usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15},
             "evaluation_result": {"extracted_answer": "?", "ground_truth": reference,
                                   "score": float(label), "metric": "mcq_accuracy",
                                   "inference_cost": 0.001}}
            for name, key, task, prompt, reference, label in each()
            if name == model
        ]  # fmt: skip
        put_lines(folder / "cached_results" / f"{model.replace('/', '_')}.jsonl", rows)
    return folder / "cached_results"


RATING = {0: 3, 1: 8}


def mt_bench(folder: Path) -> Path:
    questions = [
        {"question_id": 80 + i, "category": task, "turns": [prompt, "Now say it in one word."],
         "reference": [reference, reference]}
        for i, (task, prompt, reference) in enumerate(QUESTIONS.values())
    ]  # fmt: skip
    put_lines(folder / "mt_bench" / "question.jsonl", questions)
    rows = [
        {"question_id": 79 + int(key[1]), "model": model,
         "judge": ["gpt-4", "single-math-v1" if task == "sums" else "single-v1"],
         "user_prompt": "[Instruction] ...", "judgment": f"Rating: [[{RATING[label]}]]",
         "score": RATING[label] + (turn == 2), "turn": turn, "tstamp": 1.0}
        for model, key, task, _, _, label in each()
        for turn in (1, 2)
    ]  # fmt: skip
    put_lines(folder / "mt_bench" / "model_judgment" / "gpt-4_single.jsonl", rows)
    return folder / "mt_bench"


def arena(folder: Path) -> Path:
    """As arena-hard 2 writes: two games a question, the baseline first and then second."""
    questions = [
        {"uid": key, "category": task, "subcategory": "x", "prompt": prompt}
        for key, (task, prompt, _) in QUESTIONS.items()
    ]
    put_lines(folder / "arena-hard" / "question.jsonl", questions)
    for model in MODELS:
        rows = [
            {"uid": key, "category": task, "judge": "gpt-4.1", "model": model, "baseline": "o3",
             "games": [{"score": "B>A" if label else "A>>B", "judgment": {}, "prompt": "..."},
                       {"score": "A>B" if label else "A=B", "judgment": {}, "prompt": "..."}]}
            for name, key, task, _, _, label in each()
            if name == model
        ]  # fmt: skip
        name = model.replace("/", "_")
        put_lines(folder / "arena-hard" / "model_judgment" / "gpt-4.1" / f"{name}.jsonl", rows)
    return folder / "arena-hard"


def alpaca_eval(folder: Path) -> Path:
    for model in MODELS:
        rows = [
            {"instruction": prompt, "output_1": "a", "generator_1": "gpt4_1106_preview",
             "dataset": task, "output_2": "b", "generator_2": model,
             "annotator": "weighted_alpaca_eval_gpt4_turbo", "preference": 1.25 + 0.5 * label,
             "raw_completion": None, "time_per_example": 1.2, "price_per_example": 0.01}
            for name, key, task, prompt, _, label in each()
            if name == model
        ]  # fmt: skip
        at = folder / "results" / model.replace("/", "_") / "weighted_alpaca_eval_gpt4_turbo"
        put(at / "annotations.json", rows)
    board = [
        {"": model, "win_rate": rate, "standard_error": 1.0, "n_total": 4, "avg_length": 9}
        for model, rate in (("acme/ant-7b", 62.5), ("bee-2", 50.0))
    ]
    put_csv(folder / "results" / "leaderboard.csv", board)
    return folder / "results"


def evalplus(folder: Path) -> Path:
    for model in MODELS:
        of: dict[str, list[dict[str, Any]]] = {}
        for name, key, task, _, _, label in each():
            task_id = f"{'HumanEval' if task == 'sums' else 'Mbpp'}/{key[1]}"
            if name == model:
                of[task_id] = [
                    {"task_id": task_id, "solution": "def f(): ...", "base_status": "pass",
                     "plus_status": "pass" if label else "timeout", "base_fail_tests": [],
                     "plus_fail_tests": [] if label else [[1]]}
                ]  # fmt: skip
        for start in ("HumanEval", "Mbpp"):
            name = f"{model.replace('/', '--')}_vllm_temp_0.0_eval_results.json"
            held = {k: v for k, v in of.items() if k.startswith(start)}
            document = {"date": "2026-04-01 12:00", "hash": "0", "eval": held}
            put(folder / "evalplus_results" / start.lower() / name, document)
    for start, task in (("HumanEval", "sums"), ("Mbpp", "words")):
        rows = [
            {"task_id": f"{start}/{key[1]}", "prompt": prompt, "entry_point": "f"}
            for key, (of_task, prompt, _) in QUESTIONS.items()
            if of_task == task
        ]
        put_lines(folder / "evalplus_results" / f"{start}Plus-v0.1.10.jsonl", rows)
    return folder / "evalplus_results"


def _instance(key: str, task: str) -> str:
    return f"{task}__{task}-{key[1]}"


def swe_bench(folder: Path) -> Path:
    """As `make_run_report` writes."""
    for model in MODELS:
        ids = {_instance(k, q[0]): k in RIGHT[model] for k, q in QUESTIONS.items()}
        solved = sorted(i for i, right in ids.items() if right)
        wrong = sorted(i for i, right in ids.items() if not right)
        report = {
            "total_instances": 4, "submitted_instances": 4, "completed_instances": 4,
            "resolved_instances": len(solved), "unresolved_instances": len(wrong),
            "empty_patch_instances": 0, "error_instances": 0, "completed_ids": sorted(ids),
            "incomplete_ids": [], "empty_patch_ids": [], "submitted_ids": sorted(ids),
            "resolved_ids": solved, "unresolved_ids": wrong, "error_ids": [], "schema_version": 2,
        }  # fmt: skip
        put(folder / f"{model.replace('/', '__')}.nightly.json", report)
    rows = [
        {"instance_id": _instance(key, task), "problem_statement": prompt, "repo": f"{task}/{task}"}
        for key, (task, prompt, _) in QUESTIONS.items()
    ]
    put_lines(folder / "SWE-bench_Verified.jsonl", rows)
    return folder


def bfcl(folder: Path) -> Path:
    """Version 4: failures in `score`, all answers in `result`, the questions below `data`."""
    for model in MODELS:
        name = model.replace("/", "_")
        for task in ("sums", "words"):
            rows = [row for row in each() if row[0] == model and row[2] == task]
            failures = [
                {"id": f"{task}_{key[1]}", "model_name": model, "test_category": task,
                 "valid": False, "error": ["wrong"], "error_type": "ast_checker:wrong",
                 "prompt": {"id": f"{task}_{key[1]}", "function": [],
                            "question": [[{"role": "user", "content": prompt}]]},
                 "model_result_raw": "[f()]", "possible_answer": []}
                for _, key, _, prompt, _, label in rows
                if not label
            ]  # fmt: skip
            n = len(rows) - len(failures)
            header = {"accuracy": n / len(rows), "correct_count": n, "total_count": len(rows)}
            at = folder / "score" / name / "non_live" / f"BFCL_v4_{task}_score.json"
            put_lines(at, [header, *failures])
            answers = [
                {"id": f"{task}_{key[1]}", "result": "[f()]", "input_token_count": [[7, 5]],
                 "output_token_count": 3, "latency": 0.4}
                for _, key, *_ in rows
            ]  # fmt: skip
            at = folder / "result" / name / "non_live" / f"BFCL_v4_{task}_result.json"
            put_lines(at, answers)
    for task in ("sums", "words"):
        questions = [
            {"id": f"{task}_{key[1]}", "function": [],
             "question": [[{"role": "system", "content": "Be short."},
                           {"role": "user", "content": prompt}]]}
            for key, (of_task, prompt, _) in QUESTIONS.items()
            if of_task == task
        ]  # fmt: skip
        put_lines(folder / "data" / f"BFCL_v4_{task}.json", questions)
    return folder


def lighteval(folder: Path) -> Path:
    """As lighteval 0.13 writes: columns doc, metric and model_response."""
    for model in MODELS:
        for task in ("sums", "words"):
            rows = [
                {
                    "doc": {"query": prompt, "choices": [reference, "none"], "gold_index": [0],
                            "instruction": "", "task_name": f"{task}|0", "id": str(i),
                            "fewshot_samples": [], "specific": None},
                    "metric": {"extractive_match": float(label), "perplexity": 3.0},
                    "model_response": {"input": prompt, "input_tokens": [1] * 12, "text": ["?"],
                                       "output_tokens": [[1, 2, 3]], "logprobs": []},
                }
                for i, (name, _, of, prompt, reference, label) in enumerate(each())
                if name == model and of == task
            ]  # fmt: skip
            at = folder / "out" / "details" / model / "2026-04-01T12-00-00.123456"
            at.mkdir(parents=True, exist_ok=True)
            file = at / f"details_{task}|0_2026-04-01T12-00-00.123456.parquet"
            pl.DataFrame(rows).write_parquet(file)
    return folder / "out"


def opencompass(folder: Path) -> Path:
    """As OpenCompass 0.5 writes with --dump-eval-details: lists, for one run has one element."""
    top = folder / "default" / "20260401_120000"
    for model in MODELS:
        name = model.replace("/", "_")
        for task in ("sums", "words"):
            rows = [row for row in each() if row[0] == model and row[2] == task]
            predictions = {
                str(i): {"origin_prompt": [{"role": "HUMAN", "prompt": prompt}],
                         "prediction": "an answer", "gold": reference}
                for i, (_, _, _, prompt, reference, _) in enumerate(rows)
            }  # fmt: skip
            put(top / "predictions" / name / f"{task}.json", predictions)
            details = [
                {"example_abbr": f"{task}_{i}", "pred": ["?"], "answer": [row[4]],
                 "correct": [bool(row[5])]}
                for i, row in enumerate(rows)
            ]  # fmt: skip
            accuracy = 100 * sum(row[5] for row in rows) / len(rows)
            put(top / "results" / name / f"{task}.json", {"accuracy": accuracy, "details": details})
    return folder / "default"


def openai_evals(folder: Path) -> Path:
    for number, model in enumerate(MODELS):
        for task in ("sums", "words"):
            rows: list[dict[str, Any]] = [
                {"spec": {"completion_fns": [model], "eval_name": task, "base_eval": task,
                          "split": "dev", "run_config": {"completion_fns": [model], "seed": 1},
                          "created_by": "", "run_id": f"26040112000{number}", "created_at": "x"}}
            ]  # fmt: skip
            right = 0
            for name, key, of, prompt, reference, label in each():
                if (name, of) == (model, task):
                    right += label
                    common = {"run_id": "r", "sample_id": f"{task}.dev.{key}", "created_by": "",
                              "created_at": "2026-04-01 12:00:00"}  # fmt: skip
                    chat = [{"role": "system", "content": "Be short."},
                            {"role": "user", "content": prompt}]  # fmt: skip
                    rows += [
                        {**common, "event_id": 0, "type": "sampling",
                         "data": {"prompt": chat, "sampled": ["?"]}},
                        {**common, "event_id": 1, "type": "match",
                         "data": {"correct": bool(label), "expected": reference, "picked": None}},
                    ]  # fmt: skip
            rows.append({"final_report": {"accuracy": right / 2}, "run_id": "r"})
            put_lines(folder / f"2604011200_{task}_{number}.jsonl", rows)
    return folder


def _renamed(**tasks: str) -> dict[tuple[str, str], float]:
    return {(tasks[task], model): mean for (task, model), mean in PLAIN.items()}


def _underscored(means: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {(task, model.replace("/", "_")): mean for (task, model), mean in means.items()}


def _tails(task: str) -> dict[tuple[str, str], float]:
    return {(task, "ant-7b"): 0.75, (task, "bee-2"): 0.5}


_LOW, _HIGH = (2 + 3) / 2 / 9, (7 + 8) / 2 / 9  # both turns of a rating
MEANS: dict[str, Mapping[tuple[str, str], float]] = {
    "alpaca-eval": {key: 0.25 + 0.5 * mean for key, mean in PLAIN.items()},
    # Right: both games won. Wrong: the first lost three times over, the second a tie.
    "arena": {key: mean + (1 - mean) * 0.5 / 4 for key, mean in PLAIN.items()},
    "bfcl": _underscored(PLAIN),
    "braintrust": PLAIN,
    "deepeval": PLAIN,
    "embedllm": PLAIN,
    "evalplus": _renamed(sums="humaneval", words="mbpp"),
    "langfuse": PLAIN,
    "langsmith": _tails("given"),
    "lighteval": _renamed(sums="sums|0", words="words|0"),
    "llmrouterbench": PLAIN,
    "mt-bench": {key: _LOW + (_HIGH - _LOW) * mean for key, mean in PLAIN.items()},
    "openai-evals": PLAIN,
    "opencompass": _underscored(PLAIN),
    "ragas": {(task, model.rpartition("/")[2]): mean for (task, model), mean in PLAIN.items()},
    "routerarena": PLAIN,
    "swe-bench": _renamed(sums="sums/sums", words="words/words"),
}

WRITERS: dict[str, Callable[[Path], Path]] = {
    kind: globals()[kind.replace("-", "_")] for kind in MEANS
}
