"""The interface between the bridge and whatever carries its commands to the robot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from aliengo_bridge.messages import LowCommand, LowState

__all__ = ["Link", "LinkCounters", "LinkError", "TickFilter"]


class LinkError(RuntimeError):
    """A link cannot be opened or used; the message says what to do about it."""


@dataclass
class LinkCounters:
    """What a link has seen since it was connected."""

    sent: int = 0
    send_errors: int = 0
    received: int = 0
    """Valid states, also those that a newer one in the same call made obsolete."""
    crc_errors: int = 0
    length_errors: int = 0
    high_level: int = 0
    """States in the vendor's high-level format: the robot is in its own sport mode."""
    foreign: int = 0
    """Datagrams from anyone but the robot."""
    duplicates: int = 0
    out_of_order: int = 0
    lost: int = 0
    """States missing between the ticks of those that came."""


class Link(ABC):
    """A connection that carries `LowCommand` to the robot and `LowState` back.

    A link never blocks, holds no thread, and hands out only states that are valid and newer than
    the one before. It is used from one thread.
    """

    def __init__(self) -> None:
        self.counters = LinkCounters()

    @abstractmethod
    def connect(self) -> None:
        """Open the link.

        Raises:
            LinkError: If that fails; the message names the port, address or library.
        """

    @abstractmethod
    def send(self, command: LowCommand) -> None:
        """Send a command. Failures of the network are counted, not raised.

        Raises:
            ProtocolError: If the command cannot be expressed, such as a NaN.
        """

    @abstractmethod
    def receive(self) -> LowState | None:
        """Return the newest valid state that arrived since the last call, or None."""

    @abstractmethod
    def close(self) -> None:
        """Close the link. Closing twice is allowed."""

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when a state arrives, or None."""
        return None


class TickFilter:
    """Decides by the robot's tick whether a state is new.

    A network may repeat and reorder datagrams; a state older than the newest must not be taken for
    news. A robot that was switched off and on starts its tick again: after `RESTART_AFTER` states
    in a row that look old, the tick is believed.
    """

    RESTART_AFTER = 50
    TICKS_PER_STATE = 2  # milliseconds between states at 500 Hz

    def __init__(self, counters: LinkCounters) -> None:
        self._counters = counters
        self._tick: int | None = None
        self._old_in_a_row = 0

    def accept(self, tick: int, *, repeated: bool) -> bool:
        """Return whether a state is new, and count it if it is not.

        Args:
            tick: The state's tick, an unsigned 32-bit counter.
            repeated: Whether the state equals the newest one byte for byte.
        """
        if repeated:
            self._counters.duplicates += 1
            return False
        previous = self._tick
        if previous is not None:
            ahead = (tick - previous) & 0xFFFFFFFF
            if ahead >= 0x80000000 and self._old_in_a_row + 1 < self.RESTART_AFTER:
                self._old_in_a_row += 1
                self._counters.out_of_order += 1
                return False
            if 0 < ahead < 1000:
                self._counters.lost += max(0, ahead // self.TICKS_PER_STATE - 1)
        self._old_in_a_row = 0
        self._tick = tick
        return True
