"""The control loop against a robot on UDP: punctual start, damping whatever happens."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_robots import UdpRobot, lying_state, wait_for

from aliengo_bridge.ages import StallAwareAge
from aliengo_bridge.blackbox import BlackBoxWriter
from aliengo_bridge.faults import FAULTS, Fault
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links.udp import UdpLink
from aliengo_bridge.loop import ControlLoop
from aliengo_bridge.messages import LEVEL_HIGH, LEVEL_LOW, LowCommand
from aliengo_bridge.safety import Mode, Supervisor


class Ageless(StallAwareAge):
    """An age that does not grow."""

    def advance(self, elapsed_s: float) -> None:
        """Stay young."""


class Bench:
    """A loop and a robot that sends a state whenever the test looks.

    A busy machine may keep the test from sending for a while: states do not age here, and commands
    only where that is asked for.
    """

    def __init__(
        self,
        *,
        shadow: bool = False,
        writer: BlackBoxWriter | None = None,
        commands_age: bool = False,
    ) -> None:
        self.robot = UdpRobot()
        port = self.robot.choose_client_port()
        self.state = lying_state()
        supervisor = Supervisor(SafetyLimits(ownership_check_s=0.1), shadow=shadow)
        supervisor._state_age = Ageless(0.0)
        if not commands_age:
            supervisor._command_age = Ageless(0.0)
        link = UdpLink(port, "127.0.0.1", self.robot.port)
        self.loop = ControlLoop(link, supervisor, shadow=shadow, writer=writer)
        self.loop.start()

    def look(self) -> list[LowCommand]:
        """Send one state and return the commands that came."""
        self.state.tick += 2
        self.robot.send(self.state)
        return self.robot.commands()

    def wait_for_mode(self, mode: Mode) -> None:
        wait_for(lambda: self.look() and self.loop.supervisor.status.mode is mode, mode.value)

    def hold_command(self) -> LowCommand:
        command = LowCommand()
        command.q[:12], command.dq[:12] = self.state.q[:12], 0.0
        command.kp[:12], command.kd[:12] = 40.0, 1.0
        return command

    def drive(self) -> None:
        """Bring the loop to ACTIVE."""
        self.wait_for_mode(Mode.IDLE)

        def active() -> bool:
            self.loop.submit(self.hold_command())
            self.look()
            return self.loop.supervisor.status.mode is Mode.ACTIVE

        wait_for(active, "active")

    def close(self) -> None:
        self.loop.close()
        self.robot.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    instance = Bench()
    yield instance
    instance.close()


def damps(commands: list[LowCommand]) -> bool:
    return any(
        c.level_flag == LEVEL_LOW and (c.kp == 0).all() and (c.kd[:12] == 5.0).all()
        for c in commands
    )


def test_states_reach_the_listener_and_commands_the_robot(bench: Bench) -> None:
    bench.drive()
    state = bench.loop.states.get(timeout=5.0)
    np.testing.assert_allclose(state.q[:12], bench.state.q[:12], atol=1e-6)

    def arrived() -> bool:
        bench.loop.submit(bench.hold_command())
        return any((c.kp[:12] == 40.0).all() for c in bench.look())

    wait_for(arrived, "the command at the robot")


def test_states_that_nobody_takes_are_dropped_not_hoarded(bench: Bench) -> None:
    wait_for(lambda: bench.look() and bench.loop.dropped_states, "dropped states")
    assert bench.loop.states.qsize() <= 64


def test_a_silent_commander_ends_in_damping() -> None:
    bench = Bench(commands_age=True)
    bench.drive()
    wait_for(lambda: damps(bench.look()), "damping")
    assert bench.loop.supervisor.status.fault == "command_stale"
    bench.close()


def test_stop_damps_on_until_the_end(bench: Bench) -> None:
    bench.drive()
    bench.loop.stop()
    bench.robot.commands()
    for _ in range(3):
        assert damps(wait_for(bench.robot.commands, "commands after stop"))
    assert bench.loop.supervisor.status.fault == "shutdown"


def test_the_wait_for_rest_begins_on_the_thread_that_looks_for_it(bench: Bench) -> None:
    bench.drive()
    clearing: list[threading.Thread] = []

    class Watched(threading.Event):
        def clear(self) -> None:
            clearing.append(threading.current_thread())
            super().clear()

    bench.loop._at_rest = Watched()
    bench.loop.stop()
    assert clearing == [bench.loop._thread]


def test_an_end_that_was_asked_for_leaves_no_record(tmp_path: Path) -> None:
    writer = BlackBoxWriter(tmp_path)
    bench = Bench(writer=writer)
    bench.drive()
    bench.loop.stop()
    ticks = bench.loop.times.summary().ticks + 2 * ControlLoop._RECORD_AFTER_FAULT_TICKS
    wait_for(lambda: bench.loop.times.summary().ticks > ticks, "time for a record")
    bench.close()
    assert bench.loop.supervisor.status.fault == "shutdown"
    assert writer._waiting.empty()
    assert list(tmp_path.iterdir()) == []


def test_closing_gives_the_descriptors_back_and_a_late_command_is_harmless() -> None:
    bench = Bench()
    pipe = bench.loop._wake_read, bench.loop._wake_write
    bench.close()
    for descriptor in pipe:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    bench.loop.submit(bench.hold_command())
    bench.loop.close()


def test_an_exception_in_the_supervisor_leaves_damping(tmp_path: Path) -> None:
    writer = BlackBoxWriter(tmp_path)
    bench = Bench(writer=writer)
    bench.drive()

    def fail(supervisor: Supervisor) -> None:
        supervisor.step = None  # type: ignore[method-assign, assignment]

    bench.loop.call(fail)
    wait_for(lambda: bench.loop.crash is not None, "the crash")
    bench.robot.commands()
    for _ in range(3):
        assert damps(wait_for(bench.robot.commands, "commands after the crash"))
    status = bench.loop.supervisor.status
    assert (status.mode, status.fault) == (Mode.DAMPING, "internal_error")
    answer = bench.loop.call(lambda s: s.reset()).result(5.0)
    assert answer == (False, f"not reset: {FAULTS[Fault.INTERNAL_ERROR].explanation}")
    wait_for(lambda: writer.written, "the record")
    with np.load(writer.written[0]) as record:
        assert str(record["fault"]) == "internal_error"
        assert record["ticks"]["mode"][-1] == "active"
    bench.close()


def test_a_call_returns_result_or_error(bench: Bench) -> None:
    assert bench.loop.call(lambda s: s.limits.tilt_rad).result(5.0) == 1.0
    with pytest.raises(ValueError, match="only be made lower"):
        bench.loop.call(lambda s: s.tighten({"tilt_rad": 1.2})).result(5.0)
    assert bench.loop.crash is None


def test_a_fault_is_recorded(tmp_path: Path) -> None:
    writer = BlackBoxWriter(tmp_path)
    bench = Bench(writer=writer)
    bench.drive()
    bench.state.wireless_remote[2:4] = (0x20, 0x02)  # L2+B
    wait_for(lambda: bench.look() and writer.written, "the record")
    with np.load(writer.written[0]) as record:
        assert str(record["fault"]) == "remote_stop"
        modes = list(dict.fromkeys(record["ticks"]["mode"].tolist()))
    assert modes[-2:] == ["active", "damping"]
    bench.close()


def test_shadow_mode_sends_nothing_that_drives_and_shows_what_it_withholds() -> None:
    bench = Bench(shadow=True)
    bench.drive()
    commands = wait_for(bench.look, "commands")
    assert all(c.level_flag == LEVEL_HIGH and (c.kp == 0).all() for c in commands)

    def shown() -> bool:
        bench.loop.submit(bench.hold_command())
        bench.look()
        withheld = bench.loop.withheld
        return withheld is not None and bool((withheld.kp[:12] == 40.0).all())

    wait_for(shown, "the withheld command")
    bench.close()


def test_a_flood_of_requests_does_not_keep_the_loop_from_sending(bench: Bench) -> None:
    bench.wait_for_mode(Mode.IDLE)
    sent = bench.loop.link.counters.sent

    def flooded() -> bool:
        for _ in range(200):
            bench.loop.submit(bench.hold_command())
        bench.look()
        return bench.loop.link.counters.sent > sent + 20

    wait_for(flooded, "commands under a flood")
    ticks = bench.loop.times.summary().ticks
    assert bench.loop.link.counters.sent <= 2 * ticks + 2
