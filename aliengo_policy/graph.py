"""The process graph as data: which nodes run on the robot and in simulation, and with what.

`bringup` runs it directly, the launch files run it through `ros2 launch`; both read it from here.
The two graphs are the same: in simulation the twin stands in for the robot.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aliengo_policy.parameters import resolve_policy
from aliengo_policy.paths import shared_folder

PROFILES_WITHOUT_GAMEPAD = ("none", "keyboard", "unitree")
"""The keyboard node wants a terminal of its own; Unitree's remote comes through the bridge."""

ParameterValue = str | int | float | bool | list[str]


@dataclass(frozen=True)
class Argument:
    """One argument of a bring-up, the same in the launch files and on the command line."""

    name: str
    description: str

    @property
    def default(self) -> str | int | float | bool:
        """Value where none is given: that of :class:`GraphSettings`."""
        value: str | int | float | bool = getattr(GraphSettings, self.name)
        return value


COMMON_ARGUMENTS: tuple[Argument, ...] = (
    Argument("policy", "policy to walk with: a name in models/ or a path to an ONNX file"),
    Argument("policy_type", "amp or residual: the same choice, as earlier deployments name it"),
    Argument("checkpoint", "training checkpoint (.pt) or ONNX file to use instead of policy"),
    Argument("device", "kept for earlier command lines: policies always run on the CPU"),
    Argument("max_vel", "largest commanded planar speed [m/s]"),
    Argument("max_yaw_vel", "largest commanded turn rate [rad/s]"),
    Argument("max_steps", "policy steps (50 per second) before walking ends; 0 = no end"),
    Argument("experiment_name", "name of the recording; empty = date and time"),
    Argument("namespace", "prefix of all topics and nodes, for more than one robot"),
    Argument("teleop", "controller profile in config/teleop/ (xbox, ps5, ...), or none"),
    Argument("web", "live view with buttons and a stick at http://127.0.0.1:8080"),
    Argument(
        "web_host",
        "address the live view listens on; 0.0.0.0 = whoever reaches it can move the robot",
    ),
    Argument("shadow", "run everything, but withhold the commands from the robot"),
    Argument("record", "record all topics into logs/bags/"),
    Argument("log_level", "debug, info, warn or error"),
    Argument("local_port", "UDP port of this machine"),
)
REAL_ARGUMENTS: tuple[Argument, ...] = (
    Argument("robot_address", "IPv4 address of the robot's control board"),
    Argument("robot_port", "UDP port of the robot's control board"),
    Argument("link", "way to the robot: udp (native protocol), sdk (vendor's) or lcm"),
    *COMMON_ARGUMENTS,
)
SIM_ARGUMENTS: tuple[Argument, ...] = (
    Argument("robot_port", "UDP port of the simulated robot"),
    Argument("viewer", "open MuJoCo's window"),
    *COMMON_ARGUMENTS,
)


@dataclass(frozen=True)
class ProcessSpec:
    """One process of the graph.

    Attributes:
        name: of the node, and of its lines in the log.
        package: ROS package.
        executable: entry point in the package; the module is ``<package>.<module>``.
        module: Python module within the package.
        parameters: set on top of the files.
        parameter_files: ROS parameter files.
        options: arguments of the program itself.
        critical: whether its end ends the whole graph.
        stop_rank: lower ranks are stopped first.
        stop_grace_s: how long it may take to end before it is killed [s].
    """

    name: str
    package: str
    executable: str
    module: str
    parameters: dict[str, ParameterValue] = field(default_factory=dict)
    parameter_files: tuple[Path, ...] = ()
    options: tuple[str, ...] = ()
    critical: bool = False
    stop_rank: int = 0
    stop_grace_s: float = 3.0

    def command(self, namespace: str, log_level: str) -> list[str]:
        """Command line that runs the process without `ros2 run`."""
        line = [sys.executable, "-m", f"{self.package}.{self.module}", *self.options, "--ros-args"]
        if namespace:
            line += ["-r", f"__ns:=/{namespace.strip('/')}"]
        for path in self.parameter_files:
            line += ["--params-file", str(path)]
        for name, value in self.parameters.items():
            # JSON is YAML, and keeps text that looks like a number a text.
            line += ["-p", f"{name}:={json.dumps(value)}"]
        return [*line, "--log-level", log_level]


@dataclass(frozen=True)
class GraphSettings:
    """Values of the arguments; those of the other graph keep their defaults and are not used."""

    robot_address: str = "192.168.123.10"
    robot_port: int = 8007
    local_port: int = 8082
    link: str = "udp"
    viewer: bool = False
    policy: str = "base"
    policy_type: str = ""
    checkpoint: str = ""
    device: str = "cpu"
    max_vel: float = 1.0
    max_yaw_vel: float = 1.0
    max_steps: int = 0
    experiment_name: str = ""
    namespace: str = ""
    teleop: str = "none"
    web: bool = False
    web_host: str = "127.0.0.1"
    shadow: bool = False
    record: bool = False
    log_level: str = "info"

    def __post_init__(self) -> None:
        levels = ("debug", "info", "warn", "error")
        if self.log_level not in levels:
            raise ValueError(f"log_level must be one of {list(levels)}, found {self.log_level!r}")
        if self.teleop != "none" and not _teleop_profile(self.teleop).is_file():
            folder = shared_folder("config") / "teleop"
            known = sorted(path.stem for path in folder.glob("*.yaml"))
            raise ValueError(f"teleop must be none or one of {known}, found {self.teleop!r}")


