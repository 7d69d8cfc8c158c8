"""`benchrouter ask`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from litellm_benchrouter.cli.options import console, json_option, print_json
from litellm_benchrouter.conversation.ask import read_ask
from litellm_benchrouter.errors import ConfigError


@click.command("ask")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@json_option
def ask_command(files: tuple[Path, ...], as_json: bool) -> None:
    """Show which text of a request body would be routed on.

    A FILE holds the JSON of a request to chat completions, completions, responses, messages or
    generateContent; or an object with it under `request` and the client's `headers` beside it.
    """
    asks = [{"file": str(path), **_ask_of(path)} for path in files]
    if as_json:
        print_json(asks[0] if len(asks) == 1 else asks)
        return
    out = console()
    for ask in asks:
        if len(asks) > 1:
            out.print(ask["file"], style="bold", markup=False)
        out.print(f"{ask['kind']}: {ask['text'] or ''}".rstrip(" :"), markup=False)


def _ask_of(path: Path) -> dict[str, Any]:
    request, headers = read_request(path)
    ask = read_ask(request.get("messages"), request, headers)
    return {"kind": ask.kind, "text": None if ask.kind == "side" else ask.text}


def read_request(path: Path) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return a request body and the client's headers from a file, as the command takes it."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}). Give one request body a file.") from error
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise ConfigError(f"{path}: a request body must be an object, got {kind}.")
    request, headers = document.get("request", document), document.get("headers")
    if not isinstance(request, dict):
        raise ConfigError(f"{path}: `request` must be an object, got {type(request).__name__}.")
    return request, headers if isinstance(headers, Mapping) else {}
