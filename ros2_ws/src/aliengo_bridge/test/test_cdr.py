"""The CDR layouts against the serialisation of the ROS 2 that is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sdk_vectors import load

from aliengo_bridge.cdr import (
    LOW_CMD_CDR,
    LOW_STATE_CDR,
    LowStateEncoder,
    commander_in,
    decode_low_cmd,
    encode_low_cmd,
    same_content,
)
from aliengo_bridge.messages import LowCommand, LowState

serialization = pytest.importorskip("rclpy.serialization")
msgs = pytest.importorskip("unitree_legged_msgs.msg")

VECTORS = load()
HEADER = ("level_flag", "comm_version", "robot_id", "sn", "band_width", "reserve")


def filled(message: Any, source: LowCommand | LowState, motors: str, names: list[str]) -> Any:
    for name in HEADER:
        setattr(message, name, getattr(source, name))
    message.wireless_remote = source.wireless_remote
    for i, motor in enumerate(getattr(message, motors)):
        for name in names:
            setattr(motor, name, getattr(source, name)[i].item())
        motor.reserve = source.motor_reserve[i]
    return message


def as_message(state: LowState) -> Any:
    names = ["mode", "q", "dq", "ddq", "tau_est", "q_raw", "dq_raw", "ddq_raw", "temperature"]
    message = filled(msgs.LowState(), state, "motor_state", names)
    for name in ("quaternion", "gyroscope", "accelerometer", "rpy"):
        setattr(message.imu, name, getattr(state, name).astype(np.float32))
    message.imu.temperature = state.imu_temperature
    message.foot_force, message.foot_force_est = state.foot_force, state.foot_force_est
    message.tick = state.tick
    return message


def test_a_state_is_serialised_as_the_middleware_does() -> None:
    state = VECTORS["state_distinct"].state()
    state.motor_reserve = state.motor_reserve.astype(np.uint32)
    expected = serialization.serialize_message(as_message(state))
    encoder = LowStateEncoder()
    encoder.encode(VECTORS["state_stand"].state())  # nothing of an earlier state may stay
    assert same_content(encoder.encode(state), expected, LOW_STATE_CDR)
    state.q[19] += 1.0
    assert not same_content(encoder.encode(state), expected, LOW_STATE_CDR)


def test_a_command_is_read_as_the_middleware_wrote_it() -> None:
    command = VECTORS["command_distinct"].command()
    message = filled(msgs.LowCmd(), command, "motor_cmd", ["mode", "q", "dq", "tau", "kp", "kd"])
    for ours, led in zip(command.led.tolist(), message.led, strict=True):
        led.r, led.g, led.b = ours
    data = serialization.serialize_message(message)
    decoded = decode_low_cmd(data)
    for name in ("mode", "q", "dq", "tau", "kp", "kd", "motor_reserve", "led", "wireless_remote"):
        np.testing.assert_array_equal(getattr(decoded, name), getattr(command, name), name)
    assert same_content(encode_low_cmd(command), data, LOW_CMD_CDR)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x00\x00", bytes(796), b"\x00" * 100])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"low_cmd has {len(data)} bytes"):
        decode_low_cmd(data)


def test_a_commander_is_known_by_his_number() -> None:
    def sent_with(number: int) -> bytes:
        return bytes(serialization.serialize_message(msgs.LowCmd(sn=number)))

    assert commander_in(sent_with(0x01020304)) == bytes([4, 3, 2, 1])
    assert commander_in(sent_with(256)) == bytes([0, 1, 0, 0])
    assert commander_in(sent_with(0)) == b""
    # The number is between nodes: what goes to the robot is the bridge's matter.
    assert decode_low_cmd(sent_with(7)).sn == 0
