"""The faults that the supervisor knows, and what it does about each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["FAULTS", "Fault", "FaultInfo", "Reaction"]


class Reaction(Enum):
    """How the robot is brought to rest."""

    SIT_DOWN = "sit_down"
    """Hold the measured pose, sit down, then damping: state and motors can still be trusted."""
    DAMPING = "damping"
    """Damping at once."""


class Fault(str, Enum):
    """What can go wrong."""

    STATE_STALE = "state_stale"
    STATE_INVALID = "state_invalid"
    TILT = "tilt"
    JOINT_VELOCITY = "joint_velocity"
    POWER = "power"
    MOTOR_LOST = "motor_lost"
    MOTOR_HOT = "motor_hot"
    COMMAND_STALE = "command_stale"
    COMMAND_INVALID = "command_invalid"
    COMMAND_FAR_OUTSIDE = "command_far_outside"
    COMMAND_GAINS = "command_gains"
    SECOND_COMMANDER = "second_commander"
    ESTOP = "estop"
    REMOTE_STOP = "remote_stop"
    SHUTDOWN = "shutdown"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True)
class FaultInfo:
    """What a fault means to the operator."""

    reaction: Reaction
    explanation: str


FAULTS: dict[Fault, FaultInfo] = {
    Fault.STATE_STALE: FaultInfo(
        Reaction.DAMPING,
        "the robot went silent; check cable, power and the robot's address",
    ),
    Fault.STATE_INVALID: FaultInfo(
        Reaction.DAMPING, "the robot reports values that cannot be; check its sensors"
    ),
    Fault.TILT: FaultInfo(Reaction.DAMPING, "the body leans too far; the robot fell or will fall"),
    Fault.JOINT_VELOCITY: FaultInfo(Reaction.DAMPING, "a joint moves faster than its motor should"),
    Fault.POWER: FaultInfo(Reaction.DAMPING, "the joints draw more mechanical power than allowed"),
    Fault.MOTOR_LOST: FaultInfo(
        Reaction.DAMPING, "a motor left servo mode; the vendor's motors do so when overheated"
    ),
    Fault.MOTOR_HOT: FaultInfo(Reaction.SIT_DOWN, "a motor is too hot; let the robot cool down"),
    Fault.COMMAND_STALE: FaultInfo(
        Reaction.DAMPING, "the commander went silent; see whether the policy node lives"
    ),
    Fault.COMMAND_INVALID: FaultInfo(
        Reaction.DAMPING, "a command is not finite or malformed; the policy is broken"
    ),
    Fault.COMMAND_FAR_OUTSIDE: FaultInfo(
        Reaction.DAMPING, "a joint target is far beyond the joint's limits; the policy is broken"
    ),
    Fault.COMMAND_GAINS: FaultInfo(
        Reaction.DAMPING, "a gain is outside the accepted range; see kp_max and kd_max"
    ),
    Fault.SECOND_COMMANDER: FaultInfo(
        Reaction.SIT_DOWN, "more than one node publishes commands; stop all but one"
    ),
    Fault.ESTOP: FaultInfo(Reaction.DAMPING, "the emergency stop was asked for"),
    Fault.REMOTE_STOP: FaultInfo(Reaction.DAMPING, "L2+B was pressed on the robot's remote"),
    Fault.SHUTDOWN: FaultInfo(Reaction.DAMPING, "the bridge is ending"),
    Fault.INTERNAL_ERROR: FaultInfo(
        Reaction.DAMPING, "the bridge itself failed; restart it and report the log"
    ),
}
