"""The configured sources as one benchmark."""

from __future__ import annotations

from litellm_benchrouter.config import BenchRouterConfig, SourceConfig
from litellm_benchrouter.costs import with_known_prices
from litellm_benchrouter.engine import LOCAL, Engine
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.paper.benchmark import Benchmark
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.sources import SourceTable, read
from litellm_benchrouter.sources.merge import MergeReport, SourceJudgement, merge


def load_benchmark(
    config: BenchRouterConfig, stages: Silent, engine: Engine = LOCAL
) -> tuple[Benchmark, MergeReport]:
    """Read and merge the configured sources.

    Raises
    ------
    ConfigError
        If no source is configured, or one is configured wrongly.
    SourceError
        If a source cannot be read, or nothing useful remains.
    """
    if not config.sources:
        raise ConfigError("benchrouter.sources is empty; name at least one benchmark.")
    with stages.stage("reading sources", len(config.sources)) as advance:
        tables = []
        found = engine.read(_read, list(enumerate(config.sources)))
        for source, table in zip(config.sources, found, strict=True):
            judgement = SourceJudgement(
                name=source.name or source.path.name,
                threshold=source.threshold,
                thresholds=source.thresholds,
            )
            tables.append((table, judgement))
            advance(1)
    facts = {name: model.facts for name, model in config.models.items()}
    benchmark, report = merge(tables, aliases=config.aliases, facts=facts)
    return with_known_prices(benchmark, config.aliases), report


def _read(numbered: tuple[int, SourceConfig]) -> SourceTable:
    number, source = numbered
    try:
        return read(source.kind, source.path, source.reader_options)
    except (ConfigError, SourceError) as error:
        raise type(error)(f"benchrouter.sources[{number}]: {error}") from error
