"""OpenCompass infers and evaluates invented data sets: with its evaluators, a chat, repetition."""

import inspect
import sys
from types import ModuleType

# A retriever that is not used imports it before 0.4.
sys.modules["sentence_transformers"] = ModuleType("sentence_transformers")
sys.modules["sentence_transformers"].SentenceTransformer = None

import numpy
from datasets import Dataset, DatasetDict
from mmengine.config import ConfigDict
from opencompass.datasets.base import BaseDataset
from opencompass.models.base import BaseModel
from opencompass.models.base_api import BaseAPIModel
from opencompass.openicl.icl_evaluator import AccEvaluator, EMEvaluator
from opencompass.openicl.icl_evaluator.icl_hf_evaluator import AccwithDetailsEvaluator
from opencompass.openicl.icl_inferencer import GenInferencer, PPLInferencer
from opencompass.openicl.icl_prompt_template import PromptTemplate
from opencompass.openicl.icl_retriever import FixKRetriever, ZeroRetriever
from opencompass.tasks.openicl_eval import OpenICLEvalTask
from opencompass.tasks.openicl_infer import OpenICLInferTask

repeats = "n" in inspect.signature(BaseDataset.__init__).parameters  # since 0.4


class Sums(BaseDataset):
    @staticmethod
    def load(listed=False, **_):
        def rows(numbers):
            answers = {i: str(i + 1) for i in numbers}
            return Dataset.from_list(
                [
                    {"question": f"What is {i} + 1?", "answer": [text] if listed else text}
                    for i, text in answers.items()
                ]
            )

        return DatasetDict(train=rows((50, 51)), test=rows(range(4)))


def number_in(text):
    return int(str(text).split("What is ")[-1].split()[0])


class Answers:
    """Add one, but to the numbers that 3 divides, of which the second time only to 0."""

    def answers(self, inputs):
        self.asked = getattr(self, "asked", 0)
        texts = []
        for number in map(number_in, inputs):
            self.asked += 1
            is_right = number % 3 or (self.asked > 4 and number == 0)
            texts.append(str(number + 1 if is_right else 0))
        return texts


class Parrot(Answers, BaseModel):
    def generate(self, inputs, max_out_len, **_):
        return self.answers(inputs)

    def get_ppl(self, inputs, mask_length=None):
        """Find the right option likely, but where 3 divides the number."""
        right = [f"B:{number_in(text) + 1}" in text and number_in(text) % 3 for text in inputs]
        return numpy.array([1.0 if each else 2.0 - ("B:1" in t) / 2
                            for each, t in zip(right, inputs, strict=True)])  # fmt: skip

    def get_token_len(self, prompt):
        return len(str(prompt))


class Chat(Answers, BaseAPIModel):
    def generate(self, inputs, max_out_len, **_):
        return self.answers([prompt[-1]["prompt"] for prompt in inputs])


def roles(answer):
    chat = [{"role": "HUMAN", "prompt": "{question}"}, {"role": "BOT", "prompt": answer}]
    return {"round": chat}


def data_set(abbr, evaluator, *, examples=False, options=(), n=1):
    infer = {"inferencer": {"type": PPLInferencer if options else GenInferencer}}
    template = {str(o): roles(str(o)) for o in options} or roles("{answer}")
    if examples:
        infer["ice_template"] = {"type": PromptTemplate, "template": roles("{answer}")}
        infer["retriever"] = {"type": FixKRetriever, "fix_id_list": [0, 1]}
        template["begin"] = "</E>"
    else:
        infer["retriever"] = {"type": ZeroRetriever}
    token = {"ice_token": "</E>"} if examples else {}
    infer["prompt_template"] = {"type": PromptTemplate, "template": template, **token}
    return {
        "abbr": abbr,
        "type": Sums,
        "path": "",
        "listed": evaluator is EMEvaluator,
        "reader_cfg": {"input_columns": ["question"], "output_column": "answer"},
        "infer_cfg": infer,
        "eval_cfg": {"evaluator": {"type": evaluator}},
        **({"k": 1, "n": n} if n > 1 else {}),
    }


common = {"path": "", "max_out_len": 8, "batch_size": 4, "run_cfg": {"num_gpus": 0}}
of_text = [
    {"role": "HUMAN", "begin": "H:", "end": "\n"},
    {"role": "BOT", "begin": "B:", "end": "\n", "generate": True},
]
of_chat = [
    {"role": "HUMAN", "api_role": "HUMAN"},
    {"role": "BOT", "api_role": "BOT", "generate": True},
]
parrot = {"type": Parrot, "abbr": "parrot", "meta_template": {"round": of_text}, **common}
chat = {"type": Chat, "abbr": "chat", "meta_template": {"round": of_chat}, **common}
runs = [
    (parrot, data_set("exact", EMEvaluator)),
    (parrot, data_set("plain", AccEvaluator)),
    (parrot, data_set("options", AccEvaluator, options=range(1, 5))),
    (chat, data_set("detailed", AccwithDetailsEvaluator, examples=True)),
]
if repeats:
    runs.append((parrot, data_set("repeated", AccwithDetailsEvaluator, n=3)))
for model, held in runs:
    config = ConfigDict(
        models=[model],
        datasets=[[held]],
        work_dir="outputs/default/20260401_120000",
        infer={"runner": {"task": {}}},
        eval={"runner": {"task": {"dump_details": True}}},
    )
    OpenICLInferTask(config).run()
    OpenICLEvalTask(config).run()
