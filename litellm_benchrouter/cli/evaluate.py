"""`benchrouter evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast, get_args

import click
from click.core import ParameterSource

from litellm_benchrouter.cli.options import (
    FiniteRange,
    config_option,
    console,
    engine_option,
    print_tables,
    print_warnings,
    ray_address_option,
    with_engine,
)
from litellm_benchrouter.config import (
    BenchRouterConfig,
    EmbedderKind,
    load_config,
    parse_config,
)
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.evaluation.cascade import AUCS
from litellm_benchrouter.evaluation.embedders import compare_embedders
from litellm_benchrouter.evaluation.run import (
    DEFAULT_PROTOCOLS,
    PROTOCOLS,
    Options,
    documents_of,
    evaluate,
)
from litellm_benchrouter.evaluation.traffic import LABELS
from litellm_benchrouter.progress import bars
from litellm_benchrouter.validation.folds import HoldOut
from litellm_benchrouter.views import GAIN, LEVEL, LOSS, UNCLEAR, without_nan
from litellm_benchrouter.views.charts import require_charts
from litellm_benchrouter.views.evaluation import summarise
from litellm_benchrouter.views.report import render_html
from litellm_benchrouter.views.tables import protocol_table
from litellm_benchrouter.views.verdict import embedders_table

_STYLES = {GAIN: "bold green", UNCLEAR: "bold yellow", LEVEL: "bold", LOSS: "bold red"}

EMBEDDERS = tuple(kind for kind in get_args(EmbedderKind) if kind != "precomputed")

_WITH_EMBEDDERS = {
    *("config_path", "source", "kind", "embedders", "samples", "k", "seed"),
    *("engine", "ray_address", "json_path"),
}


@click.command("evaluate")
@config_option
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True),
    help="A benchmark, in place of a configuration.",
)
@click.option("--kind", default="table", show_default=True, help="The reader of --source.")
@click.option(
    "--embeddings",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Vectors that you already have: a .npy file, rows in the order of the source's samples.",
)
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(PROTOCOLS),
    multiple=True,
    default=DEFAULT_PROTOCOLS,
    show_default=True,
    help="An experiment; may be given several times.",
)
@click.option("--models", help="Only these models, with commas between.")
@click.option("--max-params", type=float, help="Only models of at most so many billion parameters.")
@click.option("--without-top", type=int, default=0, help="Leave out the N best on average.")
@click.option(
    "--hold-out",
    type=click.Choice(["family", "task", "name"]),
    default="family",
    show_default=True,
    help="What is new at a time: tasks that share questions or are declared a family, each task, "
    "or tasks whose names agree up to the first '/'.",
)
@click.option(
    "--metric", default="correctness", show_default=True, help="... or score, metric:NAME."
)
@click.option("--test-share", type=FiniteRange(0.01, 0.99), default=0.3, show_default=True)
@click.option(
    "--runs",
    type=click.IntRange(1),
    help="Random splits (5; 8 in traffic), or simulated worlds of each kind in proof (20).",
)
@click.option(
    "--samples", type=click.IntRange(100), help="At most so many samples, of each task alike."
)
@click.option("--hidden", default="1500,1500", show_default=True, help="The MLP's hidden layers.")
@click.option(
    "--labels",
    default=",".join(map(str, LABELS)),
    show_default=True,
    help="Labelled prompts of the protocol traffic.",
)
@click.option(
    "--share",
    type=FiniteRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the traffic that is like the benchmark: held-out samples of its tasks.",
)
@click.option("--racing", is_flag=True, help="In traffic, stop asking models that fall behind.")
@click.option(
    "--auc",
    "aucs",
    type=FiniteRange(0.5, 1, max_open=True),
    multiple=True,
    default=AUCS,
    show_default=True,
    help="Of the verifiers that the protocol cascade simulates; may be given several times.",
)
@click.option("-k", "k", type=click.IntRange(1), help="Neighbours of the predictors (eq. 7).")
@click.option("--seed", type=click.IntRange(0), help="Seed of every random choice.")
@click.option(
    "--embedders",
    metavar="KIND,KIND...",
    help=f"Run the proof with each of these embedders, and nothing else: {', '.join(EMBEDDERS)}.",
)
@engine_option
@ray_address_option
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--html", "html_path", type=click.Path(path_type=Path, dir_okay=False))
def evaluate_command(
    config_path: Path | None,
    source: Path | None,
    kind: str,
    embeddings: Path | None,
    protocols: tuple[str, ...],
    models: str | None,
    max_params: float | None,
    without_top: int,
    hold_out: HoldOut,
    metric: str,
    test_share: float,
    runs: int | None,
    samples: int | None,
    hidden: str,
    labels: str,
    share: float,
    racing: bool,
    aucs: tuple[float, ...],
    k: int | None,
    seed: int | None,
    embedders: str | None,
    engine: str | None,
    ray_address: str | None,
    json_path: Path | None,
    html_path: Path | None,
) -> None:
    """Run the paper's experiments on your own benchmark.

    What would you gain over the best single model, what would you save, and can you lose?
    """
    config = with_engine(_config(config_path, source, kind, k, seed), engine, ray_address)
    if embedders is not None:
        _only_known(click.get_current_context())
        with bars() as progress:
            kinds = _kinds(embedders)
            compared = compare_embedders(config, kinds, samples=samples, progress=progress)
        if json_path is not None:
            _write_json(json_path, compared)
        print_tables(console(), embedders_table(compared))
        return
    options = Options(
        protocols=tuple(dict.fromkeys(protocols)),
        models=[model.strip() for model in models.split(",")] if models else None,
        max_params=max_params,
        without_top=without_top,
        hold_out=hold_out,
        metric=metric,
        test_share=test_share,
        runs=runs,
        hidden=_sizes(hidden, "--hidden", "1500,1500"),
        samples=samples,
        labels=_sizes(labels, "--labels", "30,100"),
        share=share,
        racing=racing,
        aucs=tuple(sorted(set(aucs))),
    )
    if html_path is not None:
        require_charts()
    with bars() as progress:
        result = without_nan(evaluate(config, options, embeddings=embeddings, progress=progress))
    if json_path is not None:
        _write_json(json_path, result)
    if html_path is not None:
        _write(html_path, render_html(result))
    _show(documents_of(result), result.get("skipped", {}))


def _show(documents: dict[str, Any], skipped: dict[str, str]) -> None:
    out, summary = console(), summarise(documents)
    out.print(f"{summary.sign} {summary.headline}", style=_STYLES[summary.tone])
    for tile in summary.tiles:
        out.print(f"  {tile.sign} {tile.sentence} ({tile.pool})")
    print_tables(out, *(protocol_table(document) for document in documents.values()))
    counts = next(iter(documents.values()))["protocol"]["samples"]
    if counts["taken"] < counts["of"]:
        out.print(f"{counts['taken']:,} of {counts['of']:,} samples, of each task alike.")
    print_warnings(out, (f"{name} was skipped: {why}" for name, why in skipped.items()))


def _config(
    config_path: Path | None, source: Path | None, kind: str, k: int | None, seed: int | None
) -> BenchRouterConfig:
    if source is not None:
        block: dict[str, Any] = {"sources": [{"kind": kind, "path": str(source.resolve())}]}
        config = parse_config(block, folder=Path.cwd(), where="--source")
    elif config_path is not None:
        config = load_config(config_path)
    else:
        raise ConfigError("--config and --source are missing. Use --config FILE or --source PATH.")
    update: dict[str, Any] = {} if seed is None else {"seed": seed}
    if k is not None:
        update["routing"] = config.routing.model_copy(update={"k": k})
    return config.model_copy(update=update)


def _kinds(embedders: str) -> list[EmbedderKind]:
    kinds = list(dict.fromkeys(kind.strip() for kind in embedders.split(",")))
    for kind in kinds:
        if kind not in EMBEDDERS:
            raise ConfigError(f"--embedders names {kind!r}; give some of {', '.join(EMBEDDERS)}.")
    return cast("list[EmbedderKind]", kinds)


def _only_known(context: click.Context) -> None:
    """Refuse options that say something about protocols, which --embedders does not run."""
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name not in _WITH_EMBEDDERS:
            raise ConfigError(
                f"{option.opts[0]} has no effect with --embedders, which runs the proof alone. "
                f"Leave one of them out."
            )


def _sizes(text: str, option: str, example: str) -> tuple[int, ...]:
    """Read whole numbers of at least 1 with commas between."""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"{option}: {text!r} is not a list of sizes. Use one such as {example}."
        ) from error
    if min(sizes) < 1:
        raise ConfigError(f"{option}: {text!r} has a size below 1. Use one such as {example}.")
    return sizes


def _write_json(path: Path, document: dict[str, Any]) -> None:
    _write(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}). Use another path."
        ) from error
