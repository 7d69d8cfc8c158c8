"""The configured sources as one benchmark."""

from __future__ import annotations

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.core.benchmark import Benchmark
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.progress import Silent
from litellm_benchrouter.routing.prices import with_known_prices
from litellm_benchrouter.sources import read
from litellm_benchrouter.sources.merge import MergeReport, SourceJudgement, merge


def load_benchmark(config: BenchRouterConfig, stages: Silent) -> tuple[Benchmark, MergeReport]:
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
        for s, source in enumerate(config.sources):
            judgement = SourceJudgement(
                name=source.name or source.path.name,
                threshold=source.threshold,
                thresholds=source.thresholds,
            )
            try:
                table = read(source.kind, source.path, source.reader_options)
            except (ConfigError, SourceError) as error:
                raise type(error)(f"benchrouter.sources[{s}]: {error}") from error
            tables.append((table, judgement))
            advance(1)
    facts = {name: model.facts for name, model in config.models.items()}
    benchmark, report = merge(tables, aliases=config.aliases, facts=facts)
    return with_known_prices(benchmark, config.aliases), report
