"""Runs the processes of a graph: their logs with a prefix, one end for all, in order."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aliengo_policy.graph import ProcessSpec

_PR_SET_PDEATHSIG = 1
# Looked up here: between fork and exec, where it is used, another thread may hold the loader's lock.
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class Ending:
    """Why a group ended: a process that died, or a reason given by the caller."""

    reason: str
    code: int


@dataclass
class _Child:
    spec: ProcessSpec
    process: subprocess.Popen[str]
    reader: threading.Thread = field(init=False)
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=5))


class ProcessGroup:
    """Processes that start together and end together.

    Args:
        specs: what to run, in this order.
        namespace: of all nodes.
        log_level: of all nodes.
        write: takes each line of output.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        namespace: str = "",
        log_level: str = "info",
        write: Callable[[str], None] | None = None,
    ) -> None:
        self._specs = specs
        self._namespace, self._log_level = namespace, log_level
        self._write = write or say
        self._width = max((len(spec.name) for spec in specs), default=0)
        self._children: list[_Child] = []
        # Not a Queue, whose put() must not be interrupted by a signal handler that puts, too.
        self._endings: queue.SimpleQueue[Ending] = queue.SimpleQueue()
        self._first: Ending | None = None
        self._stopping = False

    def start(self) -> None:
        """Start all processes; on Linux they get SIGTERM when this one ends, however it ends.

        Raises:
            RuntimeError: outside the main thread. The kernel ends the children of a thread with
                that thread, and only the main thread lives as long as the process.
        """
        if threading.current_thread() is not threading.main_thread():
            name = threading.current_thread().name
            raise RuntimeError(f"start() was called in thread {name}; it must be the main thread")
        setup = _parent_death_signal(os.getpid())
        for spec in self._specs:
            process = subprocess.Popen(
                spec.command(self._namespace, self._log_level),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Ctrl-C must reach this process only: the order of the end matters.
                start_new_session=True,
                preexec_fn=setup,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "RCUTILS_COLORIZED_OUTPUT": "0"},
            )
            child = _Child(spec, process)
            child.reader = threading.Thread(target=self._follow, args=(child,), daemon=True)
            child.reader.start()
            self._children.append(child)

    def pid(self, name: str) -> int:
        """Process id of the process ``name``.

        Raises:
            KeyError: when there is no such process.
        """
        for child in self._children:
            if child.spec.name == name:
                return child.process.pid
        raise KeyError(f"no process {name!r}; there are {[c.spec.name for c in self._children]}")

    def end(self, reason: str, code: int = 0) -> None:
        """Ask for the end; the first reason counts."""
        self._endings.put(Ending(reason, code))

    def poll(self) -> Ending | None:
        """The reason to end, if there is one already."""
        if self._first is None:
            with contextlib.suppress(queue.Empty):
                self._first = self._endings.get_nowait()
        return self._first

    def ending_reason(self) -> str | None:
        """Why the group ends, or None while all that is critical runs."""
        ending = self.poll()
        return ending.reason if ending else None

    def wait(self) -> Ending:
        """Wait until a critical process dies or :meth:`end` is called."""
        while self._first is None:
            # A plain get() would keep Python from handling signals.
            with contextlib.suppress(queue.Empty):
                self._first = self._endings.get(timeout=0.2)
        return self._first

    def stop(self) -> None:
        """End all processes, rank by rank; the robot is damped until the bridge's own end."""
        self._stopping = True
        for rank in sorted({child.spec.stop_rank for child in self._children}):
            children = [child for child in self._children if child.spec.stop_rank == rank]
            for child in children:
                _signal(child, signal.SIGTERM)
            start = time.monotonic()
            for child in children:
                grace = child.spec.stop_grace_s
                try:
                    child.process.wait(max(start + grace - time.monotonic(), 0.05))
                except subprocess.TimeoutExpired:
                    self._say(child, f"did not end within {grace:g} s, killed")
                    _signal(child, signal.SIGKILL)
                    child.process.wait()
                child.reader.join(1.0)
        flush()

    def _follow(self, child: _Child) -> None:
        assert child.process.stdout is not None
        for line in child.process.stdout:
            child.last_lines.append(line.rstrip())
            self._say(child, line.rstrip())
        code = child.process.wait()
        if self._stopping:
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        if child.spec.critical:
            last = f": {child.last_lines[-1]}" if child.last_lines else ""
            self.end(f"{child.spec.name} {how}{last}", code if code > 0 else 1)
        else:
            self._say(child, how)

    def _say(self, child: _Child, text: str) -> None:
        self._write(f"{child.spec.name:>{self._width}} | {text}")


class LineWriter:
    """Writes lines for people from a thread of its own, so that a reader never holds up a writer.

    A terminal that is not read (a dead connection, Ctrl-S) blocks whoever writes to it: the
    supervision, and the node that talks to it. Here lines are dropped instead, and counted. That
    nobody reads any more (`| head`) is no error either.

    Args:
        write: Writes a text with its line ends; may block or raise OSError.
        most: Lines that wait to be written, at most.
    """

    def __init__(self, write: Callable[[str], None], most: int = 1000) -> None:
        self._write, self._most = write, most
        self._lines: queue.SimpleQueue[str | threading.Event] = queue.SimpleQueue()
        self._dropped = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def say(self, line: str) -> None:
        """Have a line written, or count it among those that were dropped."""
        with self._lock:
            if self._lines.qsize() >= self._most:
                self._dropped += 1
                return
            if self._dropped:
                self._lines.put(f"({self._dropped} lines were dropped: nobody read them)")
                self._dropped = 0
            self._lines.put(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def flush(self, timeout_s: float = 1.0) -> bool:
        """Wait until all that was said is written; returns whether it was."""
        if self._thread is None:
            return True
        written = threading.Event()
        self._lines.put(written)
        return written.wait(timeout_s)

    def _run(self) -> None:
        while True:
            item = self._lines.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            with contextlib.suppress(OSError, ValueError):
                self._write(item + "\n")


def _to_stderr(text: str) -> None:
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # no file of the system's
        sys.stderr.write(text)
        sys.stderr.flush()
        return
    # Past Python's buffer: blocked in there, this thread would hold a lock that the interpreter
    # wants at its end, and what it then says of that would block for ever.
    left = text.encode(sys.stderr.encoding or "utf-8", errors="replace")
    while left:
        left = left[os.write(descriptor, left) :]


_WRITER = LineWriter(_to_stderr)
say = _WRITER.say
flush = _WRITER.flush


def _signal(child: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.process.send_signal(number)


def _parent_death_signal(parent: int) -> Callable[[], None] | None:
    """What a child does before it becomes its program, so that it gets SIGTERM when `parent` dies.

    A bring-up that is killed must not leave a policy behind that drives the robot. SIGTERM and
    not SIGKILL: the bridge damps until the robot is down.
    """
    prctl = _PRCTL
    if prctl is None:
        return None

    def setup() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it died before this one had asked for the signal
            os._exit(1)

    return setup
