"""What the supervisor lets through, and whom it listens to."""

from __future__ import annotations

import numpy as np
import pytest
from safety_bench import Bench, is_damping, is_released

from aliengo_bridge.faults import Fault
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.messages import (
    LEVEL_HIGH,
    LEVEL_LOW,
    MODE_BRAKE,
    POSITION_STOP,
)
from aliengo_bridge.safety import Mode
from aliengo_description import robot


def test_nothing_is_taken_from_a_robot_that_has_not_been_looked_at() -> None:
    bench = Bench()
    bench.robot_talks = False
    assert is_released(bench.run(1.0))
    bench.robot_talks = True
    decision = bench.run(0.4)
    assert decision.status.mode is Mode.CHECKING
    assert is_released(decision)
    decision = bench.run(0.2)
    assert decision.status.mode is Mode.IDLE
    assert is_damping(decision)


def test_sport_mode_is_explained_and_the_robot_left_alone() -> None:
    bench = Bench()
    bench.state.level_flag = LEVEL_HIGH
    decision = bench.run(2.0, bench.hold_command())
    assert decision.status.mode is Mode.CHECKING
    assert is_released(decision)
    assert "sport mode" in decision.status.detail
    assert "L1+L2+start" in decision.status.detail
    bench.state.level_flag = LEVEL_LOW
    assert bench.run(1.0).status.mode is Mode.IDLE


def test_a_faulty_robot_that_was_silent_for_seconds_is_looked_at_before_it_is_damped() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(Fault.ESTOP, "test")
    bench.robot_talks = False
    assert is_damping(bench.run(2.0))
    assert is_released(bench.run(5.0))
    bench.robot_talks = True
    bench.state.level_flag = LEVEL_HIGH  # it was switched off and on: sport mode has it
    decision = bench.run(2.0)
    assert decision.status.mode is Mode.CHECKING
    assert is_released(decision)
    bench.state.level_flag = LEVEL_LOW
    decision = bench.run(1.0)
    assert is_damping(decision)
    assert (decision.status.mode, decision.status.fault) == (Mode.DAMPING, "estop")


def test_a_reset_does_not_take_a_robot_that_is_still_being_looked_at() -> None:
    bench = Bench()
    bench.supervisor.report(Fault.ESTOP, "test")
    bench.state.level_flag = LEVEL_HIGH
    bench.run(1.0)
    assert bench.supervisor.reset()[0]
    for _ in range(10):  # not even one damping
        decision = bench.tick()
        assert is_released(decision)
    assert decision.status.mode is Mode.CHECKING


def test_a_reported_fault_shows_without_another_tick() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(Fault.INTERNAL_ERROR, "crash")
    status = bench.supervisor.status
    assert (status.mode, status.fault) == (Mode.DAMPING, "internal_error")


def test_motors_that_obey_somebody_else_are_noticed() -> None:
    bench = Bench()
    bench.state.tau_est[5] = 12.0
    decision = bench.run(2.0)
    assert decision.status.mode is Mode.CHECKING
    assert "FR_calf_joint pulls with 12.0 N m" in decision.status.detail
    bench.state.tau_est[5] = 0.0
    assert bench.run(2.0).status.mode is Mode.IDLE
    bench.state.tau_est[5] = 12.0
    assert is_released(bench.run(1.0))


def test_our_own_damping_is_not_taken_for_somebody_else() -> None:
    bench = Bench()
    bench.run(1.0)
    bench.state.dq[:12] = 3.0
    bench.state.tau_est[:12] = -SafetyLimits().damping_kd * bench.state.dq[:12]
    assert bench.run(1.0).status.mode is Mode.IDLE


# --- commands that pass ---------------------------------------------------------------------------


def test_a_good_command_passes_unchanged() -> None:
    bench = Bench()
    bench.engage()
    command = bench.hold_command()
    command.q[:12] += np.linspace(-0.02, 0.02, 12)
    sent = bench.run(0.02, command).command
    np.testing.assert_allclose(sent.q[:12], command.q[:12])
    for name in ("dq", "tau", "kp", "kd"):
        np.testing.assert_array_equal(getattr(sent, name)[:12], getattr(command, name)[:12])
    assert sent.level_flag == LEVEL_LOW


def test_the_last_good_command_is_repeated_between_commands() -> None:
    bench = Bench()
    bench.engage()
    first = bench.run(0.02, bench.hold_command()).command
    np.testing.assert_array_equal(bench.tick().command.q, first.q)


