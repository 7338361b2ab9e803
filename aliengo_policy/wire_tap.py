"""A UDP relay between the bridge and the robot that notes when datagrams pass.

It measures the control path from outside: from a state on the wire to the command that answers
it, through both directions of DDS and the policy. It knows four figures of the robot's protocol and
changes nothing.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

# Little-endian, as in the vendor's SDK for this robot.
STATE_SIZE, TICK_OFFSET = 771, 719
COMMAND_SIZE, MOTORS = 610, slice(10, 550)
_POLL_S = 0.2


@dataclass
class TapRecord:
    """What passed: times are of `time.monotonic()`.

    Attributes:
        states: tick and time of every state.
        commands: time of every command.
        changes: time of every command whose motor part differs from the one before.
    """

    states: list[tuple[int, float]] = field(default_factory=list)
    commands: list[float] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)


class WireTap:
    """Relays between a robot and the one bridge that talks to it.

    Args:
        robot_port: of the robot, on this machine.
    """

    def __init__(self, robot_port: int) -> None:
        self._bridge_side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._bridge_side.bind(("127.0.0.1", 0))
        self._robot_side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._robot_side.connect(("127.0.0.1", robot_port))
        for side in (self._bridge_side, self._robot_side):
            side.setblocking(False)
        self.port = int(self._bridge_side.getsockname()[1])
        self.record = TapRecord()
        self._motors = b""
        self._running = True
        self._thread = threading.Thread(target=self._relay, name="tap", daemon=True)

    def start(self) -> None:
        """Begin to relay."""
        self._thread.start()

    def close(self) -> None:
        """Stop relaying and release the ports."""
        self._running = False
        self._thread.join(2.0)
        self._bridge_side.close()
        self._robot_side.close()

    def _relay(self) -> None:
        bridge: tuple[str, int] | None = None
        sides = [self._bridge_side, self._robot_side]
        while self._running:
            for side in select.select(sides, [], [], _POLL_S)[0]:
                # A robot that is not up yet refuses a datagram, which also makes its socket look
                # readable for a moment: the next one will do.
                with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                    if side is self._bridge_side:
                        data, bridge = side.recvfrom(2048)
                        self._robot_side.send(data)
                        self._note_command(data)
                    else:
                        data = side.recv(2048)
                        self._note_state(data)
                        if bridge is not None:
                            self._bridge_side.sendto(data, bridge)

    def _note_state(self, data: bytes) -> None:
        if len(data) == STATE_SIZE:
            (tick,) = struct.unpack_from("<I", data, TICK_OFFSET)
            self.record.states.append((tick, time.monotonic()))

    def _note_command(self, data: bytes) -> None:
        if len(data) != COMMAND_SIZE:
            return
        now = time.monotonic()
        self.record.commands.append(now)
        if data[MOTORS] != self._motors:
            self._motors = data[MOTORS]
            self.record.changes.append(now)


def latencies(record: TapRecord, step_ticks: list[int], longest_s: float = 0.02) -> list[float]:
    """Time from each state that triggered a policy step to the first command that differs [s].

    Args:
        record: what passed.
        step_ticks: ticks of the states that triggered a step.
        longest_s: a later change answers another step; a step without an answer counts as infinite.
    """
    passed = dict(record.states)
    found = []
    position = 0
    for tick in step_ticks:
        if tick not in passed:
            continue
        start = passed[tick]
        while position < len(record.changes) and record.changes[position] <= start:
            position += 1
        later = record.changes[position] - start if position < len(record.changes) else float("inf")
        found.append(later if later <= longest_s else float("inf"))
    return found
