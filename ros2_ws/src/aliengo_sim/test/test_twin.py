"""The whole twin behind a real UDP socket. Cycles are stepped by hand: no test waits for time."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aliengo_bridge.protocol import (
    HIGH_STATE_SIZE,
    LEVEL_HIGH,
    MODE_OVERHEATED,
    MODE_SERVO,
    LowCommand,
    LowState,
    damping_command,
    decode_low_state,
    encode_low_command,
    encode_low_state,
)
from aliengo_description import robot
from aliengo_sim.faults import FaultPlan
from aliengo_sim.server import AddressInUseError
from aliengo_sim.twin import Twin, TwinConfig

PERIOD_S = 0.002
COMMAND = encode_low_command(damping_command(3.0))


class Commander:
    """A peer of the twin that steps it: send, let it run a cycle, read all answers."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(twin.address)

    def cycle(self, *datagrams: bytes) -> list[bytes]:
        for datagram in datagrams:
            self.socket.send(datagram)
        self.twin.cycle()
        return self.read()

    def read(self) -> list[bytes]:
        answers = []
        while select.select([self.socket], [], [], 0)[0]:
            answers.append(self.socket.recv(2000))
        return answers

    def state(self, *datagrams: bytes) -> LowState:
        (answer,) = self.cycle(*datagrams)
        return decode_low_state(answer)


@pytest.fixture
def twin() -> Iterator[Twin]:
    built = Twin(TwinConfig(port=0))
    yield built
    built.close()


@pytest.fixture
def standing() -> Iterator[Commander]:
    """The commander of a twin that has stood for a second."""
    twin = Twin(TwinConfig(port=0, start_pose="standing"))
    peer = Commander(twin)
    run(peer, 1.0, stand())
    yield peer
    peer.socket.close()
    twin.close()


@pytest.fixture
def commander(twin: Twin) -> Iterator[Commander]:
    peer = Commander(twin)
    yield peer
    peer.socket.close()


def stand() -> bytes:
    command = LowCommand()
    command.q[:12], command.dq[:12] = robot.STAND_JOINT_POSITIONS, 0.0
    command.kp[:12], command.kd[:12] = 100.0, 3.0
    return encode_low_command(command)


def run(commander: Commander, seconds: float, *datagrams: bytes) -> None:
    for _ in range(round(seconds / PERIOD_S)):
        commander.cycle(*datagrams)


def test_is_silent_until_a_valid_command_then_answers_each_cycle(commander: Commander) -> None:
    assert commander.cycle() == []
    assert commander.cycle(b"junk") == []
    for _ in range(3):
        assert [len(answer) for answer in commander.cycle(COMMAND)] == [771]
    assert len(commander.cycle()) == 1  # states do not wait for commands


def test_tick_advances_with_the_states(commander: Commander) -> None:
    ticks = [commander.state(COMMAND).tick for _ in range(50)]
    assert np.diff(ticks).tolist() == [2] * 49


def test_bad_datagrams_are_counted_and_never_acted_on(commander: Commander) -> None:
    commander.cycle(COMMAND)
    before = commander.twin.ground_truth().joint_positions
    order = stand()
    broken = order[:100] + bytes([order[100] ^ 1]) + order[101:]
    state = encode_low_state(LowState())
    for _ in range(40):
        commander.cycle(COMMAND, broken, order[:-1], order + b"\0", b"", state)
    link = commander.twin.status().link
    assert link["crc_errors"] == 40
    assert link["length_errors"] == 160
    assert link["received"] == 41
    np.testing.assert_allclose(commander.twin.ground_truth().joint_positions, before, atol=0.05)


def test_a_second_commander_is_counted_and_ignored(twin: Twin, commander: Commander) -> None:
    intruder = Commander(twin)
    commander.cycle(COMMAND)
    before = twin.ground_truth().joint_positions
    for _ in range(50):
        intruder.socket.send(stand())
        assert len(commander.cycle(COMMAND)) == 1
        assert intruder.read() == []
    assert twin.status().link["foreign"] == 50
    np.testing.assert_allclose(twin.ground_truth().joint_positions, before, atol=0.05)
    intruder.socket.close()


def test_a_silent_peer_loses_its_place(twin: Twin, commander: Commander) -> None:
    successor = Commander(twin)
    commander.cycle(COMMAND)
    assert successor.cycle(COMMAND) == []
    run(commander, 2.1)
    assert twin.status().peer == ""
    assert len(successor.cycle(COMMAND)) == 1
    successor.socket.close()


def test_a_high_level_command_is_answered_but_moves_nothing(commander: Commander) -> None:
    command = LowCommand(level_flag=LEVEL_HIGH)
    command.tau[:12] = 20.0
    assert len(commander.cycle(encode_low_command(command))) == 1
    run(commander, 0.1, encode_low_command(command))
    assert commander.twin.status().limp
    assert commander.twin.status().link["not_low_level"] == 51


def test_stands_on_command_and_reports_it(standing: Commander) -> None:
    run(standing, 1.0, stand())
    truth, state = standing.twin.ground_truth(), standing.state(stand())
    assert truth.up > 0.98
    assert truth.position_w[2] > 0.33
    assert (state.mode[:12] == MODE_SERVO).all()
    np.testing.assert_allclose(state.q[:12], truth.joint_positions, atol=1e-2)
    np.testing.assert_allclose(state.tau_est[:12], truth.joint_torques, atol=0.5)
    assert (state.foot_force > 50).all()


