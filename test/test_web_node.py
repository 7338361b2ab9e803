"""What the node of the live view publishes when its page is used; the page itself: test_web_view.py."""

from __future__ import annotations

import os
from typing import Any

import pytest
from browser import wait_for

rclpy = pytest.importorskip("rclpy", reason="the live view needs ROS 2")
pytest.importorskip("aliengo_msgs.msg", reason="the messages are not built")
pytest.importorskip("viser", reason="the live view needs viser")

from geometry_msgs.msg import Twist, TwistStamped  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402

from aliengo_policy.web import web_node  # noqa: E402

pytestmark = pytest.mark.integration
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])


class Page:
    """Stands in for the server: keeps what the page would call."""

    url = ""

    def __init__(self, _links: Any, controls: Any, *_: Any) -> None:
        self.controls = controls

    def update(self, *_: Any) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing is open."""


def driven(monkeypatch: pytest.MonkeyPatch, kind: type, *parameters: str) -> Any:
    """The command that a listener hears when the stick of the page is moved."""
    monkeypatch.setattr(web_node, "WebView", Page)
    arguments = [word for value in parameters for word in ("-p", value)]
    heard: list[Any] = []
    rclpy.init(args=["--ros-args", *arguments], domain_id=DOMAIN)
    try:
        node, ear = web_node.WebNode(), rclpy.create_node("ear")
        ear.create_subscription(kind, "cmd_vel_web", heard.append, 1)
        executor = SingleThreadedExecutor()
        executor.add_node(ear)

        def pressed() -> bool:
            node.view.controls.drive(0.5, -0.25, 0.75)
            executor.spin_once(timeout_sec=0.05)
            return bool(heard)

        wait_for(pressed, "a command of the page")
    finally:
        rclpy.shutdown()  # ends the nodes, too
    return heard[0]


def test_the_stick_is_a_twist(monkeypatch: pytest.MonkeyPatch) -> None:
    twist = driven(monkeypatch, Twist)
    assert (twist.linear.x, twist.linear.y, twist.angular.z) == (0.5, -0.25, 0.75)


@pytest.mark.parametrize("frame", ["base_link", "a/base_link"])
def test_a_stamped_command_names_the_robots_frame(
    monkeypatch: pytest.MonkeyPatch, frame: str
) -> None:
    told = [] if frame == "base_link" else [f"frame_id:={frame}"]
    stamped = driven(monkeypatch, TwistStamped, "use_stamped:=true", *told)
    assert stamped.header.frame_id == frame
    assert stamped.header.stamp.sec > 0
    assert stamped.twist.linear.x == 0.5
