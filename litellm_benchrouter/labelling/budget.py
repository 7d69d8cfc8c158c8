"""Money: no call begins that could take what was spent above the limit."""

from __future__ import annotations

import asyncio


class Budget:
    """What a run may spend.

    Parameters
    ----------
    limit_usd : float or None

    Attributes
    ----------
    spent_usd : float
    """

    def __init__(self, limit_usd: float | None) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        self._in_flight = 0.0
        self._settled = asyncio.Condition()

    async def reserve(self, most_usd: float) -> bool:
        """Set aside what a call can cost at the most; wait where calls in flight decide it.

        Returns
        -------
        bool
            False if it would go above the limit.
        """
        async with self._settled:
            while self.limit_usd is not None:
                if self.spent_usd + self._in_flight + most_usd <= self.limit_usd:
                    break
                if self.spent_usd + most_usd > self.limit_usd:
                    return False
                await self._settled.wait()
            self._in_flight += most_usd
            return True

    async def settle(self, most_usd: float, cost_usd: float) -> None:
        """Replace what was set aside by what the call did cost."""
        async with self._settled:
            self._in_flight = max(self._in_flight - most_usd, 0.0)
            self.spent_usd += cost_usd
            self._settled.notify_all()
