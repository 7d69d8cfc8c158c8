"""Writes csv/, jsonl/, parquet/ and stated.json with ragas, offline, and since 0.2 chats/.

Run it in an empty folder.
"""

import json
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from ragas import evaluate

TOWNS = ("Rome", "Ulm", "Bern")
QUESTIONS = [(f"What is {i} + 1?", str(i + 1)) for i in range(5)]
ANSWERS = {"ant": ["1", "2", "5", "5", "5"], "bee": ["1", "2", "3", "4", "7"]}


def today(answers):
    """Since 0.2: the metrics are objects, and columns are named after them."""
    from ragas import EvaluationDataset
    from ragas.metrics import ExactMatch, StringPresence

    rows = [
        {"user_input": q, "response": a, "reference": r, "retrieved_contexts": ["of numbers"]}
        for (q, r), a in zip(QUESTIONS, answers, strict=True)
    ]
    metrics = [StringPresence(), ExactMatch()]
    result = evaluate(EvaluationDataset.from_list(rows), metrics=metrics, show_progress=False)
    return result, sum(result["exact_match"]) / len(rows)


def chats():
    """Since 0.2: samples of several turns, whose input is a list of messages."""
    from ragas import EvaluationDataset, MultiTurnSample
    from ragas.messages import AIMessage, HumanMessage, ToolCall
    from ragas.metrics import ToolCallAccuracy

    asked = [ToolCall(name="weather", args={"town": "Ulm"})]
    samples = [
        MultiTurnSample(
            user_input=[
                HumanMessage(content="Hello"),
                AIMessage(content="What can I do for you?"),
                HumanMessage(content=f"What's the weather in {town}?"),
                AIMessage(content="", tool_calls=[ToolCall(name="weather", args={"town": town})]),
            ],
            reference_tool_calls=asked,
        )
        for town in TOWNS
    ]
    return evaluate(EvaluationDataset(samples), metrics=[ToolCallAccuracy()], show_progress=False)


def before(answers):
    """Before 0.2: the one metric that needs no LLM, on embeddings that tell texts apart."""
    from datasets import Dataset
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import FakeListChatModel
    from ragas.metrics import answer_similarity

    class Apart(Embeddings):
        def embed_documents(self, texts):
            return [[float(ord(text[0]) % 10 == i) for i in range(10)] for text in texts]

        def embed_query(self, text):
            return self.embed_documents([text])[0]

    rows = {
        "question": [q for q, _ in QUESTIONS],
        "answer": answers,
        "ground_truth": [r for _, r in QUESTIONS],
        "contexts": [["of numbers"]] * len(QUESTIONS),
    }
    result = evaluate(
        Dataset.from_dict(rows),
        metrics=[answer_similarity],
        llm=FakeListChatModel(responses=["unused"]),
        embeddings=Apart(),
    )
    return result, result["answer_similarity"]


try:
    import ragas.dataset_schema  # noqa: F401

    run = today
except ImportError:
    run = before

stated = []
for model, answers in ANSWERS.items():
    result, mean = run(answers)
    table = result.to_pandas()
    for folder in ("csv", "jsonl", "parquet"):
        Path(folder).mkdir(exist_ok=True)
        stated.append([folder, folder, model, mean])
    table.to_csv(f"csv/{model}.csv", index=False)
    table.to_json(f"jsonl/{model}.jsonl", orient="records", lines=True)
    table.to_parquet(f"parquet/{model}.parquet")
    assert f"{mean:.4f}" in str(result), result
if run is today:
    result = chats()
    for folder in ("chats_csv", "chats_jsonl"):
        Path(folder).mkdir()
        [mean] = result._repr_dict.values()
        stated += [[folder, folder, model, mean] for model in ANSWERS]
    for model in ANSWERS:  # which would have called the same tools
        result.to_pandas().to_csv(f"chats_csv/{model}.csv", index=False)
        file = f"chats_jsonl/{model}.jsonl"
        result.to_pandas().to_json(file, orient="records", lines=True)
asked = {folder: [q for q, _ in QUESTIONS] for folder in ("csv", "jsonl", "parquet")}
if run is today:
    in_chats = [f"What's the weather in {town}?" for town in TOWNS]
    asked |= {"chats_csv": in_chats, "chats_jsonl": in_chats}
Path("stated.json").write_text(json.dumps(stated))
Path("prompts.json").write_text(json.dumps(asked))
