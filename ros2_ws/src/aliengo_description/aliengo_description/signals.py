"""The signals that ask a process to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

__all__ = ["on_end_signal"]


def on_end_signal(handler: Callable[[int, FrameType | None], None]) -> None:
    """Calls a handler for Ctrl-C, for SIGTERM, and when the terminal goes.

    A process started by `nohup`, which ignores the last, goes on ignoring it.
    """
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)
