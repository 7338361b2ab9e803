"""Interpolation, smoothing, alignment and mirroring of clips."""

import dataclasses

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_training.motion import alignment, rotations
from aliengo_training.motion.clip import MotionClip, mirror, sample
from aliengo_training.motion.files import load_motion
from aliengo_training.motion.filters import lowpass
from aliengo_training.motion.testing import recorded, wavy_clip


def test_lowpass_halves_at_the_cutoff_without_delay() -> None:
    t = np.arange(0, 4.0 + 1e-9, 0.02)
    tone = np.sin(2.0 * np.pi * 5.0 * t)
    np.testing.assert_allclose(lowpass(tone, 0.02, 5.0), 0.5 * tone, atol=1e-9)


def test_lowpass_keeps_lines_and_ends() -> None:
    line = np.linspace(-1.0, 3.0, 50)[:, None] * np.array([1.0, 2.0])
    np.testing.assert_allclose(lowpass(line, 0.02, 3.0), line, atol=1e-9)


def test_lowpass_refuses_a_cutoff_beyond_half_the_frame_rate() -> None:
    with pytest.raises(ValueError, match=r"30\.0 Hz.*25\.00 Hz"):
        lowpass(np.zeros(10), 0.02, 30.0)


def test_velocities_integrate_to_the_pose() -> None:
    clip = wavy_clip(frames=301, frame_duration_s=0.004)
    velocity_w = rotations.rotate(clip.root_quaternion, clip.linear_velocity_b)
    middle = 0.5 * (velocity_w[1:] + velocity_w[:-1])
    path = np.cumsum(middle * clip.frame_duration_s, axis=0)
    np.testing.assert_allclose(path, clip.root_position[1:] - clip.root_position[0], atol=2e-5)
    q = clip.root_quaternion[:1]
    for rate in 0.5 * (clip.angular_velocity_b[1:] + clip.angular_velocity_b[:-1]):
        q = rotations.multiply(q, rotations.exponential(rate * clip.frame_duration_s))
    np.testing.assert_allclose(q[0], clip.root_quaternion[-1], atol=1e-3)


def test_time_maps_to_frames_by_the_number_of_steps() -> None:
    clip = wavy_clip()
    state = sample(clip, clip.times_s)
    for name, array in state.arrays().items():
        np.testing.assert_allclose(array, getattr(clip, name), atol=1e-9, err_msg=name)
    assert clip.duration_s == pytest.approx(60 * 0.02)


def test_a_sample_between_frames_is_a_pose_of_the_robot() -> None:
    state = sample(wavy_clip(), np.array([0.013, 0.477]))
    np.testing.assert_allclose(state.foot_positions, robot.foot_positions(state.joint_positions))
    np.testing.assert_allclose(np.linalg.norm(state.root_quaternion, axis=-1), 1.0)


def test_time_outside_the_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the clip"):
        sample(wavy_clip(name="short"), np.array([1.3]))


def test_mirrored_twice_is_the_clip_and_once_is_the_mirrored_pose() -> None:
    clip = wavy_clip()
    once = mirror(clip)
    for name, array in mirror(once).arrays().items():
        np.testing.assert_allclose(array, getattr(clip, name), atol=1e-12, err_msg=name)
    rebuilt = type(clip).from_pose(
        once.root_position, once.root_quaternion, once.joint_positions, clip.frame_duration_s
    )
    for name, array in rebuilt.arrays().items():
        np.testing.assert_allclose(getattr(once, name), array, atol=1e-9, err_msg=name)


def test_lift_puts_the_lowest_foot_on_the_ground() -> None:
    clip = alignment.lift(wavy_clip())
    assert clip.foot_heights().min() == pytest.approx(0.0, abs=1e-12)


def pitched_stand(pitch: float) -> MotionClip:
    """Return the standing robot driving at 0.5 m/s along the world's x, its trunk pitched."""
    joints = np.tile(robot.DEFAULT_JOINT_POSITIONS, (30, 1))
    position = np.stack([0.01 * np.arange(30), np.zeros(30), np.full(30, 0.38)], axis=-1)
    q = rotations.from_roll_pitch_yaw(np.zeros(30), np.full(30, pitch), np.zeros(30))
    return MotionClip.from_pose(position, q, joints, 0.02)


@pytest.mark.parametrize("pitch", [-0.15, 0.12])
def test_level_takes_out_a_pitched_ground(pitch: float) -> None:
    clip = alignment.level(pitched_stand(pitch))
    assert np.ptp(clip.foot_heights(), axis=1).max() < 2e-3
    stand = robot.foot_positions(robot.DEFAULT_JOINT_POSITIONS)
    slope = np.arctan((stand[0, 2] - stand[2, 2]) / (stand[0, 0] - stand[2, 0]))
    expected = [0.5 * np.cos(slope), 0.0, 0.5 * np.sin(slope)]
    np.testing.assert_allclose(clip.linear_velocity_b[5], expected, atol=1e-3)


def test_plant_puts_a_foot_on_the_ground_in_every_frame() -> None:
    clip = alignment.plant(wavy_clip())
    np.testing.assert_allclose(clip.foot_heights().min(axis=1), 0.0, atol=1e-12)
    velocity_w = rotations.rotate(clip.root_quaternion, clip.linear_velocity_b)
    np.testing.assert_allclose(
        velocity_w[1:-1, 2], (clip.root_position[2:, 2] - clip.root_position[:-2, 2]) / 0.04
    )


def test_heading_turns_the_trunk_and_not_the_path() -> None:
    clip = wavy_clip()
    offset = rotations.from_roll_pitch_yaw(0.0, 0.0, 0.5)
    askew = type(clip).from_pose(
        clip.root_position,
        rotations.multiply(clip.root_quaternion, offset),
        clip.joint_positions,
        clip.frame_duration_s,
    )
    straight = alignment.align_heading(askew)
    assert abs(straight.linear_velocity_b[:, 1].mean()) < 1e-9
    assert straight.linear_velocity_b[:, 0].mean() > 0.4
    np.testing.assert_array_equal(straight.root_position, askew.root_position)


def test_heading_of_a_clip_that_stands_is_refused() -> None:
    clip = wavy_clip()
    still = dataclasses.replace(clip, linear_velocity_b=np.zeros_like(clip.linear_velocity_b))
    with pytest.raises(ValueError, match="too slow"):
        alignment.align_heading(still)


def test_recorded_limp_is_aligned_as_its_own_velocities_say() -> None:
    """The pitch comes from the feet alone; that the vertical velocity vanishes confirms it."""
    clip = load_motion(recorded("19limp1_1.txt"), lowpass_hz=6.0, ground="plant", heading=True)
    raw = load_motion(recorded("19limp1_1.txt"), lowpass_hz=6.0, ground="none")
    assert raw.linear_velocity_b[:, 2].mean() > 0.08
    assert abs(clip.linear_velocity_b[:, 2].mean()) < 0.05
    heights = clip.foot_heights()
    assert heights[:, 1].min() > 0.04, "the front right leg is carried"
    assert np.all(np.quantile(heights, 0.3, axis=0)[[0, 2, 3]] < 0.03)
