"""Leg odometry while the shipped policy walks the twin, with the noise of the twin's sensors."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from aliengo_description import robot
from aliengo_policy.observation import RobotState
from aliengo_policy.odometry import LegOdometry, Reading
from aliengo_policy.runtime import PolicyRuntime
from aliengo_sim.dynamics import Dynamics
from aliengo_sim.motors import MotorTargets
from aliengo_sim.sensors import SensorConfig, Sensors

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "base.onnx"
SERVO = np.full(12, 0x0A, np.uint8)
ODOMETRY_MS, POLICY_MS = 10, 20


def sensor_config() -> SensorConfig:
    values = yaml.safe_load((ROOT / "config" / "sim.yaml").read_text())["/**"]["ros__parameters"]
    sensors = {name: value for name, value in values.items() if name.startswith("sensors.")}
    return SensorConfig(**{name.removeprefix("sensors."): v for name, v in sensors.items()})


def walk(command: tuple[float, float, float], seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """True and estimated velocities (n, 3) in the base frame, one row per estimate."""
    dynamics = Dynamics(start_pose="standing")
    sensors, policy, odometry = Sensors(sensor_config()), PolicyRuntime(MODEL), LegOdometry()
    kp, kd = (np.array(getattr(policy.contract, name)) for name in ("kp", "kd"))
    target, zero = np.array(robot.STAND_JOINT_POSITIONS), np.zeros(12)
    truth, estimates = [], []
    for ms in range(round(seconds * 1000)):
        if ms % ODOMETRY_MS == 0:
            state = sensors.measure(dynamics, SERVO)
            reading = Reading(
                np.array(state.quaternion, np.float64),
                np.array(state.gyroscope, np.float64),
                np.array(state.accelerometer, np.float64),
                np.array(state.q[:12], np.float64),
                np.array(state.dq[:12], np.float64),
                np.array(state.tau_est[:12], np.float64),
            )
            estimates.append(odometry.update(reading, ODOMETRY_MS * 1e-3).linear_velocity_b)
            truth.append(dynamics.ground_truth().linear_velocity_b)
        if ms % POLICY_MS == 0:
            measured = RobotState(
                reading.joint_positions,
                reading.joint_velocities,
                reading.quaternion,
                reading.gyroscope,
            )
            target = policy.step(measured, np.array(command)).joint_targets
        dynamics.step(MotorTargets(SERVO, target, zero, kp, kd, zero))
    assert dynamics.ground_truth().up > 0.7, "the robot fell: this walk tests nothing"
    return np.array(truth), np.array(estimates)


@pytest.mark.parametrize("command", [(1.0, 0.0, 0.0), (0.5, 0.0, 0.5), (0.0, 0.0, 0.0)])
def test_velocity_is_within_a_tenth_of_a_metre_per_second(command):
    truth, estimates = walk(command, 8.0)
    settled = slice(len(truth) // 4, None)
    assert abs(np.mean(truth[settled, 0]) - command[0]) < 0.3, "the policy does not walk as told"
    error = np.sqrt(np.mean((estimates[settled] - truth[settled]) ** 2, axis=0))
    assert error[0] <= 0.1
    assert error[1] <= 0.1
