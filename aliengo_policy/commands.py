"""The velocity command between whoever commands and the policy: freshness, limits, slew rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aliengo_policy.contract import COMMAND_AXES


@dataclass(frozen=True)
class CommandLimits:
    """Bounds on the velocity command, on top of the range that the policy was trained for.

    Attributes:
        max_vel: planar speed [m/s].
        max_yaw_vel: turning rate [rad/s].
        max_acceleration: slew rate of the planar velocity, per axis [m/s^2].
        max_yaw_acceleration: slew rate of the turning rate [rad/s^2].
        stale_after_s: age at which a command counts as zero [s].
        release_after_s: time without a command after which walking ends [s].
    """

    max_vel: float = 1.0
    max_yaw_vel: float = 1.0
    max_acceleration: float = 2.0
    max_yaw_acceleration: float = 4.0
    stale_after_s: float = 0.25
    release_after_s: float = 2.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(
                    f"command limit {name} must be a finite number above 0, found {value}"
                )
        if self.release_after_s < self.stale_after_s:
            raise ValueError(
                f"release_after_s {self.release_after_s} must not be below "
                f"stale_after_s {self.stale_after_s}"
            )


class VelocityCommand:
    """The newest command and the limited, slewed one that the policy sees."""

    def __init__(self, limits: CommandLimits) -> None:
        self.limits = limits
        self.value: np.ndarray = np.zeros(3)
        self.source = ""
        self._wanted = np.zeros(3)
        self._received_s = -math.inf

    def receive(self, now_s: float, velocity: tuple[float, float, float], source: str) -> bool:
        """Take a command (vx, vy [m/s], wz [rad/s]); one that is not finite changes nothing."""
        if not all(math.isfinite(part) for part in velocity):
            return False
        self._wanted[:] = velocity
        self._received_s = now_s
        self.source = source
        return True

    def age(self, now_s: float) -> float:
        """Time since the last command [s]; infinite before the first."""
        return now_s - self._received_s

    def is_fresh(self, now_s: float) -> bool:
        """Whether somebody is commanding at this moment."""
        return self.age(now_s) <= self.limits.stale_after_s

    def is_released(self, now_s: float) -> bool:
        """Whether the commander has been gone for so long that walking should end."""
        return self.age(now_s) > self.limits.release_after_s

    def reset(self) -> None:
        """Start again from standing still."""
        self.value = np.zeros(3)

    def step(
        self,
        now_s: float,
        elapsed_s: float,
        ranges: Mapping[str, tuple[float, float]],
        stopping: bool = False,
    ) -> np.ndarray:
        """Move the command one control period towards the wanted one.

        Args:
            now_s: time of this step.
            elapsed_s: time since the last step.
            ranges: what the policy was trained for.
            stopping: aim at zero whatever is wanted.

        Returns:
            (3,) a copy of the command to use.
        """
        target = np.zeros(3)
        if not stopping and self.is_fresh(now_s):
            target[:] = self._wanted
        speed = math.hypot(target[0], target[1])
        if speed > self.limits.max_vel:
            target[:2] *= self.limits.max_vel / speed
        target[2] = np.clip(target[2], -self.limits.max_yaw_vel, self.limits.max_yaw_vel)
        low, high = np.transpose([ranges[axis] for axis in COMMAND_AXES])
        target = np.clip(target, np.minimum(low, 0.0), np.maximum(high, 0.0))
        rate = np.array([self.limits.max_acceleration] * 2 + [self.limits.max_yaw_acceleration])
        self.value = self.value + np.clip(target - self.value, -rate * elapsed_s, rate * elapsed_s)
        return np.array(self.value)

    def is_zero(self) -> bool:
        """Whether the slewed command has come to rest."""
        return not self.value.any()
