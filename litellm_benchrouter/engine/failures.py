"""What pieces of work raise in a cluster's workers, and what the cluster does not manage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from threadpoolctl import threadpool_limits

from litellm_benchrouter.errors import BenchRouterError, EngineError

P = TypeVar("P")
R = TypeVar("R")

RETRIES = 10
"""Of a piece whose worker died."""


@dataclass(frozen=True)
class Failed:
    """What a function raised on purpose; Ray would wrap it in a traceback."""

    error: BenchRouterError


def work(function: Callable[[P], R], piece: P) -> R | Failed:
    """Work on a piece, in a worker, as `LocalEngine` does: on one thread."""
    try:
        with threadpool_limits(limits=1):
            return function(piece)
    except BenchRouterError as error:
        return Failed(error)


def result(worked: Any) -> Any:
    """Return what `work` returned, or raise what the function raised."""
    if isinstance(worked, Failed):
        raise worked.error
    return worked


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Say in a sentence what the cluster did not manage; a bug of ours keeps its traceback."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from error
    except ray.exceptions.RayError as error:
        raise gave_up(_first_line(error)) from error


def gave_up(why: str) -> EngineError:
    """Return the error for what a cluster did not manage."""
    return EngineError(
        f"the Ray cluster gave up ({why}); see its logs, or run the command again with "
        f"--engine local."
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line), type(error).__name__)
