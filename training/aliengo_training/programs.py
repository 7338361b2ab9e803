"""The command-line programs, started by one another as processes of their own."""

from __future__ import annotations

import sys
from typing import List, Sequence

__all__ = ["command"]

_SOURCE = (
    "import sys; from aliengo_training.isaac_import import before_torch; before_torch(sys.argv); "
    "from aliengo_training.cli.{program} import main; main()"
)


def command(program: str, arguments: Sequence[str]) -> List[str]:
    """Command line of a module of `aliengo_training.cli`, for `subprocess`."""
    return [sys.executable, "-c", _SOURCE.format(program=program), *arguments]
