"""Writes results/, results_json/, fetched/ and stated.json with LangSmith, offline.

Run it in an empty folder.
"""

import json
import logging
import uuid
import warnings
from datetime import UTC, datetime
from pathlib import Path

from langsmith import Client, evaluate, schemas

warnings.simplefilter("ignore")
logging.disable()
START = datetime(2026, 4, 1, tzinfo=UTC)
EXAMPLES = [
    schemas.Example(
        id=uuid.UUID(int=i + 1),
        dataset_id=uuid.UUID(int=0),
        inputs={
            "messages": [
                {"role": "system", "content": "Say no more than the number, e.g. '7'."},
                {"role": "user", "content": f"What is {i} + 1?"},
            ]
        },
        outputs={"answer": str(i + 1)},
        created_at=START,
    )
    for i in range(6)
]


class Offline(Client):
    """A client whose runs are those of an experiment that was not uploaded."""

    info = schemas.LangSmithInfo()

    def list_runs(self, **_):
        return iter(self.kept)

    def list_examples(self, example_ids=(), **_):
        return (example for example in EXAMPLES if example.id in example_ids)


def correct(outputs, reference_outputs):
    return outputs["answer"] == reference_outputs["answer"]


def brevity(run, example):
    return {"key": "brevity", "score": 1 / len(run.outputs["answer"])}


def share(outputs, reference_outputs):
    pairs = [
        (o["answer"], r["answer"])
        for o, r in zip(outputs, reference_outputs, strict=True)
        if "answer" in o
    ]
    return {"key": "share", "score": sum(a == b for a, b in pairs) / len(pairs)}


def asked_in(inputs):
    return inputs["messages"][-1]["content"]


def ant(inputs):
    if "5" in asked_in(inputs):
        raise ValueError("the model did not answer")
    return {"answer": "1"}


def bee(inputs):
    return {"answer": str(min(4, int(asked_in(inputs).split()[2]) + 1))}


stated = []
Path("results").mkdir()
Path("results_json").mkdir()
for target in (ant, bee):
    client = Offline(api_key="none", api_url="http://127.0.0.1:9")
    name = target.__name__
    results = evaluate(
        target,
        data=EXAMPLES,
        evaluators=[correct, brevity],
        summary_evaluators=[share],
        upload_results=False,
        max_concurrency=0,
        client=client,
    )
    results.to_pandas().to_csv(f"results/{name}.csv", index=False)
    kept = results.to_pandas().astype({"example_id": str, "id": str})
    kept.to_json(f"results_json/{name}.jsonl", orient="records", lines=True)
    [summary] = results._summary_results["results"]
    stated += [[folder, folder, name, summary.score] for folder in ("results", "results_json")]

    # The same as `get_test_results` reads it back, which has the service's averages.
    client.kept = [
        schemas.Run.model_validate(
            row["run"].model_dump(exclude={"feedback_stats"})
            | {
                "feedback_stats": {
                    each.key: {"n": 1, "avg": float(each.score)}
                    for each in row["evaluation_results"]["results"]
                    if each.score is not None
                }
            }
        )
        for row in results
    ]
    Path("fetched").mkdir(exist_ok=True)
    client.get_test_results(project_name=name).to_csv(f"fetched/{name}.csv")
    stated.append(["fetched", "fetched", name, summary.score])
Path("stated.json").write_text(json.dumps(stated))
asked = [asked_in(example.inputs) for example in EXAMPLES]
Path("prompts.json").write_text(
    json.dumps(dict.fromkeys(("results", "results_json", "fetched"), asked))
)
