"""What the node makes of requests, before a control process of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2; `make test` sets it up")

from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from aliengo_bridge.bridge_node import BridgeNode
from aliengo_bridge.control_client import ControlError
from aliengo_bridge.faults import Fault


class Control:
    """Notes what it is asked; fails if it has a reason to."""

    def __init__(self, failure: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failure = failure

    def call(self, *call: Any) -> None:
        self.calls.append(call)

    def ask(self, *call: Any) -> None:
        self.call(*call)
        if self.failure:
            raise ControlError(self.failure)


def test_the_topic_latches_the_emergency_stop_and_a_false_does_nothing() -> None:
    node: Any = SimpleNamespace(control=Control())
    BridgeNode._on_estop(node, Bool(data=False))
    assert node.control.calls == []
    for count in (1, 2):
        BridgeNode._on_estop(node, Bool(data=True))
        assert [call[:2] for call in node.control.calls] == count * [("report", Fault.ESTOP)]


@pytest.mark.parametrize("failure", ["", "the control process is gone"])
def test_the_service_says_whether_the_emergency_stop_is_latched(failure: str) -> None:
    node: Any = SimpleNamespace(control=Control(failure))
    answer = BridgeNode._on_estop_service(node, Trigger.Request(), Trigger.Response())
    assert answer.success == (not failure)
    assert failure in answer.message
    assert node.control.calls[0][:2] == ("report", Fault.ESTOP)
