"""What every link promises, and what each adds."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_robots import LcmBench, SdkBench, UdpBench, UdpRobot, free_port, lying_state, wait_for

from aliengo_bridge.links import LinkError, make_link
from aliengo_bridge.links.base import LinkCounters, TickFilter
from aliengo_bridge.links.udp import UdpLink
from aliengo_bridge.messages import LEVEL_HIGH, LowCommand, damping_command
from aliengo_bridge.protocol import NotFiniteError, encode_low_state
from aliengo_bridge.remote import Remote, decode_remote

BENCHES = {bench.name: bench for bench in (UdpBench, SdkBench, LcmBench)}


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "lcm":
        pytest.importorskip("lcm")
    instance = BENCHES[request.param]()
    yield instance
    instance.close()


@pytest.fixture
def udp() -> Iterator[UdpBench]:
    instance = UdpBench()
    yield instance
    instance.close()


def test_nothing_received_is_none(bench: Any) -> None:
    assert bench.link.receive() is None


def test_a_state_arrives_in_policy_order(bench: Any) -> None:
    sent = lying_state(tick=100)
    bench.send(sent)
    state = wait_for(bench.link.receive, "state")
    np.testing.assert_allclose(state.q[:12], sent.q[:12], atol=1e-6)
    np.testing.assert_array_equal(state.foot_force, sent.foot_force)
    np.testing.assert_allclose(state.accelerometer, sent.accelerometer, atol=1e-6)
    assert bench.link.counters.received == 1


def test_the_newest_of_several_wins(bench: Any) -> None:
    for tick in range(2, 12, 2):
        state = lying_state(tick)
        state.q[0] = tick / 100
        bench.send(state)
    seen: list[float] = []

    def newest_seen() -> bool:
        received = bench.link.receive()
        if received is not None:
            seen.append(received.q[0])
        return bool(seen) and abs(seen[-1] - 0.10) < 1e-6

    wait_for(newest_seen, "newest state")
    assert seen == sorted(seen)
    assert bench.link.receive() is None


def test_a_repeated_state_is_not_news(bench: Any) -> None:
    bench.send(lying_state(100))
    wait_for(bench.link.receive, "state")
    bench.send(lying_state(100))
    wait_for(lambda: bench.link.receive() or bench.link.counters.duplicates, "duplicate")
    assert bench.link.counters.duplicates == 1
    assert bench.link.counters.received == 1


def test_a_command_reaches_the_robot_joint_by_joint(bench: Any) -> None:
    command = LowCommand()
    for name in ("q", "dq", "tau", "kp", "kd"):
        getattr(command, name)[:12] = 1 + np.arange(12) / 4
    bench.link.send(command)
    received = wait_for(bench.commands, "command")[-1]
    for name in ("q", "dq", "tau", "kp", "kd"):
        np.testing.assert_array_equal(getattr(received, name)[:12], getattr(command, name)[:12])
    assert received.level_flag == 0xFF
    assert bench.link.counters.sent == 1


def test_damping_reaches_the_robot_as_damping(bench: Any) -> None:
    bench.link.send(damping_command(5.0))
    received = wait_for(bench.commands, "command")[-1]
    np.testing.assert_array_equal(received.kp[:12], 0.0)
    np.testing.assert_array_equal(received.dq[:12], 0.0)
    np.testing.assert_array_equal(received.kd[:12], 5.0)


def test_a_command_that_is_not_finite_is_not_sent(bench: Any) -> None:
    command = LowCommand()
    command.q[3] = np.nan
    with pytest.raises(NotFiniteError):
        bench.link.send(command)
    bench.link.send(damping_command(1.0))
    assert len(wait_for(bench.commands, "the next command")) == 1


def test_garbage_is_dropped(bench: Any) -> None:
    bench.send_garbage()
    bench.send(lying_state(100))
    state = wait_for(bench.link.receive, "the good state")
    np.testing.assert_allclose(state.q[:12], lying_state().q[:12], atol=1e-6)
    counters = bench.link.counters
    assert counters.received == 1
    if bench.name != "sdk":  # the vendor's library does not tell
        assert counters.crc_errors > 0
        assert counters.length_errors > 0


def test_descriptor_becomes_readable_with_a_state(bench: Any) -> None:
    descriptor = bench.link.fileno()
    if descriptor is None:
        assert bench.name == "sdk"
        return
    assert not select.select([descriptor], [], [], 0)[0]
    bench.send(lying_state(100))
    assert select.select([descriptor], [], [], 5.0)[0]


def test_a_closed_link_says_so_and_closes_again(bench: Any) -> None:
    bench.link.close()
    bench.link.close()
    with pytest.raises(LinkError, match="not connected"):
        bench.link.send(LowCommand())


def test_unknown_link_lists_those_that_exist() -> None:
    with pytest.raises(LinkError, match="unknown link 'can', there are udp, sdk, lcm"):
        make_link("can", local_port=0, robot_address="", robot_port=0, lcm_url="")


@pytest.mark.parametrize("kind", ["udp", "sdk"])
def test_port_in_use_is_explained(kind: str) -> None:
    bench = BENCHES[kind]()
    second = make_link(
        kind, local_port=bench.port, robot_address="127.0.0.1", robot_port=9, lcm_url=""
    )
    with pytest.raises(LinkError, match=str(bench.port)):
        second.connect()
    bench.close()


@pytest.mark.parametrize("address", ["robot", "192.168.123", "::1", ""])
def test_robot_address_must_be_an_address(address: str) -> None:
    with pytest.raises(LinkError, match=f"robot address '{address}' is not an IPv4 address"):
        UdpLink(0, address, 8007)


def test_missing_binding_is_explained() -> None:
    sys.modules["robot_interface"] = None  # type: ignore[assignment]
    try:
        with pytest.raises(LinkError, match="needs Unitree's binding"):
            make_link("sdk", local_port=0, robot_address="127.0.0.1", robot_port=9, lcm_url="")
    finally:
        del sys.modules["robot_interface"]


def test_udp_drops_and_counts_other_senders(udp: UdpBench) -> None:
    stranger = UdpRobot(udp.port)
    stranger.send(lying_state(500))
    wait_for(lambda: udp.link.receive() or udp.link.counters.foreign, "foreign datagram")
    assert udp.link.counters == LinkCounters(foreign=1)
    stranger.close()


def test_udp_recognises_the_vendors_high_level_state(udp: UdpBench) -> None:
    udp.robot.send_raw(bytes(244))
    wait_for(lambda: udp.link.receive() or udp.link.counters.high_level, "high-level state")
    assert udp.link.counters == LinkCounters(high_level=1, length_errors=1)


def test_udp_ignores_states_that_were_overtaken(udp: UdpBench) -> None:
    for tick in (100, 98, 96, 104):
        udp.robot.send(lying_state(tick))
    seen = []

    def last_seen() -> bool:
        state = udp.link.receive()
        if state is not None:
            seen.append(state.tick)
        return bool(seen) and seen[-1] == 104

    wait_for(last_seen, "newest state")
    assert set(seen) <= {100, 104}
    assert udp.link.counters.out_of_order == 2
    assert udp.link.counters.lost == 1


def test_udp_survives_a_robot_that_is_not_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    link = UdpLink(free_port(), "127.0.0.1", port)
    link.connect()
    for _ in range(20):
        link.send(LowCommand())
        assert link.receive() is None
    assert link.counters.sent + link.counters.send_errors == 20
    link.close()


def test_a_flood_does_not_hold_receive_forever(udp: UdpBench) -> None:
    stranger = UdpRobot(udp.port)
    for _ in range(2 * UdpLink.MAX_DATAGRAMS):
        stranger.send_raw(b"flood")
    udp.link.receive()
    assert udp.link.counters.foreign <= UdpLink.MAX_DATAGRAMS
    stranger.close()


def test_tick_filter_believes_a_restarted_robot() -> None:
    tick_filter = TickFilter(counters := LinkCounters())
    assert tick_filter.accept(1_000_000, repeated=False)
    verdicts = [tick_filter.accept(2 * i, repeated=False) for i in range(TickFilter.RESTART_AFTER)]
    assert verdicts == [False] * (TickFilter.RESTART_AFTER - 1) + [True]
    assert tick_filter.accept(1000, repeated=False)
    assert counters.out_of_order == TickFilter.RESTART_AFTER - 1


def test_tick_filter_follows_the_counter_around() -> None:
    tick_filter = TickFilter(counters := LinkCounters())
    assert all(tick_filter.accept(t, repeated=False) for t in (0xFFFFFFFC, 0xFFFFFFFE, 0, 2, 6))
    assert counters == LinkCounters(lost=1)


def test_lcm_gives_the_letter_that_was_pressed_last_only_with_l2() -> None:
    pytest.importorskip("lcm")
    bench = LcmBench()

    def remote_after(**values: Any) -> Remote:
        bench.send_remote(**values)
        state = lying_state()
        state.q[0] += 0.01 * len(seen)
        bench.send(state)
        received = wait_for(bench.link.receive, "state")
        seen.append(received)
        return decode_remote(received.wireless_remote)

    seen: list[Any] = []
    assert remote_after(mode=1, left_stick=(0.25, 0.5)).pressed == frozenset()
    held = remote_after(mode=1, left_lower_left=1, left_stick=(0.25, 0.5), right_stick=(0.1, 0.2))
    assert held.pressed == {"L2", "B"}
    assert (held.lx, held.ly) == (0.25, 0.5)
    np.testing.assert_allclose((held.rx, held.ry), (0.1, 0.2), atol=1e-6)
    bench.close()


def test_lcm_sends_nothing_while_the_robot_is_to_be_left_alone() -> None:
    pytest.importorskip("lcm")
    bench = LcmBench()
    bench.link.send(LowCommand(level_flag=LEVEL_HIGH))
    bench.link.send(damping_command(5.0))
    (sent,) = wait_for(bench.commands, "command")
    np.testing.assert_allclose(sent.kd[:12], 5.0)
    assert bench.link.counters.sent == 1
    bench.close()


def test_lcm_gives_no_state_once_the_imu_is_dead() -> None:
    lcm = pytest.importorskip("aliengo_bridge.links.lcm")
    pytest.importorskip("lcm")
    bench = LcmBench()
    bench.send(lying_state())
    wait_for(bench.link.receive, "state")
    most, given = lcm.LcmLink.MOST_JOINTS_PER_IMU, 0
    for i in range(2 * most):
        state = lying_state()
        state.q[0] += 0.001 * (i + 1)
        bench.send(state, with_imu=False)

        def arrived(count: int = i + 2) -> bool:
            nonlocal given
            given += bench.link.receive() is not None
            return bench.link.counters.received == count

        wait_for(arrived, "joints")
    assert given == most - 1  # the state with the IMU message was the first of them
    state.q[0] += 0.001
    bench.send(state)
    assert wait_for(bench.link.receive, "state with an IMU again")
    bench.close()


def test_a_state_survives_the_trip_bit_for_bit(udp: UdpBench) -> None:
    udp.robot.send(lying_state(42))
    state = wait_for(udp.link.receive, "state")
    assert encode_low_state(state) == encode_low_state(lying_state(42))
