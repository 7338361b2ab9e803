"""The command-line programs, started by one another as processes of their own."""

from __future__ import annotations

import signal
import sys
from typing import Any, List, Optional, Sequence, Tuple

__all__ = ["command", "interrupt_on_sigterm", "split_passed_on"]

_SOURCE = (
    "import sys; from aliengo_training.isaac_import import before_torch; before_torch(sys.argv); "
    "from aliengo_training.cli.{program} import main; main()"
)


def command(program: str, arguments: Sequence[str]) -> List[str]:
    """Command line of a module of `aliengo_training.cli`, for `subprocess`."""
    return [sys.executable, "-c", _SOURCE.format(program=program), *arguments]


def split_passed_on(arguments: Optional[Sequence[str]] = None) -> Tuple[List[str], List[str]]:
    """Arguments of a program itself, and those after `--`, which it passes on.

    Args:
        arguments: By default those of this process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    return given[:cut], given[cut + 1 :]


def interrupt_on_sigterm() -> None:
    """Let SIGTERM raise KeyboardInterrupt, so that a program has one way to be stopped."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
