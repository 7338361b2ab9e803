"""The robot's end of the UDP link: one peer, valid commands only, everything else counted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass

from aliengo_bridge.protocol import (
    LEVEL_LOW,
    LOW_COMMAND_SIZE,
    ChecksumError,
    LengthError,
    LowCommand,
    decode_low_command,
)

__all__ = ["AddressInUseError", "LinkCounters", "UdpServer"]

Address = tuple[str, int]
_MAX_DATAGRAMS = 64  # per call, so that a flood cannot hold up the simulation


class AddressInUseError(OSError):
    """The address to listen on cannot be had."""


@dataclass
class LinkCounters:
    """How many datagrams met which fate since start."""

    received: int = 0
    """Valid commands of the peer."""
    sent: int = 0
    length_errors: int = 0
    crc_errors: int = 0
    foreign: int = 0
    """From someone else while a peer was being served."""
    not_low_level: int = 0
    """Valid, but with a level flag other than 0xff: answered, motors not commanded."""
    send_errors: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name."""
        return asdict(self)


class UdpServer:
    """Listens for commands and answers to the first sender of a valid one.

    Args:
        host: Address to bind.
        port: Port to bind; 0 takes a free one.

    Raises:
        AddressInUseError: If the address is taken or not one of this machine.
    """

    def __init__(self, host: str, port: int) -> None:
        self.counters = LinkCounters()
        self.peer: Address | None = None
        self._last_datagram: bytes | None = None
        self._last_command: LowCommand | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise AddressInUseError(
                f"cannot listen on {host}:{port} ({error.strerror}): "
                "end the program that holds it, or choose another host or port"
            ) from error
        self._socket.setblocking(False)

    @property
    def address(self) -> Address:
        """The address that is listened on."""
        host, port = self._socket.getsockname()
        return host, port

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def release_peer(self) -> None:
        """Forget the peer: the next sender of a valid command becomes it."""
        self.peer = None

    def receive(
        self, transform: Callable[[list[bytes]], list[bytes]] = list
    ) -> tuple[bool, LowCommand | None]:
        """Read what has arrived.

        Args:
            transform: Applied to the acceptable sender's datagrams before they are decoded; the
                place for faults of the network.

        Returns:
            Whether a peer was found or heard, and the newest command to act on, if any.
        """
        newest, newcomer = None, self.peer is None
        datagrams = self._read()
        heard = newcomer and self.peer is not None
        for datagram in transform(datagrams):
            command = self._decode(datagram)
            if command is None:
                continue
            heard = True
            self.counters.received += 1
            if command.level_flag == LEVEL_LOW:
                newest = command
            else:
                self.counters.not_low_level += 1
        return heard, newest

    def send(self, datagrams: list[bytes]) -> None:
        """Send to the peer, if there is one."""
        if self.peer is None:
            return
        for datagram in datagrams:
            try:
                self._socket.sendto(datagram, self.peer)
            except OSError:
                self.counters.send_errors += 1
            else:
                self.counters.sent += 1

    def _read(self) -> list[bytes]:
        datagrams = []
        for _ in range(_MAX_DATAGRAMS):
            try:
                # One byte more than a command has, so that a longer datagram is seen to be longer.
                datagram, sender = self._socket.recvfrom(LOW_COMMAND_SIZE + 1)
            except BlockingIOError:
                break
            except OSError:  # an ICMP answer to something sent earlier
                self.counters.send_errors += 1
                continue
            if self.peer is None and self._decode(datagram) is not None:
                self.peer = sender
            if sender == self.peer:
                datagrams.append(datagram)
            elif self.peer is not None:
                self.counters.foreign += 1
        return datagrams

    def _decode(self, datagram: bytes) -> LowCommand | None:
        """Decode, or count what is wrong.

        A bridge repeats its commands: the same bytes give the same object, which saves work here
        and tells the caller that nothing is new.
        """
        if datagram == self._last_datagram:
            return self._last_command
        try:
            command = decode_low_command(datagram)
            self._last_datagram, self._last_command = datagram, command
            return command
        except LengthError:
            self.counters.length_errors += 1
        except ChecksumError:
            self.counters.crc_errors += 1
        return None
