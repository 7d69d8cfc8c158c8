"""`benchrouter demo`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from litellm_benchrouter.cli.options import console, json_option, print_json, table
from litellm_benchrouter.demo.run import Answer, ask, prepare, proxy
from litellm_benchrouter.progress import bars


@click.command("demo")
@json_option
def demo_command(as_json: bool) -> None:
    """Show the router at work: a real proxy with mock models, real requests, nothing to set up.

    The benchmark is synthetic and the models do not exist; no key and no download is needed.
    """
    out = console()
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory(prefix="benchrouter-demo-") as name:
        folder = Path(name)
        with bars() as stages:
            built = prepare(folder, stages)
            with (
                stages.stage("asking a LiteLLM proxy", 1) as advance,
                proxy(folder) as (address, key),
            ):
                ask(address, key, answers.append)
                advance(1)
    if as_json:
        print_json([vars(answer) | {"headers": dict(answer.headers)} for answer in answers])
        return
    counts = built.manifest.counts
    out.print(
        f"Built version {built.manifest.version} from a synthetic benchmark: {counts['samples']} "
        f"prompts, {counts['tasks']} tasks, {counts['models']} models that do not exist.",
        highlight=False,
    )
    shown = table("What the proxy answered", "prompt", "task", "method", "pick", "why")
    for answer in answers:
        shown.add_row(
            answer.prompt + (" (streamed)" if answer.streamed else ""),
            answer.task or "-",
            answer.headers["method"],
            answer.headers["model"],
            answer.headers["reason"],
        )
    out.print(shown)
    out.print(
        "The proxy has been stopped. Next: config.example.yaml shows the same with real models.",
        highlight=False,
    )
