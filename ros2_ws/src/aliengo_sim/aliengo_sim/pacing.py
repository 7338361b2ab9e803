"""Real time without drift and without a spiral."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pacer"]


class Pacer:
    """Holds a loop to absolute deadlines, one period apart.

    A loop that is late by no more than ``max_catch_up_s`` runs its next cycles back to back until
    it is on time again. A longer stall (a busy or suspended host) is given up: the deadlines move,
    simulated time falls behind the wall clock by the stall, and neither a jump in simulated time
    nor an endless race to catch up follows.

    Args:
        period_s: Period of the loop [s].
        max_catch_up_s: Longest lateness that is made good [s].
        clock: Monotonic clock [s].
        sleep: Sleeps for so many seconds.
    """

    def __init__(
        self,
        period_s: float,
        max_catch_up_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._period_s = period_s
        self._max_catch_up_s = max_catch_up_s
        self._clock = clock
        self._sleep = sleep
        self._deadline = clock()
        self.stalls = 0
        """How often time was given up."""
        self.lost_s = 0.0
        """Wall time that simulated time fell behind, in total [s]."""

    def wait(self) -> None:
        """Sleep until the next deadline, or return at once when it has passed."""
        self._deadline += self._period_s
        late_s = self._clock() - self._deadline
        if late_s < 0.0:
            self._sleep(-late_s)
        elif late_s > self._max_catch_up_s:
            self._deadline += late_s
            self.lost_s += late_s
            self.stalls += 1
