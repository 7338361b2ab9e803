"""The motor's own control law: what the firmware makes of a command, and what the motor can give.

The law is the one that the SDK documents for servo mode, tau + kp (q* - q) + kd (dq* - dq), where
`POSITION_STOP` and `VELOCITY_STOP` switch a loop off. Two things are not published and are chosen
here: what brake mode feels like (`BRAKE_DAMPING`), and how torque ends at the speed limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aliengo_bridge.protocol import JOINT_COUNT, MODE_BRAKE, MODE_SERVO, VELOCITY_STOP, LowCommand
from aliengo_description import robot

__all__ = ["BRAKE_DAMPING", "LIMP", "MotorTargets", "available_torque"]

Array = npt.NDArray[np.float64]

BRAKE_DAMPING = 3.0
"""Damping of a braked motor [N m s/rad]: an assumption, strong enough to sink slowly."""

POSITION_STOP_FROM = 1.0e8
"""Targets from here on stop the position loop [rad]: SDK examples send 1e9 as well as 2.146e9."""

SPEED_MARGIN = 0.1
"""Driving torque fades to zero over this fraction above the speed limit.

Only the two limits of the motor are published, not its curve: full torque up to the speed limit,
and none to push it further, is what they say when both are taken at their word. The fade keeps the
law continuous. Braking torque stays available at any speed.
"""


@dataclass(frozen=True)
class MotorTargets:
    """A command in the form in which the motor applies it; arrays (12,) in policy order."""

    mode: npt.NDArray[np.uint8]
    position: Array
    velocity: Array
    stiffness: Array
    damping: Array
    torque: Array

    @classmethod
    def from_command(cls, command: LowCommand) -> MotorTargets:
        """Resolve modes and stop values of a command.

        A motor with a target that is not finite is braked, and one in an unknown mode is off.
        """
        rows = {
            name: np.asarray(getattr(command, name)[:JOINT_COUNT], dtype=np.float64)
            for name in ("q", "dq", "kp", "kd", "tau")
        }
        finite = np.all([np.isfinite(row) for row in rows.values()], axis=0)
        mode = np.where(finite, command.mode[:JOINT_COUNT], MODE_BRAKE).astype(np.uint8)
        servo = mode == MODE_SERVO
        follow_q = servo & (np.abs(rows["q"]) < POSITION_STOP_FROM)
        follow_dq = servo & (np.abs(rows["dq"]) < VELOCITY_STOP)
        braked = np.where(mode == MODE_BRAKE, BRAKE_DAMPING, 0.0)
        return cls(
            mode=mode,
            position=np.where(follow_q, rows["q"], 0.0),
            velocity=np.where(follow_dq, rows["dq"], 0.0),
            stiffness=np.where(follow_q, rows["kp"], 0.0),
            damping=np.where(follow_dq, rows["kd"], braked),
            torque=np.where(servo, rows["tau"], 0.0),
        )

    def demand(self, position: Array, velocity: Array) -> Array:
        """Torque that the control law asks for at the measured joint state (12,) [N m]."""
        asked: Array = (
            self.torque
            + self.stiffness * (self.position - position)
            + self.damping * (self.velocity - velocity)
        )
        return asked

    def without(self, motor: int, mode: int) -> MotorTargets:
        """Return the targets with one motor off and reporting ``mode``."""
        on = np.arange(JOINT_COUNT) != motor
        return MotorTargets(
            mode=np.where(on, self.mode, mode).astype(np.uint8),
            position=self.position,
            velocity=self.velocity,
            stiffness=self.stiffness * on,
            damping=self.damping * on,
            torque=self.torque * on,
        )


def _limp() -> MotorTargets:
    zero = np.zeros(JOINT_COUNT)
    return MotorTargets(np.zeros(JOINT_COUNT, dtype=np.uint8), zero, zero, zero, zero, zero)


LIMP = _limp()
"""No torque at all: the state of motors that nobody commands."""

_INVERSE_SPEED = 1.0 / robot.VELOCITY_LIMITS


def available_torque(demand: Array, velocity: Array) -> Array:
    """Limit a demanded torque to what the motor can give at its speed.

    Args:
        demand: (12,) [N m].
        velocity: (12,) joint velocity [rad/s].

    Returns:
        (12,) [N m], within the torque limits, and not driving a joint above its speed limit.
    """
    speed = velocity * _INVERSE_SPEED
    forwards = np.minimum(np.maximum((1.0 + SPEED_MARGIN - speed) / SPEED_MARGIN, 0.0), 1.0)
    backwards = np.minimum(np.maximum((1.0 + SPEED_MARGIN + speed) / SPEED_MARGIN, 0.0), 1.0)
    upper = robot.TORQUE_LIMITS * forwards
    lower = -robot.TORQUE_LIMITS * backwards
    return np.asarray(np.minimum(np.maximum(demand, lower), upper))
