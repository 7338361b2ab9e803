"""The wire protocol against datagrams that the vendor's SDK produced."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest
from sdk_vectors import MOTORS_POLICY_FROM_SDK, load

from aliengo_bridge import crc, protocol
from aliengo_bridge.messages import LowCommand, LowState

VECTORS = load()
COMMANDS = ["command_initial", "command_distinct", "command_stand"]
STATES = ["state_distinct", "state_stand"]
Message = LowCommand | LowState


def assert_same(actual: Message, expected: Message, *, skip: tuple[str, ...] = ()) -> None:
    for name in (item.name for item in fields(expected)):
        if name not in skip:
            np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), name)


@pytest.mark.parametrize("name", COMMANDS)
def test_encoded_command_equals_the_sdks_bytes(name: str) -> None:
    assert protocol.encode_low_command(VECTORS[name].command()) == VECTORS[name].datagram


@pytest.mark.parametrize("name", STATES)
def test_decoded_state_equals_what_the_sdk_decoded(name: str) -> None:
    vector = VECTORS[name]
    assert_same(protocol.decode_low_state(vector.datagram), vector.state())


@pytest.mark.parametrize("name", STATES)
def test_encoded_state_equals_the_captured_bytes(name: str) -> None:
    assert protocol.encode_low_state(VECTORS[name].state()) == VECTORS[name].datagram


@pytest.mark.parametrize("name", COMMANDS)
def test_decoded_command_is_what_was_commanded_within_the_wire_resolution(name: str) -> None:
    vector = VECTORS[name]
    decoded, commanded = protocol.decode_low_command(vector.datagram), vector.command()
    assert_same(decoded, commanded, skip=("tau", "kp", "kd"))
    for field, step in {"tau": 1 / 256, "kp": 1 / 32, "kd": 1 / 16}.items():
        error = np.abs(getattr(commanded, field)) - np.abs(getattr(decoded, field))
        assert ((error >= 0) & (error < step)).all(), field


def test_values_too_large_are_clamped_where_the_sdk_wraps() -> None:
    command = VECTORS["command_overflow"].command()
    ours = protocol.decode_low_command(protocol.encode_low_command(command))
    sdk = protocol.decode_low_command(VECTORS["command_overflow"].datagram)
    for field, scale in {"tau": 256, "kp": 32, "kd": 16}.items():
        wanted, sent = getattr(command, field), getattr(ours, field)
        top, bottom = 32767 / scale, -32768 / scale
        fits = (wanted <= top) & (wanted >= bottom)
        assert not fits.all(), field
        np.testing.assert_array_equal(sent[fits], getattr(sdk, field)[fits])
        np.testing.assert_array_equal(sent[~fits], np.clip(wanted, bottom, top)[~fits])


def test_order_permutation_is_its_own_inverse() -> None:
    identity = np.arange(12)
    order = protocol.SDK_FROM_POLICY
    np.testing.assert_array_equal(order[order], identity)
    np.testing.assert_array_equal(order, MOTORS_POLICY_FROM_SDK[:12])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("field", ["q", "dq", "tau", "kp", "kd"])
def test_a_command_that_is_not_finite_is_refused(field: str, value: float) -> None:
    command = LowCommand()
    getattr(command, field)[7] = value
    with pytest.raises(protocol.NotFiniteError, match=re.escape(f"{field}[7] is {value},")):
        protocol.encode_low_command(command)


def test_integers_that_do_not_fit_are_refused() -> None:
    command = LowCommand()
    command.mode = np.full(20, 256)
    with pytest.raises(protocol.ProtocolError, match=r"mode must hold integers in \[0, 255\]"):
        protocol.encode_low_command(command)


def test_wrong_shape_names_the_field_and_both_shapes() -> None:
    command = LowCommand()
    command.q = np.zeros(12)
    with pytest.raises(protocol.ProtocolError, match=r"q has shape \(12,\), expected \(20,\)"):
        protocol.encode_low_command(command)


@pytest.mark.parametrize("size", [0, 1, 244, 610, 770, 772, 891])
def test_state_of_wrong_length_is_refused(size: int) -> None:
    with pytest.raises(protocol.LengthError, match=f"{size} bytes, expected 771"):
        protocol.decode_low_state(bytes(size))


def test_every_protected_byte_is_protected() -> None:
    datagram = VECTORS["state_distinct"].datagram
    for index in [*range(764), *range(767, 771)]:
        broken = bytearray(datagram)
        broken[index] ^= 0x40
        with pytest.raises(protocol.ChecksumError):
            protocol.decode_low_state(bytes(broken))


@pytest.mark.parametrize("index", [764, 765, 766])
def test_the_three_bytes_outside_the_crc_are_outside_it(index: int) -> None:
    changed = bytearray(VECTORS["state_distinct"].datagram)
    changed[index] ^= 0xFF
    state = protocol.decode_low_state(bytes(changed))
    assert state.reserve != VECTORS["state_distinct"].state().reserve


def test_fast_crc_equals_the_bitwise_definition() -> None:
    rng = np.random.default_rng(0)
    for words in (1, 2, 27, 60):
        data = rng.bytes(4 * words)
        register = 0xFFFFFFFF
        for word in np.frombuffer(data, "<u4").tolist():
            for bit in range(31, -1, -1):
                top = (register >> 31) ^ ((word >> bit) & 1)
                register = (register << 1) & 0xFFFFFFFF
                if top:
                    register ^= 0x04C11DB7
        assert crc.crc32_words(data) == register


def test_crc_refuses_broken_words() -> None:
    with pytest.raises(ValueError, match="got 3 bytes"):
        crc.crc32_words(b"abc")


def test_damping_switches_the_position_loop_off() -> None:
    sent = protocol.encode_low_command(protocol.damping_command(5.0))
    command = protocol.decode_low_command(sent)
    np.testing.assert_array_equal(command.q[:12], np.float32(protocol.POSITION_STOP))
    np.testing.assert_array_equal(command.kp, 0.0)
    np.testing.assert_array_equal(command.dq[:12], 0.0)
    np.testing.assert_array_equal(command.kd[:12], 5.0)
    np.testing.assert_array_equal(command.kd[12:], 0.0)
    assert command.level_flag == 0xFF
