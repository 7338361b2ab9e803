"""Lets the control path run before other programs of the machine, where that is permitted.

The robot's packages never import each other; what they share besides the robot stands here. Higher
goes first: the bridge must be able to damp the robot whatever the policy does, and the robot is kept
upright before it is steered.
"""

import os

__all__ = ["BRIDGE", "OPERATOR", "POLICY", "TWIN", "raise_priority"]

BRIDGE = 20
POLICY = 10
TWIN = 10
"""Below the bridge's, as a robot's own computer would not hold it up."""
OPERATOR = 5


def raise_priority(priority: int, *, whole_process: bool = True) -> str:
    """Give threads the `SCHED_FIFO` priority, or say why not.

    A thread that is preempted while it holds the interpreter, or a lock of the middleware, holds up
    every other of its process, however high their priority. So all threads are meant as a rule.

    Args:
        priority: 1 to 99; 0 and less leave everything as it is.
        whole_process: Whether all threads of this process get it, or only the calling one.

    Returns:
        How the threads are scheduled now, in words, for the log.
    """
    if priority <= 0:
        return "normal priority"
    try:
        threads = map(int, os.listdir("/proc/self/task")) if whole_process else (0,)
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, AttributeError) as error:  # no permission, or no Linux
        return f"normal priority: real-time priority {priority} is not permitted ({error})"
    return f"real-time priority {priority}"
