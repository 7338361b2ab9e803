"""Finds out whether somebody else controls the robot.

Two signs are used. At low level every state carries the flag 0xFF; a robot in the vendor's sport
mode does not (and on its high-level port it answers in another format). And a robot that is told
nothing, or told to damp, produces no torque but that damping: motors that pull all the same obey
another controller.
"""

from __future__ import annotations

import math

import numpy as np

from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.messages import JOINT_COUNT, LEVEL_LOW, LowState
from aliengo_description import robot

__all__ = ["OwnershipCheck"]

_FILTER_S = 0.2


class OwnershipCheck:
    """Watches a robot that is left alone, or only damped, until it has looked free for a while."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what was seen."""
        self._free_s = 0.0
        self._torque = np.zeros(JOINT_COUNT)
        self.objection = ""
        """What speaks against the robot being free; empty if nothing does."""

    def advance(
        self, state: LowState, damping_kd: float, elapsed_s: float, limits: SafetyLimits
    ) -> bool:
        """Take one more look.

        Args:
            state: The newest state.
            damping_kd: Gain of the damping that the robot is being sent [N m s/rad].
            elapsed_s: Time since the last look [s].
            limits: Threshold and duration.

        Returns:
            Whether the robot has looked free for long enough.
        """
        joints = slice(0, JOINT_COUNT)
        own = np.minimum(-damping_kd * state.dq[joints], robot.TORQUE_LIMITS)
        own = np.maximum(own, -robot.TORQUE_LIMITS)
        # A low-pass, because estimated torques are noisy and lag behind the speed.
        blend = 1.0 - math.exp(-elapsed_s / _FILTER_S)
        self._torque += blend * (state.tau_est[joints] - own - self._torque)
        self.objection = self._objection(state, limits)
        self._free_s = 0.0 if self.objection else self._free_s + elapsed_s
        return self._free_s >= limits.ownership_check_s

    def _objection(self, state: LowState, limits: SafetyLimits) -> str:
        if state.level_flag != LEVEL_LOW:
            return (
                f"the robot's level flag is {state.level_flag:#04x}, expected {LEVEL_LOW:#04x}: it "
                "is in the vendor's sport mode. Let it lie, press L2+A, then L1+L2+start on its "
                "remote to hand it over"
            )
        torque = np.abs(self._torque)
        if torque.max() > limits.foreign_torque_nm:
            index = int(np.argmax(torque))
            return (
                f"{robot.JOINT_NAMES[index]} pulls with {torque[index]:.1f} N m that nobody here "
                f"commanded (allowed {limits.foreign_torque_nm:.1f}): another controller, or the "
                "vendor's sport mode, has the robot. Stop it there first"
            )
        return ""
