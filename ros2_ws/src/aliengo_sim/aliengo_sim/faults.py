"""Faults on purpose: what a bad network and a failing robot do, for tests and for training nerves.

A `FaultPlan` is a plain value; changing it at run time is replacing it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from aliengo_description import robot

__all__ = ["DIRECTIONS", "FaultPlan", "FaultyChannel"]

DIRECTIONS = ("states", "commands", "both")
_CRC_BYTES = 8
"""The last bytes of a datagram hold the CRC and some that no CRC protects: never corrupted, so
that every corruption is one that a receiver can notice."""


@dataclass(frozen=True)
class FaultPlan:
    """What goes wrong; the default is nothing.

    Attributes:
        loss: Probability that a packet is lost.
        delay_s: Delay of every packet [s].
        jitter_s: Further delay, uniform between 0 and this [s]; may reorder packets.
        duplicate: Probability that a packet arrives twice.
        reorder: Probability that a packet is held back until after the next one.
        corrupt: Probability that one bit of a packet is flipped.
        direction: One of `DIRECTIONS`: which packets the above happens to.
        silence: The robot sends nothing at all.
        sport_mode: The robot sends the vendor's high-level state instead.
        hot_motor: Name of a joint whose motor reports `hot_temperature`; empty for none.
        hot_temperature: [degC].
        lost_motor: Name of a joint whose motor has switched itself off; empty for none.
    """

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    direction: str = "both"
    silence: bool = False
    sport_mode: bool = False
    hot_motor: str = ""
    hot_temperature: float = 90.0
    lost_motor: str = ""

    def __post_init__(self) -> None:
        """Refuse a plan that cannot be carried out.

        Raises:
            ValueError: If a figure is out of its range or a name is unknown.
        """
        for name in ("loss", "duplicate", "reorder", "corrupt"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")
        for name in ("delay_s", "jitter_s"):
            if not 0.0 <= getattr(self, name) <= 10.0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0 to 10")
        if not -128 <= self.hot_temperature <= 127:
            raise ValueError(f"hot_temperature is {self.hot_temperature}; allowed: -128 to 127")
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction is {self.direction!r}; allowed: {', '.join(DIRECTIONS)}")
        for name in ("hot_motor", "lost_motor"):
            if getattr(self, name) not in ("", *robot.JOINT_NAMES):
                known = ", ".join(robot.JOINT_NAMES)
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: empty or {known}")

    def touches(self, direction: str) -> bool:
        """Whether packets in ``direction`` ("states" or "commands") may suffer."""
        network = (self.loss, self.delay_s, self.jitter_s, self.duplicate, self.reorder)
        return self.direction in (direction, "both") and any((*network, self.corrupt))


class FaultyChannel:
    """A one-way packet channel that follows a plan. Time is handed in, in seconds, never read.

    Args:
        direction: "states" or "commands".
        seed: Of the dice; the same packets and plan then suffer the same faults.
    """

    def __init__(self, direction: str, seed: int = 0) -> None:
        self._direction = direction
        self._random = np.random.default_rng(seed)
        self._held: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._waiting: bytes | None = None

    def pass_through(self, plan: FaultPlan, now: float, packets: list[bytes]) -> list[bytes]:
        """Take packets that enter at ``now`` and return those that leave by then, in order."""
        if not (self._held or self._waiting or plan.touches(self._direction)):
            return packets
        for packet in packets:
            self._enter(plan, now, packet)
        out = []
        while self._held and self._held[0][0] <= now:
            out.append(heapq.heappop(self._held)[2])
        return out

    def _enter(self, plan: FaultPlan, now: float, packet: bytes) -> None:
        if not plan.touches(self._direction):
            plan = FaultPlan()
        overtaken, self._waiting = self._waiting, None
        if self._random.random() >= plan.loss:
            if self._random.random() < plan.corrupt:
                packet = self._corrupted(packet)
            if overtaken is None and self._random.random() < plan.reorder:
                self._waiting = packet
            else:
                copies = 2 if self._random.random() < plan.duplicate else 1
                for _ in range(copies):
                    self._schedule(plan, now, packet)
        if overtaken is not None:
            self._schedule(plan, now, overtaken)

    def _schedule(self, plan: FaultPlan, now: float, packet: bytes) -> None:
        due = now + plan.delay_s + plan.jitter_s * float(self._random.random())
        self._count += 1
        heapq.heappush(self._held, (due, self._count, packet))

    def _corrupted(self, packet: bytes) -> bytes:
        if len(packet) <= _CRC_BYTES:
            return packet
        position = int(self._random.integers(len(packet) - _CRC_BYTES))
        changed = bytearray(packet)
        changed[position] ^= 1 << int(self._random.integers(8))
        return bytes(changed)
