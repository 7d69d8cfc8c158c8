"""LiteLLM's spend logs in PostgreSQL: prompts read, and erased so that what was spent stays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.config.base import read_proxy_yaml
from litellm_benchrouter.errors import ConfigError, TrafficError
from litellm_benchrouter.store.remote import redacted

if TYPE_CHECKING:
    import psycopg

_ENVIRONMENT = "os.environ/"  # as LiteLLM writes it
_CONNECT_SECONDS = 10
_BLOCK = 200  # rows that are fetched at once: bodies may be large
# Of a URL, what Prisma adds to it PostgreSQL's own client does not know.
_KNOWN = ("application_name", "options", "sslcert", "sslkey", "sslmode", "sslrootcert")
_COLUMNS = (
    *("call_type", "api_key", "spend", "startTime", "endTime", "model", "model_group", "user"),
    *("end_user", "metadata", "status", "proxy_server_request"),
)
_SELECT = f"""
SELECT {", ".join(f'"{name}"' for name in _COLUMNS)} FROM "LiteLLM_SpendLogs"
WHERE jsonb_typeof("proxy_server_request") = 'object' AND "proxy_server_request" <> '{{}}'
ORDER BY "startTime" DESC
"""
_ERASE = """
UPDATE "LiteLLM_SpendLogs" SET "messages" = '{}', "response" = '{}', "proxy_server_request" = '{}'
WHERE ("messages" <> '{}' OR "response" <> '{}' OR "proxy_server_request" <> '{}')
"""


class SpendLogs:
    """The table `LiteLLM_SpendLogs`; `store_prompts_in_spend_logs` fills it with prompts."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._secrets = {parts.password or "", unquote(parts.password or "")} - {""}
        given = dict(parse_qsl(parts.query))
        query = {name: given[name] for name in _KNOWN if name in given}
        if given.get("schema"):
            query["options"] = (
                f"{query.get('options', '')} -c search_path={given['schema']}".strip()
            )
        self._url = urlunsplit(parts._replace(query=urlencode(query).replace("+", "%20")))
        self.name = f"LiteLLM_SpendLogs at {parts.hostname or 'localhost'}"

    @classmethod
    def of(cls, config: BenchRouterConfig) -> SpendLogs:
        """Return those of the database that the configuration, the proxy's YAML or the environment
        names; raise ConfigError where none does."""
        path = config.embedder.proxy_config
        settings: Any = (read_proxy_yaml(path) if path else {}).get("general_settings")
        of_proxy = settings.get("database_url") if isinstance(settings, dict) else None
        url = (None if config.traffic is None else config.traffic.database_url) or of_proxy
        if isinstance(url, str) and url.startswith(_ENVIRONMENT):
            url = os.environ.get(url.removeprefix(_ENVIRONMENT))
        url = url or os.environ.get("DATABASE_URL")
        if not isinstance(url, str) or not url.startswith(("postgresql://", "postgres://")):
            raise ConfigError(
                "no PostgreSQL of LiteLLM is known. Set DATABASE_URL, general_settings."
                "database_url or benchrouter.traffic.database_url to postgresql://USER:PASSWORD@HOST/NAME."
            )
        return cls(url)

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows that hold a request, the newest first."""
        with self._connected() as connection, connection.cursor(name="benchrouter") as cursor:
            cursor.itersize = _BLOCK
            cursor.execute(_SELECT)
            for row in cursor:
                yield dict(zip(_COLUMNS, row, strict=True))

    def erase(self, key: str | None, user: str | None, before: float | None) -> int:
        """Empty requests and answers of a key, of a user, or from before a time; return how many.

        Several of them have to hold together; without any, all are emptied.
        """
        statement = _ERASE
        values: list[str | float] = []
        if key is not None:
            statement, values = statement + ' AND "api_key" = %s', [*values, key]
        if user is not None:
            statement += ' AND ("user" = %s OR "end_user" = %s)'
            values += [user, user]
        if before is not None:
            statement += " AND \"startTime\" < to_timestamp(%s) AT TIME ZONE 'UTC'"
            values.append(before)
        with self._connected() as connection:
            return connection.execute(statement.encode(), values).rowcount

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            import psycopg
        except ImportError as error:
            install = 'pip install "litellm-benchrouter[postgres]"'
            raise ConfigError(
                f"spend logs need a library that is not installed: {install}."
            ) from error
        try:
            with psycopg.connect(self._url, connect_timeout=_CONNECT_SECONDS) as connection:
                yield connection
        except psycopg.Error as error:
            reason = redacted(error, self._secrets)
            raise TrafficError(
                f"{self.name} cannot be used ({reason}). Check the database and its URL."
            ) from None  # the cause may hold a password
