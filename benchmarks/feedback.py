"""What feedback on explored requests is worth, by how many were scored.

    python benchmarks/feedback.py FOLDER [SET ...] [--splits 4] [--events 500,1000,2000]

FOLDER holds one benchmark a folder, each with its `embeddings.npy`. In each split half of the tasks
are the benchmark and the others the traffic (docs/evaluation.md, protocol `traffic`), of which a
third is kept to measure on. Explored requests are drawn from the rest; each is answered by one of
the plausible models (`serving.explore`) and scored by its label. The gain is over BMA, in points;
`benchmark` is what is served without feedback, `labels` is the estimate of docs/traffic.md with 100
prompts that all models have labels of.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from drift import splits_of

from litellm_benchrouter.costs.policy import QUALITY
from litellm_benchrouter.evaluation.traffic_split import TrafficSplit
from litellm_benchrouter.guarded.direct import FEWEST_EVENTS, fit_direct, left_out_errors
from litellm_benchrouter.guarded.formulas import centred
from litellm_benchrouter.guarded.traffic import fit_traffic
from litellm_benchrouter.routing.decision import Decision
from litellm_benchrouter.serving.explore import plausible

Rows = NDArray[np.integer]


def main() -> None:
    """Measure each set, and print the mean over its splits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--events", default="500,1000,2000")
    options = parser.parse_args()
    names = options.sets or sorted(p.parent.name for p in options.folder.glob("*/embeddings.npy"))
    events = [int(n) for n in options.events.split(",")]
    table = Table("Set", "Benchmark", *(f"{n:,} events" for n in events), "100 labels")
    for name in names:
        splits = splits_of(options.folder / name, options.splits)
        measured = np.array([measure(split, events, s) for s, split in enumerate(splits)])
        table.add_row(name, *(f"{gain:.2f}" for gain in np.nanmean(measured, axis=0)))
    Console().print(table)


def measure(split: TrafficSplit, events: list[int], seed: int) -> list[float]:
    """Return gains in points: of the benchmark, by number of events, and of 100 labels."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(split.labels))
    tested, rest = order[: len(order) // 3], order[len(order) // 3 :]
    benchmark, best = split.benchmark, split.benchmark.best
    gains = [gain(split, tested, benchmark.picks[tested])]
    vectors = split.whole.embeddings[split.traffic]
    base = centred(benchmark.scores)
    n_models = base.shape[1]
    served = benchmark.scores
    if not benchmark.routes:
        served = np.tile(benchmark.average, (len(base), 1))
    for n in events:
        rows = rest[:n] if n <= len(rest) else generator.choice(rest, n)
        answered = np.array([explored(served[row], generator) for row in rows])
        score = split.labels[rows, answered].astype(np.float64)
        known = ~np.isnan(score)
        rows, answered, score = rows[known], answered[known], score[known]
        residual = score - base[rows, answered]
        given = (residual, answered, vectors[rows], n_models)
        enough = len(rows) >= FEWEST_EVENTS
        error, without = left_out_errors(*given) if enough else (1.0, 0.0)
        if error >= without:
            gains.append(gains[0])
            continue
        model = fit_direct(*given)
        scores = base[tested] + model.adjust(vectors[tested]) - model.caution(best)
        gains.append(gain(split, tested, scores.argmax(axis=1)))
    few = rest[:100]
    own = fit_traffic(split.labels[few], vectors[few], benchmark.scores[few], split.prior)
    picks = own.score(vectors[tested], benchmark.scores[tested]).argmax(axis=1)
    return [*gains, gain(split, tested, picks)]


def explored(likely: NDArray[np.float64], generator: np.random.Generator) -> int:
    """Return a random plausible model, as the proxy draws it."""
    ranking = np.argsort(-likely, kind="stable")
    names = {str(m): float(likely[m]) for m in ranking}
    models = plausible(Decision(tuple(names), "", "", probability=names), QUALITY)
    return int(models[generator.integers(len(models))])


def gain(split: TrafficSplit, rows: Rows, picks: Rows) -> float:
    """Return the mean gain over BMA, in points."""
    labels = split.labels.astype(np.float64)
    return 100 * float(np.nanmean(labels[rows, picks] - labels[rows, split.benchmark.best]))


if __name__ == "__main__":
    main()
