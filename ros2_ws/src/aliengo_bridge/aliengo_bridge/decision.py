"""What the supervisor decides, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aliengo_bridge.messages import LowCommand

__all__ = ["Decision", "Mode", "Status"]


class Mode(str, Enum):
    """What the bridge is doing."""

    WAITING = "waiting"
    """No state has come from the robot yet, or none for seconds."""
    CHECKING = "checking"
    """The robot talks; whether somebody else controls it is being found out."""
    IDLE = "idle"
    """Damping; a commander may engage."""
    ACTIVE = "active"
    """The commander's targets go to the robot, within the limits."""
    HOLD = "hold"
    SIT_DOWN = "sit_down"
    DAMPING = "damping"
    """A fault has brought the robot to rest; a reset is required."""

    @property
    def released(self) -> bool:
        """Whether the robot is sent nothing that would take it from whoever controls it."""
        return self in (Mode.WAITING, Mode.CHECKING)

    @property
    def driven(self) -> bool:
        """Whether the robot is held up or moved, not only damped."""
        return self in (Mode.ACTIVE, Mode.HOLD, Mode.SIT_DOWN)


@dataclass(frozen=True)
class Status:
    """What the supervisor tells the outside; replaced as a whole when something changes."""

    mode: Mode = Mode.WAITING
    fault: str = ""
    """Name of the first latched fault, or empty."""
    detail: str = ""
    """Why: the fault's detail, or why no commander may engage."""
    active_faults: tuple[str, ...] = ()
    reset_required: bool = False


@dataclass(frozen=True)
class Decision:
    """The outcome of one tick."""

    command: LowCommand
    """What goes to the robot."""
    supervised: LowCommand
    """What would go to the robot without shadow mode; else the same object."""
    status: Status
