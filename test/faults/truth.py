"""What fault tests judge by: the twin's ground truth, clocks, and waiting for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from aliengo_description import robot

DEADLINE_S = 20.0
DAMPING_KD = 5.0


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until the condition returns something true, and return that."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.002)
    raise AssertionError(f"{what}: not within {deadline_s} s")


def now() -> float:
    """Return the time [s] on the clock that the twin stamps its truth with."""
    return time.time()


@dataclass(frozen=True)
class Truth:
    """What the twin knows about itself at one moment."""

    time_s: float
    height_m: float
    upright: float
    """Vertical part of the body's up axis: 1 upright, 0 on the side."""
    speeds: np.ndarray
    """Joint velocities (12,) [rad/s]."""
    torques: np.ndarray
    """What the motors apply (12,) [N m]."""

    @property
    def standing(self) -> bool:
        return self.height_m > 0.3 and self.upright > 0.9

    @property
    def lying(self) -> bool:
        return self.height_m < 0.25 and bool(np.abs(self.speeds).max() < 0.3)

    @property
    def passive(self) -> bool:
        """Whether the motors do nothing but brake, as under damping, or nothing at all."""
        brake = np.clip(-DAMPING_KD * self.speeds, -robot.TORQUE_LIMITS, robot.TORQUE_LIMITS)
        own = np.minimum(np.abs(self.torques - brake), np.abs(self.torques))
        return bool((own < 1.0 + 0.3 * np.abs(brake)).all())
