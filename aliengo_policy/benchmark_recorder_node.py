"""`make bench-recorder`: does the recorder keep every message of a robot, and what does it cost?

A generator in a process of its own publishes the robot's fast topics at their rates, as numbered
messages with fresh noise; the recorder runs as in the graph. What is missing in the file was lost
on the way, which the recorder counts from the numbers of the middleware, or by the recorder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rclpy
from aliengo_msgs.msg import PolicyStep
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Imu, JointState
from unitree_legged_msgs.msg import LowCmd, LowState

from aliengo_description.middleware import stay_local
from aliengo_description.scheduling import BRIDGE, raise_priority
from aliengo_policy.bags.read import Bag
from aliengo_policy.bags.recorder_node import LOSSES
from aliengo_policy.cdr import CdrLayout

OUTPUT = Path("logs/recorder_benchmark.json")
PERIOD_S = 0.002
STATE_TOPIC = "low_state"
_TOPICS: tuple[tuple[str, Any, int, QoSProfile], ...] = (
    (STATE_TOPIC, LowState, 1, qos_profile_sensor_data),
    ("joint_states", JointState, 5, qos_profile_sensor_data),
    ("imu/data", Imu, 5, qos_profile_sensor_data),
    ("low_cmd", LowCmd, 10, QoSProfile(depth=1)),
    ("policy/step", PolicyStep, 10, QoSProfile(depth=50)),
    ("odom", Odometry, 10, QoSProfile(depth=10)),
)
"""Name, type, states per message and QoS, as the nodes publish them."""
_VARIANTS = 500
_GENERATOR_PRIORITY = BRIDGE - 1  # that of the bridge's node
_SMALLEST_SPACING_S = PERIOD_S / 4  # of messages that catch up: a burst is no robot
_FOUND_S = 30.0
_END_S = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns 0 only if nothing was lost."""
    parser = argparse.ArgumentParser(prog="benchmark_recorder", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="time of the recording")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON file")
    parser.add_argument("--generate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    stay_local()
    if options.generate:
        print(json.dumps(generate(round(options.seconds / PERIOD_S))))
        return 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    # On the disk that recordings go to, not in a memory that is called /tmp.
    with tempfile.TemporaryDirectory(dir=options.output.parent) as folder:
        try:
            summary = measure(options.seconds, Path(folder) / "run")
        except RuntimeError as error:
            print(f"benchmark_recorder: {error}", file=sys.stderr)
            return 1
    options.output.write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2))
    return 1 if summary["lost_on_the_way"] or summary["lost_by_the_recorder"] else 0


