"""What all nodes do alike on their topics."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

__all__ = ["LATCHED", "diagnostic_name"]

#: Of topics that hold a state: whoever comes later gets the last message.
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def diagnostic_name(node: Node, part: str) -> str:
    """Name of a diagnostic status, with the node's namespace: two robots share `/diagnostics`."""
    return f"{node.get_fully_qualified_name().lstrip('/')}: {part}"
