"""Leg odometry against motions whose velocity is known by construction and by simulation."""

import mujoco
import numpy as np
import pytest

from aliengo_description import robot
from aliengo_policy.odometry import (
    GRAVITY,
    LegOdometry,
    OdometryConfig,
    Reading,
    multiply_quaternions,
    rotation_matrix,
    vertical_foot_forces,
)

DT = 0.002
STANCE_S = 0.2
PAIRS = (np.array([True, False, False, True]), np.array([False, True, True, False]))
LOAD = 120.0


def no_slip_rates(joints, velocity_b, gyroscope, rotation):
    """Joint rates (4, 3) at which the lowest point of each foot's sphere stands still."""
    offset = rotation.T @ [0.0, 0.0, -robot.FOOT_RADIUS]
    hip = joints.reshape(4, 3)[:, 0]
    pitch_axis = np.stack([np.zeros(4), np.cos(hip), np.sin(hip)], axis=1)
    jacobians = robot.foot_jacobians(joints)
    jacobians[:, :, 0] += np.cross([1.0, 0.0, 0.0], offset)
    jacobians[:, :, 1] += np.cross(pitch_axis, offset)
    jacobians[:, :, 2] += np.cross(pitch_axis, offset)
    contact = robot.foot_positions(joints) + offset
    motion = velocity_b + np.cross(gyroscope, contact)
    return -np.linalg.solve(jacobians, motion[..., None])[..., 0]


def trot(velocity_b, yaw_rate, seconds):
    """Yields readings of a trot at constant velocity whose stance feet roll without slip."""
    velocity_b, gyroscope = np.array([*velocity_b, 0.0]), np.array([0.0, 0.0, yaw_rate])
    stand = np.array(robot.STAND_JOINT_POSITIONS)
    joints = stand.copy()
    for step in range(round(seconds / DT)):
        heading = 0.5 * yaw_rate * step * DT
        quaternion = np.array([np.cos(heading), 0.0, 0.0, np.sin(heading)])
        rotation = rotation_matrix(quaternion)
        stance = PAIRS[int(step * DT / STANCE_S) % 2]
        rates = no_slip_rates(joints, velocity_b, gyroscope, rotation)
        # Feet in the air go back to where they started, however wildly.
        rates[~stance] = ((stand - joints) / 0.05).reshape(4, 3)[~stance]
        force_b = rotation.T @ [0.0, 0.0, LOAD]
        torques = -np.einsum("fij,i->fj", robot.foot_jacobians(joints), force_b)
        torques[~stance] = 0.0
        yield Reading(
            quaternion=quaternion,
            gyroscope=gyroscope,
            accelerometer=np.array([0.0, 0.0, 9.81]) + np.cross(gyroscope, velocity_b),
            joint_positions=joints.copy(),
            joint_velocities=rates.ravel(),
            joint_torques=torques.ravel(),
        )
        joints = joints + rates.ravel() * DT


@pytest.mark.parametrize(
    ("velocity", "yaw_rate"), [((1.0, 0.0), 0.0), ((-0.5, 0.3), 0.0), ((0.8, 0.0), 0.8)]
)
def test_a_rolling_trot_is_measured_without_bias(velocity, yaw_rate):
    odometry = LegOdometry()
    found = [odometry.update(r, DT).linear_velocity_b for r in trot(velocity, yaw_rate, 2.0)]
    np.testing.assert_allclose(np.mean(found[250:], axis=0), [*velocity, 0.0], atol=0.01)
    assert np.abs(np.array(found[250:]) - [*velocity, 0.0]).max() < 0.05


def test_distance_is_the_integral_of_the_velocity():
    odometry = LegOdometry()
    for reading in trot((1.0, 0.0), 0.0, 4.0):
        estimate = odometry.update(reading, DT)
    assert estimate.position[0] == pytest.approx(4.0, abs=0.08)
    assert abs(estimate.position[1]) < 0.02


