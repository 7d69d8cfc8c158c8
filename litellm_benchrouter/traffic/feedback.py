"""Answered calls and the scores that callers gave them; no prompt is among them.

One table: in the proxy's PostgreSQL, in a schema of its own, which LiteLLM's migrations leave
alone; without a database in a SQLite file beside the prompts that are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from litellm_benchrouter.config import BenchRouterConfig, FeedbackConfig
from litellm_benchrouter.errors import TrafficError
from litellm_benchrouter.traffic.alarms import (
    REFERENCE,
    SIMILARITY_DRIFT,
    cusum,
    success_alarm,
)
from litellm_benchrouter.traffic.calls import CallDatabase, CallFile, CallTable
from litellm_benchrouter.traffic.database import database_url

FILE = "feedback.sqlite"

_WATCHED = 10_000  # newest calls that the alarms look at
_DAY = 86_400.0


@dataclass(frozen=True)
class AnsweredCall:
    """A call that was answered, as far as feedback on it needs it.

    Attributes
    ----------
    call_id : str
        LiteLLM's, as in the header `x-litellm-call-id`.
    key : str
        LiteLLM's hash of the caller's key; "" where the proxy asks for none.
    user, end_user : str or None
        As kept prompts have them (`user_hash`).
    time : float
        When it was answered, in seconds since 1970.
    model : str or None
        The benchmark model that answered.
    version : str
        That decided.
    expected : float or None
        The probability of success that was predicted for the model.
    propensity : float or None
        Of the model, where the request was explored.
    unlike : float or None
        How much less like the labelled prompts than they are like one another, in standard
        deviations; None without labels or a vector.
    """

    call_id: str
    key: str
    user: str | None
    end_user: str | None
    time: float
    model: str | None
    version: str
    expected: float | None
    propensity: float | None
    unlike: float | None


_OF_CALL = tuple(field.name for field in fields(AnsweredCall))
_INSERT = f"""
INSERT INTO {{table}} ({", ".join(f'"{name}"' for name in _OF_CALL)})
VALUES ({", ".join(["%s"] * len(_OF_CALL))})
ON CONFLICT (call_id, "key") DO UPDATE SET
{", ".join(f'"{name}" = excluded."{name}"' for name in _OF_CALL)}, score = NULL, given = NULL,
reference = NULL, comment = NULL
"""


def _without_nul(text: str) -> str:
    """Return a text; one with a NUL, which PostgreSQL cannot hold, is refused."""
    if "\0" in text:
        raise ValueError("a NUL character (U+0000) cannot be stored. Leave it out")
    return text


_Text = Annotated[str, AfterValidator(_without_nul)]


class Score(BaseModel):
    """What a caller says of an answer: a score in [0, 1], and texts where there are any."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    call_id: Annotated[_Text, Field(min_length=1, max_length=500)]
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    reference: Annotated[_Text, Field(max_length=32_768)] | None = None
    comment: Annotated[_Text, Field(max_length=4_096)] | None = None


def parsed_score(content: object) -> Score:
    """Return a score from JSON, as bytes, or from a mapping; raise ValueError with what is wrong.

    Nothing of the content is in the message.
    """
    try:
        if isinstance(content, bytes):
            return Score.model_validate_json(content)
        return Score.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "body"
        what = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {what}") from None


