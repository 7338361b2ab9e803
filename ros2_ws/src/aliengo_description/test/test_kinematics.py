"""Forward and inverse kinematics against the motion clips, MuJoCo, and each other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from aliengo_description import robot


def random_joints(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(robot.SAFE_JOINT_LOWER, robot.SAFE_JOINT_UPPER, size=(count, 12))


def motion_files() -> list[Path]:
    folder = os.environ.get("ALIENGO_MOTION_DATA")
    return sorted(Path(folder).glob("*.txt")) if folder else []


def test_reproduces_the_feet_of_the_motion_clips() -> None:
    files = motion_files()
    if not files:
        pytest.skip("set ALIENGO_MOTION_DATA to the folder of the motion clips")
    for path in files:
        frames = np.array(json.loads(path.read_text(encoding="utf-8"))["Frames"])
        feet = robot.foot_positions(frames[:, 7:19]).reshape(-1, 12)
        assert np.abs(feet - frames[:, 19:31]).max() < 1e-4, path.name


def test_straight_leg_hangs_below_the_hip() -> None:
    feet = robot.foot_positions(np.zeros(12))
    np.testing.assert_allclose(feet[0], [0.2399, 0.051 + 0.083, -0.5], atol=1e-15)
    np.testing.assert_allclose(feet[3], [-0.2399, -0.051 - 0.083, -0.5], atol=1e-15)


def test_positive_angles_move_the_foot_left_and_back() -> None:
    rest = robot.foot_positions(robot.STAND_JOINT_POSITIONS)
    for leg in range(4):
        hip, thigh = (
            robot.STAND_JOINT_POSITIONS + 0.1 * np.eye(12)[3 * leg + kind] for kind in (0, 1)
        )
        assert robot.foot_positions(hip)[leg, 1] > rest[leg, 1]
        assert robot.foot_positions(thigh)[leg, 0] < rest[leg, 0]


def test_inverse_kinematics_is_the_inverse() -> None:
    joints = random_joints(500)
    # One foot has two hip angles, above and below the hip's axis: keep those below, which is what
    # is asked for.
    folded = np.abs(joints.reshape(-1, 4, 3)[..., 1] + joints.reshape(-1, 4, 3)[..., 2] / 2) < 1.4
    joints = joints[folded.all(axis=1)]
    assert len(joints) > 50
    np.testing.assert_allclose(
        robot.leg_inverse_kinematics(robot.foot_positions(joints)), joints, atol=1e-7
    )


def test_inverse_kinematics_keeps_leading_axes() -> None:
    feet = robot.foot_positions(np.broadcast_to(robot.STAND_JOINT_POSITIONS, (2, 5, 12)))
    assert feet.shape == (2, 5, 4, 3)
    joints = robot.leg_inverse_kinematics(feet)
    assert joints.shape == (2, 5, 12)
    np.testing.assert_allclose(joints[1, 4], robot.STAND_JOINT_POSITIONS, atol=1e-9)


@pytest.mark.parametrize(
    ("move", "reason"),
    [([0.0, 0.0, -0.3], "further than 0.5 m"), ([0.0, -0.1, 0.35], "closer than 0.083 m")],
)
def test_a_foot_out_of_reach_is_named(move: list[float], reason: str) -> None:
    feet = robot.foot_positions(robot.STAND_JOINT_POSITIONS)
    feet[2] += move
    with pytest.raises(ValueError, match=f"RL_foot cannot reach .*{reason}"):
        robot.leg_inverse_kinematics(feet)


def test_jacobian_is_the_derivative() -> None:
    joints, step = random_joints(20, seed=3), 1e-6
    jacobians = robot.foot_jacobians(joints)
    for leg in range(4):
        for kind in range(3):
            move = step * np.eye(12)[3 * leg + kind]
            numeric = (
                robot.foot_positions(joints + move) - robot.foot_positions(joints - move)
            ) / (2 * step)
            np.testing.assert_allclose(jacobians[:, leg, :, kind], numeric[:, leg], atol=1e-8)


@pytest.mark.parametrize(
    "function", [robot.foot_positions, robot.foot_jacobians, robot.leg_inverse_kinematics]
)
def test_wrong_shapes_are_refused(function) -> None:
    with pytest.raises(ValueError, match=r"shape \(11,\); expected \(\.\.\., (12|4, 3)\)"):
        function(np.zeros(11))
