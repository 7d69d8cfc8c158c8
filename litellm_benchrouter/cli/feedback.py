"""`benchrouter feedback`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.cli.options import (
    config_option,
    json_option,
    print_json,
    required_config,
)
from litellm_benchrouter.config import load_config
from litellm_benchrouter.errors import ConfigError, SourceError
from litellm_benchrouter.sources.json_files import json_object
from litellm_benchrouter.traffic.feedback import FeedbackStore, Score, parsed_score
from litellm_benchrouter.views import count

_SHOWN = 5


@click.command("feedback")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@config_option
@json_option
def feedback_command(file: Path, config_path: Path | None, as_json: bool) -> None:
    """Take in scores of answers from FILE, by the ids of their calls.

    FILE is CSV or JSONL with call_id and score. A call's id is the header x-litellm-call-id of its
    response; a score is in [0, 1]; reference and comment are optional. Calls of every key may be
    scored, and the last score of a call counts. Exit code 2: the configuration or a line is wrong,
    and nothing was taken in; 1: the scores could not be stored.
    """
    config = load_config(required_config(config_path))
    store = FeedbackStore.of(config)
    if store is None:
        raise ConfigError(
            "benchrouter.traffic keeps no feedback. Set `feedback: {}` or `collect: {}` there."
        )
    scores = list(_scores(file))
    recorded = store.give(scores)
    pairs = zip(scores, recorded, strict=True)
    unknown = [score.call_id for score, is_recorded in pairs if not is_recorded]
    if as_json:
        print_json({"store": store.name, "recorded": sum(recorded), "unknown": unknown})
        return
    click.echo(f"{store.name}: {count(sum(recorded), 'score')} recorded")
    if unknown:
        more = ", ..." if len(unknown) > _SHOWN else ""
        click.echo(
            f"{count(len(unknown), 'call')} not known, or no longer kept: "
            f"{', '.join(unknown[:_SHOWN])}{more}"
        )


def _scores(file: Path) -> Iterator[Score]:
    """Yield the scores of a file; raise SourceError where a line is none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{file}: it cannot be read as UTF-8 text ({error}).") from error
    rows = _csv(text, file) if file.suffix.lower() == ".csv" else _jsonl(text)
    for place, fields in rows:
        try:
            yield parsed_score(fields)
        except ValueError as error:
            raise SourceError(
                f"{file}, line {place}: {error}. Give call_id and a score in [0, 1]."
            ) from error


def _csv(text: str, file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(StringIO(text, newline=""))
    try:
        for row in reader:
            yield reader.line_num, {key or "": value for key, value in row.items() if value != ""}
    except csv.Error as error:
        raise SourceError(
            f"{file}, line {reader.line_num + 1}: it is no CSV that can be read ({error}). Correct "
            "the line."
        ) from error


def _jsonl(text: str) -> Iterator[tuple[int, Any]]:
    # Not splitlines, which would also end a line at a U+2028 within a text.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, json_object(line.encode())
