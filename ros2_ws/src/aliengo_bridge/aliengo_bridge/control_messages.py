"""What the bridge's two processes say to each other over a socket pair, one packet per message."""

from __future__ import annotations

import pickle
import socket
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links.base import LinkCounters
from aliengo_bridge.safety import Status
from aliengo_bridge.timing import Punctuality

__all__ = ["Answer", "Call", "Kind", "Snapshot", "receive", "send"]

_MOST_BYTES = 1 << 17


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
    """What the control process tells about itself."""

    status: Status
    counters: LinkCounters
    times: Punctuality
    missed: int
    ages_s: tuple[float, float]
    limits: SafetyLimits
    scheduling: str
    dropped_states: int
    record_error: str
    crash: str
    withheld: bytes
    """In shadow mode, the serialised command that the robot would have been sent."""


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
