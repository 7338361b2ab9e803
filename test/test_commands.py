"""The velocity command: limits, slew rate, and what is refused."""

import numpy as np
import pytest

from aliengo_policy.commands import CommandLimits, VelocityCommand

PERIOD_S = 0.02
RANGES = {"vx": (-0.5, 1.0), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)}


def settle(
    command: VelocityCommand, wanted: tuple[float, float, float], **options: float
) -> np.ndarray:
    """The command after two seconds of asking for ``wanted``."""
    for step in range(100):
        command.receive(step * PERIOD_S, wanted, "test")
        command.step(step * PERIOD_S, PERIOD_S, RANGES, **options)
    return command.value


def test_command_is_held_within_the_limits_and_the_trained_range() -> None:
    limits = CommandLimits(max_vel=0.8, max_yaw_vel=0.6)
    np.testing.assert_allclose(settle(VelocityCommand(limits), (5.0, 0.0, 5.0)), [0.8, 0.0, 0.6])
    np.testing.assert_allclose(
        settle(VelocityCommand(limits), (-5.0, 0.0, -5.0)), [-0.5, 0.0, -0.6]
    )
    np.testing.assert_allclose(settle(VelocityCommand(limits), (0.0, -5.0, 0.0)), [0.0, -0.3, 0.0])
    # The planar limit keeps the direction.
    np.testing.assert_allclose(
        settle(VelocityCommand(limits), (0.9, 0.3, 0.0)),
        np.array([0.9, 0.3, 0]) * 0.8 / np.hypot(0.9, 0.3),
    )


def test_command_slews() -> None:
    command = VelocityCommand(CommandLimits(max_acceleration=2.0))
    command.receive(0.0, (1.0, 0.0, 0.0), "test")
    assert command.step(0.0, PERIOD_S, RANGES)[0] == pytest.approx(0.04)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_command_that_is_not_finite_changes_nothing(bad: float) -> None:
    command = VelocityCommand(CommandLimits())
    assert not command.receive(1.0, (bad, 0.0, 0.0), "test")
    assert not command.is_fresh(1.0)


@pytest.mark.parametrize("name", ["max_vel", "max_yaw_vel", "stale_after_s"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, found 0"):
        CommandLimits(**{name: 0.0})
