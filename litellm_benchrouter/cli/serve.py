"""`benchrouter serve`."""

from __future__ import annotations

import errno
import signal
import threading
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import click

from litellm_benchrouter.cli.options import artifacts_option, config_option, open_store
from litellm_benchrouter.config import load_config
from litellm_benchrouter.costs.policy import QUALITY
from litellm_benchrouter.errors import BenchRouterError, ConfigError
from litellm_benchrouter.page.server import PageServer, is_loopback
from litellm_benchrouter.page.views import MetricsSource, Page


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
@click.option("--metrics-url", help="The proxy's metrics, as http://127.0.0.1:4000/metrics.")
@click.option(
    "--metrics-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with a key of the proxy, which asks for one unless it is told otherwise.",
)
def serve_command(
    config_path: Path | None,
    artifacts: str | None,
    host: str,
    port: int,
    allow_remote: bool,
    names: tuple[str, ...],
    metrics_url: str | None,
    metrics_key_file: Path | None,
) -> None:
    """Show decisions, the current version and its history as a page, until Ctrl-C."""
    if not is_loopback(host) and not allow_remote:
        raise ConfigError(
            f"--host {host} lets other machines ask, and the page has no passwords; "
            "give --allow-remote as well if that is meant, or leave --host out."
        )
    config = None if config_path is None else load_config(config_path)
    store = open_store(config_path, artifacts)
    metrics = _metrics(metrics_url, metrics_key_file)
    page = Page(
        store,
        config_path=config_path,
        policy=QUALITY if config is None else config.policy,
        metrics=metrics,
    )
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


def _metrics(url: str | None, key_file: Path | None) -> MetricsSource | None:
    if url is None:
        if key_file is not None:
            raise ConfigError("--metrics-key-file needs --metrics-url, the proxy's metrics.")
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"--metrics-url {url!r} is no address; http://127.0.0.1:4000/metrics is.")
    if key_file is None:
        return MetricsSource(url)
    try:
        key = key_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--metrics-key-file {key_file} cannot be read as a line of ASCII; name another."
        ) from error
    if not key or not key.isprintable():
        raise ConfigError(f"--metrics-key-file {key_file} does not hold one key; name another.")
    return MetricsSource(url, key)


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
