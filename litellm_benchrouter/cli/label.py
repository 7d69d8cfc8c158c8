"""`benchrouter label`."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path

import click

from litellm_benchrouter.cli.label_report import (
    agree,
    end,
    entry,
    note_mended,
    plan_document,
    show_labels,
    show_plan,
)
from litellm_benchrouter.cli.label_traffic import label_traffic
from litellm_benchrouter.cli.options import (
    FiniteRange,
    config_option,
    console,
    json_option,
    print_json,
    print_warnings,
    required_config,
)
from litellm_benchrouter.config import load_config
from litellm_benchrouter.labelling.given import Imported, import_labels
from litellm_benchrouter.labelling.journal import Journal, writing
from litellm_benchrouter.labelling.metrics import METRICS, PEOPLE
from litellm_benchrouter.labelling.models import CallOptions, models_named, read_proxy
from litellm_benchrouter.labelling.run import AskOptions, do_run, plan_run, summary
from litellm_benchrouter.labelling.starter import (
    CHECKS,
    RESULTS,
    plan_starter,
    starter_task,
    write_results,
)
from litellm_benchrouter.labelling.task import (
    LabelTask,
    benchmark_models,
    metric_of,
    open_task,
)
from litellm_benchrouter.progress import bars

_N = 10


@click.command("label")
@config_option
@click.option("--task", "task_name", help="A task of the configuration, or new.")
@click.option("--starter", is_flag=True, help="Ask all models the prompts that come with this "
              "package, and write a benchmark to benchmarks/starter.jsonl.")  # fmt: skip
@click.option("--traffic", is_flag=True, help="Label prompts of own traffic instead of a task.")
@click.option(
    "--inputs",
    type=click.Path(path_type=Path, dir_okay=False),
    help='JSONL with {"prompt": ..., "reference": ...} a line; default: the task\'s own inputs.',
)
@click.option(
    "--n",
    type=click.IntRange(1),
    help="Inputs that are to have labels, those of earlier runs included; default: 10, of traffic "
    "100, of the starter set all.",
)
@click.option(
    "--metric",
    help=f"{METRICS}; of traffic also {PEOPLE.name}, who rate the answers by `serve --rate`. "
    "Default: `metric:` of the task, or of traffic.",
)
@click.option("--models", help="Whom to ask, with commas between; default: all known deployments.")
@click.option("--labels", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Take in labels made elsewhere, and ask nobody: rows with prompt (or "
              "prompt_sha256), model, score.")  # fmt: skip
@click.option("--gold", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="With --traffic: take in labels by people, in place of a judge's: rows with "
              "prompt (or prompt_sha256), model, score. Without --n nobody is asked.")  # fmt: skip
@click.option("--racing/--no-racing", default=True, show_default=True,
              help="With --traffic: ask no more of models that cannot be the best.")  # fmt: skip
@click.option("--rescore", is_flag=True, help="Score the stored answers again; ask no candidate.")
@click.option("--limit-usd", type=FiniteRange(0), help="Most that this run may spend.")
@click.option("--max-tokens", type=click.IntRange(1), default=2048, show_default=True)
@click.option("--temperature", type=FiniteRange(0), help="Default: the provider's own.")
@click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True)
@click.option("--retries", type=click.IntRange(0), default=4, show_default=True)
@click.option("--timeout", type=FiniteRange(0, min_open=True), default=120.0,
              show_default=True, help="Seconds for one answer.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be asked and its cost; ask nobody.")
@click.option("--yes", is_flag=True, help="Do not ask whether to go on.")
@json_option
def label_command(
    config_path: Path | None,
    task_name: str | None,
    starter: bool,
    traffic: bool,
    inputs: Path | None,
    n: int | None,
    metric: str | None,
    models: str | None,
    labels: Path | None,
    gold: Path | None,
    racing: bool,
    rescore: bool,
    limit_usd: float | None,
    max_tokens: int,
    temperature: float | None,
    concurrency: int,
    retries: int,
    timeout: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Ask the models a few inputs of a task, and keep the scored answers.

    With --traffic they are prompts of own traffic, drawn at random.

    Nothing is asked before the cost is shown and agreed to. Every answer is on the disk before the
    next step: run it again after a failure, and only what is missing is asked. Exit code 2: the
    configuration or an option is wrong; 1: no label came; 130: interrupted.
    """
    path = required_config(config_path)
    config = load_config(path)
    proxy = read_proxy(path)
    named = [name for part in (models or "").split(",") if (name := part.strip())]

    def options(usual: int) -> AskOptions:
        return AskOptions(
            n or usual, named or None, rescore, concurrency, retries,
            CallOptions(max_tokens, temperature, timeout), limit_usd,
        )  # fmt: skip

    if traffic:
        if starter or task_name is not None or inputs is not None or labels is not None:
            raise click.UsageError("--traffic excludes --starter, --task, --inputs and --labels.")
        label_traffic(
            config, proxy, metric, options, gold=gold, ask=gold is None or n is not None,
            racing=racing, dry_run=dry_run, yes=yes, as_json=as_json,
        )  # fmt: skip
        return
    if starter and (task_name or inputs or metric or labels):
        raise click.UsageError("--starter excludes --task, --inputs, --metric and --labels.")
    if (task_name is None and not starter) or gold is not None:
        raise click.UsageError(
            "--task, --starter or --traffic is missing; --gold goes with --traffic."
        )
    task = starter_task(config) if starter else open_task(config, task_name or "", inputs)
    if labels is not None:
        models_known = benchmark_models(config, proxy) | models_named(config, proxy)
        with writing(task.path, config.aliases) as journal:
            note_mended(journal, task)
            keys = {question.key for question in task.questions}
            done = import_labels(labels, journal, keys, models_known, config.aliases)
        _show_import(task, done, as_json)
        return
    chosen_metric = CHECKS if starter else metric_of(config, task.name, metric)
    plan = plan_starter if starter else plan_run
    with (
        nullcontext(Journal(task.path, config.aliases))
        if dry_run
        else writing(task.path, config.aliases) as journal
    ):
        if not dry_run:
            note_mended(journal, task)
        usual = len(task.questions) if starter else _N
        run = plan(config, proxy, task, chosen_metric, journal, options(usual))
        if not as_json:
            show_plan(run)
        if dry_run:
            if as_json:
                print_json(plan_document(run))
            return
        agree(run.plan, limit_usd, yes)
        with bars() as progress:
            asking = asyncio.run(do_run(run, progress, lambda text: click.echo(text, err=True)))
        results = write_results(run, path.parent / RESULTS) if starter else None
        document = summary(run, asking) | ({"results": results} if results else {})
    if as_json:
        print_json(document | {"plan": plan_document(run)})
    else:
        show_labels(document, task)
    end(run, asking, document)


def _show_import(task: LabelTask, done: Imported, as_json: bool) -> None:
    """Show what came of a file of labels."""
    if as_json:
        print_json(
            {
                "task": task.name,
                "labels_file": str(task.path),
                "added": done.added,
                "replaced": done.replaced,
                "known": done.known,
                "left_out": done.strangers,
                "warnings": task.warnings,
            }
        )
        return
    out = console()
    counts = f"{done.added} labels added, {done.replaced} replaced, {done.known} known already"
    out.print(f"{counts}: {task.path}")
    strangers = [
        f"{done.strangers} rows were left out: their prompts are not among the task's inputs."
    ]
    print_warnings(out, [*task.warnings, *(strangers if done.strangers else [])])
    if not task.is_configured:
        out.print(f"Add the task to the configuration: tasks: {{{entry(task)}}}")
    out.print("Run benchrouter build to take them in.")
