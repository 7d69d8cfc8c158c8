"""How often the alarms of drift are false, and how soon they come after a change.

    python benchmarks/drift.py FOLDER [SET ...] [--splits 4]

FOLDER holds one benchmark a folder, each with its `embeddings.npy`. In each split half of the tasks
are the benchmark (docs/evaluation.md, protocol `traffic`), and of the other half 100 prompts have
labels. *Similarity*: half of the traffic's tasks are labelled, and prompts of the others come in.
*Success*: requests are answered by the models that own labels pick, and by BMA with its average as
the prediction; then a share of the right answers becomes wrong.

False alarms are counted in 1,000 calls without a change; delays are calls from the change to the
first alarm, their median over splits and draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from litellm_benchrouter.building.embed import embed_benchmark, load_benchmark
from litellm_benchrouter.config import parse_config
from litellm_benchrouter.engine import LOCAL
from litellm_benchrouter.evaluation.traffic_split import TrafficSplit
from litellm_benchrouter.guarded.traffic import fit_traffic
from litellm_benchrouter.paper.neighbors import normalize
from litellm_benchrouter.progress import Progress
from litellm_benchrouter.traffic.alarms import (
    ALERT,
    LATEST,
    REFERENCE,
    SIMILARITY_DRIFT,
    SUCCESS_DRIFT,
    THRESHOLD,
    Likeness,
    cusum,
)
from litellm_benchrouter.validation.folds import TaskFolds, prepare

LABELS = 100
DRAWS = 10
SHARES = (1.0, 0.5, 0.25)
LOST = (0.5, 0.25, 0.1)

Floats = NDArray[np.float64]
Drawn = dict[str, list[float]]


def main() -> None:
    """Measure each set, and print a table of each alarm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--splits", type=int, default=4)
    options = parser.parse_args()
    names = options.sets or sorted(p.parent.name for p in options.folder.glob("*/embeddings.npy"))
    tables = {
        name: Table("Set", "False in 1,000", *columns, "Alert, nothing changed", "... smallest",
                    title=name)
        for name, columns in {
            "similarity": [f"Delay, {100 * share:.0f} % new" for share in SHARES],
            "success": [f"Delay, {100 * share:.0f} % lost" for share in LOST],
        }.items()
    }  # fmt: skip
    for name in names:
        generator = np.random.default_rng(0)
        drawn: dict[str, Drawn] = {"similarity": {}, "success": {}}
        for split in splits_of(options.folder / name, options.splits):
            similarity(split, generator, drawn["similarity"])
            success(split, generator, drawn["success"])
        for alarm, values in drawn.items():
            if values:
                tables[alarm].add_row(name, *row(values, ALERT[alarm]))
    for table in tables.values():
        Console(width=130).print(table)


def folds_of(source: Path, *, seed: int = 0, lexical: bool = False) -> TaskFolds:
    """Read a benchmark with its vectors, or embed its prompts by the default embedder."""
    block = {"sources": [{"kind": "table", "path": str(source.resolve())}]}
    config = parse_config(block, folder=Path.cwd(), where="FOLDER")
    benchmark, report = load_benchmark(config, Progress(), LOCAL)
    vectors = None if lexical else source / "embeddings.npy"
    benchmark, embedded = embed_benchmark(
        config, benchmark, report, vectors, config.artifacts / "cache", Progress(), LOCAL
    )
    return prepare(benchmark, embedded.vectors, config.routing, seed=seed, progress=Progress())


def splits_of(source: Path, n: int) -> list[TrafficSplit]:
    """Return splits of a benchmark into benchmark and traffic."""
    folds = folds_of(source)
    return [TrafficSplit.draw(folds, split, 0.0, 0.3) for split in range(n)]


