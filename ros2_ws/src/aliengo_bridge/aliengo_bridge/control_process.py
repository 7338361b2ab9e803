"""The process that controls the robot: link, supervisor and loop, and no ROS.

It is started by the bridge node and speaks with it over a socket pair. A middleware that blocks, a
node that hangs or dies, can only fall silent: then the commands go stale, or the socket closes, and
the robot is damped from here.
"""

from __future__ import annotations

import gc
import logging
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from aliengo_bridge.blackbox import BlackBoxWriter
from aliengo_bridge.cdr import LowStateEncoder, decode_low_cmd, encode_low_cmd
from aliengo_bridge.control_messages import Answer, Call, Kind, Snapshot, receive, send
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links import LinkError
from aliengo_bridge.loop import ControlLoop
from aliengo_bridge.safety import Supervisor
from aliengo_bridge.settings import Settings
from aliengo_description.scheduling import raise_priority

__all__ = ["ControlProcess", "main"]

_log = logging.getLogger(__name__)
_SNAPSHOT_PERIOD_S = 0.02
_LOOK_S = 0.1
_CALLABLE = frozenset({"report", "set_condition", "reset", "tighten"})


class ControlProcess:
    """Serves one bridge node over a socket."""

    def __init__(self, channel: socket.socket, settings: Settings, limits: SafetyLimits) -> None:
        """Prepare the loop.

        Args:
            channel: Packets to and from the node.
            settings: Link, shadow mode, priority, folder of the records.
            limits: For the supervisor.

        Raises:
            LinkError: If the link cannot be made.
        """
        self._channel = channel
        folder = settings.record_folder
        self._writer = BlackBoxWriter(Path(folder) if folder else None)
        self._priority = settings.realtime_priority
        self.loop = ControlLoop(
            settings.make_link(),
            Supervisor(limits, shadow=settings.shadow),
            shadow=settings.shadow,
            realtime_priority=settings.realtime_priority,
            writer=self._writer,
        )
        self._times = self.loop.times.summary()
        self._end = threading.Event()
        self._failed = False

    def run(self) -> int:
        """Control the robot until the node asks for the end or is gone.

        Returns:
            0, or 1 if the loop or what serves the node failed meanwhile.

        Raises:
            LinkError: If the link cannot be opened.
        """
        gc.collect()
        gc.freeze()
        gc.disable()
        # These threads hold the interpreter while they run: if they could be preempted then, the
        # loop would wait for them however high its own priority. New threads inherit it.
        raise_priority(self._priority - 1, whole_process=False)
        self.loop.start()
        send(self._channel, Kind.READY)
        for work in (self._send_states, self._send_snapshots, self._serve):
            name = work.__name__
            threading.Thread(target=self._until_end, args=(work,), name=name, daemon=True).start()
        while not self._end.wait(_LOOK_S) and self.loop.alive:
            pass
        self._failed |= not self.loop.alive
        self.loop.stop()  # and the loop's thread damps on until this process ends
        return 1 if self._failed or self.loop.crash is not None else 0

    def end(self) -> None:
        """Let `run` come to its end."""
        self._end.set()

    def _until_end(self, work: Callable[[], None]) -> None:
        """Do a thread's work; when it is over, however it ended, the process must end as well."""
        try:
            work()
        except Exception:
            self._failed = True
            _log.exception("%s failed; the control process ends", work.__name__)
        finally:
            self.end()

    def _send_states(self) -> None:
        encoder = LowStateEncoder()
        while True:
            send(self._channel, Kind.STATE, encoder.encode(self.loop.states.get()))

    def _send_snapshots(self) -> None:
        count = 0
        while True:
            if count % 50 == 0:
                self._times = self.loop.times.summary()
                gc.collect()
            send(self._channel, Kind.SNAPSHOT, self._snapshot())
            count += 1
            time.sleep(_SNAPSHOT_PERIOD_S)

    def _snapshot(self) -> Snapshot:
        loop, withheld = self.loop, self.loop.withheld
        return Snapshot(
            status=loop.supervisor.status,
            ticked_s=loop.ticked_s,
            counters=loop.link.counters,
            times=self._times,
            ages_s=loop.supervisor.ages_s,
            limits=loop.supervisor.limits,
            scheduling=loop.scheduling,
            dropped_states=loop.dropped_states,
            record_error=self._writer.last_error,
            crash=repr(loop.crash) if loop.crash is not None else "",
            withheld=encode_low_cmd(withheld) if withheld is not None else b"",
        )

    def _serve(self) -> None:
        while (message := receive(self._channel)) is not None:
            kind, body = message
            if kind is Kind.COMMAND:
                self.loop.submit(decode_low_cmd(body))
            elif kind is Kind.CALL:
                self._call(pickle.loads(body))
            elif kind is Kind.STOP:
                break

    def _call(self, call: Call) -> None:
        def answer(future: Future[Any]) -> None:
            error = future.exception()
            result = None if error else future.result()
            if error is not None and not isinstance(error, Exception):
                error = RuntimeError(repr(error))
            send(self._channel, Kind.ANSWER, Answer(call.number, result, error))

        if call.method not in _CALLABLE:
            error = ValueError(f"'{call.method}' may not be called")
            send(self._channel, Kind.ANSWER, Answer(call.number, None, error))
            return
        self.loop.call(lambda s: getattr(s, call.method)(*call.arguments)).add_done_callback(answer)


def main() -> int:
    """Run the process; its argument is the inherited descriptor of the socket."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    sys.setswitchinterval(1e-4)
    for number in (signal.SIGINT, signal.SIGHUP):
        # A terminal sends these to the node as well, which decides what they mean.
        signal.signal(number, signal.SIG_IGN)
    message = receive(channel)
    if message is None:
        return 1
    settings, limits = pickle.loads(message[1])
    try:
        process = ControlProcess(channel, settings, limits)
        signal.signal(signal.SIGTERM, lambda *_: process.end())
        return process.run()
    except LinkError as error:
        send(channel, Kind.READY, str(error).encode())
        return 1


if __name__ == "__main__":
    sys.exit(main())
