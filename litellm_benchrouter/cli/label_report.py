"""What `benchrouter label` shows: the plan and its cost before, the labels after."""

from __future__ import annotations

import sys
from typing import Any

import click

from litellm_benchrouter.cli.options import console, print_tables, print_warnings
from litellm_benchrouter.errors import ConfigError, LabellingError
from litellm_benchrouter.labelling.asking import Asking
from litellm_benchrouter.labelling.journal import Journal
from litellm_benchrouter.labelling.metrics import PEOPLE
from litellm_benchrouter.labelling.plan import Plan
from litellm_benchrouter.labelling.run import Run
from litellm_benchrouter.labelling.task import LabelTask
from litellm_benchrouter.views import Table, number

INTERRUPTED = 130
"""The exit code of a run that was interrupted."""


def _n_labels_now(document: dict[str, Any]) -> int:
    judge = document["judge"]
    if judge is not None:
        return int(judge["verdicts_now"])
    return sum(entry["answers_now"] for entry in document["models"])


def agree(plan: Plan, limit_usd: float | None, yes: bool, *, may_stop: bool = False) -> None:
    """Go on only where somebody agreed to the cost, which `may_stop` short of the plan."""
    if not plan.n_calls:
        return
    cost = f"about ${plan.expected_usd:.4f} (at most ${plan.most_usd:.4f})"
    if not may_stop and limit_usd is not None and plan.expected_usd > limit_usd:
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


def plan_document(run: Run) -> dict[str, Any]:
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


def show_plan(run: Run) -> None:
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


def show_labels(document: dict[str, Any], task: LabelTask) -> None:
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
        todo = (
            "rate them: benchrouter serve --rate"
            if document["metric"] == PEOPLE.name
            else ("run it again")
        )
        lines.append(f"{document['unscored']} answers have no score yet; {todo}.")
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
        lines.append(f"Add the task to the configuration: tasks: {{{entry(task)}}}")
    lines.append("Run benchrouter build to take them in.")
    return lines


def entry(task: LabelTask) -> str:
    return f"{task.name}: {{inputs: {task.inputs}}}"


def note_mended(journal: Journal, task: LabelTask) -> None:
    if journal.mended:
        task.warnings.append(
            f"the last line of {journal.path} was left unfinished by a run that was killed "
            f"({journal.mended} bytes) and is cut off."
        )


def end(run: Run, asking: Asking | None, document: dict[str, Any]) -> None:
    """End the command with 130 where it was interrupted; raise LabellingError if no label came."""
    if document["stopped"] == "interrupted":
        sys.exit(INTERRUPTED)
    if asking is not None and asking.n_jobs and not _n_labels_now(document):
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
