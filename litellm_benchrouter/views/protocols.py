"""Names, units and pools of the documents of `benchrouter evaluate`.

A document is what `evaluate --json` writes, with None where a number is not known
(docs/evaluation.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from litellm_benchrouter.views import PERCENT, RAW, Unit, count

Document = Mapping[str, Any]

NAMES = {
    "default": "Default router",
    "routing": "Routing alone",
    "s1": "S1",
    "s1_prior": "S1 with a prior",
    "s2": "S2",
    "s3": "S3",
    "s3_atc": "S3 with ATC",
    "s3_true_p": "S3, true p",
    "benchmark": "Benchmark alone",
    "own_best": "Best on own labels",
    "as_task": "Labels as one more task",
    "raw": "Labels alone",
    "beta20": "Labels and averages",
    "ll": "LL",
    "bma": "BMA",
    "oracle": "Oracle",
    "half_split_oracle": "Half-split oracle",
    "fixed_best_in_hindsight": "Best in hindsight",
    "random": "Random model",
    "zero_router": "Zero router",
    "reference": "Best of the whole pool",
    "best_per_task": "Best per known task",
    "task_oracle": "Task oracle",
    "half_split_task_oracle": "Half-split task oracle",
}
PERTURBATIONS = {
    "case": "All lower case",
    "whitespace": "More white space",
    "typo": "A typo",
    "polite_prefix": "A polite greeting",
}
WORLDS = {
    "null": "Nothing to gain",
    "equal": "All models alike",
    "tasks": "Gains on known tasks",
    "gains": "Gains on new tasks too",
}
PARTS = {"requests": "Requests", "named": "Tasks of the benchmark", "unseen": "New tasks"}
TITLES = {
    "task": "On a new task",
    "request": "On requests like those in the benchmark",
    "cost": "Quality against cost",
    "cascade": "When an answer may be checked and another model asked",
    "few-labels": "With a handful of labelled questions",
    "labels": "When part of the new task is labelled",
    "distance": "When to trust the router: near and far tasks",
    "mlp": "On a new task, with a neural network as predictor",
    "robustness": "When a prompt is written a little differently",
    "proof": "How often a build would be fooled, in simulated worlds like the benchmark",
    "traffic": "On unnamed traffic of which some prompts are labelled",
}
"""The protocols in the order of the report."""


GLOSSARY = {
    "default": "What the proxy does unless told otherwise: it leaves BMA only where the benchmark "
    "itself shows that this pays.",
    "routing": "One model a question: the best predicted quality less its expected cost.",
    "s1": "Takes the model that answered the most similar questions of the benchmark best "
    "(equation 1 of the paper).",
    "s1_prior": "S1 over more questions, drawn towards each model's average.",
    "s2": "Like S1, but counts each prediction as simply right or wrong (equation 2).",
    "s3": "Like S2, but trusts the predictions only as far as they were right on tasks that lay "
    "equally far away, and leaves BMA only when it is confident (equations 5 and 6).",
    "s3_atc": "S3 with another estimate of that trust, from the predictors' own confidence.",
    "s3_true_p": "S3 if it knew how often its predictions are right. It needs the answers, so it "
    "only shows what a better estimate could win.",
    "benchmark": "What the proxy does without any label of the traffic.",
    "own_best": "One model for all of the traffic: the one that is best on its labelled prompts.",
    "as_task": "Adds the labelled prompts to the benchmark as one more task, and learns it anew.",
    "raw": "Takes the model that is best on the labelled questions.",
    "beta20": "The same, drawn towards each model's average, which counts as 20 labels.",
    "ll": "Takes the model that is surest of its own answer (log-likelihood). It has to ask every "
    "model first.",
    "bma": "Best model on average: the one model that did best on everything else. This is what "
    "you would use without a router.",
    "oracle": "Knows the answers and picks the best model of all. No router can beat it, and part "
    "of its lead is luck.",
    "half_split_oracle": "Picks on half of the answers and is measured on the other half: the "
    "oracle without its luck.",
    "best_per_task": "Is told which task a question is of, and takes the model that did best on "
    "that task before.",
    "task_oracle": "Knows the answers and picks one model a task.",
    "half_split_task_oracle": "The task oracle without its luck.",
    "fixed_best_in_hindsight": "The one model that turned out best in the end.",
    "random": "A model picked blindly.",
    "zero_router": "No router: a coin tossed between single models, at whatever share gives the "
    "wanted cost.",
}

NEEDS_ANSWERS = frozenset(
    {
        "s3_true_p",
        "oracle",
        "half_split_oracle",
        "task_oracle",
        "half_split_task_oracle",
        "fixed_best_in_hindsight",
    }
)
"""Methods that look at the answers of what they are measured on: for comparison only."""


def name_of(method: str) -> str:
    """Return a method's name for people; a model or a ranker keeps its own."""
    if method.startswith("cascade_"):
        return f"Cascade, AUC {method.removeprefix('cascade_')}"
    return NAMES.get(method, method.removeprefix("ranker:"))


