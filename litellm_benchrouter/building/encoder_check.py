"""Is an exported encoder as good as its original? Asked of the benchmark before the build uses it.

Cosines alone do not say: of models that are nearly as good as each other, a small turn of the
vector picks another one. So the picks of the default method are compared as well.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.building.sample import sample_rows
from litellm_benchrouter.config import BenchRouterConfig, EmbedderConfig
from litellm_benchrouter.embedders import (
    Embedder,
    OnnxEmbedder,
    SentenceTransformersEmbedder,
    embed_with_cache,
    make_embedder,
)
from litellm_benchrouter.errors import EmbedderError
from litellm_benchrouter.guarded.fit import fit_request, neighbors_of_each
from litellm_benchrouter.paper.benchmark import Benchmark, labels
from litellm_benchrouter.paper.scores import preference, rank_with
from litellm_benchrouter.progress import Silent

EQUAL_PICKS = 0.98
"""Share of equal picks below which an exported encoder is not the original's stand-in."""

_SAMPLES = 1_000
_FEWEST = 50  # rows that the request estimates can be fitted on
_FEWEST_MODELS = 2
_FILE = "agreement.json"
_RECIPE = 1  # changes whenever the same sample would give other figures


@dataclass(frozen=True)
class Agreement:
    """An exported encoder beside its original, on a sample of the benchmark.

    Attributes
    ----------
    precision : {"int8", "fp32"}
    n_samples : int
    cosine_median, cosine_min : float
        Between the two vectors of a prompt; a blank prompt has none.
    equal_picks : float or None
        Share of the prompts for which the leave-one-out scores of the default request method pick
        the same model; None where the sample is too small to pick from.
    accuracy_original, accuracy : float or None
        Mean correctness of the original's picks, and of those of the export: whether the picks that
        differ are worse ones.
    """

    precision: str
    n_samples: int
    cosine_median: float
    cosine_min: float
    equal_picks: float | None
    accuracy_original: float | None
    accuracy: float | None

    @property
    def suffices(self) -> bool:
        """Whether the export may stand in; without picks the cosines decide."""
        share = self.cosine_median if self.equal_picks is None else self.equal_picks
        return share >= EQUAL_PICKS

    def __str__(self) -> str:
        """Say what was measured."""
        picks = "" if self.equal_picks is None else f"{100 * self.equal_picks:.1f} % equal picks, "
        return (
            f"{picks}median cosine {self.cosine_median:.4f} (lowest {self.cosine_min:.4f}) "
            f"on {self.n_samples} prompts"
        )


@dataclass(frozen=True)
class MadeEmbedder:
    """The embedder to build with, and what was measured of it.

    Attributes
    ----------
    embedder : Embedder
    n_new : int
        How many prompts of the benchmark it embedded for that, and kept in the cache.
    warnings : list of str
    measured : dict or None
        For the manifest. `agreement`: of an exported encoder, one `Agreement` for each precision
        that was tried, the last one that of `embedder`.
    known : tuple of (ndarray of int, ndarray of float32), or None
        Rows of the benchmark whose vectors are known already, and these vectors.
    """

    embedder: Embedder
    n_new: int = 0
    warnings: list[str] = field(default_factory=list)
    measured: dict[str, Any] | None = None
    known: tuple[NDArray[np.intp], NDArray[np.float32]] | None = None


def make_and_check(
    config: BenchRouterConfig, benchmark: Benchmark, cache: Path | None, stages: Silent
) -> MadeEmbedder:
    """Make the configured embedder, and compare an exported one with its original.

    Parameters
    ----------
    config : BenchRouterConfig
    benchmark : Benchmark
    cache : Path or None
    stages : Silent or Bars

    Raises
    ------
    ConfigError, EmbedderError
        As `make_embedder` and `checked_encoder`.
    """
    chosen, seed = config.embedder, config.seed
    with stages.stage("making the embedder", 1):
        if chosen.kind == OnnxEmbedder.kind:
            return checked_encoder(chosen, benchmark, cache, seed=seed)
        return MadeEmbedder(make_embedder(chosen, benchmark.prompts, seed=seed, cache=cache))


def checked_encoder(
    config: EmbedderConfig, benchmark: Benchmark, cache: Path | None, *, seed: int = 0
) -> MadeEmbedder:
    """Export an encoder, in the first precision whose picks are those of the original.

    Parameters
    ----------
    config : EmbedderConfig
        Of kind `onnx`; `precision` int8 falls back to fp32 unless `on_disagreement` is `refuse`.
    benchmark : Benchmark
    cache : Path or None
        Keeps the exported models, the vectors and the figures: nothing is measured again for a
        sample that was seen, and of one that grew only the new prompts are embedded.
    seed : int
        Of the sample.

    Raises
    ------
    EmbedderError
        If no precision suffices, or the first one does not and `refuse` is configured.
    """
    sample = _Sample(benchmark, config, cache, seed)
    tried: list[Agreement] = []
    warnings: list[str] = []
    falls_back = config.precision == "int8" and config.on_disagreement == "fp32"
    for precision in ("int8", "fp32") if falls_back else (config.precision,):
        exported = OnnxEmbedder.export(
            config.model, precision=precision, max_tokens=config.max_seq_length, cache=cache
        )
        agreement, n_new = sample.compare(exported)
        tried.append(agreement)
        if agreement.suffices:
            measured = {"agreement": [asdict(each) for each in tried]}
            return MadeEmbedder(exported, n_new, warnings, measured)
        warnings.append(
            f"{config.model} in {precision} picks differently from the original ({agreement}; "
            f"{100 * EQUAL_PICKS:.0f} % are wanted)"
        )
        if precision == "int8":
            warnings[-1] += "; the encoder is built in fp32 instead."
    ways = ["use kind: sentence-transformers"]
    if tried[-1].precision == "int8":
        ways.insert(0, "set benchrouter.embedder.on_disagreement to fp32")
    raise EmbedderError(
        f"{config.model} exported in {tried[-1].precision} picks differently from the original "
        f"({tried[-1]}; {100 * EQUAL_PICKS:.0f} % are wanted); {', or '.join(ways)}."
    )


