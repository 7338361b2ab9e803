"""The relay passes everything on and measures from a state to the command that answers it."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from aliengo_policy.wire_tap import TapProcess, TapRecord, WireTap, latencies


def state(tick: int) -> bytes:
    data = bytearray(771)
    struct.pack_into("<I", data, 719, tick)
    return bytes(data)


def command(serial: int, motor: int) -> bytes:
    data = bytearray(610)
    struct.pack_into("<I", data, 5, serial)
    data[20] = motor
    return bytes(data)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket, WireTap]]:
    """A robot, a bridge and the relay between them."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as robot,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bridge,
    ):
        for side in (robot, bridge):
            side.bind(("127.0.0.1", 0))
            side.settimeout(10.0)
        tap = WireTap(robot.getsockname()[1])
        bridge.connect(("127.0.0.1", tap.port))
        tap.start()
        yield robot, bridge, tap
        tap.close()


def test_datagrams_pass_unchanged_both_ways_and_are_noted(
    ends: tuple[socket.socket, socket.socket, WireTap],
) -> None:
    robot, bridge, tap = ends
    for serial, motor in ((1, 0), (2, 7), (3, 7), (4, 9)):
        bridge.send(command(serial, motor))
        data, relay = robot.recvfrom(2048)
        assert data == command(serial, motor)
        robot.sendto(state(100 + serial), relay)
        assert bridge.recv(2048) == state(100 + serial)
    assert [tick for tick, _ in tap.record.states] == [101, 102, 103, 104]
    assert len(tap.record.commands) == 4
    assert len(tap.record.changes) == 3  # the serial number alone is no change


def test_a_robot_that_is_not_up_yet_does_not_stop_the_relay() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tap = WireTap(port)
    tap.start()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bridge,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as robot,
    ):
        bridge.connect(("127.0.0.1", tap.port))
        for serial in range(20):
            bridge.send(command(serial, 0))
        robot.bind(("127.0.0.1", port))
        robot.settimeout(0.05)
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            bridge.send(command(99, 0))
            try:
                assert len(robot.recv(2048)) == 610
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError("nothing passed after the robot came up")
    tap.close()


def test_a_relay_of_its_own_process_hands_its_record_over() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as robot,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bridge,
    ):
        robot.bind(("127.0.0.1", 0))
        robot.settimeout(10.0)
        bridge.settimeout(10.0)
        before = time.monotonic()
        tap = TapProcess(robot.getsockname()[1])
        bridge.connect(("127.0.0.1", tap.port))
        bridge.send(command(1, 7))
        data, relay = robot.recvfrom(2048)
        assert data == command(1, 7)
        robot.sendto(state(100), relay)
        assert bridge.recv(2048) == state(100)
        record = tap.finish()
    ((tick, time_s),) = record.states
    assert tick == 100
    # Its clock is the caller's, so that events on both sides can be compared.
    assert before < record.commands[0] < time_s < time.monotonic()
    assert record.changes == record.commands


def test_a_relay_that_cannot_listen_says_so() -> None:
    with pytest.raises(RuntimeError, match="the relay ended with 1 before it listened"):
        TapProcess(-1)


def test_an_answer_is_the_first_change_after_its_state() -> None:
    record = TapRecord(
        states=[(10, 1.0), (20, 1.02), (30, 1.04)],
        changes=[0.99, 1.003, 1.004, 1.0225],
    )
    found = latencies(record, [10, 20, 30, 40])
    assert found == pytest.approx([0.003, 0.0025, float("inf")])
