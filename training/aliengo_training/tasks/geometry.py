"""Rotations and the Aliengo's leg geometry on batches of torch tensors. Quaternions are wxyz, base to world."""

from __future__ import annotations

import torch
from torch import Tensor

from aliengo_description import robot


def rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotate body vectors (N, 3) into the world by quaternions (N, 4)."""
    w, xyz = quaternion[:, :1], quaternion[:, 1:]
    t = 2.0 * torch.linalg.cross(xyz, vector)
    return vector + w * t + torch.linalg.cross(xyz, t)


def rotate_inverse(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotate world vectors (N, 3) into the body by quaternions (N, 4)."""
    w, xyz = quaternion[:, :1], quaternion[:, 1:]
    t = 2.0 * torch.linalg.cross(xyz, vector)
    return vector - w * t + torch.linalg.cross(xyz, t)


def vertical_in_body(quaternion: Tensor) -> Tensor:
    """The world's z axis seen from the body, (N, 3): the last row of the rotation matrix."""
    w, x, y, z = quaternion.unbind(-1)
    return torch.stack(
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)], dim=-1
    )


class LegGeometry:
    """Forward kinematics of the four legs: `aliengo_description.robot.foot_positions` on tensors.

    The constants are put on the device once, so that a captured CUDA graph finds no copy from the host in here.

    Args:
        device: Where the constants live.
    """

    def __init__(self, device: torch.device) -> None:
        hips = robot.HIP_POSITIONS
        self._hip_x = torch.as_tensor(hips[:, 0].copy(), dtype=torch.float32, device=device)
        self._hip_y = torch.as_tensor(hips[:, 1].copy(), dtype=torch.float32, device=device)
        self._offset_y = torch.sign(self._hip_y) * robot.HIP_OFFSET_Y

    def positions(self, joint_positions: Tensor) -> tuple[Tensor, Tensor]:
        """Knees and feet in the base frame.

        Args:
            joint_positions: (N, 12) policy order [rad].

        Returns:
            knee (N, 4, 3) and foot (N, 4, 3) positions [m].

        Raises:
            ValueError: If the last axis is not 12 long.
        """
        if joint_positions.shape[-1] != 12:
            shape = tuple(joint_positions.shape)
            raise ValueError(f"joint_positions has shape {shape}; expected (N, 12)")
        hip, thigh, calf = joint_positions.reshape(-1, 4, 3).unbind(-1)
        knee_x = -robot.THIGH_LENGTH * torch.sin(thigh)
        knee_z = -robot.THIGH_LENGTH * torch.cos(thigh)
        foot_x = knee_x - robot.CALF_LENGTH * torch.sin(thigh + calf)
        foot_z = knee_z - robot.CALF_LENGTH * torch.cos(thigh + calf)
        sin, cos = torch.sin(hip), torch.cos(hip)

        def place(x: Tensor, z: Tensor) -> Tensor:
            y = self._hip_y + cos * self._offset_y - sin * z
            return torch.stack([self._hip_x + x, y, sin * self._offset_y + cos * z], dim=-1)

        return place(knee_x, knee_z), place(foot_x, foot_z)
