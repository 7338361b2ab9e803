"""Commands respect velocity and acceleration limits and stop in time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aliengo_teleop.limits import CommandLimiter, CommandLimits
from aliengo_teleop.mapping import Velocity

LIMITS = CommandLimits(Velocity(2.0, 1.0, 3.0), Velocity(2.5, 2.0, 6.0), stop_time_s=0.2)
any_float = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(any_float, any_float, any_float), max_size=30), st.floats(0.001, 0.1))
def test_no_input_breaks_the_limits(targets, dt):
    limiter = CommandLimiter(LIMITS)
    before = Velocity()
    for target in targets:
        after = limiter.drive(Velocity(*target), dt)
        for old, new, speed, rate in zip(
            before, after, LIMITS.velocity, LIMITS.acceleration, strict=True
        ):
            assert math.isfinite(new)
            assert abs(new) <= speed + 1e-9
            assert abs(new - old) <= rate * dt + 1e-9
        before = after


@pytest.mark.parametrize("wish", [math.inf, -math.inf, math.nan])
def test_a_wish_that_is_not_finite_is_no_wish(wish):
    limiter = CommandLimiter(LIMITS)
    for _ in range(40):
        command = limiter.drive(Velocity(wish, 0.5, wish), 0.02)
    assert command == pytest.approx((0.0, 0.5, 0.0))


def test_a_target_is_reached_after_velocity_over_acceleration():
    limiter = CommandLimiter(LIMITS)
    for _ in range(40):
        command = limiter.drive(Velocity(2.0, 0.0, 0.0), 0.02)
    assert command.vx == pytest.approx(2.0)


def test_a_stop_keeps_the_direction_and_ends_after_the_stop_time():
    limiter = CommandLimiter(LIMITS)
    for _ in range(100):
        limiter.drive(Velocity(2.0, 1.0, -3.0), 0.02)
    for _ in range(5):
        halfway = limiter.stop(0.02)
    assert halfway == pytest.approx((1.0, 0.5, -1.5))
    for _ in range(5):
        end = limiter.stop(0.02)
    assert end == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_halt_is_immediate():
    limiter = CommandLimiter(LIMITS)
    limiter.drive(Velocity(1.0, 0.0, 0.0), 0.1)
    assert limiter.halt() == Velocity()


def test_limits_that_never_move_are_refused():
    with pytest.raises(ValueError, match="acceleration"):
        CommandLimits(Velocity(1, 1, 1), Velocity(1, 0, 1))
