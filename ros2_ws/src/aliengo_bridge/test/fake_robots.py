"""Robot-side ends of the three links, for tests: each speaks what the real other side speaks."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from sdk_vectors import FEET_POLICY_FROM_SDK, MOTORS_POLICY_FROM_SDK

from aliengo_bridge.links import Link, make_link
from aliengo_bridge.links import lcm as lcm_link
from aliengo_bridge.messages import LowCommand, LowState
from aliengo_bridge.protocol import decode_low_command, decode_low_state, encode_low_state

DEADLINE_S = 5.0


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll until the condition returns something true, and return that."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.0005)
    raise AssertionError(f"{what}: not within {deadline_s} s")


def free_port() -> int:
    """Return a UDP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lying_state(tick: int = 0) -> LowState:
    """Return the state of a robot that lies on its belly, every joint at its own angle."""
    state = LowState(tick=tick)
    state.mode[:12] = 10
    state.q[:12] = [0.2, 1.16, -2.7, -0.2, 1.17, -2.71, 0.21, 1.18, -2.72, -0.21, 1.19, -2.73]
    state.accelerometer[:] = (0.0, 0.0, 9.81)
    state.temperature[:12] = 30
    state.foot_force[:] = (10, 20, 30, 40)
    return state


def copied(state: LowState) -> LowState:
    """Return a copy that shares no array; copy.deepcopy would take ten times as long."""
    values = vars(state).items()
    return LowState(**{k: v.copy() if isinstance(v, np.ndarray) else v for k, v in values})


