"""What the builder reads: sources, models, the embedder, the constants, named tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from litellm_benchrouter.config.base import Block, Probability, is_url, without_scheme
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.paper.benchmark import ModelFacts
from litellm_benchrouter.paper.smoother import ALPHAS

EmbedderKind = Literal[
    "lexical", "litellm", "onnx", "precomputed", "sentence-transformers", "static"
]


class SourceConfig(Block):
    """One benchmark to read; a relative path starts at the configuration file's folder.

    `path` may be a URL, as `https://host/results.csv`, `s3://bucket/runs/*.jsonl` or
    `hf://datasets/owner/name/results.parquet`; what is there is copied before it is read.
    """

    kind: str = "table"  # the reader, one of `sources.READERS`
    path: Path
    name: str | None = None  # how reports call it; default: the path's last part
    # eta_d: a score above it counts as correct; None is 0.5, and scores above 1 are refused
    threshold: float | None = None
    thresholds: dict[str, float] = Field(default_factory=dict)  # eta_d of single tasks
    # a .npy file with one vector a sample, rows in the order of the source's samples
    embeddings: Path | None = None
    # which of several scores to take, where the reader has a choice; so are the next two
    metric: str | list[str] | None = None
    filter: str | list[str] | None = None
    scorer: str | list[str] | None = None
    rankers: list[str] | None = None  # columns with the scores that rankers gave to each answer
    options: dict[str, Any] = Field(default_factory=dict)  # further options of the reader

    _url: str | None = PrivateAttr(None)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_url(cls, block: Any, checks: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(block, dict) and isinstance(place := block.get("path"), str):
            block = block | {"path": without_scheme(place)}
        source = checks(block)
        if isinstance(block, dict) and is_url(block.get("path")):
            source._url = block["path"]
        return source

    @property
    def url(self) -> str | None:
        """Where the results are, if not in files here; `path` is then that of the copy."""
        return self._url

    @property
    def reader_options(self) -> dict[str, Any]:
        """All options of the reader."""
        named = {name: getattr(self, name) for name in ("metric", "filter", "scorer", "rankers")}
        return self.options | {name: value for name, value in named.items() if value is not None}


class ModelConfig(Block):
    """What the operator knows of a benchmark model: names, size, prices, what it can take.

    `supports_...` and `max_input_tokens` have the names and the meaning that LiteLLM gives them.
    """

    aliases: list[str] = Field(default_factory=list)
    params_b: float | None = Field(default=None, gt=0)
    input_price_usd_per_mtok: float | None = Field(default=None, ge=0)
    output_price_usd_per_mtok: float | None = Field(default=None, ge=0)
    supports_vision: bool | None = None
    supports_audio_input: bool | None = None
    supports_pdf_input: bool | None = None
    supports_function_calling: bool | None = None
    supports_response_schema: bool | None = None
    max_input_tokens: int | None = Field(default=None, ge=1)

    @property
    def facts(self) -> ModelFacts:
        """The facts, as the core holds them."""
        return ModelFacts(
            self.params_b, self.input_price_usd_per_mtok, self.output_price_usd_per_mtok
        )


class EmbedderConfig(Block):
    """What turns a prompt into a vector.

    `lexical` is fitted on the benchmark and needs no download; `sentence-transformers` takes a
    model's name or a local folder, and so do `onnx`, which exports it at build time, and `static`,
    which distils it; `litellm` asks a hosted one: a group of the proxy's `model_list`
    (or of that in `proxy_config`) or any embedding model that LiteLLM knows, at serving for at most
    `time_limit_ms`; `precomputed` takes the vectors of `--embeddings`
    and serves named tasks only (a request's prompt cannot be embedded).
    """

    kind: EmbedderKind = "lexical"
    model: str = "sentence-transformers/all-mpnet-base-v2"
    dimensions: int = Field(default=256, ge=1, le=4096)
    device: str = "cpu"
    batch_size: int = Field(default=32, ge=1)
    max_seq_length: int | None = Field(default=None, ge=8)
    proxy_config: Path | None = None
    time_limit_ms: float = Field(default=150.0, gt=0)
    cache: bool = True

    @model_validator(mode="after")
    def _hosted_models_are_named(self) -> Self:
        if self.kind == "litellm" and "model" not in self.model_fields_set:
            raise ValueError("kind litellm needs `model`: a group of model_list, or a litellm name")
        return self

    def of_kind(self, kind: EmbedderKind) -> EmbedderConfig:
        """Return the same configuration for another kind of embedder."""
        return self.model_copy(update={"kind": kind})


class RoutingConfig(Block):
    """The paper's constants; the defaults are the paper's."""

    k: int = Field(default=5, ge=1)  # neighbours of the correctness predictor (eq. 7)
    t: Probability = 0.5  # threshold of the predictions in S2 (eq. 2)
    kappa: int = Field(default=19, ge=1)  # neighbours of the task distance (eq. 9)
    # bandwidth of the kernel smoother (eq. 10), in units of cosine distance
    sigma: float = Field(default=0.09, gt=0)
    # confidence that m_3 must exceed to displace the best on average (eq. 6)
    eta: Probability = 0.6
    # mixing parameters of the smoother's table (appendix B)
    alphas: list[Probability] = Field(default=list(ALPHAS), min_length=1)
    repeats: int = Field(default=10, ge=1)  # draws for each alpha
    max_moved: int = Field(default=50, ge=0)  # most samples that a draw moves
    # what g averages: labels, or the metric itself as appendix D does
    s1_on: Literal["correctness", "score"] = "correctness"


class IndexConfig(Block):
    """The HNSW index: its construction and the recall it must reach against exact search.

    `engine: auto` takes hnswlib up to some 5,000 samples, faiss above, whose file is searched where
    it lies.
    """

    engine: Literal["auto", "hnswlib", "faiss"] = "auto"
    m: int = Field(default=16, ge=2)  # links of a node
    ef_construction: int = Field(default=200, ge=8)  # size of the candidate list at construction
    ef: int = Field(default=64, ge=1)  # likewise in a search
    # of the exact neighbours; `ef` is raised until the graph finds so many
    min_recall: Probability = 0.99


class PublishConfig(Block):
    """What a version must have shown before it may serve; docs/proof.md.

    `gains`: at least one part is shown to gain; `nothing`: publish whatever was measured.
    `tolerance` is the largest loss against the best model on average that passes as none, as
    accuracy; the lower bound of what is served has to be above it.
    """

    require: Literal["no-worse-than-bma", "gains", "nothing"] = "no-worse-than-bma"
    tolerance: Probability = 0.005


class TaskConfig(Block):
    """A named task: example inputs, and labels of some of them where there are any.

    By default labels are in `labels/<task>.jsonl` in the artifacts' folder, where `benchrouter
    label` puts them.
    """

    inputs: Path  # one input a line (text), or one `{"prompt": ...}` a line (.jsonl)
    # a .npy file with a vector for each input, where there is no embedder to make them
    embeddings: Path | None = None
    labels: Path | None = None  # scores of models on some of the inputs (.jsonl, .csv or .parquet)
    threshold: Probability = 0.5  # eta_d: a score above it counts as correct
    # how `benchrouter label` scores answers against the references (docs/labelling.md)
    metric: str | None = None


def family_of(families: Mapping[str, Sequence[str]], tasks: Sequence[str]) -> dict[int, str]:
    """Return the family of each task that has one, by the task's number, from names or patterns.

    Raises ConfigError where a task is in two families.
    """
    family: dict[int, str] = {}
    for name, patterns in families.items():
        for d, task in enumerate(tasks):
            if not any(matches(task, pattern) for pattern in patterns):
                continue
            if family.setdefault(d, name) != name:
                raise ConfigError(
                    f"benchrouter.families: task {task!r} is in {family[d]!r} and in {name!r}. "
                    "Give each task one family."
                )
    return family


def matches(task: str, pattern: str) -> bool:
    """Say whether a task has this name or follows this pattern ("gsm8k/*")."""
    return task == pattern or fnmatchcase(task, pattern)
