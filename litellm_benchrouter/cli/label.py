"""`benchrouter label`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.cli.options import (
    config_option,
    console,
    json_option,
    print_json,
    print_tables,
    print_warnings,
    required_config,
)
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ConfigError, LabellingError
from litellm_benchrouter.labelling.journal import Imported, Journal, import_labels, writing
from litellm_benchrouter.labelling.models import CallOptions, models_named, read_proxy
from litellm_benchrouter.labelling.plan import Plan
from litellm_benchrouter.labelling.run import AskOptions, Run, do_run, plan_run, summary
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
from litellm_benchrouter.views import Table, number

_INTERRUPTED = 130


@click.command("label")
@config_option
@click.option("--task", "task_name", help="A task of the configuration, or new.")
@click.option("--starter", is_flag=True, help="Ask all models the prompts that come with this "
              "package, and write a benchmark to benchmarks/starter.jsonl.")  # fmt: skip
@click.option(
    "--inputs",
    type=click.Path(path_type=Path, dir_okay=False),
    help='JSONL with {"prompt": ..., "reference": ...} a line; default: the task\'s own inputs.',
)
@click.option(
    "--n",
    type=click.IntRange(1),
    help="Inputs that are to have labels, those of earlier runs included; default: 10, of the "
    "starter set all.",
)
@click.option(
    "--metric",
    help="exact, contains, f1, regex:PATTERN, json:FIELD.PATH or judge:MODEL; default: `metric:` "
    "of the task.",
)
@click.option("--models", help="Whom to ask, with commas between; default: all known deployments.")
@click.option("--labels", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Take in labels made elsewhere, and ask nobody: rows with prompt (or "
              "prompt_sha256), model, score.")  # fmt: skip
@click.option("--rescore", is_flag=True, help="Score the stored answers again; ask no candidate.")
@click.option("--limit-usd", type=click.FloatRange(0), help="Most that this run may spend.")
@click.option("--max-tokens", type=click.IntRange(1), default=2048, show_default=True)
@click.option("--temperature", type=click.FloatRange(0), help="Default: the provider's own.")
@click.option("--concurrency", type=click.IntRange(1), default=8, show_default=True)
@click.option("--retries", type=click.IntRange(0), default=4, show_default=True)
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=120.0,
              show_default=True, help="Seconds for one answer.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be asked and its cost; ask nobody.")
@click.option("--yes", is_flag=True, help="Do not ask whether to go on.")
@json_option
def label_command(
    config_path: Path | None,
    task_name: str | None,
    starter: bool,
    inputs: Path | None,
    n: int | None,
    metric: str | None,
    models: str | None,
    labels: Path | None,
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

    Nothing is asked before the cost is shown and agreed to. Every answer is on the disk before the
    next step: run it again after a failure, and only what is missing is asked. Exit code 2: the
    configuration or an option is wrong; 1: no label came; 130: interrupted.
    """
    path = required_config(config_path)
    config = load_config(path)
    proxy = read_proxy(path)
    if starter and (task_name or inputs or metric or labels):
        raise ConfigError("--starter brings tasks, inputs and checks; give none of your own.")
    if not starter and not task_name:
        raise ConfigError("--task or --starter is required: which inputs are to have labels?")
    task = starter_task(config) if starter else open_task(config, task_name or "", inputs)
    if labels is not None:
        models_known = benchmark_models(config, proxy) | models_named(config, proxy)
        _import(labels, task, models_known, config.aliases, as_json)
        return
    named = [name for part in (models or "").split(",") if (name := part.strip())]
    options = AskOptions(
        n or (len(task.questions) if starter else 10), named or None, rescore, concurrency, retries,
        CallOptions(max_tokens, temperature, timeout), limit_usd,
    )  # fmt: skip
    chosen_metric = CHECKS if starter else metric_of(config, task.name, metric)
    with (
        nullcontext(Journal(task.path, config.aliases))
        if dry_run
        else writing(task.path, config.aliases) as journal
    ):
        if not dry_run:
            _note_mended(journal, task)
        planned = plan_starter if starter else plan_run
        run = planned(config, proxy, task, chosen_metric, journal, options)
        if not as_json:
            _show_plan(run)
        if dry_run:
            if as_json:
                print_json(_plan_document(run))
            return
        _agree(run.plan, limit_usd, yes)
        with bars() as progress:
            asking = asyncio.run(do_run(run, progress, lambda text: click.echo(text, err=True)))
        results = write_results(run, path.parent / RESULTS) if starter else None
        document = summary(run, asking) | ({"results": results} if results else {})
    if as_json:
        print_json(document | {"plan": _plan_document(run)})
    else:
        _show_labels(document, task)
    if document["stopped"] == "interrupted":
        sys.exit(_INTERRUPTED)
    _require_labels(run, document)


