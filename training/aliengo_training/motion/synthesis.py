"""Reference motions made from nothing: gaits planned at the feet, joints by inverse kinematics.

The trunk moves at a constant planar speed and yaw rate. Each foot stands where it is on the ground
while it bears load, and swings so that its stance is centred under the hip. A limp carries one foot
clear of the ground all the time, shifts the trunk away from it, and lets the other three step one
after the other.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, Optional

import numpy as np

from aliengo_description import robot
from aliengo_training.motion import rotations
from aliengo_training.motion.alignment import lift
from aliengo_training.motion.clip import MotionClip

__all__ = ["GAITS", "Gait", "SynthesisError", "limp", "synthesize"]


class SynthesisError(ValueError):
    """A gait that the robot's legs cannot make; the message names the limit."""


@dataclasses.dataclass(frozen=True)
class Gait:
    """Timing and shape of a gait.

    Attributes:
        name: For messages and file names.
        period_s: Time of one cycle [s].
        offsets: Start of each leg's stance as a share of the cycle, FL, FR, RL, RR.
        duty: Share of the cycle that a stepping foot stands.
        step_height: Clearance of a swinging foot [m].
        height: Trunk over the ground [m].
        carried: Index of the leg that never touches the ground, or None.
        carry_height: Clearance of the carried foot [m].
        shift: Offset of the trunk over the feet (x, y) [m]: the weight moves to the bearing legs.
        speeds: Forward velocities to make clips of where none are asked for [m/s]; the legs keep up
            with them in curves of 0.6 rad/s too.
    """

    name: str
    period_s: float
    offsets: tuple[float, float, float, float]
    duty: float
    step_height: float = 0.06
    height: float = 0.35
    carried: Optional[int] = None
    carry_height: float = 0.09
    shift: tuple[float, float] = (0.0, 0.0)
    speeds: tuple[float, ...] = (0.3, 0.6, 0.9)


#: Lateral-sequence walk (rear left, front left, rear right, front right) and diagonal trot.
GAITS: Dict[str, Gait] = {
    "walk": Gait(
        "walk", period_s=0.8, offsets=(0.25, 0.75, 0.0, 0.5), duty=0.72, speeds=(0.2, 0.4, 0.6)
    ),
    "trot": Gait("trot", period_s=0.5, offsets=(0.0, 0.5, 0.5, 0.0), duty=0.55),
}


def limp(carried_leg: str, period_s: float = 0.45) -> Gait:
    """Return a three-legged gait that carries ``carried_leg`` ("FL", "FR", "RL" or "RR").

    The period is that of the limping dog of the video. The three other feet land a third of the
    cycle apart and stand for two thirds of it, so that two feet bear load at any time.
    """
    if carried_leg not in robot.LEG_NAMES:
        raise SynthesisError(f"carried leg is {carried_leg!r}: allowed are {list(robot.LEG_NAMES)}")
    carried = robot.LEG_NAMES.index(carried_leg)
    # The opposite leg of the same axle stands alone there; it is followed by the diagonal one.
    partner, diagonal, same_side = carried ^ 1, carried ^ 3, carried ^ 2
    offsets = [0.0] * 4
    for share, leg in enumerate((partner, diagonal, same_side)):
        offsets[leg] = share / 3.0
    front, side = float(robot.LEG_FRONT[carried]), float(robot.LEG_SIDE[carried])
    return Gait(
        name=f"limp_{carried_leg}",
        period_s=period_s,
        offsets=(offsets[0], offsets[1], offsets[2], offsets[3]),
        duty=2.0 / 3.0,
        step_height=0.05,
        carried=carried,
        shift=(-0.03 * front, -0.02 * side),
    )


def synthesize(
    gait: Gait,
    speed: float = 0.5,
    lateral: float = 0.0,
    yaw_rate: float = 0.0,
    cycles: int = 4,
    frames_per_second: float = 50.0,
) -> MotionClip:
    """Make a clip of a gait at a constant velocity.

    Args:
        gait: Timing and shape.
        speed: Forward velocity of the trunk [m/s].
        lateral: Velocity of the trunk to its left [m/s].
        yaw_rate: [rad/s], positive to the left.
        cycles: Whole gait cycles; the first and the last frame are one phase.
        frames_per_second: Frames per second; rounded so that a cycle holds whole frames, 8 or
            more.

    Raises:
        SynthesisError: If a foot is out of reach or a joint beyond its limits (naming it), a
            velocity is not finite, or there are no cycles or frames.
    """
    for name, value in (("speed", speed), ("lateral", lateral), ("yaw_rate", yaw_rate)):
        if not np.isfinite(value):
            raise SynthesisError(f"{name} is {value}: expected a finite number")
    if not 0.0 < frames_per_second < np.inf:
        raise SynthesisError(f"frames per second is {frames_per_second}: expected more than 0")
    if cycles < 1:
        raise SynthesisError(f"cycles is {cycles}: expected 1 or more")
    per_cycle = max(8, round(gait.period_s * frames_per_second))
    frame_duration = gait.period_s / per_cycle
    phase = np.arange(cycles * per_cycle + 1) / per_cycle
    feet = np.stack([_foot(gait, leg, phase, speed, lateral, yaw_rate) for leg in range(4)], axis=1)
    try:
        joints = robot.leg_inverse_kinematics(feet)
    except ValueError as error:
        raise SynthesisError(f"{gait.name} at {speed} m/s: {error}") from error
    position, yaw = _trunk_path(phase * gait.period_s, speed, lateral, yaw_rate)
    position[:, 2] = gait.height
    zero = np.zeros_like(yaw)
    clip = MotionClip.from_pose(
        position,
        rotations.from_roll_pitch_yaw(zero, zero, yaw),
        joints,
        frame_duration,
        loop=True,
        name=f"{gait.name}_{speed:+.2f}_{lateral:+.2f}_{yaw_rate:+.2f}",
    )
    _check_limits(clip)
    return lift(clip)


