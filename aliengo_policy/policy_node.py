"""ROS node `policy`: `low_state` and `cmd_vel` in, `low_cmd` out; the rest is reporting.

Subscribes `low_state`, `cmd_vel`, `mode_request`, `policy_request`, `bridge/state`,
`teleop/source`, `estop`. Publishes `low_cmd`, `policy/state`, `policy/step`, `/diagnostics`.
Services `policy/<mode>` and `policy/select`. A policy step is triggered by every n-th state, as
the policy's control period demands, not by a clock of its own: no observation is older than one
state message.
"""

from __future__ import annotations

import array
import gc
import secrets
import sys
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from aliengo_msgs.msg import BridgeState, CommandSource, PolicyState, PolicyStep
from aliengo_msgs.srv import SelectPolicy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from unitree_legged_msgs.msg import LowCmd, LowState

from aliengo_description import robot
from aliengo_description.conventions_node import LATCHED, diagnostic_name, listen_for_estop
from aliengo_description.middleware import avoid_shared_memory
from aliengo_description.parameters_node import declare_parameters
from aliengo_description.scheduling import raise_priority
from aliengo_description.signals import on_end_signal
from aliengo_policy.cdr import CdrLayout
from aliengo_policy.contract import ContractError
from aliengo_policy.controller import Answer, Controller, JointCommand
from aliengo_policy.library import load_policies
from aliengo_policy.modes import Mode
from aliengo_policy.observation import RobotState
from aliengo_policy.pacing import StepPacer
from aliengo_policy.parameters import (
    PARAMETERS,
    make_limits,
    make_settings,
    resolve_policy,
)
from aliengo_policy.paths import shared_folder
from aliengo_policy.statistics import StepStatistics
from aliengo_policy.stream_node import StreamNode

STATE_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
SERVO_MODE = 0x0A
BRAKE_MODE = 0x00
JOINTS = len(robot.JOINT_NAMES)


