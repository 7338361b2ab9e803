"""What all nodes do alike on their topics."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool

__all__ = ["LATCHED", "diagnostic_name", "listen_for_estop"]

#: Of topics that hold a state: whoever comes later gets the last message.
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def diagnostic_name(node: Node, part: str) -> str:
    """Name of a diagnostic status, with the node's namespace: two robots share `/diagnostics`."""
    return f"{node.get_fully_qualified_name().lstrip('/')}: {part}"


def listen_for_estop(node: Node, callback: Callable[[Bool], None]) -> None:
    """Hears the topic `estop`, whatever the reliability that it is published with.

    A best-effort publisher does not reach a reliable subscription, and a best-effort subscription
    may miss a message of a reliable one. With both, most messages arrive twice.
    """
    for reliability in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT):
        # Deep enough that a False does not push out the True before it.
        qos = QoSProfile(depth=10, reliability=reliability)
        node.create_subscription(Bool, "estop", callback, qos)