class FeedbackStore:
    """The table of answered calls and their scores, of which the oldest go.

    Every method raises TrafficError where the place cannot be used; ConfigError says which library
    is missing.
    """

    def __init__(
        self, table: CallTable, config: FeedbackConfig, clock: Callable[[], float] = time.time
    ) -> None:
        self._table, self._config, self._clock = table, config, clock
        self._made = False

    @classmethod
    def of(cls, config: BenchRouterConfig) -> FeedbackStore | None:
        """Return the store of a configuration; None where it keeps no feedback.

        Raises TrafficError where the URL of the database is none.
        """
        feedback = None if config.traffic is None else config.traffic.feedback
        if feedback is None:
            return None
        url = database_url(config)
        if url is not None and find_spec("psycopg") is not None:
            return cls(CallDatabase(url), feedback)
        return cls(CallFile((feedback.to or Path()) / FILE), feedback)

    @property
    def name(self) -> str:
        """The place, for people."""
        return self._table.name

    @property
    def file(self) -> Path | None:
        """The file that is written; None where it is a database's table."""
        return self._table.file

    def add(self, calls: Sequence[AnsweredCall]) -> None:
        """Add answered calls; an id that its key has used before stands for the new call."""
        if not self._made:
            self._table.make()
            self._made = True
        try:
            self._run(_INSERT, [astuple(call) for call in calls])
        except TrafficError:
            self._made = False  # it may have been removed
            raise

    def give(self, scores: Sequence[Score], key: str | None = None) -> list[bool]:
        """Note all scores or none, the last of a call; say of each whether there is such a call.

        With a key only its own calls count, without one those of all.
        """
        if not self._table.exists():
            return [False] * len(scores)
        of_key = "" if key is None else ' AND "key" = %s'
        statement = (
            "UPDATE {table} SET score = %s, given = %s, reference = %s, comment = %s "
            f"WHERE call_id = %s{of_key}"
        )
        owner, now = () if key is None else (key,), self._clock()
        rows = [(s.score, now, s.reference, s.comment, s.call_id, *owner) for s in scores]
        counts = self._table.run_each(statement.format(table=self._table.table), rows)
        return [n > 0 for n in counts]

    def latest(
        self, most: int, columns: Sequence[str], present: str, version: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Return columns of the newest calls that have a value in one of them, the oldest first."""
        if not self._table.exists():
            return []
        names = ", ".join(f'"{name}"' for name in columns)
        of_version = "" if version is None else " AND version = %s"
        statement = (
            f'SELECT {names} FROM {{table}} WHERE "{present}" IS NOT NULL{of_version} '
            "ORDER BY time DESC LIMIT %s"
        )
        values = (most,) if version is None else (version, most)
        return self._table.select(statement.format(table=self._table.table), values)[::-1]

    def alarms(self, version: str) -> dict[str, dict[str, Any] | None]:
        """Return the two alarms over the calls of a version; None where nothing can be said."""
        unlike = self.latest(_WATCHED, ("time", "unlike"), "unlike", version)
        rated = self.latest(_WATCHED, ("time", "score", "expected"), "score", version)
        rated = [row for row in rated if row[2] is not None]
        similarity = cusum([row[1] for row in unlike], SIMILARITY_DRIFT) if unlike else None
        scores = np.array(rated, dtype=np.float64).reshape(-1, 3)
        success = success_alarm(scores[:, 1], scores[:, 2])
        first = (0, REFERENCE)
        for alarm, rows, skipped in zip((similarity, success), (unlike, rated), first, strict=True):
            if alarm is not None:
                at = alarm["at"]
                alarm["time"] = None if at is None else rows[skipped + at][0]
        return {"similarity": similarity, "success": success}

    def counts(self) -> dict[str, Any]:
        """Count the calls, and those that have a score, and average these."""
        rows: list[tuple[Any, ...]] = [(0, 0, None, 0)]
        if self._table.exists():
            rows = self._table.select(
                "SELECT COUNT(*), COUNT(score), AVG(score), COUNT(CASE WHEN score IS NOT NULL THEN "
                f"propensity END) FROM {self._table.table}", ()
            )  # fmt: skip
        return dict(zip(("calls", "scores", "mean", "explored"), rows[0], strict=True))

    def erase(self, key: str | None, user: str | None, before: float | None) -> int:
        """Remove rows of a key, of a user's hash, or from before a time; all that hold together."""
        if not self._table.exists():
            return 0
        conditions, values = ["1 = 1"], list[Any]()
        if key is not None:
            conditions, values = [*conditions, '"key" = %s'], [*values, key]
        if user is not None:
            conditions.append('("user" = %s OR end_user = %s)')
            values += [user, user]
        if before is not None:
            conditions, values = [*conditions, "time < %s"], [*values, before]
        return self._run("DELETE FROM {table} WHERE " + " AND ".join(conditions), [values])

    def prune(self) -> None:
        """Remove what is too old, and the oldest of too many, those without a score apart."""
        if not self._table.exists():
            return
        oldest = self._clock() - self._config.keep_days * _DAY
        self._run("DELETE FROM {table} WHERE time < %s", [(oldest,)])
        for which in ("score IS NULL", "score IS NOT NULL"):
            self._run(
                f"DELETE FROM {{table}} WHERE {which} AND time <= (SELECT time FROM {{table}} "
                f"WHERE {which} ORDER BY time DESC LIMIT 1 OFFSET %s)",
                [(self._config.most,)],
            )

    def _run(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        return self._table.run(statement.format(table=self._table.table), rows)
