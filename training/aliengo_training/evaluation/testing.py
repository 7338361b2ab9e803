"""Policies and trajectories with known properties, for the tests of the evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.contract import PolicySpec
from aliengo_training.evaluation.rollouts import Trajectory
from aliengo_training.export import MlpWeights, export_policy
from aliengo_training.motion import rotations
from aliengo_training.motion.clip import MotionClip, sample
from aliengo_training.motion.synthesis import Gait, synthesize

__all__ = ["clip_trajectory", "constant_policy", "gait_clip"]

_PERIOD_S = 0.02


def constant_policy(path: Path, action: float = 0.0, **attributes: Any) -> Path:
    """Write a policy whose action is the same number for every joint; 0 stands."""
    spec = PolicySpec(
        kind="base",
        command_ranges={"vx": (0.0, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)},
        training={"run": "test", "task": "aliengo_amp", "iteration": 0, "git_commit": "none"},
        **attributes,
    )
    bias = np.full(12, action, dtype=np.float32)
    export_policy(spec, MlpWeights([(np.zeros((12, 45), np.float32), bias)]), path)
    return path


def gait_clip(gait: Gait, speed: float, seconds: float) -> MotionClip:
    """A synthetic clip of at least this length."""
    return synthesize(gait, speed, cycles=int(np.ceil(seconds / gait.period_s)) + 1)


def clip_trajectory(
    clip: MotionClip, command: Tuple[float, float, float], rollouts: int, seconds: float
) -> Trajectory:
    """Rollouts that move exactly as a clip, feet below two millimetres bearing 70 N."""
    steps = round(seconds / _PERIOD_S)
    states = sample(clip, np.arange(1, steps + 1) * _PERIOD_S)
    feet_w = rotations.rotate(states.root_quaternion[:, None], states.foot_positions)
    height = feet_w[..., 2] + states.root_position[:, None, 2] - robot.FOOT_RADIUS

    def rows(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[None].astype(np.float32), rollouts, axis=0)

    everything = np.ones(steps, dtype=bool)
    return Trajectory(
        period_s=_PERIOD_S,
        command=np.tile(np.array(command, dtype=np.float32), (rollouts, 1)),
        alive=np.ones((rollouts, steps), dtype=bool),
        steady=everything,
        settled=everything,
        base_position_w=rows(states.root_position),
        base_quaternion=rows(states.root_quaternion),
        linear_velocity_b=rows(states.linear_velocity_b),
        angular_velocity_b=rows(states.angular_velocity_b),
        joint_positions=rows(states.joint_positions),
        joint_velocities=rows(states.joint_velocities),
        joint_torques=rows(np.zeros((steps, 12))),
        joint_targets=rows(states.joint_positions),
        foot_forces=rows(np.where(height < 2e-3, 70.0, 0.0)),
    )
