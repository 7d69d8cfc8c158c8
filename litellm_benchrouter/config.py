"""The `benchrouter:` block of the proxy's YAML, which the builder and the hook both read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from litellm_benchrouter.config_problem import first_problem
from litellm_benchrouter.core.benchmark import ModelFacts
from litellm_benchrouter.core.smoother import ALPHAS
from litellm_benchrouter.errors import ConfigError

BLOCK = "benchrouter"

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class _Block(BaseModel):
    """A part of the configuration: a key it does not know is refused, not ignored."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


class SourceConfig(_Block):
    """One benchmark to read.

    Attributes
    ----------
    kind : str
        The reader: `table`, `helm`, `mixinstruct`, `lm-eval`, `routerbench`, `inspect`,
        `promptfoo`.
    path : Path
        File or folder; a relative path starts at the configuration file's folder.
    name : str or None
        How reports call it; default: the path's last part.
    threshold : float
        eta_d: a score above it counts as correct.
    thresholds : dict of str to float
        eta_d of single tasks.
    embeddings : Path or None
        A .npy file with one vector a sample, rows in the order of the source's samples.
    metric, filter, scorer : str or list of str, or None
        Which of several scores to take, where the reader has a choice.
    rankers : list of str or None
        Columns with the scores that rankers gave to each answer.
    options : dict
        Further options of the reader.
    """

    kind: str = "table"
    path: Path
    name: str | None = None
    threshold: float = 0.5
    thresholds: dict[str, float] = Field(default_factory=dict)
    embeddings: Path | None = None
    metric: str | list[str] | None = None
    filter: str | list[str] | None = None
    scorer: str | list[str] | None = None
    rankers: list[str] | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def reader_options(self) -> dict[str, Any]:
        """All options of the reader."""
        named = {name: getattr(self, name) for name in ("metric", "filter", "scorer", "rankers")}
        return self.options | {name: value for name, value in named.items() if value is not None}


class ModelConfig(_Block):
    """What the operator knows of a benchmark model: its other names, its size, its prices."""

    aliases: list[str] = Field(default_factory=list)
    params_b: float | None = Field(default=None, gt=0)
    input_price_usd_per_mtok: float | None = Field(default=None, ge=0)
    output_price_usd_per_mtok: float | None = Field(default=None, ge=0)

    @property
    def facts(self) -> ModelFacts:
        """The facts, as the core holds them."""
        return ModelFacts(
            self.params_b, self.input_price_usd_per_mtok, self.output_price_usd_per_mtok
        )


class EmbedderConfig(_Block):
    """What turns a prompt into a vector.

    `lexical` is fitted on the benchmark and needs no download; `sentence-transformers` takes a
    model's name or a local folder; `precomputed` takes the vectors of `--embeddings` and serves
    named tasks only (a request's prompt cannot be embedded).
    """

    kind: Literal["lexical", "sentence-transformers", "precomputed"] = "lexical"
    model: str = "sentence-transformers/all-mpnet-base-v2"
    dimensions: int = Field(default=256, ge=1, le=4096)
    device: str = "cpu"
    batch_size: int = Field(default=32, ge=1)
    max_seq_length: int | None = Field(default=None, ge=8)
    cache: bool = True


class RoutingConfig(_Block):
    """The paper's constants; the defaults are the paper's.

    Attributes
    ----------
    k : int
        Neighbours of the correctness predictor (eq. 7).
    t : float
        Threshold of the predictions in S2 (eq. 2).
    kappa : int
        Neighbours of the task distance (eq. 9).
    sigma : float
        Bandwidth of the kernel smoother (eq. 10), in units of cosine distance.
    eta : float
        Confidence that m_3 must exceed to displace the best on average (eq. 6).
    alphas : list of float
        Mixing parameters of the smoother's table (appendix B).
    repeats : int
        Draws for each alpha.
    max_moved : int
        Most samples that a draw moves.
    s1_on : {"correctness", "score"}
        What g averages: labels, or the metric itself as appendix D does.
    """

    k: int = Field(default=5, ge=1)
    t: Probability = 0.5
    kappa: int = Field(default=19, ge=1)
    sigma: float = Field(default=0.09, gt=0)
    eta: Probability = 0.6
    alphas: list[Probability] = Field(default=list(ALPHAS), min_length=1)
    repeats: int = Field(default=10, ge=1)
    max_moved: int = Field(default=50, ge=0)
    s1_on: Literal["correctness", "score"] = "correctness"


