"""`benchrouter`: one command a file."""

from __future__ import annotations

import sys

import click

from litellm_benchrouter.cli.build import build_command
from litellm_benchrouter.cli.demo import demo_command
from litellm_benchrouter.cli.doctor import doctor_command
from litellm_benchrouter.cli.evaluate import evaluate_command
from litellm_benchrouter.cli.explain import explain_command
from litellm_benchrouter.cli.inspect import inspect_command
from litellm_benchrouter.cli.label import label_command
from litellm_benchrouter.cli.prune import prune_command
from litellm_benchrouter.cli.publish import publish_command, rollback_command
from litellm_benchrouter.cli.serve import serve_command
from litellm_benchrouter.cli.verify import verify_command
from litellm_benchrouter.cli.versions import versions_command
from litellm_benchrouter.errors import BenchRouterError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litellm-benchrouter")
def cli() -> None:
    """Route LiteLLM requests by benchmark results that already exist."""


cli.add_command(build_command)
cli.add_command(demo_command)
cli.add_command(doctor_command)
cli.add_command(evaluate_command)
cli.add_command(explain_command)
cli.add_command(inspect_command)
cli.add_command(label_command)
cli.add_command(prune_command)
cli.add_command(publish_command)
cli.add_command(rollback_command)
cli.add_command(verify_command)
cli.add_command(versions_command)
cli.add_command(serve_command)


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and not in a traceback."""
    try:
        cli()
    except BenchRouterError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
