"""One recorded run as arrays: what the report, the figures and the comparison work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aliengo_policy.bags.namespaces import namespace_prefix
from aliengo_policy.bags.read import Bag, BagError, Columns

__all__ = ["Event", "Run", "load_run", "topic_prefix"]

Array = npt.NDArray[Any]
JOINTS = 12

_STATE_PATHS = {
    "tick": "tick",
    "quaternion": "imu.quaternion",
    "gyroscope": "imu.gyroscope",
    "q": "motor_state.q",
    "dq": "motor_state.dq",
    "tau": "motor_state.tau_est",
    "temperature": "motor_state.temperature",
}
_STEP_PATHS = (
    "mode",
    "policy",
    "command",
    "action",
    "base_action",
    "residual_action",
    "joint_targets",
    "gate",
    "inference_time_s",
    "state_age_s",
)
_TWIST_PATHS = {
    "vx": "twist.twist.linear.x",
    "vy": "twist.twist.linear.y",
    "wz": "twist.twist.angular.z",
}
TOPICS = {
    "state": "low_state",
    "step": "policy/step",
    "truth": "ground_truth/odom",
    "odometry": "odom",
    "bridge": "bridge/state",
    "source": "teleop/source",
    "estop": "estop",
}


@dataclass(frozen=True)
class Event:
    """Something that happened at one moment: a fault, a mode change, an e-stop."""

    time_s: float
    kind: str
    text: str


@dataclass
class Run:
    """Arrays of one recording; times in seconds since its start, joints in policy order.

    Each group maps names to arrays with one row per message and always holds `time`, that of
    sending; a group whose topic was not recorded is empty, and a field that the messages lack is
    missing.

    Attributes:
        name: Name of the recording.
        duration_s: Time between first and last message [s].
        complete: False if the recording was cut off.
        topics: Number of messages by topic.
        state: `low_state`: tick, quaternion, gyroscope, q, dq, tau, temperature.
        step: `policy/step`: the fields of PolicyStep.
        truth: Velocity vx, vy, wz in the base frame from the simulator.
        odometry: The same from the legs.
        bridge: `bridge/state`: fault, fault_detail, missed_deadlines.
        events: Mode changes, faults, e-stops and changes of the operator, in order of time.
        problems: What could not be read, in words.
    """

    name: str
    duration_s: float
    complete: bool
    topics: dict[str, int]
    state: dict[str, Array] = field(default_factory=dict)
    step: dict[str, Array] = field(default_factory=dict)
    truth: dict[str, Array] = field(default_factory=dict)
    odometry: dict[str, Array] = field(default_factory=dict)
    bridge: dict[str, Array] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def measured(self) -> tuple[str, dict[str, Array]]:
        """Best measured velocity and where it comes from; the truth if the twin gave it."""
        if self.truth:
            return "ground truth", self.truth
        return "leg odometry", self.odometry


def load_run(path: Path, namespace: str | None = None) -> Run:
    """Reads a recording.

    Args:
        path: The recording.
        namespace: Of the robot, such as `/robot1`; None finds the only one.

    Raises:
        BagError: If it cannot be opened, has no topic of the robot, or holds several robots and none
            is named.
    """
    bag = Bag(path)
    prefix = topic_prefix(bag, namespace)
    counts = {name: topic.count for name, topic in sorted(bag.topics.items())}
    run = Run(path.resolve().name, bag.duration_s, bag.complete, counts)
    if not bag.complete:
        run.problems.append("the recording is cut off or damaged; everything up to there is shown")
    loader = _Loader(bag, prefix, run.problems)
    run.state = loader.group("state", _STATE_PATHS)
    for name in ("q", "dq", "tau", "temperature"):
        if name in run.state:
            run.state[name] = run.state[name][:, :JOINTS].copy()
    run.step = loader.group("step", {name: name for name in _STEP_PATHS})
    run.truth = loader.group("truth", _TWIST_PATHS, optional=True)
    run.odometry = loader.group("odometry", _TWIST_PATHS, optional=bool(run.truth))
    bridge_paths = ("fault", "fault_detail", "missed_deadlines")
    run.bridge = loader.group("bridge", {name: name for name in bridge_paths})
    run.events = _events(run, loader)
    return run


class _Loader:
    """Reads topics of one robot and notes what is missing instead of failing."""

    def __init__(self, bag: Bag, prefix: str, problems: list[str]) -> None:
        self._bag = bag
        self._prefix = prefix
        self._problems = problems

    def group(self, key: str, paths: Mapping[str, str], optional: bool = False) -> dict[str, Array]:
        topic = self._prefix + TOPICS[key]
        if not self._bag.topics.get(topic) or not self._bag.topics[topic].count:
            if not optional:
                self._problems.append(f"topic {topic} was not recorded")
            return {}
        try:
            columns = self._bag.columns(topic, list(paths.values()))
        except BagError as error:
            self._problems.append(str(error))
            return {}
        missing = sorted(name for name, path in paths.items() if path not in columns.values)
        if missing:
            self._problems.append(f"messages of {topic} lack {', '.join(missing)}")
        # Times of sending: on a busy machine messages are received in bursts.
        return {"time": columns.publish_time_s} | {
            name: _numbers(columns, path) for name, path in paths.items() if path in columns.values
        }


def _numbers(columns: Columns, path: str) -> Array:
    values = columns.values[path]
    # Half the memory of float64, and more digits than the sensors have.
    return values.astype(np.float32) if values.dtype == np.float64 else values


def topic_prefix(bag: Bag, namespace: str | None) -> str:
    """What the names of one robot's topics begin with, such as `/robot1/`.

    Args:
        bag: The recording.
        namespace: Of the robot, with or without slashes; None finds the only one.

    Raises:
        BagError: If the recording has no topic of that robot, or several robots and none is named.
    """
    prefix = _find_prefix(bag) if namespace is None else namespace_prefix(namespace)
    expected = [prefix + name for name in TOPICS.values()]
    if not any(topic in bag.topics for topic in expected):
        raise BagError(
            f"{bag.path} has none of the topics {', '.join(expected)}; "
            f"it has {', '.join(sorted(bag.topics)) or 'no topics'}"
        )
    return prefix


def _find_prefix(bag: Bag) -> str:
    endings = tuple("/" + name for name in (TOPICS["state"], TOPICS["step"]))
    prefixes = set()
    for topic in bag.topics:
        for ending in endings:
            if topic.endswith(ending):
                prefixes.add(topic[: len(topic) - len(ending) + 1])
    if len(prefixes) > 1:
        raise BagError(
            f"{bag.path} holds several robots: {sorted(prefixes)}; name one with --namespace"
        )
    return prefixes.pop() if prefixes else "/"


def _events(run: Run, loader: _Loader) -> list[Event]:
    events = _changes(run.step, "mode", "mode")
    events += _changes(run.step, "policy", "policy")
    if "fault" in run.bridge:
        details = run.bridge.get("fault_detail", run.bridge["fault"])
        for index, time, value in _transitions(run.bridge["time"], run.bridge["fault"]):
            if value:
                events.append(Event(time, "fault", f"{value}: {details[index]}"))
            elif index > 0:
                events.append(Event(time, "fault", "reset"))
    source = loader.group("source", {"source": "source"}, optional=True)
    events += _changes(source, "source", "operator")
    estop = loader.group("estop", {"data": "data"}, optional=True)
    if "data" in estop:
        pressed = estop["time"][estop["data"].astype(bool)]
        events += [Event(float(time), "estop", "e-stop") for time in pressed]
    return sorted(events, key=lambda event: event.time_s)


def _changes(group: Mapping[str, Array], name: str, kind: str) -> list[Event]:
    if name not in group:
        return []
    transitions = _transitions(group["time"], group[name])
    return [Event(time, kind, str(value)) for _, time, value in transitions]


def _transitions(times: Array, values: Array) -> Sequence[tuple[int, float, Any]]:
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return [(int(i), float(times[i]), values[i]) for i in starts]
