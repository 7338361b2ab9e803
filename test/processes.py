"""What tests need for the processes that they start, and know about them."""

from __future__ import annotations

import socket
from pathlib import Path

ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
"""Put before a command: its process gets SIGTERM when the test run is killed, which runs no fixture.

The kernel sends it when the *thread* that started the process ends, so start from the main thread.
"""

KILLED_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""The same with SIGKILL, for what a test may have stopped: SIGTERM would wait for its SIGCONT."""


def free_port() -> int:
    """Return a UDP port of this machine that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    """Whether a process exists and has not ended; one that nobody has waited for has ended."""
    stat = _stat(pid)
    return stat is not None and stat[0] != "Z"


def descendants(pid: int) -> dict[int, str]:
    """Process ids and command lines of a process's children, their children, and so on."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))) is not None:
            parents.setdefault(int(stat[1]), []).append(int(folder.name))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:  # it has just ended
                continue
            found[child] = b" ".join(words).decode(errors="replace").strip()
            waiting.append(child)
    return found


def _stat(pid: int) -> list[str] | None:
    """State, parent, ... of a process; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name before them is in brackets and may contain anything.
    return text.rsplit(")", 1)[1].split()
