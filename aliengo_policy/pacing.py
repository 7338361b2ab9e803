"""When a policy step is due, counted in state messages."""

from __future__ import annotations

import math

STATE_RATE_HZ = 500.0
"""Rate of `low_state`: the robot's own."""
_LARGEST_ROUNDING = 1e-6


def states_per_step(period_s: float) -> int:
    """Number of states in one control period of a policy.

    Raises:
        ValueError: when the period [s] is no multiple of the time between two states.
    """
    exact = period_s * STATE_RATE_HZ
    count = round(exact)
    if count < 1 or abs(exact - count) > _LARGEST_ROUNDING * count:
        raise ValueError(
            f"control period {period_s:g} s is no multiple of the {1.0 / STATE_RATE_HZ:g} s "
            "between two states of the robot"
        )
    return count


class StepPacer:
    """Every n-th state is a step; when states get lost, the first one after a full period is.

    Args:
        period_s: time between two steps [s].

    Raises:
        ValueError: when the period is no multiple of the time between two states.
    """

    def __init__(self, period_s: float) -> None:
        self._decimation = states_per_step(period_s)
        # Half a state period late, so that jitter alone never makes a step come early.
        self._latest_s = period_s + 0.5 / STATE_RATE_HZ
        self._count = 0
        self._step_s = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Count one state that arrived at ``now_s``; true if it triggers a step."""
        self._count += 1
        if self._count < self._decimation and now_s - self._step_s < self._latest_s:
            return False
        self._count, self._step_s = 0, now_s
        return True
