"""Velocity and acceleration limits of the commands, without a clock of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aliengo_teleop.mapping import Velocity

__all__ = ["CommandLimiter", "CommandLimits"]


@dataclass(frozen=True)
class CommandLimits:
    """Bounds of a velocity command, each for (vx, vy, wz).

    Attributes:
        velocity: Largest magnitude [m/s, m/s, rad/s].
        acceleration: Largest rate of change while driving [m/s^2, m/s^2, rad/s^2].
        stop_time_s: A stop reaches zero after this time from any velocity; 0 = at once.
    """

    velocity: Velocity
    acceleration: Velocity
    stop_time_s: float = 0.2

    def __post_init__(self) -> None:
        """Refuses limits under which the robot could never move or never stop."""
        for name in ("velocity", "acceleration"):
            values = getattr(self, name)
            if not all(value > 0.0 for value in values):
                raise ValueError(f"{name} limits are {tuple(values)}; each must be > 0")
        if not self.stop_time_s >= 0.0:
            raise ValueError(f"stop_time_s is {self.stop_time_s}; it must be >= 0")


class CommandLimiter:
    """Follows a target velocity within `CommandLimits`."""

    def __init__(self, limits: CommandLimits) -> None:
        """Starts at zero velocity."""
        self._limits = limits
        self._velocity = Velocity()
        self._stop_rates: Velocity | None = None

    def drive(self, target: Velocity, dt: float) -> Velocity:
        """Moves towards `target` for `dt` seconds and returns the new command."""
        self._stop_rates = None
        limits = self._limits
        clipped = Velocity(
            *(_clip(value, bound) for value, bound in zip(target, limits.velocity, strict=True))
        )
        return self._approach(clipped, limits.acceleration, dt)

    def stop(self, dt: float) -> Velocity:
        """Moves towards zero so that it is reached `stop_time_s` after the stop began.

        All components reach zero together, so that the direction of travel is kept.
        """
        if self._limits.stop_time_s == 0.0:
            return self.halt()
        if self._stop_rates is None:
            self._stop_rates = Velocity(
                *(abs(v) / self._limits.stop_time_s for v in self._velocity)
            )
        return self._approach(Velocity(), self._stop_rates, dt)

    def halt(self) -> Velocity:
        """Goes to zero at once."""
        self._velocity = Velocity()
        return self._velocity

    def _approach(self, target: Velocity, rates: Velocity, dt: float) -> Velocity:
        self._velocity = Velocity(
            *(
                old + _clip(new - old, rate * dt)
                for old, new, rate in zip(self._velocity, target, rates, strict=True)
            )
        )
        return self._velocity


def _clip(value: float, bound: float) -> float:
    # Whoever sends NaN or infinity has divided by zero: that is no wish for full speed.
    if not math.isfinite(value):
        return 0.0
    return min(max(value, -bound), bound)