def similarity(split: TrafficSplit, generator: np.random.Generator, drawn: Drawn) -> None:
    """Let prompts of other tasks come in."""
    vectors = normalize(split.whole.embeddings[split.traffic])
    task = split.whole.benchmark.task[split.traffic]
    tasks = np.unique(task)
    old = np.isin(task, generator.permutation(tasks)[: (len(tasks) + 1) // 2])
    rows = generator.permutation(np.flatnonzero(old))
    if len(rows) < 2 * LABELS or old.all():
        return
    likeness = Likeness(vectors[rows[:LABELS]])
    like, new = likeness.shortfall(vectors[rows[LABELS:]]), likeness.shortfall(vectors[~old])
    for _ in range(DRAWS):
        note(drawn, "none", cusum(generator.choice(like, LATEST), SIMILARITY_DRIFT)["alarms"])
        for share in SHARES:
            is_new = generator.random(LATEST) < share
            after = np.where(is_new, *(generator.choice(v, LATEST) for v in (new, like)))
            values = np.concatenate([generator.choice(like, LATEST), after])
            record(drawn, share, values, SIMILARITY_DRIFT)


def success(split: TrafficSplit, generator: np.random.Generator, drawn: Drawn) -> None:
    """Let a share of the right answers become wrong."""
    labels, scores = split.labels.astype(np.float64), split.benchmark.scores
    vectors = split.whole.embeddings[split.traffic]
    model = fit_traffic(labels[:LABELS], vectors[:LABELS], scores[:LABELS], split.prior)
    rest, rows = np.arange(LABELS, len(labels)), np.arange(len(labels) - LABELS)
    expected = np.clip(model.predict(vectors[rest], scores[rest]), 0, 1)
    own = model.score(vectors[rest], scores[rest]).argmax(axis=1)
    best = split.benchmark.best
    averages = np.full(len(rest), split.benchmark.average[best])
    for predicted, pick in ((expected[rows, own], own), (averages, np.full(len(rest), best))):
        known = ~np.isnan(labels[rest, pick])
        likely, right = predicted[known], labels[rest, pick][known]
        for _ in range(DRAWS):
            n = REFERENCE + 2 * LATEST
            rows_of = generator.integers(len(right), size=n)
            short = likely[rows_of] - right[rows_of]
            unchanged = standard(short[: REFERENCE + LATEST])
            note(drawn, "none", cusum(unchanged, SUCCESS_DRIFT)["alarms"])
            for share in LOST:
                is_lost = (np.arange(n) >= REFERENCE + LATEST) & (generator.random(n) < share)
                values = standard(likely[rows_of] - np.where(is_lost, 0, right[rows_of]))
                record(drawn, share, values, SUCCESS_DRIFT)


def standard(short: Floats) -> Floats:
    """Return shortfalls as `success_alarm` sums them up."""
    first = short[:REFERENCE]
    values: Floats = (short[REFERENCE:] - first.mean()) / max(float(first.std()), 0.05)
    return values


def record(drawn: Drawn, share: float, values: Floats, drift: float) -> None:
    """Note the delay after the first 1,000 values, and how many alarms the next have."""
    total, delay = 0.0, np.inf
    for position, short in enumerate(values.tolist()):
        total = max(0.0, total + short - drift)
        if total > THRESHOLD:
            total = 0.0
            if position >= LATEST:
                delay = position - LATEST
                break
    note(drawn, f"delay {share}", delay)
    note(drawn, f"alarms {share}", cusum(values, drift)["recent"])


def note(drawn: Drawn, name: str, value: float) -> None:
    """Add a value."""
    drawn.setdefault(name, []).append(float(value))


def row(drawn: Drawn, alert: int) -> list[str]:
    """Return the cells of a set."""
    none = np.array(drawn["none"])
    shares = [name.removeprefix("delay ") for name in drawn if name.startswith("delay ")]
    delays = [float(np.median(drawn[f"delay {share}"])) for share in shares]
    smallest = np.array(drawn[f"alarms {shares[-1]}"])
    return [
        f"{none.mean():.2f}",
        *(f"{delay:.0f}" if np.isfinite(delay) else "> 1,000" for delay in delays),
        f"{100 * (none >= alert).mean():.0f} %",
        f"{100 * (smallest >= alert).mean():.0f} %",
    ]


if __name__ == "__main__":
    main()
