"""`benchrouter label --traffic`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.cli.label_report import (
    agree,
    end,
    note_mended,
    plan_document,
    show_labels,
    show_plan,
)
from litellm_benchrouter.cli.options import console, print_json, print_tables, print_warnings
from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.guarded.racing import FEWEST_ASKED
from litellm_benchrouter.labelling.given import Imported, import_labels
from litellm_benchrouter.labelling.journal import Journal, writing
from litellm_benchrouter.labelling.metrics import PEOPLE
from litellm_benchrouter.labelling.models import models_named
from litellm_benchrouter.labelling.own_traffic import (
    N,
    OwnTraffic,
    metric_of_traffic,
)
from litellm_benchrouter.labelling.people import agreement, journal_of
from litellm_benchrouter.labelling.privacy import recipients
from litellm_benchrouter.labelling.run import AskOptions, Run, do_run, plan_run, summary
from litellm_benchrouter.labelling.task import benchmark_models
from litellm_benchrouter.progress import bars
from litellm_benchrouter.upstream import Proxy
from litellm_benchrouter.views import Table, number


def label_traffic(
    config: BenchRouterConfig,
    proxy: Proxy,
    metric: str | None,
    options_of: Callable[[int], AskOptions],
    *,
    gold: Path | None,
    ask: bool,
    racing: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Take in labels by people, and ask models random prompts of own traffic."""
    path, options = journal_of(config), options_of(N)
    chosen_metric = metric_of_traffic(config, metric) if ask else None
    open_journal = nullcontext(Journal(path, config.aliases)) if dry_run else None
    racing = racing and chosen_metric != PEOPLE  # who is out is not known before they have rated
    with open_journal or writing(path, config.aliases) as journal:
        own = OwnTraffic.open(config, journal, options.n, racing=racing)
        if not dry_run:
            note_mended(journal, own.task)
        taken = None
        if gold is not None and not dry_run:
            models = benchmark_models(config, proxy) | models_named(config, proxy)
            noted = {question.key: question.noted for question in own.task.questions}
            taken = import_labels(gold, journal, noted, models, config.aliases, noted.__getitem__)
        if chosen_metric is None:
            _show({} if as_json else None, own, taken, as_json=as_json)
            return
        run = plan_run(config, proxy, own.task, chosen_metric, journal, options, own.choose)
        plan = plan_document(run) | {"recipients": recipients(run), "racing": racing}
        if not as_json:
            show_plan(run)
        click.echo(_recipients(run, plan["recipients"], racing=racing), err=True)
        if dry_run:
            if as_json:
                print_json(plan)
            return
        agree(run.plan, options.limit_usd, yes, may_stop=racing)
        with bars() as progress:
            batches = None if options.rescore else own.batches
            saying = partial(click.echo, err=True)
            asking = asyncio.run(do_run(run, progress, saying, batches))
        document = summary(run, asking) | {"plan": plan}
    _show(document, own, taken, as_json=as_json)
    end(run, asking, document)


def _recipients(run: Run, places: dict[str, dict[str, Any]], *, racing: bool) -> str:
    """Say where prompts go, before anything is asked."""
    if not places:
        return "No prompt is sent out: nothing is missing."
    each = "; ".join(
        f"{place}: {of['prompts']} ({', '.join(of['models'])})" for place, of in places.items()
    )
    n = len({job.question.key for job in run.plan.jobs})
    races = racing and sum(line.model != run.judge for line in run.plan.lines) > FEWEST_ASKED
    race = " A race usually asks about half of the calls." if races else ""
    return f"{n} prompts of own traffic are sent out, at most so many to {each}.{race}"


def _show(
    document: dict[str, Any] | None, own: OwnTraffic, taken: Imported | None, *, as_json: bool
) -> None:
    paid = sum(own.journal.paid_usd.values())
    people = agreement(own.journal) | {"paid_usd": paid}
    if taken is not None:
        people |= {"added": taken.added, "replaced": taken.replaced, "left_out": taken.strangers}
    if as_json:
        usual = {"task": own.task.name, "labels_file": str(own.task.path),
                 "warnings": own.task.warnings}  # fmt: skip
        print_json(usual | (document or {}) | {"people": people})
        return
    out = console()
    if taken is not None:
        out.print(
            f"{taken.added} labels by people added, {taken.replaced} in place of others, "
            f"{taken.known} known already: {own.task.path}"
        )
        if taken.strangers:
            print_warnings(out, [f"{taken.strangers} rows are of prompts that are not traffic's."])
    if people["compared"]:
        rows = [
            [each["model"], str(each["compared"]), number(each["bias"])] for each in people["bias"]
        ]
        title = f"A judge beside people: {people['agreement']:.0%} of {people['compared']} agree"
        print_tables(out, Table(title, ("Model", "Compared", "Judge's bias"), rows))
    if document is None:
        print_warnings(out, own.task.warnings)
        out.print(f"Answers and verdicts cost ${paid:.4f} so far.")
        out.print("Run benchrouter build to take them in.")
    else:
        show_labels(document, own.task)
