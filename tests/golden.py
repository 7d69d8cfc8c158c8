"""Recorded decisions and evaluations of invented benchmarks: `tests/data/golden`.

    python tests/golden.py

writes them. Run it only where what is decided is meant to change, and say so in the commit.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.building.build import build
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs import Prices
from litellm_benchrouter.costs.policy import Policy, Terms
from litellm_benchrouter.evaluation.run import Options, documents_of, evaluate
from litellm_benchrouter.routing.router import BenchRouter

FOLDER = Path(__file__).parent / "data" / "golden"
PROTOCOLS = ("task", "request", "cost", "labels", "distance", "few-labels", "robustness")
"""All but `mlp`: the last bits of a processor decide when its training stops."""

MODELS = {  # skill on the even tasks, on the odd ones, USD per million tokens
    "ant-7b": (0.45, 0.85, 0.1),
    "bee-13b": (0.9, 0.4, 0.3),
    "cat-70b": (0.65, 0.6, 2.0),
    "dog-34b": (0.5, 0.65, 0.8),
    "new-8b": (0.8, 0.7, 0.2),
}
WORDS = {
    "code/easy": "list loop print string index number sort file",
    "code/hard": "graph thread lock cache parser tree queue loop",
    "facts": "river capital king year treaty mountain island war",
    "letters": "dear sincerely invoice meeting regards offer visit reply",
    "math": "sum apples fraction train speed minutes divide percent",
    "verse": "moon rhyme sonnet autumn stanza sea lament petal",
}
PROMPTS = (
    "print the sorted list of every file in a loop",
    "How many minutes does the train need at this speed, in percent?",
    "A sonnet on the autumn moon and a petal",
    "dear treaty graph apples",
    "xylophone quasar zebra",
    " ",
)
ROUTING = {"alphas": [0.0, 0.1], "repeats": 2}
CASES: dict[str, dict[str, Any]] = {
    "open": {},  # two kinds of tasks, each with a model that is better at it
    "closed": {"spread": 0.0},  # one model is best at everything
    "small": {"per_task": 6},  # less than proves anything
    "two-tasks": {"tasks": 2},
    "kinds": {"alike": True},  # prompts tell which kind a task is: new tasks can be routed
    "paper": {"method": "paper", "alike": True},
    "paper-unsure": {"method": "paper", "alike": True, "routing": {"eta": 0.9999, "sigma": 5.0}},
    "paper-scores": {"method": "paper", "routing": {"s1_on": "score"}},
}


def draw(*key: object) -> float:
    """Return a number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:6], "big") / 2**48


def sentence(task: str, *key: object, alike: bool = False) -> str:
    """Return seven words of a task, or of the first of its kind."""
    names = list(WORDS)
    words = WORDS[names[names.index(task) % 2] if alike else task].split()
    return " ".join(words[int(len(words) * draw("word", task, i, *key))] for i in range(7))