class PolicyNode(StreamNode):
    """Connects the controller to topics and services.

    Raises:
        ContractError: when the selected policy cannot be used.
        ValueError: when a parameter is unknown or out of range, parameters contradict each other,
            or the policy's control period does not fit the robot's rate.
        ParameterException: when a parameter has the wrong type or is out of range.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        values = declare_parameters(self, PARAMETERS)
        folder = Path(values["models_dir"] or shared_folder("models")).expanduser()
        selected = resolve_policy(values["policy"], folder)
        policies = load_policies(selected, selected.parent, self.get_logger().warning)
        settings = make_settings(values)
        self._controller = Controller(policies, selected.stem, make_limits(values), settings)
        try:
            self._pacer = StepPacer(self._controller.runtime.contract.control_period_s)
        except ValueError as error:
            raise ValueError(f"policy {selected.stem}: {error}") from None
        period_s = self._controller.runtime.contract.control_period_s
        if settings.state_timeout_s < 2.0 * period_s:  # its age is counted from step to step
            raise ValueError(
                f"parameter state_timeout_s is {settings.state_timeout_s:g}; policy {selected.stem} "
                f"with its control period of {period_s:g} s needs at least {2.0 * period_s:g}"
            )
        self._stamped: bool = values["use_stamped"]
        self._source = "cmd_vel"
        self._step = 0
        self._reported: tuple[object, ...] = ()
        self._statistics = StepStatistics()
        self._numbers = CdrLayout(LowState).reader(
            [
                ("motor_state.q", 12),
                ("motor_state.dq", 12),
                ("imu.quaternion", 4),
                ("imu.gyroscope", 3),
            ]
        )
        self._tick = CdrLayout(LowState).reader([("tick", 1)])
        self._low_cmd = LowCmd(level_flag=0xFF, sn=1 + secrets.randbelow(2**32 - 1))
        self._open_topics()
        names = ", ".join(policies)
        self.get_logger().info(f"policy {selected.stem} selected, loaded are: {names}")
        # Below the bridge's: the bridge must be able to damp the robot whatever the policy does.
        self.get_logger().info(raise_priority(values["realtime_priority"]))

    def _open_topics(self) -> None:
        self._command_out = self.create_publisher(LowCmd, "low_cmd", 1)
        self._state_out = self.create_publisher(PolicyState, "policy/state", LATCHED)
        self._step_out = self.create_publisher(PolicyStep, "policy/step", 50)
        self._diagnostics_out = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.open_stream(LowState, "low_state", self._on_state, STATE_QOS)
        twist = TwistStamped if self._stamped else Twist
        self.create_subscription(twist, "cmd_vel", self._on_velocity, 1)
        self.create_subscription(String, "mode_request", self._on_mode_request, 10)
        self.create_subscription(String, "policy_request", self._on_policy_request, 10)
        self.create_subscription(BridgeState, "bridge/state", self._on_bridge_state, LATCHED)
        self.create_subscription(CommandSource, "teleop/source", self._on_source, LATCHED)
        listen_for_estop(self, self._on_estop)
        for mode in Mode:
            self.create_service(
                Trigger, f"policy/{mode.value}", lambda _, reply, m=mode: self._on_trigger(m, reply)
            )
        self.create_service(SelectPolicy, "policy/select", self._on_select)
        # The node's own clock is the wall clock: set back, it would stop the timers.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.05, self._watch, clock=steady)
        self.create_timer(0.1, self._publish_state, clock=steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)

    # --- the control loop -------------------------------------------------------------------------

    def _on_state(self, data: bytes) -> bool:
        """Count a state; when a step is due, run it. Right after it there is time for the rest."""
        received_s = time.monotonic()
        if not self._pacer.is_due(received_s):
            return False
        numbers = self._numbers.read(data).astype(np.float64)
        state = RobotState(numbers[:12], numbers[12:24], numbers[24:28], numbers[28:31])
        command = self._controller.step(state, received_s)
        self._publish_command(command)
        age_s = time.monotonic() - received_s
        self._step += 1
        self._publish_step(command, int(self._tick.read(data)[0]), age_s)
        output = self._controller.last_output
        self._statistics.add(received_s, age_s, output.inference_time_s if output else None)
        self._report_change()
        return True

    def _watch(self) -> None:
        """Guard the modes when no state arrives; without states there is no other trigger."""
        before = self._controller.mode
        self._controller.watch(time.monotonic())
        if before is not self._controller.mode:
            self.damp()
        self._report_change()

    def damp(self) -> None:
        """Ask the bridge for damping."""
        zeros = np.zeros(JOINTS)
        self._publish_command(JointCommand(False, zeros, zeros, zeros))

    def _publish_command(self, command: JointCommand) -> None:
        mode = SERVO_MODE if command.enabled else BRAKE_MODE
        rows = zip(
            self._low_cmd.motor_cmd,
            command.positions.tolist(),
            command.kp.tolist(),
            command.kd.tolist(),
            strict=False,  # the message has 20 motors, the robot 12
        )
        for motor, position, kp, kd in rows:
            motor.mode, motor.q, motor.kp, motor.kd = mode, position, kp, kd
        self._command_out.publish(self._low_cmd)

    # --- requests ---------------------------------------------------------------------------------

    def _on_velocity(self, message: Twist | TwistStamped) -> None:
        twist = message.twist if self._stamped else message
        velocity = (twist.linear.x, twist.linear.y, twist.angular.z)
        if not self._controller.command.receive(time.monotonic(), velocity, self._source):
            self.get_logger().warning(
                f"cmd_vel refused: {velocity} is not finite", throttle_duration_sec=1.0
            )

    def _request(self, mode: Mode) -> Answer:
        answer = self._controller.request(mode, time.monotonic())
        log = self.get_logger()
        if answer.accepted:
            log.info(f"request {mode.value}: {answer.message}")
        else:
            log.warning(answer.message)
        self._report_change()
        return answer

    def _select(self, name: str) -> Answer:
        answer = self._controller.select(name)
        log = self.get_logger()
        if answer.accepted:
            log.info(answer.message)
        else:
            log.warning(answer.message)
        self._report_change()
        return answer

    def _on_trigger(self, mode: Mode, reply: Trigger.Response) -> Trigger.Response:
        answer = self._request(mode)
        reply.success, reply.message = answer.accepted, answer.message
        return reply

    def _on_select(
        self, request: SelectPolicy.Request, reply: SelectPolicy.Response
    ) -> SelectPolicy.Response:
        answer = self._select(request.policy)
        reply.success, reply.message = answer.accepted, answer.message
        return reply

    def _on_mode_request(self, message: String) -> None:
        try:
            mode = Mode(message.data)
        except ValueError:
            names = [mode.value for mode in Mode]
            self.get_logger().error(f"mode_request {message.data!r} is unknown; known are {names}")
            return
        self._request(mode)

    def _on_policy_request(self, message: String) -> None:
        self._select(message.data)

    def _on_bridge_state(self, message: BridgeState) -> None:
        fault = f"{message.fault} ({message.fault_detail})" if message.fault else ""
        self._controller.bridge_fault = fault
        self._controller.bridge_obstacle = _obstacle(message)
        self._controller.bridge_withholds = message.shadow

    def _on_source(self, message: CommandSource) -> None:
        self._source = message.source

    def _on_estop(self, message: Bool) -> None:
        if message.data:
            self._request(Mode.DAMPING)

    # --- reports ----------------------------------------------------------------------------------

    def _report_change(self) -> None:
        """Publish the state at once when mode, reason or policy changed."""
        controller = self._controller
        current = (controller.mode, controller.reason, controller.policy)
        if current == self._reported:
            return
        if self._reported and current[0] is not self._reported[0]:
            change = f"{controller.previous_mode.value} -> {controller.mode.value}"
            self.get_logger().info(f"{change}: {controller.reason}")
        self._reported = current
        self._publish_state()

    def _publish_state(self) -> None:
        controller, output = self._controller, self._controller.last_output
        walking = controller.mode is Mode.WALK
        self._state_out.publish(
            PolicyState(
                stamp_ns=time.time_ns(),
                mode=controller.mode.value,
                previous_mode=controller.previous_mode.value,
                reason=controller.reason,
                policy=controller.policy,
                available_policies=sorted(controller.policies),
                command_source=controller.command.source,
                command_fresh=controller.command.is_fresh(time.monotonic()),
                command=controller.command.value.astype(np.float32),
                residual_active=walking and controller.runtime.residual_active,
                gate=output.gate if output else 0.0,
                shadow=controller.bridge_withholds,
            )
        )

    def _publish_step(self, command: JointCommand, tick: int, age_s: float) -> None:
        controller, output = self._controller, self._controller.last_output
        message = PolicyStep(
            stamp_ns=time.time_ns(),
            tick=tick,
            step=self._step,
            mode=controller.mode.value,
            policy=controller.policy,
            weights_sha256=controller.runtime.contract.weights_sha256,
            command=controller.command.value.astype(np.float32),
            joint_targets=command.positions.astype(np.float32),
            state_age_s=age_s,
        )
        if output is not None:
            message.observation = array.array("f", output.observation.tobytes())
            message.action = output.action.astype(np.float32)
            message.base_action = output.base_action.astype(np.float32)
            message.residual_action = output.residual_action.astype(np.float32)
            message.gate = output.gate
            message.inference_time_s = output.inference_time_s
        self._step_out.publish(message)

    def _publish_diagnostics(self) -> None:
        controller, numbers = self._controller, self._statistics.take(time.monotonic())
        level, summary = DiagnosticStatus.OK, f"{controller.mode.value}, {controller.reason}"
        if numbers["step_rate_hz"] < 0.8 / controller.runtime.contract.control_period_s:
            level, summary = (
                DiagnosticStatus.WARN,
                f"{numbers['step_rate_hz']:.1f} steps per second",
            )
        if controller.runtime.residual_fault:
            level, summary = (
                DiagnosticStatus.WARN,
                f"residual off: {controller.runtime.residual_fault}",
            )
        if controller.bridge_fault:
            level, summary = DiagnosticStatus.ERROR, f"bridge fault: {controller.bridge_fault}"
        pairs = {
            "mode": controller.mode.value,
            "reason": controller.reason,
            "policy": controller.policy,
            "command_source": controller.command.source,
            **{name: f"{value:.6g}" for name, value in numbers.items()},
        }
        status = DiagnosticStatus(
            level=level,
            name=diagnostic_name(self, "control"),
            message=summary,
            hardware_id="aliengo",
            values=[KeyValue(key=key, value=value) for key, value in pairs.items()],
        )
        array_message = DiagnosticArray(status=[status])
        array_message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_out.publish(array_message)


def _obstacle(message: BridgeState) -> str:
    """Say why the bridge would not follow a command to stand up, other than by a latched fault."""
    if message.state in ("waiting", "checking"):
        return str(message.fault_detail) or f"it is {message.state}"
    if message.state == "idle":
        return ", ".join(message.active_faults)
    return ""


def main() -> None:
    """Run the node until it is interrupted; the last thing it asks for is damping."""
    # ROS's own handlers would close the publishers before the last command.
    avoid_shared_memory()
    rclpy.init(signal_handler_options=rclpy.SignalHandlerOptions.NO)
    stop = threading.Event()
    on_end_signal(lambda *_: stop.set())
    try:
        node = PolicyNode()
    except (ContractError, ValueError, ParameterException) as error:
        print(f"policy: {error}", file=sys.stderr, flush=True)
        rclpy.try_shutdown()
        sys.exit(1)
    # What was made so far lives as long as the process: a collection need not look at it again.
    gc.collect()
    gc.freeze()
    try:
        node.spin_stream(stop)
    finally:
        node.damp()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