def _require_labels(run: Run, document: dict[str, Any]) -> None:
    if run.plan.jobs and not _n_labels_now(document):
        why = "; ".join(
            f"{entry['model']}: {entry['given_up']}"
            for entry in [*document["models"], document["judge"] or {}]
            if entry.get("given_up")
        )
        raise LabellingError(
            f"no label came of {run.plan.n_calls} questions"
            + (f" ({why})" if why else f"; {run.task.path} has the reasons")
            + "."
        )


def _import(
    labels: Path, task: LabelTask, models: set[str], aliases: dict[str, str], as_json: bool
) -> None:
    with writing(task.path, aliases) as journal:
        _note_mended(journal, task)
        keys = {question.key for question in task.questions}
        done = import_labels(labels, journal, keys, models, aliases)
    _show_import(task, done, as_json)


def _n_labels_now(document: dict[str, Any]) -> int:
    judge = document["judge"]
    if judge is not None:
        return int(judge["verdicts_now"])
    return sum(entry["answers_now"] for entry in document["models"])


def _note_mended(journal: Journal, task: LabelTask) -> None:
    if journal.mended:
        task.warnings.append(
            f"the last line of {journal.path} was left unfinished by a run that was killed "
            f"({journal.mended} bytes) and is cut off."
        )


def _agree(plan: Plan, limit_usd: float | None, yes: bool) -> None:
    """Go on only where somebody agreed to the cost."""
    if not plan.n_calls:
        return
    cost = f"about ${plan.expected_usd:.4f} (at most ${plan.most_usd:.4f})"
    if limit_usd is not None and plan.expected_usd > limit_usd:
        raise ConfigError(
            f"--limit-usd: {limit_usd:g} is below the estimate, {cost}. Raise it, lower --n, or "
            f"name fewer --models."
        )
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            f"--yes is required without a terminal: {plan.n_calls} calls cost {cost}. Use "
            f"--dry-run to see the plan only."
        )
    click.confirm(f"{plan.n_calls} calls for {cost}. Go on?", abort=True, err=True)


def _plan_document(run: Run) -> dict[str, Any]:
    """Return the plan as JSON holds it."""
    return {
        "task": run.task.name,
        "inputs": len(run.chosen),
        "calls": run.plan.n_calls,
        "models": [
            {
                "model": line.model,
                "calls": line.n_calls,
                "input_price_usd_per_mtok": line.price and line.price.input * 1e6,
                "output_price_usd_per_mtok": line.price and line.price.output * 1e6,
                "expected_usd": line.expected_usd,
                "most_usd": line.most_usd,
            }
            for line in run.plan.lines
        ],
        "expected_usd": run.plan.expected_usd,
        "most_usd": run.plan.most_usd,
        "unusable": run.unusable,
        "warnings": run.task.warnings,
    }


