"""Writes recordings of an invented walk, serialised without ROS from the packages' .msg files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from aliengo_description import robot
from aliengo_policy.bags.record import Recorder

ROOT = Path(__file__).parents[1]
START_NS = 1_700_000_000 * 10**9
STATE = "unitree_legged_msgs/msg/LowState"
STEP = "aliengo_msgs/msg/PolicyStep"
BRIDGE = "aliengo_msgs/msg/BridgeState"
ODOMETRY = "nav_msgs/msg/Odometry"
FORCE = 125.0
WALK_START = 500
"""Index of the first state in mode walk."""


@cache
def typestore() -> Typestore:
    """Standard messages and those of this repository."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for package in ("unitree_legged_msgs", "aliengo_msgs"):
        types = {}
        for path in sorted((ROOT / "ros2_ws" / "src" / package / "msg").glob("*.msg")):
            types |= get_types_from_msg(path.read_text(), f"{package}/msg/{path.stem}")
        store.register(types)
    return store


@dataclass
class Walk:
    """What happens in the recording.

    Attributes:
        seconds: Its length.
        commands: Commanded velocities, each held for an equal part of the time.
        offset: Measured minus commanded vx [m/s].
        topics: Topics that are written, without namespace.
        namespace: Of the robot.
        fault_at_s: When the bridge reports a fault.
        lost_states: Indices of states that are left out.
        restart_at_s: When the robot starts anew and counts its ticks from zero.
        residual_off_at_s: From when on the policy's base acts alone.
        policy: Policy that computes the actions; None writes zeros.
    """

    seconds: float = 12.0
    commands: tuple[tuple[float, float, float], ...] = ((0.5, 0.0, 0.0), (1.0, 0.0, 0.3))
    offset: float = -0.1
    topics: tuple[str, ...] = ("low_state", "policy/step", "ground_truth/odom", "bridge/state")
    namespace: str = ""
    fault_at_s: float | None = None
    lost_states: frozenset[int] = frozenset()
    restart_at_s: float | None = None
    residual_off_at_s: float | None = None
    policy: Path | None = None
    attachments: tuple[Path, ...] = field(default=())


def write_walk(folder: Path, walk: Walk) -> Path:
    """Records the walk; returns the folder."""
    store = typestore()
    recorder = Recorder(folder, min_free_bytes=0)
    types = {
        "low_state": STATE,
        "policy/step": STEP,
        "ground_truth/odom": ODOMETRY,
        "bridge/state": BRIDGE,
    }
    for topic in walk.topics:
        text, _ = store.generate_msgdef(types[topic], ros_version=2)
        recorder.add_topic(f"{walk.namespace}/{topic}", types[topic], text)
    recorder.attach(list(walk.attachments), START_NS)
    writer = _Writer(recorder, walk)
    for index in range(round(walk.seconds * 500)):
        if index not in walk.lost_states:
            writer.put("low_state", writer.state(index), STATE, index)
        if index % 10 == 0:
            writer.put("policy/step", writer.step(index), STEP, index)
        if index % 5 == 0:
            writer.put("ground_truth/odom", _odometry(writer.command(index), walk), ODOMETRY, index)
        if index % 50 == 0:
            writer.put("bridge/state", _bridge(index, walk), BRIDGE, index)
    recorder.close()
    return folder


def standing(index: int) -> np.ndarray:
    """Feet on the ground (4,): pairs alternate every 0.2 s, all of them for the first 0.05 s."""
    phase = index % 200
    first = phase < 125
    second = phase >= 100 or phase < 25
    return np.array([first, second, second, first])


class _Writer:
    def __init__(self, recorder: Recorder, walk: Walk) -> None:
        self._recorder = recorder
        self._walk = walk
        self._rng = np.random.default_rng(0)
        self._digest = ""
        self._session = None
        if walk.policy:
            model = onnx.load(walk.policy)
            contract = next(p.value for p in model.metadata_props if p.key == "aliengo_policy")
            self._digest = contract.split('"weights_sha256": "')[1][:64]
            self._session = onnxruntime.InferenceSession(str(walk.policy))

    def put(self, topic: str, message: object, type_name: str, index: int) -> None:
        if topic in self._walk.topics:
            data = bytes(typestore().serialize_cdr(message, type_name))
            time = START_NS + index * 2_000_000
            self._recorder.write(f"{self._walk.namespace}/{topic}", data, time + 100_000, time)

    def command(self, index: int) -> np.ndarray:
        part = index / (self._walk.seconds * 500) * len(self._walk.commands)
        return np.array(self._walk.commands[int(part)], np.float32)

    def state(self, index: int) -> object:
        message = low_state(index)
        restart = self._walk.restart_at_s
        if restart is not None and index >= restart * 500:
            message.tick = 2 * (index - round(restart * 500))
        return message

    def step(self, index: int) -> object:
        command = self.command(index)
        observation = self._rng.normal(size=45).astype(np.float32)
        action = base = np.zeros(12, np.float32)
        residual = np.zeros(12, np.float32)
        if self._session:
            names = ["action", "base_action", "residual_action"]
            outputs = self._session.run(names, {"observation": observation[None]})
            action, base, residual = (output[0] for output in outputs)
            off = self._walk.residual_off_at_s
            if off is not None and index >= off * 500:
                action, residual = base, np.zeros(12, np.float32)
        targets = robot.DEFAULT_JOINT_POSITIONS + robot.ACTION_SCALE * action
        return typestore().types[STEP](
            stamp_ns=START_NS + index * 2_000_000,
            tick=2 * index,
            step=index // 10,
            mode="stand" if index < WALK_START else "walk",
            policy="example",
            weights_sha256=self._digest,
            command=command,
            observation=observation,
            action=action,
            base_action=base,
            residual_action=residual,
            joint_targets=targets.astype(np.float32),
            gate=0.0,
            inference_time_s=0.0004,
            state_age_s=0.001,
        )


