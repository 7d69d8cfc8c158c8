"""lighteval runs two invented tasks with a dummy model: choices that are scored, and answers."""

import json
import sys
from pathlib import Path

import xxhash

digest = xxhash.xxh64  # which takes no text from 4 on
xxhash.xxh64 = lambda *text: digest(*(t.encode() if isinstance(t, str) else t for t in text))

from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.metrics.metrics import Metrics
from lighteval.models import model_output
from lighteval.models.dummy.dummy_model import DummyModel, DummyModelConfig
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc

before_0_10 = hasattr(model_output, "GenerativeResponse")

data = Path("data")
data.mkdir()
for split, numbers in (("train", (50, 51)), ("test", range(6))):
    rows = [
        {"question": f"What is {i} + 1?", "choices": [str(i + 1), str(i + 2)], "answer": i % 2}
        for i in numbers
    ]
    (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def chosen(row, task_name=None):
    choices = [f" {choice}" for choice in row["choices"]]
    query = f"Question: {row['question']}\nAnswer:"
    return Doc(task_name=task_name, query=query, choices=choices, gold_index=row["answer"])


def written(row, task_name=None):
    gold = row["choices"][:1]
    return Doc(task_name=task_name, query=row["question"], choices=gold, gold_index=0)


def task(name, function, metrics, **more):
    more |= {"suite": ["custom"], "metric": metrics} if before_0_10 else {"metrics": metrics}
    return LightevalTaskConfig(
        name=name,
        prompt_function=function,
        hf_repo=str(data),
        hf_subset="default",
        hf_avail_splits=["train", "test"],
        evaluation_splits=["test"],
        few_shots_split="train",
        few_shots_select="sequential",
        **more,
    )


TASKS_TABLE = [
    task("choices", chosen, [Metrics.loglikelihood_acc]),
    task("sums", written, [Metrics.exact_match, Metrics.f1_score],
         generation_size=8, stop_sequence=["\n"]),
]  # fmt: skip


def answered(text):
    """Add one, but to the numbers that 3 divides."""
    number = int(text.split("What is ")[-1].split()[0])
    return str(number + 1 if number % 3 else 0)


class Parrot(DummyModel):
    if before_0_10:
        tokenizer = None

        def __init__(self, config):
            super().__init__(config)
            self.model_info.model_name = "acme/parrot"

        def tok_encode(self, text, **_):
            return text.split()

        def tok_encode_pair(self, *_, **__):
            return [1], [[1]]

        def greedy_until(self, requests, override_bs=None):
            answers = [[answered(request.context)] for request in requests]
            return [model_output.GenerativeResponse(result=answer) for answer in answers]
    else:

        def greedy_until(self, docs):
            return [
                model_output.ModelResponse(
                    text=[answered(doc.query)], input_tokens=[1, 2, 3], output_tokens=[[1]]
                )
                for doc in docs
            ]


for name in ("_load_from_files", "_load_from_subdirs"):  # the tasks there are, which fetch files
    setattr(Registry, name, staticmethod(lambda *_: {}))
config = DummyModelConfig(**({} if before_0_10 else {"model_name": "acme/parrot"}))
prefix, suffix = ("custom|", "|0") if before_0_10 else ("", "")
pipeline = Pipeline(
    tasks=f"{prefix}choices|1{suffix},{prefix}sums|0{suffix}",
    pipeline_parameters=PipelineParameters(
        launcher_type=ParallelismManager.NONE, custom_tasks_directory=sys.modules[__name__]
    ),
    evaluation_tracker=EvaluationTracker(output_dir="out", save_details=True),
    model=Parrot(config),
)
pipeline.evaluate()
pipeline.save_and_push_results()