def _show_plan(run: Run) -> None:
    """Show what is to be asked, and what it will cost."""
    out, plan = console(), run.plan
    rows = [
        [
            line.model,
            str(line.n_calls),
            *(number(p and p * 1e6, 2) for p in (line.price and line.price.input,
                                                 line.price and line.price.output)),
            *(number(usd, 4) for usd in (line.expected_usd, line.most_usd)),
        ]
        for line in plan.lines
    ]  # fmt: skip
    total = ["all", str(plan.n_calls), "", ""]
    rows.append([*total, number(plan.expected_usd, 4), number(plan.most_usd, 4)])
    title = f"Task {run.task.name}: {len(run.chosen)} of {len(run.task.questions)} inputs"
    columns = ("Model", "Calls", "$/M in", "$/M out", "About $", "At most $")
    if plan.lines:
        print_tables(out, Table(title, columns, rows, marked=len(rows) - 1))
    print_warnings(out, (f"{model} is not asked: {why}." for model, why in run.unusable.items()))
    if plan.unpriced:
        unpriced = ", ".join(plan.unpriced)
        warning = (
            f"no price is known of {unpriced}, so the estimate leaves them out. Set "
            f"input_price_usd_per_mtok and output_price_usd_per_mtok under benchrouter.models."
        )
        print_warnings(out, [warning])


def _show_labels(document: dict[str, Any], task: LabelTask) -> None:
    """Show what the journal holds now, and what to do next."""
    out, judge = console(), document["judge"]
    rows = [
        [
            entry["model"],
            str(entry["labels"]),
            number(entry["mean_score"]),
            str(entry["answers_now"]),
            str(entry["failures_now"]),
            number(entry["spent_usd_now"], 4),
        ]
        for entry in document["models"]
    ]
    if judge is not None:
        now = [str(judge["verdicts_now"]), str(judge["failures_now"])]
        rows.append([judge["model"], "", "", *now, number(judge["spent_usd_now"], 4)])
    columns = ("Model", "Labels", "Mean score", "Answered now", "Failed now", "Spent now $")
    print_tables(out, Table("Labels", columns, rows))
    for entry in [*document["models"], *([judge] if judge else [])]:
        if entry["given_up"]:
            print_warnings(out, [f"{entry['model']} was asked no more: {entry['given_up']}"])
        if entry.get("cut_now"):
            cut = f"{entry['cut_now']} answers of {entry['model']} were cut at --max-tokens"
            print_warnings(out, [f"{cut} and scored as they are."])
    print_warnings(out, document["warnings"])
    for line in _closing(document, task):
        out.print(line)


def _closing(document: dict[str, Any], task: LabelTask) -> list[str]:
    lines = []
    if document["rescored"]:
        lines.append(f"{document['rescored']} stored answers were scored by {document['metric']}.")
    if document["unscored"]:
        lines.append(f"{document['unscored']} answers have no score yet; run it again.")
    match document["stopped"]:
        case "limit":
            lines.append("Stopped: another call could go above --limit-usd.")
        case "judge":
            lines.append("Stopped: the judge cannot be asked; answers are kept for the next run.")
        case "interrupted":
            lines.append("Interrupted; what was answered is kept. Run it again to go on.")
    if results := document.get("results"):
        lines.append(f"{results['file']} has {results['prompts']} prompts with the scores of "
                     f"{len(results['models'])} models.")  # fmt: skip
    lines.append(
        f"Spent ${document['spent_usd_now']:.4f}. {document['inputs']['labelled']} of "
        f"{document['inputs']['all']} inputs have labels: {document['labels_file']}"
    )
    if not any(entry["labels"] for entry in document["models"]):
        return lines
    if not task.is_configured:
        lines.append(f"Add the task to the configuration: tasks: {{{_entry(task)}}}")
    lines.append("Run benchrouter build to take them in.")
    return lines


def _entry(task: LabelTask) -> str:
    return f"{task.name}: {{inputs: {task.inputs}}}"


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
        out.print(f"Add the task to the configuration: tasks: {{{_entry(task)}}}")
    out.print("Run benchrouter build to take them in.")
