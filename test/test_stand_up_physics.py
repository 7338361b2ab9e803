"""Standing up and sitting down with the robot's weight on the legs, in MuJoCo."""

from pathlib import Path

import numpy as np
import pytest
from simulated_robot import SimulatedRobot

from aliengo_description import robot
from aliengo_policy.controller import Controller
from aliengo_policy.modes import Mode
from aliengo_policy.runtime import PolicyRuntime
from aliengo_policy.testing import write_linear_policy

POSES = {
    "lying": robot.LYING_JOINT_POSITIONS,
    "splayed": np.array([0.5, 0.2, -0.9, -0.5, 0.2, -0.9] * 2),
    "legs stretched back": np.array([0.0, 1.5, -0.7] * 4),
    "one leg forward": np.array([0.0, -0.3, -0.9] + [0.2, 1.16, -2.7] * 3),
}


@pytest.mark.parametrize("pose", sorted(POSES))
def test_it_stands_up_from_the_ground_and_lies_down_again(tmp_path: Path, pose: str) -> None:
    runtime = PolicyRuntime(write_linear_policy(tmp_path / "zero.onnx"))
    plant = SimulatedRobot(Controller({"zero": runtime}, "zero"), POSES[pose])
    assert plant.height < 0.15
    plant.highest_tilt = 0.0
    plant.request(Mode.STAND_UP)
    plant.run(12.0, until=Mode.STAND)
    assert plant.controller.mode is Mode.STAND, plant.controller.reason
    plant.run(1.0)
    assert plant.height > 0.33
    assert plant.state().tilt() < 0.1
    assert plant.highest_tilt < 0.5

    plant.request(Mode.WALK)
    plant.run(1.5)  # the zero action: the policy's gains hold the stand
    assert plant.height > 0.3
    plant.request(Mode.SIT_DOWN)
    plant.run(8.0, until=Mode.DAMPING)
    assert plant.controller.reason == "sit down finished"
    plant.run(1.0)
    assert plant.height < 0.15
    assert plant.highest_tilt < 0.5
