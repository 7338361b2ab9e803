"""Faults happen as planned, and nothing else does."""

from __future__ import annotations

import pytest

from aliengo_bridge.protocol import (
    ChecksumError,
    LowState,
    decode_low_state,
    encode_low_state,
)
from aliengo_sim.faults import FaultPlan, FaultyChannel

COUNT = 4000


def packets(count: int = COUNT) -> list[bytes]:
    return [index.to_bytes(16, "little") for index in range(count)]


def numbers(sent: list[bytes]) -> list[int]:
    return [int.from_bytes(packet, "little") for packet in sent]


def transmit(plan: FaultPlan, count: int = COUNT, period: float = 0.002, tail: float = 20.0):
    """Send numbered packets one per period; return (number, time of arrival) in order."""
    channel, out = FaultyChannel("states", seed=5), []
    for index, packet in enumerate(packets(count)):
        now = index * period
        out += [(number, now) for number in numbers(channel.pass_through(plan, now, [packet]))]
    end = count * period + tail
    return out + [(n, end) for n in numbers(channel.pass_through(plan, end, []))]


def test_no_fault_is_a_perfect_channel() -> None:
    assert [number for number, _ in transmit(FaultPlan())] == list(range(COUNT))


@pytest.mark.parametrize("loss", [0.05, 0.3])
def test_loss_has_its_rate(loss: float) -> None:
    arrived = [number for number, _ in transmit(FaultPlan(loss=loss))]
    assert len(arrived) == pytest.approx(COUNT * (1 - loss), rel=0.03)
    assert arrived == sorted(set(arrived))


def test_full_loss_lets_nothing_through() -> None:
    assert transmit(FaultPlan(loss=1.0)) == []


def test_delay_shifts_every_packet_and_keeps_order() -> None:
    arrived = transmit(FaultPlan(delay_s=0.0105))
    assert [number for number, _ in arrived] == list(range(COUNT))
    delays = [now - number * 0.002 for number, now in arrived[: COUNT // 2]]
    assert min(delays) >= 0.0105
    assert max(delays) < 0.0105 + 0.0021


def test_duplicates_arrive_twice_in_a_row() -> None:
    arrived = [number for number, _ in transmit(FaultPlan(duplicate=1.0))]
    assert arrived == [number for number in range(COUNT) for _ in (0, 1)]


def test_reordering_swaps_neighbours_and_loses_nothing() -> None:
    arrived = [number for number, _ in transmit(FaultPlan(reorder=0.3), tail=0.0)]
    assert set(range(COUNT - 1)) <= set(arrived)
    assert len(arrived) == len(set(arrived))
    late = [i for i in range(len(arrived) - 1) if arrived[i] > arrived[i + 1]]
    assert len(late) > COUNT / 10
    assert all(arrived[i] == arrived[i + 1] + 1 for i in late)


def test_a_corrupted_state_is_always_noticed() -> None:
    datagram = encode_low_state(LowState())
    channel = FaultyChannel("states", seed=3)
    for _ in range(500):
        (changed,) = channel.pass_through(FaultPlan(corrupt=1.0), 0.0, [datagram])
        assert sum((a ^ b).bit_count() for a, b in zip(changed, datagram, strict=True)) == 1
        with pytest.raises(ChecksumError):
            decode_low_state(changed)


def test_the_other_direction_is_spared() -> None:
    plan = FaultPlan(loss=1.0, direction="commands")
    assert len(transmit(plan)) == COUNT
    assert FaultyChannel("commands").pass_through(plan, 0.0, packets(5)) == []


def test_held_packets_leave_after_the_fault_has_ended() -> None:
    channel = FaultyChannel("states")
    first, second, third = packets(3)
    assert channel.pass_through(FaultPlan(delay_s=1.0), 0.0, [first]) == []
    assert channel.pass_through(FaultPlan(reorder=1.0), 0.1, [second]) == []
    assert channel.pass_through(FaultPlan(), 0.2, [third]) == [third, second]
    assert channel.pass_through(FaultPlan(), 1.1, []) == [first]
    assert channel.pass_through(FaultPlan(), 1.2, packets(3)) == packets(3)


def test_the_same_seed_throws_the_same_dice() -> None:
    plan = FaultPlan(loss=0.3, jitter_s=0.01, duplicate=0.2, reorder=0.1)
    assert transmit(plan) == transmit(plan)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": 1.5}, "loss is 1.5; allowed: 0 to 1"),
        ({"corrupt": float("nan")}, "corrupt is nan"),
        ({"delay_s": -1.0}, "delay_s is -1.0"),
        ({"hot_temperature": 200.0}, "hot_temperature is 200.0"),
        ({"direction": "up"}, "direction is 'up'; allowed: states, commands, both"),
        ({"hot_motor": "FL_elbow"}, "hot_motor is 'FL_elbow'; allowed: empty or FL_hip_joint"),
        ({"lost_motor": "x"}, "lost_motor is 'x'"),
    ],
)
def test_impossible_plans_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FaultPlan(**values)
