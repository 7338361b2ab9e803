"""A UDP relay between the bridge and the robot that notes when datagrams pass.

It measures the control path from outside: from a state on the wire to the command that answers
it, through both directions of DDS and the policy. It knows four figures of the robot's protocol and
changes nothing. Benchmarks run it as a process, `TapProcess`: in theirs, it would stand still
whenever rclpy holds the interpreter's lock, and 50 ms of that are a silent robot to the bridge.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from aliengo_description.scheduling import raise_priority

# Little-endian, as in the vendor's SDK for this robot.
STATE_SIZE, TICK_OFFSET = 771, 719
COMMAND_SIZE, MOTORS = 610, slice(10, 550)
_POLL_S = 0.2
_TAP_PRIORITY = 30  # above every process of the graph: the relay must not be the delay
_END_S = 30.0  # for the record of a long run to be handed over


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


class TapProcess:
    """A `WireTap` in a process of its own, with real-time priority where that is permitted.

    Args:
        robot_port: of the robot, on this machine.

    Raises:
        RuntimeError: when the process ends before it listens.
    """

    def __init__(self, robot_port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "aliengo_policy.wire_tap", str(robot_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C must reach the caller only, which still wants the record
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the relay ended with {self._process.wait()} before it listened")
        self.port = int(line)

    def finish(self) -> TapRecord:
        """Stop relaying; returns what passed.

        Raises:
            RuntimeError: when the process has died.
        """
        try:
            text, _ = self._process.communicate(timeout=_END_S)
        finally:
            self._process.kill()
        if self._process.returncode != 0:
            raise RuntimeError(f"the relay ended with {self._process.returncode}")
        values = json.loads(text)
        values["states"] = [(int(tick), float(time_s)) for tick, time_s in values["states"]]
        return TapRecord(**values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Relay until the standard input ends: what `TapProcess` runs.

    The port stands on the first line of the output, the record, as JSON, on the second.
    """
    parser = argparse.ArgumentParser(prog="wire_tap", description=main.__doc__)
    parser.add_argument("robot_port", type=int)
    tap = WireTap(parser.parse_args(arguments).robot_port)
    tap.start()
    raise_priority(_TAP_PRIORITY)
    print(tap.port, flush=True)
    sys.stdin.read()  # ends with the caller, however that ends
    tap.close()
    json.dump(asdict(tap.record), sys.stdout)
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
