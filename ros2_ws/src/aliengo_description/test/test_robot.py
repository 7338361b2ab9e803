"""The figures of robot.py: names, order, limits and their relations."""

from __future__ import annotations

import numpy as np
import pytest

from aliengo_description import robot

ARRAYS = [name for name in dir(robot) if isinstance(getattr(robot, name), np.ndarray)]


def test_joints_are_in_policy_order() -> None:
    assert robot.JOINT_NAMES[:4] == (
        "FL_hip_joint",
        "FL_thigh_joint",
        "FL_calf_joint",
        "FR_hip_joint",
    )
    assert (
        [name[:2] for name in robot.JOINT_NAMES[::3]]
        == list(robot.LEG_NAMES)
        == ["FL", "FR", "RL", "RR"]
    )
    assert [name[:2] for name in robot.FOOT_NAMES] == list(robot.LEG_NAMES)


def test_there_are_arrays_to_check() -> None:
    assert len(ARRAYS) > 20


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_cannot_be_changed_by_an_importer(name: str) -> None:
    array = getattr(robot, name)
    assert array.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0.0


def test_left_and_right_legs_stand_on_their_sides() -> None:
    feet = robot.foot_positions(robot.STAND_JOINT_POSITIONS)
    assert (np.sign(feet[:, 0]) == robot.LEG_FRONT).all()
    assert (np.sign(feet[:, 1]) == robot.LEG_SIDE).all()
    # hip straight down: width between the feet 2 (0.051 + 0.083) m
    assert feet[0, 1] - feet[1, 1] == pytest.approx(0.268)


def test_safe_limits_lie_within_the_mechanical_ones_and_hold_the_poses() -> None:
    assert (robot.SAFE_JOINT_LOWER >= robot.JOINT_LOWER).all()
    assert (robot.SAFE_JOINT_UPPER <= robot.JOINT_UPPER).all()
    for pose in (robot.STAND_JOINT_POSITIONS, robot.LYING_JOINT_POSITIONS):
        assert ((pose > robot.SAFE_JOINT_LOWER) & (pose < robot.SAFE_JOINT_UPPER)).all()


def test_safe_hip_limits_mirror_from_left_to_right() -> None:
    lower, upper = robot.SAFE_JOINT_LOWER.reshape(4, 3), robot.SAFE_JOINT_UPPER.reshape(4, 3)
    np.testing.assert_array_equal(lower[::2, 0], -upper[1::2, 0])
    np.testing.assert_array_equal(upper[::2, 0], -lower[1::2, 0])
    np.testing.assert_array_equal(lower[::2, 1:], lower[1::2, 1:])


def test_torque_and_speed_limits_tell_of_the_same_extra_transmission() -> None:
    torque, speed = robot.TORQUE_LIMITS[:3], robot.VELOCITY_LIMITS[:3]
    assert torque[2] / torque[1] == pytest.approx(speed[1] / speed[2], rel=1e-3)


@pytest.mark.parametrize("name", ["ARMATURE", "FRICTIONLOSS", "DAMPING"])
def test_nominal_joint_parameters_lie_within_their_range(name: str) -> None:
    lower, upper = getattr(robot, f"{name}_RANGE")
    nominal = getattr(robot, name)
    assert (lower > 0.0).all()
    assert ((lower < nominal) & (nominal < upper)).all()


def test_masses_add_up_to_the_published_total() -> None:
    # Revision O: 24.937 kg with its 1 g IMU link, which is left out here.
    total = robot.TOTAL_MASS
    assert total == pytest.approx(24.936, abs=1e-9)


def test_stand_height_is_the_lowest_foot() -> None:
    joints = np.tile([0.0, 0.8, -1.5], 4)
    # 0.25 cos 0.8 + 0.25 cos 0.7 + 0.0265
    assert robot.stand_height(joints) == pytest.approx(0.391887, abs=1e-6)
