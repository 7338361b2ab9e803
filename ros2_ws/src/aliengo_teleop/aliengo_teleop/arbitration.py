"""Which of several operators drives: e-stop > remote > joystick > web > navigation.

A source is *active* while its last command is fresh and its dead man is held. The highest
active source drives; a source that goes silent is noticed by its age alone, so that a killed
process and a pulled cable look the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aliengo_teleop.mapping import Velocity

__all__ = ["ESTOP", "NONE", "PRIORITY", "Arbiter", "Decision"]

ESTOP = "estop"
NONE = "none"
PRIORITY = ("remote", "joystick", "web", "navigation")
"""Sources from the strongest to the weakest; the e-stop stands above all of them."""


@dataclass(frozen=True)
class Decision:
    """Who drives, and where to.

    Attributes:
        source: A member of `PRIORITY`, `ESTOP` or `NONE`.
        velocity: The command of that source, zero for `ESTOP` and `NONE`.
        lost: Sources whose dead man was held when they went silent.
    """

    source: str
    velocity: Velocity = field(default_factory=Velocity)
    lost: tuple[str, ...] = ()


@dataclass
class _Input:
    stamp: float
    enabled: bool
    velocity: Velocity
    credit_s: float


class Arbiter:
    """Keeps the last command of every source and picks one."""

    def __init__(self, timeouts_s: Mapping[str, float], stall_credit_s: float = 0.0) -> None:
        """Creates an arbiter in which no source has spoken yet.

        Args:
            timeouts_s: Age at which the command of each source in `PRIORITY` is stale [s].
            stall_credit_s: Most time that `forgive` may take off one command's age [s].

        Raises:
            ValueError: If a source is missing or unknown, or a time-out is not positive.
        """
        if set(timeouts_s) != set(PRIORITY):
            raise ValueError(f"time-outs are for {sorted(timeouts_s)}; needed: {list(PRIORITY)}")
        for source, timeout in timeouts_s.items():
            if not timeout > 0.0:
                raise ValueError(f"the time-out of {source!r} is {timeout} s; it must be > 0")
        self._timeouts = dict(timeouts_s)
        self._stall_credit_s = stall_credit_s
        self._inputs: dict[str, _Input] = {}
        self.estopped = False

    def update(self, source: str, velocity: Velocity, enabled: bool, now: float) -> None:
        """Stores the newest command of a source.

        Args:
            source: A member of `PRIORITY`.
            velocity: The command.
            enabled: Whether the source's dead man is held.
            now: Monotonic time of arrival [s].
        """
        if source not in self._timeouts:
            raise ValueError(f"unknown source {source!r}; known are {list(PRIORITY)}")
        self._inputs[source] = _Input(now, enabled, velocity, self._stall_credit_s)

    def is_stale(self, source: str, now: float) -> bool:
        """Whether the source has said nothing for longer than its time-out, or nothing at all."""
        data = self._inputs.get(source)
        return data is None or now - data.stamp > self._timeouts[source]

    def decide(self, now: float) -> Decision:
        """Picks the source that drives at monotonic time `now` [s]."""
        stale = {source for source in self._inputs if self.is_stale(source, now)}
        lost = tuple(s for s in PRIORITY if s in stale and self._inputs[s].enabled)
        if self.estopped:
            return Decision(ESTOP, lost=lost)
        for source in PRIORITY:
            data = self._inputs.get(source)
            if data is not None and data.enabled and source not in stale:
                return Decision(source, data.velocity, lost)
        return Decision(NONE, lost=lost)

    def forgive(self, seconds: float) -> None:
        """Takes all commands for younger by `seconds`, up to what is left of their credit.

        Only the next message of a source renews its credit: a dead one is noticed after at most
        its time-out plus the credit, however often this process is held up.
        """
        for data in self._inputs.values():
            granted = min(seconds, data.credit_s)
            data.stamp += granted
            data.credit_s -= granted

    def forget(self, source: str) -> None:
        """Drops what a source said last, once its loss has been dealt with."""
        self._inputs.pop(source, None)
