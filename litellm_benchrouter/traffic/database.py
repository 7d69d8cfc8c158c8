"""LiteLLM's PostgreSQL, as the configuration, the proxy's YAML or the environment names it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.errors import ConfigError, TrafficError
from litellm_benchrouter.store.secrets import redacted

if TYPE_CHECKING:
    import psycopg

_ENVIRONMENT = "os.environ/"  # as LiteLLM writes it
_CONNECT_SECONDS = 10
# Of a URL, what Prisma adds to it PostgreSQL's own client does not know.
_KNOWN = ("application_name", "options", "sslcert", "sslkey", "sslmode", "sslrootcert")


def database_url(config: BenchRouterConfig) -> str | None:
    """Return the URL of LiteLLM's PostgreSQL; None where nothing names one."""
    path = config.embedder.proxy_config
    settings: Any = (read_proxy_yaml(path) if path else {}).get("general_settings")
    of_proxy = settings.get("database_url") if isinstance(settings, dict) else None
    url = (None if config.traffic is None else config.traffic.database_url) or of_proxy
    if isinstance(url, str) and url.startswith(_ENVIRONMENT):
        url = os.environ.get(url.removeprefix(_ENVIRONMENT))
    url = url or os.environ.get("DATABASE_URL")
    is_one = isinstance(url, str) and url.startswith(("postgresql://", "postgres://"))
    return str(url) if is_one else None


class Postgres:
    """A PostgreSQL server, by its URL; no error that it raises holds the password.

    Raises TrafficError where the URL is none.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:  # what it says may quote the password
            raise TrafficError(
                "the URL of LiteLLM's PostgreSQL cannot be read. Write postgresql://USER:PASSWORD@"
                "HOST/NAME, with other characters than letters and digits of the password as %5B."
            ) from None
        self._secrets = {parts.password or "", unquote(parts.password or "")} - {""}
        given = dict(parse_qsl(parts.query))
        query = {name: given[name] for name in _KNOWN if name in given}
        if given.get("schema"):
            query["options"] = (
                f"{query.get('options', '')} -c search_path={given['schema']}".strip()
            )
        self._url = urlunsplit(parts._replace(query=urlencode(query).replace("+", "%20")))
        self.host = parts.hostname or "localhost"

    @contextmanager
    def connected(self, what: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Open a connection for a transaction; `what` is used there, for messages.

        Raises ConfigError without psycopg, TrafficError where the server does not do as it is told.
        """
        try:
            import psycopg
        except ImportError as error:
            install = 'pip install "litellm-benchrouter[postgres]"'
            raise ConfigError(
                f"{what} needs a library that is not installed: {install}."
            ) from error
        try:
            with psycopg.connect(self._url, connect_timeout=_CONNECT_SECONDS) as connection:
                yield connection
        except psycopg.Error as error:
            reason = redacted(error, self._secrets)
            raise TrafficError(
                f"{what} cannot be used ({reason}). Check the database and its URL."
            ) from None  # the cause may hold a password
