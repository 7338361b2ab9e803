"""How punctual the control loop is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Punctuality", "TickTimes"]


@dataclass(frozen=True)
class Punctuality:
    """Rate and lateness of the ticks in the window, and totals since the start."""

    ticks: int
    """Since the start."""
    missed: int
    """Periods that went by without their tick, since the start."""
    rate_hz: float
    p50_s: float
    p99_s: float
    max_s: float


class TickTimes:
    """Keeps when the last ticks were, and how late, in preallocated memory."""

    def __init__(self, period_s: float, window: int = 30000) -> None:
        """Prepare the memory.

        Args:
            period_s: Time between two deadlines.
            window: Ticks that the rate and the lateness are taken of; 60 s at 500 Hz.
        """
        self._period_s = period_s
        self._late_s = np.zeros(window, dtype=np.float32)
        self._at_s = np.zeros(window)
        self._ticks = 0
        self._missed = 0

    def add(self, deadline: float, now: float) -> float:
        """Note a tick that was due at `deadline` and began at `now`.

        Returns:
            The deadline to count from: moved on by the periods that were missed, so that a stall is
            neither made up for in a burst nor shifts the grid of deadlines.
        """
        late = max(0.0, now - deadline)
        row = self._ticks % len(self._late_s)
        self._late_s[row], self._at_s[row] = late, now
        self._ticks += 1
        missed = int(late / self._period_s)
        self._missed += missed
        return deadline + missed * self._period_s

    def summary(self) -> Punctuality:
        """Return the statistics; safe to call from another thread."""
        ticks = self._ticks
        count = min(ticks, len(self._late_s))
        if count < 2:
            return Punctuality(ticks, self._missed, 0.0, 0.0, 0.0, 0.0)
        p50, p99, latest = np.percentile(self._late_s[:count], (50, 99, 100)).tolist()
        # Not newest less oldest row: the loop may be writing over the oldest just now.
        elapsed = max(float(np.ptp(self._at_s[:count])), 1e-9)
        return Punctuality(ticks, self._missed, (count - 1) / elapsed, p50, p99, latest)
