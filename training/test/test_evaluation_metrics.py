"""Figures of signals that were worked out by hand."""

import numpy as np
import pytest

from aliengo_training.evaluation import metrics


def test_rmse_is_taken_per_rollout() -> None:
    values = np.array([[1.0, 3.0], [0.5, 0.5]])
    np.testing.assert_allclose(metrics.rmse(values, np.array([1.0, 0.5])), [np.sqrt(2.0), 0.0])


def test_duty_and_carried_leg() -> None:
    forces = np.zeros((1, 10, 4))
    forces[0, :6, 0] = 50.0
    forces[0, :, 2] = 90.0
    forces[0, :, 1] = metrics.CONTACT_FORCE_N  # not more than the threshold
    forces[0, 0, 3] = 10.0
    duty = metrics.duty_factors(forces)
    np.testing.assert_allclose(duty, [[0.6, 0.0, 1.0, 0.1]])
    assert metrics.carried_legs(duty[0]) == ("FR", "RR")
    assert metrics.carried_legs(np.full(4, 0.5)) == ()


def test_lift_offs_are_counted_per_foot_and_second() -> None:
    forces = np.full((1, 101, 4), 50.0)
    forces[0, 20:30, 0] = 0.0
    forces[0, 60:, 0] = 0.0
    # Two lift-offs of one of four feet in 100 steps of 0.02 s.
    everything = np.ones(forces.shape[1], dtype=bool)
    np.testing.assert_allclose(metrics.lift_offs_per_s(forces, 0.02, everything), [2 / 4 / 2.0])


def test_lift_offs_outside_the_counted_stretches_are_none() -> None:
    forces = np.full((2, 101, 4), 50.0)
    forces[0, 10:15, 0] = forces[0, 45:50, 2] = forces[0, 80:, 3] = 0.0
    # Of row 0's lift-offs one is counted; that of row 1 is into a counted sample, not between two.
    forces[1, 60:70, 1] = 0.0
    counted = np.zeros(101, dtype=bool)
    counted[:31] = counted[60:71] = True
    # Thirty steps and ten.
    expected = [1 / 4 / (40 * 0.02), 0.0]
    np.testing.assert_allclose(metrics.lift_offs_per_s(forces, 0.02, counted), expected)
    nothing = np.zeros(101, dtype=bool)
    np.testing.assert_array_equal(metrics.lift_offs_per_s(forces, 0.02, nothing), [0.0, 0.0])


def test_cost_of_transport_counts_positive_power_only() -> None:
    torques, speeds = np.zeros((2, 5, 12)), np.zeros((2, 5, 12))
    torques[..., 0], speeds[..., 0] = 10.0, 4.0
    torques[..., 1], speeds[..., 1] = -10.0, 4.0
    cost = metrics.cost_of_transport(torques, speeds, np.array([0.5, 0.05]), 20.0)
    np.testing.assert_allclose(cost[0], 40.0 / (20.0 * 9.81 * 0.5))
    assert np.isnan(cost[1])


def test_saturation_is_a_share_of_steps_and_joints() -> None:
    torques = np.zeros((1, 10, 12))
    torques[0, :3, 2] = -metrics.robot.TORQUE_LIMITS[2]
    torques[0, :, 0] = 0.9 * metrics.robot.TORQUE_LIMITS[0]
    np.testing.assert_allclose(metrics.torque_saturation(torques), [3 / 120])


def test_target_rate_and_largest_step() -> None:
    targets = np.zeros((1, 6, 12))
    targets[0, 2:, 4] = 0.3
    targets[0, 5:, 4] = 1.3
    np.testing.assert_allclose(
        metrics.target_rate(targets, 0.02), [np.sqrt((0.3**2 + 1.0) / (5 * 12)) / 0.02]
    )
    counted = np.array([True, True, True, True, True, False])
    np.testing.assert_allclose(metrics.largest_target_step(targets, counted), [0.3])
    # A change into the first counted step is none of the counted stretch's.
    counted = np.array([False, False, True, True, True, False])
    np.testing.assert_allclose(metrics.largest_target_step(targets, counted), [0.0])


def test_drift_ignores_what_happens_between_the_counted_stretches() -> None:
    position = np.zeros((1, 9, 3))
    position[0, :4, 0] = [0.0, 0.01, 0.02, 0.03]
    position[0, 4:, 0] = 5.0
    position[0, 5:, 1] = [0.0, 0.02, 0.04, 0.06]
    counted = np.ones(9, dtype=bool)
    counted[4] = False
    # 3 cm and 6 cm in 3 steps each.
    np.testing.assert_allclose(metrics.drift(position, counted, 0.02), [0.09 / 0.12])
    assert np.isnan(metrics.drift(position, np.zeros(9, dtype=bool), 0.02))


def test_swaying_in_place_is_no_drift() -> None:
    time = np.arange(101) * 0.02
    position = np.zeros((1, 101, 3))
    position[0, :, 0] = 0.05 * np.sin(2 * np.pi * time)
    drift = metrics.drift(position, np.ones(101, dtype=bool), 0.02)
    assert drift[0] == pytest.approx(0.0, abs=1e-9)