def ordered(methods: Iterable[str]) -> list[str]:
    """Sort methods as `NAMES` does; models and rankers keep their order after them."""
    names = list(NAMES)
    return sorted(methods, key=lambda name: names.index(name) if name in NAMES else len(names))


def ours(document: Document) -> str | None:
    """Return the method that a verdict is about: what the proxy does, or the paper's best."""
    others = ("s3", "s1") if document["protocol"]["name"] in ("task", "mlp") else ("s1",)
    return next((name for name in ("default", *others) if name in document["methods"]), None)


def metric_of(document: Document) -> tuple[str, str, Unit]:
    """Return the metric of a document, its name for people, and its unit."""
    metric = document["protocol"].get("metric", "correctness")
    right = metric == "correctness"
    return (
        metric,
        "accuracy" if right else metric.removeprefix("metric:"),
        PERCENT if right else RAW,
    )


def pool(document: Document) -> str:
    """Say what the numbers of a document are of: models, tasks and questions."""
    protocol = document["protocol"]
    parts = [models_of(document)]
    for key, one in (("n_tasks", "task"), ("n_samples", "question")):
        if isinstance(protocol.get(key), int):
            parts.append(count(protocol[key], one))
    tested = protocol.get("n_test")
    if tested:
        parts.append(f"{sum(tested) // len(tested):,} of them asked")
        parts += [f"{len(tested)} times"] if len(tested) > 1 else []
    return ", ".join(parts)


def models_of(document: Document) -> str:
    """Count the models that compete, of those that could."""
    n = len(document["protocol"].get("models", ()))
    left_out = len(document.get("cost_basis", {}).get("left_out") or ())
    return f"{n} of {n + left_out} models" if left_out else count(n, "model")


def best_single(document: Document) -> str:
    """Name the best single model, which may change with what is held out."""
    picks = [row["picks"].get("bma") for row in document.get("tasks", ()) if "picks" in row]
    picks += [row["bma"] for row in document.get("by_run", ())]
    names = Counter(pick for pick in picks if pick)
    if not names:
        return "the best single model"
    (name, n), *others = names.most_common()
    return f"the best single model ({name}{f' in {n} of {len(picks)} cases' if others else ''})"


def in_a_sentence(method: str | None) -> str:
    """Return a method's name as a sentence needs it."""
    return "the default router" if method == "default" else name_of(method or "")


def heading_of(metric: str) -> str:
    """Return the heading of a metric's column or axis."""
    return "Accuracy %" if metric == "correctness" else metric.removeprefix("metric:")


def in_usd(document: Document) -> bool:
    """Say whether costs are amounts of money, and not parameters."""
    return bool(document["cost_basis"]["unit"] == "usd")


def cost_label(document: Document) -> str:
    """Return the heading of a column or axis of costs."""
    return "USD per 1,000 requests" if in_usd(document) else "Billions of parameters"


def digits_of(metric: str) -> int:
    """Return the digits of a metric's values in a table."""
    return 2 if metric == "correctness" else 4
