"""The parameters of the node `sim`, as data: names, defaults, ranges, and what they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from aliengo_description.parameters import Parameter
from aliengo_sim.dynamics import START_POSES
from aliengo_sim.faults import DIRECTIONS, FaultPlan
from aliengo_sim.sensors import SensorConfig
from aliengo_sim.twin import TwinConfig

__all__ = ["FAULT_PREFIX", "PARAMETERS", "make_config", "make_faults"]

FAULT_PREFIX = "fault."
_SENSOR_PREFIX = "sensors."
_TWIN, _SENSORS, _FAULTS = TwinConfig(), SensorConfig(), FaultPlan()


def _twin(name: str, description: str, *limits: float) -> Parameter:
    return _parameter("", _TWIN, name, description, limits)


def _sensor(name: str, description: str, *limits: float) -> Parameter:
    return _parameter(_SENSOR_PREFIX, _SENSORS, name, description, limits)


def _fault(name: str, description: str, *limits: float) -> Parameter:
    return _parameter(FAULT_PREFIX, _FAULTS, name, description, limits)


def _parameter(
    prefix: str, source: object, name: str, description: str, limits: tuple[float, ...]
) -> Parameter:
    low, high = limits or (None, None)
    fixed = prefix != FAULT_PREFIX  # only faults may be changed while the twin runs
    return Parameter(prefix + name, getattr(source, name), description, low, high, fixed)


PARAMETERS: tuple[Parameter, ...] = (
    _twin("host", "Address to listen on."),
    _twin("port", "UDP port to listen on; 0 takes a free one.", 0, 65535),
    _twin("physics_period_s", "Step of physics and motor control [s].", 1e-4, 0.005),
    _twin("state_period_s", "Time between two states, a multiple of the step [s].", 1e-3, 0.1),
    _twin("command_timeout_s", "Limp after hearing nothing for this long [s].", 0.01, 10.0),
    _twin("peer_timeout_s", "A peer silent for this long loses its place [s].", 0.05, 60.0),
    _twin("max_catch_up_s", "Longest stall of the host that is made good [s].", 0.0, 0.1),
    _twin("start_pose", f"Pose at start and after a reset: {' or '.join(START_POSES)}."),
    _twin("foot_friction", "Friction coefficient of the feet.", 0.01, 5.0),
    _twin("payload_kg", "Mass added to the trunk [kg].", -8.0, 20.0),
    _twin("seed", "Seed of the faults.", 0, 2**31),
    _twin("realtime_priority", "SCHED_FIFO priority where permitted, 0 for none.", 0, 90),
    Parameter("frame_prefix", "", "Put before every frame, for several robots."),
    _sensor("gyroscope_noise", "Standard deviation [rad/s].", 0.0, 10.0),
    _sensor("accelerometer_noise", "Standard deviation [m/s^2].", 0.0, 50.0),
    _sensor("joint_position_noise", "Standard deviation [rad].", 0.0, 1.0),
    _sensor("joint_velocity_noise", "Standard deviation [rad/s].", 0.0, 10.0),
    _sensor("foot_counts_per_newton", "Counts of a foot sensor per newton.", 0.0, 100.0),
    _sensor("foot_offset_counts", "Counts of an unloaded foot.", -1000.0, 1000.0),
    _sensor("ambient_temperature", "Of air, and of motors at start [degC].", -40.0, 60.0),
    _sensor("heating", "Rise per second and squared torque [K/(s N^2 m^2)].", 0.0, 1.0),
    _sensor("cooling_time_s", "Time constant of cooling [s].", 1.0, 1e5),
    _sensor("seed", "Seed of the noise.", 0, 2**31),
    _fault("loss", "Probability that a packet is lost.", 0.0, 1.0),
    _fault("delay_s", "Delay of every packet [s].", 0.0, 10.0),
    _fault("jitter_s", "Further random delay, up to this [s].", 0.0, 10.0),
    _fault("duplicate", "Probability that a packet arrives twice.", 0.0, 1.0),
    _fault("reorder", "Probability that a packet is overtaken by the next.", 0.0, 1.0),
    _fault("corrupt", "Probability that a bit of a packet flips.", 0.0, 1.0),
    _fault("direction", f"Packets that suffer the above: {', '.join(DIRECTIONS)}."),
    _fault("silence", "The robot sends nothing."),
    _fault("sport_mode", "The robot sends the vendor's high-level state."),
    _fault("hot_motor", "Joint whose motor reports hot_temperature; empty for none."),
    _fault("hot_temperature", "Temperature of the hot motor [degC].", -128.0, 127.0),
    _fault("lost_motor", "Joint whose motor has switched itself off; empty for none."),
)


def make_config(values: Mapping[str, Any]) -> TwinConfig:
    """Build the configuration from the values of all parameters.

    Raises:
        ValueError: If a value is impossible.
    """
    own = {item.name: values[item.name] for item in fields(TwinConfig) if item.name != "sensors"}
    return TwinConfig(**own, sensors=SensorConfig(**_strip(values, _SENSOR_PREFIX)))


def make_faults(values: Mapping[str, Any]) -> FaultPlan:
    """Build the fault plan from the values of all parameters.

    Raises:
        ValueError: If a value is impossible.
    """
    return FaultPlan(**_strip(values, FAULT_PREFIX))


def _strip(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in values.items() if name.startswith(prefix)}
