"""A commander of the tests' own on `low_cmd`."""

from __future__ import annotations

import threading
import time
from copy import deepcopy

import numpy as np
from robot_graph import RobotGraph
from truth import wait_for
from unitree_legged_msgs.msg import LowCmd

from aliengo_bridge.cdr import encode_low_cmd
from aliengo_bridge.messages import LowCommand
from aliengo_description import robot
from aliengo_description.scheduling import POLICY, raise_priority


class Commander:
    """A commander of our own on `low_cmd`, which can be told to go mad."""

    PERIOD_S = 0.02

    def __init__(self, graph: RobotGraph) -> None:
        """Start to send damping at 50 Hz."""
        self._publisher = graph.node.create_publisher(LowCmd, "low_cmd", 1)
        self.command = LowCommand()
        self.command.mode[:] = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sending."""
        self._end.set()
        self._thread.join()

    def hold(self, q: np.ndarray) -> None:
        """Command joint positions (12,) [rad]."""
        command = LowCommand()
        command.q[:12], command.dq[:12] = q, 0.0
        command.kp[:12], command.kd[:12] = 100.0, 3.0
        self.command = command

    def corrupt(self, field: str, index: int | slice, value: float) -> None:
        """Change one field of what is commanded."""
        command = deepcopy(self.command)
        getattr(command, field)[index] = value
        self.command = command

    def stand_up(self, graph: RobotGraph) -> None:
        """Lead the robot from its lying pose to its feet."""
        graph.wait_for_bridge("idle")
        start = wait_for(lambda: graph.positions, "joint positions")[-1]
        for i in range(101):
            self.hold(start + i / 100 * (robot.STAND_JOINT_POSITIONS - start))
            self._end.wait(self.PERIOD_S)
        wait_for(lambda: graph.truth.standing, "robot standing")
        assert graph.bridge.state == "active"

    def _run(self) -> None:
        # As the policy node for which it stands: on a busy machine the tests' own commander would
        # otherwise be the one that goes silent. This thread alone, not the tests.
        raise_priority(POLICY, whole_process=False)
        due = time.monotonic()
        while not self._end.wait(max(0.0, due - time.monotonic())):
            self._publisher.publish(encode_low_cmd(self.command))
            due += self.PERIOD_S
