"""`benchrouter traffic`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import polars as pl

from litellm_benchrouter.artifact.version import read_artifact
from litellm_benchrouter.cli.options import (
    artifacts_option,
    asked_for,
    config_option,
    console,
    json_option,
    open_store,
    print_facts,
    print_json,
    print_tables,
    required_config,
)
from litellm_benchrouter.config import BenchRouterConfig, load_config
from litellm_benchrouter.config.traffic import SPEND_LOGS
from litellm_benchrouter.costs.policy import Terms
from litellm_benchrouter.errors import ConfigError, TrafficError
from litellm_benchrouter.labelling.privacy import erase_labels
from litellm_benchrouter.progress import bars
from litellm_benchrouter.routing.router import BenchRouter
from litellm_benchrouter.traffic.collect import user_hash
from litellm_benchrouter.traffic.feedback import FeedbackStore
from litellm_benchrouter.traffic.figures import describe
from litellm_benchrouter.traffic.parts import store_of
from litellm_benchrouter.traffic.prompts import SCHEMA, origin_of, read_prompts, seconds_of
from litellm_benchrouter.traffic.spend_logs import SpendLogs
from litellm_benchrouter.views.traffic import facts, feedback_facts, masked, tables

_BY_LITELLM = (
    "LiteLLM erases its spend logs by general_settings.maximum_spend_logs_retention_period; "
    "--spend-logs empties the prompts and answers now, and keeps what they cost"
)


@click.command("traffic")
@config_option
@artifacts_option
@click.option("--show", is_flag=True, help="Show the text of examples; default: their lengths.")
@json_option
@click.option("--erase", is_flag=True, help="Erase prompts: all that the next options say.")
@click.option("--key", metavar="HASH", help="Of this key, as LiteLLM hashes it, or the key.")
@click.option("--user", metavar="ID", help="Of this user, of the key or of the request.")
@click.option("--before", metavar="DATE", help="From before this date or time, in UTC.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--spend-logs", "in_database", is_flag=True,
              help="Empty LiteLLM's spend logs as well; what was spent stays.")  # fmt: skip
def traffic_command(
    config_path: Path | None,
    artifacts: str | None,
    show: bool,
    as_json: bool,
    erase: bool,
    key: str | None,
    user: str | None,
    before: str | None,
    everything: bool,
    in_database: bool,
) -> None:
    """Show how much own traffic there is, and what it is like.

    Nobody is asked. With --erase prompts are erased instead; --key, --user and --before have to
    hold together. Exit code 2: the configuration or an option is wrong; 1: prompts could not be
    read or erased.
    """
    config = load_config(required_config(config_path))
    chosen = key is not None or user is not None or before is not None
    if not erase:
        if chosen or everything or in_database:
            raise ConfigError("--erase is missing. Add it, or leave out what it would erase.")
        _show(config, config_path, artifacts, show, as_json)
        return
    if chosen == everything:
        raise ConfigError("--erase needs --key, --user or --before, or --all alone. Add one.")
    _erase(config, _hashed(key), user, _moment(before), in_database, as_json)


def _show(
    config: BenchRouterConfig,
    config_path: Path | None,
    artifacts: str | None,
    show: bool,
    as_json: bool,
) -> None:
    traffic, of_feedback = config.traffic, FeedbackStore.of(config)
    has_prompts = traffic is None or traffic.origin is not None or traffic.collect is not None
    prompts = pl.DataFrame(schema=SCHEMA)
    if has_prompts or of_feedback is None:
        prompts = read_prompts(config)
    store, router = open_store(config_path, artifacts), None
    if store.current() is not None:
        folder = store.fetch(asked_for(store, None))
        router = BenchRouter(read_artifact(folder, config=config.embedder))
    with bars() as progress:
        document = describe(prompts, router, Terms(config.policy), progress, seed=config.seed)
    origin = origin_of(config) if has_prompts or of_feedback is None else None
    document = {"from": origin} | (document if show else masked(document))
    document["feedback"] = None if of_feedback is None else _feedback(of_feedback, router)
    if as_json:
        print_json(document)
        return
    out = console()
    place = [("From", document["from"])] if document["from"] else []
    print_facts(out, [*place, *facts(document), *feedback_facts(document["feedback"])])
    print_tables(out, *tables(document))


def _feedback(store: FeedbackStore, router: BenchRouter | None) -> dict[str, Any]:
    """Describe the scores that callers gave, and the alarms over the calls of the version."""
    version = None if router is None else router.artifact.manifest.version
    alarms = None if version is None else store.alarms(version)
    return {"store": store.name, **store.counts(), "alarms": alarms}


def _erase(
    config: BenchRouterConfig,
    key: str | None,
    user: str | None,
    before: float | None,
    in_database: bool,
    as_json: bool,
) -> None:
    erased: dict[str, int] = {}
    is_meant = _is_meant(key, user_hash(user), before)
    store = store_of(config)
    origin = None if config.traffic is None else config.traffic.origin
    has_labels = config.traffic_labels is not None and config.traffic_labels.exists()
    feedback = FeedbackStore.of(config)
    has_others = in_database or has_labels or feedback is not None
    if store is None and not has_others:
        where = origin_of(config)
        raise ConfigError(
            f"{_BY_LITELLM}."
            if where == SPEND_LOGS
            else f"{where}: these files are not the plugin's own. Erase where they are made."
        )
    texts: set[str] = set()
    if in_database and origin == SPEND_LOGS:
        texts |= {row["text"] for row in read_prompts(config).iter_rows(named=True)
                  if is_meant(row)}  # fmt: skip
    # By the texts of prompts their labels are found: a run that fails must not lose these first.
    try:
        texts |= {str(row.get("text")) for row in store.rows() if is_meant(row)} if store else set()
        of_labels = erase_labels(config, is_meant, texts)
        if store is not None:
            erased[store.name] = store.erase(is_meant)
    except OSError as error:
        raise TrafficError(
            f"{origin_of(config)}: not all prompts could be erased ({error.strerror}). Try again."
        ) from error
    if feedback is not None:
        erased[feedback.name] = feedback.erase(key, user_hash(user), before)
    if in_database:
        logs = SpendLogs.of(config)
        erased[logs.name] = logs.erase(key, user, before)
    if of_labels is not None:
        erased[of_labels[0]] = of_labels[1]
    if as_json:
        print_json({"erased": erased})
        return
    for place, n in erased.items():
        click.echo(f"{place}: {n:,} erased")
    if of_labels is not None and of_labels[1]:
        click.echo("The next benchrouter build leaves these labels out.")
    if store is None and origin not in (None, SPEND_LOGS):
        click.echo(f"{origin}: these files are not the plugin's own and stay.")
    if not in_database and origin == SPEND_LOGS:
        click.echo(f"{_BY_LITELLM}.")


def _is_meant(
    key: str | None, user: str | None, before: float | None
) -> Callable[[Mapping[str, Any]], bool]:
    def is_meant(row: Mapping[str, Any]) -> bool:
        at = seconds_of(row.get("time"))
        return (
            (key is None or row.get("key") == key)
            and (user is None or user in (row.get("user"), row.get("end_user")))
            and (before is None or at is None or at < before)
        )

    return is_meant


def _hashed(key: str | None) -> str | None:
    """Return LiteLLM's hash of a key; one that is hashed already stays."""
    if key is None or not key.startswith("sk-"):
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def _moment(before: str | None) -> float | None:
    seconds = None if before is None else seconds_of(before)
    if before is not None and seconds is None:
        raise ConfigError(f"--before: {before!r} is no date. Write it as 2026-11-29.")
    return seconds
