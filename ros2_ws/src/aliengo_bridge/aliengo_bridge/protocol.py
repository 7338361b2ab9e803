"""The Aliengo's low-level UDP protocol: datagrams to typed values and back.

The layouts are those that Unitree's SDK v3.8.4 (branch Aliengo) puts on the wire. They are not its
C structs: of every motor three floats travel as 16-bit integers. Two things happen here and nowhere
else:

* **Order.** The robot counts its legs FR, FL, RR, RL; all other code of this project counts FL, FR,
  RL, RR ("policy order"). Encoding and decoding permute motors and foot forces. Motor slots 12-19
  are unused by this robot and keep their place.
* **Compression.** The SDK lets an integer overflow wrap around (a torque of +128 N m leaves as
  -128 N m). Here a value too large for its field is clamped, and NaN or infinity anywhere in a
  datagram to be sent is refused.

This module runs on Python 3.8, because the vendor ships its binding for that version.
"""

from __future__ import annotations

import numpy as np

from aliengo_bridge.crc import datagram_crc
from aliengo_bridge.messages import (
    JOINT_COUNT,
    LEVEL_HIGH,
    LEVEL_LOW,
    MODE_BRAKE,
    MODE_OVERHEATED,
    MODE_SERVO,
    MOTOR_COUNT,
    POSITION_STOP,
    VELOCITY_STOP,
    LowCommand,
    LowState,
    damping_command,
)

__all__ = [
    "FEET_POLICY_FROM_SDK",
    "HIGH_STATE_SIZE",
    "JOINT_COUNT",
    "LEVEL_HIGH",
    "LEVEL_LOW",
    "LOW_COMMAND_DTYPE",
    "LOW_COMMAND_SIZE",
    "LOW_STATE_DTYPE",
    "LOW_STATE_SIZE",
    "MODE_BRAKE",
    "MODE_OVERHEATED",
    "MODE_SERVO",
    "MOTOR_COUNT",
    "POSITION_STOP",
    "SDK_FROM_POLICY",
    "VELOCITY_STOP",
    "ChecksumError",
    "LengthError",
    "LowCommand",
    "LowState",
    "NotFiniteError",
    "ProtocolError",
    "as_sent",
    "damping_command",
    "decode_low_command",
    "decode_low_state",
    "encode_low_command",
    "encode_low_state",
]

TAU_SCALE, KP_SCALE, KD_SCALE = 256.0, 32.0, 16.0
"""Counts per N m, per N m/rad and per N m s/rad in the compressed fields."""

_SDK_LEGS = ("FR", "FL", "RR", "RL")
_POLICY_LEGS = ("FL", "FR", "RL", "RR")
_LEGS = np.array([_POLICY_LEGS.index(leg) for leg in _SDK_LEGS])
_MOTORS = np.concatenate([(3 * _LEGS[:, None] + np.arange(3)).ravel(), np.arange(12, MOTOR_COUNT)])
SDK_FROM_POLICY = _MOTORS[:JOINT_COUNT].copy()
"""Index array (12,): `sdk = policy[SDK_FROM_POLICY]`; swapping sides is its own inverse."""
FEET_POLICY_FROM_SDK = np.argsort(_LEGS)
"""Index array (4,): `policy = sdk[FEET_POLICY_FROM_SDK]`."""
for _array in (_LEGS, FEET_POLICY_FROM_SDK, _MOTORS, SDK_FROM_POLICY):
    _array.setflags(write=False)

_HEADER = [
    ("level_flag", "u1"),
    ("comm_version", "<u2"),
    ("robot_id", "<u2"),
    ("sn", "<u4"),
    ("band_width", "u1"),
]
_TRAILER = [("wireless_remote", "u1", (40,)), ("reserve", "<u4"), ("crc", "<u4")]
_MOTOR_COMMAND = np.dtype(
    [
        ("mode", "u1"),
        ("q", "<f4"),
        ("dq", "<f4"),
        ("tau", "<i2"),
        ("kp", "<i2"),
        ("kd", "<i2"),
        ("reserve", "<u4", (3,)),
    ]
)
_MOTOR_STATE = np.dtype(
    [
        ("mode", "u1"),
        ("q", "<f4"),
        ("dq", "<f4"),
        ("ddq", "<i2"),
        ("tau_est", "<i2"),
        ("q_raw", "<f4"),
        ("dq_raw", "<f4"),
        ("ddq_raw", "<i2"),
        ("temperature", "i1"),
        ("reserve", "<u4", (2,)),
    ]
)
LOW_COMMAND_DTYPE = np.dtype(
    [*_HEADER, ("motor", _MOTOR_COMMAND, (MOTOR_COUNT,)), ("led", "u1", (4, 3)), *_TRAILER]
)
LOW_STATE_DTYPE = np.dtype(
    [
        *_HEADER,
        ("quaternion", "<f4", (4,)),
        ("gyroscope", "<f4", (3,)),
        ("accelerometer", "<f4", (3,)),
        ("rpy", "<f4", (3,)),
        ("imu_temperature", "i1"),
        ("motor", _MOTOR_STATE, (MOTOR_COUNT,)),
        ("foot_force", "<i2", (4,)),
        ("foot_force_est", "<i2", (4,)),
        ("tick", "<u4"),
        *_TRAILER,
    ]
)
HIGH_STATE_SIZE = 244
"""Length of the state that the robot sends in the vendor's high-level (sport) mode."""
LOW_COMMAND_SIZE = 610
LOW_STATE_SIZE = 771
if (LOW_COMMAND_DTYPE.itemsize, LOW_STATE_DTYPE.itemsize) != (LOW_COMMAND_SIZE, LOW_STATE_SIZE):
    raise AssertionError("the datagram layouts were edited: their sizes are fixed by the robot")


