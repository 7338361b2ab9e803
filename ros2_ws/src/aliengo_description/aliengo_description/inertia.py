"""Rigid-body inertia: the value type and the algebra to merge bodies that move as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["Inertial", "merge", "sphere_inertia"]


@dataclass(frozen=True)
class Inertial:
    """Mass distribution of one rigid body, in the frame of its link.

    Attributes:
        mass: Mass [kg].
        com: Centre of mass in the link frame [m].
        moments: (ixx, ixy, ixz, iyy, iyz, izz) about the centre of mass, along the link axes
            [kg m^2].
    """

    mass: float
    com: tuple[float, float, float]
    moments: tuple[float, float, float, float, float, float]

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The inertia tensor about the centre of mass as a (3, 3) matrix [kg m^2]."""
        ixx, ixy, ixz, iyy, iyz, izz = self.moments
        return np.array([[ixx, ixy, ixz], [ixy, iyy, iyz], [ixz, iyz, izz]])

    def about_origin(self) -> npt.NDArray[np.float64]:
        """The inertia tensor about the link's origin, by the parallel axis theorem [kg m^2]."""
        offset = np.asarray(self.com)
        return self.matrix + self.mass * (offset @ offset * np.eye(3) - np.outer(offset, offset))

    def moved(self, offset: tuple[float, float, float]) -> Inertial:
        """The same body seen from a link frame in which its own frame sits at ``offset`` [m]."""
        x, y, z = (float(c + o) for c, o in zip(self.com, offset))
        return Inertial(self.mass, (x, y, z), self.moments)


def merge(parts: Iterable[Inertial]) -> Inertial:
    """Return the inertial of bodies that are rigidly joined, all given in one frame.

    Args:
        parts: Bodies, at least one of positive mass.

    Raises:
        ValueError: If the masses do not add up to more than zero.
    """
    bodies = list(parts)
    mass = float(sum(body.mass for body in bodies))
    if mass <= 0.0:
        raise ValueError(f"cannot merge {len(bodies)} bodies of total mass {mass} kg: must be > 0")
    com = np.sum([body.mass * np.asarray(body.com) for body in bodies], axis=0) / mass
    at_origin = np.sum([body.about_origin() for body in bodies], axis=0)
    at_com = at_origin - mass * (com @ com * np.eye(3) - np.outer(com, com))
    x, y, z = (float(value) for value in com)
    ixx, ixy, ixz, iyy, iyz, izz = (float(value) for value in at_com[np.triu_indices(3)])
    return Inertial(mass, (x, y, z), (ixx, ixy, ixz, iyy, iyz, izz))


def sphere_inertia(mass: float, radius: float) -> Inertial:
    """Return a homogeneous sphere of ``mass`` [kg] and ``radius`` [m] at the origin."""
    moment = 0.4 * mass * radius**2
    return Inertial(mass, (0.0, 0.0, 0.0), (moment, 0.0, 0.0, moment, 0.0, moment))
