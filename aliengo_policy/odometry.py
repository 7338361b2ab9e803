"""Base velocity and position from the IMU and the legs that stand on the ground.

A linear Kalman filter after Bledt et al., "MIT Cheetah 3: Design and Control of a Robust, Dynamic
Quadruped Robot" (IROS 2018), which takes the orientation from the IMU and so needs no
linearisation; the idea of carrying the foot positions in the state is from Bloesch et al., "State
Estimation for Legged Robots: Consistent Fusion of Leg Kinematics and IMU" (RSS 2012). Each foot
counts as much as it carries weight.

Two changes. A foot is a sphere that rolls while the leg turns over it, so that its centre
does move in stance: with a calf rate of 4 rad/s by 0.1 m/s, as much as the whole error allowed. And
the contact comes from the joint torques, in newtons, because the robot's foot sensors give
uncalibrated counts that drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aliengo_description import robot

__all__ = [
    "Estimate",
    "LegOdometry",
    "OdometryConfig",
    "Reading",
    "multiply_quaternions",
    "rotation_matrix",
]

Array = npt.NDArray[np.float64]

GRAVITY = np.array([0.0, 0.0, -9.81])
_POSITION, _VELOCITY, _FEET = 0, 1, slice(2, 6)
_STATES = 6
#: How long a robot that cannot be seen is taken to go on as before [s].
_COAST_S = 0.5
#: Standard deviation of the speed with which it may have gone elsewhere [m/s].
_WANDER_M_S = 1.0
#: More than that nobody needs to be told, and the filter's numbers would suffer [m].
_FARTHEST_M = 1000.0
#: Where the heading of the IMU turns further in a gap, the IMU has begun anew.
_FASTEST_TURN_RAD_S, _IMU_DRIFT_RAD = 4.0, 0.1


@dataclass(frozen=True)
class OdometryConfig:
    """Noise of the model and of the measurements (standard deviations).

    Attributes:
        acceleration_noise: Of the accelerometer and the orientation [m/s^2].
        slip_noise: Drift of a standing foot [m/s^0.5].
        kinematics_noise: Of a foot's position in the base frame [m].
        foot_velocity_noise: Of a standing foot's velocity [m/s].
        height_noise: Unevenness of the ground [m].
        unloaded_factor: By how much all that is larger for a foot in the air.
        contact_force: Vertical force [N] at which a foot begins to count and at which it fully
            counts; the robot weighs 245 N, a swinging leg causes about 15 N.
    """

    acceleration_noise: float = 0.5
    slip_noise: float = 0.02
    kinematics_noise: float = 0.005
    foot_velocity_noise: float = 0.1
    height_noise: float = 0.01
    unloaded_factor: float = 300.0
    contact_force: tuple[float, float] = (25.0, 60.0)

    def __post_init__(self) -> None:
        """Refuses a threshold that cannot be used."""
        low, high = self.contact_force
        if not 0.0 <= low < high:
            raise ValueError(f"contact_force is {self.contact_force}; needed: 0 <= low < high")


@dataclass(frozen=True)
class Reading:
    """What the robot measures at one moment; joints in policy order.

    Attributes:
        quaternion: Orientation of the base in the world, wxyz, (4,).
        gyroscope: Angular velocity in the base frame [rad/s], (3,).
        accelerometer: Specific force in the base frame, +9.81 on z at rest [m/s^2], (3,).
        joint_positions: [rad], (12,).
        joint_velocities: [rad/s], (12,).
        joint_torques: [N m], (12,).
    """

    quaternion: Array
    gyroscope: Array
    accelerometer: Array
    joint_positions: Array
    joint_velocities: Array
    joint_torques: Array


@dataclass(frozen=True)
class Estimate:
    """Motion of the base.

    Attributes:
        position: In the frame `odom` [m], (3,); z = 0 is the ground under the standing feet.
        quaternion: Orientation in `odom`, wxyz, (4,); heading 0 is the one at the start.
        linear_velocity_b: In the base frame [m/s], (3,).
        angular_velocity_b: In the base frame [rad/s], (3,).
        contact: Weight of each foot in [0, 1], (4,).
        velocity_variance: Of each component of the velocity in `odom` [m^2/s^2], (3,).
        position_variance: Likewise [m^2], (3,).
    """

    position: Array
    quaternion: Array
    linear_velocity_b: Array
    angular_velocity_b: Array
    contact: Array
    velocity_variance: Array
    position_variance: Array


def rotation_matrix(quaternion: npt.ArrayLike) -> Array:
    """Rotation (..., 3, 3) from base to world of unit quaternions wxyz (..., 4)."""
    w, x, y, z = np.moveaxis(np.asarray(quaternion, np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def vertical_foot_forces(
    rotation: npt.ArrayLike, joint_positions: npt.ArrayLike, joint_torques: npt.ArrayLike
) -> Array:
    """Force of the ground on each foot along the world's z axis, legs taken as massless [N].

    Args:
        rotation: (..., 3, 3) base to world.
        joint_positions: (..., 12) [rad].
        joint_torques: (..., 12) [N m].

    Returns:
        (..., 4); near a stretched leg the damped inverse gives a lower bound.
    """
    jacobians = robot.foot_jacobians(joint_positions)
    torques = np.asarray(joint_torques, np.float64)
    torques = torques.reshape((*torques.shape[:-1], 4, 3, 1))
    # tau = -J^T f; damped least squares, because J loses rank when the leg is stretched.
    gram = jacobians @ np.swapaxes(jacobians, -1, -2) + 1e-4 * np.eye(3)
    forces = -np.linalg.solve(gram, jacobians @ torques)
    up = np.asarray(rotation)[..., None, 2:3, :]
    return np.asarray((up @ forces)[..., 0, 0])


class LegOdometry:
    """The filter. Feed it readings in order; it has no clock.

    The three axes of the world share one model, so that the state is a matrix (6, 3) with rows
    base position, base velocity and four feet, and the covariance (6, 6) is one for x and y and
    one for z, where the ground gives an extra measurement.
    """

    def __init__(self, config: OdometryConfig | None = None) -> None:
        """Starts at the origin; the first reading sets height, feet and heading."""
        self._config = config or OdometryConfig()
        self._state: Array | None = None
        self._begin, self._begin_variance = np.zeros(2), 0.0
        self._turned, self._heading, self._gap_s = False, 0.0, 0.0
        self._covariance = np.zeros((2, _STATES, _STATES))
        self._turn = np.array([1.0, 0.0, 0.0, 0.0])
        self._measure = np.zeros((12, _STATES))
        for foot in range(4):
            self._measure[foot, [_POSITION, 2 + foot]] = -1.0, 1.0
            self._measure[4 + foot, _VELOCITY] = 1.0
            self._measure[8 + foot, 2 + foot] = 1.0

    def skip(self, gap_s: float) -> None:
        """Goes on after a gap in the readings, where it was and less certain of it.

        The heading goes on with the IMU's, or from where it was if that has begun anew; the next
        reading sets height and feet.

        Args:
            gap_s: Time since the last reading [s].
        """
        if not self._turned:
            return
        self._gap_s += gap_s
        spread = min(_WANDER_M_S * gap_s, _FARTHEST_M) ** 2
        if self._state is None:
            self._begin_variance += spread
            return
        ahead = self._state[_VELOCITY, :2] * min(gap_s, _COAST_S)
        self._begin = self._state[_POSITION, :2] + ahead
        self._begin_variance = float(self._covariance[0, _POSITION, _POSITION] + spread)
        self._state = None

    def update(self, reading: Reading, dt: float) -> Estimate:
        """Advances the filter.

        Args:
            reading: The newest measurements.
            dt: Time since the previous reading [s]; ignored for the first.

        Raises:
            ValueError: If a measurement is not finite; the message names it. The state is kept.
        """
        _check_finite(reading)
        if self._state is None:
            self._take_heading(reading.quaternion)
        quaternion = multiply_quaternions(
            self._turn, reading.quaternion / np.linalg.norm(reading.quaternion)
        )
        self._heading = _yaw(quaternion)
        rotation = rotation_matrix(quaternion)
        feet_b = robot.foot_positions(reading.joint_positions)
        jacobians = robot.foot_jacobians(reading.joint_positions)
        rates = reading.joint_velocities.reshape(4, 3)
        moving_b = np.cross(reading.gyroscope, feet_b) + np.einsum("fij,fj->fi", jacobians, rates)
        feet_w, moving_w = feet_b @ rotation.T, moving_b @ rotation.T
        rolling_w = _rolling_velocity(reading, rotation)
        contact = self._contact_weights(reading, rotation)
        if self._state is None:
            self._start(feet_w)
        assert self._state is not None
        self._predict(rotation @ reading.accelerometer + GRAVITY, rolling_w * contact[:, None],
                      contact, dt)  # fmt: skip
        self._correct(feet_w, rolling_w - moving_w, contact)
        variance = self._covariance[[0, 0, 1]]
        return Estimate(
            position=self._state[_POSITION].copy(),
            quaternion=quaternion,
            linear_velocity_b=rotation.T @ self._state[_VELOCITY],
            angular_velocity_b=reading.gyroscope.copy(),
            contact=contact,
            velocity_variance=variance[:, _VELOCITY, _VELOCITY],
            position_variance=variance[:, _POSITION, _POSITION],
        )

    def _take_heading(self, quaternion: Array) -> None:
        """Begin with heading 0; after a gap go on, from the last heading if the IMU has jumped."""
        turned = _yaw(multiply_quaternions(self._turn, quaternion)) - self._heading
        turned = float(np.arctan2(np.sin(turned), np.cos(turned)))
        if not self._turned or abs(turned) > _FASTEST_TURN_RAD_S * self._gap_s + _IMU_DRIFT_RAD:
            half = 0.5 * (self._heading - _yaw(quaternion))
            self._turn = np.array([np.cos(half), 0.0, 0.0, np.sin(half)])
        self._turned, self._gap_s = True, 0.0

    def _start(self, feet_w: Array) -> None:
        height = robot.FOOT_RADIUS - feet_w[:, 2].min()
        self._state = np.zeros((_STATES, 3))
        self._state[_POSITION] = [*self._begin, height]
        self._state[_FEET] = feet_w + self._state[_POSITION]
        # Position is known by definition; the robot may start while it moves.
        self._covariance[:] = np.diag([1e-6, 1.0, 1e-4, 1e-4, 1e-4, 1e-4])
        # What is not known of the base's position is not known of the feet's alike.
        places = np.ix_([0], [_POSITION, *range(2, _STATES)], [_POSITION, *range(2, _STATES)])
        self._covariance[places] += self._begin_variance

    def _contact_weights(self, reading: Reading, rotation: Array) -> Array:
        low, high = self._config.contact_force
        forces = vertical_foot_forces(rotation, reading.joint_positions, reading.joint_torques)
        return np.clip((forces - low) / (high - low), 0.0, 1.0)

    def _looseness(self, contact: Array) -> Array:
        """Factor of the noise of each foot: 1 in contact, `unloaded_factor` in the air."""
        return 1.0 + (self._config.unloaded_factor - 1.0) * (1.0 - contact)

    def _predict(self, acceleration: Array, rolling_w: Array, contact: Array, dt: float) -> None:
        assert self._state is not None
        state, config = self._state, self._config
        state[_POSITION] += state[_VELOCITY] * dt + 0.5 * acceleration * dt * dt
        state[_VELOCITY] += acceleration * dt
        state[_FEET] += rolling_w * dt
        transition = np.eye(_STATES)
        transition[_POSITION, _VELOCITY] = dt
        noise = np.zeros(_STATES)
        noise[_VELOCITY] = (config.acceleration_noise * dt) ** 2
        noise[_FEET] = (config.slip_noise * self._looseness(contact)) ** 2 * dt
        covariance = transition @ self._covariance @ transition.T
        self._covariance = covariance + np.diag(noise)

    def _correct(self, feet_w: Array, velocities_w: Array, contact: Array) -> None:
        assert self._state is not None
        config, looseness = self._config, self._looseness(contact)
        sigma = np.concatenate([
            np.full(4, config.kinematics_noise),
            config.foot_velocity_noise * looseness,
            config.height_noise * looseness,
        ])  # fmt: skip
        measured = np.zeros((12, 3))
        measured[0:4], measured[4:8] = feet_w, velocities_w
        measured[8:12, 2] = robot.FOOT_RADIUS
        for index, (axes, rows) in enumerate(((slice(0, 2), 8), (slice(2, 3), 12))):
            matrix, covariance = self._measure[:rows], self._covariance[index]
            innovation = matrix @ covariance @ matrix.T + np.diag(sigma[:rows] ** 2)
            gain = np.linalg.solve(innovation, matrix @ covariance).T
            error = measured[:rows, axes] - matrix @ self._state[:, axes]
            self._state[:, axes] += gain @ error
            # Joseph's form stays symmetric and positive for hours of rounding.
            keep = np.eye(_STATES) - gain @ matrix
            self._covariance[index] = (
                keep @ covariance @ keep.T + (gain * sigma[:rows] ** 2) @ gain.T
            )


def _rolling_velocity(reading: Reading, rotation: Array) -> Array:
    """Velocity of each foot's centre while its sphere rolls on level ground (4, 3) [m/s]."""
    rates = reading.joint_velocities.reshape(4, 3)
    hip = reading.joint_positions.reshape(4, 3)[:, 0]
    pitch_axis = np.stack([np.zeros(4), np.cos(hip), np.sin(hip)], axis=1)
    calf_b = reading.gyroscope + pitch_axis * (rates[:, 1] + rates[:, 2])[:, None]
    calf_b[:, 0] += rates[:, 0]
    return np.cross(calf_b @ rotation.T, [0.0, 0.0, robot.FOOT_RADIUS])


def _yaw(quaternion: Array) -> float:
    w, x, y, z = quaternion
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def multiply_quaternions(a: Array, b: Array) -> Array:
    """The rotation b and then a, (4,) wxyz each."""
    vector = a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return np.array([a[0] * b[0] - a[1:] @ b[1:], *vector])


def _check_finite(reading: Reading) -> None:
    values: dict[str, Any] = vars(reading)
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{name} holds {value}; all values must be finite")
