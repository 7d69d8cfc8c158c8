"""What `benchrouter label` shows."""

from __future__ import annotations

from typing import Any

from litellm_benchrouter.cli.options import console, number, print_json, table
from litellm_benchrouter.labelling.journal import Imported
from litellm_benchrouter.labelling.run import Run
from litellm_benchrouter.labelling.task import LabelTask


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
    out = console()
    title = f"Task {run.task.name}: {len(run.chosen)} of {len(run.task.questions)} inputs"
    columns = ("calls", "$/M in", "$/M out", "about $", "at most $")
    shown = table(title, "model", *columns, right=columns)
    for line in run.plan.lines:
        price = line.price
        shown.add_row(
            line.model,
            str(line.n_calls),
            number(price.input * 1e6 if price else None, 2),
            number(price.output * 1e6 if price else None, 2),
            number(line.expected_usd, 4),
            number(line.most_usd, 4),
        )
    plan = run.plan
    shown.add_section()
    shown.add_row(
        "all", str(plan.n_calls), "", "", number(plan.expected_usd, 4), number(plan.most_usd, 4)
    )
    if plan.lines:
        out.print(shown)
    for model, why in run.unusable.items():
        out.print(f"Warning: {model} is not asked: {why}.", style="yellow", highlight=False)
    if plan.unpriced:
        unpriced = ", ".join(plan.unpriced)
        out.print(
            f"Warning: no price is known of {unpriced}; it is not in the estimate. Give "
            f"input_price_usd_per_mtok and output_price_usd_per_mtok under benchrouter.models.",
            style="yellow", highlight=False,
        )  # fmt: skip


def show_labels(document: dict[str, Any], task: LabelTask) -> None:
    """Show what the journal holds now, and what to do next."""
    out = console()
    columns = ("labels", "mean score", "answered now", "failed now", "spent now $")
    shown = table("Labels", "model", *columns, right=columns)
    for entry in document["models"]:
        shown.add_row(
            entry["model"],
            str(entry["labels"]),
            number(entry["mean_score"]),
            str(entry["answers_now"]),
            str(entry["failures_now"]),
            number(entry["spent_usd_now"], 4),
        )
    judge = document["judge"]
    if judge is not None:
        shown.add_row(
            judge["model"], "", "", str(judge["verdicts_now"]), str(judge["failures_now"]),
            number(judge["spent_usd_now"], 4),
        )  # fmt: skip
    out.print(shown)
    for entry in [*document["models"], *([judge] if judge else [])]:
        if entry["given_up"]:
            out.print(
                f"Warning: {entry['model']} was asked no more: {entry['given_up']}",
                style="yellow", highlight=False,
            )  # fmt: skip
        if entry.get("cut_now"):
            out.print(
                f"Warning: {entry['cut_now']} answers of {entry['model']} were cut at --max-tokens "
                f"and scored as they are.",
                style="yellow", highlight=False,
            )  # fmt: skip
    for warning in document["warnings"]:
        out.print(f"Warning: {warning}", style="yellow", highlight=False)
    for line in _closing(document, task):
        out.print(line, highlight=False)


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


def show_import(task: LabelTask, done: Imported, as_json: bool) -> None:
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
    out.print(
        f"{done.added} labels added, {done.replaced} replaced, {done.known} known already: "
        f"{task.path}",
        highlight=False,
    )
    if done.strangers:
        task.warnings.append(
            f"{done.strangers} rows have prompts that are not among the task's inputs and were "
            f"left out."
        )
    for warning in task.warnings:
        out.print(f"Warning: {warning}", style="yellow", highlight=False)
    if not task.is_configured:
        out.print(f"Add the task to the configuration: tasks: {{{_entry(task)}}}", highlight=False)
    out.print("Run benchrouter build to take them in.", highlight=False)
