"""Knows which motors must report servo mode."""

from __future__ import annotations

import numpy as np

from aliengo_bridge.messages import JOINT_COUNT, MODE_SERVO

__all__ = ["ServoWatch"]


class ServoWatch:
    """Learns from a healthy robot which motors report servo mode, and expects them to go on.

    Everything that the bridge sends asks for servo mode, but what a robot then reports while it is
    only damped is not published. So a motor is expected in servo mode once it was seen in it under
    the same treatment: one that is switched off is noticed, and a robot that reports another mode
    remains usable.
    """

    def __init__(self) -> None:
        """Expect nothing yet."""
        self._damped = np.zeros(JOINT_COUNT, dtype=bool)
        self._driven = np.zeros(JOINT_COUNT, dtype=bool)

    def expected(self, *, driven: bool) -> np.ndarray:
        """Return the motors that must be in servo mode, (12,) bool.

        Args:
            driven: Whether the robot is driven, not only damped.
        """
        return self._driven if driven else self._damped

    def see(self, modes: np.ndarray, *, driven: bool, released: bool) -> None:
        """Learn from a state.

        Args:
            modes: Modes of the motors, (12,).
            driven: Whether the robot is driven.
            released: Whether it is sent nothing; then it may be another one, or in other hands.
        """
        servo = modes == MODE_SERVO
        if driven:
            self._driven = self._driven | servo
            return
        self._driven = servo  # what an engagement starts from
        self._damped = np.zeros_like(servo) if released else self._damped | servo
