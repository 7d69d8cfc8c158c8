"""What a check says: that all is well, or what is not and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is, from good to bad."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes
    ----------
    check : str
        What was looked at; programs may rely on the name.
    status : Status
    found : str
        What was found, for people.
    remedy : str
        What to do about it; empty where all is well.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Status.OK, found)


def warn(check: str, found: str, remedy: str) -> Finding:
    """It works, but not as its operator may think."""
    return Finding(check, Status.WARN, found, remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    """Requests are not routed, or soon will not be."""
    return Finding(check, Status.FAIL, found, remedy)


def listed(names: list[str], most: int = 8) -> str:
    """Return names for a sentence; of many, the first."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
