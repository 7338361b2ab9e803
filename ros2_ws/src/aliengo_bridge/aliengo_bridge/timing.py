"""How punctual the control loop is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Punctuality", "TickTimes"]


@dataclass(frozen=True)
class Punctuality:
    """Lateness of the ticks in the window, and totals since the start."""

    ticks: int
    missed: int
    """Periods that went by without their tick, since the start."""
    rate_hz: float
    p50_s: float
    p99_s: float
    max_s: float
    """Greatest lateness since the start."""


class TickTimes:
    """Keeps the lateness of the last ticks in preallocated memory."""

    def __init__(self, period_s: float, window: int = 30000) -> None:
        """Prepare the memory.

        Args:
            period_s: Time between two deadlines.
            window: Ticks over which the percentiles are taken; 60 s at 500 Hz.
        """
        self._period_s = period_s
        self._late_s = np.zeros(window, dtype=np.float32)
        self._ticks = 0
        self._missed = 0
        self._max_s = 0.0
        self._started: float | None = None
        self._newest = 0.0

    def add(self, deadline: float, now: float) -> float:
        """Note a tick that was due at `deadline` and began at `now`.

        Returns:
            The deadline to count from: moved on by the periods that were missed, so that a stall is
            neither made up for in a burst nor shifts the grid of deadlines.
        """
        if self._started is None:
            self._started = deadline
        late = max(0.0, now - deadline)
        self._late_s[self._ticks % len(self._late_s)] = late
        self._ticks += 1
        self._newest = now
        self._max_s = max(self._max_s, late)
        missed = int(late / self._period_s)
        self._missed += missed
        return deadline + missed * self._period_s

    def summary(self) -> Punctuality:
        """Return the statistics; safe to call from another thread."""
        count = min(self._ticks, len(self._late_s))
        if count < 2 or self._started is None:
            return Punctuality(self._ticks, self._missed, 0.0, 0.0, 0.0, self._max_s)
        p50, p99 = np.percentile(self._late_s[:count], (50, 99)).tolist()
        elapsed = max(self._newest - self._started, 1e-9)
        return Punctuality(self._ticks, self._missed, self._ticks / elapsed, p50, p99, self._max_s)