def real_graph(settings: GraphSettings) -> list[ProcessSpec]:
    """Processes that drive the robot, in the order of their start."""
    return [_bridge(settings, settings.robot_address, settings.link), *_above_bridge(settings)]


def sim_graph(settings: GraphSettings) -> list[ProcessSpec]:
    """The same processes with the twin in the robot's place."""
    twin = ProcessSpec(
        name="sim",
        package="aliengo_sim",
        executable="sim_node",
        module="sim_node",
        parameters={"port": settings.robot_port, **_frames(settings, frame_prefix="")},
        parameter_files=(shared_folder("config") / "sim.yaml",),
        options=("--viewer",) if settings.viewer else (),
        critical=True,
        stop_rank=3,
    )
    return [twin, _bridge(settings, "127.0.0.1", "udp"), *_above_bridge(settings)]


def _frames(settings: GraphSettings, **frames: str) -> dict[str, ParameterValue]:
    """Parameters that name frames, with the namespace before each: tf is one topic for all robots, so they must differ.

    Without a namespace there are none, so that a parameter file may say otherwise.
    """
    namespace = settings.namespace.strip("/")
    return {name: f"{namespace}/{frame}" for name, frame in frames.items()} if namespace else {}


def _bridge(settings: GraphSettings, address: str, link: str) -> ProcessSpec:
    return ProcessSpec(
        name="bridge",
        package="aliengo_bridge",
        executable="bridge_node",
        module="bridge_node",
        parameters={
            "link": link,
            "robot_address": address,
            "robot_port": settings.robot_port,
            "local_port": settings.local_port,
            "shadow": settings.shadow,
            **_frames(settings, frame_prefix=""),
        },
        parameter_files=(shared_folder("config") / "bridge.yaml",),
        critical=True,
        # Everything that commands stops before it: it damps the robot until its own end, for up
        # to 10 s (exit_damping_s), and then has 2 s to end its threads.
        stop_rank=2,
        stop_grace_s=13.0,
    )


def _above_bridge(settings: GraphSettings) -> list[ProcessSpec]:
    specs = [_policy(settings), *_observers(settings)]
    if settings.teleop != "none" or settings.web:
        specs += _teleop(settings)
    if settings.web:
        parameters: dict[str, ParameterValue] = {
            "host": settings.web_host,
            **_frames(settings, frame_id="base_link"),
        }
        specs.append(ProcessSpec("web", "aliengo_policy", "web_node", "web.web_node", parameters))
    if settings.record:
        specs.append(_recorder(settings))
    return specs


def _policy(settings: GraphSettings) -> ProcessSpec:
    return ProcessSpec(
        name="policy",
        package="aliengo_policy",
        executable="policy_node",
        module="policy_node",
        parameters={
            "policy": settings.policy,
            "max_vel": settings.max_vel,
            "max_yaw_vel": settings.max_yaw_vel,
            "max_steps": settings.max_steps,
            "shadow": settings.shadow,
        },
        parameter_files=(shared_folder("config") / "policy.yaml",),
        critical=True,
    )


def _observers(settings: GraphSettings) -> list[ProcessSpec]:
    parameters = {
        "odometry": _frames(settings, odom_frame="odom", base_frame="base_link"),
        "description": _frames(settings, frame_prefix=""),
    }
    return [
        ProcessSpec(name, "aliengo_policy", f"{name}_node", f"{name}_node", values)
        for name, values in parameters.items()
    ]


def _teleop(settings: GraphSettings) -> Sequence[ProcessSpec]:
    profile = settings.teleop
    files = () if profile == "none" else (_teleop_profile(profile),)
    node = ProcessSpec(
        name="teleop",
        package="aliengo_teleop",
        executable="teleop_node",
        module="teleop_node",
        parameters=_frames(settings, frame_id="base_link"),
        parameter_files=files,
        critical=True,
    )
    if profile in PROFILES_WITHOUT_GAMEPAD:
        return [node]
    return [
        ProcessSpec("gamepad", "aliengo_teleop", "gamepad_node", "gamepad_node", {}, files),
        node,
    ]


def _recorder(settings: GraphSettings) -> ProcessSpec:
    output = f"logs/bags/{settings.experiment_name}" if settings.experiment_name else ""
    return ProcessSpec(
        name="recorder",
        package="aliengo_policy",
        executable="recorder_node",
        module="bags.recorder_node",
        # The policy travels with the recording, so that it can be replayed anywhere.
        parameters={
            "output": output,
            "attachments": [str(resolve_policy(settings.policy, shared_folder("models")))],
        },
        stop_rank=1,
        # A long recording has a long index to write; a file without one is hard to read.
        stop_grace_s=15.0,
    )


def _teleop_profile(name: str) -> Path:
    return shared_folder("config") / "teleop" / f"{name}.yaml"
