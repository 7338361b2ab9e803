"""What is wrong with a state, and what with a command: pure functions of their arguments."""

from __future__ import annotations

import math

import numpy as np

from aliengo_bridge.faults import Fault
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.messages import (
    JOINT_COUNT,
    MODE_BRAKE,
    MODE_OVERHEATED,
    MODE_SERVO,
    POSITION_STOP,
    VELOCITY_STOP,
    LowCommand,
    LowState,
)
from aliengo_description import robot

__all__ = [
    "Problem",
    "command_problem",
    "held_joints",
    "is_passive",
    "mechanical_power",
    "passive_joints",
    "state_problems",
    "tilt_angle",
]

Problem = tuple[Fault, str]
"""A fault and the sentence that names the offender, the value found and what is allowed."""

_JOINTS = slice(0, JOINT_COUNT)
_MEASURED = ("q", "dq", "tau_est", "quaternion", "gyroscope", "accelerometer")


def tilt_angle(quaternion: np.ndarray) -> float:
    """Return the angle between the body's and the world's vertical [rad].

    Args:
        quaternion: Orientation of the body, (4,) as w, x, y, z.
    """
    w, x, y, z = quaternion.tolist()
    lean = (x * x + y * y) / (w * w + x * x + y * y + z * z)
    return math.acos(min(1.0, max(-1.0, 1.0 - 2.0 * lean)))


def mechanical_power(state: LowState) -> float:
    """Return the sum of |torque x speed| over the joints [W]; braking counts as driving."""
    return float(np.abs(state.dq[_JOINTS] * state.tau_est[_JOINTS]).sum())


def state_problems(state: LowState, limits: SafetyLimits, servo: np.ndarray) -> list[Problem]:
    """Return what is wrong with a state.

    Args:
        state: The state, in policy order.
        limits: What is allowed.
        servo: Motors that must be in servo mode, (12,) bool.
    """
    invalid = _implausible(state, limits)
    if invalid:  # nothing else in it can be judged
        return [(Fault.STATE_INVALID, invalid)]
    problems: list[Problem] = []
    tilt = tilt_angle(state.quaternion)
    if tilt > limits.tilt_rad:
        problems.append((Fault.TILT, f"tilt is {tilt:.2f} rad, allowed {limits.tilt_rad:.2f}"))
    speed, allowed = np.abs(state.dq[_JOINTS]), limits.velocity_fraction * robot.VELOCITY_LIMITS
    if (speed > allowed).any():
        text = _worst("speed", speed, speed - allowed, allowed, "rad/s")
        problems.append((Fault.JOINT_VELOCITY, text))
    power = mechanical_power(state)
    if power > limits.power_w:
        text = f"power is {power:.0f} W, allowed {limits.power_w:.0f}"
        problems.append((Fault.POWER, text))
    temperature = state.temperature[_JOINTS]
    if temperature.max() >= limits.temperature_stop_c:
        hottest = np.full(JOINT_COUNT, limits.temperature_stop_c)
        text = _worst("motor temperature", temperature, temperature, hottest, "degC")
        problems.append((Fault.MOTOR_HOT, text))
    mode = state.mode[_JOINTS]
    lost = (servo & (mode != MODE_SERVO)) | (mode == MODE_OVERHEATED)
    if lost.any():
        index = int(np.flatnonzero(lost)[0])
        text = f"{robot.JOINT_NAMES[index]} is in mode {mode[index]}, expected {MODE_SERVO}"
        problems.append((Fault.MOTOR_LOST, text))
    return problems


def passive_joints(command: LowCommand) -> np.ndarray:
    """Return which joints the command leaves without drive, (12,) bool.

    They are those in brake mode, and those whose position loop is off and whose torque is zero.
    """
    loose = (command.kp[_JOINTS] == 0.0) | (command.q[_JOINTS] >= np.float32(POSITION_STOP))
    still = loose & (command.tau[_JOINTS] == 0.0)
    # A velocity target other than zero drives even a joint without position loop.
    speed = command.dq[_JOINTS]
    drives = (command.kd[_JOINTS] > 0.0) & (speed != 0.0) & (speed < np.float32(VELOCITY_STOP))
    passive: np.ndarray = (command.mode[_JOINTS] == MODE_BRAKE) | (still & ~drives)
    return passive


def is_passive(command: LowCommand) -> bool:
    """Return whether a command drives no joint at all."""
    return bool(passive_joints(command).all())


