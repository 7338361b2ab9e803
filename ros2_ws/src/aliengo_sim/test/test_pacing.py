"""Real-time pacing on a clock of the test's own."""

from __future__ import annotations

import pytest

from aliengo_sim.pacing import Pacer


class Clock:
    """A clock that moves only when told, or when someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pacer(clock: Clock, max_catch_up_s: float = 0.010) -> Pacer:
    return Pacer(0.002, max_catch_up_s, clock.read, clock.sleep)


def test_deadlines_are_absolute(clock: Clock) -> None:
    paced = pacer(clock)
    for work in (0.0003, 0.0015, 0.0007) * 100:
        clock.now += work
        paced.wait()
    assert clock.now == pytest.approx(100.0 + 300 * 0.002, abs=1e-9)
    assert paced.stalls == 0


def test_a_short_delay_is_made_good(clock: Clock) -> None:
    paced = pacer(clock)
    clock.now += 0.009
    cycles_without_sleep = 0
    while not clock.naps:
        paced.wait()
        cycles_without_sleep += 1
    assert cycles_without_sleep == 5  # due at 2, 4, 6, 8 and 10 ms, the last of which it slept for
    assert clock.now == pytest.approx(100.010)
    assert paced.lost_s == 0.0


def test_a_long_stall_is_given_up_at_once(clock: Clock) -> None:
    paced = pacer(clock)
    clock.now += 3.0
    paced.wait()
    assert clock.naps == []
    paced.wait()
    assert clock.naps == [pytest.approx(0.002)]
    assert paced.stalls == 1
    assert paced.lost_s == pytest.approx(3.0 - 0.002)


def test_a_host_that_is_always_too_slow_does_not_spiral(clock: Clock) -> None:
    paced = pacer(clock)
    for _ in range(1000):
        clock.now += 0.003  # every cycle takes longer than its period
        paced.wait()
    # Simulated time falls behind by a third; the backlog never exceeds the bound.
    assert paced.lost_s == pytest.approx(1.0, abs=0.013)
    assert clock.now == pytest.approx(103.0)