class IndexConfig(_Block):
    """The HNSW index: its construction and the recall it must reach against exact search."""

    m: int = Field(default=16, ge=2)
    ef_construction: int = Field(default=200, ge=8)
    ef: int = Field(default=64, ge=1)
    min_recall: Probability = 0.99


class TaskConfig(_Block):
    """A named task: example inputs without labels.

    Attributes
    ----------
    inputs : Path
        One input a line (text), or one `{"prompt": ...}` a line (.jsonl).
    embeddings : Path or None
        A .npy file with a vector for each input, where there is no embedder to make them.
    """

    inputs: Path
    embeddings: Path | None = None


class ServingConfig(_Block):
    """How the hook behaves in the proxy.

    Attributes
    ----------
    time_limit_ms : float
        Longest that a decision may hold a request; after it the best on average goes first.
    poll_seconds : float
        How often a new artifact version is looked for.
    """

    time_limit_ms: float = Field(default=200.0, gt=0)
    poll_seconds: float = Field(default=30.0, gt=0)


class BenchRouterConfig(_Block):
    """The whole block.

    `method` is how requests and named tasks are decided: `guarded` (docs/guarded.md), or `paper`
    for S1 and S3 with the paper's settings, taken literally.
    """

    artifacts: Path = Path("router_artifacts")
    method: Literal["guarded", "paper"] = "guarded"
    sources: list[SourceConfig] = Field(default_factory=list)
    models: dict[str, ModelConfig] = Field(default_factory=dict)
    embedder: EmbedderConfig = Field(default_factory=EmbedderConfig)
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    index: IndexConfig = Field(default_factory=IndexConfig)
    tasks: dict[str, TaskConfig] = Field(default_factory=dict)
    serving: ServingConfig = Field(default_factory=ServingConfig)
    seed: int = Field(default=0, ge=0)

    @field_validator("models")
    @classmethod
    def _aliases_name_one_model(cls, models: dict[str, ModelConfig]) -> dict[str, ModelConfig]:
        owner: dict[str, str] = {}
        for name, model in models.items():
            for alias in model.aliases:
                if alias in models and alias != name:
                    raise ValueError(f"alias {alias!r} of {name!r} is a model of its own")
                if owner.setdefault(alias, name) != name:
                    raise ValueError(f"alias {alias!r} is given to {owner[alias]!r} and {name!r}")
        return models

    @property
    def aliases(self) -> dict[str, str]:
        """Other name -> canonical name."""
        return {alias: name for name, model in self.models.items() for alias in model.aliases}


def load_config(path: Path) -> BenchRouterConfig:
    """Read the `benchrouter:` block of a LiteLLM proxy configuration.

    Parameters
    ----------
    path : Path
        The proxy's YAML. Relative paths in the block start at its folder.

    Returns
    -------
    BenchRouterConfig
        With every path absolute.

    Raises
    ------
    ConfigError
        If the file or the block is missing or wrong; names the key's path and the value.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}; give --config FILE."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{where} is not valid YAML; mend the syntax there.") from error
    if not isinstance(document, dict) or BLOCK not in document:
        raise ConfigError(
            f"{path} has no top-level `{BLOCK}:` block; add one (config.example.yaml shows it)."
        )
    return parse_config(document[BLOCK], folder=path.resolve().parent, where=str(path))


def parse_config(
    block: object, *, folder: Path, where: str = "the configuration"
) -> BenchRouterConfig:
    """Check a `benchrouter:` block that has been read already; see `load_config`."""
    try:
        config = BenchRouterConfig.model_validate({} if block is None else block)
    except ValidationError as error:
        raise ConfigError(first_problem(error, where, BLOCK, BenchRouterConfig)) from error
    return config.model_copy(
        update={
            "artifacts": folder / config.artifacts,
            "embedder": config.embedder.model_copy(
                update={"model": _local_model(folder, config.embedder.model)}
            ),
            "sources": [
                source.model_copy(
                    update={
                        "path": folder / source.path,
                        "embeddings": source.embeddings and folder / source.embeddings,
                    }
                )
                for source in config.sources
            ],
            "tasks": {
                name: task.model_copy(
                    update={
                        "inputs": folder / task.inputs,
                        "embeddings": task.embeddings and folder / task.embeddings,
                    }
                )
                for name, task in config.tasks.items()
            },
        }
    )


def _local_model(folder: Path, model: str) -> str:
    """Return a model's name, or where it lies if it is a folder beside the configuration."""
    local = folder / model
    return str(local) if local.is_dir() else model