class ProtocolError(ValueError):
    """A datagram, or a value meant for one, breaks the protocol."""


class LengthError(ProtocolError):
    """A datagram has the wrong number of bytes."""


class ChecksumError(ProtocolError):
    """A datagram's CRC does not match its content."""


class NotFiniteError(ProtocolError):
    """A value to be sent is NaN or infinite, or becomes so as a 32-bit float."""


_HEADER_FIELDS = ("level_flag", "comm_version", "robot_id", "sn", "band_width", "reserve")
_HEADER_LIMITS = {name: int(np.iinfo(LOW_COMMAND_DTYPE[name]).max) for name in _HEADER_FIELDS}
_COMMAND_SCALES = np.array([[TAU_SCALE], [KP_SCALE], [KD_SCALE]])
_STATE_SCALES = np.array([[1.0], [TAU_SCALE], [1.0]])
_IMU_FIELDS = ("quaternion", "gyroscope", "accelerometer", "rpy")


def encode_low_command(command: LowCommand) -> bytes:
    """Return the 610-byte datagram for a command.

    Raises:
        NotFiniteError: If a target or gain is NaN or infinite as a 32-bit float.
        ProtocolError: If an array has the wrong shape or an integer does not fit its field.
    """
    record = np.zeros((), dtype=LOW_COMMAND_DTYPE)
    motors = record["motor"]
    _put_floats(motors, command, ("q", "dq"))
    _put_counts(motors, command, ("tau", "kp", "kd"), _COMMAND_SCALES)
    _put_integers(motors, command, {"mode": "mode", "reserve": "motor_reserve"}, _MOTORS)
    _put_integers(record, command, {"led": "led", "wireless_remote": "wireless_remote"})
    return _seal(record, command)


def decode_low_command(datagram: bytes) -> LowCommand:
    """Return the command in a datagram, as the robot would read it.

    Raises:
        LengthError: If the datagram does not have 610 bytes.
        ChecksumError: If its CRC is wrong.
    """
    record = _open(datagram, LOW_COMMAND_DTYPE)
    with np.errstate(invalid="ignore"):
        return _command(record)


def _command(record: np.ndarray) -> LowCommand:
    motors = record["motor"][_MOTORS]
    return LowCommand(
        mode=motors["mode"].copy(),
        q=motors["q"].astype(np.float64),
        dq=motors["dq"].astype(np.float64),
        tau=motors["tau"] / TAU_SCALE,
        kp=motors["kp"] / KP_SCALE,
        kd=motors["kd"] / KD_SCALE,
        motor_reserve=motors["reserve"].copy(),
        led=record["led"].copy(),
        wireless_remote=record["wireless_remote"].copy(),
        **_header(record),
    )


def as_sent(command: LowCommand) -> LowCommand:
    """Return the command as a robot would read it: clamped to and rounded by the wire's integers.

    Raises:
        NotFiniteError: If a target or gain is NaN or infinite as a 32-bit float.
        ProtocolError: If an array has the wrong shape or an integer does not fit its field.
    """
    return decode_low_command(encode_low_command(command))


def encode_low_state(state: LowState) -> bytes:
    """Return the 771-byte datagram for a state, as the robot would send it.

    Raises:
        NotFiniteError: If a measurement is NaN or infinite as a 32-bit float.
        ProtocolError: If an array has the wrong shape or an integer does not fit its field.
    """
    record = np.zeros((), dtype=LOW_STATE_DTYPE)
    motors = record["motor"]
    _put_floats(motors, state, ("q", "dq", "q_raw", "dq_raw"))
    _put_counts(motors, state, ("ddq", "tau_est", "ddq_raw"), _STATE_SCALES)
    for name in _IMU_FIELDS:
        record[name] = _finite_float32((name,), state, record[name].shape)[0]
    motor_integers = {"mode": "mode", "temperature": "temperature", "reserve": "motor_reserve"}
    _put_integers(motors, state, motor_integers, _MOTORS)
    feet = {"foot_force": "foot_force", "foot_force_est": "foot_force_est"}
    _put_integers(record, state, feet, _LEGS)
    rest = ("wireless_remote", "imu_temperature", "tick")
    _put_integers(record, state, {name: name for name in rest})
    return _seal(record, state)


