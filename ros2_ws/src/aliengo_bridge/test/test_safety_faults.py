"""What the supervisor stops, and how it brings the robot to rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fake_robots import copied, lying_state
from safety_bench import TICK_S, Bench, is_damping, is_released

from aliengo_bridge.faults import FAULTS, Fault, Reaction
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.safety import Mode
from aliengo_description import robot


def nan_target(bench: Bench) -> None:
    command = bench.hold_command()
    command.q[4] = np.nan
    bench.supervisor.on_command(command)


def huge_target(bench: Bench) -> None:
    command = bench.hold_command()
    command.q[4] = 40.0
    bench.supervisor.on_command(command)


def huge_torque(bench: Bench) -> None:
    command = bench.hold_command()
    command.tau[4] = -100.0
    bench.supervisor.on_command(command)


def negative_gain(bench: Bench) -> None:
    command = bench.hold_command()
    command.kp[4] = -1.0
    bench.supervisor.on_command(command)


def large_gain(bench: Bench) -> None:
    command = bench.hold_command()
    command.kd[4] = 11.0
    bench.supervisor.on_command(command)


def unknown_mode(bench: Bench) -> None:
    command = bench.hold_command()
    command.mode[4] = 5
    bench.supervisor.on_command(command)


def set_state(**values: object) -> Callable[[Bench], None]:
    def change(bench: Bench) -> None:
        for name, (index, value) in values.items():  # type: ignore[misc]
            getattr(bench.state, name)[index] = value

    return change


def lean(angle: float) -> Callable[[Bench], None]:
    def change(bench: Bench) -> None:
        bench.state.quaternion[:] = (np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0)

    return change


def press_stop(bench: Bench) -> None:
    bench.state.wireless_remote[2:4] = (0x20, 0x02)


def silence_robot(bench: Bench) -> None:
    bench.robot_talks = False


CASES: dict[str, tuple[Callable[[Bench], None], Fault, str, float]] = {
    "nan": (nan_target, Fault.COMMAND_INVALID, "q of FR_thigh_joint is nan", 0.002),
    "huge": (huge_target, Fault.COMMAND_FAR_OUTSIDE, "FR_thigh_joint is 40.00 rad", 0.002),
    "torque": (huge_torque, Fault.COMMAND_FAR_OUTSIDE, "FR_thigh_joint is 100.0 N m", 0.002),
    "kp": (negative_gain, Fault.COMMAND_GAINS, "kp of FR_thigh_joint is -1, allowed 0", 0.002),
    "kd": (large_gain, Fault.COMMAND_GAINS, "kd of FR_thigh_joint is 11, allowed 0 to 10", 0.002),
    "mode": (unknown_mode, Fault.COMMAND_INVALID, "mode of FR_thigh_joint is 5", 0.002),
    "tilt": (lean(1.1), Fault.TILT, "tilt is 1.10 rad, allowed 1.00", 0.006),
    "velocity": (
        set_state(dq=(7, -30.0)),
        Fault.JOINT_VELOCITY,
        "speed of RL_thigh_joint is 30.0 rad/s, allowed 25.0",
        0.006,
    ),
    "nan state": (set_state(q=(1, np.nan)), Fault.STATE_INVALID, "q is not finite", 0.006),
    "calf": (set_state(q=(2, 0.0)), Fault.STATE_INVALID, "FL_calf_joint is measured at", 0.006),
    "imu": (set_state(quaternion=(0, 0.5)), Fault.STATE_INVALID, "quaternion has length", 0.006),
    "motor": (set_state(mode=(3, 8)), Fault.MOTOR_LOST, "FR_hip_joint is in mode 8", 0.006),
    "remote": (press_stop, Fault.REMOTE_STOP, "L2+B", 0.002),
    "silence": (silence_robot, Fault.STATE_STALE, "no valid state for", 0.054),
    "power": (
        set_state(dq=(slice(0, 12), 6.0), tau_est=(slice(0, 12), -20.0)),
        Fault.POWER,
        "power is 1440 W, allowed 1000",
        0.012,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_gives_damping_in_time_and_latches(name: str) -> None:
    cause, fault, text, within = CASES[name]
    bench = Bench()
    bench.engage()
    bench.supervisor.on_command(bench.hold_command())
    cause(bench)
    waited = 0.0
    while not is_damping(decision := bench.tick()):
        waited += TICK_S
        assert waited < within, decision.status
    assert decision.status.fault == fault.value
    assert text in decision.status.detail
    assert decision.status.reset_required
    bench.state = lying_state(bench.state.tick)
    bench.robot_talks = True
    decision = bench.run(0.5, bench.hold_command())
    assert decision.status.mode is Mode.DAMPING
    assert is_damping(decision)


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case[3] in (0.006, 0.012)])
def test_one_glitch_of_a_sensor_is_no_fault(name: str) -> None:
    cause = CASES[name][0]
    bench = Bench()
    bench.engage()
    good = copied(bench.state)
    cause(bench)
    bench.tick()
    bench.state = good
    assert bench.run(0.02).status.mode is Mode.ACTIVE


def test_a_commander_who_goes_silent_gives_damping_after_the_timeout() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.on_command(bench.hold_command())
    silent = 0.0
    while not is_damping(decision := bench.tick()):
        silent += TICK_S
    assert silent == pytest.approx(SafetyLimits().command_timeout_s, abs=2 * TICK_S)
    assert decision.status.fault == Fault.COMMAND_STALE.value


def test_a_stall_of_the_bridge_is_not_blamed_on_the_commander() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.on_command(bench.hold_command())
    assert bench.tick(0.2).status.mode is Mode.ACTIVE
    assert bench.run(0.08).status.mode is Mode.ACTIVE
    assert bench.run(0.03).status.fault == Fault.COMMAND_STALE.value


def test_stalls_cannot_hide_a_dead_commander_for_ever() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.on_command(bench.hold_command())
    limits, start = SafetyLimits(), bench.now
    while bench.tick(0.1).status.mode is Mode.ACTIVE:
        pass
    allowed = limits.command_timeout_s + limits.stall_credit_s
    assert bench.now - start <= allowed + 0.1


@pytest.mark.parametrize("fault", [f for f in Fault if FAULTS[f].reaction is Reaction.SIT_DOWN])
def test_a_mild_fault_lets_the_robot_hold_then_sit_then_damp(fault: Fault) -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(fault, "test")
    limits = SafetyLimits()
    decision = bench.tick()
    assert decision.status.mode is Mode.HOLD
    np.testing.assert_allclose(decision.command.q[:12], robot.STAND_JOINT_POSITIONS, atol=1e-6)
    modes, previous = [decision.status.mode], decision.command.q[:12]
    for _ in range(round((limits.hold_s + limits.sit_down_s) / TICK_S) + 2):
        decision = bench.tick()
        modes.append(decision.status.mode)
        if decision.status.mode is Mode.SIT_DOWN:
            target = decision.command.q[:12]
            assert np.abs(target - previous).max() < 0.01  # no jump
            previous = target
            bench.state.q[:12] = target  # a robot that follows
    assert list(dict.fromkeys(modes)) == [Mode.HOLD, Mode.SIT_DOWN, Mode.DAMPING]
    np.testing.assert_allclose(previous, robot.LYING_JOINT_POSITIONS, atol=0.01)
    assert is_damping(decision)


def test_a_harsh_fault_while_sitting_down_gives_damping() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(Fault.MOTOR_HOT, "test")
    assert bench.run(0.1).status.mode is Mode.HOLD
    lean(1.2)(bench)
    decision = bench.run(0.01)
    assert is_damping(decision)
    assert decision.status.fault == Fault.MOTOR_HOT.value  # the first is the reason
    assert Fault.TILT.value in decision.status.active_faults


def test_a_hot_motor_makes_the_robot_sit_down() -> None:
    bench = Bench()
    bench.engage()
    bench.state.temperature[2] = 80
    decision = bench.run(0.01)
    assert decision.status.mode is Mode.HOLD
    assert "motor temperature of FL_calf_joint is 80.0 degC" in decision.status.detail


def test_a_bad_state_keeps_a_commander_from_engaging() -> None:
    bench = Bench()
    bench.run(1.0)
    lean(1.2)(bench)
    bench.run(0.01)
    decision = bench.run(0.2, bench.hold_command())
    assert decision.status.mode is Mode.IDLE
    assert "tilt" in decision.status.detail
    assert decision.status.fault == ""


def test_a_broken_command_to_an_idle_robot_is_refused_with_the_reason() -> None:
    bench = Bench()
    bench.run(1.0)
    nan_target(bench)
    decision = bench.tick()
    assert decision.status.mode is Mode.IDLE
    assert "q of FR_thigh_joint is nan" in decision.status.detail


def test_an_emergency_stop_before_the_robot_is_seen_holds_afterwards() -> None:
    bench = Bench()
    bench.supervisor.report(Fault.ESTOP, "test")
    decision = bench.run(2.0, bench.hold_command())
    assert decision.status.mode is Mode.DAMPING
    assert is_damping(decision)


# --- reset ----------------------------------------------------------------------------------------


def test_a_reset_needs_a_robot_that_is_still() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(Fault.ESTOP, "test")
    bench.state.dq[3] = 1.0
    bench.run(0.1)
    assert bench.supervisor.reset() == (
        False,
        "not reset: the robot moves, joints and body must be slower than 0.5 rad/s",
    )
    bench.state.dq[3] = 0.0
    bench.run(0.1)
    assert bench.supervisor.reset() == (True, "cleared estop")
    assert bench.tick().status.mode is Mode.IDLE


def test_a_condition_that_is_known_better_replaces_its_own_detail_only() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.set_condition(Fault.SECOND_COMMANDER, "somebody")
    bench.supervisor.set_condition(Fault.SECOND_COMMANDER, "the intruder")
    assert bench.tick().status.detail == "the intruder"
    other = Bench()
    other.engage()
    other.supervisor.report(Fault.SECOND_COMMANDER, "somebody said so")
    other.supervisor.set_condition(Fault.SECOND_COMMANDER, "the intruder")
    assert other.tick().status.detail == "somebody said so"


def test_a_reset_needs_the_cause_to_be_gone() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(Fault.ESTOP, "test")
    bench.supervisor.set_condition(Fault.SECOND_COMMANDER, "two speak")
    bench.run(0.1)
    assert bench.supervisor.reset() == (False, "not reset: second_commander: two speak")
    bench.supervisor.set_condition(Fault.SECOND_COMMANDER, None)
    press_stop(bench)
    bench.run(0.1)
    assert bench.supervisor.reset() == (False, "not reset: L2+B is still pressed")
    bench.state.wireless_remote[:] = 0
    lean(1.2)(bench)
    bench.run(0.1)
    assert "tilt" in bench.supervisor.reset()[1]
    lean(0.0)(bench)
    bench.robot_talks = False
    bench.run(0.1)
    assert bench.supervisor.reset() == (False, "not reset: no fresh state from the robot")
    bench.robot_talks = True
    bench.run(0.1)
    assert bench.supervisor.reset()[0]


@pytest.mark.parametrize("fault", [Fault.INTERNAL_ERROR, Fault.SHUTDOWN])
def test_some_faults_cannot_be_reset(fault: Fault) -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(fault, "test")
    bench.run(0.1)
    assert bench.supervisor.reset() == (False, f"not reset: {FAULTS[fault].explanation}")


def test_a_commander_who_kept_on_does_not_move_the_robot_after_a_reset() -> None:
    bench = Bench()
    bench.engage()
    walking = bench.hold_command()
    bench.supervisor.report(Fault.ESTOP, "test")
    bench.run(0.1)
    bench.state = lying_state(bench.state.tick)  # it sank down
    bench.run(0.1, walking)
    assert bench.supervisor.reset()[0]
    decision = bench.run(0.5, walking)
    assert decision.status.mode is Mode.IDLE
    assert is_damping(decision)


# --- shadow mode, limits --------------------------------------------------------------------------


def test_shadow_mode_withholds_everything_but_decides_the_same() -> None:
    open_bench, shadow = Bench(), Bench(shadow=True)
    for bench in (open_bench, shadow):
        bench.engage()
    for _ in range(50):
        ours, withheld = open_bench.tick(), shadow.tick()
        np.testing.assert_array_equal(withheld.supervised.q, ours.command.q)
        assert is_released(withheld)


def test_limits_may_be_tightened_but_not_loosened() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.tighten({"tilt_rad": 0.5})
    lean(0.6)(bench)
    assert bench.run(0.02).status.fault == Fault.TILT.value
    with pytest.raises(ValueError, match="tilt_rad may only be made lower while the bridge runs"):
        bench.supervisor.tighten({"tilt_rad": 1.0})
    assert bench.supervisor.limits.tilt_rad == 0.5


def test_a_state_that_cannot_be_believed_is_not_taken() -> None:
    bench = Bench()
    assert bench.supervisor.on_state(bench.state)
    broken = copied(bench.state)
    broken.gyroscope[0] = np.inf
    assert not bench.supervisor.on_state(broken)