def _trunk_path(
    t: np.ndarray, speed: float, lateral: float, yaw_rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Position ``(n, 3)`` and yaw ``(n,)`` after ``t`` seconds at constant body velocities."""
    yaw = yaw_rate * t
    # Chord of the circle: exact for any yaw rate, and a straight line for none.
    chord = t * np.sinc(0.5 * yaw / np.pi)
    x = chord * (speed * np.cos(0.5 * yaw) - lateral * np.sin(0.5 * yaw))
    y = chord * (speed * np.sin(0.5 * yaw) + lateral * np.cos(0.5 * yaw))
    return np.stack([x, y, np.zeros_like(t)], axis=-1), yaw


def _foot(
    gait: Gait, leg: int, phase: np.ndarray, speed: float, lateral: float, yaw_rate: float
) -> np.ndarray:
    """Positions of a foot in the trunk frame ``(n, 3)`` over the phase (1 per cycle)."""
    ground = robot.FOOT_RADIUS - gait.height
    home = robot.HIP_POSITIONS[leg] + np.array([0.0, robot.LEG_SIDE[leg] * robot.HIP_OFFSET_Y, 0.0])
    home = home + np.array([-gait.shift[0], -gait.shift[1], ground])
    if leg == gait.carried:
        return np.tile(home + np.array([0.0, 0.0, gait.carry_height]), (len(phase), 1))
    local = np.mod(phase - gait.offsets[leg], 1.0)
    stance_s = gait.duty * gait.period_s
    swing_share = np.clip((local - gait.duty) / (1.0 - gait.duty), 0.0, 1.0)
    # Time after the middle of the stance; during the swing it runs back, with the stance's own rate
    # at both ends so that the foot neither scuffs nor hits the ground.
    elapsed = np.where(
        local < gait.duty,
        local * gait.period_s - 0.5 * stance_s,
        _swing_time(swing_share, stance_s, (1.0 - gait.duty) * gait.period_s),
    )
    # A foot that stands still in the world moves in the trunk frame as the trunk's path backwards.
    backward, turned = _trunk_path(-elapsed, speed, lateral, yaw_rate)
    foot = np.stack(
        [
            np.cos(turned) * home[0] - np.sin(turned) * home[1],
            np.sin(turned) * home[0] + np.cos(turned) * home[1],
            np.full_like(turned, home[2]),
        ],
        axis=-1,
    )
    foot += backward
    foot[:, 2] += gait.step_height * 16.0 * (swing_share * (1.0 - swing_share)) ** 2
    return foot


def _swing_time(share: np.ndarray, stance_s: float, swing_s: float) -> np.ndarray:
    """Quintic from ``stance_s / 2`` to its negative; rate 1, no acceleration at both ends."""
    smooth = share**3 * (10.0 - 15.0 * share + 6.0 * share**2)
    # Following the stance's rate through the swing covers swing_s more than a return needs.
    return np.asarray(0.5 * stance_s + swing_s * share - (stance_s + swing_s) * smooth)


def _check_limits(clip: MotionClip) -> None:
    """Refuse a clip that leaves the joints' safe range or is faster than the motors."""
    joints, speeds = clip.joint_positions, np.abs(clip.joint_velocities)
    beyond = np.maximum(robot.SAFE_JOINT_LOWER - joints, joints - robot.SAFE_JOINT_UPPER)
    frame, joint = np.unravel_index(int(np.argmax(beyond)), beyond.shape)
    if beyond[frame, joint] > 0.0:
        raise SynthesisError(
            f"{clip.name}: {robot.JOINT_NAMES[joint]} reaches {joints[frame, joint]:.3f} rad, "
            f"allowed is {robot.SAFE_JOINT_LOWER[joint]:.3f}..{robot.SAFE_JOINT_UPPER[joint]:.3f}"
        )
    frame, joint = np.unravel_index(int(np.argmax(speeds - robot.VELOCITY_LIMITS)), speeds.shape)
    if speeds[frame, joint] > robot.VELOCITY_LIMITS[joint]:
        raise SynthesisError(
            f"{clip.name}: {robot.JOINT_NAMES[joint]} turns at {speeds[frame, joint]:.2f} rad/s, "
            f"allowed is {robot.VELOCITY_LIMITS[joint]:.2f}: lower the speed or the period"
        )
