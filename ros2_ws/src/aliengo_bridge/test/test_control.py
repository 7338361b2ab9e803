"""The two ends of the bridge's socket pair, without a robot and without ROS."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from aliengo_bridge import control_client
from aliengo_bridge.control_client import ControlClient, ControlError
from aliengo_bridge.control_messages import Kind, Snapshot, send
from aliengo_bridge.control_process import ControlProcess
from aliengo_bridge.faults import Fault
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links.base import LinkCounters
from aliengo_bridge.safety import Mode, Status
from aliengo_bridge.settings import Settings
from aliengo_bridge.timing import TickTimes

ACTIVE = Snapshot(
    status=Status(Mode.ACTIVE),
    ticked_s=100.0,
    counters=LinkCounters(),
    times=TickTimes(0.002).summary(),
    ages_s=(0.002, 0.01),
    limits=SafetyLimits(),
    scheduling="",
    dropped_states=0,
    record_error="",
    crash="",
    withheld=b"",
)


def test_a_fresh_snapshot_is_believed() -> None:
    assert ACTIVE.believed(100.4) is ACTIVE.status
    assert ACTIVE.silence(100.4) == ""
    assert ACTIVE.ages_at(100.4) == (0.002, 0.01)


def test_a_loop_that_is_silent_is_not_said_to_be_active() -> None:
    status = ACTIVE.believed(102.0)
    assert (status.mode, status.fault) == (Mode.WAITING, "internal_error")
    assert status.detail == "the control loop has been silent for 2.0 s"
    assert status.reset_required
    assert ACTIVE.ages_at(102.0) == pytest.approx((2.002, 2.01))


@pytest.mark.parametrize(
    ("mode", "told"), [(Mode.ACTIVE, Mode.DAMPING), (Mode.CHECKING, Mode.WAITING)]
)
def test_a_loop_that_crashed_is_said_to_damp_a_robot_that_it_had(mode: Mode, told: Mode) -> None:
    crashed = replace(ACTIVE, status=Status(mode), crash="ValueError()")
    status = crashed.believed(100.1)
    assert (status.mode, status.fault, status.detail) == (told, "internal_error", "ValueError()")


class FakeProcess:
    """The control process's end, in the test's own hands."""

    def __init__(self, line: list[str], pass_fds: list[int]) -> None:
        self.channel = socket.socket(fileno=os.dup(pass_fds[0]))
        send(self.channel, Kind.READY)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    instance: Any = ControlClient(Settings(), SafetyLimits())
    yield instance
    instance._process.channel.close()
    instance._channel.close()


def test_a_question_is_not_answered_by_a_process_that_hangs(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_client, "_ANSWER_S", 0.01)
    with pytest.raises(ControlError, match=r"did not answer within 0\.01 s"):
        client.ask("report", Fault.ESTOP, "test")


def test_a_question_is_not_answered_by_a_process_that_is_gone(client: Any) -> None:
    client._process.channel.close()
    with pytest.raises(ControlError, match="the control process is gone"):
        client.ask("report", Fault.ESTOP, "test")


def test_an_exception_while_listening_is_not_silent(client: Any) -> None:
    ended = threading.Event()

    def fail(data: bytes) -> None:
        raise ValueError(data)

    send(client._process.channel, Kind.STATE, b"state")
    with pytest.raises(ValueError, match="state"):
        client.listen(fail, ended.set)
    assert ended.is_set()


@pytest.fixture
def process() -> Iterator[Any]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    settings = Settings(
        robot_address="127.0.0.1", local_port=0, realtime_priority=0, record_folder=""
    )
    instance: Any = ControlProcess(theirs, settings, SafetyLimits())
    instance.node = ours
    yield instance
    instance.loop.close()
    ours.close()
    theirs.close()
    gc.enable()
    gc.unfreeze()


def test_a_packet_that_cannot_be_read_ends_the_process(process: Any) -> None:
    send(process.node, Kind.CALL, b"no pickle")
    process._until_end(process._serve)
    assert process._end.is_set()
    assert process._failed


def test_the_process_ends_when_its_loop_is_dead(
    process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def idle(_: ControlProcess) -> None:
        threading.Event().wait()

    for work in ("_send_states", "_send_snapshots"):
        monkeypatch.setattr(ControlProcess, work, idle)
    process.loop._thread = threading.Thread(target=lambda: None)
    assert process.run() == 1
