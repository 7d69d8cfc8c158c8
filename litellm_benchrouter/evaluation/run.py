"""Which protocols to run, on which models, on what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from litellm_benchrouter.building.embed import (
    EmbeddedBenchmark,
    embed_benchmark,
    load_benchmark,
)
from litellm_benchrouter.config import BenchRouterConfig, PublishConfig
from litellm_benchrouter.conversation.ask import prompt_text
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.engine import Engine, open_engine
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.cascade import AUCS, run_cascades
from litellm_benchrouter.evaluation.cost import run_cost
from litellm_benchrouter.evaluation.distance import run_distance
from litellm_benchrouter.evaluation.few_labels import run_few_labels
from litellm_benchrouter.evaluation.labels import run_labels
from litellm_benchrouter.evaluation.mlp import run_mlp
from litellm_benchrouter.evaluation.proof import MOST_SAMPLES, RUNS, run_proof
from litellm_benchrouter.evaluation.request import run_request
from litellm_benchrouter.evaluation.robustness import run_robustness
from litellm_benchrouter.evaluation.task import describe, run_task
from litellm_benchrouter.evaluation.traffic import LABELS, SPLITS, run_traffic
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.validation.folds import HoldOut, TaskFolds, choose_pool, prepare
from litellm_benchrouter.validation.methods import DEFAULT
from litellm_benchrouter.validation.request_methods import (
    request_picks,
    request_probabilities,
    request_router,
    request_scores,
)
from litellm_benchrouter.validation.splits import FEWEST_LEARNED
from litellm_benchrouter.validation.subset import TrainingSubset

PROTOCOLS = (
    *("task", "request", "cost", "labels", "distance", "few-labels", "mlp", "robustness"),
    *("proof", "traffic", "cascade"),
)
DEFAULT_PROTOCOLS = ("task", "request", "cost", "robustness")

_SPLITS = 5
_PERTURBED = 300  # prompts whose perturbations are routed


@dataclass(frozen=True)
class Options:
    """What the command line chooses."""

    protocols: tuple[str, ...] = DEFAULT_PROTOCOLS
    models: list[str] | None = None
    max_params: float | None = None  # billions of parameters
    without_top: int = 0
    hold_out: HoldOut = "family"  # what is new at a time; see `prepare`
    # what a pick is worth in `request`: `correctness`, `score` or `metric:NAME`
    metric: str = "correctness"
    # of the samples, in `request` and `cost`; in `traffic` of those that may be held back
    test_share: float = 0.3
    # splits in `request` and `cost` (5) and `traffic` (8), worlds of each kind in `proof` (20)
    runs: int | None = None
    hidden: tuple[int, ...] = (1500, 1500)  # hidden layers of the MLP
    # at most so many, of each task alike; None for all, and in `proof` for 2,000
    samples: int | None = None
    labels: tuple[int, ...] = LABELS  # labelled prompts in `traffic`
    share: float = 0.0  # of the traffic in `traffic` that is like the benchmark
    racing: bool = False  # `traffic` stops asking models that fall behind
    aucs: tuple[float, ...] = AUCS  # of the verifiers that `cascade` simulates


def evaluate(
    config: BenchRouterConfig,
    options: Options,
    *,
    embeddings: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run protocols on the configured benchmark; vectors and neighbours are computed once.

    `embeddings` is a .npy file of shape (n, d), rows in the order of the (only) source's samples.
    Returns the document of the protocol, or `{"protocols": {NAME: document}, "skipped": {NAME:
    why}}` where several were to run; docs/evaluation.md specifies both. Raises ConfigError or
    SourceError where the input is wrong, and EngineError where the engine cannot do the work.
    """
    progress = progress or Progress()
    unknown = [name for name in options.protocols if name not in PROTOCOLS]
    if unknown:
        raise ConfigError(f"no protocol {unknown[0]!r}; there are {', '.join(PROTOCOLS)}.")
    with open_engine(config.engine, config.ray_address) as engine:
        return _evaluate(config, options, embeddings, progress, engine)


def _evaluate(
    config: BenchRouterConfig,
    options: Options,
    embeddings: Path | None,
    progress: Progress,
    engine: Engine,
) -> dict[str, Any]:
    benchmark, report = load_benchmark(config, progress, engine)
    benchmark, embedded = embed_benchmark(
        config, benchmark, report, embeddings, config.artifacts / "cache", progress, engine
    )
    n_known = len(benchmark)
    most = n_known if options.samples is None else options.samples
    taken = TrainingSubset.of(benchmark, embedded.vectors, most, seed=config.seed)
    benchmark = taken.benchmark
    whole = prepare(
        benchmark,
        taken.vectors,
        config.routing,
        seed=config.seed,
        progress=progress,
        hold_out=options.hold_out,
        families=config.family_of(benchmark.tasks),
        engine=engine,
    )
    prepared = choose_pool(
        whole,
        models=options.models,
        max_params=options.max_params,
        without_top=options.without_top,
    )
    documents, skipped = _run(whole, prepared, embedded, options, config.publish, progress, engine)
    for document in documents.values():
        document["protocol"] |= {
            "pool": {
                "models": len(prepared.benchmark.models),
                "of": len(benchmark.models),
                "max_params": options.max_params,
                "without_top": options.without_top,
            },
            "samples": {"taken": len(benchmark), "of": n_known},
            "embedder": embedded.embedder.identity(),
            "sources": [source.as_dict() for source in report.sources],
        }
    if len(documents) == 1 and not skipped:
        return next(iter(documents.values()))
    return {"protocols": documents, "skipped": skipped}


