"""The body of the twin obeys physics."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from aliengo_bridge.protocol import LowCommand, damping_command
from aliengo_description import robot
from aliengo_sim.dynamics import PUSH_DURATION_S, Dynamics
from aliengo_sim.motors import LIMP, MotorTargets

GRAVITY = 9.81


def stand(kp: float = 100.0, kd: float = 3.0) -> MotorTargets:
    command = LowCommand()
    command.q[:12], command.dq[:12] = robot.STAND_JOINT_POSITIONS, 0.0
    command.kp[:12], command.kd[:12] = kp, kd
    return MotorTargets.from_command(command)


def run(dynamics: Dynamics, targets: MotorTargets, seconds: float) -> None:
    for _ in range(round(seconds / dynamics.period_s)):
        dynamics.step(targets)


def in_the_air(height: float = 5.0, quaternion=(1.0, 0.0, 0.0, 0.0)) -> Dynamics:
    dynamics = Dynamics(start_pose="standing")
    dynamics.data.qpos[2] = height
    dynamics.data.qpos[3:7] = quaternion
    mujoco.mj_forward(dynamics.model, dynamics.data)
    return dynamics


def test_lies_on_its_belly_at_rest_after_start() -> None:
    dynamics = Dynamics()
    before = dynamics.ground_truth()
    assert before.up > 0.999
    assert before.position_w[2] == pytest.approx(0.056, abs=0.005)  # half the trunk's height
    run(dynamics, LIMP, 1.0)
    after = dynamics.ground_truth()
    np.testing.assert_allclose(after.position_w, before.position_w, atol=1e-3)
    np.testing.assert_allclose(after.joint_positions, before.joint_positions, atol=0.02)
    np.testing.assert_array_equal(after.joint_torques, 0.0)


def test_stands_with_pd_and_its_feet_carry_the_weight() -> None:
    dynamics = Dynamics(start_pose="standing")
    run(dynamics, stand(), 3.0)
    truth = dynamics.ground_truth()
    assert truth.up > 0.99
    assert 0.33 < truth.position_w[2] < robot.stand_height()
    assert truth.foot_forces.sum() == pytest.approx(robot.TOTAL_MASS * GRAVITY, rel=0.02)
    assert np.abs(truth.joint_velocities).max() < 0.05


def test_a_softer_stand_sags_more() -> None:
    heights = []
    for kp in (60.0, 100.0):
        dynamics = Dynamics(start_pose="standing")
        run(dynamics, stand(kp), 2.0)
        heights.append(dynamics.ground_truth().position_w[2])
    assert heights[0] < heights[1] - 0.005


def test_stands_up_from_lying() -> None:
    dynamics = Dynamics()
    lying = dynamics.ground_truth().joint_positions
    command = LowCommand()
    command.dq[:12], command.kp[:12], command.kd[:12] = 0.0, 100.0, 3.0
    for step in range(2000):
        share = min(1.0, step / 1500)
        command.q[:12] = lying + share * (robot.STAND_JOINT_POSITIONS - lying)
        dynamics.step(MotorTargets.from_command(command))
    truth = dynamics.ground_truth()
    assert truth.up > 0.98
    assert truth.position_w[2] > 0.33


@pytest.mark.parametrize("targets", [LIMP, MotorTargets.from_command(damping_command(5.0))])
def test_sinks_to_the_ground_when_limp_or_damped(targets: MotorTargets) -> None:
    dynamics = Dynamics(start_pose="standing")
    run(dynamics, stand(), 1.0)
    run(dynamics, targets, 3.0)
    assert dynamics.ground_truth().position_w[2] < 0.2


def test_damping_sinks_slower_than_limp() -> None:
    heights = []
    for targets in (LIMP, MotorTargets.from_command(damping_command(5.0))):
        dynamics = Dynamics(start_pose="standing")
        run(dynamics, stand(), 1.0)
        run(dynamics, targets, 0.3)
        heights.append(dynamics.ground_truth().position_w[2])
    assert heights[0] < heights[1] - 0.02


def test_falls_freely_with_gravity() -> None:
    dynamics = in_the_air()
    run(dynamics, LIMP, 0.3)
    truth = dynamics.ground_truth()
    assert truth.linear_velocity_b[2] == pytest.approx(-GRAVITY * 0.3, rel=0.01)
    assert 5.0 - truth.position_w[2] == pytest.approx(0.5 * GRAVITY * 0.3**2, rel=0.02)
    np.testing.assert_allclose(dynamics.imu_accelerometer, 0.0, atol=0.05)


def test_body_velocity_is_in_the_body_frame() -> None:
    # Yawed by +90 degrees the body's x is the world's y.
    dynamics = in_the_air(quaternion=(np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)))
    dynamics.data.qvel[:3] = [0.0, 2.0, 0.0]
    np.testing.assert_allclose(dynamics.ground_truth().linear_velocity_b, [2, 0, 0], atol=1e-12)


def test_a_push_changes_the_momentum_by_the_impulse() -> None:
    dynamics = in_the_air()
    dynamics.push([12.0, -5.0, 0.0])
    run(dynamics, LIMP, PUSH_DURATION_S + 0.02)
    momentum = dynamics.model.body_mass @ _com_velocities(dynamics)
    np.testing.assert_allclose(momentum[:2], [12.0, -5.0], rtol=1e-2)
    assert not dynamics.data.xfrc_applied.any()


def _com_velocities(dynamics: Dynamics) -> np.ndarray:
    """Velocity of the centre of mass of every body, by finite difference."""
    before = dynamics.data.xipos.copy()
    dynamics.step(LIMP)
    return (dynamics.data.xipos - before) / dynamics.period_s


@pytest.mark.parametrize("impulse", [[1.0, 2.0], [np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0]])
def test_a_bad_push_is_refused(impulse: list[float]) -> None:
    with pytest.raises(ValueError, match="three finite numbers"):
        Dynamics(start_pose="standing").push(impulse)


def test_time_goes_on_through_a_reset() -> None:
    dynamics = Dynamics()
    start = dynamics.ground_truth()
    assert start.time_s == 0.0
    dynamics.push([80.0, 0.0, 60.0])
    run(dynamics, stand(), 0.5)
    dynamics.reset()
    truth = dynamics.ground_truth()
    assert truth.time_s == pytest.approx(0.5)
    np.testing.assert_array_equal(truth.position_w, start.position_w)
    np.testing.assert_array_equal(truth.joint_velocities, 0.0)
    run(dynamics, LIMP, 0.5)
    assert np.abs(dynamics.ground_truth().position_w[:2]).max() < 0.01  # the push is over too


def test_a_violent_command_stays_a_simulation() -> None:
    command = LowCommand()
    command.dq[:12], command.kp[:12], command.kd[:12] = 0.0, 1000.0, 50.0
    dynamics = Dynamics()
    for step in range(2000):
        command.q[:12] = 3.0 if step // 50 % 2 else -3.0
        dynamics.step(MotorTargets.from_command(command))
    assert not dynamics.diverged
    assert np.isfinite(dynamics.ground_truth().position_w).all()


def test_divergence_is_noticed() -> None:
    dynamics = Dynamics()
    assert not dynamics.diverged
    dynamics.data.qvel[3] = np.nan
    assert dynamics.diverged


def test_payload_and_friction_reach_the_model() -> None:
    dynamics = Dynamics(foot_friction=0.3, payload_kg=4.0, start_pose="standing")
    assert dynamics.model.body_mass.sum() == pytest.approx(robot.TOTAL_MASS + 4.0)
    # What the solver works with follows, not just the figure itself.
    plain = Dynamics(foot_friction=0.3, start_pose="standing").model
    trunk = dynamics.model.body("trunk").id
    assert dynamics.model.body_subtreemass[trunk] == pytest.approx(robot.TOTAL_MASS + 4.0)
    assert dynamics.model.body_invweight0[trunk, 0] < 0.95 * plain.body_invweight0[trunk, 0]
    assert dynamics.model.geom("RR_foot_collision").friction[0] == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start_pose": "flying"}, "start_pose is 'flying'; allowed: lying, standing"),
        ({"period_s": 0.0}, "period_s is 0.0"),
        ({"foot_friction": 0.0}, "foot_friction is 0.0"),
        ({"payload_kg": -50.0}, "payload_kg is -50.0"),
    ],
)
def test_impossible_figures_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dynamics(**arguments)
