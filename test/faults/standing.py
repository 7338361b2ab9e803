"""Standing a robot up for a test, on a machine that may be busy with other things.

Such a machine may hold up states or commands for long enough to be a fault. What follows is under
test, this is not: then the robot is stood up again, a few times at most and with a warning. Any
other fault fails at once.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from std_srvs.srv import Trigger
from truth import DEADLINE_S, wait_for

if TYPE_CHECKING:
    from robot_graph import RobotGraph

__all__ = ["MOST_TRIES", "stand_up", "starved"]

STARVED = ("", "command_stale", "state_stale")
MOST_TRIES = 4
ANSWER_S = 3.0


def stand_up(graph: RobotGraph) -> None:
    """Let the policy node stand the robot up, and wait until it stands.

    Raises:
        AssertionError: If it does not stand in time; says what everybody thought, and the logs.
    """
    attempt = _Attempt(graph)
    try:
        graph.wait_for_bridge("idle")
        graph.meet()
        wait_for(attempt.advance, "robot standing", 4.0 * DEADLINE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{graph.describe()}") from None
    if attempt.tries > 1:
        warnings.warn(f"a busy machine: stood up only at try {attempt.tries}", stacklevel=3)


def starved(graph: RobotGraph) -> str:
    """Say how the machine held up states or commands for long enough to be a fault, if it did."""
    bridge, policy = graph.bridge, graph.policy_state
    if bridge.fault and bridge.fault in STARVED:
        return f"{bridge.fault}, {bridge.fault_detail}"
    silent = policy is not None and "no robot state" in policy.reason
    return f"{policy.mode}, {policy.reason}" if silent else ""


class _Attempt:
    def __init__(self, graph: RobotGraph) -> None:
        self._graph = graph
        self.tries = 0
        """How often the policy began to stand up."""

    def advance(self) -> bool:
        """Ask for what is missing now, and return whether the robot stands."""
        graph, bridge, policy = self._graph, self._graph.bridge, self._graph.policy_state
        assert bridge.fault in STARVED, f"fault {bridge.fault}, {bridge.fault_detail}"
        if bridge.fault:
            graph.trigger("bridge/reset_fault")  # in vain until the robot lies still
        elif policy is None:
            return False
        elif bridge.state == "active" and policy.mode == "stand":
            return graph.truth.standing
        elif bridge.state == "idle" and policy.mode == "damping":
            # Also where the policy let go by itself: then no fault is latched.
            self._ask()
        elif bridge.state == "idle" and "start from damping" in bridge.fault_detail:
            # The policy has not heard of a fault that is reset by now, and goes on where it was.
            graph.trigger("policy/damping")
        return False

    def _ask(self) -> None:
        try:
            # The request may go to the server of a policy that was killed, which stays in the graph.
            answer = self._graph.call(Trigger, "policy/stand_up", Trigger.Request(), ANSWER_S)
        except AssertionError:
            return
        self.tries += answer.message == "stand_up entered"  # not "already in stand_up"
        assert self.tries <= MOST_TRIES, "the robot had to be stood up again too often"
