"""The observation of a policy, built term by term from what its contract lists.

Terms are registered by name, so that a model which asks for something that this robot cannot
measure is refused when it is loaded, not when it walks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aliengo_policy.contract import ContractError, PolicyContract


@dataclass(frozen=True, slots=True)
class RobotState:
    """One measurement of the robot, in policy order.

    Attributes:
        joint_positions: (12,) [rad].
        joint_velocities: (12,) [rad/s].
        quaternion: (4,) wxyz, from the body to the world frame.
        angular_velocity: (3,) gyroscope, body frame [rad/s].
    """

    joint_positions: np.ndarray
    joint_velocities: np.ndarray
    quaternion: np.ndarray
    angular_velocity: np.ndarray

    def is_finite(self) -> bool:
        """Whether every measured number is finite."""
        parts = (
            self.joint_positions,
            self.joint_velocities,
            self.quaternion,
            self.angular_velocity,
        )
        return all(bool(np.isfinite(part).all()) for part in parts)

    def gravity_b(self) -> np.ndarray:
        """(3,) unit vector of gravity in the body frame; upright is (0, 0, -1).

        Not a number for a quaternion of zero length, which is what an IMU that is not ready sends.
        """
        w, x, y, z = self.quaternion.tolist()
        squared = w * w + x * x + y * y + z * z
        if not squared > 0.0:
            return np.full(3, np.nan)
        # The last row of the rotation matrix, negated: R^T (0, 0, -1) for any length.
        row = (2.0 * (w * y - x * z), -2.0 * (w * x + y * z), x * x + y * y - w * w - z * z)
        return np.array([part / squared for part in row])

    def tilt(self) -> float:
        """Angle between the body's vertical axis and the world's [rad]."""
        return float(np.arccos(np.clip(-self.gravity_b()[2], -1.0, 1.0)))


@dataclass(frozen=True, slots=True)
class ObservationSources:
    """Everything a term may read.

    Attributes:
        state: the measurement.
        command: (3,) vx, vy [m/s] and wz [rad/s], body frame.
        last_action: (12,) raw action of the previous step, after its clip.
        default_joint_positions: (12,) [rad].
    """

    state: RobotState
    command: np.ndarray
    last_action: np.ndarray
    default_joint_positions: np.ndarray


TermFunction = Callable[[ObservationSources], np.ndarray]
_TERMS: dict[str, tuple[int, TermFunction]] = {}


def register_term(name: str, size: int) -> Callable[[TermFunction], TermFunction]:
    """Make a function available to contracts as the term ``name`` with ``size`` values."""

    def register(function: TermFunction) -> TermFunction:
        if name in _TERMS:
            raise ValueError(f"observation term {name!r} is registered already")
        _TERMS[name] = (size, function)
        return function

    return register


@register_term("base_angular_velocity", 3)
def _base_angular_velocity(sources: ObservationSources) -> np.ndarray:
    return sources.state.angular_velocity


@register_term("projected_gravity", 3)
def _projected_gravity(sources: ObservationSources) -> np.ndarray:
    return sources.state.gravity_b()


@register_term("velocity_command", 3)
def _velocity_command(sources: ObservationSources) -> np.ndarray:
    return sources.command


@register_term("joint_position_error", 12)
def _joint_position_error(sources: ObservationSources) -> np.ndarray:
    error: np.ndarray = sources.state.joint_positions - sources.default_joint_positions
    return error


@register_term("joint_velocity", 12)
def _joint_velocity(sources: ObservationSources) -> np.ndarray:
    return sources.state.joint_velocities


@register_term("last_action", 12)
def _last_action(sources: ObservationSources) -> np.ndarray:
    return sources.last_action


class ObservationBuilder:
    """Fills one observation vector; scaling and clipping are done once, over the whole vector.

    Args:
        contract: names the terms, their order, scales and clips.

    Raises:
        ContractError: for a term that is not registered, or whose size differs.
    """

    def __init__(self, contract: PolicyContract) -> None:
        self._blocks: list[tuple[slice, TermFunction]] = []
        start = 0
        for index, term in enumerate(contract.observation_terms):
            if term.name not in _TERMS:
                raise ContractError(
                    f"observation_terms[{index}].name", f"one of {sorted(_TERMS)}", repr(term.name)
                )
            size, function = _TERMS[term.name]
            if term.size != size:
                raise ContractError(
                    f"observation_terms[{index}].size ({term.name})", size, term.size
                )
            self._blocks.append((slice(start, start + size), function))
            start += size
        terms = contract.observation_terms
        self._scale = np.concatenate([term.scale for term in terms])
        self._low = np.concatenate([np.full(term.size, term.clip[0]) for term in terms])
        self._high = np.concatenate([np.full(term.size, term.clip[1]) for term in terms])
        self._values = np.zeros(start)

    def build(self, sources: ObservationSources, out: np.ndarray) -> None:
        """Write the observation into ``out``, (observation_size,) float32."""
        for block, function in self._blocks:
            self._values[block] = function(sources)
        np.multiply(self._values, self._scale, out=self._values)
        np.clip(self._values, self._low, self._high, out=self._values)
        out[:] = self._values
