"""Writes results/, items/, traces/ (until 4) and stated.json with Langfuse 4 or 5, offline.

Run it in an empty folder. Experiments run for real, and what they would send, spans and scores, is
put into the types of the API, which write it.
"""

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from langfuse import Evaluation, Langfuse
from langfuse.api import ExperimentItem, ObservationV2, ScoreV3
from langfuse.api.core.pydantic_utilities import parse_obj_as
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

try:
    from langfuse.api import TraceWithFullDetails
except ImportError:  # which 5 has no more
    TraceWithFullDetails = None

logging.disable()
START = datetime(2026, 4, 1, tzinfo=UTC).isoformat()
QUESTIONS = [
    {"input": f"What is {i} + 1?", "expected_output": str(i + 1), "metadata": {"task": "sums"}}
    for i in range(3)
]
spans, scores, stated = InMemorySpanExporter(), [], []
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
client = Langfuse(
    public_key="pk-lf-1",
    secret_key="sk-lf-1",
    base_url="http://127.0.0.1:9",
    timeout=1,
    tracer_provider=provider,
)
client.create_score = lambda **score: scores.append(score)


def asking(model, answer):
    def task(*, item, **_):
        chat = [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": item["input"]},
        ]
        with client.start_as_current_observation(
            as_type="generation",
            name="answer",
            model=model,
            input=chat,
            usage_details={"input": 12, "output": 1},
        ) as generation:
            generation.update(output=answer(item["input"]))
        return answer(item["input"])

    return task


def correct(*, output, expected_output, **_):
    return Evaluation(name="correct", value=float(output == expected_output))


def is_short(*, output, **_):
    return Evaluation(name="is_short", value=len(output) < 3, data_type="BOOLEAN")


def held(span, name):
    value = span.attributes.get(f"langfuse.observation.{name}")
    return json.loads(value) if value and value[0] in "[{" else value


def identity(span):
    parent = span.parent
    return {
        "id": f"{span.context.span_id:016x}",
        "traceId": f"{span.context.trace_id:032x}",
        "parentObservationId": f"{parent.span_id:016x}" if parent else None,
    }


def observation(span):
    """As the API lists observations (v2)."""
    usage = held(span, "usage_details") or {}
    return {
        **identity(span),
        "isRootObservation": span.parent is None,
        "startTime": START,
        "projectId": "p",
        "type": span.attributes.get("langfuse.observation.type", "span").upper(),
        "name": span.name,
        "level": "DEFAULT",
        "environment": span.attributes.get("langfuse.environment", "default"),
        "input": held(span, "input"),
        "output": held(span, "output"),
        "model": held(span, "model.name"),
        "usageDetails": usage,
        "totalCost": None,
        "metadata": {
            key.rpartition(".")[2]: str(value).strip('"')
            for key, value in span.attributes.items()
            if key.startswith("langfuse.observation.metadata.")
        },
    }


def viewed(span):
    """As a trace of the API has its observations."""
    usage = {"input": 0, "output": 0} | (held(span, "usage_details") or {})
    usage |= {"total": usage["input"] + usage["output"]}
    more = {"modelParameters": {}, "costDetails": {}, "usage": usage | {"unit": "TOKENS"}}
    return {**observation(span), **more}


def valued(number, score):
    is_flag = score["data_type"] == "BOOLEAN"
    return {
        "id": f"s{number}",
        "projectId": "p",
        "name": score["name"],
        "dataType": "BOOLEAN" if is_flag else "NUMERIC",
        "value": bool(score["value"]) if is_flag else score["value"],
        "source": "API",
        "timestamp": START,
        "createdAt": START,
        "updatedAt": START,
        "environment": "sdk-experiment",
    }


def subject_score(number, score):
    """As the API lists scores (v3), which say in `subject` what they judge."""
    about = {"kind": "observation", "id": score["observation_id"], "traceId": score["trace_id"]}
    return parse_obj_as(ScoreV3, valued(number, score) | {"subject": about})


def trace(root):
    """As the API returns a trace."""
    name = identity(root)["traceId"]
    return parse_obj_as(
        TraceWithFullDetails,
        {
            "id": name,
            "timestamp": START,
            "name": root.name,
            "input": held(root, "input"),
            "output": held(root, "output"),
            "metadata": observation(root)["metadata"],
            "tags": [],
            "public": False,
            "environment": "sdk-experiment",
            "htmlPath": f"/project/p/traces/{name}",
            "latency": 0.1,
            "totalCost": 0.0,
            "observations": [viewed(s) for s in finished if identity(s)["traceId"] == name],
            "scores": [
                valued(number, score)
                | {"traceId": name, "observationId": score["observation_id"]}
                | ({"stringValue": str(score["value"])} if score["data_type"] == "BOOLEAN" else {})
                for number, score in enumerate(scores)
                if score["trace_id"] == name
            ],
        },
    )


def put(file, rows):
    Path(file).parent.mkdir(exist_ok=True)
    listed = [json.loads(row.json()) for row in rows]
    Path(file).write_text(json.dumps({"data": listed, "meta": {}}))


for model, answer in (
    ("ant", lambda q: "3"),
    ("bee", lambda q: str(min(2, int(q.split()[2]) + 1))),
):
    before = len(scores)
    result = client.run_experiment(
        name=model, data=QUESTIONS, task=asking(model, answer), evaluators=[correct, is_short]
    )
    [mean] = re.findall(r"• correct: ([\d.]+)", result.format().replace("\\n", "\n"))
    stated += [["results", "sums", model, float(mean)], ["items", "items", model, float(mean)]]
    written = [subject_score(before + i, score) for i, score in enumerate(scores[before:])]
    items = [
        parse_obj_as(
            ExperimentItem,
            {
                "id": score.subject.id,
                "traceId": score.subject.trace_id,
                "startTime": START,
                "level": "DEFAULT",
                "environment": "sdk-experiment",
                "experimentId": result.experiment_id,
                "experimentName": result.run_name,
                "experimentItemId": f"i{i}",
                "input": done.item["input"],
                "output": done.output,
                "expectedOutput": done.item["expected_output"],
                "scores": [json.loads(score.json())],
            },
        )
        for i, (done, score) in enumerate(
            (done, score)
            for done in result.item_results
            for score in written
            if score.name == "correct" and score.subject.trace_id == done.trace_id
        )
    ]
    put(f"items/{model}.json", items)
finished = spans.get_finished_spans()
observations = [parse_obj_as(ObservationV2, observation(span)) for span in finished]
put("results/observations.json", observations)
put("results/scores.json", [subject_score(i, score) for i, score in enumerate(scores)])
if TraceWithFullDetails is not None:
    put("traces/traces.json", [trace(span) for span in finished if span.parent is None])
    stated += [["traces", *each[1:]] for each in stated if each[0] == "results"]
Path("stated.json").write_text(json.dumps(stated))
asked = [question["input"] for question in QUESTIONS]
Path("prompts.json").write_text(json.dumps({folder: asked for folder, *_ in stated}))