def test_a_brake_command_becomes_damping() -> None:
    bench = Bench()
    bench.engage()
    command = bench.hold_command()
    command.mode[:12] = MODE_BRAKE
    decision = bench.run(0.02, command)
    assert is_damping(decision)
    assert decision.status.mode is Mode.IDLE
    assert bench.run(1.0).status.fault == ""  # and going silent afterwards is no fault


def test_targets_are_clamped_to_the_limits_with_margin() -> None:
    bench = Bench(joint_margin_rad=0.1, torque_fraction=1.0)
    bench.engage()
    command = bench.hold_command()
    command.kp[:12] = 1.0  # so that the torque limit does not interfere
    for offset in (1.0, -1.0):
        beyond = robot.SAFE_JOINT_UPPER if offset > 0 else robot.SAFE_JOINT_LOWER
        command.q[:12] = beyond + offset
        sent = bench.run(0.2, command).command
        np.testing.assert_allclose(sent.q[:12], beyond - 0.1 * offset)


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5])
def test_a_robot_beyond_a_limit_is_pulled_in_by_steps(margin: float) -> None:
    bench = Bench(joint_margin_rad=margin, target_step_rad=0.01)
    bench.run(bench.supervisor.limits.ownership_check_s + 0.01)
    command = bench.hold_command()  # as it lies, its knees bent to their stops
    measured = bench.state.q[:12].copy()
    bench.supervisor.on_command(command)
    upper = robot.SAFE_JOINT_UPPER - margin
    lower = robot.SAFE_JOINT_LOWER + margin
    for tick in range(1, 4):
        moved = bench.tick().command.q[:12] - measured
        assert np.abs(moved).max() <= 0.01 * tick + 1e-6
    assert (margin == 0.0) == bool(np.allclose(moved, 0.0, atol=1e-6))
    sent = bench.run(2.0, command).command.q[:12]
    assert (sent <= upper + 1e-5).all()
    assert (sent >= lower - 1e-5).all()


def test_a_target_moves_at_most_one_step_per_tick() -> None:
    bench = Bench(target_step_rad=0.01)
    bench.engage()
    command = bench.hold_command()
    start = bench.run(0.02, command).command.q[:12]
    command.q[:12] = start + 0.2 * np.sign(np.arange(12) - 5.5)
    command.kp[:12] = 1.0
    bench.supervisor.on_command(command)
    for ticks in range(1, 4):
        moved = bench.tick().command.q[:12] - start
        np.testing.assert_allclose(np.abs(moved), 0.01 * ticks)


def test_predicted_torque_is_kept_within_the_limit_by_the_target() -> None:
    bench = Bench(torque_fraction=0.5)
    bench.engage()
    command = bench.hold_command()
    command.q[:12] += 0.4 * np.sign(np.arange(12) - 5.5)
    command.kp[:12] = 110.0
    sent = bench.run(0.1, command).command
    torque = sent.kp * (sent.q - bench.state.q) + sent.kd * (sent.dq - bench.state.dq) + sent.tau
    np.testing.assert_allclose(
        np.abs(torque[:12]), np.minimum(0.5 * robot.TORQUE_LIMITS, 44.0), rtol=1e-9
    )


def test_a_position_loop_that_is_off_stays_off() -> None:
    bench = Bench()
    bench.engage()
    command = bench.hold_command()
    command.q[3], command.kp[3], command.tau[3] = POSITION_STOP, 60.0, 4.0
    sent = bench.run(0.02, command).command
    assert (sent.q[3], sent.kp[3], sent.tau[3]) == (POSITION_STOP, 0.0, 4.0)


def test_a_commander_may_start_with_a_position_loop_that_is_off() -> None:
    bench = Bench()
    bench.run(1.0)
    command = bench.hold_command()
    command.q[3], command.kp[3], command.tau[3] = POSITION_STOP, 60.0, 4.0
    decision = bench.run(0.02, command)
    assert decision.status.mode is Mode.ACTIVE
    assert (decision.command.kp[3], decision.command.tau[3]) == (0.0, 4.0)


def test_a_commander_who_starts_far_from_the_robot_is_refused() -> None:
    bench = Bench()
    bench.run(1.0)
    command = bench.hold_command()
    command.q[2] = -1.5
    decision = bench.run(0.5, command)
    assert decision.status.mode is Mode.IDLE
    assert "first target of FL_calf_joint is 1.20 rad away" in decision.status.detail
    assert is_damping(decision)
