"""Turns an accepted command into one that the robot may execute in this tick."""

from __future__ import annotations

import numpy as np

from aliengo_bridge.checks import passive_joints
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.messages import (
    JOINT_COUNT,
    MODE_SERVO,
    POSITION_STOP,
    VELOCITY_STOP,
    LowCommand,
    LowState,
)
from aliengo_bridge.protocol import KP_SCALE
from aliengo_description import robot

__all__ = ["CommandShaper", "smooth_step"]

_JOINTS = slice(0, JOINT_COUNT)


def smooth_step(progress: float) -> float:
    """Return a value that goes from 0 to 1 with zero slope at both ends, for progress 0 to 1."""
    x = min(1.0, max(0.0, progress))
    return x * x * (3.0 - 2.0 * x)


class CommandShaper:
    """Clamps targets to the joint limits, bounds their step, and bounds the predicted torque."""

    def __init__(self) -> None:
        self._target = np.zeros(JOINT_COUNT)

    def start(self, measured: np.ndarray) -> None:
        """Start from the measured pose, so that the first target is no step.

        Args:
            measured: Joint positions (12,) [rad].
        """
        self._target = measured.copy()

    def shape(self, command: LowCommand, state: LowState, limits: SafetyLimits) -> LowCommand:
        """Return a new command that keeps the limits.

        Joints that the command leaves passive get the supervisor's damping. The result's predicted
        torque at the measured state is within the limit, and its targets are within the joint
        limits or, where the robot lies beyond one, between it and the measured angle.

        Args:
            command: A command without `command_problem`.
            state: The newest state.
            limits: What is allowed.
        """
        shaped = LowCommand(led=command.led)
        passive = passive_joints(command)
        measured, speed = state.q[_JOINTS], state.dq[_JOINTS]
        no_position = passive | (command.q[_JOINTS] >= np.float32(POSITION_STOP))
        no_velocity = command.dq[_JOINTS] >= np.float32(VELOCITY_STOP)
        # A gain that the wire rounds to nothing is nothing: targets are divided by it below.
        no_position |= command.kp[_JOINTS] < 1.0 / KP_SCALE
        kp = np.where(no_position, 0.0, command.kp[_JOINTS])
        kd = np.where(no_velocity, 0.0, command.kd[_JOINTS])
        kd = np.where(passive, limits.damping_kd, kd)
        dq = np.where(passive | no_velocity, 0.0, command.dq[_JOINTS])
        dq = _bounded(dq, -robot.VELOCITY_LIMITS, robot.VELOCITY_LIMITS)
        tau = np.where(passive, 0.0, command.tau[_JOINTS])
        q = self._stepped(np.where(kp > 0.0, command.q[_JOINTS], measured), limits)
        top = limits.torque_fraction * robot.TORQUE_LIMITS
        # First what does not depend on the position target: without it, that target alone could
        # not keep the torque within the limit and stay between the measured and the wanted angle.
        drive = np.abs(tau + kd * (dq - speed))
        scale = np.where(drive > top, top / np.maximum(drive, top), 1.0)
        tau, kd = tau * scale, kd * scale
        predicted = tau + kd * (dq - speed) + kp * (q - measured)
        excess = predicted - _bounded(predicted, -top, top)
        # The target gives way, not the feed-forward: an opposing torque would push the joint
        # backwards once it has moved, should the next datagram be lost.
        q = q - np.where(kp > 0.0, excess / np.where(kp > 0.0, kp, 1.0), 0.0)
        shaped.mode[_JOINTS] = MODE_SERVO
        shaped.q[_JOINTS] = np.where(kp > 0.0, q, POSITION_STOP)
        shaped.dq[_JOINTS] = dq
        shaped.tau[_JOINTS] = tau
        shaped.kp[_JOINTS] = kp
        shaped.kd[_JOINTS] = kd
        return shaped

    def _stepped(self, wanted: np.ndarray, limits: SafetyLimits) -> np.ndarray:
        lower = robot.SAFE_JOINT_LOWER + limits.joint_margin_rad
        upper = robot.SAFE_JOINT_UPPER - limits.joint_margin_rad
        # The clamp is before the bound: a robot that lies beyond a limit is pulled in by and by.
        change = _bounded(wanted, lower, upper) - self._target
        self._target = self._target + _bounded(
            change, -limits.target_step_rad, limits.target_step_rad
        )
        return self._target


def _bounded(
    values: np.ndarray, lower: np.ndarray | float, upper: np.ndarray | float
) -> np.ndarray:
    # np.clip costs three times as much on twelve numbers.
    bounded: np.ndarray = np.minimum(np.maximum(values, lower), upper)
    return bounded
