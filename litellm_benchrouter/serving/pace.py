"""Is a decision quick enough to be taken on the event loop itself?

Handing work to a thread and back wakes two threads that compete for the interpreter, which in a
busy proxy costs several times what a short decision does. So decisions of an embedder that only
computes are taken in place once they have shown that they are quick; all others go to a thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from litellm_benchrouter.embedders import LexicalEmbedder, PrecomputedEmbedder, StaticEmbedder
from litellm_benchrouter.routing.router import BenchRouter

# They compute, and wait for no model and no network.
_ONLY_COMPUTE = frozenset({LexicalEmbedder.kind, PrecomputedEmbedder.kind, StaticEmbedder.kind})
_SLOW = 0.002  # seconds; a fifth of what may hold the event loop
_RECENT = 50  # decisions that are remembered
_SLOW_SHARE = 0.1
_KEPT = 256  # kinds of decisions

Kind = tuple[str | None, *tuple[str, ...]]
"""What a first decision prepares for the next: a named task or None, and the models on offer."""


class Pace:
    """What is known about how long the decisions of one router take.

    Parameters
    ----------
    router : BenchRouter

    Attributes
    ----------
    clock : callable
        What the next decision is timed by.
    only_computes : bool
        Whether the embedder waits for no model and no network.
    """

    clock: Callable[[], float]

    def __init__(self, router: BenchRouter) -> None:
        self.only_computes = router.artifact.embedder.kind in _ONLY_COMPUTE
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._kinds: dict[Kind, None] = {}
        self.clock = time.perf_counter

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of decisions that were taken, or prepared."""
        return list(self._kinds)

    def knows(self, kind: Kind) -> bool:
        """Say whether what the decisions of a kind need is there."""
        return kind in self._kinds

    def is_quick(self, kind: Kind, *, embedded: bool = False) -> bool:
        """Say whether to decide in place; `embedded`: the prompt's vector is there already.

        The first decision of a kind is prepared by long computations that are remembered, so it is
        never quick. A named task needs no embedding.
        """
        only_computes = embedded or kind[0] is not None or self.only_computes
        if kind not in self._kinds or not only_computes:
            return False
        return sum(self._recent) <= _SLOW_SHARE * _RECENT

    def note(self, kind: Kind, seconds: float, clock: Callable[[], float]) -> None:
        """Note how long a decision took by the clock that it was timed by.

        A clock also counts what others took of the processor. To ask for the thread's own time is
        a system call, which costs a good part of a decision, so that only what follows on a slow
        one is timed by it.
        """
        is_slow = seconds > _SLOW
        self.clock = time.thread_time if is_slow else time.perf_counter
        if kind not in self._kinds:
            self.prepared(kind)
        elif not is_slow or clock is time.thread_time:
            self._recent.append(is_slow)

    def prepared(self, kind: Kind) -> None:
        """Note that what the first decision of a kind needs is there."""
        if len(self._kinds) >= _KEPT:
            self._kinds.clear()
        self._kinds[kind] = None
