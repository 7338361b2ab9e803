"""The 500 Hz loop: one thread that owns link and supervisor, and needs nobody's good will.

The thread waits for absolute deadlines. While it waits it takes states off the link as they come,
so that those who listen get them at once, and it is woken by a command, which so leaves without
waiting for the next deadline. It imports no ROS; whatever happens around it, it goes on sending
until the process ends.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from aliengo_bridge.blackbox import BlackBox, BlackBoxWriter, Tick
from aliengo_bridge.faults import Fault
from aliengo_bridge.links.base import Link
from aliengo_bridge.messages import LEVEL_HIGH, LowCommand, LowState, damping_command
from aliengo_bridge.safety import Decision, Supervisor
from aliengo_bridge.timing import TickTimes
from aliengo_description.scheduling import raise_priority

__all__ = ["ControlLoop"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class ControlLoop:
    """Runs a supervisor on a link, on a thread of its own."""

    PERIOD_S = 0.002
    _REST_S = 0.3
    _RECORD_AFTER_FAULT_TICKS = 100
    _MAX_QUEUED_STATES = 64
    _MAX_REQUESTS = 16

    def __init__(
        self,
        link: Link,
        supervisor: Supervisor,
        *,
        shadow: bool = False,
        realtime_priority: int = 0,
        writer: BlackBoxWriter | None = None,
    ) -> None:
        """Prepare the loop; nothing runs yet.

        Args:
            link: The way to the robot, not yet connected.
            supervisor: Used by the loop's thread only, from now on.
            shadow: Whether the robot must not be sent commands, not even damping.
            realtime_priority: `SCHED_FIFO` priority of the thread, 0 for the normal one. It is
                used if the system permits it.
            writer: Where the last second before a fault goes.
        """
        self.states: queue.SimpleQueue[LowState] = queue.SimpleQueue()
        """Believable states as they arrive, for another thread to take."""
        self.times = TickTimes(self.PERIOD_S)
        self.dropped_states = 0
        self.withheld: LowCommand | None = None
        """In shadow mode, the command that the robot would have been sent."""
        self.scheduling = "normal priority"
        self.crash: BaseException | None = None
        """What ended supervision, if anything did; from then on the loop only damps."""
        self.ticked_s = time.monotonic()
        """When the loop ticked last, on the monotonic clock [s]."""
        self._link = link
        self._supervisor = supervisor
        self._shadow = shadow
        self._priority = realtime_priority
        self._writer = writer
        self._blackbox = BlackBox()
        self._record_in: int | None = None
        self._recorded_fault = ""
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._commands: deque[LowCommand] = deque(maxlen=4)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._fallback = LowCommand(level_flag=LEVEL_HIGH)
        self._state: LowState | None = None
        self._rest_since: float | None = None
        self._at_rest = threading.Event()
        self._end = False
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    @property
    def link(self) -> Link:
        """The link; only its counters may be read from other threads."""
        return self._link

    @property
    def supervisor(self) -> Supervisor:
        """The supervisor; only its status, limits and ages may be read from other threads."""
        return self._supervisor

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Open the link and start the thread.

        Raises:
            LinkError: If the link cannot be opened.
        """
        self._link.connect()
        self.ticked_s = time.monotonic()
        self._thread.start()

    def submit(self, command: LowCommand) -> None:
        """Hand over a command, from any thread; of a flood only the newest few are looked at.

        The caller must not change its arrays any more.
        """
        self._commands.append(command)
        self._wake()

    def call(self, function: Callable[[Supervisor], _T]) -> Future[_T]:
        """Let the loop's thread call a function with the supervisor; its result comes later."""
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(function(self._supervisor))
            except Exception as error:
                future.set_exception(error)

        self._requests.put(run)
        self._wake()
        return future

    def stop(self) -> None:
        """Bring the robot to rest and return; damping is sent on until the process ends."""
        if not self.alive:
            return

        def begin(supervisor: Supervisor) -> None:
            # On the loop's thread, which looks for rest between two requests.
            self._rest_since = None
            self._at_rest.clear()
            supervisor.report(Fault.SHUTDOWN, "the bridge was asked to end")

        longest_s = self._supervisor.limits.exit_damping_s
        if concurrent.futures.wait([self.call(begin)], longest_s).done:
            self._at_rest.wait(longest_s)

    def close(self) -> None:
        """End the thread and close the link: nothing is sent any more. It may be called twice."""
        if self._end:
            return
        self._end = True
        self._wake()
        if self.alive:
            self._thread.join()
        self._link.close()
        descriptors = self._wake_read, self._wake_write
        self._wake_read = self._wake_write = -1  # a late command must not write to what follows
        for descriptor in descriptors:
            os.close(descriptor)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # a full pipe wakes as well, a closed one need not
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        self.scheduling = raise_priority(self._priority, whole_process=False)
        deadline = time.monotonic() + self.PERIOD_S
        while not self._end:
            # A command gets one extra tick before the deadline, so that it need not wait for it; a
            # flood of commands gets no more than that one.
            if self._wait_until(deadline, until_request=True):
                self._guarded_tick(time.monotonic())
            self._wait_until(deadline, until_request=False)
            now = time.monotonic()
            deadline = self.times.add(deadline, now) + self.PERIOD_S
            self._guarded_tick(now)

    def _wait_until(self, deadline: float, *, until_request: bool) -> bool:
        """Receive until the deadline. Returns whether a request came before it, if asked to."""
        while not self._end:
            remaining = deadline - time.monotonic()
            if remaining <= 0.0:
                return False
            descriptor = self._link.fileno()
            waiting = [self._wake_read] if until_request else []
            if descriptor is not None:
                waiting.append(descriptor)
            ready = select.select(waiting, [], [], remaining)[0]
            if descriptor in ready:
                self._guarded(self._receive)
            if self._wake_read in ready:
                os.read(self._wake_read, 65536)
                return True
        return False

    def _guarded_tick(self, now: float) -> None:
        self._guarded(self._serve_requests)
        if self.crash is None:
            self._guarded(lambda: self._tick(now))
        if self.crash is not None:
            # The supervisor cannot be trusted any more, the link perhaps can.
            with contextlib.suppress(Exception):
                self._link.send(self._fallback)
        self._guarded(lambda: self._watch_rest(now))
        self.ticked_s = now

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            if self.crash is None:
                self.crash = error
                _log.exception("the control loop failed; from now on it only damps")
                self._tell_crash(repr(error))

    def _tell_crash(self, detail: str) -> None:
        """Let status and record show the crash, as far as the supervisor still can."""
        with contextlib.suppress(Exception):
            self._supervisor.report(Fault.INTERNAL_ERROR, detail)
        if self._writer is not None:
            self._writer.submit(Fault.INTERNAL_ERROR.value, detail, self._blackbox.contents())

    def _serve_requests(self) -> None:
        # Bounded: whoever floods the loop must not keep it from its next deadline.
        for _ in range(min(self._requests.qsize(), self._MAX_REQUESTS)):
            self._requests.get()()
        for _ in range(len(self._commands)):
            self._supervisor.on_command(self._commands.popleft())

    def _receive(self) -> None:
        state = self._link.receive()
        if state is None or not self._supervisor.on_state(state):
            return
        self._state = state
        if self.states.qsize() < self._MAX_QUEUED_STATES:
            self.states.put(state)
        else:  # nobody listens, or he cannot keep up: he gets gaps, and the loop keeps its memory
            self.dropped_states += 1

    def _tick(self, now: float) -> None:
        self._receive()
        decision = self._supervisor.step(now)
        self._link.send(decision.command)
        owned = not decision.status.mode.released and not self._shadow
        self._fallback = (
            damping_command(self._supervisor.limits.damping_kd)
            if owned
            else LowCommand(level_flag=LEVEL_HIGH)
        )
        self.withheld = decision.supervised if self._shadow else None
        self._record(now, decision)

    def _record(self, now: float, decision: Decision) -> None:
        status, ages = decision.status, self._supervisor.ages_s
        tick = Tick(now, status.mode.value, ages, self._state, decision.supervised)
        self._blackbox.record(tick)
        if status.fault != self._recorded_fault:
            self._recorded_fault = status.fault
            # An end that was asked for is no fault to look into.
            wanted = status.fault not in ("", Fault.SHUTDOWN.value)
            self._record_in = self._RECORD_AFTER_FAULT_TICKS if wanted else None
        if self._record_in is None or self._writer is None:
            return
        self._record_in -= 1
        if self._record_in <= 0:
            self._record_in = None
            self._writer.submit(status.fault, status.detail, self._blackbox.contents())

    def _watch_rest(self, now: float) -> None:
        mode = self._supervisor.status.mode
        resting = mode.released or self._supervisor.at_rest
        if not resting:
            self._rest_since = None
        elif self._rest_since is None:
            self._rest_since = now
        elif now - self._rest_since > self._REST_S:
            self._at_rest.set()
