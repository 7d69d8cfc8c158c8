"""Progress of long work, reported in the same way whether or not a terminal shows it."""

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
    """A reporter of stages of known length; a stage yields a function that takes the steps done."""

    def stage(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Open a stage of `total` steps."""
        ...


class Silent:
    """A reporter that shows nothing and keeps the seconds that each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """See `Stages.stage`."""
        start = time.perf_counter()
        yield lambda _: None
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Bars(Silent):
    """A reporter that shows a bar with the time left."""

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
def bars() -> Iterator[Silent]:
    """Show progress bars on standard error, if it is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:  # rich would leave an empty line even there
        yield Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)