def low_state(index: int) -> object:
    types = typestore().types
    joints = np.array(robot.STAND_JOINT_POSITIONS)
    down = standing(index)
    forces = np.zeros((4, 3))
    forces[:, 2] = FORCE * down
    torques = -np.einsum("fij,fi->fj", robot.foot_jacobians(joints), forces).ravel()
    # While it stands, another one works the joints: what is judged in walking must not see it.
    speed = 0.5 if index >= WALK_START else 5.0
    motors = []
    for motor in range(20):
        real = motor < 12
        motors.append(
            types["unitree_legged_msgs/msg/MotorState"](
                mode=10,
                q=float(joints[motor]) if real else 0.0,
                dq=speed if real else 0.0,
                ddq=0.0,
                tau_est=float(torques[motor]) if real else 0.0,
                q_raw=0.0,
                dq_raw=0.0,
                ddq_raw=0.0,
                temperature=30 + motor if real else 0,
                reserve=np.zeros(2, np.uint32),
            )
        )
    imu = types["unitree_legged_msgs/msg/IMU"](
        quaternion=np.array([1.0, 0.0, 0.0, 0.0], np.float32),
        gyroscope=np.zeros(3, np.float32),
        accelerometer=np.array([0.0, 0.0, 9.81], np.float32),
        rpy=np.zeros(3, np.float32),
        temperature=40,
    )
    return types[STATE](
        level_flag=255,
        comm_version=0,
        robot_id=0,
        sn=0,
        band_width=0,
        imu=imu,
        motor_state=motors,
        foot_force=np.zeros(4, np.int16),
        foot_force_est=np.zeros(4, np.int16),
        tick=2 * index,
        wireless_remote=np.zeros(40, np.uint8),
        reserve=0,
        crc=0,
    )


def _odometry(command: np.ndarray, walk: Walk) -> object:
    types = typestore().types
    vector = types["geometry_msgs/msg/Vector3"]
    twist = types["geometry_msgs/msg/Twist"](
        linear=vector(x=float(command[0]) + walk.offset, y=float(command[1]), z=0.0),
        angular=vector(x=0.0, y=0.0, z=float(command[2])),
    )
    pose = types["geometry_msgs/msg/Pose"](
        position=types["geometry_msgs/msg/Point"](x=0.0, y=0.0, z=0.4),
        orientation=types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
    )
    header = types["std_msgs/msg/Header"](
        stamp=types["builtin_interfaces/msg/Time"](sec=0, nanosec=0), frame_id="odom"
    )
    nothing = np.zeros(36)
    return types[ODOMETRY](
        header=header,
        child_frame_id="base_link",
        pose=types["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=nothing),
        twist=types["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=nothing),
    )


def _bridge(index: int, walk: Walk) -> object:
    failed = walk.fault_at_s is not None and index >= walk.fault_at_s * 500
    return typestore().types[BRIDGE](
        stamp_ns=START_NS + index * 2_000_000,
        link="udp",
        state="damping" if failed else "running",
        fault="tilt" if failed else "",
        fault_detail="tilt 1.1 rad, limit 1.0 rad" if failed else "",
        active_faults=["tilt"] if failed else [],
        reset_required=failed,
        shadow=False,
        received=index,
        sent=index,
        crc_errors=0,
        length_errors=0,
        foreign_packets=0,
        lost=0,
        missed_deadlines=3,
        rate_hz=500.0,
        jitter_p50_s=1e-5,
        jitter_p99_s=1e-4,
        jitter_max_s=1e-3,
        state_age_s=0.001,
        command_age_s=0.01,
    )
