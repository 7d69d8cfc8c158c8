"""LiteLLM's spend logs in PostgreSQL: prompts read, and erased so that what was spent stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from litellm_benchrouter.config import BenchRouterConfig
from litellm_benchrouter.errors import ConfigError
from litellm_benchrouter.traffic.database import Postgres, database_url

_BLOCK = 200  # rows that are fetched at once: bodies may be large
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
        self._server = Postgres(url)
        self.name = f"LiteLLM_SpendLogs at {self._server.host}"

    @classmethod
    def of(cls, config: BenchRouterConfig) -> SpendLogs:
        """Return those of the database that the configuration, the proxy's YAML or the environment
        names; raise ConfigError where none does."""
        url = database_url(config)
        if url is None:
            raise ConfigError(
                "no PostgreSQL of LiteLLM is known. Set DATABASE_URL, general_settings."
                "database_url or benchrouter.traffic.database_url to postgresql://USER:PASSWORD@HOST/NAME."
            )
        return cls(url)

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows that hold a request, the newest first."""
        with (
            self._server.connected(self.name) as connection,
            connection.cursor(name="benchrouter") as cursor,
        ):
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
        with self._server.connected(self.name) as connection:
            return connection.execute(statement.encode(), values).rowcount