class _Sample:
    """Prompts to compare on, and the original's vectors of them, made when they are needed."""

    def __init__(
        self, benchmark: Benchmark, config: EmbedderConfig, cache: Path | None, seed: int
    ) -> None:
        self.rows, digest_of_prompts = sample_rows(benchmark.prompts, _SAMPLES, seed)
        self._benchmark = benchmark.rows(self.rows)
        self._config, self._cache = config, cache
        self._of_original: NDArray[np.float32] | None = None
        digest = hashlib.sha256(f"{_RECIPE} {config.max_seq_length} ".encode())
        digest.update(digest_of_prompts)
        digest.update(self._benchmark.correctness.tobytes() + self._benchmark.task.tobytes())
        self._digest = digest.hexdigest()

    def compare(self, exported: OnnxEmbedder) -> tuple[Agreement, int]:
        """Return the figures, and how many prompts the export embedded for them."""
        kept = None if self._cache is None else exported.graph.with_name(_FILE)
        known = _read(kept).get(self._digest)
        if known is not None:
            return known, 0
        vectors, n_new = embed_with_cache(exported, self._benchmark.prompts, self._cache)
        agreement = self._measure(self._original(), vectors, exported.precision)
        if kept is not None:
            # Only the latest: a benchmark that changes every day leaves no trail.
            kept.write_text(json.dumps({self._digest: asdict(agreement)}), encoding="ascii")
        return agreement, 0 if self._cache is None else n_new

    def _original(self) -> NDArray[np.float32]:
        if self._of_original is None:
            config = self._config
            original: Embedder = SentenceTransformersEmbedder(
                config.model,
                device=config.device,
                batch_size=config.batch_size,
                max_seq_length=config.max_seq_length,
            )
            self._of_original, _ = embed_with_cache(original, self._benchmark.prompts, self._cache)
        return self._of_original

    def _measure(
        self, original: NDArray[np.float32], vectors: NDArray[np.float32], precision: str
    ) -> Agreement:
        said = np.asarray(original.any(axis=1) & vectors.any(axis=1))
        cosine = (original[said] * vectors[said]).sum(axis=1, dtype=np.float64)
        picks = [self._picks(each[said], said) for each in (original, vectors)]
        equal = accuracy = None
        if picks[0] is not None and picks[1] is not None:
            equal = float((picks[0] == picks[1]).mean())
            values, rows = labels(self._benchmark.correctness)[said], np.arange(int(said.sum()))
            accuracy = [_mean(values[rows, each]) for each in picks]
        return Agreement(
            precision=precision,
            n_samples=len(cosine),
            cosine_median=float(np.median(cosine)) if len(cosine) else 1.0,
            cosine_min=float(cosine.min()) if len(cosine) else 1.0,
            equal_picks=equal,
            accuracy_original=accuracy[0] if accuracy else None,
            accuracy=accuracy[1] if accuracy else None,
        )

    def _picks(
        self, vectors: NDArray[np.float32], rows: NDArray[np.bool_]
    ) -> NDArray[np.intp] | None:
        """Return the model that each prompt's leave-one-out scores put first, as a column."""
        sample = self._benchmark
        values = labels(sample.correctness)[rows]
        models = np.flatnonzero(~np.isnan(values).all(axis=0))
        if len(vectors) < _FEWEST or len(models) < _FEWEST_MODELS:
            return None
        known, task = np.unique(sample.task[rows], return_inverse=True)
        with threadpool_limits(limits=1):  # or the last bits depend on the number of cores
            guarded = fit_request(
                vectors,
                values[:, models],
                task.astype(np.int32),
                len(known),
                neighbors_of_each(vectors),
            ).guarded
        ranks, names = sample.cost_ranks, sample.models
        preferred = preference(
            guarded.request.average, [ranks[m] for m in models], [names[m] for m in models]
        )
        scores = guarded.loo_scores.astype(np.float64)
        first: NDArray[np.intp] = np.array([rank_with(row, preferred)[0] for row in scores])
        return np.asarray(models[first])


def _read(path: Path | None) -> dict[str, Agreement]:
    """Return the figures that were kept; what cannot be read is measured again."""
    try:
        found = {} if path is None else json.loads(path.read_text(encoding="ascii"))
        return {digest: Agreement(**known) for digest, known in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _mean(values: NDArray[np.float32]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
