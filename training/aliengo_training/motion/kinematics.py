"""Forward kinematics of the four legs on torch tensors, for thousands of robots at once."""

from __future__ import annotations

import torch

from aliengo_description import robot

__all__ = ["foot_positions_torch"]


def foot_positions_torch(joint_positions: torch.Tensor) -> torch.Tensor:
    """Return the centres of the feet in the trunk frame.

    The same figures as :func:`aliengo_description.robot.foot_positions`, on the tensor's device.

    Args:
        joint_positions: ``(..., 12)`` [rad], policy order.

    Returns:
        ``(..., 4, 3)`` [m], of the input's type and device.

    Raises:
        ValueError: If the last axis is not 12 long.
    """
    if joint_positions.shape[-1] != 12:
        shape = tuple(joint_positions.shape)
        raise ValueError(f"joint_positions has shape {shape}; expected (..., 12)")
    hip, thigh, calf = joint_positions.reshape(*joint_positions.shape[:-1], 4, 3).unbind(-1)
    # The legs' sides and hips are eight numbers: built from scalars, so that a captured CUDA graph
    # finds no copy from the host in here.
    knee = thigh + calf
    x = -robot.THIGH_LENGTH * torch.sin(thigh) - robot.CALF_LENGTH * torch.sin(knee)
    down = -robot.THIGH_LENGTH * torch.cos(thigh) - robot.CALF_LENGTH * torch.cos(knee)
    sine, cosine = torch.sin(hip), torch.cos(hip)
    feet = []
    for leg in range(4):
        out = float(robot.LEG_SIDE[leg]) * robot.HIP_OFFSET_Y
        hip_x, hip_y, hip_z = (float(value) for value in robot.HIP_POSITIONS[leg])
        y = out * cosine[..., leg] - sine[..., leg] * down[..., leg] + hip_y
        z = out * sine[..., leg] + cosine[..., leg] * down[..., leg] + hip_z
        feet.append(torch.stack([x[..., leg] + hip_x, y, z], dim=-1))
    return torch.stack(feet, dim=-2)
