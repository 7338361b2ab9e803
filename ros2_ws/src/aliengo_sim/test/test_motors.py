"""The motor law against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aliengo_bridge.protocol import (
    MODE_BRAKE,
    MODE_SERVO,
    POSITION_STOP,
    VELOCITY_STOP,
    LowCommand,
)
from aliengo_description import robot
from aliengo_sim.motors import BRAKE_DAMPING, LIMP, MotorTargets, available_torque

Q, DQ = np.full(12, 0.5), np.full(12, -2.0)


def command(**values: float) -> LowCommand:
    result = LowCommand()
    for name, value in values.items():
        getattr(result, name)[:12] = value
    return result


def demand(**values: float) -> np.ndarray:
    return MotorTargets.from_command(command(**values)).demand(Q, DQ)


def test_servo_mode_is_pd_with_feed_forward() -> None:
    # 1.5 + 40 (0.8 - 0.5) + 2 (1 + 2)
    np.testing.assert_allclose(demand(q=0.8, dq=1.0, kp=40, kd=2, tau=1.5), 19.5)


@pytest.mark.parametrize("stop", [POSITION_STOP, 1e9])
def test_position_stop_leaves_damping_and_feed_forward(stop: float) -> None:
    # 1.5 + 2 (1 + 2), whatever kp says
    np.testing.assert_allclose(demand(q=stop, dq=1.0, kp=40, kd=2, tau=1.5), 7.5)


def test_velocity_stop_leaves_stiffness_and_feed_forward() -> None:
    np.testing.assert_allclose(demand(q=0.8, dq=VELOCITY_STOP, kp=40, kd=2, tau=1.5), 13.5)


def test_a_new_command_asks_for_nothing() -> None:
    np.testing.assert_array_equal(demand(), 0.0)


def test_brake_mode_resists_motion_and_ignores_targets() -> None:
    torque = demand(mode=MODE_BRAKE, q=0.8, dq=1.0, kp=40, kd=2, tau=1.5)
    np.testing.assert_allclose(torque, 2.0 * BRAKE_DAMPING)


def test_an_unknown_mode_gives_no_torque() -> None:
    np.testing.assert_array_equal(demand(mode=0x05, q=0.8, dq=0.0, kp=40, kd=2, tau=1.5), 0.0)


@pytest.mark.parametrize("name", ["q", "dq", "kp", "kd", "tau"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_motor_with_an_infinite_figure_is_braked_alone(name: str, value: float) -> None:
    order = command(q=0.8, dq=0.0, kp=40.0, kd=2.0, tau=0.0)
    getattr(order, name)[3] = value
    targets = MotorTargets.from_command(order)
    torque = targets.demand(Q, DQ)
    assert torque[3] == pytest.approx(2.0 * BRAKE_DAMPING)
    np.testing.assert_allclose(np.delete(torque, 3), 40 * 0.3 + 2 * 2.0)
    assert targets.mode[3] == MODE_BRAKE
    assert targets.mode[4] == MODE_SERVO


def test_limp_is_no_torque_at_any_state() -> None:
    np.testing.assert_array_equal(LIMP.demand(Q, DQ), 0.0)


def test_a_lost_motor_takes_no_part() -> None:
    targets = MotorTargets.from_command(command(q=0.8, dq=0.0, kp=40, kd=2)).without(5, 0x08)
    torque = targets.demand(Q, DQ)
    assert torque[5] == 0.0
    assert (np.delete(torque, 5) == 16.0).all()
    assert targets.mode[5] == 0x08


def test_torque_is_limited_at_rest() -> None:
    rest = np.zeros(12)
    np.testing.assert_array_equal(available_torque(np.full(12, 1e6), rest), robot.TORQUE_LIMITS)
    np.testing.assert_array_equal(available_torque(np.full(12, -1e6), rest), -robot.TORQUE_LIMITS)
    np.testing.assert_array_equal(available_torque(np.full(12, 3.0), rest), 3.0)


def test_nothing_drives_a_joint_beyond_its_speed_but_it_may_be_braked() -> None:
    fast = 1.2 * robot.VELOCITY_LIMITS
    np.testing.assert_array_equal(available_torque(np.full(12, 100.0), fast), 0.0)
    np.testing.assert_array_equal(available_torque(np.full(12, -100.0), fast), -robot.TORQUE_LIMITS)
    np.testing.assert_array_equal(available_torque(np.full(12, -100.0), -fast), 0.0)
    halfway = available_torque(np.full(12, 100.0), 1.05 * robot.VELOCITY_LIMITS)
    np.testing.assert_allclose(halfway, 0.5 * robot.TORQUE_LIMITS)
