"""What recorded signals say about a policy; pure functions, one rollout per row.

N rollouts, T control steps, policy order. Errors are instantaneous, at the control rate. Where a
rollout's figures are averaged, only rollouts without a fall take part.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.contact import CONTACT_FORCE_N

__all__ = [
    "CARRIED_DUTY",
    "CONTACT_FORCE_N",
    "carried_legs",
    "cost_of_transport",
    "drift",
    "duty_factors",
    "largest_target_step",
    "lift_offs_per_s",
    "rmse",
    "target_rate",
    "torque_saturation",
]

#: A leg that is on the ground for less than this share of the time is carried.
CARRIED_DUTY = 0.1
#: Share of its limit at which a torque counts as saturated.
_SATURATED = 0.99
_GRAVITY = 9.81
#: Below this speed a cost per distance means nothing [m/s].
_SLOWEST_TRANSPORT = 0.1


def rmse(values: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Root mean square error of each rollout: (N, T) against (N,) -> (N,)."""
    return np.asarray(np.sqrt(np.mean((values - target[:, None]) ** 2, axis=1)))


def duty_factors(foot_forces: np.ndarray, threshold_n: float = CONTACT_FORCE_N) -> np.ndarray:
    """Share of the time that each foot is on the ground: (N, T, 4) [N] -> (N, 4)."""
    return np.asarray(np.mean(foot_forces > threshold_n, axis=1))


def carried_legs(duty: np.ndarray, limit: float = CARRIED_DUTY) -> Tuple[str, ...]:
    """Names of the legs whose duty factor (4,) is at most ``limit``."""
    return tuple(leg for leg, share in zip(robot.LEG_NAMES, duty) if share <= limit)


def lift_offs_per_s(
    foot_forces: np.ndarray,
    period_s: float,
    counted: np.ndarray,
    threshold_n: float = CONTACT_FORCE_N,
) -> np.ndarray:
    """How often a foot leaves the ground, mean over the feet: (N, T, 4) [N] -> (N,) [1/s].

    Args:
        foot_forces: (N, T, 4) [N].
        period_s: Control period [s].
        counted: (T,) bool; a foot's leaving counts where both of its samples do.
        threshold_n: Force above which a foot is on the ground [N].
    """
    contact = foot_forces > threshold_n
    both = counted[1:] & counted[:-1]
    leaving = (contact[:, :-1] & ~contact[:, 1:])[:, both]
    return np.asarray(leaving.sum(axis=1).mean(axis=-1) / max(1, both.sum()) / period_s)


def cost_of_transport(
    torques: np.ndarray, joint_velocities: np.ndarray, planar_speed: np.ndarray, mass_kg: float
) -> np.ndarray:
    """Mechanical power, without recuperation, per weight and speed: dimensionless, (N,).

    Args:
        torques: (N, T, 12) [N m].
        joint_velocities: (N, T, 12) [rad/s].
        planar_speed: (N,) mean speed [m/s]; NaN is returned where it is below 0.1 m/s.
        mass_kg: Of the robot.
    """
    power = np.maximum(torques * joint_velocities, 0.0).sum(axis=-1).mean(axis=1)
    moving = planar_speed >= _SLOWEST_TRANSPORT
    speed = np.where(moving, planar_speed, 1.0)
    return np.where(moving, power / (mass_kg * _GRAVITY * speed), np.nan)


def torque_saturation(torques: np.ndarray, limits: np.ndarray = robot.TORQUE_LIMITS) -> np.ndarray:
    """Share of the samples (steps x joints) with a torque at its limit: (N, T, 12) -> (N,)."""
    return np.asarray(np.mean(np.abs(torques) >= _SATURATED * limits, axis=(1, 2)))


def target_rate(joint_targets: np.ndarray, period_s: float) -> np.ndarray:
    """Root mean square rate of change of the joint targets: (N, T, 12) -> (N,) [rad/s]."""
    steps = np.diff(joint_targets, axis=1) / period_s
    return np.asarray(np.sqrt(np.mean(steps**2, axis=(1, 2))))


def largest_target_step(joint_targets: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Largest change of any joint target between policy steps: (N, T, 12) -> (N,) [rad].

    Args:
        joint_targets: (N, T, 12) [rad].
        counted: (T,) bool; a change counts where both of its steps do.
    """
    both = counted[1:] & counted[:-1]
    steps = np.abs(np.diff(joint_targets, axis=1))[:, both]
    return np.asarray(steps.max(axis=(1, 2), initial=0.0))


def drift(base_position_w: np.ndarray, counted: np.ndarray, period_s: float) -> np.ndarray:
    """Mean planar speed from end to end of each counted stretch: (N, T, 3) -> (N,) [m/s].

    Args:
        base_position_w: (N, T, 3) [m].
        counted: (T,) bool; each run of true entries is one stretch.
        period_s: Control period [s].
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], counted.astype(int), [0]])))
    distance, time = np.zeros(len(base_position_w)), 0.0
    for first, end in zip(edges[::2], edges[1::2]):
        path = base_position_w[:, end - 1, :2] - base_position_w[:, first, :2]
        distance += np.linalg.norm(path, axis=-1)
        time += (end - 1 - first) * period_s
    return distance / time if time > 0.0 else np.full(len(base_position_w), np.nan)
