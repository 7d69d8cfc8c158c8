"""The table of answered calls: in LiteLLM's PostgreSQL, or in a SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from litellm_benchrouter.errors import TrafficError
from litellm_benchrouter.traffic.database import Postgres

_WAIT_SECONDS = 5.0  # for who else writes
_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
  call_id TEXT NOT NULL, "key" TEXT NOT NULL, "user" TEXT, end_user TEXT,
  time DOUBLE PRECISION NOT NULL, model TEXT, version TEXT, expected DOUBLE PRECISION,
  propensity DOUBLE PRECISION, unlike DOUBLE PRECISION,
  score DOUBLE PRECISION, given DOUBLE PRECISION, reference TEXT, comment TEXT,
  PRIMARY KEY (call_id, "key"))
"""
_INDEX = "CREATE INDEX IF NOT EXISTS benchrouter_calls_time ON {table} (time)"


class CallTable(Protocol):
    """A place of the table, and how statements, with `%s` for values, are executed there."""

    name: str
    table: str
    file: Path | None

    def exists(self) -> bool: ...

    def make(self) -> None: ...

    def run(self, statement: str, rows: Sequence[Sequence[Any]]) -> int: ...

    def run_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[int]: ...

    def select(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]: ...


class CallFile:
    """A SQLite file that its owner alone may read."""

    table = "calls"

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, str(path)
        self.file: Path | None = path

    def exists(self) -> bool:
        with self._in_words():
            with suppress(FileNotFoundError):  # another error says that the place cannot be used
                return self._path.stat().st_size > 0
            return False

    def make(self) -> None:
        with self._in_words():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        with self._connected() as connection:
            for statement in (_TABLE, _INDEX):
                connection.execute(statement.format(table=self.table))

    def run(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        return sum(self.run_each(statement, rows))

    def run_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        with self._connected() as connection:
            connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
            connection.execute("BEGIN IMMEDIATE")
            counts = [connection.execute(statement.replace("%s", "?"), row).rowcount
                      for row in rows]  # fmt: skip
            connection.execute("COMMIT")
            return counts

    def select(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            return connection.execute(statement.replace("%s", "?"), values).fetchall()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._in_words():
            # `rw` makes no file, which others could read: `make` does.
            place = f"{self._path.absolute().as_uri()}?mode=rw"
            opened = sqlite3.connect(place, timeout=_WAIT_SECONDS, isolation_level=None, uri=True)
            with closing(opened) as connection:
                yield connection

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrafficError(
                f"{self.name} cannot be used ({error.strerror}). Make its folder one that can be "
                "written, or name another in benchrouter.traffic.feedback.to."
            ) from error
        except sqlite3.Error as error:
            raise TrafficError(f"{self.name} cannot be used ({error}). Try again.") from error


class CallDatabase:
    """A schema of our own in LiteLLM's PostgreSQL."""

    table = "benchrouter.calls"
    file: Path | None = None

    def __init__(self, url: str) -> None:
        self._server = Postgres(url)
        self.name = f"{self.table} at {self._server.host}"

    def exists(self) -> bool:
        return self.select("SELECT to_regclass(%s)", (self.table,)) != [(None,)]

    def make(self) -> None:
        statements = ("CREATE SCHEMA IF NOT EXISTS benchrouter", _TABLE, _INDEX)
        with self._server.connected(self.name) as connection:
            # Several workers at once: `IF NOT EXISTS` does not keep them from colliding.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('benchrouter.calls'))")
            for statement in statements:
                connection.execute(statement.format(table=self.table).encode())

    def run(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        with self._server.connected(self.name) as connection:
            self._limit(connection)
            with connection.cursor() as cursor:
                cursor.executemany(statement.encode(), rows)
                return cursor.rowcount

    def run_each(self, statement: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        with self._server.connected(self.name) as connection:
            self._limit(connection)
            return [connection.execute(statement.encode(), row).rowcount for row in rows]

    def select(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._server.connected(self.name) as connection:
            self._limit(connection)
            return connection.execute(statement.encode(), values).fetchall()

    def _limit(self, connection: Any) -> None:
        connection.execute(f"SET LOCAL statement_timeout = {1_000 * _WAIT_SECONDS:.0f}")
