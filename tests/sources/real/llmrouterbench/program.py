"""Writes bench/, stated.json and prompts.json with LLMRouterBench's own collector.

Run it in an empty folder, with the path of a checkout of LLMRouterBench in LLMROUTERBENCH, on a
Python that has what its collector imports (datasets, loguru, openai, pymysql, tenacity, tiktoken).
Planning, scoring, averaging and storing are real; the models, which answer, are not.
"""

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

HERE, CHECKOUT = Path.cwd(), os.environ["LLMROUTERBENCH"]
sys.path.insert(0, CHECKOUT)

# By model: the answer to each question, "" for one that says nothing, "?" for one that fails.
ANSWERS = {"ant-7b": ["A", "B", "D", "?"], "bee-2": ["A", "C", "", "D"]}
QUESTIONS = [f"Which is number {i} of these four letters?" for i in range(1, 5)]
Path("data/MedQA").mkdir(parents=True)
rows = [
    {"question": text, "options": dict(zip("ABCD", "WXYZ", strict=True)), "answer": "ABCD"[i]}
    for i, text in enumerate(QUESTIONS)
]
Path("data/MedQA/test.json").write_text("".join(json.dumps(row) + "\n" for row in rows))

factory = ModuleType("evaluation.factory")  # the real one imports all data sets' libraries
factory.EvaluatorFactory = lambda **_: SimpleNamespace(
    get_evaluator=lambda _: medqa.MedQAEvaluator()
)
sys.modules["evaluation.factory"] = factory

from evaluation.MedQA import medqa
from generators.generator import GeneratorOutput


def create_generator(model_config, cache_config):
    def generate(prompt):
        [answer] = [
            a
            for text, a in zip(QUESTIONS, ANSWERS[model_config["name"]], strict=True)
            if text in prompt
        ]
        if answer == "?":
            raise TimeoutError("the model did not answer")
        return GeneratorOutput(f"Answer: {answer}", 40, 3, 0.001 * len(answer))

    return SimpleNamespace(generate=generate)


from data_collector import runner
from data_collector.config_loader import (
    BenchmarkConfig,
    DatasetConfig,
    ModelConfig,
    RunConfig,
)
from data_collector.planner import RunPlanner
from data_collector.storage import ResultsStorage

medqa.PROMPT = "Choose one of {candidates}. {question} {options}"
runner.create_generator = create_generator
models = [ModelConfig(name, f"acme/{name}", "http://127.0.0.1:9", "none") for name in ANSWERS]
storage = ResultsStorage(str(HERE))
for is_trial in (False, True):
    settings = RunConfig(overwrite=True, concurrency=1, demo_mode=is_trial, demo_limit=2)
    config = BenchmarkConfig(models, [DatasetConfig("medqa", ["test"])], settings)
    plan = RunPlanner(config, storage).generate_run_plan()
    done = runner.BenchmarkRunner(config, storage).run_all(plan)
    if not is_trial:
        stated = [
            ["bench", "medqa", each["run_key"].rpartition("/")[2], each["performance"]]
            for each in done["run_details"]
        ]
    time.sleep(1.1)  # files are named by the second
Path("data/MedQA/test.json").unlink()
Path("data/MedQA").rmdir()
Path("data").rmdir()
Path("stated.json").write_text(json.dumps(stated))
Path("prompts.json").write_text(json.dumps({"bench": QUESTIONS}))
