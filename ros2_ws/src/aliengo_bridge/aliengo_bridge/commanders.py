"""Notices when two nodes command the robot at once."""

from __future__ import annotations

__all__ = ["CommanderWatch"]


class CommanderWatch:
    """Tells a second commander from one that was restarted.

    A commander that died and came back has another identity too, but he was silent in between. The
    graph of ROS 2 cannot tell them apart: it keeps dead publishers for many seconds.
    """

    ALIVE_S = 0.25
    """A commander that was heard this recently is alive: he sends at 50 Hz."""

    def __init__(self) -> None:
        self._heard: dict[bytes, float] = {}

    def hear(self, identity: bytes, now: float) -> bool:
        """Note a command.

        Args:
            identity: Who sent it.
            now: Time of a monotonic clock [s].

        Returns:
            Whether another commander is alive as well.
        """
        self._heard[identity] = now
        return self.conflict(now)

    def conflict(self, now: float) -> bool:
        """Return whether more than one commander is alive."""
        alive = {who: when for who, when in self._heard.items() if now - when < self.ALIVE_S}
        self._heard = alive
        return len(alive) > 1
