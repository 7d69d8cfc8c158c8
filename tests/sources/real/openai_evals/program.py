"""OpenAI evals runs three invented evals: a match, a fuzzy match, and one that a model grades."""

import json
import os
import sys
from pathlib import Path

os.environ["OPENAI_API_KEY"] = "none"  # nothing is asked

from evals.cli import oaieval
from evals.record import record_sampling
from evals.registry import Registry


class Answer:
    def __init__(self, text):
        self.text = text

    def get_completions(self):
        return [self.text]


def parrot(prompt, **_):
    """Add one, but to every third number; as a grader, say yes, no, half or nothing."""
    text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    number = int(text.split("What is ")[1].split()[0])
    answer = "YNP?"[number % 4] if "Say Y" in text else str(number + 1 if number % 3 else 0)
    record_sampling(prompt=prompt, sampled=[answer], model="parrot")
    return Answer(answer)


class Own(Registry):
    def make_completion_fn(self, *_, **__):
        return parrot


def put(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))  # JSON is YAML


samples = [
    {"input": [{"role": "system", "content": "Be short."},
               {"role": "user", "content": f"What is {i} + 1?"}], "ideal": str(i + 1)}
    for i in range(6)
]  # fmt: skip
registry = Path("registry")
(registry / "data").mkdir(parents=True)
(registry / "data" / "sums.jsonl").write_text("".join(json.dumps(s) + "\n" for s in samples))
args = {"samples_jsonl": "sums.jsonl"}
graded = {**args, "modelgraded_spec": "right", "eval_type": "classify"}
put(
    registry / "evals" / "sums.yaml",
    {
        "match.dev.v0": {"class": "evals.elsuite.basic.match:Match", "args": args},
        "fuzzy.dev.v0": {"class": "evals.elsuite.basic.fuzzy_match:FuzzyMatch", "args": args},
        "graded.dev.v0": {
            "class": "evals.elsuite.modelgraded.classify:ModelBasedClassify",
            "args": graded,
        },
    },
)
put(
    registry / "modelgraded" / "right.yaml",
    {
        "right": {
            "prompt": "Is {completion} the answer to {input}? Say Y, N or P.",
            "choice_strings": "YNP",
            "choice_scores": {"Y": 1.0, "N": 0.0, "P": 0.5},
            "input_outputs": {"input": "completion"},
        }
    },
)
sys.argv = ["oaieval"]  # which logs hold
Path("logs").mkdir()
for name, functions in (("match", "parrot"), ("fuzzy", "parrot"), ("graded", "parrot,judge")):
    command = [functions, f"{name}.dev.v0", "--registry_path", str(registry)]
    command += ["--record_path", f"logs/{name}.jsonl"]
    oaieval.run(oaieval.get_parser().parse_args(command), Own([]))
