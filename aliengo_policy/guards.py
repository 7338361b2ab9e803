"""The conditions that a change of mode, or staying in a mode, depends on.

A guard looks at the situation and answers with the reason why it refuses, or with an empty string.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aliengo_description import robot
from aliengo_policy.commands import VelocityCommand
from aliengo_policy.observation import RobotState


@dataclass(frozen=True)
class ControllerSettings:
    """Gains, speeds and guards of the controller.

    Attributes:
        stand_kp: proportional gain outside WALK [N m/rad]; 100 sags by 2 cm.
        stand_kd: derivative gain outside WALK [N m s/rad].
        joint_speed: fastest joint motion of standing up and sitting down [rad/s].
        blend_s: time over which WALK fades in and the stand is taken up again [s].
        settle_s: time on a zero command before walking ends [s].
        release_s: time over which the gains fade out after sitting down [s].
        stand_up_tilt: largest tilt for standing up and for starting to walk [rad].
        fall_tilt: tilt that ends every active mode [rad].
        state_timeout_s: age of the robot's state that ends every active mode [s].
        still_joint_speed: fastest joint of a robot at rest [rad/s].
        still_turn_rate: fastest turn of a body at rest [rad/s].
        stand_error: largest joint error of a robot that counts as standing [rad].
        max_steps: policy steps before a walk ends by itself; 0 for no end.
        shadow: the commands shall go nowhere; it takes the bridge to say so, too.
    """

    stand_kp: float = 100.0
    stand_kd: float = 3.0
    joint_speed: float = 1.5
    blend_s: float = 0.6
    settle_s: float = 0.8
    release_s: float = 1.0
    stand_up_tilt: float = 0.6
    fall_tilt: float = 1.0
    state_timeout_s: float = 0.1
    still_joint_speed: float = 1.5
    still_turn_rate: float = 0.6
    stand_error: float = 0.45
    max_steps: int = 0
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What guards look at.

    Attributes:
        now_s: the time.
        state: the newest measurement, if there was one.
        state_age_s: its age; infinite if there was none.
        command: the velocity command.
        bridge_fault: the fault that the bridge has latched, or an empty string.
        bridge_obstacle: why the bridge would not drive the robot now, or an empty string.
        withheld: the commands go nowhere, so the robot is not expected to follow them.
        time_to_stand_s: time left of the motion under way.
        settings: the limits.
    """

    now_s: float
    state: RobotState | None
    state_age_s: float
    command: VelocityCommand
    bridge_fault: str
    bridge_obstacle: str
    withheld: bool
    time_to_stand_s: float
    settings: ControllerSettings

    def measured(self) -> RobotState:
        """The measurement, for guards that run after ``state_fresh``."""
        if self.state is None:
            raise LookupError("no robot state was received")
        return self.state


def _state_fresh(situation: Situation) -> str:
    age, limit = situation.state_age_s, situation.settings.state_timeout_s
    if math.isinf(age):
        return "no robot state was received"
    return "" if age <= limit else f"no robot state for {age:.3f} s (limit {limit:g} s)"


def _state_finite(situation: Situation) -> str:
    return "" if situation.measured().is_finite() else "robot state is not finite"


def _bridge_ready(situation: Situation) -> str:
    return f"bridge fault: {situation.bridge_fault}" if situation.bridge_fault else ""


def _bridge_free(situation: Situation) -> str:
    obstacle = situation.bridge_obstacle
    return f"the bridge would not drive the robot: {obstacle}" if obstacle else ""


def _not_fallen(situation: Situation) -> str:
    return _tilt_beyond(situation, situation.settings.fall_tilt)


def _upright(situation: Situation) -> str:
    return _tilt_beyond(situation, situation.settings.stand_up_tilt)


def _tilt_beyond(situation: Situation, limit: float) -> str:
    tilt = situation.measured().tilt()
    if tilt <= limit:  # written so that a tilt that is not a number refuses, too
        return ""
    return f"tilted by {math.degrees(tilt):.0f} deg (limit {math.degrees(limit):.0f})"


def _still(situation: Situation) -> str:
    state, settings = situation.measured(), situation.settings
    speeds = np.abs(state.joint_velocities)
    worst = int(speeds.argmax())
    if speeds[worst] > settings.still_joint_speed:
        limit = settings.still_joint_speed
        return f"{robot.JOINT_NAMES[worst]} moves at {speeds[worst]:.2f} rad/s (limit {limit:g})"
    rate = float(np.linalg.norm(state.angular_velocity))
    if rate > settings.still_turn_rate:
        return f"the body turns at {rate:.2f} rad/s (limit {settings.still_turn_rate:g})"
    return ""


def _on_stand_pose(situation: Situation) -> str:
    if situation.withheld:
        return ""
    errors = np.abs(situation.measured().joint_positions - robot.STAND_JOINT_POSITIONS)
    worst, limit = int(errors.argmax()), situation.settings.stand_error
    if errors[worst] <= limit:
        return ""
    name = robot.JOINT_NAMES[worst]
    return f"{name} is {errors[worst]:.2f} rad away from the stand (limit {limit:g})"


def _stand_reached(situation: Situation) -> str:
    left = situation.time_to_stand_s
    return f"the stand is reached in {left:.2f} s" if left > 0.0 else ""


def _command_fresh(situation: Situation) -> str:
    if situation.command.is_fresh(situation.now_s):
        return ""
    age = situation.command.age(situation.now_s)
    seen = f"the last one is {age:.2f} s old" if math.isfinite(age) else "none was ever received"
    limit = situation.command.limits.stale_after_s
    return f"no fresh velocity command; {seen} (limit {limit:g} s)"


GUARDS: dict[str, Callable[[Situation], str]] = {
    "state_fresh": _state_fresh,
    "state_finite": _state_finite,
    "bridge_ready": _bridge_ready,
    "bridge_free": _bridge_free,
    "not_fallen": _not_fallen,
    "upright": _upright,
    "still": _still,
    "on_stand_pose": _on_stand_pose,
    "stand_reached": _stand_reached,
    "command_fresh": _command_fresh,
}
