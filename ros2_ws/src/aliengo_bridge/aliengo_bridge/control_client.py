"""The bridge node's end of the control process."""

from __future__ import annotations

import itertools
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from aliengo_bridge.control_messages import Answer, Call, Kind, Snapshot, receive, send
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links import LinkError
from aliengo_bridge.settings import Settings

__all__ = ["ControlClient", "ControlError"]

_START_S = 20.0
_ANSWER_S = 0.5


class ControlError(RuntimeError):
    """The control process is gone or does not answer."""


class ControlClient:
    """Starts the control process and talks to it."""

    def __init__(self, settings: Settings, limits: SafetyLimits) -> None:
        """Start the process and wait until it has opened the link.

        Raises:
            LinkError: If it cannot, for the reason that the process gives.
        """
        self.snapshot: Snapshot | None = None
        """The newest snapshot; None until the first has come."""
        self._answers: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line = [sys.executable, "-m", "aliengo_bridge.control_process", str(theirs.fileno())]
        self._process = subprocess.Popen(line, pass_fds=[theirs.fileno()])
        theirs.close()
        send(self._channel, Kind.SETUP, (settings, limits))
        self._channel.settimeout(_START_S)
        message = receive(self._channel)
        self._channel.settimeout(None)
        if message is None or message[1]:
            self._process.kill()
            reason = message[1].decode() if message else "the control process did not start"
            raise LinkError(reason)

    def listen(self, on_state: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Take what the process sends, on the calling thread, until the process is gone.

        Args:
            on_state: Called with every serialised state.
            on_end: Called when nobody listens any more: the process is gone, or `on_state` failed.

        Raises:
            Exception: What `on_state` raised, after `on_end`.
        """
        try:
            while (message := receive(self._channel)) is not None:
                kind, body = message
                if kind is Kind.STATE:
                    on_state(body)
                elif kind is Kind.SNAPSHOT:
                    self.snapshot = pickle.loads(body)
                elif kind is Kind.ANSWER:
                    self._settle(pickle.loads(body))
        finally:
            on_end()

    def submit(self, command: bytes) -> None:
        """Hand over a serialised `unitree_legged_msgs/LowCmd`."""
        send(self._channel, Kind.COMMAND, command)

    def call(self, method: str, *arguments: Any) -> Future[Any]:
        """Let the supervisor's thread call one of its methods; the result comes later."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        self._answers[number] = future
        if not send(self._channel, Kind.CALL, Call(number, method, arguments)):
            self._settle(Answer(number, None, ControlError("the control process is gone")))
        return future

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call one of the supervisor's methods and wait for its result.

        Raises:
            ControlError: If the process is gone or does not answer in time.
            Exception: What the method raised.
        """
        try:
            return self.call(method, *arguments).result(_ANSWER_S)
        except (TimeoutError, FutureTimeout):
            text = f"the control process did not answer within {_ANSWER_S} s"
            raise ControlError(text) from None

    def stop(self) -> None:
        """Ask the process to bring the robot to rest and end."""
        send(self._channel, Kind.STOP)

    def exit_code(self) -> int | None:
        """Return the process's exit code, or None while it runs."""
        return self._process.poll()

    def _settle(self, answer: Answer) -> None:
        future = self._answers.pop(answer.number)
        if answer.error is not None:
            future.set_exception(answer.error)
        else:
            future.set_result(answer.result)
