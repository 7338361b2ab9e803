"""The robot through Unitree's Python binding `robot_interface`.

The vendor ships the binding for Python 3.8 on amd64 and arm64; put its folder on `PYTHONPATH`. This
module imports without it, and without ROS; making an `SdkLink` needs it.

What the binding hides, and this link therefore cannot count: datagrams of others (its socket is
connected, the kernel drops them), and wrong checksums (its own counter also counts polls without
data). Both are dropped by the vendor's library.
"""

from __future__ import annotations

import importlib
import socket
from typing import Any

import numpy as np

from aliengo_bridge.links.base import Link, LinkError, TickFilter
from aliengo_bridge.messages import JOINT_COUNT, LowCommand, LowState
from aliengo_bridge.protocol import (
    FEET_POLICY_FROM_SDK,
    LOW_COMMAND_SIZE,
    LOW_STATE_SIZE,
    SDK_FROM_POLICY,
    as_sent,
)

__all__ = ["SdkLink", "load_binding"]

_MOTOR_FIELDS = {
    "mode": "mode",
    "q": "q",
    "dq": "dq",
    "ddq": "ddq",
    "tauEst": "tau_est",
    "q_raw": "q_raw",
    "dq_raw": "dq_raw",
    "ddq_raw": "ddq_raw",
    "temperature": "temperature",
}
_IMU_FIELDS = ("quaternion", "gyroscope", "accelerometer", "rpy")


def load_binding() -> Any:
    """Return the vendor's `robot_interface` module.

    Raises:
        LinkError: If it cannot be imported, with the reason.
    """
    try:
        return importlib.import_module("robot_interface")
    except ImportError as error:
        raise LinkError(
            "the link 'sdk' needs Unitree's binding 'robot_interface' (SDK v3.8.4, branch Aliengo, "
            f"folder lib/python/<arch>) on PYTHONPATH: {error}. The link 'udp' needs no binding."
        ) from None


class SdkLink(Link):
    """Talks to the robot through the vendor's library."""

    def __init__(self, local_port: int, robot_address: str, robot_port: int) -> None:
        """Prepare the link; nothing is opened yet.

        Args:
            local_port: UDP port to bind on this machine.
            robot_address: IPv4 address of the robot.
            robot_port: UDP port on which the robot listens.

        Raises:
            LinkError: If the binding cannot be imported.
        """
        super().__init__()
        self._sdk = load_binding()
        self._local_port = local_port
        self._robot = (robot_address, robot_port)
        self._udp: Any = None
        self._filter = TickFilter(self.counters)
        self._newest: tuple[float, ...] = ()

    def connect(self) -> None:
        """Let the library open its socket.

        Raises:
            LinkError: If the local port is taken.
        """
        # The library ends the whole process when it cannot bind, so find out before it tries.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("0.0.0.0", self._local_port))
            except OSError as error:
                raise LinkError(
                    f"cannot bind UDP port {self._local_port}: {error.strerror}; another bridge or "
                    "controller of the robot may run on this machine "
                    f"('ss -lunp sport = :{self._local_port}')"
                ) from None
        address, port = self._robot
        # Six arguments, or the binding refuses; the last one makes its receive non-blocking.
        self._udp = self._sdk.UDP(
            self._local_port, address, port, LOW_COMMAND_SIZE, LOW_STATE_SIZE, -1
        )
        self._command = self._sdk.LowCmd()
        self._udp.InitCmdData(self._command)
        self._state = self._sdk.LowState()

    def send(self, command: LowCommand) -> None:
        """Hand a command to the library and let it send."""
        udp = self._connected()
        # The library lets integers wrap around: give it only what fits the wire.
        command = as_sent(command)
        target = self._command
        # The library's own initial command is at high level, which the robot ignores.
        target.levelFlag = command.level_flag
        for sdk_index, index in enumerate(SDK_FROM_POLICY.tolist()):
            motor = target.motorCmd[sdk_index]
            motor.mode = int(command.mode[index])
            motor.q = float(command.q[index])
            motor.dq = float(command.dq[index])
            motor.tau = float(command.tau[index])
            motor.Kp = float(command.kp[index])
            motor.Kd = float(command.kd[index])
        udp.SetSend(target)
        if udp.Send() < 0:
            self.counters.send_errors += 1
        else:
            self.counters.sent += 1

    def receive(self) -> LowState | None:
        """Return the newest state; the library itself drops older ones in its queue."""
        udp = self._connected()
        # Only 0 means a new state: after anything else GetRecv repeats the last one.
        if udp.Recv() != 0:
            return None
        udp.GetRecv(self._state)
        state = self._converted()
        content = (*state.q, *state.dq, *state.accelerometer)
        if not self._filter.accept(state.tick, repeated=content == self._newest):
            return None
        self._newest = content
        self.counters.received += 1
        return state

    def close(self) -> None:
        """Let go of the library's socket."""
        self._udp = None

    def _converted(self) -> LowState:
        source, state = self._state, LowState()
        motors = [source.motorState[i] for i in range(JOINT_COUNT)]
        for theirs, ours in _MOTOR_FIELDS.items():
            values = np.array([getattr(motor, theirs) for motor in motors])
            getattr(state, ours)[SDK_FROM_POLICY] = values
        for name in _IMU_FIELDS:
            getattr(state, name)[:] = getattr(source.imu, name)
        state.imu_temperature = int(source.imu.temperature)
        state.foot_force[:] = np.array(source.footForce)[FEET_POLICY_FROM_SDK]
        state.wireless_remote[:] = source.wirelessRemote
        state.tick = int(source.tick)
        state.level_flag = int(source.levelFlag)
        return state

    def _connected(self) -> Any:
        if self._udp is None:
            raise LinkError("the SDK link is not connected")
        return self._udp
