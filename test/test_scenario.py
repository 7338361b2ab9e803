"""The verdict on a walk follows from the recording alone."""

import math
from pathlib import Path

import pytest

from aliengo_policy.scenario import (
    BASE_SCRIPT,
    RESIDUAL_SCRIPT,
    Sample,
    Segment,
    format_table,
    forward_script,
    judge,
    plot,
    script_for,
)

SCRIPT = (Segment("forward 0.5", (0.5, 0.0, 0.0), 4.0, 0.2), Segment("stop", (0.0, 0.0, 0.0), 3.0))
PERIOD_S = 0.05


def walk(speed: float, height: float = 0.35, tilt: float = 0.05) -> list[Sample]:
    """A robot that takes a second to reach ``speed`` and stops at once."""
    samples = [Sample(0.0, -1, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.06), 0.0)]
    x = 0.0
    for step in range(140):
        time_s = step * PERIOD_S
        segment = 0 if time_s < 4.0 else 1
        velocity = 0.0 if segment else speed * min(time_s, 1.0)
        x += velocity * PERIOD_S
        command = SCRIPT[segment].velocity
        position = (x, 0.0, height)
        samples.append(Sample(time_s, segment, command, (velocity, 0.0, 0.0), position, tilt))
    return samples


def test_a_good_walk_passes_and_its_start_does_not_count() -> None:
    verdict = judge(walk(0.5), SCRIPT, [])
    assert verdict.problems == ()
    assert verdict.results[0].mean[0] == pytest.approx(0.5)
    assert verdict.results[0].rmse_vx == pytest.approx(0.0)
    assert verdict.distance == pytest.approx(0.5 * 0.5 + 3.0 * 0.5, rel=0.05)


def test_a_robot_that_stays_where_it_is_does_not_pass() -> None:
    verdict = judge(walk(0.0), SCRIPT, [])
    assert verdict.problems == ("forward 0.5: mean vx 0.00 m/s, allowed 0.5 +- 0.2 m/s",)
    assert "<- too far off" in format_table(verdict)


@pytest.mark.parametrize(("height", "tilt"), [(0.1, 0.05), (0.35, 1.2)])
def test_a_fall_does_not_pass_at_any_speed(height: float, tilt: float) -> None:
    problems = judge(walk(0.5, height, tilt), SCRIPT, []).problems
    assert len(problems) == 1
    assert problems[0].startswith("fell 0.0 s into the recording, in forward 0.5")


def test_lying_before_the_walk_is_no_fall() -> None:
    assert judge(walk(0.5), SCRIPT, []).problems == ()
    assert walk(0.5)[0].position[2] < 0.1


def test_a_walk_that_ended_early_names_what_is_missing() -> None:
    short = [sample for sample in walk(0.5) if sample.segment <= 0]
    problems = judge(short, SCRIPT, ["bridge ended with 1"]).problems
    assert problems == ("bridge ended with 1", "stop: not reached")


def test_every_script_is_long_enough_to_be_judged() -> None:
    assert script_for("base") is BASE_SCRIPT
    assert script_for("residual") is RESIDUAL_SCRIPT
    for script in (BASE_SCRIPT, RESIDUAL_SCRIPT):
        assert all(segment.duration_s >= 3.0 for segment in script)
        assert any(segment.tolerance for segment in script)


def test_own_speeds_are_held_in_order_and_end_in_a_stop() -> None:
    script = forward_script((1.6, 3.0), 20.0)
    assert [segment.velocity[0] for segment in script] == [1.6, 3.0, 0.0]
    assert [segment.duration_s for segment in script[:2]] == [20.0, 20.0]
    assert [segment.tolerance for segment in script] == [0.2, 0.3, None]


@pytest.mark.parametrize(
    ("speeds", "hold_s", "message"),
    [
        ((1.0, math.nan), 20.0, "--speeds has nan, expected finite"),
        ((1.0,), 1.0, "--hold is 1 s, expected more than 1.5 s"),
        ((1.0,), math.inf, "--hold is inf s"),
    ],
)
def test_a_script_that_cannot_be_judged_is_refused(speeds, hold_s, message) -> None:
    with pytest.raises(ValueError, match=message):
        forward_script(speeds, hold_s)


def test_the_plot_is_written(tmp_path: Path) -> None:
    plot(walk(0.5), SCRIPT, tmp_path / "logs" / "walk.png", "test")
    assert (tmp_path / "logs" / "walk.png").stat().st_size > 10_000
