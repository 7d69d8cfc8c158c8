"""How long work says how far it is, without knowing whether anybody watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Stages(Protocol):
    """Opens a stage of known length; what it yields is called with the steps done since."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Open a stage of `total` steps."""
        ...


class Silent:
    """Shows nothing and keeps the time that each stage took.

    Attributes
    ----------
    seconds : dict of str to float
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """See `Stages.stage`."""
        start = time.perf_counter()
        yield lambda _: None
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Bars(Silent):
    """Shows a bar with the time left on a terminal, and nothing where there is none."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """See `Stages.stage`."""
        bar = self._progress.add_task(name, total=total)
        with super().stage(name, total):
            yield lambda done: self._progress.advance(bar, done)
        self._progress.update(bar, completed=total)


@contextmanager
def bars() -> Iterator[Bars]:
    """Show progress bars on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bars(progress)