def measure(seconds: float, folder: Path) -> dict[str, Any]:
    """Record the generator; returns the figures.

    Args:
        seconds: time for which it publishes [s].
        folder: of the recording; it must not exist.

    Raises:
        RuntimeError: when one of the two processes fails.
    """
    module = [sys.executable, "-m"]
    recorder = subprocess.Popen(
        [*module, "aliengo_policy.bags.recorder_node", "--ros-args", "-p", f"output:={folder}"]
    )
    try:
        name = "aliengo_policy.benchmark_recorder_node"
        generator = subprocess.run(
            [*module, name, "--generate", "--seconds", str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        used = psutil.Process(recorder.pid).cpu_times()
        recorder.send_signal(signal.SIGINT)
        code = recorder.wait(_END_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the recorder did not end within {_END_S:g} s") from None
    finally:
        recorder.kill()
    if generator.returncode != 0 or code != 0:
        raise RuntimeError(f"generator ended with {generator.returncode}, recorder with {code}")
    sent = json.loads(generator.stdout)
    return {
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg()[0],
            "system": platform.platform(),
        },
        "seconds": seconds,
        **judge(Bag(folder), sent["counts"]),
        "sent_late": sent["late"],
        "recorder_cpu_percent": round(100.0 * (used.user + used.system) / sent["seconds"], 1),
        "megabytes": round(sum(p.stat().st_size for p in folder.iterdir()) / 1e6, 1),
    }


def judge(bag: Bag, sent: dict[str, int]) -> dict[str, Any]:
    """Compare a recording with what was sent.

    Args:
        bag: the recording.
        sent: number of messages by topic; those of `low_state` carry 0, 1, 2 ... as tick.

    Raises:
        RuntimeError: when messages were recorded twice or out of order.
    """
    counts = {name: bag.topics[name].count if name in bag.topics else 0 for name in sent}
    state = f"/{STATE_TOPIC}"
    ticks = bag.columns(state, ["tick"]).values["tick"] if counts[state] else np.empty(0)
    if (np.diff(ticks.astype(np.int64)) <= 0).any():
        raise RuntimeError(f"{state}: ticks are recorded twice or out of order")
    missing = {name: sent[name] - count for name, count in counts.items()}
    on_the_way = {name: int(count) for name, count in bag.metadata.get(LOSSES, {}).items()}
    by_the_recorder = {name: count - on_the_way.get(name, 0) for name, count in missing.items()}
    return {
        "sent": sum(sent.values()),
        "states_sent": sent[state],
        "states_recorded": counts[state],
        "lost_on_the_way": {name: count for name, count in on_the_way.items() if name in sent},
        "lost_by_the_recorder": {name: count for name, count in by_the_recorder.items() if count},
    }


@dataclass
class _Stream:
    """One topic: its publisher, its messages, and how many states pass between two of them."""

    publisher: Publisher[Any]
    messages: list[bytes]
    states: int
    count: int = 0


def generate(states: int) -> dict[str, Any]:
    """Publish this many states, with all that goes with them, at the robot's rate.

    Returns:
        Number of messages by topic, of those sent late by more than a period, and the time [s].

    Raises:
        RuntimeError: when nobody listens.
    """
    rclpy.init()
    node = Node("generator")
    random = np.random.default_rng(0)
    streams = {
        name: _Stream(node.create_publisher(kind, name, qos), _messages(kind, random), every)
        for name, kind, every, qos in _TOPICS
    }
    deadline = time.monotonic() + _FOUND_S
    while not all(stream.publisher.get_subscription_count() for stream in streams.values()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody listens to the generator after {_FOUND_S:g} s")
        time.sleep(0.05)
    print(raise_priority(_GENERATOR_PRIORITY), file=sys.stderr)
    start = time.monotonic()
    late = _publish(streams, states, start)
    seconds = time.monotonic() - start
    counts = {f"/{name}": stream.count for name, stream in streams.items()}
    _wait_for_the_last(node)
    rclpy.shutdown()
    return {"counts": counts, "late": late, "seconds": seconds}


def _publish(streams: dict[str, _Stream], states: int, start: float) -> int:
    """Publishes on absolute deadlines; returns how many states were late by more than a period."""
    _, (tick_at,) = CdrLayout(LowState).offsets("tick")
    late, last = 0, start - PERIOD_S
    for index in range(states):
        due = max(start + index * PERIOD_S, last + _SMALLEST_SPACING_S)
        time.sleep(max(due - time.monotonic(), 0.0))
        last = time.monotonic()
        late += last > start + (index + 1) * PERIOD_S
        for name, stream in streams.items():
            if index % stream.states:
                continue
            message = stream.messages[stream.count % _VARIANTS]
            if name == STATE_TOPIC:
                numbered = bytearray(message)
                struct.pack_into("<I", numbered, tick_at, index)
                message = bytes(numbered)
            stream.publisher.publish(message)
            stream.count += 1
    return late


def _wait_for_the_last(node: Node) -> None:
    """Reliable messages may still be under way when the last publish() has returned."""
    for publisher in node.publishers:
        publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=5.0))
    time.sleep(0.5)  # the others are not acknowledged; the recorder drains ten times a second


def _messages(kind: Any, random: np.random.Generator) -> list[bytes]:
    """Serialised messages with noise in them, which no recorder can compress away."""
    return [serialize_message(_noisy(kind, random)) for _ in range(_VARIANTS)]


def _noisy(kind: Any, random: np.random.Generator) -> Any:
    message = kind()
    if kind in (LowState, LowCmd):
        motors = message.motor_state if kind is LowState else message.motor_cmd
        for motor in motors[:12]:
            motor.q, motor.dq = random.normal(size=2).tolist()
    elif kind is PolicyStep:
        message.observation = random.normal(size=45).astype(np.float32)
        message.action = message.joint_targets = random.normal(size=12).astype(np.float32)
    elif kind is JointState:
        message.name = [f"joint_{index}" for index in range(12)]
        message.position = message.velocity = random.normal(size=12).tolist()
    elif kind is Imu:
        message.angular_velocity.x, message.linear_acceleration.z = random.normal(size=2).tolist()
    elif kind is Odometry:
        message.pose.pose.position.x, message.twist.twist.linear.x = random.normal(size=2).tolist()
    return message


if __name__ == "__main__":
    sys.exit(main())
