"""`benchrouter schema`: what may stand in the configuration, for editors and checkers."""

from __future__ import annotations

import json

import click

from litellm_benchrouter.config.schema import proxy_schema


@click.command("schema")
def schema_command() -> None:
    """Print the JSON schema of the configuration.

    It is that of a proxy's YAML with the `benchrouter:` block.
    An editor takes it from a line at the head of the YAML, as
    `# yaml-language-server: $schema=benchrouter.schema.json`.
    """
    click.echo(json.dumps(proxy_schema(), indent=1))
