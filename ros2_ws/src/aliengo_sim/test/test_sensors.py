"""What the twin reports, in the conventions of the robot."""

from __future__ import annotations

from copy import deepcopy

import mujoco
import numpy as np
import pytest

from aliengo_bridge.protocol import MODE_SERVO, decode_low_state, encode_low_state
from aliengo_sim.dynamics import Dynamics
from aliengo_sim.motors import LIMP
from aliengo_sim.sensors import SensorConfig, Sensors, quaternion_to_rpy

SERVO = np.full(12, MODE_SERVO, dtype=np.uint8)


def axis_angle(axis: int, angle: float) -> np.ndarray:
    quaternion = np.zeros(4)
    quaternion[0], quaternion[1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
    return quaternion


def hung_up(quaternion: np.ndarray, spin_b: tuple[float, float, float] = (0.0, 0.0, 0.0)):
    """The state of a robot above the ground in a given attitude, every body held by its weight."""
    dynamics = Dynamics(start_pose="standing")
    dynamics.data.qpos[2] = 5.0
    dynamics.data.qpos[3:7] = quaternion
    dynamics.data.qvel[3:6] = spin_b
    dynamics.data.xfrc_applied[:, 2] = 9.81 * dynamics.model.body_mass
    mujoco.mj_forward(dynamics.model, dynamics.data)
    return Sensors(SensorConfig()).measure(dynamics, SERVO)


def test_imu_at_rest_reads_gravity_upwards() -> None:
    dynamics = Dynamics()
    for _ in range(500):
        dynamics.step(LIMP)
    state = Sensors(SensorConfig()).measure(dynamics, SERVO)
    np.testing.assert_allclose(state.accelerometer, [0.0, 0.0, 9.81], atol=0.05)
    np.testing.assert_allclose(state.gyroscope, 0.0, atol=0.01)
    np.testing.assert_allclose(state.quaternion, [1.0, 0.0, 0.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(state.rpy, 0.0, atol=2e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quaternion_is_wxyz_and_rpy_says_the_same(axis: int) -> None:
    state = hung_up(axis_angle(axis, 0.4))
    np.testing.assert_allclose(state.quaternion, axis_angle(axis, 0.4), atol=1e-6)
    np.testing.assert_allclose(state.rpy, 0.4 * np.eye(3)[axis], atol=1e-6)


def test_gyroscope_is_in_the_body_frame() -> None:
    state = hung_up(axis_angle(0, np.pi / 2), spin_b=(0.0, 0.0, 1.0))
    np.testing.assert_allclose(state.gyroscope, [0.0, 0.0, 1.0], atol=1e-12)


def test_accelerometer_turns_with_the_body() -> None:
    # Lying on its right side (roll +90 degrees), its left side, +y, points up.
    state = hung_up(axis_angle(0, np.pi / 2))
    np.testing.assert_allclose(state.accelerometer, [0.0, 9.81, 0.0], atol=1e-6)
    nose_down = hung_up(axis_angle(1, np.pi / 2))  # a positive pitch lowers the nose
    np.testing.assert_allclose(nose_down.accelerometer, [-9.81, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("quaternion", "rpy"),
    [
        ((1, 0, 0, 0), (0, 0, 0)),
        ((np.sqrt(0.5), 0, 0, np.sqrt(0.5)), (0, 0, np.pi / 2)),
        ((0, 1, 0, 0), (np.pi, 0, 0)),
        ((np.cos(0.6), 0, np.sin(0.6), 0), (0, 1.2, 0)),
    ],
)
def test_rpy_of_known_attitudes(quaternion, rpy) -> None:
    np.testing.assert_allclose(quaternion_to_rpy(quaternion), rpy, atol=1e-7)


def test_motor_states_are_in_policy_order_and_survive_the_wire() -> None:
    dynamics = Dynamics()
    dynamics.data.qpos[7:] = 0.1 * np.arange(12)
    dynamics.data.qvel[6:] = -0.01 * np.arange(12)
    dynamics.data.ctrl[:] = np.arange(12)
    state = decode_low_state(encode_low_state(Sensors(SensorConfig()).measure(dynamics, SERVO)))
    np.testing.assert_allclose(state.q[:12], 0.1 * np.arange(12), atol=1e-6)
    np.testing.assert_allclose(state.dq[:12], -0.01 * np.arange(12), atol=1e-6)
    np.testing.assert_allclose(state.tau_est[:12], np.arange(12))
    np.testing.assert_array_equal(state.mode[:12], MODE_SERVO)
    np.testing.assert_array_equal(state.mode[12:], 0)


def test_tick_counts_milliseconds_and_wraps_at_32_bits() -> None:
    dynamics, sensors = Dynamics(), Sensors(SensorConfig())
    ticks = []
    for _ in range(5):
        ticks.append(sensors.measure(dynamics, SERVO).tick)
        dynamics.step(LIMP)
    assert ticks == [0, 1, 2, 3, 4]
    dynamics._steps = 2**32 + 7
    assert sensors.measure(dynamics, SERVO).tick == 7


def test_feet_report_counts_over_an_offset() -> None:
    config = SensorConfig(foot_counts_per_newton=3.0, foot_offset_counts=20.0)
    dynamics, sensors = Dynamics(start_pose="standing"), Sensors(config)
    dynamics.foot_forces[:] = [0.0, 10.0, 50.0, 1e6]
    assert sensors.measure(dynamics, SERVO).foot_force.tolist() == [20, 50, 170, 32767]


def test_motors_warm_with_the_square_of_torque_and_cool_again() -> None:
    config = SensorConfig(heating=1e-3, cooling_time_s=100.0, ambient_temperature=25.0)
    sensors = Sensors(config)
    torque = np.zeros(12)
    torque[[2, 5]] = 10.0, -20.0
    for _ in range(10):
        sensors.warm(torque, 0.1)
    rise = sensors.temperatures - 25.0
    assert rise[5] == pytest.approx(4.0 * rise[2])
    assert rise[2] == pytest.approx(1e-3 * 100.0 * 1.0, rel=0.02)
    assert rise[0] == 0.0
    for _ in range(1000):
        sensors.warm(np.zeros(12), 1.0)
    np.testing.assert_allclose(sensors.temperatures, 25.0, atol=1e-2)


def test_noise_has_the_deviation_asked_for_and_a_seed() -> None:
    config = SensorConfig(gyroscope_noise=0.1, accelerometer_noise=0.5, joint_position_noise=0.01)
    dynamics = Dynamics()

    def sample(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sensors = Sensors(SensorConfig(**{**config.__dict__, "seed": seed}))
        states = [deepcopy(sensors.measure(dynamics, SERVO)) for _ in range(400)]
        gyro = np.stack([s.gyroscope for s in states])
        accelerometer = np.stack([s.accelerometer for s in states])
        return gyro, accelerometer, np.stack([s.q[:12] for s in states])

    gyro, accelerometer, joints = sample(1)
    assert gyro.std() == pytest.approx(0.1, rel=0.1)
    assert accelerometer.std(axis=0).mean() == pytest.approx(0.5, rel=0.1)
    assert joints.std(axis=0).mean() == pytest.approx(0.01, rel=0.1)
    np.testing.assert_array_equal(sample(1)[0], gyro)
    assert not np.array_equal(sample(2)[0], gyro)


@pytest.mark.parametrize(
    "values", [{"gyroscope_noise": -0.1}, {"heating": np.nan}, {"cooling_time_s": 0.0}]
)
def test_impossible_figures_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))} is"):
        SensorConfig(**values)
