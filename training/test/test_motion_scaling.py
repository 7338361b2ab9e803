"""A clip at another speed: feet on the ground stand still, carried legs and the rhythm's rate are kept."""

import dataclasses

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.rhythm import gait_period
from aliengo_training.motion.scaling import ClipScaler, ScalingConfig, forward_speed
from aliengo_training.motion.synthesis import GAITS, limp, synthesize
from aliengo_training.motion.testing import wavy_clip

LIMP = synthesize(limp("FR"), 0.6, cycles=8)
#: Feet that sweep exactly as fast as the trunk moves.
PLAIN = ScalingConfig(sweep=1.0)
BEARING = [0, 2, 3]


def sliding(clip: MotionClip, factor: float) -> MotionClip:
    """The clip with a trunk that moves faster than its legs."""
    moved = clip.root_position * [factor, factor, 1.0]
    return MotionClip.from_pose(
        moved, clip.root_quaternion, clip.joint_positions, **clip.attributes()
    )


def test_a_clip_whose_feet_stand_still_is_itself_at_its_own_speed() -> None:
    scaler = ClipScaler(LIMP, PLAIN)
    assert scaler.sweep[BEARING] == pytest.approx(0.6, rel=0.05)
    same = scaler.at(scaler.speed)
    assert same.frame_duration_s == pytest.approx(LIMP.frame_duration_s)
    np.testing.assert_allclose(same.joint_positions, LIMP.joint_positions, atol=0.02)


@pytest.mark.parametrize("speed", [0.45, 0.8, 1.0])
def test_feet_sweep_as_fast_as_the_trunk_moves(speed: float) -> None:
    scaler = ClipScaler(LIMP, PLAIN)
    clip = scaler.at(speed)
    assert forward_speed(clip) == pytest.approx(speed, rel=0.02)
    again = ClipScaler(clip, PLAIN)
    assert again.sweep[BEARING] == pytest.approx(speed, rel=0.08)
    quicker = gait_period(LIMP.joint_positions, LIMP.frame_duration_s) / gait_period(
        clip.joint_positions, clip.frame_duration_s
    )
    assert quicker == pytest.approx(
        np.clip((speed / scaler.speed) ** 0.4, *PLAIN.rate_range), rel=0.02
    )


def test_a_clip_that_slides_is_stretched_until_it_does_not() -> None:
    clip = ClipScaler(sliding(LIMP, 1.5), PLAIN).at(0.9)
    assert clip.frame_duration_s == pytest.approx(LIMP.frame_duration_s)
    assert ClipScaler(clip, PLAIN).sweep[BEARING] == pytest.approx(0.9, rel=0.08)


def test_a_carried_leg_moves_as_it_did() -> None:
    scaler = ClipScaler(LIMP, PLAIN)
    assert scaler.bearing.tolist() == [True, False, True, True]
    np.testing.assert_allclose(
        scaler.at(1.0).joint_positions[:, 3:6], LIMP.joint_positions[:, 3:6], atol=1e-9
    )
    trot = ClipScaler(synthesize(GAITS["trot"], 0.6, cycles=8), PLAIN)
    assert trot.bearing.all()


def test_strides_that_differ_are_not_stretched() -> None:
    """Drift of the posture over a recording would otherwise grow with the strides."""
    drift = np.linspace(-0.1, 0.1, len(LIMP))[:, None] * np.tile([0.0, 1.0, 0.0], 4)
    drifting = dataclasses.replace(LIMP, joint_positions=LIMP.joint_positions + drift)
    faster = ClipScaler(drifting, PLAIN).at(0.9).joint_positions
    steady = ClipScaler(LIMP, PLAIN).at(0.9).joint_positions
    stride = round(gait_period(LIMP.joint_positions, LIMP.frame_duration_s) / 0.02)
    slow = np.stack(
        [np.convolve(column, np.ones(stride) / stride, "valid") for column in (faster - steady).T]
    )
    grown = (slow[:, -1] - slow[:, 0]).reshape(4, 3)[:, 1]
    expected = 0.2 * (len(LIMP) - stride) / len(LIMP)
    np.testing.assert_allclose(grown, expected, atol=0.03)


def test_factors_stay_in_their_bounds_and_joints_within_limits() -> None:
    config = ScalingConfig(rate_range=(0.9, 1.1), stretch_range=(0.8, 1.2))
    scaler = ClipScaler(LIMP, config)
    assert scaler.rate(0.01) == 0.9
    assert scaler.rate(9.0) == 1.1
    assert scaler.stretch(9.0)[BEARING] == pytest.approx(1.2)
    assert scaler.stretch(0.01)[BEARING] == pytest.approx(0.8)
    far = ClipScaler(LIMP, ScalingConfig(stretch_range=(0.4, 20.0))).at(4.0)
    assert np.isfinite(far.joint_positions).all()
    assert (far.joint_positions <= robot.SAFE_JOINT_UPPER + 1e-9).all()
    assert (far.joint_positions >= robot.SAFE_JOINT_LOWER - 1e-9).all()


def test_a_motion_without_rhythm_is_stretched_as_a_whole() -> None:
    clip = wavy_clip(frames=20)
    assert np.isnan(gait_period(clip.joint_positions, clip.frame_duration_s))
    scaler = ClipScaler(clip, PLAIN)
    wide = scaler.at(2.0 * scaler.speed)
    feet = robot.foot_positions(wide.joint_positions)[..., 0]
    before = clip.foot_positions[..., 0]
    ratio = np.ptp(feet, axis=0) / np.ptp(before, axis=0)
    np.testing.assert_allclose(ratio, scaler.stretch(2.0 * scaler.speed), rtol=0.1)


def test_feet_that_must_sweep_faster_than_the_trunk_are_stretched_further() -> None:
    once, faster = (ClipScaler(LIMP, ScalingConfig(sweep=sweep)) for sweep in (1.0, 1.25))
    assert faster.stretch(0.7)[BEARING] == pytest.approx(1.25 * once.stretch(0.7)[BEARING])
    assert faster.stretch(0.7)[1] == 1.0, "the carried leg"
    assert faster.rate(0.7) == once.rate(0.7)
    swept = ClipScaler(faster.at(0.7), PLAIN).sweep[BEARING]
    assert swept == pytest.approx(1.25 * 0.7, rel=0.08)
    assert forward_speed(faster.at(0.7)) == pytest.approx(0.7, rel=0.02)
