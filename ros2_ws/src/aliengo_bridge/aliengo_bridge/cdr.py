"""`LowState` and `LowCmd` as they travel through ROS 2, without the message classes.

A message object with twenty nested motors is slow to fill and to convert; at 500 Hz that alone
takes a good part of a core. DDS carries it as CDR, whose layout for these two messages is fixed;
here it is a NumPy record that is filled with a few array copies. rclpy publishes such bytes as they
are, and hands them out when a subscription is raw. The node compares the layout with its
middleware's own serialisation when it starts.
"""

from __future__ import annotations

import numpy as np

from aliengo_bridge.messages import MOTOR_COUNT, LowCommand, LowState

__all__ = ["LOW_CMD_CDR", "LOW_STATE_CDR", "LowStateEncoder", "check_low_cmd", "commander_in"]
__all__ += ["decode_low_cmd", "encode_low_cmd", "same_content"]

CDR_LITTLE_ENDIAN = b"\x00\x01\x00\x00"


def _layout(fields: dict[str, tuple[object, int]], size: int) -> np.dtype:
    """Return a record type from formats and offsets; what lies between the fields is padding."""
    return np.dtype(
        {
            "names": list(fields),
            "formats": [form for form, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": size,
        }
    )


def _message(fields: dict[str, tuple[object, int]], size: int) -> np.dtype:
    """Return the layout of a message, with offsets and size counted from behind the four bytes."""
    moved = {name: (form, 4 + offset) for name, (form, offset) in fields.items()}
    return _layout({"encapsulation": (("u1", (4,)), 0), **moved}, 4 + size)


# CDR aligns every number to its own size. A motor begins with one byte, its mode, which therefore
# follows whatever came before without padding: behind the first motor's it is padded by two bytes,
# behind the others' by three. So a motor is taken to begin with its floats, and to end with the
# mode of the next one.
_HEADER = {
    "level_flag": ("u1", 0),
    "comm_version": ("<u2", 2),
    "robot_id": ("<u2", 4),
    "sn": ("<u4", 8),
    "band_width": ("u1", 12),
}
_STATE_FLOATS = ("q", "dq", "ddq", "tau_est", "q_raw", "dq_raw", "ddq_raw")
_COMMAND_FLOATS = ("q", "dq", "tau", "kp", "kd")
_MOTOR_STATE = _layout(
    {
        **{name: ("<f4", 4 * i) for i, name in enumerate(_STATE_FLOATS)},
        "temperature": ("i1", 28),
        "reserve": (("<u4", (2,)), 32),
        "next_mode": ("u1", 40),
    },
    44,
)
_MOTOR_CMD = _layout(
    {
        **{name: ("<f4", 4 * i) for i, name in enumerate(_COMMAND_FLOATS)},
        "reserve": (("<u4", (3,)), 20),
        "next_mode": ("u1", 32),
    },
    36,
)
LOW_STATE_CDR = _message(
    {
        **_HEADER,
        "quaternion": (("<f4", (4,)), 16),
        "gyroscope": (("<f4", (3,)), 32),
        "accelerometer": (("<f4", (3,)), 44),
        "rpy": (("<f4", (3,)), 56),
        "imu_temperature": ("i1", 68),
        "first_mode": ("u1", 69),
        "motor": ((_MOTOR_STATE, (MOTOR_COUNT,)), 72),
        "foot_force": (("<i2", (4,)), 948),
        "foot_force_est": (("<i2", (4,)), 956),
        "tick": ("<u4", 964),
        "wireless_remote": (("u1", (40,)), 968),
        "reserve": ("<u4", 1008),
        "crc": ("<u4", 1012),
    },
    1016,
)
LOW_CMD_CDR = _message(
    {
        **_HEADER,
        "first_mode": ("u1", 13),
        "motor": ((_MOTOR_CMD, (MOTOR_COUNT,)), 16),
        "led": (("u1", (4, 3)), 732),
        "wireless_remote": (("u1", (40,)), 744),
        "reserve": ("<u4", 784),
        "crc": ("<u4", 788),
    },
    792,
)

_SN_AT = 4 + _HEADER["sn"][1]  # behind the encapsulation
_HEADER_FIELDS = (*_HEADER, "reserve")
_IMU_FIELDS = ("quaternion", "gyroscope", "accelerometer", "rpy", "imu_temperature")
_STATE_REST = ("foot_force", "foot_force_est", "tick", "wireless_remote")


class LowStateEncoder:
    """Serialises states into memory that is allocated once."""

    def __init__(self) -> None:
        self._array = _empty(LOW_STATE_CDR)
        self._record = self._array[0]
        self._motors = self._record["motor"]

    def encode(self, state: LowState) -> bytes:
        """Return the serialised `unitree_legged_msgs/LowState`, in policy order."""
        record, motors = self._record, self._motors
        for name in (*_STATE_FLOATS, "temperature"):
            motors[name] = getattr(state, name)
        motors["reserve"] = state.motor_reserve
        _put_modes(record, state.mode)
        for name in (*_HEADER_FIELDS, *_IMU_FIELDS, *_STATE_REST):
            record[name] = getattr(state, name)
        return self._array.tobytes()


def encode_low_cmd(command: LowCommand) -> bytes:
    """Return the serialised `unitree_legged_msgs/LowCmd`, in policy order."""
    array = _empty(LOW_CMD_CDR)
    record = array[0]
    motors = record["motor"]
    for name in _COMMAND_FLOATS:
        motors[name] = getattr(command, name)
    motors["reserve"] = command.motor_reserve
    _put_modes(record, command.mode)
    for name in (*_HEADER_FIELDS, "led", "wireless_remote"):
        record[name] = getattr(command, name)
    return array.tobytes()


def check_low_cmd(data: bytes) -> None:
    """Refuse what cannot be a serialised `unitree_legged_msgs/LowCmd`.

    Raises:
        ValueError: If the length or the encoding is another.
    """
    if len(data) < LOW_CMD_CDR.itemsize or data[:2] != CDR_LITTLE_ENDIAN[:2]:
        raise ValueError(
            f"low_cmd has {len(data)} bytes starting with {data[:2].hex()}, expected "
            f"{LOW_CMD_CDR.itemsize} starting with {CDR_LITTLE_ENDIAN[:2].hex()}"
        )


def commander_in(data: bytes) -> bytes:
    """Return the number that the sender of a checked `unitree_legged_msgs/LowCmd` gave himself.

    Four bytes, or none if he has no number; see the message.
    """
    number = bytes(data[_SN_AT : _SN_AT + 4])
    return number if any(number) else b""


def decode_low_cmd(data: bytes) -> LowCommand:
    """Return the command in a serialised `unitree_legged_msgs/LowCmd`, in policy order.

    The header is not taken over: whether and how the robot is driven is the supervisor's matter.

    Raises:
        ValueError: If the bytes are not a little-endian CDR of that message.
    """
    check_low_cmd(data)
    record = np.frombuffer(data, dtype=LOW_CMD_CDR, count=1)[0]
    motors = record["motor"]
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN like any other
        floats = {name: motors[name].astype(np.float64) for name in _COMMAND_FLOATS}
    return LowCommand(
        mode=np.concatenate(([record["first_mode"]], motors["next_mode"][:-1])),
        **floats,
        motor_reserve=motors["reserve"].copy(),
        led=record["led"].copy(),
        wireless_remote=record["wireless_remote"].copy(),
    )


def same_content(first: bytes, second: bytes, layout: np.dtype) -> bool:
    """Return whether two serialised messages are equal, whatever stands in their padding."""
    if not (len(first) == len(second) == layout.itemsize):
        return False
    return bool(np.frombuffer(first, dtype=layout) == np.frombuffer(second, dtype=layout))


def _empty(dtype: np.dtype) -> np.ndarray:
    array = np.zeros(1, dtype=dtype)
    array["encapsulation"] = np.frombuffer(CDR_LITTLE_ENDIAN, dtype=np.uint8)
    return array


def _put_modes(record: np.void, modes: np.ndarray) -> None:
    # The last motor's "next mode" lies on what follows the motors, which is written afterwards.
    record["first_mode"] = modes[0]
    record["motor"]["next_mode"][:-1] = modes[1:]
