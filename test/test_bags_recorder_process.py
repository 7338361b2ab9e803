"""The recorder as a real process: nothing lost at the robot's rate, killed, and out of disk."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from processes import ENDS_WITH_US

rclpy = pytest.importorskip("rclpy", reason="the recorder process needs ROS 2")
pytest.importorskip("unitree_legged_msgs.msg", reason="the messages are not built")

from aliengo_msgs.msg import PolicyState, PolicyStep  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from rosbags.highlevel import AnyReader  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from unitree_legged_msgs.msg import IMU, LowState  # noqa: E402

from aliengo_policy.bags.read import Bag  # noqa: E402
from aliengo_policy.bags.recorder_node import LOSSES  # noqa: E402

pytestmark = pytest.mark.integration
DOMAIN = int(os.environ["ROS_DOMAIN_ID"])
DEADLINE_S = 30.0


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = rclpy.create_node("robot", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def publisher(node):
    return node.create_publisher(LowState, "low_state", qos_profile_sensor_data)


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


def is_in_file(path: Path, tick: int) -> bool:
    bag = Bag(path)
    return "/low_state" in bag.topics and tick in ticks(path)


def test_every_message_is_recorded_and_the_file_is_finished_on_sigint(tmp_path, publisher):
    with recorder(tmp_path / "run") as process:
        wait_for(lambda: publisher.get_subscription_count() > 0, "the subscription")
        publish(publisher, 1500)
        # Best effort: only what is in the file has surely arrived. The rest fills its chunk.
        sent = 1500
        while not is_in_file(tmp_path / "run", tick=1499):
            assert sent < 1500 + 500 * DEADLINE_S, "the last of the 1500 states is not in the file"
            publish(publisher, 50, first_tick=sent)
            sent += 50
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
    kept = ticks(tmp_path / "run")
    assert len(kept) >= 1500
    np.testing.assert_array_equal(kept, np.arange(len(kept)))
    assert Bag(tmp_path / "run").complete
    assert Bag(tmp_path / "run").metadata[LOSSES] == {}
    assert (tmp_path / "run" / "metadata.yaml").is_file()


def test_every_message_decodes_with_another_library_and_nothing_but_the_file(tmp_path, node):
    status = DiagnosticStatus(name="bridge", values=[KeyValue(key="rate", value="500")])
    messages = {
        "low_state": LowState(tick=7, imu=IMU(temperature=41)),
        "policy/step": PolicyStep(mode="walk", observation=[0.5, -1.0, 2.0], tick=9),
        "policy/state": PolicyState(policy="base", available_policies=["base", "residual"]),
        "joint_states": JointState(name=["FL_hip", "FL_thigh"], position=[0.1, 0.8]),
        "/diagnostics": DiagnosticArray(status=[status, status]),
        "mode_request": String(data="stand_up"),
    }
    publishers = {name: node.create_publisher(type(m), name, 100) for name, m in messages.items()}
    with recorder(tmp_path / "run") as process:
        for name, out in publishers.items():
            wait_for(
                lambda out=out: out.get_subscription_count() > 0, f"the subscription of {name}"
            )
        for _ in range(20):
            for name, out in publishers.items():
                out.publish(messages[name])
        for name, out in publishers.items():
            assert out.wait_for_all_acked(Duration(seconds=DEADLINE_S)), name
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 0
    found = defaultdict(list)
    with AnyReader([tmp_path / "run"]) as reader:  # without any typestore of its own
        for connection, _, raw in reader.messages():
            found[connection.topic].append(reader.deserialize(raw, connection.msgtype))
    counts = {name: len(found[f"/{name.lstrip('/')}"]) for name in messages}
    assert counts == dict.fromkeys(messages, 20)
    assert (found["/low_state"][0].tick, found["/low_state"][0].imu.temperature) == (7, 41)
    assert found["/policy/step"][3].observation.tolist() == [0.5, -1.0, 2.0]
    assert found["/policy/state"][5].available_policies == ["base", "residual"]
    assert found["/joint_states"][9].position.tolist() == [0.1, 0.8]
    assert found["/diagnostics"][11].status[1].values[0].value == "500"
    assert found["/mode_request"][19].data == "stand_up"


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
