"""Motors that leave servo mode, and robots whose modes say little."""

from __future__ import annotations

import pytest
from safety_bench import Bench, is_damping

from aliengo_bridge.faults import Fault
from aliengo_bridge.messages import MODE_BRAKE, MODE_OVERHEATED, MODE_SERVO
from aliengo_bridge.safety import Mode

LOST = "FR_hip_joint is in mode 0, expected 10"


def test_a_motor_lost_while_the_robot_sits_down_gives_damping() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(Fault.MOTOR_HOT, "test")
    assert bench.run(0.1).status.mode is Mode.HOLD
    bench.state.mode[3] = MODE_BRAKE
    decision = bench.run(0.01)
    assert is_damping(decision)
    assert Fault.MOTOR_LOST.value in decision.status.active_faults


@pytest.mark.parametrize("cause", [Fault.MOTOR_LOST, Fault.ESTOP])
def test_a_reset_needs_every_motor_back_in_servo_mode(cause: Fault) -> None:
    bench = Bench()
    bench.engage()
    if cause is Fault.ESTOP:  # the motor is lost afterwards, while the robot is damped
        bench.supervisor.report(cause, "test")
    bench.state.mode[3] = MODE_BRAKE
    assert bench.run(0.1).status.fault == cause.value
    assert bench.supervisor.reset() == (False, f"not reset: motor_lost: {LOST}")
    bench.state.mode[3] = MODE_SERVO
    bench.run(0.1)
    assert bench.supervisor.reset()[0]


def test_no_commander_engages_while_a_motor_is_off() -> None:
    bench = Bench()
    bench.run(1.0)
    bench.state.mode[3] = MODE_BRAKE
    bench.run(0.01)
    decision = bench.run(0.1, bench.hold_command())
    assert (decision.status.mode, decision.status.detail) == (Mode.IDLE, LOST)
    bench.state.mode[3] = MODE_SERVO
    assert bench.run(0.1, bench.hold_command()).status.mode is Mode.ACTIVE


def test_no_commander_engages_a_motor_that_was_overheated_from_the_start() -> None:
    bench = Bench()
    bench.state.mode[3] = MODE_OVERHEATED
    decision = bench.run(1.0, bench.hold_command())
    assert decision.status.mode is Mode.IDLE
    assert "FR_hip_joint is in mode 8, expected 10" in decision.status.detail


def test_a_motor_is_watched_as_soon_as_it_reports_servo_mode() -> None:
    bench = Bench()
    bench.state.mode[:12] = MODE_BRAKE
    bench.engage()
    bench.state.mode[:12] = MODE_SERVO
    assert bench.run(0.1, bench.hold_command()).status.mode is Mode.ACTIVE
    bench.state.mode[3] = MODE_BRAKE
    decision = bench.run(0.01, bench.hold_command())
    assert (decision.status.fault, decision.status.detail) == ("motor_lost", LOST)


def test_a_robot_that_reports_servo_mode_only_while_it_is_driven_stays_usable() -> None:
    bench = Bench()
    for _ in range(3):
        bench.state.mode[:12] = MODE_BRAKE
        bench.engage()
        bench.state.mode[:12] = MODE_SERVO
        assert bench.run(0.1, bench.hold_command()).status.mode is Mode.ACTIVE
        bench.supervisor.report(Fault.ESTOP, "test")
        bench.state.mode[:12] = MODE_BRAKE
        bench.run(0.1)
        assert bench.supervisor.reset()[0]
