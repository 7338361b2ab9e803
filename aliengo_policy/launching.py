"""Turns the process graph into a launch description; only the launch files import this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from aliengo_description.middleware import avoid_shared_memory, stay_local
from aliengo_policy.bags.rosbag import (
    add_files,
    record_command,
    recording_folder,
    rosbag_lacks,
)
from aliengo_policy.graph import Argument, GraphSettings, ProcessSpec
from aliengo_policy.policy_file import prepare_policy
from launch import LaunchContext, LaunchDescription

Graph = Callable[[GraphSettings], list[ProcessSpec]]
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
_USUAL_GRACE_S = 5.0
"""Of `ros2 launch`, between SIGINT and SIGTERM."""


def describe(arguments: Sequence[Argument], graph: Graph, local: bool = False) -> LaunchDescription:
    """Launch description that declares the arguments and starts the graph with their values.

    Args:
        arguments: of the launch file.
        graph: makes the processes.
        local: whether the graph is found on this machine only.
    """
    # Through the environment also for ROS's own nodes that are started.
    if local:
        stay_local()
    else:
        avoid_shared_memory()

    def start(context: LaunchContext) -> list[Any]:
        values: dict[str, Any] = {
            argument.name: convert(argument, LaunchConfiguration(argument.name).perform(context))
            for argument in arguments
        }
        settings = prepare_policy(GraphSettings(**values))
        return [action for spec in graph(settings) for action in _start(spec, settings)]

    declared = [
        DeclareLaunchArgument(
            argument.name, default_value=_text(argument.default), description=argument.description
        )
        for argument in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def convert(argument: Argument, text: str) -> str | int | float | bool:
    """Value of an argument from its text on the command line.

    Raises:
        ValueError: naming the argument, its type and the text.
    """
    kind = type(argument.default)
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError(f"argument {argument.name}: expected true or false, found {text!r}")
    try:
        return kind(text)
    except ValueError:
        raise ValueError(
            f"argument {argument.name}: expected a {kind.__name__}, found {text!r}"
        ) from None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _start(spec: ProcessSpec, settings: GraphSettings) -> list[Any]:
    if spec.name != "recorder":
        return _actions(spec, settings)
    missing = rosbag_lacks()
    if missing:
        reason = f"recording with aliengo_policy's recorder: {missing}"
        return [LogInfo(msg=reason), *_actions(spec, settings)]
    return _rosbag(spec, settings)


def _rosbag(spec: ProcessSpec, settings: GraphSettings) -> list[Any]:
    """ROS's own recorder in the place of ours: the same topics in the same folder."""
    folder = recording_folder(str(spec.parameters["output"]))
    folder.parent.mkdir(parents=True, exist_ok=True)
    attachments = spec.parameters["attachments"]
    files = [Path(name) for name in attachments] if isinstance(attachments, list) else []
    process = ExecuteProcess(
        cmd=record_command(folder, settings.namespace), name=spec.name, output="screen"
    )

    def keep_policy(*_: Any) -> list[Any]:
        # At the end, because rosbag2 makes the folder itself and refuses one that exists.
        try:
            missing = add_files(folder, files)
        except OSError as error:
            return [LogInfo(msg=f"{folder}: the policy was not added to the recording: {error}")]
        return [LogInfo(msg=f"{folder}: not added, does not exist: {path}") for path in missing]

    return [
        LogInfo(msg=f"recording with ros2 bag record to {folder}"),
        process,
        RegisterEventHandler(OnProcessExit(target_action=process, on_exit=keep_policy)),
    ]


def _actions(spec: ProcessSpec, settings: GraphSettings) -> list[Any]:
    node = Node(
        package=spec.package,
        executable=spec.executable,
        namespace=settings.namespace,
        parameters=[*(str(path) for path in spec.parameter_files), spec.parameters],
        arguments=list(spec.options),
        ros_arguments=["--log-level", settings.log_level],
        output="screen",
        emulate_tty=True,
        sigterm_timeout=str(max(spec.stop_grace_s, _USUAL_GRACE_S)),
    )
    if not spec.critical:
        return [node]
    # The bridge damps the robot when its commands stop and once more when it ends.
    reason = f"critical process {spec.name} ended"
    on_exit = OnProcessExit(
        target_action=node,
        on_exit=[LogInfo(msg=reason), EmitEvent(event=Shutdown(reason=reason))],
    )
    return [node, RegisterEventHandler(on_exit)]
