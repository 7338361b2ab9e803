"""Clips for the tests of everything that reads motions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from aliengo_description import robot
from aliengo_training.motion import rotations
from aliengo_training.motion.clip import MotionClip

__all__ = ["recorded", "wavy_clip"]


def wavy_clip(frames: int = 61, frame_duration_s: float = 0.02, **attributes: Any) -> MotionClip:
    """Return a smooth clip that moves along x at 0.5 m/s, sways, turns, tilts, moves all joints."""
    t = np.arange(frames) * frame_duration_s
    phase = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)
    joints = robot.DEFAULT_JOINT_POSITIONS + 0.2 * np.sin(6.0 * t[:, None] + phase)
    position = np.stack([0.5 * t, 0.1 * np.sin(3.0 * t), 0.38 + 0.01 * np.cos(6.0 * t)], axis=-1)
    q = rotations.from_roll_pitch_yaw(0.1 * np.sin(4.0 * t), 0.1 * np.cos(5.0 * t), 0.4 * t)
    return MotionClip.from_pose(position, q, joints, frame_duration_s, **attributes)


def recorded(name: str) -> Path:
    """Return a recorded clip from $ALIENGO_MOTION_DATA, or skip the test, saying so."""
    import pytest

    folder = os.environ.get("ALIENGO_MOTION_DATA")
    if not folder or not (Path(folder) / name).is_file():
        pytest.skip(f"ALIENGO_MOTION_DATA names no folder with {name}")
    return Path(folder) / name
