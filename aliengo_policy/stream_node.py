"""A ROS node that reads one fast topic without an executor, and serves everything else beside it.

rclpy's executor rebuilds its wait set, with every entity of the node, for each message: at 500 Hz that
alone costs a fifth of a core and delays each message. Here the fast subscription has a wait set of its
own, and the executor gets its turn when there is time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile

_SERVE_PERIOD_S = 0.02
_CALLBACKS_PER_TURN = 3  # 150 a second: several times what the other topics and timers need


class StreamNode(Node):
    """A node with one fast, raw subscription; see :meth:`open_stream` and :meth:`spin_stream`."""

    def open_stream(
        self,
        message_class: Any,
        topic: str,
        callback: Callable[[bytes], bool | None],
        qos: QoSProfile,
    ) -> None:
        """Subscribe to the fast topic.

        Args:
            message_class: of the topic.
            topic: its name.
            callback: gets each serialised message; returns true when the next one can wait a little.
            qos: of the subscription.
        """
        self._stream_class, self._stream_callback = message_class, callback
        self._stream = self.create_subscription(
            message_class, topic, lambda _: None, qos, callback_group=_Apart(), raw=True
        )

    def spin_stream(self, stop: threading.Event) -> None:
        """Handle messages until ``stop`` is set."""
        executor = SingleThreadedExecutor()
        executor.add_node(self)
        handle = self._stream.handle
        wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, self.context.handle)
        served_s = 0.0
        while not stop.is_set():
            wait_set.clear_entities()
            wait_set.add_subscription(handle)
            wait_set.wait(int(_SERVE_PERIOD_S * 1e9))
            has_time = False
            while (taken := handle.take_message(self._stream_class, True)) is not None:
                has_time = bool(self._stream_callback(taken[0]))
            if has_time or time.monotonic() - served_s > _SERVE_PERIOD_S:
                for _ in range(_CALLBACKS_PER_TURN):
                    executor.spin_once(timeout_sec=0.0)
                served_s = time.monotonic()


class _Apart(CallbackGroup):
    """Keeps its entities out of every executor."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return None
