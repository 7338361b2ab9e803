"""What the bridge's two processes say to each other over a socket pair, one packet per message."""

from __future__ import annotations

import pickle
import socket
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from aliengo_bridge.faults import Fault
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links.base import LinkCounters
from aliengo_bridge.safety import Mode, Status
from aliengo_bridge.timing import Punctuality

__all__ = ["Answer", "Call", "Kind", "Snapshot", "receive", "send"]

_MOST_BYTES = 1 << 17
_SILENCE_S = 0.5


class Kind(Enum):
    """The first byte of a packet."""

    SETUP = b"U"
    """Settings and limits, pickled: to the control process, once."""
    READY = b"Y"
    """Empty, or why the loop could not start, as text: from the control process, once."""
    STATE = b"S"
    """A serialised `unitree_legged_msgs/LowState`."""
    COMMAND = b"C"
    """A serialised `unitree_legged_msgs/LowCmd`."""
    CALL = b"R"
    """A pickled `Call`."""
    ANSWER = b"A"
    """A pickled `Answer`."""
    SNAPSHOT = b"T"
    """A pickled `Snapshot`."""
    STOP = b"X"
    """Bring the robot to rest and end."""


@dataclass(frozen=True)
class Call:
    """A method of the supervisor to be called by its own thread."""

    number: int
    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What became of a `Call`."""

    number: int
    result: Any
    error: Exception | None


@dataclass(frozen=True)
class Snapshot:
    """What the control process tells about itself.

    `now` of the methods is the time of the monotonic clock, which all processes of a machine share.
    """

    status: Status
    ticked_s: float
    """When the loop ticked last, on the monotonic clock [s]."""
    counters: LinkCounters
    times: Punctuality
    ages_s: tuple[float, float]
    """Of the newest state and of the newest accepted command, at that tick [s]."""
    limits: SafetyLimits
    scheduling: str
    dropped_states: int
    record_error: str
    crash: str
    withheld: bytes
    """In shadow mode, the serialised command that the robot would have been sent."""

    def silence(self, now: float) -> str:
        """Say for how long the loop has not been seen to run; empty if it was just now."""
        silent_s = now - self.ticked_s
        return f"the control loop has been silent for {silent_s:.1f} s" if self.stale(now) else ""

    def stale(self, now: float) -> bool:
        """Return whether what the snapshot says may have changed since, unheard."""
        return now - self.ticked_s > _SILENCE_S

    def ages_at(self, now: float) -> tuple[float, float]:
        """Return the least ages that state and command have by now [s]."""
        since = now - self.ticked_s if self.stale(now) else 0.0
        return self.ages_s[0] + since, self.ages_s[1] + since

    def believed(self, now: float) -> Status:
        """Return the status, or an internal error if the loop crashed or is silent.

        A loop that crashed damps the robot if it had it; what a silent one does is not known.
        """
        silence = self.silence(now)
        trouble = silence or self.crash
        if not trouble:
            return self.status
        name = Fault.INTERNAL_ERROR.value
        released = silence or self.status.mode.released
        return replace(
            self.status,
            mode=Mode.WAITING if released else Mode.DAMPING,
            fault=name,
            detail=trouble,
            active_faults=tuple(dict.fromkeys((name, *self.status.active_faults))),
            reset_required=True,
        )


def send(channel: socket.socket, kind: Kind, content: Any = b"") -> bool:
    """Send a message without waiting; anything but bytes is pickled.

    Returns:
        Whether it was sent; the other side may be gone, or may not keep up.
    """
    body = content if isinstance(content, bytes) else pickle.dumps(content)
    try:
        channel.send(kind.value + body, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False
    return True


def receive(channel: socket.socket) -> tuple[Kind, bytes] | None:
    """Wait for a message; None when the other side is gone."""
    try:
        packet = channel.recv(_MOST_BYTES)
    except OSError:
        return None
    return (Kind(packet[:1]), packet[1:]) if packet else None
