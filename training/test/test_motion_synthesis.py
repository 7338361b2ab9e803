"""Made gaits move as asked, stand without slipping, and stay within the robot's limits."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_training.motion import analysis
from aliengo_training.motion.clip import mirror
from aliengo_training.motion.files import load_motion, write_motion
from aliengo_training.motion.synthesis import GAITS, Gait, SynthesisError, limp, synthesize

GAIT_LIST = [*GAITS.values(), *(limp(leg) for leg in robot.LEG_NAMES)]
COMMANDS = [(0.0, 0.0, 0.0), (0.6, 0.0, 0.0), (0.5, 0.1, 0.8), (-0.3, 0.0, -0.5)]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("gait", GAIT_LIST, ids=lambda g: g.name)
def test_trunk_moves_as_asked_and_bearing_feet_stand_still(gait: Gait, command: tuple) -> None:
    clip = synthesize(gait, *command, frames_per_second=400.0)
    speed, lateral, yaw_rate = command
    np.testing.assert_allclose(clip.linear_velocity_b[1:-1, 0], speed, atol=1e-3)
    np.testing.assert_allclose(clip.linear_velocity_b[1:-1, 1], lateral, atol=1e-3)
    np.testing.assert_allclose(clip.angular_velocity_b[:, 2], yaw_rate, atol=1e-9)
    # Central differences blur the ends of a stance by one frame: look at its inside.
    standing = clip.foot_heights() < 1e-9
    inside = standing[1:-1] & standing[2:] & standing[:-2]
    assert inside.any()
    assert analysis.foot_slip(clip)[1:-1][inside].max() < 1e-3


@pytest.mark.parametrize("gait", GAIT_LIST, ids=lambda g: g.name)
def test_duty_period_and_closure(gait: Gait) -> None:
    clip = synthesize(gait, 0.5, frames_per_second=200.0)
    standing = (clip.foot_heights() < 1e-9).mean(axis=0)
    expected = [0.0 if leg == gait.carried else gait.duty for leg in range(4)]
    np.testing.assert_allclose(standing, expected, atol=0.03)
    assert analysis.analyse(clip).gait_period_s == pytest.approx(gait.period_s, rel=0.01)
    np.testing.assert_allclose(clip.joint_positions[0], clip.joint_positions[-1], atol=1e-9)
    assert (clip.foot_heights() < 1e-9).any(axis=1).all(), "a foot bears load at any time"


@pytest.mark.parametrize("leg", robot.LEG_NAMES)
def test_the_chosen_leg_is_carried(leg: str) -> None:
    figures = analysis.analyse(synthesize(limp(leg), 0.6))
    assert figures.carried == (leg,)
    assert figures.limit_violation == 0.0


def test_the_limp_of_one_side_mirrors_the_other() -> None:
    left, right = synthesize(limp("FL"), 0.6, 0.0, 0.5), synthesize(limp("FR"), 0.6, 0.0, -0.5)
    np.testing.assert_allclose(mirror(left).joint_positions, right.joint_positions, atol=1e-9)


@pytest.mark.parametrize("gait", GAIT_LIST, ids=lambda g: g.name)
def test_joint_speed_has_no_jumps(gait: Gait) -> None:
    coarse = synthesize(gait, 0.5, frames_per_second=400.0)
    fine = synthesize(gait, 0.5, frames_per_second=800.0)
    jump = np.abs(np.diff(coarse.joint_velocities, axis=0)).max()
    assert np.abs(np.diff(fine.joint_velocities, axis=0)).max() < 0.6 * jump


def test_made_clips_pass_as_motion_files(tmp_path: Path) -> None:
    clip = synthesize(limp("FR"), 0.6)
    write_motion(clip, tmp_path / "limp.txt")
    again = load_motion(tmp_path / "limp.txt")
    np.testing.assert_allclose(again.joint_positions, clip.joint_positions, atol=1e-5)
    assert again.loop


def test_gaits_beyond_the_legs_are_refused_with_the_joint() -> None:
    with pytest.raises(SynthesisError, match=r"walk.*_foot cannot reach"):
        synthesize(GAITS["walk"], 3.0)
    with pytest.raises(SynthesisError, match=r"calf_joint reaches -3\.0"):
        synthesize(dataclasses.replace(GAITS["walk"], height=0.1), 0.0)
    with pytest.raises(SynthesisError, match=r"_joint turns at .*allowed is"):
        synthesize(dataclasses.replace(GAITS["trot"], period_s=0.1), 0.5, frames_per_second=400)
    with pytest.raises(SynthesisError, match=r"'XX': allowed are \['FL'"):
        limp("XX")
    for number in (float("nan"), float("inf")):
        for name in ("speed", "lateral", "yaw_rate"):
            with pytest.raises(SynthesisError, match=f"{name} is {number}: expected a finite"):
                synthesize(GAITS["walk"], **{name: number})
    for rate in (0.0, -50.0, float("nan"), float("inf")):
        with pytest.raises(SynthesisError, match=f"frames per second is {rate}: expected more"):
            synthesize(GAITS["walk"], frames_per_second=rate)
    with pytest.raises(SynthesisError, match="cycles is 0"):
        synthesize(GAITS["walk"], cycles=0)