def decode_low_state(datagram: bytes) -> LowState:
    """Return the state in a datagram.

    Floats are taken as they are: NaN passes, for the supervisor to judge.

    Raises:
        LengthError: If the datagram does not have 771 bytes.
        ChecksumError: If its CRC is wrong.
    """
    record = _open(datagram, LOW_STATE_DTYPE)
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN like any other
        return _state(record)


def _state(record: np.ndarray) -> LowState:
    motors = record["motor"][_MOTORS]
    return LowState(
        mode=motors["mode"].copy(),
        q=motors["q"].astype(np.float64),
        dq=motors["dq"].astype(np.float64),
        ddq=motors["ddq"].astype(np.float64),
        tau_est=motors["tau_est"] / TAU_SCALE,
        q_raw=motors["q_raw"].astype(np.float64),
        dq_raw=motors["dq_raw"].astype(np.float64),
        ddq_raw=motors["ddq_raw"].astype(np.float64),
        temperature=motors["temperature"].copy(),
        motor_reserve=motors["reserve"].copy(),
        quaternion=record["quaternion"].astype(np.float64),
        gyroscope=record["gyroscope"].astype(np.float64),
        accelerometer=record["accelerometer"].astype(np.float64),
        rpy=record["rpy"].astype(np.float64),
        imu_temperature=int(record["imu_temperature"]),
        foot_force=record["foot_force"][_LEGS],
        foot_force_est=record["foot_force_est"][_LEGS],
        tick=int(record["tick"]),
        wireless_remote=record["wireless_remote"].copy(),
        **_header(record),
    )


def _put_floats(motors: np.ndarray, source: object, names: tuple[str, ...]) -> None:
    values = _finite_float32(names, source, (MOTOR_COUNT,))[:, _MOTORS]
    for name, row in zip(names, values):  # noqa: B905 - Python 3.8 has no `strict`
        motors[name] = row


def _put_counts(
    motors: np.ndarray, source: object, names: tuple[str, ...], scales: np.ndarray
) -> None:
    values = _finite_float32(names, source, (MOTOR_COUNT,))[:, _MOTORS]
    # In float64, because a float32 product may overflow before the clamp. The SDK truncates.
    counts = np.trunc(values.astype(np.float64) * scales)
    counts = np.minimum(np.maximum(counts, -32768.0), 32767.0)
    for name, row in zip(names, counts):  # noqa: B905
        motors[name] = row


def _put_integers(
    record: np.ndarray,
    source: object,
    names: dict[str, str],
    order: np.ndarray | None = None,
) -> None:
    for target, name in names.items():
        values = np.asarray(getattr(source, name))
        slot = record[target]
        if values.shape != slot.shape:
            raise ProtocolError(f"{name} has shape {values.shape}, expected {slot.shape}")
        if values.dtype != slot.dtype:
            limits = np.iinfo(slot.dtype)
            fits = (
                values.dtype.kind in "iu"
                and not ((values < limits.min) | (values > limits.max)).any()
            )
            if not fits:
                raise ProtocolError(
                    f"{name} must hold integers in [{limits.min}, {limits.max}], "
                    f"found {values.tolist()}"
                )
        record[target] = values if order is None else values[order]


def _finite_float32(names: tuple[str, ...], source: object, shape: tuple[int, ...]) -> np.ndarray:
    """Return the named arrays as rows of one float32 array, all finite."""
    single = np.empty((len(names), *shape), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for row, name in enumerate(names):
            values = getattr(source, name)
            if np.shape(values) != shape:
                raise ProtocolError(f"{name} has shape {np.shape(values)}, expected {shape}")
            single[row] = values
    finite = np.isfinite(single)
    if not finite.all():
        row, index = (int(i) for i in np.argwhere(~finite)[0])
        raise NotFiniteError(
            f"{names[row]}[{index}] is {getattr(source, names[row])[index]}, "
            "only finite float32 values can be sent"
        )
    return single


def _seal(record: np.ndarray, source: object) -> bytes:
    for name, highest in _HEADER_LIMITS.items():
        value = getattr(source, name)
        if not 0 <= value <= highest:
            raise ProtocolError(f"{name} is {value}, allowed are 0 to {highest}")
        record[name] = value
    record["crc"] = datagram_crc(record.tobytes())
    return record.tobytes()


def _open(datagram: bytes, dtype: np.dtype) -> np.ndarray:
    if len(datagram) != dtype.itemsize:
        raise LengthError(f"datagram has {len(datagram)} bytes, expected {dtype.itemsize}")
    record: np.ndarray = np.frombuffer(datagram, dtype=dtype, count=1)[0]
    expected = datagram_crc(datagram)
    if record["crc"] != expected:
        raise ChecksumError(
            f"datagram carries CRC {record['crc']:#010x}, its content has {expected:#010x}"
        )
    return record


def _header(record: np.ndarray) -> dict[str, int]:
    return {name: int(record[name]) for name in _HEADER_FIELDS}
