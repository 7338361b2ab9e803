"""The parameters of the teleop node as data, and how they become a `TeleopConfig`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aliengo_description.scheduling import OPERATOR
from aliengo_teleop.core import TeleopConfig
from aliengo_teleop.limits import CommandLimits
from aliengo_teleop.mapping import REQUESTS, JoyMapping, Velocity

__all__ = ["NO_BUTTONS", "PARAMETERS", "Parameter", "make_config"]

NO_BUTTONS = [-1]
"""Means "not mapped"; ROS cannot tell the type of an empty list."""


class Parameter(NamedTuple):
    """One ROS parameter: its name, default, and what it means."""

    name: str
    default: Any
    description: str


def _joystick(prefix: str, defaults: Mapping[str, Any]) -> list[Parameter]:
    def default(name: str, fallback: Any) -> Any:
        return defaults.get(name, fallback)

    parameters = [
        Parameter("axis_linear.x", default("axis_linear.x", 1), "axis index of vx, < 0 = none"),
        Parameter("axis_linear.y", default("axis_linear.y", 0), "axis index of vy, < 0 = none"),
        Parameter("axis_angular.yaw", default("axis_angular.yaw", 3), "axis index of wz"),
        Parameter("scale_linear.x", default("scale_linear.x", 1.0), "vx at full deflection [m/s]"),
        Parameter("scale_linear.y", default("scale_linear.y", 0.5), "vy at full deflection [m/s]"),
        Parameter("scale_angular.yaw", default("scale_angular.yaw", 1.0), "wz likewise [rad/s]"),
        Parameter("scale_linear_turbo.x", default("scale_linear_turbo.x", 2.5), "vx with turbo"),
        Parameter("scale_linear_turbo.y", default("scale_linear_turbo.y", 1.0), "vy with turbo"),
        Parameter("scale_angular_turbo.yaw", default("scale_angular_turbo.yaw", 1.5), "wz turbo"),
        Parameter("enable_button", default("enable_button", 4), "dead man, must be held"),
        Parameter("enable_turbo_button", default("enable_turbo_button", 5), "dead man, turbo"),
        Parameter("require_enable_button", True, "false = the device always drives (dangerous)"),
        Parameter("deadzone", 0.1, "fraction of the deflection that counts as zero"),
    ]
    parameters += [
        Parameter(
            f"buttons.{request}",
            default(f"buttons.{request}", NO_BUTTONS),
            f"buttons held together for {request}; [-1] = none",
        )
        for request in REQUESTS
    ]
    return [p._replace(name=prefix + p.name) for p in parameters]


# Sticks of the remote: axes [lx, ly, rx, ry, l2], right and up positive; buttons in bit order
# R1 L1 start select R2 L2 F1 F2 A B X Y up right down left. The damping chord L2+B acts in
# the bridge as well, without this node.
_REMOTE = {
    "axis_linear.x": 1,
    "axis_linear.y": 0,
    "axis_angular.yaw": 2,
    "scale_linear.y": -0.5,
    "scale_angular.yaw": -1.0,
    "scale_linear_turbo.y": -1.0,
    "scale_angular_turbo.yaw": -1.5,
    "enable_button": 1,
    "enable_turbo_button": 0,
    "buttons.stand_up": [5, 12],
    "buttons.stand": [5, 10],
    "buttons.walk": [5, 8],
    "buttons.sit_down": [5, 14],
    "buttons.estop": [5, 9],
    "buttons.reset": [5, 2],
    "buttons.next_policy": [5, 11],
}

PARAMETERS: tuple[Parameter, ...] = (
    *_joystick("", {}),
    *_joystick("remote.", _REMOTE),
    Parameter("max_velocity.vx", 3.0, "limit of |vx| from any source [m/s]"),
    Parameter("max_velocity.vy", 1.5, "limit of |vy| from any source [m/s]"),
    Parameter("max_velocity.wz", 3.14, "limit of |wz| from any source [rad/s]"),
    Parameter("max_acceleration.vx", 2.5, "limit of |d vx/dt| while driving [m/s^2]"),
    Parameter("max_acceleration.vy", 2.0, "limit of |d vy/dt| while driving [m/s^2]"),
    Parameter("max_acceleration.wz", 6.0, "limit of |d wz/dt| while driving [rad/s^2]"),
    Parameter("stop_time_s", 0.2, "time to zero after the dead man is released [s]"),
    Parameter("timeout.remote", 0.2, "age at which the remote is lost [s]"),
    Parameter("timeout.joystick", 0.2, "age at which the joystick is lost [s]"),
    Parameter("timeout.web", 0.25, "age at which the browser's command is stale [s]"),
    Parameter("timeout.navigation", 0.25, "age at which a planner's command is stale [s]"),
    Parameter("stand_after_lost_s", 1.0, "then mode stand, if the joystick stays lost; 0 = never"),
    Parameter("idle_publish_s", 0.5, "zeros are published this long after the last source"),
    Parameter("use_stamped", False, "cmd_vel and its inputs are TwistStamped instead of Twist"),
    Parameter("frame_id", "base_link", "frame of a TwistStamped"),
    Parameter("rate_hz", 50.0, "rate of cmd_vel [Hz]"),
    Parameter("realtime_priority", OPERATOR, "SCHED_FIFO where permitted, below the policy's"),
)


def make_config(values: Mapping[str, Any]) -> TeleopConfig:
    """Builds the configuration from parameter values.

    Args:
        values: A value for every name in `PARAMETERS`.

    Raises:
        ValueError: If a value is impossible; the message names it.
    """
    return TeleopConfig(
        mappings={
            "joystick": _mapping("", values),
            "remote": _mapping("remote.", values),
        },
        limits=CommandLimits(
            velocity=_velocity("max_velocity", values),
            acceleration=_velocity("max_acceleration", values),
            stop_time_s=values["stop_time_s"],
        ),
        timeouts_s={
            source: values[f"timeout.{source}"]
            for source in ("remote", "joystick", "web", "navigation")
        },
        stand_after_lost_s=values["stand_after_lost_s"],
        idle_publish_s=values["idle_publish_s"],
    )


def _mapping(prefix: str, values: Mapping[str, Any]) -> JoyMapping:
    def get(*names: str) -> tuple[Any, ...]:
        return tuple(values[prefix + name] for name in names)

    def scales(kind: str) -> tuple[Any, ...]:
        return get(f"scale_linear{kind}.x", f"scale_linear{kind}.y", f"scale_angular{kind}.yaw")

    try:
        return JoyMapping(
            axes=get("axis_linear.x", "axis_linear.y", "axis_angular.yaw"),
            scales=scales(""),
            turbo_scales=scales("_turbo"),
            enable_button=values[prefix + "enable_button"],
            enable_turbo_button=values[prefix + "enable_turbo_button"],
            require_enable_button=values[prefix + "require_enable_button"],
            deadzone=values[prefix + "deadzone"],
            chords={name: _chord(values[f"{prefix}buttons.{name}"]) for name in REQUESTS},
        )
    except ValueError as error:
        raise ValueError(f"parameter {prefix}{error}") from error


def _chord(buttons: Sequence[int]) -> tuple[int, ...]:
    return () if list(buttons) == NO_BUTTONS else tuple(buttons)


def _velocity(name: str, values: Mapping[str, Any]) -> Velocity:
    return Velocity(*(values[f"{name}.{part}"] for part in ("vx", "vy", "wz")))
