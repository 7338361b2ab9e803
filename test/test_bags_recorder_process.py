"""The recorder as a real process: nothing lost at the robot's rate, killed, and out of disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from processes import ENDS_WITH_US

rclpy = pytest.importorskip("rclpy", reason="the recorder process needs ROS 2")
pytest.importorskip("unitree_legged_msgs.msg", reason="the messages are not built")

from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from unitree_legged_msgs.msg import LowState  # noqa: E402

from aliengo_policy.bags.read import Bag  # noqa: E402

pytestmark = pytest.mark.integration
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
DEADLINE_S = 30.0


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node("robot", context=context)
    yield node.create_publisher(LowState, "low_state", qos_profile_sensor_data)
    node.destroy_node()
    rclpy.shutdown(context=context)


@contextmanager
def recorder(output: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    command = [*ENDS_WITH_US, sys.executable, "-m", "aliengo_policy.bags.recorder_node"]
    command += ["--ros-args", "-p", f"output:={output}", "-p", "min_free_mb:=1", *arguments]
    environment = os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S} s"
        time.sleep(0.01)


def publish(publisher, count: int, first_tick: int = 0) -> None:
    """Publishes `count` states at 500 Hz."""
    message = LowState()
    start = time.monotonic()
    for i in range(count):
        message.tick = first_tick + i
        publisher.publish(message)
        time.sleep(max(start + 0.002 * (i + 1) - time.monotonic(), 0.0))


def ticks(path: Path) -> np.ndarray:
    return Bag(path).columns("/low_state", ["tick"]).values["tick"]


def test_every_message_is_recorded_and_the_file_is_finished_on_sigint(tmp_path, publisher):
    with recorder(tmp_path / "run") as process:
        wait_for(lambda: publisher.get_subscription_count() > 0, "the subscription")
        publish(publisher, 1500)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
    np.testing.assert_array_equal(ticks(tmp_path / "run"), np.arange(1500))
    assert Bag(tmp_path / "run").complete
    assert (tmp_path / "run" / "metadata.yaml").is_file()


def test_a_killed_recorder_leaves_what_it_had_received(tmp_path, publisher):
    path = tmp_path / "run" / "run_0.mcap"
    with recorder(tmp_path / "run") as process:
        wait_for(lambda: publisher.get_subscription_count() > 0, "the subscription")
        publish(publisher, 500)
        size = path.stat().st_size
        publish(publisher, 500, first_tick=500)
        wait_for(lambda: path.stat().st_size > size, "a flush")
        process.kill()
        process.wait(DEADLINE_S)
    kept = ticks(path)
    np.testing.assert_array_equal(kept, np.arange(len(kept)))
    assert len(kept) > 500
    assert not Bag(path).complete


def test_no_room_on_the_disk_is_said_and_nothing_is_left_running(tmp_path):
    with recorder(tmp_path / "run", "-p", "min_free_mb:=1000000000") as process:
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "recording needs 1000000000 MB" in errors
