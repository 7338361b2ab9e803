"""Rhythm, phases and cycles of gaits whose truth is known."""

import numpy as np
import pytest

from aliengo_training.evaluation import gait
from aliengo_training.evaluation.figures import clip_cycle
from aliengo_training.motion.files import load_motion
from aliengo_training.motion.rhythm import gait_period
from aliengo_training.motion.testing import recorded

STEP = 0.02


def cycle(phase: np.ndarray) -> np.ndarray:
    """Twelve joints with up to three harmonics over a phase in strides (T,)."""
    angle = 2 * np.pi * phase[:, None] + np.linspace(0.0, 5.0, 12)
    return 0.3 * np.sin(angle) + 0.15 * np.cos(2 * angle + 1.0) + 0.05 * np.sin(3 * angle)


def joints(period: float, seconds: float = 15.0, noise: float = 0.0) -> np.ndarray:
    time = np.arange(0.0, seconds, STEP)
    rng = np.random.default_rng(0)
    return cycle(time / period) + noise * rng.normal(size=(len(time), 12))


@pytest.mark.parametrize("period", [0.31, 0.4367, 0.8, 1.3])
def test_period_is_found_between_the_samples(period: float) -> None:
    assert gait_period(joints(period, noise=0.02), STEP) == pytest.approx(period, rel=0.01)


def test_a_strong_second_harmonic_does_not_halve_the_period() -> None:
    time = np.arange(0.0, 10.0, STEP)[:, None]
    signal = 0.2 * np.sin(2 * np.pi * time / 0.6) + 0.4 * np.sin(4 * np.pi * time / 0.6 + 0.3)
    assert gait_period(np.repeat(signal, 12, axis=1), STEP) == pytest.approx(0.6, rel=0.01)


def uneven(alternating: float, noise: float, seed: int) -> np.ndarray:
    """Strides of 0.4 s in the mean, every second longer by a share, and noise on the joints [rad]."""
    rng = np.random.default_rng(seed)
    shares = alternating * (-1.0) ** np.arange(80) + 0.05 * rng.normal(size=80)
    starts = np.concatenate([[0.0], np.cumsum(0.4 * (1.0 + shares))])
    phase = np.interp(np.arange(0.0, 19.0, STEP), starts, np.arange(81.0))
    return cycle(phase) + noise * rng.normal(size=(len(phase), 12))


@pytest.mark.parametrize("seed", range(5))
def test_long_and_short_strides_are_not_read_as_one(seed: int) -> None:
    assert gait_period(uneven(0.15, 0.1, seed), STEP) == pytest.approx(0.4, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_strides_under_noise_have_a_period(seed: int) -> None:
    assert gait_period(uneven(0.1, 0.3, seed), STEP) == pytest.approx(0.4, rel=0.05)


def test_standing_and_noise_have_no_period() -> None:
    rng = np.random.default_rng(0)
    assert np.isnan(gait_period(np.zeros((500, 12)), STEP))
    assert np.isnan(gait_period(0.001 * joints(0.5), STEP))
    assert np.isnan(gait_period(rng.normal(size=(500, 12)), STEP))
    assert np.isnan(gait_period(joints(0.5, seconds=0.1), STEP))


def stances(starts: "list[float]", period: float, wobble: float = 0.0) -> np.ndarray:
    """Contacts (T, 4) of feet that stand for 60 % of a stride from these phases on."""
    time = np.arange(0.0, 15.0, STEP)
    phase = time / period + wobble * np.sin(2 * np.pi * time / 4.0)
    return ((phase[:, None] - np.array(starts)) % 1.0) < 0.6


@pytest.mark.parametrize("wobble", [0.0, 0.3])
def test_phase_offsets_of_known_stances(wobble: float) -> None:
    contact = stances([0.25, 0.75, 0.1, 0.6], 0.5, wobble)
    offsets = gait.phase_offsets(contact, 0.5, STEP, reference=2)
    np.testing.assert_allclose(
        gait.phase_difference(offsets, np.array([0.15, -0.35, 0.0, 0.5])), 0.0, atol=0.02
    )


def test_a_carried_foot_has_no_phase() -> None:
    contact = stances([0.0, 0.0, 0.0, 0.5], 0.5)
    contact[:, 1] = False
    offsets = gait.phase_offsets(contact, 0.5, STEP, reference=2)
    np.testing.assert_array_equal(np.isnan(offsets), [False, True, False, False])
    assert np.isnan(gait.phase_offsets(contact, float("nan"), STEP, reference=2)).all()


def test_phase_difference_goes_around_the_circle() -> None:
    np.testing.assert_allclose(
        gait.phase_difference(np.array([0.45, 0.1]), np.array([-0.45, 0.3])), [0.1, 0.2]
    )


def test_mean_cycle_recovers_the_shape_through_noise_and_varying_strides() -> None:
    time = np.arange(0.0, 15.0, STEP)
    phase = time / 0.5 + 0.4 * np.sin(2 * np.pi * time / 5.0)
    noise = 0.02 * np.random.default_rng(0).normal(size=(len(time), 12))
    found = gait.mean_cycle(cycle(phase) + noise, 0.5, STEP)
    truth = cycle(np.arange(gait.CYCLE_BINS) / gait.CYCLE_BINS)
    assert gait.cycle_distance(found, truth).max() < 0.02


def test_mean_cycle_needs_more_than_a_period() -> None:
    with pytest.raises(ValueError, match=r"recording of 0\.50 s.*periods of 0\.50 s"):
        gait.mean_cycle(joints(0.5, seconds=0.5), 0.5, STEP)


def test_distance_of_cycles_is_per_leg_and_blind_to_the_start() -> None:
    truth = cycle(np.arange(64) / 64)
    moved = np.roll(truth, 17, axis=0)
    np.testing.assert_allclose(gait.cycle_distance(moved, truth), 0.0, atol=1e-12)
    moved[:, 3:6] += [0.3, 0.0, 0.0]
    expected = [0.0, 0.3 / np.sqrt(3.0), 0.0, 0.0]
    np.testing.assert_allclose(gait.cycle_distance(moved, truth), expected, atol=1e-9)


def test_the_recorded_limp_has_a_cycle_like_its_frames() -> None:
    clip = load_motion(recorded("19limp1_1.txt"))
    found = clip_cycle(clip)
    assert found is not None
    assert found.period_s == pytest.approx(0.437, abs=0.01)
    assert found.speed == pytest.approx(0.638, abs=0.001)
    # The mean cycle explains most of the motion, but neither its noise nor the uneven strides.
    spread = (clip.joint_positions - clip.joint_positions.mean(0)).std()
    assert 0.5 * spread < found.cycle.std(axis=0).mean() < 1.5 * spread
