"""The command `benchrouter`. It may import every other package; each command loads its own."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from litellm_benchrouter.errors import BenchRouterError

_COMMANDS = {
    "ask": ("ask", "Show which text of a request body would be routed on."),
    "build": ("build", "Build an artifact from the configured benchmarks and make it current."),
    "check": ("check", "Show what a build would take benchmark results for."),
    "demo": ("demo", "Show the router at work: a real proxy, mock models, nothing to set up."),
    "doctor": ("inspect", "Check an installation: what is well, what is not, and what to do."),
    "evaluate": ("evaluate", "Run the paper's experiments on your own benchmark."),
    "explain": ("inspect", "Show which model would get PROMPT, or a named task, and why."),
    "feedback": ("feedback", "Take in scores of answers from FILE, by the ids of their calls."),
    "fetch": ("fetch", "Download the public benchmark NAME, and print the YAML that reads it."),
    "init": ("init", "Write the `benchrouter:` block and the callback into a proxy's YAML."),
    "inspect": ("inspect", "Show what an artifact holds, after verifying it."),
    "label": ("label", "Ask the models a few inputs of a task, and keep the scored answers."),
    "prune": ("versions", "Remove all but the versions that were built or published last."),
    "publish": ("versions", "Make VERSION serve, after verifying its files."),
    "refresh": (
        "refresh",
        "Label own traffic, build, prove, publish, report: one line of cron.",
    ),
    "rollback": ("versions", "Return to the version that served before."),
    "schema": ("schema", "Print the JSON schema of the configuration."),
    "serve": ("serve", "Show decisions, the version and its history as a page."),
    "traffic": ("traffic", "Show how much own traffic there is, and what it is like."),
    "verify": ("versions", "Check the files of a version as the proxy does."),
    "versions": ("versions", "List the versions, the last built or published first."),
}
"""Each command's module here, and its line in `benchrouter --help`, which loads no module."""


class _Commands(click.Group):
    """Commands that are imported when one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"litellm_benchrouter.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litellm-benchrouter")
def cli() -> None:
    """Route LiteLLM requests by benchmark results that already exist."""


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and not in a traceback."""
    try:
        cli()
    except BenchRouterError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
