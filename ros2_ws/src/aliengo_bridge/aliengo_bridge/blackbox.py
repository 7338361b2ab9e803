"""The last second before a fault, kept in memory and written down when it happens.

Recording never waits and copies nothing; writing happens on a thread of its own, and a disk that
is full or gone costs the record, not the robot.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aliengo_bridge.messages import JOINT_COUNT, LowCommand, LowState

__all__ = ["BlackBox", "BlackBoxWriter", "Tick", "as_array"]

_TICK = np.dtype(
    [
        ("time_s", "f8"),
        ("mode", "U10"),
        ("tick", "u4"),
        ("state_age_s", "f4"),
        ("command_age_s", "f4"),
        ("quaternion", "f4", (4,)),
        ("gyroscope", "f4", (3,)),
        ("accelerometer", "f4", (3,)),
        *((name, "f4", (JOINT_COUNT,)) for name in ("q", "dq", "tau_est")),
        ("temperature", "i1", (JOINT_COUNT,)),
        *((f"sent_{name}", "f4", (JOINT_COUNT,)) for name in ("q", "dq", "tau", "kp", "kd")),
    ]
)
_STATE_VECTORS = ("quaternion", "gyroscope", "accelerometer")
_STATE_JOINTS = ("q", "dq", "tau_est", "temperature")
_SENT = ("q", "dq", "tau", "kp", "kd")


@dataclass(frozen=True)
class Tick:
    """One tick of the control loop; states and commands are not changed once they are made."""

    time_s: float
    mode: str
    ages_s: tuple[float, float]
    """Of the newest state and of the newest command [s]."""
    state: LowState | None
    sent: LowCommand


class BlackBox:
    """A ring of the last ticks."""

    def __init__(self, ticks: int = 660) -> None:
        """Start empty.

        Args:
            ticks: Length of the ring; by default 1.2 s at 500 Hz with a tick more for each of 50
                commands a second, a second of it before the fault and the rest after it.
        """
        self._ring: deque[Tick] = deque(maxlen=ticks)

    def record(self, tick: Tick) -> None:
        """Note one tick."""
        self._ring.append(tick)

    def contents(self) -> tuple[Tick, ...]:
        """Return the recorded ticks, oldest first."""
        return tuple(self._ring)


def as_array(ticks: tuple[Tick, ...]) -> np.ndarray:
    """Return the ticks as one structured array."""
    array = np.zeros(len(ticks), dtype=_TICK)
    for row, tick in zip(array, ticks, strict=True):
        row["time_s"], row["mode"] = tick.time_s, tick.mode
        row["state_age_s"], row["command_age_s"] = tick.ages_s
        if tick.state is not None:
            row["tick"] = tick.state.tick
            for name in _STATE_VECTORS:
                row[name] = getattr(tick.state, name)
            for name in _STATE_JOINTS:
                row[name] = getattr(tick.state, name)[:JOINT_COUNT]
        for name in _SENT:
            row[f"sent_{name}"] = getattr(tick.sent, name)[:JOINT_COUNT]
    return array


class BlackBoxWriter:
    """Writes records to a folder, in the background, keeping only the newest."""

    KEEP = 50
    _STALE_S = 3600.0

    def __init__(self, folder: Path | None) -> None:
        """Start the writer.

        Args:
            folder: Where to write `fault_<time>_<name>.npz`; None writes nothing.
        """
        self._folder = folder
        self._waiting: queue.Queue[tuple[str, str, tuple[Tick, ...]]] = queue.Queue(maxsize=4)
        self.last_error = ""
        """Why the newest record could not be written, or empty."""
        self.written: list[Path] = []
        threading.Thread(target=self._run, name="blackbox", daemon=True).start()

    def submit(self, fault: str, detail: str, ticks: tuple[Tick, ...]) -> None:
        """Hand over a record; it is dropped if the writer cannot keep up."""
        if self._folder is None:
            return
        try:
            self._waiting.put_nowait((fault, detail, ticks))
        except queue.Full:
            self.last_error = "the disk is too slow: a record was dropped"

    def _run(self) -> None:
        while True:
            fault, detail, ticks = self._waiting.get()
            try:
                self._write(fault, detail, ticks)
                self.last_error = ""
            except OSError as error:
                self.last_error = f"cannot write the fault record: {error}"

    def _write(self, fault: str, detail: str, ticks: tuple[Tick, ...]) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S")
        path = self._folder / f"fault_{stamp}_{fault}.npz"
        partial = path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                np.savez_compressed(file, ticks=as_array(ticks), fault=fault, detail=detail)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        self.written.append(path)
        self._clean_up(self._folder, path)

    def _clean_up(self, folder: Path, newest: Path) -> None:
        # The name tells the age only as long as nobody sets the clock back.
        others = sorted(path for path in folder.glob("fault_*.npz") if path != newest)
        for old in others[: max(0, len(others) + 1 - self.KEEP)]:
            old.unlink(missing_ok=True)
        for partial in folder.glob("fault_*.partial"):  # of a process that was killed
            with contextlib.suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > self._STALE_S:
                    partial.unlink()