def command_problem(command: LowCommand, limits: SafetyLimits) -> Problem | None:
    """Return what is wrong with a command, or None.

    Only what betrays a broken commander is a problem; what merely exceeds a limit is clamped later.
    """
    for name in ("q", "dq", "tau", "kp", "kd"):
        values = getattr(command, name)[_JOINTS]
        finite = np.isfinite(values)
        if not finite.all():
            index = int(np.flatnonzero(~finite)[0])
            return (
                Fault.COMMAND_INVALID,
                f"{name} of {robot.JOINT_NAMES[index]} is {values[index]}, must be finite",
            )
    modes = command.mode[_JOINTS]
    unknown = (modes != MODE_SERVO) & (modes != MODE_BRAKE)
    if unknown.any():
        index = int(np.flatnonzero(unknown)[0])
        return (
            Fault.COMMAND_INVALID,
            f"mode of {robot.JOINT_NAMES[index]} is {modes[index]}, "
            f"allowed are {MODE_SERVO} (servo) and {MODE_BRAKE} (brake)",
        )
    for name, top in (("kp", limits.kp_max), ("kd", limits.kd_max)):
        values = getattr(command, name)[_JOINTS]
        if values.min() < 0.0 or values.max() > top:
            index = int(np.argmax(np.where(values < 0.0, np.inf, values)))
            return (
                Fault.COMMAND_GAINS,
                f"{name} of {robot.JOINT_NAMES[index]} is {values[index]:g}, allowed 0 to {top:g}",
            )
    return _far_outside(command, limits)


def held_joints(command: LowCommand) -> np.ndarray:
    """Return for each joint whether the command has a position for it (12,)."""
    position = command.q[_JOINTS] < np.float32(POSITION_STOP)
    held: np.ndarray = ~passive_joints(command) & (command.kp[_JOINTS] > 0.0) & position
    return held


def _far_outside(command: LowCommand, limits: SafetyLimits) -> Problem | None:
    driven = ~passive_joints(command)
    q = command.q[_JOINTS]
    held = held_joints(command)
    beyond = np.maximum(robot.SAFE_JOINT_LOWER - q, q - robot.SAFE_JOINT_UPPER)
    if (held & (beyond > limits.far_outside_rad)).any():
        index = int(np.argmax(np.where(held, beyond, -np.inf)))
        return (
            Fault.COMMAND_FAR_OUTSIDE,
            f"target of {robot.JOINT_NAMES[index]} is {q[index]:.2f} rad, allowed "
            f"{robot.SAFE_JOINT_LOWER[index]:.2f} to {robot.SAFE_JOINT_UPPER[index]:.2f} "
            f"and at most {limits.far_outside_rad:.2f} beyond",
        )
    # Twice the motor's limit leaves room for feed-forward against the PD term.
    tau, top = np.abs(command.tau[_JOINTS]), 2.0 * robot.TORQUE_LIMITS
    if (driven & (tau > top)).any():
        text = _worst("feed-forward torque", tau, tau - top, top, "N m")
        return Fault.COMMAND_FAR_OUTSIDE, text
    return None


def _implausible(state: LowState, limits: SafetyLimits) -> str:
    for name in _MEASURED:
        values = getattr(state, name)[_JOINTS]
        if not math.isfinite(values @ values):  # a sum is finite only if all of it is
            return f"{name} is not finite: {values.tolist()}"
    norm = math.sqrt(state.quaternion @ state.quaternion)
    if abs(norm - 1.0) > 0.1:
        return f"quaternion has length {norm:.3f}, must be 1"
    q = state.q[_JOINTS]
    beyond = np.maximum(robot.JOINT_LOWER - q, q - robot.JOINT_UPPER)
    if beyond.max() > limits.implausible_rad:
        index = int(np.argmax(beyond))
        return (
            f"{robot.JOINT_NAMES[index]} is measured at {q[index]:.2f} rad, its stops are at "
            f"{robot.JOINT_LOWER[index]:.2f} and {robot.JOINT_UPPER[index]:.2f}"
        )
    return ""


def _worst(
    what: str, values: np.ndarray, excess: np.ndarray, allowed: np.ndarray, unit: str
) -> str:
    index = int(np.argmax(excess))
    return (
        f"{what} of {robot.JOINT_NAMES[index]} is {values[index]:.1f} {unit}, "
        f"allowed {allowed[index]:.1f}"
    )
