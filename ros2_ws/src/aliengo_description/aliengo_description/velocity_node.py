"""How the nodes of an operator send velocity commands."""

from __future__ import annotations

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.node import Node

__all__ = ["VelocityPublisher"]


class VelocityPublisher:
    """Publishes velocity commands, as Twist or as TwistStamped.

    Args:
        node: Whose topic it is.
        topic: Its name.
        stamped: Whether as TwistStamped, with the time of the node's clock.
        frame_id: Frame of these.
    """

    def __init__(self, node: Node, topic: str, stamped: bool, frame_id: str) -> None:
        self._clock = node.get_clock()
        self._stamped = stamped
        self._frame_id = frame_id
        self._out = node.create_publisher(TwistStamped if stamped else Twist, topic, 1)

    def publish(self, vx: float, vy: float, wz: float) -> None:
        """Send vx and vy [m/s] and wz [rad/s], in the body frame."""
        twist = Twist()
        twist.linear.x, twist.linear.y, twist.angular.z = float(vx), float(vy), float(wz)
        if not self._stamped:
            self._out.publish(twist)
            return
        stamped = TwistStamped(twist=twist)
        stamped.header.stamp = self._clock.now().to_msg()
        stamped.header.frame_id = self._frame_id
        self._out.publish(stamped)
