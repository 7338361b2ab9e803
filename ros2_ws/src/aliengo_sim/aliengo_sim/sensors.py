"""What the robot reports: the true state turned into a `LowState`, as its sensors would."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from aliengo_bridge.protocol import JOINT_COUNT, MODE_BRAKE, LowState
from aliengo_sim.dynamics import Dynamics

__all__ = ["SensorConfig", "Sensors", "quaternion_to_rpy"]

Array = npt.NDArray[np.float64]

_TICK_MODULUS = 2**32


@dataclass(frozen=True)
class SensorConfig:
    """Noise and conversion of the sensors. Noise is white, given as standard deviation.

    The thermal figures and the counts of the feet are assumptions: neither is published.

    Attributes:
        gyroscope_noise: [rad/s].
        accelerometer_noise: [m/s^2].
        joint_position_noise: [rad].
        joint_velocity_noise: [rad/s].
        foot_counts_per_newton: Counts of the foot sensor per N of contact force.
        foot_offset_counts: Reading of an unloaded foot.
        ambient_temperature: Temperature of the air and of the motors at start [degC].
        heating: Temperature rise per second and squared torque [K/(s N^2 m^2)].
        cooling_time_s: Time constant with which a motor cools [s].
        seed: Of the noise.
    """

    gyroscope_noise: float = 0.0
    accelerometer_noise: float = 0.0
    joint_position_noise: float = 0.0
    joint_velocity_noise: float = 0.0
    foot_counts_per_newton: float = 2.0
    foot_offset_counts: float = 15.0
    ambient_temperature: float = 25.0
    heating: float = 3.0e-4
    cooling_time_s: float = 600.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse figures that no sensor has.

        Raises:
            ValueError: If a figure is negative or not finite, or the time constant is zero.
        """
        for item in fields(self):
            value = getattr(self, item.name)
            signed = item.name in ("ambient_temperature", "foot_offset_counts")
            if not math.isfinite(value) or (value < 0.0 and not signed):
                raise ValueError(f"{item.name} is {value}; allowed: finite, not negative")
        if self.cooling_time_s == 0.0:
            raise ValueError("cooling_time_s is 0; allowed: above 0")


def quaternion_to_rpy(quaternion: npt.ArrayLike) -> Array:
    """Return roll, pitch, yaw about fixed axes (3,) [rad] of a (w, x, y, z) quaternion."""
    w, x, y, z = (float(value) for value in np.asarray(quaternion))
    roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - z * x))))
    yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    return np.array([roll, pitch, yaw])


class Sensors:
    """Measures a robot. Keeps the temperature of its motors, which depends on their past."""

    def __init__(self, config: SensorConfig) -> None:
        self._config = config
        self._random = np.random.default_rng(config.seed)
        self._state = LowState()
        self._noisy_joints = config.joint_position_noise > 0 or config.joint_velocity_noise > 0
        self.temperatures = np.full(JOINT_COUNT, config.ambient_temperature)
        self._state.imu_temperature = round(config.ambient_temperature)
        self._state.mode[JOINT_COUNT:] = MODE_BRAKE

    def warm(self, torques: Array, duration_s: float) -> None:
        """Let copper losses of ``torques`` (12,) [N m] heat the motors for a while."""
        config = self._config
        rise = config.heating * torques**2
        rise -= (self.temperatures - config.ambient_temperature) / config.cooling_time_s
        self.temperatures += rise * duration_s

    def measure(self, dynamics: Dynamics, mode: npt.NDArray[np.uint8]) -> LowState:
        """Return the state as the robot reports it; the object is reused by the next call.

        Args:
            dynamics: The robot.
            mode: (12,) mode of the motors, policy order.
        """
        state, config = self._state, self._config
        joints = slice(0, JOINT_COUNT)
        state.mode[joints] = mode
        state.q_raw[joints] = dynamics.joint_positions
        state.dq_raw[joints] = dynamics.joint_velocities
        state.ddq_raw[joints] = dynamics.joint_accelerations
        state.tau_est[joints] = dynamics.joint_torques
        if self._noisy_joints:
            state.q_raw[joints] += self._noise(config.joint_position_noise, JOINT_COUNT)
            state.dq_raw[joints] += self._noise(config.joint_velocity_noise, JOINT_COUNT)
        state.q[:], state.dq[:], state.ddq[:] = state.q_raw, state.dq_raw, state.ddq_raw
        state.temperature[joints] = np.clip(np.rint(self.temperatures), -128, 127)
        self._measure_imu(dynamics)
        counts = config.foot_offset_counts
        counts = counts + config.foot_counts_per_newton * dynamics.foot_forces
        state.foot_force[:] = np.clip(counts, -32768, 32767)
        state.foot_force_est[:] = state.foot_force
        state.tick = round(dynamics.time_s * 1e3) % _TICK_MODULUS
        return state

    def _measure_imu(self, dynamics: Dynamics) -> None:
        state, config = self._state, self._config
        state.quaternion[:] = dynamics.imu_quaternion
        state.gyroscope[:] = dynamics.imu_gyro
        state.accelerometer[:] = dynamics.imu_accelerometer
        if config.gyroscope_noise > 0.0:
            state.gyroscope += self._noise(config.gyroscope_noise, 3)
        if config.accelerometer_noise > 0.0:
            state.accelerometer += self._noise(config.accelerometer_noise, 3)
        state.rpy = quaternion_to_rpy(state.quaternion)

    def _noise(self, deviation: float, count: int) -> Array:
        return self._random.normal(0.0, deviation, count)
