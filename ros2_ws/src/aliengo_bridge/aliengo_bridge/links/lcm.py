"""The robot through an `lcm_position` process on the LCM bus.

Users of walk-these-ways run a C++ process that talks to the robot and to LCM. This link takes the
place of their Python side. The layouts below are LCM's encoding: an 8-byte fingerprint of the type,
then the fields without padding, all big-endian; motors and feet in the SDK's order.

What this bus does not carry: motor modes and temperatures, the robot's tick, the letter buttons of
the remote (only which one was pressed last). There is no sender to check: whoever can write to the
bus can pose as the robot, so the default address keeps LCM on this machine (ttl=0). The process on
the other side holds the last target for ever when this one dies; prefer the link `udp`.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from aliengo_bridge.links.base import Link, LinkError
from aliengo_bridge.messages import (
    JOINT_COUNT,
    LEVEL_LOW,
    MODE_BRAKE,
    MODE_SERVO,
    POSITION_STOP,
    VELOCITY_STOP,
    LowCommand,
    LowState,
)
from aliengo_bridge.protocol import FEET_POLICY_FROM_SDK, SDK_FROM_POLICY, as_sent

__all__ = [
    "COMMAND_DTYPE",
    "IMU_DTYPE",
    "JOINT_DTYPE",
    "LCM_COMMAND",
    "LCM_IMU",
    "LCM_JOINTS",
    "LCM_REMOTE",
    "REMOTE_DTYPE",
    "LcmLink",
]

LCM_JOINTS, LCM_IMU, LCM_REMOTE = "leg_control_data", "state_estimator_data", "rc_command"
LCM_COMMAND = "pd_plustau_targets"

_STAMP = [("timestamp_us", ">i8"), ("id", ">i8"), ("robot_id", ">i8")]
JOINT_DTYPE = np.dtype(
    [
        ("fingerprint", ">u8"),
        *((name, ">f4", (12,)) for name in ("q", "qd", "p", "v", "tau_est")),
        *_STAMP,
    ]
)
IMU_DTYPE = np.dtype(
    [
        ("fingerprint", ">u8"),
        *((name, ">f4", (3,)) for name in ("p", "v_world", "v_body", "rpy")),
        *((name, ">f4", (3,)) for name in ("omega_body", "omega_world")),
        ("quaternion", ">f4", (4,)),
        ("contact_estimate", ">f4", (4,)),
        *((name, ">f4", (3,)) for name in ("a_body", "a_world")),
        *_STAMP,
    ]
)
REMOTE_DTYPE = np.dtype(
    [
        ("fingerprint", ">u8"),
        ("mode", ">i2"),
        *((name, ">f4", (2,)) for name in ("left_stick", "right_stick", "knobs")),
        *((f"left_{name}", ">i2") for name in ("upper", "lower_left", "lower_right")),
        *((f"right_{name}", ">i2") for name in ("upper", "lower_left", "lower_right")),
    ]
)
COMMAND_DTYPE = np.dtype(
    [
        ("fingerprint", ">u8"),
        *((name, ">f8", (12,)) for name in ("q", "qd", "tau", "kp", "kd")),
        *_STAMP,
        ("contact_state", ">f8", (4,)),
    ]
)
FINGERPRINTS = {
    LCM_JOINTS: 0x5352516A697F890F,
    LCM_IMU: 0xD50F90505DFFCB6D,
    LCM_REMOTE: 0x8EE4D605D87CFBC5,
    LCM_COMMAND: 0xDB10251DE2523982,
}
_DTYPES = {LCM_JOINTS: JOINT_DTYPE, LCM_IMU: IMU_DTYPE, LCM_REMOTE: REMOTE_DTYPE}
# Bits of the remote's button word: the shoulder buttons, and the letters and arrows by `mode`.
_SHOULDERS = {"right_upper": 0, "left_upper": 1, "right_lower_right": 4, "left_lower_left": 5}
_LAST_PRESSED = {0: 8, 1: 9, 2: 10, 3: 11, 4: 12, 5: 13, 6: 14, 7: 15}


class LcmLink(Link):
    """Talks to `lcm_position` over LCM."""

    MAX_MESSAGES = 192
    """Most messages read by one `receive`: three channels, 64 each."""
    MOST_JOINTS_PER_IMU = 10
    """Joint messages that may come after an IMU message before it is out of date: 20 ms of them."""

    def __init__(self, url: str) -> None:
        """Prepare the link; nothing is opened yet.

        Args:
            url: LCM provider, such as `udpm://239.255.76.67:7667?ttl=0`.

        Raises:
            LinkError: If the Python package `lcm` is missing.
        """
        super().__init__()
        try:
            import lcm
        except ImportError:
            raise LinkError("the link 'lcm' needs the package: pip install lcm") from None
        self._library = lcm
        self._url = url
        self._bus: Any = None
        self._newest: dict[str, np.void] = {}
        self._joints_raw = b""
        self._joints_since_imu = self.MOST_JOINTS_PER_IMU + 1
        self._fresh = False
        self._tick = 0
        self._hold = np.zeros(JOINT_COUNT)

    def connect(self) -> None:
        """Join the bus.

        Raises:
            LinkError: If the provider cannot be opened.
        """
        try:
            self._bus = self._library.LCM(self._url)
        except (RuntimeError, OSError) as error:
            raise LinkError(f"cannot open the LCM provider '{self._url}': {error}") from None
        for channel in _DTYPES:
            self._bus.subscribe(channel, self._take).set_queue_capacity(64)

    def send(self, command: LowCommand) -> None:
        """Publish one `pd_plustau_targets`; nothing for a command that leaves the robot alone.

        This bus has no level flag to say so, and zero gains would take away what somebody else's
        command holds up.
        """
        bus = self._connected()
        if command.level_flag != LEVEL_LOW:
            return
        command = as_sent(command)
        # A loop that is switched off has no value of its own on this bus: its gain says it.
        joints = slice(0, JOINT_COUNT)
        brake = command.mode[joints] == MODE_BRAKE
        stopped_q = brake | (command.q[joints] >= np.float32(POSITION_STOP))
        stopped_dq = brake | (command.dq[joints] >= np.float32(VELOCITY_STOP))
        record = np.zeros((), dtype=COMMAND_DTYPE)
        record["fingerprint"] = FINGERPRINTS[LCM_COMMAND]
        q = np.where(stopped_q, self._hold, command.q[joints])
        for name, values in {
            "q": q,
            "qd": np.where(stopped_dq, 0.0, command.dq[joints]),
            "tau": np.where(brake, 0.0, command.tau[joints]),
            "kp": np.where(stopped_q, 0.0, command.kp[joints]),
            "kd": np.where(stopped_dq, 0.0, command.kd[joints]),
        }.items():
            record[name] = values[SDK_FROM_POLICY]
        try:
            bus.publish(LCM_COMMAND, record.tobytes())
            self.counters.sent += 1
        except (RuntimeError, OSError):
            self.counters.send_errors += 1

    def receive(self) -> LowState | None:
        """Return a state made of the newest message of each channel, if new joint data came.

        Joint data without a recent IMU message make no state, so that a dead IMU shows as silence.
        """
        bus = self._connected()
        for _ in range(self.MAX_MESSAGES):
            if not bus.handle_timeout(0):
                break
        # Without an orientation the supervisor would judge an upright robot that may lie on its
        # side.
        fresh, self._fresh = self._fresh, False
        if not fresh or self._joints_since_imu > self.MOST_JOINTS_PER_IMU:
            return None
        return self._assembled()

    def close(self) -> None:
        """Leave the bus."""
        self._bus = None

    def fileno(self) -> int | None:
        """Return the bus's descriptor."""
        return int(self._connected().fileno())

    def _take(self, channel: str, data: bytes) -> None:
        dtype = _DTYPES[channel]
        if len(data) != dtype.itemsize:
            self.counters.length_errors += 1
            return
        record = np.frombuffer(data, dtype=dtype)[0]
        if record["fingerprint"] != FINGERPRINTS[channel]:
            self.counters.crc_errors += 1
            return
        self._newest[channel] = record
        if channel == LCM_IMU:
            self._joints_since_imu = 0
        if channel == LCM_JOINTS:
            self._joints_since_imu += 1
            if data == self._joints_raw:
                self.counters.duplicates += 1
                return
            self._joints_raw = data
            self._fresh = True
            self.counters.received += 1
            self._tick += 2

    def _assembled(self) -> LowState:
        state, joints, imu = LowState(), self._newest[LCM_JOINTS], self._newest[LCM_IMU]
        for theirs, ours in {"q": "q", "qd": "dq", "tau_est": "tau_est"}.items():
            getattr(state, ours)[SDK_FROM_POLICY] = joints[theirs]
        state.mode[:JOINT_COUNT] = MODE_SERVO
        state.quaternion[:] = imu["quaternion"]
        state.gyroscope[:] = imu["omega_body"]
        state.accelerometer[:] = imu["a_body"]
        state.rpy[:] = imu["rpy"]
        forces = np.nan_to_num(imu["contact_estimate"][FEET_POLICY_FROM_SDK])
        state.foot_force[:] = np.clip(forces, -32768, 32767)
        state.tick = self._tick & 0xFFFFFFFF
        if LCM_REMOTE in self._newest:
            state.wireless_remote[:24] = np.frombuffer(self._remote(), dtype=np.uint8)
        self._hold = state.q[:JOINT_COUNT].copy()
        return state

    def _remote(self) -> bytes:
        """Return the first 24 bytes of the vendor's remote block.

        `mode` names the letter or arrow that was pressed last, perhaps long ago. Its bit is given
        only while L2 is held: that errs towards the stop that L2+B means.
        """
        rc = self._newest[LCM_REMOTE]
        buttons = sum(1 << bit for name, bit in _SHOULDERS.items() if rc[name])
        if rc["left_lower_left"] and int(rc["mode"]) in _LAST_PRESSED:
            buttons |= 1 << _LAST_PRESSED[int(rc["mode"])]
        (lx, ly), (rx, ry) = rc["left_stick"].tolist(), rc["right_stick"].tolist()
        return struct.pack("<2xH5f", buttons, lx, rx, ry, 0.0, ly)

    def _connected(self) -> Any:
        if self._bus is None:
            raise LinkError("the LCM link is not connected")
        return self._bus
