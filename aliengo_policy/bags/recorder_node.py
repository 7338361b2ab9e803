"""ROS node `recorder`: records the topics of one robot into an MCAP file.

For machines without `ros2 bag record -s mcap`; what it writes, `ros2 bag play` plays. It records
every topic in its namespace, and the shared ones in `GLOBAL_TOPICS`, as soon as they appear.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription

from aliengo_description.middleware import avoid_shared_memory
from aliengo_description.parameters import Parameter
from aliengo_description.parameters_node import declare_parameters
from aliengo_description.signals import on_end_signal
from aliengo_policy.bags.losses import LossCounter
from aliengo_policy.bags.metadata import qos_yaml
from aliengo_policy.bags.record import Recorder
from aliengo_policy.bags.rosbag import EXCLUDED, is_recorded, recording_folder
from aliengo_policy.definitions import definition_text

QUEUE_DEPTH = 5000
"""Ten seconds of the fastest topic: a stall of the disk loses nothing."""
LOSSES = "aliengo_losses"
"""Name of the metadata with the number of messages lost on the way, by topic."""
DRAIN_PERIOD_S = 0.1
DISCOVERY_PERIOD_S = 0.5
PARAMETERS = (
    Parameter("exclude", EXCLUDED, "topics not recorded (regex)"),
    Parameter("output", "", "folder to create; empty = logs/bags/<time>"),
    Parameter("min_free_mb", 500, "recording ends below this free space [MB]", 0, 10**9),
    Parameter("attachments", [""], "files stored inside, such as models"),
)


class RecorderNode(Node):
    """Moves serialised messages from subscriptions to a `Recorder`.

    The subscriptions are polled instead of spun: waking the executor for each of a thousand
    messages a second would cost a third of a core, taking a batch ten times a second does not.
    Time stamps are those that the middleware took on arrival, so polling does not blur them.
    """

    def __init__(self) -> None:
        """Opens the recording.

        Raises:
            OSError: If the folder of the recording exists or cannot be written to, or the disk has
                no room.
            ValueError: If a parameter is unknown or out of range.
            ParameterException: If a parameter has the wrong type or is out of range.
        """
        super().__init__("recorder")
        values = declare_parameters(self, PARAMETERS)
        self._exclude: str = values["exclude"]
        folder, free_mb = recording_folder(values["output"]), values["min_free_mb"]
        self.recorder = Recorder(folder, free_mb * 1_000_000)
        files = [Path(name) for name in values["attachments"] if name]
        for path in files:
            if not path.is_file():
                self.get_logger().warning(f"not attached, because it does not exist: {path}")
        self.recorder.attach([path for path in files if path.is_file()], time.time_ns())
        self._subscriptions_by_topic: dict[str, Subscription[Any]] = {}
        self._unknown: set[str] = set()
        self.losses = LossCounter()
        self.get_logger().info(f"recording to {self.recorder.folder}")

    def discover(self) -> None:
        """Subscribes to topics that have appeared since the last call."""
        for topic, types in self.get_topic_names_and_types():
            if topic in self._subscriptions_by_topic or topic in self._unknown:
                continue
            if not is_recorded(topic, self.get_namespace(), self._exclude):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            try:
                package, _, name = types[0].split("/")
                message_type = getattr(__import__(f"{package}.msg", fromlist=[name]), name)
            except (ImportError, AttributeError) as error:
                self._unknown.add(topic)
                self.get_logger().warning(f"not recording {topic}: {error}")
                continue
            self._subscribe(topic, types[0], message_type, [p.qos_profile for p in publishers])

    def _subscribe(
        self, topic: str, type_name: str, message_type: Any, profiles: list[QoSProfile]
    ) -> None:
        # The weakest offer of all publishers is the only one that hears every publisher.
        reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
        latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
        qos = QoSProfile(
            depth=QUEUE_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        definition = definition_text(message_type)
        self.recorder.add_topic(topic, type_name, definition, qos_yaml(reliable, latched))
        self._subscriptions_by_topic[topic] = self.create_subscription(
            message_type, topic, lambda message: None, qos, raw=True
        )

    def drain(self) -> None:
        """Stores everything that has arrived.

        Raises:
            DiskFullError: If the disk is full.
        """
        for topic, subscription in self._subscriptions_by_topic.items():
            while True:
                with subscription.handle:
                    taken = subscription.handle.take_message(subscription.msg_type, True)
                if taken is None:
                    break
                data, info = taken
                self.losses.note(topic, info)
                received = info["received_timestamp"] or time.time_ns()
                sent = info["source_timestamp"] or received
                self.recorder.write(topic, data, received, sent)
        self.recorder.flush()


def run(node: RecorderNode, stop: list[int]) -> None:
    """Records until `stop` has an element or the disk is full, then closes the file."""
    next_discovery = time.monotonic()
    try:
        while not stop and rclpy.ok():
            if time.monotonic() >= next_discovery:
                node.discover()
                next_discovery = time.monotonic() + DISCOVERY_PERIOD_S
            node.drain()
            time.sleep(DRAIN_PERIOD_S)
        node.drain()
    except OSError as error:
        # The robot walks on: only the recording ends, and says so.
        node.get_logger().error(f"recording stopped: {error}")
    finally:
        _finish(node)


def _finish(node: RecorderNode) -> None:
    """Stores what was lost on the way, closes the file and says what is in it."""
    try:
        if node.losses.counted:
            lost = {topic: str(count) for topic, count in node.losses.lost.items()}
            node.recorder.add_metadata(LOSSES, lost)
        node.recorder.close()
    except OSError as error:
        node.get_logger().error(f"the recording has no index, but can be read: {error}")
        node.recorder.abandon()
    for topic, count in sorted(node.losses.lost.items()):
        node.get_logger().warning(f"{topic}: {count} messages were lost before they arrived here")
    counts = node.recorder.counts
    node.get_logger().info(
        f"recorded {sum(counts.values())} messages of {len(counts)} topics in {node.recorder.path}"
    )


def main() -> None:
    """Runs the node until a signal asks it to stop."""
    # Own handlers: after rclpy's, the last messages could no longer be taken.
    avoid_shared_memory()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop: list[int] = []
    on_end_signal(lambda received, _: stop.append(received))
    try:
        node = RecorderNode()
    except (OSError, ValueError, ParameterException) as error:
        rclpy.try_shutdown()
        raise SystemExit(f"recorder: {error}") from None
    try:
        run(node, stop)
    except ExternalShutdownException:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
