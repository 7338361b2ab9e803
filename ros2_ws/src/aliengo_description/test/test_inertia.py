"""Inertia algebra, and why revision A's leg inertias are not used."""

from __future__ import annotations

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_description.inertia import Inertial, merge, sphere_inertia

BODIES = (
    [robot.TRUNK_INERTIAL, robot.CALF_INERTIAL, robot.FOOT_INERTIAL]
    + [robot.hip_inertial(leg) for leg in range(4)]
    + [robot.thigh_inertial(leg) for leg in range(4)]
)


def test_two_point_masses_make_a_dumbbell() -> None:
    point = Inertial(1.5, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    both = merge([point.moved((0.0, 0.0, 0.2)), point.moved((0.0, 0.0, -0.2))])
    assert both.mass == 3.0
    np.testing.assert_allclose(both.com, 0.0, atol=1e-15)
    np.testing.assert_allclose(
        both.matrix, np.diag([2 * 1.5 * 0.04, 2 * 1.5 * 0.04, 0.0]), atol=1e-15
    )


def test_merging_keeps_the_inertia_about_any_point() -> None:
    parts = [robot.CALF_INERTIAL, robot.FOOT_INERTIAL.moved((0.0, 0.0, -0.25))]
    np.testing.assert_allclose(
        merge(parts).about_origin(), sum(part.about_origin() for part in parts), atol=1e-15
    )


def test_merging_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 bodies of total mass 0"):
        merge([])


@pytest.mark.parametrize("body", BODIES)
def test_bodies_can_exist(body: Inertial) -> None:
    moments = np.linalg.eigvalsh(body.matrix)
    assert moments[0] > 0.0
    assert moments[0] + moments[1] >= moments[2]  # triangle inequality


def test_legs_mirror_from_left_to_right_and_front_to_rear() -> None:
    flip = np.diag([1.0, -1.0, 1.0])
    for left, right in ((0, 1), (2, 3)):
        for inertial in (robot.hip_inertial, robot.thigh_inertial):
            np.testing.assert_allclose(
                inertial(right).matrix, flip @ inertial(left).matrix @ flip, atol=1e-15
            )
            np.testing.assert_allclose(inertial(right).com, flip @ inertial(left).com, atol=1e-15)
    turn = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(
        robot.hip_inertial(2).matrix, turn @ robot.hip_inertial(0).matrix @ turn, atol=1e-15
    )


def test_published_foot_is_a_homogeneous_sphere() -> None:
    assert sphere_inertia(0.06, 0.0265).moments[0] == pytest.approx(1.6854e-05, abs=5e-10)


@pytest.mark.parametrize(
    ("link", "published_a"),
    [
        (robot._CALF, (0.006341369, 0.006355157, 3.9188e-05)),
        (robot._FL_THIGH, (0.005666803, 0.005847229, 0.000369811)),
        (robot._FL_HIP, (0.002903894, 0.004907517, 0.005586944)),
    ],
)
def test_revision_a_takes_its_leg_inertias_about_the_joint(
    link: Inertial, published_a: tuple
) -> None:
    # To 0.5 %: A is read as "about the centre of mass" by every simulator, but is O about the
    # joint.
    np.testing.assert_allclose(np.diag(link.about_origin()), published_a, rtol=5e-3)
