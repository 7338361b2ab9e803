"""The supervisor's own way down: hold the pose, then fold the legs."""

from __future__ import annotations

import numpy as np

from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.messages import JOINT_COUNT, LowCommand
from aliengo_bridge.shaping import smooth_step
from aliengo_description import robot

__all__ = ["SitDown"]


class SitDown:
    """Leads the joints from where they are to the lying pose."""

    def __init__(self, measured: np.ndarray, limits: SafetyLimits) -> None:
        """Start holding.

        Args:
            measured: Joint positions (12,) [rad].
            limits: Durations and gains.
        """
        self._start = measured.copy()
        self._limits = limits
        self._time_s = 0.0

    @property
    def holding(self) -> bool:
        """Whether the pose is still held."""
        return self._time_s < self._limits.hold_s

    def advance(self, elapsed_s: float) -> LowCommand | None:
        """Return the command for this tick, or None when the robot lies.

        Args:
            elapsed_s: Time since the last tick [s].
        """
        self._time_s += elapsed_s
        progress = (self._time_s - self._limits.hold_s) / self._limits.sit_down_s
        if progress >= 1.0:
            return None
        goal = robot.LYING_JOINT_POSITIONS
        command = LowCommand()
        joints = slice(0, JOINT_COUNT)
        command.q[joints] = self._start + smooth_step(progress) * (goal - self._start)
        command.dq[joints] = 0.0
        command.kp[joints] = self._limits.sit_down_kp
        command.kd[joints] = self._limits.sit_down_kd
        return command
