"""`benchrouter serve`."""

from __future__ import annotations

import errno
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from litellm_benchrouter.cli.options import (
    artifacts_option,
    config_option,
    open_store,
    required_config,
)
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import QUALITY
from litellm_benchrouter.errors import BenchRouterError, ConfigError
from litellm_benchrouter.labelling.people import Rater, journal_of
from litellm_benchrouter.page import Page
from litellm_benchrouter.page.rate import RatingPage
from litellm_benchrouter.page.server import PageServer, is_loopback


@click.command("serve")
@config_option
@artifacts_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Listen where other machines can ask; the page knows no users and no passwords.",
)
@click.option(
    "--allow-host", "names", multiple=True, metavar="NAME", help="A name under which it is asked."
)
@click.option(
    "--rate", is_flag=True, help="Rate answers to own traffic side by side, blind, instead."
)
def serve_command(
    config_path: Path | None,
    artifacts: str | None,
    host: str,
    port: int,
    allow_remote: bool,
    names: tuple[str, ...],
    rate: bool,
) -> None:
    """Show decisions, the version and its history as a page.

    Ctrl-C ends it. With --rate, the page shows the answers that `label --traffic` has kept, and
    what you call right, partly right or wrong becomes their label.
    """
    if not is_loopback(host) and not allow_remote:
        raise ConfigError(
            f"--host: {host} lets other machines ask, and the page has no passwords. Add "
            "--allow-remote if that is meant, or leave --host out."
        )
    page: Page | RatingPage
    if rate:
        own = load_config(required_config(config_path))
        page = RatingPage(Rater(journal_of(own), own.aliases, own.seed))
    else:
        policy = QUALITY if config_path is None else load_config(config_path).policy
        page = Page(open_store(config_path, artifacts), config_path=config_path, policy=policy)
    try:
        server = PageServer(page, host, port, (host, *names))
    except OSError as error:
        raise BenchRouterError(_cannot_listen(host, port, error)) from error
    with server:
        if not is_loopback(host):
            click.echo(f"Warning: whoever reaches {server.url} can ask and read it all.", err=True)
        problem = page.warm_up()
        if problem is not None:
            click.echo(f"Warning: {problem}", err=True)
        _end_on_signals(server)
        click.echo(f"The page is at {server.url} (Ctrl-C ends it).")
        server.serve_forever()
        click.echo("Ended.")


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; end what listens there, or give another --port."
    return f"cannot listen on port {port} of {host} ({error.strerror}); give another --port."


def _end_on_signals(server: PageServer) -> None:
    """End on Ctrl-C, and on SIGTERM as service managers send it, between two requests.

    An exception raised from a signal can strike where Python only prints and forgets it.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        # It waits for the loop to end, which is in this thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
