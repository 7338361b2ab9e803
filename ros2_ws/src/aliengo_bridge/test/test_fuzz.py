"""Random input to the parser and the supervisor: no crash, and nothing acted on that is not valid.

The number of cases is moderate; set ALIENGO_FUZZ_CASES=100000 for a long run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from fake_robots import UdpRobot, lying_state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdk_vectors import load
from test_safety import Bench

from aliengo_bridge import protocol
from aliengo_bridge.cdr import LOW_CMD_CDR, decode_low_cmd
from aliengo_bridge.checks import command_problem
from aliengo_bridge.crc import datagram_crc
from aliengo_bridge.faults import Fault
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links.udp import UdpLink
from aliengo_bridge.messages import LowCommand, LowState
from aliengo_bridge.remote import decode_remote
from aliengo_bridge.safety import Mode
from aliengo_bridge.shaping import CommandShaper
from aliengo_description import robot

CASES = int(os.environ.get("ALIENGO_FUZZ_CASES", "500"))
VECTORS = load()
fuzz = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=CASES == 500,
    suppress_health_check=list(HealthCheck),
)
anything = st.floats(allow_nan=True, allow_infinity=True, width=32)


def joints(low: float, high: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=12, max_size=12)


whatever = st.lists(anything, min_size=12, max_size=12)
# Half of them near what is allowed, so that many are accepted: anything at all hardly ever is.
commands = st.one_of(
    st.fixed_dictionaries(dict.fromkeys(("q", "dq", "tau", "kp", "kd"), whatever)),
    st.fixed_dictionaries(
        {
            "q": joints(-1.0, 1.0).map(lambda row: (robot.STAND_JOINT_POSITIONS + row).tolist()),
            "dq": joints(-30.0, 30.0),
            "tau": joints(-60.0, 60.0),
            "kp": joints(0.0, 130.0),
            "kd": joints(0.0, 11.0),
        }
    ),
)


def sealed(content: bytes) -> bytes:
    return content[:-4] + datagram_crc(content).to_bytes(4, "little")


@fuzz
@given(st.binary(max_size=1000))
def test_random_bytes_are_never_a_datagram(data: bytes) -> None:
    for decode in (protocol.decode_low_state, protocol.decode_low_command):
        with pytest.raises(protocol.ProtocolError):
            decode(data)


@fuzz
@given(st.binary(min_size=771, max_size=771), st.binary(min_size=610, max_size=610))
def test_any_content_with_a_right_checksum_is_read_and_judged(state: bytes, command: bytes) -> None:
    decoded = protocol.decode_low_state(sealed(state))
    decode_remote(decoded.wireless_remote)
    bench = Bench()
    bench.state.tick = 0
    bench.supervisor.on_state(decoded)
    decision = bench.supervisor.step(bench.now)
    protocol.encode_low_command(decision.command)
    received = protocol.decode_low_command(sealed(command))
    problem = command_problem(received, SafetyLimits())
    assert problem is None or isinstance(problem[0], Fault)


@fuzz
@given(
    st.sampled_from(["state_distinct", "state_stand"]),
    st.integers(0, 763),
    st.integers(1, 255),
)
def test_no_single_changed_byte_goes_unnoticed(name: str, index: int, change: int) -> None:
    datagram = bytearray(VECTORS[name].datagram)
    datagram[index] ^= change
    with pytest.raises(protocol.ChecksumError):
        protocol.decode_low_state(bytes(datagram))


def test_every_command_is_refused_or_sent_within_the_limits() -> None:
    outcomes: set[Mode] = set()

    @fuzz
    @given(commands)
    def check(values: dict[str, list[float]]) -> None:
        command = LowCommand()
        for name, row in values.items():
            getattr(command, name)[:12] = row
        bench = Bench(ownership_check_s=0.1)
        bench.engage()
        bench.supervisor.on_command(command)
        for _ in range(3):
            decision = bench.tick()
            assert_within_limits(decision.command, bench.state)
        outcomes.add(decision.status.mode)

    check()
    assert outcomes >= {Mode.ACTIVE, Mode.DAMPING}  # some were accepted, and some refused


@fuzz
@given(
    joints(-4.0, 5.0),
    joints(-20.0, 20.0),
    joints(-60.0, 60.0),
    joints(0.0, 120.0),
    joints(0.0, 10.0),
    joints(-24.0, 24.0),
)
def test_the_shaper_keeps_torque_and_range(
    q: list[float],
    dq: list[float],
    tau: list[float],
    kp: list[float],
    kd: list[float],
    speed: list[float],
) -> None:
    command, state = LowCommand(), lying_state()
    for name, values in {"q": q, "dq": dq, "tau": tau, "kp": kp, "kd": kd}.items():
        getattr(command, name)[:12] = values
    state.dq[:12] = speed
    shaper = CommandShaper()
    shaper.start(state.q[:12])
    for _ in range(3):
        assert_within_limits(shaper.shape(command, state, SafetyLimits()), state)


@fuzz
@given(st.one_of(st.binary(max_size=900), st.binary(min_size=796, max_size=796)))
def test_any_bytes_on_low_cmd_are_refused_or_judged(data: bytes) -> None:
    data = b"\x00\x01\x00\x00" + data[4:] if len(data) == LOW_CMD_CDR.itemsize else data
    try:
        command = decode_low_cmd(data)
    except ValueError:
        return
    bench = Bench(ownership_check_s=0.1)
    bench.run(0.12)
    bench.supervisor.on_command(command)
    assert_within_limits(bench.tick().command, bench.state)


@pytest.fixture(scope="module")
def connection() -> Iterator[tuple[UdpRobot, UdpLink]]:
    """A robot and a link that are connected; one for all cases."""
    fake = UdpRobot()
    link = UdpLink(fake.choose_client_port(), "127.0.0.1", fake.port)
    link.connect()
    yield fake, link
    link.close()
    fake.close()


@fuzz
@given(st.lists(st.binary(max_size=800), max_size=20))
def test_the_udp_link_hands_out_nothing_of_a_flood_of_junk(
    connection: tuple[UdpRobot, UdpLink], datagrams: list[bytes]
) -> None:
    fake, link = connection
    before = link.counters.crc_errors + link.counters.length_errors
    for datagram in datagrams:
        fake.send_raw(datagram)
    assert link.receive() is None
    counted = link.counters.crc_errors + link.counters.length_errors
    assert counted - before == len(datagrams)


def assert_within_limits(command: LowCommand, state: LowState) -> None:
    """Assert what must hold for whatever leaves the bridge."""
    sent = protocol.as_sent(command)
    held = command.kp[:12] > 0
    measured = state.q[:12]
    lower = np.minimum(robot.SAFE_JOINT_LOWER, measured) - 1e-9
    upper = np.maximum(robot.SAFE_JOINT_UPPER, measured) + 1e-9
    q = command.q[:12]
    assert ((q >= lower) & (q <= upper))[held].all()
    limits = SafetyLimits()
    assert (sent.kp[:12] <= limits.kp_max).all()
    assert (sent.kd[:12] <= limits.kd_max).all()
    position = np.where(held, command.kp[:12] * (q - measured), 0.0)
    torque = position + command.kd[:12] * (command.dq[:12] - state.dq[:12]) + command.tau[:12]
    assert (np.abs(torque) <= robot.TORQUE_LIMITS * (1 + 1e-9)).all()