class UdpRobot:
    """A robot that does what the test tells it, on a loopback port of its own."""

    def __init__(self, client_port: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.client = ("127.0.0.1", client_port) if client_port else None

    def choose_client_port(self) -> int:
        """Send to a free port from now on, and return it: surely another one than the robot's."""
        port = free_port()
        self.client = ("127.0.0.1", port)
        return port

    def send(self, state: LowState) -> None:
        self.send_raw(encode_low_state(state))

    def send_raw(self, datagram: bytes) -> None:
        assert self.client is not None
        self.socket.sendto(datagram, self.client)

    def commands(self) -> list[LowCommand]:
        """Return all commands that wait, oldest first."""
        received = []
        while True:
            try:
                datagram, self.client = self.socket.recvfrom(2048)
            except BlockingIOError:
                return received
            received.append(decode_low_command(datagram))

    def close(self) -> None:
        self.socket.close()


class UdpBench:
    """The UDP link and a robot."""

    def __init__(self) -> None:
        self.robot = UdpRobot()
        self.port = self.robot.choose_client_port()
        self.link: Link = make_link(
            self.name,
            local_port=self.port,
            robot_address="127.0.0.1",
            robot_port=self.robot.port,
            lcm_url="",
        )
        self.link.connect()

    name = "udp"
    send = property(lambda self: self.robot.send)
    commands = property(lambda self: self.robot.commands)

    def send_garbage(self) -> None:
        """Send what a robot never sends: wrong lengths and a wrong checksum."""
        good = encode_low_state(lying_state(77))
        for junk in (b"", b"\x00" * 10, good[:-1], good + b"\x00", good[:-1] + b"\xaa"):
            self.robot.send_raw(junk)

    def close(self) -> None:
        self.link.close()
        self.robot.close()


class SdkBench(UdpBench):
    """The SDK link over a stand-in for the vendor's binding, and a robot."""

    name = "sdk"

    def __init__(self) -> None:
        sys.modules["robot_interface"] = robot_interface()
        super().__init__()

    def close(self) -> None:
        super().close()
        del sys.modules["robot_interface"]


class LcmBench:
    """The LCM link and the other end of the bus, on loopback."""

    name = "lcm"

    def __init__(self) -> None:
        import lcm

        # A multicast port of its own keeps two test runs on one machine apart.
        url = f"udpm://239.255.76.67:{free_port()}?ttl=0"
        self._bus = lcm.LCM(url)
        self._received: list[LowCommand] = []
        self._bus.subscribe(lcm_link.LCM_COMMAND, self._take)
        self.link: Link = make_link(
            "lcm", local_port=0, robot_address="", robot_port=0, lcm_url=url
        )
        self.link.connect()

    def send(self, state: LowState, *, with_imu: bool = True) -> None:
        joints, imu = _record(lcm_link.LCM_JOINTS), _record(lcm_link.LCM_IMU)
        for theirs, ours in {"q": state.q, "qd": state.dq, "tau_est": state.tau_est}.items():
            joints[theirs] = ours[MOTORS_POLICY_FROM_SDK][:12]
        imu["quaternion"], imu["omega_body"] = state.quaternion, state.gyroscope
        imu["a_body"], imu["rpy"] = state.accelerometer, state.rpy
        imu["contact_estimate"] = state.foot_force[FEET_POLICY_FROM_SDK]
        if with_imu:
            self._bus.publish(lcm_link.LCM_IMU, imu.tobytes())
        self._bus.publish(lcm_link.LCM_JOINTS, joints.tobytes())

    def send_remote(self, **values: Any) -> None:
        remote = _record(lcm_link.LCM_REMOTE)
        for name, value in values.items():
            remote[name] = value
        self._bus.publish(lcm_link.LCM_REMOTE, remote.tobytes())

    def send_garbage(self) -> None:
        """Publish a wrong length and a wrong type on the robot's channels."""
        self._bus.publish(lcm_link.LCM_JOINTS, b"short")
        self._bus.publish(lcm_link.LCM_JOINTS, bytes(272))
        self._bus.publish(lcm_link.LCM_IMU, b"")

    def commands(self) -> list[LowCommand]:
        while self._bus.handle_timeout(0):
            pass
        received, self._received = self._received, []
        return received

    def close(self) -> None:
        self.link.close()

    def _take(self, channel: str, data: bytes) -> None:
        record = np.frombuffer(data, dtype=lcm_link.COMMAND_DTYPE)[0]
        assert record["fingerprint"] == lcm_link.FINGERPRINTS[channel]
        command = LowCommand()
        names = {"q": "q", "qd": "dq", "tau": "tau", "kp": "kp", "kd": "kd"}
        for theirs, ours in names.items():
            getattr(command, ours)[:12] = record[theirs][MOTORS_POLICY_FROM_SDK[:12]]
        self._received.append(command)


def _record(channel: str) -> Any:
    dtype = {
        lcm_link.LCM_JOINTS: lcm_link.JOINT_DTYPE,
        lcm_link.LCM_IMU: lcm_link.IMU_DTYPE,
        lcm_link.LCM_REMOTE: lcm_link.REMOTE_DTYPE,
    }[channel]
    record = np.zeros((), dtype=dtype)
    record["fingerprint"] = lcm_link.FINGERPRINTS[channel]
    return record


def _motor() -> SimpleNamespace:
    return SimpleNamespace(mode=10, q=2.146e9, dq=16000.0, tau=0.0, Kp=0.0, Kd=0.0)


class _VendorUdp:
    """The binding's `UDP`: names and behaviour are the vendor's."""

    def __init__(self, local: int, ip: str, port: int, send: int, receive: int, timeout: int):
        assert (send, receive, timeout) == (610, 771, -1)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("0.0.0.0", local))
        self._socket.connect((ip, port))
        self._socket.setblocking(False)
        self._state, self._command = LowState(), b""

    def InitCmdData(self, command: Any) -> None:  # noqa: N802
        command.levelFlag = 0

    def SetSend(self, command: Any) -> None:  # noqa: N802
        ours = LowCommand(level_flag=command.levelFlag)
        names = {"mode": "mode", "q": "q", "dq": "dq", "tau": "tau", "Kp": "kp", "Kd": "kd"}
        for theirs, name in names.items():
            values = np.array([getattr(m, theirs) for m in command.motorCmd])
            getattr(ours, name)[:] = values[MOTORS_POLICY_FROM_SDK]
        self._command = ours

    def Send(self) -> int:  # noqa: N802
        from aliengo_bridge.protocol import encode_low_command

        try:
            return self._socket.send(encode_low_command(self._command))
        except OSError:
            return -1

    def Recv(self) -> int:  # noqa: N802
        datagram = None
        while True:
            try:
                datagram = self._socket.recv(771)
            except OSError:
                break
        try:
            self._state = decode_low_state(datagram or b"")
        except ValueError:
            return -3
        return 0

    def GetRecv(self, state: Any) -> None:  # noqa: N802
        s = self._state
        order = MOTORS_POLICY_FROM_SDK
        state.motorState = [
            SimpleNamespace(
                mode=int(s.mode[i]),
                q=float(s.q[i]),
                dq=float(s.dq[i]),
                ddq=float(s.ddq[i]),
                tauEst=float(s.tau_est[i]),
                q_raw=float(s.q_raw[i]),
                dq_raw=float(s.dq_raw[i]),
                ddq_raw=float(s.ddq_raw[i]),
                temperature=int(s.temperature[i]),
            )
            for i in order
        ]
        names = ("quaternion", "gyroscope", "accelerometer", "rpy")
        imu = {name: getattr(s, name).tolist() for name in names}
        state.imu = SimpleNamespace(**imu, temperature=s.imu_temperature)
        state.footForce = s.foot_force[FEET_POLICY_FROM_SDK].tolist()
        state.wirelessRemote = s.wireless_remote.tolist()
        state.tick, state.levelFlag = s.tick, s.level_flag


def robot_interface() -> ModuleType:
    """Return a stand-in for the vendor's binding, with the behaviour seen in the real v3.8.4.

    Its motors stand in the SDK's order, a state is repeated until a new one comes, and array
    members of a state are handed out as copies.
    """
    module = ModuleType("robot_interface")
    module.UDP = _VendorUdp  # type: ignore[attr-defined]
    module.LowCmd = lambda: SimpleNamespace(  # type: ignore[attr-defined]
        levelFlag=0, motorCmd=[_motor() for _ in range(20)]
    )
    module.LowState = SimpleNamespace  # type: ignore[attr-defined]
    return module
