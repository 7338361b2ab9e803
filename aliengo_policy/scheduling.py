"""Lets the control path run before other programs of the machine, where that is permitted."""

from __future__ import annotations

import os
from pathlib import Path


def raise_priority(priority: int) -> str:
    """Give every thread of this process the SCHED_FIFO priority, or say why not.

    The threads of the middleware are included: they carry each state and command. A policy that
    waits for a compiler to finish is a policy that lets the robot fall.

    Args:
        priority: 1 to 99; 0 leaves everything as it is.

    Returns:
        What was done, for the log.
    """
    if priority == 0:
        return "scheduling is left as it is"
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, AttributeError) as error:  # no permission, or no Linux
        return f"real-time priority {priority} not permitted ({error}): scheduling is left as it is"
    return f"real-time priority {priority}"
