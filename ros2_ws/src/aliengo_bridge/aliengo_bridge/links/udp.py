"""The robot's own UDP protocol, without the vendor's library."""

from __future__ import annotations

import errno
import ipaddress
import socket

from aliengo_bridge.links.base import Link, LinkError, TickFilter
from aliengo_bridge.messages import LowCommand, LowState
from aliengo_bridge.protocol import (
    HIGH_STATE_SIZE,
    ChecksumError,
    LengthError,
    decode_low_state,
    encode_low_command,
)

__all__ = ["UdpLink"]


class UdpLink(Link):
    """Talks to the robot's low-level port.

    The socket is not connected: the kernel would then drop what others send, and nobody would learn
    that a second machine talks to this port.
    """

    MAX_DATAGRAMS = 64
    """Most datagrams read by one `receive`, so that a flood cannot hold the control loop."""

    def __init__(self, local_port: int, robot_address: str, robot_port: int) -> None:
        """Prepare the link; nothing is opened yet.

        Args:
            local_port: UDP port to bind on this machine; 0 lets the system choose.
            robot_address: IPv4 address of the robot.
            robot_port: UDP port on which the robot listens.

        Raises:
            LinkError: If the address is no IPv4 address or a port is out of range.
        """
        super().__init__()
        try:
            address = ipaddress.IPv4Address(robot_address)
        except ValueError:
            raise LinkError(f"robot address '{robot_address}' is not an IPv4 address") from None
        for name, port, lowest in (("local", local_port, 0), ("robot", robot_port, 1)):
            if not lowest <= port <= 65535:
                raise LinkError(f"{name} port is {port}, allowed are {lowest}-65535")
        self._robot = (str(address), robot_port)
        # A twin on this machine needs no other interface to be open.
        self._local = ("127.0.0.1" if address.is_loopback else "0.0.0.0", local_port)
        self._socket: socket.socket | None = None
        self._filter = TickFilter(self.counters)
        self._newest = b""

    @property
    def local_port(self) -> int:
        """The bound port; only after `connect`."""
        return int(self._open_socket().getsockname()[1])

    def connect(self) -> None:
        """Bind the local port.

        Raises:
            LinkError: If the port is taken or may not be bound.
        """
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            udp.bind(self._local)
        except OSError as error:
            udp.close()
            raise LinkError(self._bind_failure(error)) from None
        self._socket = udp

    def send(self, command: LowCommand) -> None:
        """Send one 610-byte datagram."""
        datagram = encode_low_command(command)
        try:
            self._open_socket().sendto(datagram, self._robot)
            self.counters.sent += 1
        except OSError:
            self.counters.send_errors += 1

    def receive(self) -> LowState | None:
        """Return the newest valid state that waits in the socket, or None."""
        udp = self._open_socket()
        newest: LowState | None = None
        for _ in range(self.MAX_DATAGRAMS):
            try:
                datagram, sender = udp.recvfrom(2048)
            except OSError:  # nothing (more) to read, or an ICMP error of an earlier send
                break
            if sender != self._robot:
                self.counters.foreign += 1
                continue
            newest = self._decode(datagram) or newest
        return newest

    def close(self) -> None:
        """Release the port."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def fileno(self) -> int | None:
        """Return the socket's descriptor."""
        return self._open_socket().fileno()

    def _decode(self, datagram: bytes) -> LowState | None:
        try:
            state = decode_low_state(datagram)
        except ChecksumError:
            self.counters.crc_errors += 1
            return None
        except LengthError:
            if len(datagram) == HIGH_STATE_SIZE:
                self.counters.high_level += 1
            self.counters.length_errors += 1
            return None
        if not self._filter.accept(state.tick, repeated=datagram == self._newest):
            return None
        self._newest = datagram
        self.counters.received += 1
        return state

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise LinkError("the UDP link is not connected")
        return self._socket

    def _bind_failure(self, error: OSError) -> str:
        host, port = self._local
        if error.errno == errno.EADDRINUSE:
            return (
                f"UDP port {port} is in use on {host}: another bridge or another controller of the "
                f"robot runs on this machine; find it with 'ss -lunp sport = :{port}' and stop it"
            )
        return f"cannot bind UDP port {port} on {host}: {error.strerror}"
