"""Lets the operator's input run before other programs of the machine, where that is permitted."""

from __future__ import annotations

import os

__all__ = ["DEFAULT_PRIORITY", "raise_priority"]

DEFAULT_PRIORITY = 5
"""Below the policy's 10 and the bridge's 20: the robot is kept upright before it is steered."""


def raise_priority(priority: int) -> str:
    """Gives every thread of this process a `SCHED_FIFO` priority, or says why not.

    The dead man and the e-stop pass through here: neither may wait for a compiler to finish.

    Args:
        priority: 1 to 99; 0 leaves everything as it is.

    Returns:
        What was done, for the log.
    """
    if priority <= 0:
        return "scheduling is left as it is"
    try:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, AttributeError) as error:  # no permission, or no Linux
        return f"real-time priority {priority} not permitted ({error}): scheduling is left as it is"
    return f"real-time priority {priority}"
