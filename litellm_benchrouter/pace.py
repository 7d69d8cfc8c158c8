"""Is a decision quick enough to be taken on the event loop itself?

Handing work to a thread and back wakes two threads that compete for the interpreter, which in a
busy proxy costs several times what a short decision does. So decisions of an embedder that only
computes are taken in place once they have shown that they are quick; all others go to a thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from litellm_benchrouter.embedders import LexicalEmbedder, PrecomputedEmbedder, StaticEmbedder
from litellm_benchrouter.router import BenchRouter

# They compute, and wait for no model and no network.
_ONLY_COMPUTE = frozenset({LexicalEmbedder.kind, PrecomputedEmbedder.kind, StaticEmbedder.kind})
_SLOW = 0.002  # seconds; a fifth of what may hold the event loop
_RECENT = 50  # decisions that are remembered
_SLOW_SHARE = 0.1
_KEYS = 1024


class Pace:
    """What is known about how long one router's decisions take.

    Parameters
    ----------
    router : BenchRouter
    """

    def __init__(self, router: BenchRouter) -> None:
        self.router = router
        self._only_computes = router.artifact.embedder.kind in _ONLY_COMPUTE
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._seen: set[Hashable] = set()

    def is_quick(self, key: Hashable, *, embeds: bool) -> bool:
        """Say whether to decide in place.

        The first decision of its kind is prepared by long computations that are remembered, so it
        is never quick.

        Parameters
        ----------
        key : hashable
            What is remembered depends on it: the models on offer, the named task.
        embeds : bool
            Whether the decision needs an embedding.
        """
        if key not in self._seen or (embeds and not self._only_computes):
            return False
        return sum(self._recent) <= _SLOW_SHARE * _RECENT

    def note(self, key: Hashable, seconds: float) -> None:
        """Note how much time of its thread a decision took."""
        if key in self._seen:
            self._recent.append(seconds > _SLOW)
            return
        if len(self._seen) >= _KEYS:
            self._seen.clear()
        self._seen.add(key)
