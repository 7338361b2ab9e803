"""Policy steps keep the policy's control period, counted in states of the robot."""

import numpy as np
import pytest

from aliengo_policy.pacing import StepPacer

STATE_S = 0.002


@pytest.mark.parametrize(("period_s", "states"), [(0.02, 10), (0.01, 5), (0.002, 1), (0.024, 12)])
def test_the_policys_period_decides_how_many_states_make_a_step(
    period_s: float, states: int
) -> None:
    pacer = StepPacer(period_s)
    due = [index for index in range(100) if pacer.is_due(index * STATE_S)]
    assert due == list(range(0, 100, states))


@pytest.mark.parametrize("period_s", [0.0133, 0.003, 0.001, 0.0])
def test_a_period_between_two_states_is_refused(period_s: float) -> None:
    with pytest.raises(ValueError, match=f"control period {period_s:g} s .* 0.002 s between"):
        StepPacer(period_s)


def test_jitter_does_not_make_a_step_come_early() -> None:
    rng = np.random.default_rng(0)
    pacer = StepPacer(0.02)
    times = np.arange(1000) * STATE_S + rng.uniform(0.0, 0.9e-3, 1000)
    due = [index for index, time in enumerate(times) if pacer.is_due(time)]
    assert due == list(range(0, 1000, 10))


def test_lost_states_do_not_make_a_step_late() -> None:
    pacer = StepPacer(0.02)
    arriving = [index for index in range(200) if index % 3 != 1]  # every third is lost
    due = [index for index in arriving if pacer.is_due(index * STATE_S)]
    assert np.diff(due).max() <= 12
    assert np.diff(due).min() >= 10
