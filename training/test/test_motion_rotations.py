"""Group laws and known rotations."""

import numpy as np
import pytest

from aliengo_training.motion import rotations


def random_quaternions(count: int, seed: int = 0) -> np.ndarray:
    return rotations.normalize(np.random.default_rng(seed).normal(size=(count, 4)))


def test_product_rotates_first_by_the_right_factor() -> None:
    a, b = random_quaternions(20, 1), random_quaternions(20, 2)
    v = np.random.default_rng(3).normal(size=(20, 3))
    both = rotations.rotate(rotations.multiply(a, b), v)
    np.testing.assert_allclose(both, rotations.rotate(a, rotations.rotate(b, v)), atol=1e-12)


def test_inverse_undoes() -> None:
    q = random_quaternions(20)
    v = np.random.default_rng(3).normal(size=(20, 3))
    np.testing.assert_allclose(rotations.rotate_inverse(q, rotations.rotate(q, v)), v, atol=1e-12)


def test_exponential_undoes_logarithm() -> None:
    q = random_quaternions(50)
    again = rotations.exponential(rotations.logarithm(q))
    np.testing.assert_allclose(np.abs(np.sum(again * q, axis=-1)), 1.0, atol=1e-12)


def test_yaw_turns_x_to_y() -> None:
    q = rotations.from_roll_pitch_yaw(0.0, 0.0, np.pi / 2)
    np.testing.assert_allclose(
        rotations.rotate(q, np.array([1.0, 0.0, 0.0])), [0, 1, 0], atol=1e-12
    )


def test_roll_pitch_yaw_round_trip() -> None:
    angles = np.random.default_rng(0).uniform(-1.4, 1.4, (30, 3))
    again = rotations.to_roll_pitch_yaw(rotations.from_roll_pitch_yaw(*angles.T))
    np.testing.assert_allclose(again, angles, atol=1e-12)


def test_slerp_halves_the_angle() -> None:
    a, b = random_quaternions(20, 1), random_quaternions(20, 2)
    middle = rotations.slerp(a, b, np.full(20, 0.5))
    first = rotations.logarithm(rotations.multiply(rotations.conjugate(a), middle))
    second = rotations.logarithm(rotations.multiply(rotations.conjugate(middle), b))
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_continuous_keeps_orientations_and_removes_flips() -> None:
    angles = np.linspace(0.0, 3.0, 40)
    smooth = rotations.from_roll_pitch_yaw(angles, 0.0, 0.0)
    flipped = smooth * np.random.default_rng(0).choice([-1.0, 1.0], size=(40, 1))
    np.testing.assert_allclose(rotations.continuous(flipped), smooth, atol=1e-12)


def test_zero_quaternion_is_refused() -> None:
    with pytest.raises(ValueError, match="norm 0"):
        rotations.normalize(np.zeros((2, 4)))
