"""Whose hands the robot is in after a fault: who may drive it again, and when it is let go."""

from __future__ import annotations

import pytest
from safety_bench import Bench, is_damping, is_released

from aliengo_bridge.faults import Fault
from aliengo_bridge.messages import LEVEL_HIGH, LEVEL_LOW, VELOCITY_STOP, damping_command
from aliengo_bridge.safety import Mode


@pytest.mark.parametrize("speed", [0.0, VELOCITY_STOP])
def test_a_robot_put_on_its_feet_after_a_reset_is_not_driven_by_who_kept_on(speed: float) -> None:
    passive = damping_command(2.0)
    passive.dq[:12] = speed  # the vendor's own value for a loop that is off
    bench = Bench()
    bench.engage()
    holding = bench.hold_command()
    bench.supervisor.report(Fault.COMMAND_STALE, "test")
    bench.run(0.1, holding)
    assert bench.supervisor.reset()[0]  # it stands as before, held up by somebody
    decision = bench.run(0.5, holding)
    assert decision.status.mode is Mode.IDLE
    assert "has not let go" in decision.status.detail
    assert is_damping(decision)
    bench.run(0.02, passive)
    assert bench.run(0.1, holding).status.mode is Mode.ACTIVE


def test_a_damped_robot_that_is_handed_to_the_vendor_s_controller_is_let_go_once_it_lies() -> None:
    bench = Bench()
    bench.engage()
    bench.state.level_flag = LEVEL_HIGH
    bench.supervisor.report(Fault.ESTOP, "test")
    for _ in range(400):  # it stands still, and damping has not let it sink yet
        assert is_damping(bench.tick())
    bench.state.gyroscope[1] = 2.0  # it falls
    assert is_damping(bench.run(3.0))
    bench.state.gyroscope[1] = 0.0
    assert is_damping(bench.run(0.9))
    decision = bench.run(0.2)
    assert is_released(decision)
    assert (decision.status.mode, decision.status.fault) == (Mode.CHECKING, "estop")
    bench.state.tau_est[:12] = 15.0
    decision = bench.run(2.0)
    assert is_released(decision)
    assert decision.status.detail.startswith("test; the robot's level flag is 0x00")
    bench.state.level_flag, bench.state.tau_est[:12] = LEVEL_LOW, 0.0  # and given back
    decision = bench.run(3.0)
    assert is_damping(decision)
    assert (decision.status.mode, decision.status.fault) == (Mode.DAMPING, "estop")


def test_one_state_with_another_flag_lets_no_robot_go() -> None:
    bench = Bench()
    bench.engage()
    bench.supervisor.report(Fault.ESTOP, "test")
    bench.run(0.5)
    for _ in range(10):
        bench.state.level_flag = LEVEL_HIGH
        assert is_damping(bench.run(0.9))
        bench.state.level_flag = LEVEL_LOW
        assert is_damping(bench.tick())


def test_in_shadow_mode_a_fault_of_a_robot_in_other_hands_stays_a_fault() -> None:
    bench = Bench(shadow=True)
    bench.state.level_flag = LEVEL_HIGH
    bench.run(1.0)
    bench.supervisor.report(Fault.REMOTE_STOP, "test")
    modes = {bench.tick().status.mode for _ in range(1500)}
    assert modes == {Mode.DAMPING}
