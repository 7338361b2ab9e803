"""The batched leg geometry is the description's; rotations are those of the rotation matrix."""

import numpy as np
import pytest
import torch

from aliengo_description import robot
from aliengo_training.tasks.geometry import (
    LegGeometry,
    rotate,
    rotate_inverse,
    vertical_in_body,
)

CPU = torch.device("cpu")


def random_joints(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(robot.JOINT_LOWER, robot.JOINT_UPPER, (count, 12))


def test_feet_agree_with_the_description() -> None:
    joints = random_joints(200)
    _, feet = LegGeometry(CPU).positions(torch.tensor(joints, dtype=torch.float32))
    assert feet.dtype == torch.float32
    np.testing.assert_allclose(feet.numpy(), robot.foot_positions(joints), atol=1e-6)


def test_knees_lie_between_hip_and_foot() -> None:
    joints = torch.tensor(random_joints(200), dtype=torch.float32)
    knees, feet = LegGeometry(CPU).positions(joints)
    calf = torch.linalg.vector_norm(feet - knees, dim=-1)
    np.testing.assert_allclose(calf.numpy(), robot.CALF_LENGTH, atol=1e-6)
    hips = torch.tensor(robot.HIP_POSITIONS.copy(), dtype=torch.float32)
    reach = torch.linalg.vector_norm(knees - hips, dim=-1)
    expected = np.hypot(robot.THIGH_LENGTH, robot.HIP_OFFSET_Y)
    np.testing.assert_allclose(reach.numpy(), expected, atol=1e-6)


def test_the_gradient_is_the_jacobian() -> None:
    joints = torch.tensor(robot.DEFAULT_JOINT_POSITIONS[None], dtype=torch.float32)
    joints.requires_grad_(True)
    _, feet = LegGeometry(CPU).positions(joints)
    (gradient,) = torch.autograd.grad(feet[0, 0, 2], joints)
    expected = robot.foot_jacobians(robot.DEFAULT_JOINT_POSITIONS)[0, 2]
    np.testing.assert_allclose(gradient[0, :3].numpy(), expected, atol=1e-6)
    assert torch.count_nonzero(gradient[0, 3:]) == 0


def test_rotations_agree_with_the_rotation_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    quaternion = torch.nn.functional.normalize(torch.randn(50, 4, generator=generator))
    vector = torch.randn(50, 3, generator=generator)
    w, x, y, z = quaternion.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    matrix = torch.stack(rows, dim=-2)
    world = torch.einsum("nij,nj->ni", matrix, vector)
    torch.testing.assert_close(rotate(quaternion, vector), world)
    torch.testing.assert_close(rotate_inverse(quaternion, world), vector)
    torch.testing.assert_close(vertical_in_body(quaternion), matrix[:, 2])


def test_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 11\); expected \(N, 12\)"):
        LegGeometry(CPU).positions(torch.zeros(3, 11))
