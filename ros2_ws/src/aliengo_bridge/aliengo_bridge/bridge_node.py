"""The ROS 2 node before the control process: topics, services, parameters, diagnostics.

Everything that keeps the robot safe happens in `control_process`, which this node starts; here
messages are carried to it, and what it does is told.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from aliengo_msgs.msg import BridgeState
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from unitree_legged_msgs.msg import LowCmd, LowState

from aliengo_bridge import diagnostics
from aliengo_bridge.cdr import check_low_cmd, commander_in
from aliengo_bridge.commanders import CommanderWatch
from aliengo_bridge.control_client import ControlClient
from aliengo_bridge.control_messages import Snapshot
from aliengo_bridge.faults import FAULTS, Fault
from aliengo_bridge.links import LinkError
from aliengo_bridge.links.base import LinkCounters
from aliengo_bridge.parameters_node import (
    LIMIT_PREFIX,
    declare_limits,
    declare_settings,
    refuse_unknown_parameters,
)
from aliengo_bridge.safety import Status
from aliengo_bridge.sensors_node import SENSOR_QOS, SensorPublisher, check_layouts
from aliengo_description.conventions_node import LATCHED, diagnostic_name, listen_for_estop
from aliengo_description.middleware import avoid_shared_memory
from aliengo_description.scheduling import raise_priority
from aliengo_description.signals import on_end_signal

__all__ = ["BridgeNode", "main"]

_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_END_S = 2.0
_NAME_UNKNOWN = "_NODE_NAME_UNKNOWN_"
_UNNAMED = "a node not yet named"
_SOMEBODY_ELSE = b"somebody else"
"""Stands for a second commander where commands do not tell who sent them."""


class BridgeNode(Node):
    """Carries messages between topics and the control loop."""

    def __init__(self, ending: Callable[[], None]) -> None:
        """Declare the parameters and open the topics; the robot is not touched yet.

        Args:
            ending: Called when the control process is gone, or can no longer be listened to.
        """
        super().__init__("bridge")
        check_layouts()
        self.settings = declare_settings(self)
        self.limits = declare_limits(self)
        refuse_unknown_parameters(self)
        self._ending = ending
        self._stopping = False
        self._commanders = CommanderWatch()
        self._conflict = ""
        self._published: Status | None = None
        self._last_fault = ""
        self._watched = 0
        self._counters = LinkCounters()
        self._missed = 0
        self._make_publishers()
        self._make_inputs()
        self.add_on_set_parameters_callback(self._on_parameters)

    def start(self) -> None:
        """Start the control process.

        Raises:
            LinkError: If it cannot open the link.
        """
        # The middleware's threads as well, or a busy machine would let commands wait in them.
        raise_priority(self.settings.realtime_priority - 1)
        self.control = ControlClient(self.settings, self.limits)
        # On a thread of its own: DDS may block, and the executor has other things to do.
        callbacks = (self._publish_state, self._on_control_end)
        threading.Thread(target=self.control.listen, args=callbacks, daemon=True).start()
        where = f"{self.settings.robot_address}:{self.settings.robot_port}"
        self.get_logger().info(
            f"link {self.settings.link}, robot {where}"
            + (", shadow mode: commands are withheld" if self.settings.shadow else "")
        )

    def _make_publishers(self) -> None:
        self._low_state = self.create_publisher(LowState, "low_state", SENSOR_QOS)
        self._withheld = self.create_publisher(LowCmd, "bridge/withheld_cmd", _NEWEST)
        self._sensors = SensorPublisher(self, self.settings.frame_prefix)
        self._bridge_state = self.create_publisher(BridgeState, "bridge/state", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # The node's own clock is the wall clock: set back, it would stop the timers.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.02, self._watch, clock=steady)
        self.create_timer(1.0, self._diagnose, clock=steady)

    def _make_inputs(self) -> None:
        heard: Callable[..., None] = self._on_low_cmd
        if not hasattr(Subscription, "CallbackType"):  # Humble hands out the message alone
            heard = partial(self._on_low_cmd, info={})
        self.create_subscription(LowCmd, "low_cmd", heard, _NEWEST, raw=True)
        listen_for_estop(self, self._on_estop)
        self.create_service(Trigger, "bridge/reset_fault", self._on_reset)
        self.create_service(Trigger, "bridge/estop", self._on_estop_service)

    def _on_low_cmd(self, data: bytes, info: dict[str, Any]) -> None:
        try:
            check_low_cmd(data)
        except ValueError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return
        identity = commander_in(data) or bytes((info.get("publisher_gid") or {}).get("data", b""))
        now = time.monotonic()
        conflict = self._commanders.hear(identity, now)
        # Nor does ROS 2 before Kilted tell who it is: trust the graph instead.
        if not identity and self.count_publishers("low_cmd") > 1:
            conflict = self._commanders.hear(_SOMEBODY_ELSE, now)
        if conflict:
            self._set_conflict(True)
            return
        self.control.submit(data)

    def _set_conflict(self, conflict: bool) -> None:
        text = self._name_commanders() if conflict else ""
        if text == self._conflict:
            return
        told = self.control.call("set_condition", Fault.SECOND_COMMANDER, text or None)
        if told.done() and told.exception() is not None:
            return  # not heard: the next command, or the next look, says it again
        self._conflict = text

    def _name_commanders(self) -> str:
        """Say who commands, as far as is known: a node is heard before its name is."""
        if self._conflict and _UNNAMED not in self._conflict:
            return self._conflict
        publishers = self.get_publishers_info_by_topic(self.resolve_topic_name("low_cmd"))
        names = sorted(
            _UNNAMED
            if p.node_name == _NAME_UNKNOWN
            else f"{p.node_namespace.rstrip('/')}/{p.node_name}"
            for p in publishers
        )
        return f"commands come from {len(names)} publishers: {', '.join(names)}"

    def _on_estop(self, message: Bool) -> None:
        """Latch the emergency stop; only a reset ends it, a False does nothing."""
        if message.data:
            self.control.call("report", Fault.ESTOP, "the topic estop said so")

    def _on_estop_service(self, _: Trigger.Request, response: Trigger.Response) -> Any:
        try:
            self.control.ask("report", Fault.ESTOP, "the service bridge/estop was called")
            response.success, response.message = True, "emergency stop latched"
        except RuntimeError as error:
            response.success, response.message = False, f"not known to be stopped: {error}"
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Any:
        try:
            response.success, response.message = self.control.ask("reset")
        except RuntimeError as error:
            response.success, response.message = False, f"not reset: {error}"
        self.get_logger().info(f"reset: {response.message}")
        return response

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {
            p.name.removeprefix(LIMIT_PREFIX): p.value
            for p in parameters
            if p.name.startswith(LIMIT_PREFIX)
        }
        try:
            self.control.ask("tighten", changes)
        except (ValueError, RuntimeError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def stop(self, serve: Callable[[], None]) -> int:
        """Let the control process bring the robot to rest and end.

        Args:
            serve: Called meanwhile, to publish how that goes.

        Returns:
            0, or 1 if the process failed or takes too long; then it damps on, and ends by itself.
        """
        self._stopping = True
        self.control.stop()
        deadline = time.monotonic() + self.limits.exit_damping_s + _END_S
        while self.control.exit_code() is None and time.monotonic() < deadline:
            serve()
        return 0 if self.control.exit_code() == 0 else 1

    def _on_control_end(self) -> None:
        if not self._stopping:
            self.get_logger().fatal("the control process is gone, or not heard; the bridge ends")
        self._ending()

    def _publish_state(self, data: bytes) -> None:
        try:
            self._low_state.publish(data)
            self._sensors.publish(data)
        except RuntimeError:  # the context ended under our hands
            if rclpy.ok():
                raise

    def _watch(self) -> None:
        """Publish the status when it changes, and at 10 Hz."""
        snapshot = self.control.snapshot
        if snapshot is None:
            return
        self._watched += 1
        if self._conflict:
            self._set_conflict(self._commanders.conflict(time.monotonic()))
        status = snapshot.believed(time.monotonic())
        if status != self._published or self._watched % 5 == 0:
            self._announce(status)
            self._publish_status(status, snapshot)
        if snapshot.withheld:
            self._withheld.publish(snapshot.withheld)

    def _announce(self, status: Status) -> None:
        previous, self._published = self._published, status
        log = self.get_logger()
        if previous is None or status.mode is not previous.mode:
            log.info(f"{status.mode.value}" + (f": {status.detail}" if status.detail else ""))
        if status.fault and (previous is None or status.fault != previous.fault):
            self._last_fault = f"{status.fault}: {status.detail}"
            log.error(f"{self._last_fault}. {FAULTS[Fault(status.fault)].explanation}")

    def _publish_status(self, status: Status, snapshot: Snapshot) -> None:
        counters, times = snapshot.counters, snapshot.times
        state_age_s, command_age_s = snapshot.ages_at(time.monotonic())
        self._bridge_state.publish(
            BridgeState(
                stamp_ns=time.time_ns(),
                link=self.settings.link,
                state=status.mode.value,
                fault=status.fault,
                fault_detail=status.detail,
                active_faults=list(status.active_faults),
                reset_required=status.reset_required,
                shadow=self.settings.shadow,
                received=counters.received,
                sent=counters.sent,
                crc_errors=counters.crc_errors,
                length_errors=counters.length_errors,
                foreign_packets=counters.foreign,
                lost=counters.lost,
                missed_deadlines=times.missed,
                rate_hz=times.rate_hz,
                jitter_p50_s=times.p50_s,
                jitter_p99_s=times.p99_s,
                jitter_max_s=times.max_s,
                state_age_s=state_age_s,
                command_age_s=command_age_s,
            )
        )

    def _diagnose(self) -> None:
        snapshot = self.control.snapshot
        if snapshot is None:
            return
        limits, counters = snapshot.limits, snapshot.counters
        now = time.monotonic()
        state_age_s, command_age_s = snapshot.ages_at(now)
        age = f"{command_age_s:.3f}"
        reports = [
            diagnostics.link_report(counters, self._counters, state_age_s, limits.state_timeout_s),
            diagnostics.loop_report(
                snapshot.times,
                self._missed,
                snapshot.silence(now),
                {
                    "scheduling": snapshot.scheduling,
                    "dropped_states": str(snapshot.dropped_states),
                },
            ),
            diagnostics.safety_report(
                snapshot.believed(now),
                self._last_fault,
                {"command_age_s": age, "record_error": snapshot.record_error},
            ),
            diagnostics.motor_report(self._sensors.temperature, limits),
        ]
        self._counters, self._missed = counters, snapshot.times.missed
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        message.status = [
            DiagnosticStatus(
                name=diagnostic_name(self, report.name),
                hardware_id="aliengo",
                level=bytes([report.level]),
                message=report.message,
                values=[KeyValue(key=k, value=v) for k, v in report.values.items()],
            )
            for report in reports
        ]
        self._diagnostics.publish(message)
        gc.collect()


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or SIGHUP.

    Returns:
        0 after a requested end, 1 if the bridge could not start or failed.
    """
    avoid_shared_memory()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    ending = threading.Event()

    def end(*_: object) -> None:
        ending.set()
        executor.wake()

    on_end_signal(end)
    try:
        node = BridgeNode(end)
        # Collections are run by the 1 Hz timer, over what was made since start-up only.
        gc.collect()
        gc.freeze()
        gc.disable()
        node.start()
    except (LinkError, RuntimeError, ValueError, rclpy.exceptions.ParameterException) as error:
        print(f"bridge: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor.add_node(node)
    code = 1
    try:
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.5)
    except ExternalShutdownException:
        pass
    finally:
        code = node.stop(lambda: executor.spin_once(timeout_sec=0.02))
    rclpy.try_shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main())
