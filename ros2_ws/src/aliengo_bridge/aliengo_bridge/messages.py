"""What a low-level command and a low-level state hold, in SI units and policy order.

These are the values that links exchange with the supervisor; `protocol` knows how they travel.
Policy order is FL, FR, RL, RR, each hip, thigh, calf. Runs on Python 3.8.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = [
    "JOINT_COUNT",
    "LEVEL_HIGH",
    "LEVEL_LOW",
    "MODE_BRAKE",
    "MODE_OVERHEATED",
    "MODE_SERVO",
    "MOTOR_COUNT",
    "POSITION_STOP",
    "VELOCITY_STOP",
    "LowCommand",
    "LowState",
    "damping_command",
    "released_command",
]

MOTOR_COUNT = 20
JOINT_COUNT = 12
MODE_BRAKE = 0x00
MODE_SERVO = 0x0A
MODE_OVERHEATED = 0x08
"""In a state only: the SDK's header of a sister robot names it for a motor that shut down."""
LEVEL_HIGH = 0x00
LEVEL_LOW = 0xFF
POSITION_STOP = 2.146e9
"""A position target [rad] that switches the motor's position loop off."""
VELOCITY_STOP = 16000.0
"""A velocity target [rad/s] that switches the motor's velocity loop off."""


def _zeros(*shape: int, dtype: str = "f8") -> Any:
    return field(default_factory=lambda: np.zeros(shape, dtype=dtype))


def _filled(value: float, dtype: str = "f8") -> Any:
    return field(default_factory=lambda: np.full(MOTOR_COUNT, value, dtype=dtype))


@dataclass
class LowCommand:
    """One command to all motors, in policy order; motors 12-19 do not exist on this robot.

    A new object commands nothing: servo mode with both loops switched off, as the SDK's own initial
    command, but at low level. Arrays have shape (20,) unless noted.
    """

    mode: np.ndarray = _filled(MODE_SERVO, "u1")
    """`MODE_SERVO` or `MODE_BRAKE`."""
    q: np.ndarray = _filled(POSITION_STOP)
    """Position targets [rad]."""
    dq: np.ndarray = _filled(VELOCITY_STOP)
    """Velocity targets [rad/s]."""
    tau: np.ndarray = _zeros(MOTOR_COUNT)
    """Feed-forward torques [N m], sent in steps of 1/256."""
    kp: np.ndarray = _zeros(MOTOR_COUNT)
    """Position gains [N m/rad], sent in steps of 1/32."""
    kd: np.ndarray = _zeros(MOTOR_COUNT)
    """Velocity gains [N m s/rad], sent in steps of 1/16."""
    motor_reserve: np.ndarray = _zeros(MOTOR_COUNT, 3, dtype="u4")
    led: np.ndarray = _zeros(4, 3, dtype="u1")
    wireless_remote: np.ndarray = _zeros(40, dtype="u1")
    level_flag: int = LEVEL_LOW
    comm_version: int = 0
    robot_id: int = 0
    sn: int = 0
    band_width: int = 0
    reserve: int = 0


@dataclass
class LowState:
    """One state of the robot, motors and feet in policy order. Motor arrays have shape (20,)."""

    mode: np.ndarray = _zeros(MOTOR_COUNT, dtype="u1")
    q: np.ndarray = _zeros(MOTOR_COUNT)
    """Joint positions [rad]."""
    dq: np.ndarray = _zeros(MOTOR_COUNT)
    """Joint velocities [rad/s]."""
    ddq: np.ndarray = _zeros(MOTOR_COUNT)
    """Joint accelerations [rad/s^2], whole numbers on the wire."""
    tau_est: np.ndarray = _zeros(MOTOR_COUNT)
    """Estimated joint torques [N m]."""
    q_raw: np.ndarray = _zeros(MOTOR_COUNT)
    dq_raw: np.ndarray = _zeros(MOTOR_COUNT)
    ddq_raw: np.ndarray = _zeros(MOTOR_COUNT)
    temperature: np.ndarray = _zeros(MOTOR_COUNT, dtype="i1")
    """Motor temperatures [degC]."""
    motor_reserve: np.ndarray = _zeros(MOTOR_COUNT, 2, dtype="u4")
    quaternion: np.ndarray = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    """Orientation of the body in the world, (4,) as w, x, y, z."""
    gyroscope: np.ndarray = _zeros(3)
    """Angular velocity in the body frame [rad/s], (3,)."""
    accelerometer: np.ndarray = _zeros(3)
    """Specific force in the body frame [m/s^2], (3,); +9.81 along z when level and at rest."""
    rpy: np.ndarray = _zeros(3)
    imu_temperature: int = 0
    foot_force: np.ndarray = _zeros(4, dtype="i2")
    """Raw counts of the foot sensors, (4,)."""
    foot_force_est: np.ndarray = _zeros(4, dtype="i2")
    tick: int = 0
    """The robot's clock [ms]."""
    wireless_remote: np.ndarray = _zeros(40, dtype="u1")
    level_flag: int = LEVEL_LOW
    comm_version: int = 0
    robot_id: int = 0
    sn: int = 0
    band_width: int = 0
    reserve: int = 0


def damping_command(kd: float) -> LowCommand:
    """Return the command that lets all joints sink against a viscous brake.

    Args:
        kd: Damping of every joint [N m s/rad].
    """
    command = LowCommand()
    command.dq[:JOINT_COUNT] = 0.0
    command.kd[:JOINT_COUNT] = kd
    return command


def released_command() -> LowCommand:
    """Return the command that takes the robot from nobody: all loops off, not at low level."""
    return LowCommand(level_flag=LEVEL_HIGH)