def write(
    folder: Path,
    *,
    spread: float = 1.0,
    per_task: int = 30,
    tasks: int = 6,
    method: str = "guarded",
    alike: bool = False,
    routing: Mapping[str, Any] | None = None,
) -> Path:
    """Write a benchmark, two named tasks and a configuration; return the configuration's path."""
    names = ("sample_id", "task", "prompt", "model", "score", "cost_usd", "metric:rouge")
    with (folder / "benchmark.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*names, "log_likelihood", "prompt_tokens", "completion_tokens"])
        for d, task in enumerate(list(WORDS)[:tasks]):
            for i in range(per_task):
                for model, (even, odd, price) in MODELS.items():
                    sparse = model == "new-8b" and draw("sparse", task, i) > 0.15
                    if sparse or draw("missing", task, i, model) < 0.05:
                        continue
                    skill = 0.8 if model.startswith("cat") else 0.55
                    skill += spread * ((odd if d % 2 else even) - skill)
                    right = draw("right", task, i, model) < skill
                    score = round(0.45 * draw("score", task, i, model) + 0.55 * right, 3)
                    tokens = (20 + i, round(60 + 200 * draw("tokens", task, i, model)))
                    cost = price * sum(tokens) / 1e6
                    rouge = round(draw("rouge", task, i, model) * (0.5 + right / 2), 3)
                    likely = round(-40 * draw("likelihood", task, i, model) - 20 * (not right), 2)
                    prompt = sentence(task, i, alike=alike)
                    row = (f"{task}-{i}", task, prompt, model, score, f"{cost:.9f}", rouge, likely)
                    table.writerow([*row, *tokens])
    like = list(WORDS)[min(tasks, 4) - 1]
    inputs = [sentence(like, "input", i, alike=alike) for i in range(16)]
    (folder / "fresh.txt").write_text("\n".join(inputs) + "\n", encoding="utf-8")
    (folder / "labelled.txt").write_text("\n".join(inputs[::-1]) + "\n", encoding="utf-8")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "model", "score"])
        for i, text in enumerate(inputs[:12]):
            for model in list(MODELS)[:4]:
                table.writerow([text, model, int(draw("label", i, model) < MODELS[model][1])])
    block = {
        "method": method,
        "publish": {"require": "nothing"},
        "sources": [{"path": "benchmark.csv", "name": "golden"}],
        "models": {name: {"params_b": int(name.split("-")[1][:-1])} for name in MODELS},
        "embedder": {"kind": "lexical", "dimensions": 16},
        "index": {"m": 4, "ef_construction": 64},
        "routing": ROUTING | dict(routing or {}),
        "tasks": {
            "fresh": {"inputs": "fresh.txt"},
            "labelled": {"inputs": "labelled.txt", "labels": "labels.csv"},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({"benchrouter": block}), encoding="utf-8")
    return folder / "config.yaml"


def asked(router: BenchRouter) -> Iterator[tuple[str, str, str | None, list[str], Terms]]:
    """Yield what a router is asked: a name, prompt, task, models on offer and terms."""
    models = list(router.models)
    prices = tuple((model, Prices(p * 1e-6, 2e-6)) for p, model in enumerate(models[:2], start=1))
    terms = {text: Terms(Policy.parse(text)) for text in ("quality", "cheapest:0.6", "within:0.05")}
    terms["priced"] = Terms(Policy.parse("balanced:0.3"), "a note", prices, 4_000)
    tasks = (None, "fresh", "labelled", "math", "unheard-of")
    for name, of in terms.items():
        for offer in (models, models[1:3], models[-2:]) if name == "quality" else (models,):
            for prompt in PROMPTS:
                yield name, prompt, None, offer, of
            for task in tasks:
                yield name, PROMPTS[0], task, offer, of


def decisions(router: BenchRouter) -> list[Any]:
    """Return every decision of a router, and two explanations."""
    recorded: list[Any] = []
    for name, prompt, task, models, terms in asked(router):
        decision = router.decide(prompt, task=task, models=models, terms=terms)
        plain = as_plain(decision)
        recorded.append([[name, prompt, task, len(models)], *plain[: None if task else -1]])
    models = list(router.models)
    recorded.append(as_plain(router.the_only(models[0])))
    recorded += [
        as_plain(router.best_on_average(models, "late", kind=kind))
        for kind in ("session", "time_limit", "overload", "error", "breaker")
    ]
    for task in (None, "fresh"):
        shown = asdict(router.explain(PROMPTS[0], task=task, models=models))
        shown["decision"] = as_plain(router.explain(PROMPTS[0], task=task, models=models).decision)
        recorded.append(shown)
    return recorded


def as_plain(decision: Any) -> list[Any]:
    """Return a decision without what the clock says of it, or the version's name."""
    scores, costs = dict(decision.scores), decision.costs_usd
    return [
        *(decision.kind, decision.method, decision.policy, " > ".join(decision.ranking)),
        *(decision.reason, decision.task, decision.embedder, decision.distance),
        [scores[model] for model in sorted(scores)],
        None if costs is None else [costs[model] for model in sorted(costs)],
    ]


def record_decisions() -> dict[str, Any]:
    """Build every case, and return what the builder chose and what is decided by it."""
    recorded = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            artifact = read_artifact(build(load_config(write(Path(folder), **case))).folder)
            manifest = artifact.manifest.model_dump(mode="json")
            chosen = {key: manifest[key] for key in ("guarded", "verdict")}
            recorded[name] = chosen | {"decisions": decisions(BenchRouter(artifact))}
    return without_nan(recorded)


def record_evaluation(protocols: tuple[str, ...] = PROTOCOLS) -> dict[str, Any]:
    """Run the protocols on the first case; return their documents."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(write(Path(folder)))
        options = Options(protocols=protocols, runs=2, hold_out="name", hidden=(8,), metric="score")
        documents = documents_of(evaluate(config, options))
    for document in documents.values():
        document["protocol"].pop("sources")  # says where the folder was
    return without_nan(documents)


def without_nan(value: Any) -> Any:
    """Return plain data as JSON holds it: None for NaN."""
    if isinstance(value, dict):
        return {str(key): without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def rounded(value: Any) -> Any:
    """Round every number to ten digits: later ones differ between processors."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


def differences(was: Any, now: Any, tolerance: float, at: str = "") -> Iterator[str]:
    """Yield where a recorded value differs now by more than a tolerance; new keys are ignored."""
    if isinstance(was, dict) and isinstance(now, dict) and was.keys() <= now.keys():
        for key, value in was.items():
            if key != "fingerprint":  # of float32, whose last bits depend on the processor
                yield from differences(value, now[key], tolerance, f"{at}.{key}")
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for i, (a, b) in enumerate(zip(was, now, strict=True)):
            yield from differences(a, b, tolerance, f"{at}[{i}]")
    elif isinstance(was, float | int) and isinstance(now, float | int):
        if not abs(was - now) <= tolerance:
            yield f"{at}: {was!r} became {now!r}"
    elif was != now:
        yield f"{at}: {was!r} became {now!r}"


def write_recorded(name: str, recorded: Any) -> None:
    """Write a document compressed, the same bytes each time."""
    text = json.dumps(rounded(recorded), ensure_ascii=False, separators=(",", ":"))
    (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def read_recorded(name: str) -> Any:
    """Read what `write_recorded` wrote."""
    return json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, recorded in (
        ("decisions", record_decisions()),
        ("evaluation", record_evaluation()),
    ):
        write_recorded(name, recorded)


if __name__ == "__main__":
    main()
