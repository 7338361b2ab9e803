"""The parameters of the teleop node as data, and how they become a `TeleopConfig`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aliengo_description.parameters import Parameter, check_ranges
from aliengo_description.scheduling import OPERATOR
from aliengo_teleop.arbitration import PRIORITY
from aliengo_teleop.core import STALL_S, TeleopConfig
from aliengo_teleop.limits import CommandLimits
from aliengo_teleop.mapping import REQUESTS, JoyMapping, Velocity

__all__ = [
    "GAMEPAD_PARAMETERS",
    "NO_BUTTONS",
    "PARAMETERS",
    "make_config",
]

NO_BUTTONS = [-1]
"""Means "not mapped"; ROS cannot tell the type of an empty list."""


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
    return [replace(p, name=prefix + p.name) for p in parameters]


# Sticks of the remote: axes [lx, ly, rx, ry, l2], right and up positive; buttons in bit order
# R1 L1 start select R2 L2 F1 F2 A B X Y up right down left. The e-stop L2+B acts in the bridge as
# well, without this node.
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
    "buttons.damping": [5, 13],
    "buttons.estop": [5, 9],
    "buttons.reset": [5, 2],
    "buttons.next_policy": [5, 11],
}

PARAMETERS: tuple[Parameter, ...] = (
    *_joystick("", {}),
    *_joystick("remote.", _REMOTE),
    Parameter("max_velocity.vx", 3.0, "limit of |vx| from any source [m/s]", 0.05, 10.0),
    Parameter("max_velocity.vy", 1.5, "limit of |vy| from any source [m/s]", 0.05, 10.0),
    Parameter("max_velocity.wz", 3.14, "limit of |wz| from any source [rad/s]", 0.05, 10.0),
    Parameter("max_acceleration.vx", 2.5, "limit of |d vx/dt| when driving [m/s^2]", 0.1, 100.0),
    Parameter("max_acceleration.vy", 2.0, "limit of |d vy/dt| when driving [m/s^2]", 0.1, 100.0),
    Parameter("max_acceleration.wz", 6.0, "limit of |d wz/dt| when driving [rad/s^2]", 0.1, 100.0),
    Parameter("stop_time_s", 0.2, "time to zero after the dead man is released [s]", 0.0, 2.0),
    Parameter("timeout.remote", 0.2, "age at which the remote is lost [s]", 0.05, 2.0),
    Parameter("timeout.joystick", 0.2, "age at which the joystick is lost [s]", 0.05, 2.0),
    Parameter("timeout.web", 0.25, "age at which the browser's command is stale [s]", 0.05, 2.0),
    Parameter("timeout.navigation", 0.25, "the same for a planner's command [s]", 0.05, 2.0),
    Parameter(
        "stand_after_lost_s", 1.0, "then mode stand, if the joystick stays lost; 0 = never", 0, 60
    ),
    Parameter("idle_publish_s", 0.5, "zeros are published so long after the last source", 0, 60),
    Parameter("use_stamped", False, "cmd_vel and its inputs are TwistStamped instead of Twist"),
    Parameter("frame_id", "base_link", "frame of a TwistStamped"),
    # Slower, each period would look like a stall of this process.
    Parameter("rate_hz", 50.0, "rate of cmd_vel [Hz]", 1.0 / STALL_S, 500.0),
    Parameter("realtime_priority", OPERATOR, "SCHED_FIFO where permitted, 0 = none", 0, 90),
)


GAMEPAD_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("device", "", "device file; empty = the first gamepad"),
    Parameter("rate_hz", 50.0, "rate of joy [Hz]", 10.0, 1000.0),
    Parameter("realtime_priority", OPERATOR, "SCHED_FIFO where permitted, 0 = none", 0, 90),
)
"""Of the gamepad node, which is given the same files as the teleop node."""


def make_config(values: Mapping[str, Any]) -> TeleopConfig:
    """Builds the configuration from parameter values.

    Args:
        values: A value for every name in `PARAMETERS`.

    Raises:
        ValueError: If a value is impossible; the message names it.
    """
    check_ranges(PARAMETERS, values)
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
        timeouts_s={source: values[f"timeout.{source}"] for source in PRIORITY},
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
