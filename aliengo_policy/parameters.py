"""The parameters of the policy node as data, and what becomes of their values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aliengo_description import robot
from aliengo_description.parameters import Parameter
from aliengo_description.scheduling import POLICY
from aliengo_policy.commands import CommandLimits
from aliengo_policy.guards import ControllerSettings

_LIMITS = CommandLimits()
_SETTINGS = ControllerSettings()

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("policy", "base", "policy to start with: a name in models_dir, or a path to a file"),
    Parameter("models_dir", "", "folder of policies given by name; empty: the package's models/"),
    Parameter("max_vel", _LIMITS.max_vel, "largest commanded planar speed [m/s]", 0.05, 5.0),
    Parameter("max_yaw_vel", _LIMITS.max_yaw_vel, "largest commanded turn rate [rad/s]", 0.05, 5.0),
    Parameter(
        "max_steps", 0, "policy steps (50 per second) before walking ends; 0: no end", 0, 10**9
    ),
    Parameter(
        "max_acceleration", _LIMITS.max_acceleration, "slew rate of vx, vy [m/s^2]", 0.1, 20.0
    ),
    Parameter("max_yaw_acceleration", _LIMITS.max_yaw_acceleration, "of wz [rad/s^2]", 0.1, 50.0),
    Parameter(
        "command_stale_after_s", _LIMITS.stale_after_s, "age at which cmd_vel is zero", 0.05, 1.0
    ),
    Parameter("command_release_after_s", _LIMITS.release_after_s, "age that ends WALK", 0.05, 60.0),
    Parameter("use_stamped", False, "cmd_vel is a TwistStamped instead of a Twist"),
    Parameter(
        "shadow", False, "the bridge withholds the commands: do not expect the robot to follow"
    ),
    Parameter("realtime_priority", POLICY, "SCHED_FIFO priority where permitted, 0: none", 0, 90),
    Parameter("stand_kp", _SETTINGS.stand_kp, "gain outside WALK [N m/rad]", 20.0, robot.KP_MAX),
    Parameter("stand_kd", _SETTINGS.stand_kd, "gain outside WALK [N m s/rad]", 0.5, 8.0),
    Parameter(
        "joint_speed", _SETTINGS.joint_speed, "of standing up, sitting down [rad/s]", 0.2, 4.0
    ),
    Parameter("fall_tilt", _SETTINGS.fall_tilt, "tilt that ends every active mode [rad]", 0.3, 1.4),
    Parameter("state_timeout_s", _SETTINGS.state_timeout_s, "age of low_state likewise", 0.02, 0.5),
)


def make_limits(values: Mapping[str, Any]) -> CommandLimits:
    """Limits on the velocity command.

    Raises:
        ValueError: when two values contradict each other.
    """
    return CommandLimits(
        max_vel=values["max_vel"],
        max_yaw_vel=values["max_yaw_vel"],
        max_acceleration=values["max_acceleration"],
        max_yaw_acceleration=values["max_yaw_acceleration"],
        stale_after_s=values["command_stale_after_s"],
        release_after_s=values["command_release_after_s"],
    )


def make_settings(values: Mapping[str, Any]) -> ControllerSettings:
    """Settings of the controller."""
    names = (
        "stand_kp",
        "stand_kd",
        "joint_speed",
        "fall_tilt",
        "state_timeout_s",
        "max_steps",
        "shadow",
    )
    return ControllerSettings(**{name: values[name] for name in names})


def resolve_policy(policy: str, models_dir: Path) -> Path:
    """File of a policy that is given by its name in ``models_dir`` or by a path."""
    path = Path(policy).expanduser()
    if path.suffix or len(path.parts) > 1:
        return path
    return models_dir / f"{policy}.onnx"
