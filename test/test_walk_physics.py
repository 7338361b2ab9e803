"""The shipped policies walk the robot's physics under the controller that drives the real one."""

import numpy as np
from simulated_robot import SimulatedRobot

from aliengo_description import robot
from aliengo_policy.commands import CommandLimits
from aliengo_policy.controller import Controller
from aliengo_policy.modes import Mode
from aliengo_policy.paths import shared_folder
from aliengo_policy.runtime import PolicyRuntime

MODELS = shared_folder("models")


def walking(name: str) -> SimulatedRobot:
    """A robot that has stood up and walks on the spot under the policy ``name``."""
    path = MODELS / f"{name}.onnx"
    controller = Controller({name: PolicyRuntime(path)}, name, CommandLimits(max_vel=3.0))
    plant = SimulatedRobot(controller, robot.LYING_JOINT_POSITIONS)
    plant.request(Mode.STAND_UP)
    plant.run(12.0, until=Mode.STAND)
    plant.run(1.0)
    plant.request(Mode.WALK)
    plant.run(1.0)
    plant.highest_tilt = 0.0
    return plant


def rmse(measured: np.ndarray, speed: float) -> float:
    return float(np.sqrt(np.mean((measured[:, 0] - speed) ** 2)))


def test_the_base_follows_forward_commands_and_lies_down_at_the_end() -> None:
    plant = walking("base")
    for speed in (0.3, 0.6, 1.0):
        measured = plant.walk((speed, 0.0, 0.0), 4.0)
        assert abs(measured[:, 0].mean() - speed) < 0.2, speed
    start = plant.data.qpos[:2].copy()
    still = plant.walk((0.0, 0.0, 0.0), 3.0)
    assert np.linalg.norm(plant.data.qpos[:2] - start) < 0.7
    assert np.linalg.norm(still.mean(axis=0)[:2]) < 0.1
    plant.request(Mode.SIT_DOWN)
    plant.run(10.0, until=Mode.DAMPING)
    assert plant.controller.reason == "sit down finished"
    assert plant.highest_tilt < 0.5


def test_the_residual_follows_faster_commands() -> None:
    plant = walking("residual")
    for speed in (1.0, 1.6, 2.0, 2.5):
        assert rmse(plant.walk((speed, 0.0, 0.0), 4.5), speed) < 0.2, speed
    assert plant.highest_tilt < 0.5
    assert not plant.controller.runtime.residual_fault


def test_the_residual_leaves_the_base_alone_within_its_commands() -> None:
    plant = walking("residual")
    largest = 0.0
    for speed in (0.0, 0.5, 1.0):
        plant.velocity = (speed, 0.0, 0.0)
        for _ in range(100):
            plant.run(0.02)
            output = plant.controller.last_output
            assert output is not None
            largest = max(largest, float(np.abs(output.action - output.base_action).max()))
    assert largest < 1e-6


def test_losing_the_residual_at_speed_does_not_make_the_robot_fall() -> None:
    plant = walking("residual")
    plant.walk((2.0, 0.0, 0.0), 4.0)
    plant.controller.runtime.residual_fault = "injected"
    plant.walk((2.0, 0.0, 0.0), 2.0)
    slower = plant.walk((2.0, 0.0, 0.0), 3.0)
    base_range = plant.controller.runtime.contract.residual_gate
    assert base_range is not None
    assert plant.controller.mode is Mode.WALK
    assert "walking on with the base: injected" in plant.controller.reason
    assert abs(slower[:, 0].mean() - base_range.base_ranges["vx"][1]) < 0.2
    assert plant.highest_tilt < 0.8
