"""Where the links of the legs are, for tf: each frame in its parent's, from the joint positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aliengo_description import robot


@dataclass(frozen=True)
class LinkFrame:
    """Pose of a link's frame in its parent's.

    Attributes:
        parent: name of the parent link.
        child: name of the link.
        translation: x, y, z [m].
        rotation: quaternion wxyz.
    """

    parent: str
    child: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)


def fixed_frames() -> list[LinkFrame]:
    """Frames that never move: trunk, IMU and feet, as in the URDF."""
    trunk = LinkFrame("base_link", "trunk", (0.0, 0.0, 0.0))
    imu = LinkFrame("trunk", "imu_link", robot.IMU_POSITION)
    foot = (0.0, 0.0, -robot.CALF_LENGTH)
    return [trunk, imu, *(LinkFrame(f"{leg}_calf", f"{leg}_foot", foot) for leg in robot.LEG_NAMES)]


def moving_frames(joint_positions: np.ndarray) -> list[LinkFrame]:
    """Frames of hips, thighs and calves.

    Args:
        joint_positions: (12,) [rad], policy order.
    """
    frames = []
    for index, leg in enumerate(robot.LEG_NAMES):
        hip, thigh, calf = (float(angle) for angle in joint_positions[3 * index : 3 * index + 3])
        x, y, z = (float(part) for part in robot.HIP_POSITIONS[index])
        side = float(robot.LEG_SIDE[index]) * robot.HIP_OFFSET_Y
        frames += [
            LinkFrame("trunk", f"{leg}_hip", (x, y, z), _about_x(hip)),
            LinkFrame(f"{leg}_hip", f"{leg}_thigh", (0.0, side, 0.0), _about_y(thigh)),
            LinkFrame(
                f"{leg}_thigh", f"{leg}_calf", (0.0, 0.0, -robot.THIGH_LENGTH), _about_y(calf)
            ),
        ]
    return frames


def _about_x(angle: float) -> tuple[float, float, float, float]:
    return (math.cos(angle / 2), math.sin(angle / 2), 0.0, 0.0)


def _about_y(angle: float) -> tuple[float, float, float, float]:
    return (math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0)
