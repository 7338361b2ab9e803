"""The batched torch kinematics is the description's."""

import numpy as np
import pytest
import torch

from aliengo_description import robot
from aliengo_training.motion.kinematics import foot_positions_torch


def test_feet_agree_with_the_description() -> None:
    joints = np.random.default_rng(0).uniform(robot.JOINT_LOWER, robot.JOINT_UPPER, (5, 40, 12))
    feet = foot_positions_torch(torch.tensor(joints))
    np.testing.assert_allclose(feet.numpy(), robot.foot_positions(joints), atol=1e-12)
    assert feet.shape == (5, 40, 4, 3)


def test_type_and_gradient_are_kept() -> None:
    joints = torch.tensor(robot.DEFAULT_JOINT_POSITIONS, dtype=torch.float32, requires_grad=True)
    feet = foot_positions_torch(joints)
    assert feet.dtype == torch.float32
    (gradient,) = torch.autograd.grad(feet[0, 2], joints)
    expected = robot.foot_jacobians(robot.DEFAULT_JOINT_POSITIONS)[0, 2]
    np.testing.assert_allclose(gradient[:3].numpy(), expected, atol=1e-6)
    assert torch.count_nonzero(gradient[3:]) == 0


def test_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 11\); expected \(\.\.\., 12\)"):
        foot_positions_torch(torch.zeros(3, 11))
