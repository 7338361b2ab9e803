"""Figures of clips whose figures are known."""

import dataclasses

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_training.motion.analysis import analyse
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.files import load_motion
from aliengo_training.motion.synthesis import GAITS, synthesize
from aliengo_training.motion.testing import recorded


def swinging(frequency_hz: float, harmonic: float, drift: float) -> MotionClip:
    """Return a clip whose joints swing with a second harmonic on top of a slow drift."""
    t = np.arange(80) * 0.033
    wave = np.sin(2 * np.pi * frequency_hz * t) + harmonic * np.sin(4 * np.pi * frequency_hz * t)
    joints = robot.DEFAULT_JOINT_POSITIONS + 0.1 * wave[:, None] + drift * (t[:, None] - 1.3)
    position = np.tile([0.0, 0.0, 0.4], (80, 1))
    return MotionClip.from_pose(position, np.tile([1.0, 0, 0, 0], (80, 1)), joints, 0.033)


@pytest.mark.parametrize(("harmonic", "drift"), [(0.0, 0.0), (1.5, 0.0), (0.5, 0.2)])
def test_gait_period_despite_harmonics_and_drift(harmonic: float, drift: float) -> None:
    figures = analyse(swinging(2.2, harmonic, drift))
    assert figures.gait_period_s == pytest.approx(1 / 2.2, rel=0.03)


def test_noise_has_no_period() -> None:
    clip = swinging(2.2, 0.0, 0.0)
    noise = np.random.default_rng(0).normal(size=clip.joint_positions.shape)
    assert analyse(dataclasses.replace(clip, joint_positions=noise)).gait_period_s is None


def test_figures_of_a_trot() -> None:
    figures = analyse(synthesize(GAITS["trot"], 0.5, 0.0, 0.4))
    assert figures.mean_velocity_b == pytest.approx((0.5, 0.0, 0.0), abs=1e-3)
    assert figures.mean_yaw_rate == pytest.approx(0.4)
    assert figures.carried == ()
    assert figures.trunk_height == pytest.approx(GAITS["trot"].height, abs=1e-6)


def test_recorded_limp_carries_the_front_right_leg() -> None:
    clip = load_motion(recorded("19limp1_1.txt"), lowpass_hz=6.0, ground="plant", heading=True)
    figures = analyse(clip)
    assert figures.carried == ("FR",)
    assert figures.gait_period_s == pytest.approx(0.43, abs=0.04)
    assert figures.mean_velocity_b[0] == pytest.approx(0.74, abs=0.02)
