"""Progress of long work, reported in the same way whether or not a terminal shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress as rich
from rich.console import Console


class Progress:
    """A reporter of stages that shows nothing and keeps the seconds that each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Open a stage of `total` steps; yields a function that takes the steps done."""
        start = time.perf_counter()
        yield lambda _: None
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class ProgressBars(Progress):
    """A reporter that shows a bar with the time left."""

    def __init__(self, bars: rich.Progress) -> None:
        super().__init__()
        self._bars = bars

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """See `Progress.stage`."""
        bar = self._bars.add_task(name, total=total)
        with super().stage(name, total):
            yield lambda done: self._bars.advance(bar, done)
        self._bars.update(bar, completed=total)


@contextmanager
def bars() -> Iterator[Progress]:
    """Show progress bars on standard error, if it is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:  # rich would leave an empty line even there
        yield Progress()
        return
    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=console) as shown:
        yield ProgressBars(shown)
