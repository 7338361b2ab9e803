"""When a policy step is due, counted in state messages."""

from __future__ import annotations

import math


class StepPacer:
    """Every n-th state is a step; when states get lost, the first one after a full period is.

    Args:
        decimation: states per step.
        period_s: time between two steps [s].
    """

    def __init__(self, decimation: int, period_s: float) -> None:
        self._decimation = decimation
        # Half a state period late, so that jitter alone never makes a step come early.
        self._latest_s = period_s * (1.0 + 0.5 / decimation)
        self._count = 0
        self._step_s = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Count one state that arrived at ``now_s``; true if it triggers a step."""
        self._count += 1
        if self._count < self._decimation and now_s - self._step_s < self._latest_s:
            return False
        self._count, self._step_s = 0, now_s
        return True