def test_the_estimate_does_not_depend_on_the_heading_of_the_imu():
    half = 0.5 * 2.1
    turn = np.array([np.cos(half), 0.0, 0.0, np.sin(half)])
    straight, turned = LegOdometry(), LegOdometry()
    for reading in trot((0.7, 0.1), 0.0, 0.5):
        a = straight.update(reading, DT)
        b = turned.update(Reading(**(vars(reading) | {"quaternion": turn})), DT)
    np.testing.assert_allclose(a.position, b.position, atol=1e-9)
    np.testing.assert_allclose(a.quaternion, b.quaternion, atol=1e-12)


def test_foot_forces_invert_the_transposed_jacobian():
    rng = np.random.default_rng(1)
    joints = robot.STAND_JOINT_POSITIONS + rng.uniform(-0.2, 0.2, 12)
    forces = rng.uniform(-50.0, 150.0, (4, 3))
    torques = -np.einsum("fij,fi->fj", robot.foot_jacobians(joints), forces)
    found = vertical_foot_forces(np.eye(3), joints, torques.ravel())
    np.testing.assert_allclose(found, forces[:, 2], rtol=0.02, atol=1.0)


def test_readings_that_are_not_finite_are_named_and_leave_no_trace():
    odometry = LegOdometry()
    readings = list(trot((0.5, 0.0), 0.0, 0.1))
    for reading in readings[:-1]:
        odometry.update(reading, DT)
    broken = Reading(**(vars(readings[-1]) | {"gyroscope": np.array([0.0, np.nan, 0.0])}))
    with pytest.raises(ValueError, match="gyroscope"):
        odometry.update(broken, DT)
    assert np.isfinite(odometry.update(readings[-1], DT).position).all()


def test_after_a_gap_it_goes_on_where_it_was_and_says_how_uncertain_that_is():
    odometry, whole = LegOdometry(), LegOdometry()
    readings = list(trot((0.8, 0.0), 0.5, 4.0))
    first, second = round(2.0 / DT), round(2.3 / DT)
    for reading in readings[:first]:
        before = odometry.update(reading, DT)
    odometry.skip((second - first) * DT)
    after = odometry.update(readings[second], 0.0)
    for reading in readings[: second + 1]:
        truth = whole.update(reading, DT)
    # Straight ahead meanwhile, and it did turn: a few centimetres.
    np.testing.assert_allclose(after.position, truth.position, atol=0.05)
    assert np.linalg.norm(after.position[:2] - before.position[:2]) > 0.15
    np.testing.assert_allclose(after.quaternion, truth.quaternion, atol=1e-9)
    assert after.position_variance[:2] == pytest.approx(0.3**2, rel=0.1)
    assert after.position_variance[2] < 1e-3
    for reading in readings[second + 1 :]:
        after, truth = odometry.update(reading, DT), whole.update(reading, DT)
    np.testing.assert_allclose(after.position, truth.position, atol=0.06)
    np.testing.assert_allclose(after.linear_velocity_b, truth.linear_velocity_b, atol=0.02)
    # Nothing that it sees tells it where it is.
    assert (after.position_variance[:2] > 0.08).all()


def test_an_imu_that_begins_anew_in_a_gap_does_not_turn_the_world():
    odometry = LegOdometry()
    readings = list(trot((0.8, 0.0), 0.5, 2.2))
    for reading in readings[:-1]:
        before = odometry.update(reading, DT)
    half = 0.5 * 1.6
    turn = np.array([np.cos(half), 0.0, 0.0, np.sin(half)])
    turned = multiply_quaternions(turn, readings[-1].quaternion)
    odometry.skip(0.2)
    after = odometry.update(Reading(**(vars(readings[-1]) | {"quaternion": turned})), 0.0)
    np.testing.assert_allclose(after.quaternion, before.quaternion, atol=0.01)


def test_long_and_repeated_gaps_leave_a_covariance():
    readings = list(trot((0.5, 0.0), 0.0, 0.4))
    for gaps in ([86_400.0], [1e7], [10.0, 20.0]):
        odometry = LegOdometry()
        for reading in readings[:100]:
            odometry.update(reading, DT)
        for gap in gaps:
            odometry.skip(gap)
        for reading in readings[100:]:
            estimate = odometry.update(reading, DT)
        assert (estimate.velocity_variance > 0.0).all()
        expected = min(sum(gap**2 for gap in gaps), 1e6)
        assert estimate.position_variance[:2] == pytest.approx(expected, rel=0.01)