def test_goes_limp_when_nobody_commands(standing: Commander) -> None:
    assert not standing.twin.status().limp
    run(standing, 0.19)
    assert not standing.twin.status().limp
    run(standing, 0.02)
    assert standing.twin.status().limp
    np.testing.assert_array_equal(standing.twin.ground_truth().joint_torques, 0.0)
    run(standing, 2.0)
    assert standing.twin.ground_truth().position_w[2] < 0.2


def test_the_same_command_works_again_after_a_silence(standing: Commander) -> None:
    run(standing, 0.25)
    assert standing.twin.status().limp
    standing.cycle(stand())
    assert not standing.twin.status().limp
    assert np.abs(standing.twin.ground_truth().joint_torques).max() > 1.0


def test_a_reset_puts_it_back_on_the_ground_limp(commander: Commander) -> None:
    run(commander, 1.0, stand())
    tick = commander.state(stand()).tick
    commander.twin.reset()
    state = commander.state()
    assert state.tick == tick + 2
    assert commander.twin.status().limp
    assert commander.twin.ground_truth().position_w[2] < 0.07


def test_a_push_moves_a_standing_robot(standing: Commander) -> None:
    standing.twin.push((0.0, 25.0, 0.0))
    run(standing, 0.06, stand())
    assert standing.twin.ground_truth().linear_velocity_b[1] > 0.5


def test_divergence_is_counted_and_survived(
    commander: Commander, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings to a file
    commander.cycle(COMMAND)
    commander.twin.dynamics.data.qvel[:] = np.nan
    commander.cycle(COMMAND)
    assert commander.twin.status().diverged == 1
    state = commander.state(COMMAND)
    assert np.isfinite(state.q).all()


def test_states_can_be_lost_while_commands_arrive(commander: Commander) -> None:
    commander.cycle(COMMAND)
    commander.twin.faults = FaultPlan(loss=1.0, direction="states")
    assert all(commander.cycle(stand()) == [] for _ in range(500))
    assert not commander.twin.status().limp
    assert commander.twin.ground_truth().position_w[2] > 0.2


def test_commands_can_be_lost_while_states_arrive(commander: Commander) -> None:
    run(commander, 0.5, COMMAND)
    commander.twin.faults = FaultPlan(loss=1.0, direction="commands")
    assert all(len(commander.cycle(COMMAND)) == 1 for _ in range(150))
    assert commander.twin.status().limp


def test_a_delay_of_states_is_a_delay_of_their_ticks(commander: Commander) -> None:
    commander.cycle(COMMAND)
    commander.twin.faults = FaultPlan(delay_s=0.019, direction="states")
    answers = [commander.cycle(COMMAND) for _ in range(30)]
    assert [len(answer) for answer in answers] == [0] * 10 + [1] * 20
    now = commander.twin.ground_truth().time_s
    assert decode_low_state(answers[-1][0]).tick == round(1e3 * now) - 20


def test_silence_ends(commander: Commander) -> None:
    commander.cycle(COMMAND)
    commander.twin.faults = FaultPlan(silence=True)
    assert [commander.cycle(COMMAND) for _ in range(5)] == [[]] * 5
    commander.twin.faults = FaultPlan()
    assert len(commander.cycle(COMMAND)) == 1


def test_a_hot_motor_is_reported_and_only_that_one(commander: Commander) -> None:
    commander.twin.faults = FaultPlan(hot_motor="RL_calf_joint", hot_temperature=95.0)
    state = commander.state(COMMAND)
    assert state.temperature[8] == 95
    assert (np.delete(state.temperature[:12], 8) < 40).all()
    commander.twin.faults = FaultPlan()
    assert commander.state(COMMAND).temperature[8] < 40


def test_a_lost_motor_says_so_and_gives_no_torque(standing: Commander) -> None:
    standing.twin.faults = FaultPlan(lost_motor="FR_calf_joint")
    state = standing.state(stand())
    assert state.mode[5] == MODE_OVERHEATED
    assert state.tau_est[5] == 0.0
    assert np.abs(np.delete(state.tau_est[:12], 5)).max() > 1.0


def test_sport_mode_answers_with_high_level_states(commander: Commander) -> None:
    commander.twin.faults = FaultPlan(sport_mode=True)
    assert [len(answer) for answer in commander.cycle(COMMAND)] == [HIGH_STATE_SIZE]


def test_the_remote_is_passed_on(commander: Commander) -> None:
    commander.twin.wireless_remote = bytes(range(40))
    assert commander.state(COMMAND).wireless_remote.tolist() == list(range(40))


def test_a_port_in_use_is_named(twin: Twin) -> None:
    host, port = twin.address
    with pytest.raises(AddressInUseError, match=f"cannot listen on {host}:{port}"):
        Twin(TwinConfig(port=port))


def test_a_state_period_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ValueError, match=r"state_period_s is 0\.0025; allowed: multiples"):
        Twin(TwinConfig(port=0, state_period_s=0.0025))


def test_runs_in_real_time_until_told_to_stop(twin: Twin, commander: Commander) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=twin.run, args=(stop,))
    started = time.monotonic()
    thread.start()
    try:
        commander.socket.settimeout(10.0)
        commander.socket.send(COMMAND)
        states = [decode_low_state(commander.socket.recv(2000)) for _ in range(200)]
    finally:
        stop.set()
        thread.join(timeout=10.0)
    elapsed = time.monotonic() - started
    assert not thread.is_alive()
    # The socket drops what does not fit while this thread is kept from reading.
    steps = np.diff([state.tick for state in states])
    assert (steps > 0).all()
    assert (steps % 2 == 0).all()
    # Never faster than real time, beyond what a stall lets it make good.
    assert twin.ground_truth().time_s <= elapsed + 0.01 + PERIOD_S