def _run(
    whole: TaskFolds,
    prepared: TaskFolds,
    embedded: EmbeddedBenchmark,
    options: Options,
    publish: PublishConfig,
    progress: Progress,
    engine: Engine,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Run each protocol; those that nobody asked for by name are skipped where they cannot run."""
    labels: dict[str, Any] | None = None
    splits = _SPLITS if options.runs is None else options.runs

    @cache
    def by_fold() -> TaskFolds:
        return prepared.in_folds()

    def labelled() -> dict[str, Any]:
        nonlocal labels
        if labels is None:
            reference = whole.in_folds() if prepared is not whole else None
            labels = run_labels(by_fold(), progress, reference=reference, engine=engine)
        return labels

    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "task": lambda: run_task(by_fold(), progress, engine=engine),
        "request": lambda: run_request(
            prepared,
            progress,
            test_share=options.test_share,
            runs=splits,
            metric=options.metric,
            extra={DEFAULT: request_picks},
            probabilities={DEFAULT: request_probabilities},
            engine=engine,
        ),
        "cost": lambda: run_cost(
            prepared,
            progress,
            test_share=options.test_share,
            runs=splits,
            predictors={DEFAULT: request_scores},
            engine=engine,
        ),
        "cascade": lambda: run_cascades(
            prepared,
            progress,
            predictor=request_scores,
            test_share=options.test_share,
            runs=splits,
            aucs=options.aucs,
            engine=engine,
        ),
        "labels": labelled,
        "distance": lambda: run_distance(labelled()),
        "few-labels": lambda: run_few_labels(by_fold(), progress, engine=engine),
        "mlp": lambda: run_mlp(by_fold(), progress, hidden=options.hidden),
        "robustness": lambda: _robustness(prepared, embedded, progress),
        "proof": lambda: run_proof(
            prepared,
            publish,
            progress,
            runs=RUNS if options.runs is None else options.runs,
            most=MOST_SAMPLES if options.samples is None else options.samples,
            engine=engine,
        ),
        "traffic": lambda: run_traffic(
            prepared,
            progress,
            n_labels=options.labels,
            splits=SPLITS if options.runs is None else options.runs,
            share=options.share,
            held_back=options.test_share,
            racing=options.racing,
            engine=engine,
        ),
    }
    documents: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    for name in options.protocols:
        try:
            documents[name] = runs[name]()
        except ConfigError as error:
            if options.protocols != DEFAULT_PROTOCOLS:
                raise
            skipped[name] = str(error)
    if not documents:
        raise ConfigError(next(iter(skipped.values())))
    return documents, skipped


def _robustness(
    prepared: TaskFolds, embedded: EmbeddedBenchmark, progress: Progress
) -> dict[str, Any]:
    """Perturb prompts and see whether the router picks the same model, the prompt left out."""
    if embedded.embedder.kind == PrecomputedEmbedder.kind:
        raise ConfigError(
            "the protocol robustness embeds perturbed prompts, and the vectors were given without "
            "their embedder; name it in benchrouter.embedder, or leave the protocol out."
        )
    benchmark = prepared.benchmark
    if len(benchmark) < FEWEST_LEARNED:
        raise ConfigError(
            f"the protocol robustness needs {FEWEST_LEARNED} samples, the benchmark has "
            f"{len(benchmark)}. Add samples, or leave the protocol out."
        )
    generator = np.random.default_rng(prepared.seed)
    n_prompts = min(_PERTURBED, len(benchmark))
    rows = np.sort(generator.choice(len(benchmark), size=n_prompts, replace=False))
    route = request_router(prepared, rows)

    def decide(texts: list[str]) -> list[int]:
        return route(embedded.embedder.embed([prompt_text(text) for text in texts]))

    with progress.stage("robustness", 1) as advance:
        texts = [benchmark.prompts[row] for row in rows]
        document = run_robustness(texts, decide, prepared.seed)
        advance(1)
    return {"protocol": {"name": "robustness", **describe(prepared)}, **document}


def documents_of(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the documents by protocol, however many ran."""
    if "protocols" in result:
        documents: dict[str, dict[str, Any]] = result["protocols"]
        return documents
    return {result["protocol"]["name"]: result}