def test_a_gap_before_the_first_reading_is_none():
    odometry = LegOdometry()
    odometry.skip(3.0)
    estimate = odometry.update(next(iter(trot((0.5, 0.0), 0.0, 0.1))), DT)
    np.testing.assert_allclose(estimate.position[:2], 0.0, atol=1e-3)
    assert (estimate.position_variance[:2] < 1e-4).all()


@pytest.mark.parametrize(
    ("first", "second", "between"),
    [(5, 15, 10), (2**32 - 4, 6, 10), (7, 7, 0), (90_000, 12, 12 - 90_000), (0, 60_000, 60_000)],
)
def test_ticks_are_counted_across_their_turn_and_back(first, second, between):
    node = pytest.importorskip("aliengo_policy.odometry_node")
    assert node._ticks_between(first, second) == between


def test_a_threshold_without_a_ramp_is_refused():
    with pytest.raises(ValueError, match="contact_force"):
        OdometryConfig(contact_force=(60.0, 60.0))


class Simulation:
    """The robot in MuJoCo under a PD controller at 1 kHz, with the readings of an ideal sensor."""

    def __init__(self):
        self.model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
        self.model.opt.timestep = 0.001
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:3] = 0.0, 0.0, robot.stand_height()
        self.data.qpos[3:7] = 1.0, 0.0, 0.0, 0.0
        self.data.qpos[7:] = robot.STAND_JOINT_POSITIONS
        mujoco.mj_forward(self.model, self.data)

    def run(self, targets, steps):
        for _ in range(steps):
            error = targets - self.data.qpos[7:]
            torque = 2.0 * robot.KP * error - robot.KD * self.data.qvel[6:]
            self.data.ctrl[:] = np.clip(torque, -robot.TORQUE_LIMITS, robot.TORQUE_LIMITS)
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_forward(self.model, self.data)

    @property
    def velocity_b(self):
        return rotation_matrix(self.data.qpos[3:7]).T @ self.data.qvel[:3]

    def reading(self):
        rotation = rotation_matrix(self.data.qpos[3:7])
        return Reading(
            quaternion=self.data.qpos[3:7].copy(),
            gyroscope=self.data.qvel[3:6].copy(),
            accelerometer=rotation.T @ (self.data.qacc[:3] - GRAVITY),
            joint_positions=self.data.qpos[7:].copy(),
            joint_velocities=self.data.qvel[6:].copy(),
            joint_torques=self.data.ctrl.copy(),
        )


def walking_targets(time, stride, lift=0.06, period=0.4):
    """Joint targets of an open-loop trot: half-sine lift, linear stance."""
    feet = robot.foot_positions(robot.STAND_JOINT_POSITIONS)
    feet[:, 2] -= 0.02
    for leg, offset in enumerate((0.0, 0.5, 0.5, 0.0)):
        phase = (time / period + offset) % 1.0
        if phase < 0.5:
            feet[leg, 0] += stride * (2.0 * phase - 0.5)
            feet[leg, 2] += lift * np.sin(2.0 * np.pi * phase)
        else:
            feet[leg, 0] += stride * (1.5 - 2.0 * phase)
    return robot.leg_inverse_kinematics(feet)


def test_a_simulated_trot_is_measured_within_a_tenth_of_a_metre_per_second():
    simulation, odometry = Simulation(), LegOdometry()
    simulation.run(robot.STAND_JOINT_POSITIONS, 500)
    errors, speeds = [], []
    for step in range(1500):
        stride = 0.16 * min(step / 250.0, 1.0)
        simulation.run(walking_targets(step * 0.004, stride), 4)
        estimate = odometry.update(simulation.reading(), 0.004)
        errors.append(estimate.linear_velocity_b[0] - simulation.velocity_b[0])
        speeds.append(simulation.velocity_b[0])
    assert simulation.data.qpos[2] > 0.25, "the robot fell: this motion tests nothing"
    assert np.mean(speeds[500:]) > 0.3, "the robot did not walk: this motion tests nothing"
    assert np.sqrt(np.mean(np.square(errors[500:]))) < 0.1
