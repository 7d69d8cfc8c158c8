"""What a version knows: the tables, estimates, verdict and named tasks that a benchmark gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from litellm_benchrouter.artifact.contents import Contents
from litellm_benchrouter.artifact.verdict import BMA, Verdict
from litellm_benchrouter.building.cascade import learn_cascade
from litellm_benchrouter.building.embed import (
    EmbeddedBenchmark,
    embed_task_inputs,
)
from litellm_benchrouter.building.fit import GuardedFit, fit_guarded
from litellm_benchrouter.building.named_tasks import Labels, TaskLabels
from litellm_benchrouter.building.proof import held_out_groups, prove
from litellm_benchrouter.building.traffic import learn_traffic
from litellm_benchrouter.config import BenchRouterConfig, PublishConfig
from litellm_benchrouter.embedders.base import PrecomputedEmbedder
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.guarded.fit import LISTED
from litellm_benchrouter.guarded.impute import impute_accuracy
from litellm_benchrouter.paper.benchmark import (
    Benchmark,
    average_accuracy,
    labels,
    task_accuracy,
)
from litellm_benchrouter.paper.neighbors import (
    Index,
    Neighbors,
    nearest,
)
from litellm_benchrouter.paper.scores import (
    TaskScores,
    correctness_predictor,
    decide_by_eq6,
    probabilities_better,
    s1,
    s2,
    s3,
)
from litellm_benchrouter.paper.smoother import (
    SmootherTable,
    kernel_smoother,
    task_distance,
)
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.sources.traffic import TrafficLabels
from litellm_benchrouter.validation.folds import TaskFolds, prepare
from litellm_benchrouter.validation.groups import Groups, find_groups
from litellm_benchrouter.validation.subset import TrainingSubset


def learn(
    config: BenchRouterConfig,
    benchmark: Benchmark,
    embedded: EmbeddedBenchmark,
    index: Index,
    inputs: Mapping[str, list[str]],
    given: Mapping[str, Labels],
    progress: Progress,
    engine: Engine = LOCAL,
    traffic: TrafficLabels | None = None,
) -> Contents:
    """Learn what is served from an embedded benchmark, all of whose rows the index holds.

    `inputs` are those of each named task, `given` the labels of those that have any.
    """
    routing, n_tasks = config.routing, len(benchmark.tasks)
    learned = TrainingSubset.of(benchmark, embedded.vectors, config.fit_samples, seed=config.seed)
    metric = benchmark.scores if routing.s1_on == "score" else labels(benchmark.correctness)
    near = None if learned.rows is None else learned.neighbors(index, LISTED)
    embeds_prompts = embedded.embedder.kind != PrecomputedEmbedder.kind
    proved = fit_and_prove(config, learned, near, progress, engine, embeds_prompts=embeds_prompts)
    prepared, table, fitted, verdict, groups = proved
    own_labels = None
    if traffic is not None:
        with progress.stage("own traffic", 1):
            own_labels, verdict = learn_traffic(
                traffic, benchmark, embedded, index, prepared, fitted, verdict
            )
    cascade, warnings = learn_cascade(
        config, benchmark, embedded, index, inputs, fitted, prepared.best
    )
    if fitted is not None and verdict.served["unseen"] == BMA:
        fitted = fitted.without_candidate()
    task_labels = TaskLabels(prepared, fitted, by_posterior=config.method == "guarded")
    named, guarded_tasks, labelled_tasks = {}, {}, {}
    n_neighbors = max(routing.k, routing.kappa, 0 if fitted is None else fitted.n_neighbors)
    with progress.stage("named tasks", len(config.tasks)) as advance:
        for name, task in sorted(config.tasks.items()):
            vectors = embed_task_inputs(name, task, inputs[name], embedded.embedder, embedded.cache)
            usable = vectors.any(axis=1)  # the embedder knows nothing of the others
            nearest_samples = nearest(vectors[usable], learned.vectors, n_neighbors)
            named[name] = task_scores(config, learned.benchmark, nearest_samples, table)
            guarded = (
                fitted.task_scores(vectors[usable], nearest_samples, named[name])
                if fitted is not None
                else None
            )
            if guarded is not None:
                guarded_tasks[name] = guarded.scores
            if name in given and not np.isnan(given[name][usable]).all():
                labelled_tasks[name], named[name] = task_labels.take_in(
                    given[name][usable], nearest_samples, named[name], guarded
                )
            advance(1)
    # The paper takes the mean over the tasks that a model has, whatever they are.
    of_tasks = impute_accuracy if config.method == "guarded" else task_accuracy
    accuracy = of_tasks(metric, benchmark.task, n_tasks)
    average, cost_ranks = average_accuracy(accuracy), benchmark.cost_ranks
    choices = {
        name: decide_by_eq6(scores, average, cost_ranks, benchmark.models, eta=routing.eta)
        for name, scores in named.items()
    }
    return Contents(
        embeddings=embedded.vectors,
        correctness=benchmark.correctness,
        scores=None if _only_labels(benchmark) else benchmark.scores,
        task=benchmark.task,
        task_accuracy=accuracy,
        smoother=table,
        named_tasks=named,
        sample_ids=list(benchmark.sample_ids),
        guarded=None if fitted is None else fitted.guarded,
        guarded_tasks=guarded_tasks,
        labelled_tasks=labelled_tasks,
        facts=None if fitted is None else _facts(fitted, task_labels),
        verdict=verdict.as_dict(),
        choices=choices,
        better={
            name: probabilities_better(scores, choices[name].best_on_average)
            for name, scores in named.items()
        },
        fitted_rows=None if learned.rows is None else learned.rows.astype(np.int32),
        groups=groups.group.astype(np.int32),
        family=groups.family,
        own_labels=own_labels,
        cascade=cascade,
        warnings=warnings,
    )


class Proved(NamedTuple):
    """The estimates of a benchmark, with the verdict on them."""

    prepared: TaskFolds
    table: SmootherTable
    fitted: GuardedFit | None
    verdict: Verdict
    groups: Groups


def fit_and_prove(
    config: BenchRouterConfig,
    learned: TrainingSubset,
    near: Neighbors | None,
    progress: Progress,
    engine: Engine = LOCAL,
    *,
    embeds_prompts: bool = True,
) -> Proved:
    """Fit the configured method and hold out tasks and samples to prove it.

    `near` are the K nearest samples of the whole of each learned one, where not all are learned
    from; `embeds_prompts` says whether requests can be routed by their text at all.
    """
    whole, groups = learned.whole, None
    families = config.family_of(whole.tasks)
    if near is not None and learned.rows is not None:
        groups = find_groups(
            whole.prompts,
            whole.task,
            len(whole.tasks),
            near,
            labels=labels(whole.correctness),
            rows=learned.rows,
            declared=whole.group,
            families=families,
        )
    of_learned = groups and Groups(groups.group[learned.rows], groups.family)
    prepared = prepare(
        learned.benchmark,
        learned.vectors,
        config.routing,
        seed=config.seed,
        progress=progress,
        families=families,
        groups=of_learned,
        engine=engine,
    )
    groups = groups or Groups(prepared.sample_group, prepared.group_of_task.astype(np.intp))
    base = None if near is None else (labels(whole.correctness), whole.task, groups.group)
    table, fitted, verdict = fit_prepared(
        prepared,
        config.publish,
        progress,
        engine,
        method=config.method,
        near=near,
        base=base,
        embeds_prompts=embeds_prompts,
    )
    return Proved(prepared, table, fitted, verdict, groups)


def fit_prepared(
    prepared: TaskFolds,
    publish: PublishConfig,
    progress: Progress,
    engine: Engine = LOCAL,
    *,
    method: str,
    near: Neighbors | None = None,
    base: tuple[Labels, NDArray[np.int32], NDArray[np.intp]] | None = None,
    embeds_prompts: bool = True,
) -> tuple[SmootherTable, GuardedFit | None, Verdict]:
    """Fit and prove as `fit_and_prove` does, where neighbours and groups are known.

    `near` may be of each sample among more than these: the others are in `base`, as in
    `fit_request`.
    """
    held_out = held_out_groups(prepared)
    table, without = prepared.smoother_table_and_without(progress, held_out, engine)
    fitted = fit_guarded(prepared, table, progress, near, base) if method == "guarded" else None
    verdict = prove(
        prepared,
        fitted,
        without,
        publish,
        progress,
        method=method,
        embeds_prompts=embeds_prompts,
        engine=engine,
    )
    return table, fitted, verdict


def task_scores(
    config: BenchRouterConfig, benchmark: Benchmark, neighbors: Neighbors, table: SmootherTable
) -> TaskScores:
    """Compute u, S1, S2, p and S3 of a new task (eqs. 1, 2, 5, 8 and 10).

    `neighbors` are those of the task's inputs in the benchmark, at least max(k, kappa) of them.
    """
    routing = config.routing
    near = neighbors.first(routing.k)
    g = correctness_predictor(benchmark.correctness, near)
    u = task_distance(neighbors, routing.kappa)
    p = kernel_smoother(u, *table.pairs(), routing.sigma)
    second = s2(g, routing.t)
    averaged = benchmark.scores if routing.s1_on == "score" else benchmark.correctness
    first = s1(correctness_predictor(averaged, near))
    return TaskScores(len(neighbors.index), u, first, second, s3(second, p), p)


def _facts(fitted: GuardedFit, task_labels: TaskLabels) -> dict[str, Any]:
    """What was chosen, for the manifest, and how many labels a new task would need."""
    several = len(fitted.names) > 1
    unseen = fitted.facts["unseen"] | {"labels": task_labels.usual_need if several else None}
    return fitted.facts | {"unseen": unseen}


def _only_labels(benchmark: Benchmark) -> bool:
    """Say whether the scores tell no more than the labels."""
    return np.array_equal(benchmark.scores, labels(benchmark.correctness), equal_nan=True)
