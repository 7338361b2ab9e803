"""The real processes of a robot, with the twin for its body, and eyes on all of them.

Every graph runs in a namespace, on UDP ports and in a ROS domain of its own, so that several test
runs on one machine do not meet.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2; `make test` sets it up")

from aliengo_msgs.msg import BridgeState, PolicyState  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from geometry_msgs.msg import Twist, Vector3  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from processes import KILLED_WITH_US, free_port  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from standing import stand_up  # noqa: E402
from std_msgs.msg import Bool, UInt8MultiArray  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from truth import DEADLINE_S, Truth, now, wait_for  # noqa: E402
from unitree_legged_msgs.msg import LowCmd  # noqa: E402

LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_numbers = itertools.count()


class RobotGraph:
    """Twin, bridge and (if wanted) policy as processes, and a node that watches them."""

    def __init__(
        self,
        folder: Path,
        *,
        policy: Path | None = None,
        bridge: dict[str, Any] | None = None,
        sim: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        bridge_setup: Callable[[], None] | None = None,
    ) -> None:
        """Start everything.

        Args:
            folder: For logs and fault records.
            policy: Policy file; no policy node is started without one.
            bridge: Parameters of the bridge, besides addresses.
            sim: Parameters of the twin, besides addresses.
            environment: Environment variables for all processes but the twin.
            bridge_setup: Called in the bridge's process before it starts.
        """
        self.folder = folder
        self.namespace = f"/faults_{os.getpid()}_{next(_numbers)}"
        self._domain = random.SystemRandom().randint(1, 100)
        self._environment = dict(os.environ)
        self._environment["ROS_DOMAIN_ID"] = str(self._domain)
        self._above_robot = {**self._environment, **(environment or {})}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.robot_port, self.bridge_port = free_port(), free_port()
        self.records = folder / "records"
        self._watch()
        self._start("sim", "aliengo_sim.sim_node", {"port": self.robot_port, **(sim or {})})
        self._bridge_parameters = {
            "robot_address": "127.0.0.1",
            "robot_port": self.robot_port,
            "local_port": self.bridge_port,
            "record_folder": str(self.records),
            **(bridge or {}),
        }
        self.start_bridge(bridge_setup)
        if policy is not None:
            self.start_policy(policy)

    # --- processes --------------------------------------------------------------------------------

    def start_bridge(self, setup: Callable[[], None] | None = None) -> None:
        """Start the bridge (again)."""
        self._start("bridge", "aliengo_bridge.bridge_node", self._bridge_parameters, setup)

    def start_policy(self, policy: Path, name: str = "policy") -> None:
        """Start a policy node, perhaps a second one under another name."""
        self._start(name, "aliengo_policy.policy_node", {"policy": str(policy)})

    def _start(
        self,
        name: str,
        module: str,
        parameters: dict[str, Any],
        setup: Callable[[], None] | None = None,
    ) -> None:
        environment = self._environment if name == "sim" else self._above_robot
        line = [*KILLED_WITH_US, sys.executable, "-m", module]
        line += ["--ros-args", "-r", f"__ns:={self.namespace}", "-r", f"__node:={name}"]
        for key, value in parameters.items():
            line += ["-p", f"{key}:={json.dumps(value)}"]

        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                line,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=setup,
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        """Return what a process has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def send_signal(self, name: str, number: signal.Signals) -> float:
        """Send a signal to a process and return when [s]."""
        self.processes[name].send_signal(number)
        return now()

    def kill_group(self, name: str) -> float:
        """Kill a process and those that it has started, and return when [s]."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        return now()

    def wait_for_end(self, name: str, deadline_s: float = DEADLINE_S) -> int:
        """Return a process's exit code."""
        return self.processes[name].wait(deadline_s)

    def close(self) -> None:
        """End everything that still runs."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in self.processes.values():
            process.wait()
        self._executor.shutdown()
        self._context.try_shutdown()
        self._thread.join()

    # --- eyes -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self._truths: deque[Truth] = deque(maxlen=3000)
        self.states: deque[tuple[float, BridgeState]] = deque(maxlen=3000)
        self.positions: deque[np.ndarray] = deque(maxlen=3000)
        self.policy_state: PolicyState | None = None
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._pose = (0.0, 0.0)
        # The bridge's node reads the domain from the environment, this one from its context.
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=self._domain)
        self.node = rclpy.create_node("eyes", context=self._context, namespace=self.namespace)
        node = self.node
        node.create_subscription(Odometry, "ground_truth/odom", self._on_pose, 10)
        node.create_subscription(JointState, "ground_truth/joint_states", self._on_joints, 10)
        node.create_subscription(BridgeState, "bridge/state", self._on_bridge, LATCHED)
        node.create_subscription(PolicyState, "policy/state", self._on_policy, LATCHED)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._push = node.create_publisher(Vector3, "sim/push", 10)
        self._remote = node.create_publisher(UInt8MultiArray, "sim/wireless_remote", 10)
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._estops = {
            False: node.create_publisher(Bool, "estop", 10),
            True: node.create_publisher(Bool, "estop", best_effort),
        }
        self._velocity = node.create_publisher(Twist, "cmd_vel", 1)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while self._context.ok():
            try:
                self._executor.spin_once(timeout_sec=0.1)
            except Exception:
                if self._context.ok():
                    raise

    def _on_pose(self, message: Odometry) -> None:
        q, z = message.pose.pose.orientation, message.pose.pose.position.z
        self._pose = (z, 1.0 - 2.0 * (q.x * q.x + q.y * q.y))

    def _on_joints(self, message: JointState) -> None:
        speeds, torques = np.array(message.velocity), np.array(message.effort)
        self.positions.append(np.array(message.position))
        # The twin's own stamp: this process may be late to hear of it.
        stamp = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
        self._truths.append(Truth(stamp, *self._pose, speeds, torques))

    def _on_bridge(self, message: BridgeState) -> None:
        self.states.append((now(), message))

    def _on_policy(self, message: PolicyState) -> None:
        self.policy_state = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            name = status.name.removeprefix(self.namespace.strip("/") + "/")
            self.diagnostics[name] = {"message": status.message, **values}

    @property
    def truths(self) -> list[Truth]:
        """The truths so far, oldest first; a copy, for they go on coming."""
        return list(self._truths)

    @property
    def truth(self) -> Truth:
        """The newest truth."""
        return wait_for(lambda: self._truths and self._truths[-1], "ground truth")

    @property
    def bridge(self) -> BridgeState:
        """The newest state of the bridge."""
        return wait_for(lambda: self.states and self.states[-1], "bridge/state")[1]

    # --- hands ------------------------------------------------------------------------------------

    def call(self, kind: Any, name: str, request: Any, deadline_s: float = DEADLINE_S) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(kind, name)
        wait_for(client.service_is_ready, f"service {name}", deadline_s)
        future = client.call_async(request)
        wait_for(future.done, f"answer of {name}", deadline_s)
        self.node.destroy_client(client)
        return future.result()

    def trigger(self, name: str) -> Any:
        """Call a service of type Trigger."""
        return self.call(Trigger, name, Trigger.Request())

    def set_parameters(self, node: str, **values: Any) -> Any:
        """Set parameters of a node; `fault__loss=1.0` sets `fault.loss`. Returns the results."""
        request = SetParameters.Request()
        for name, value in values.items():
            parameter = Parameter(name.replace("__", "."), value=value)
            request.parameters.append(parameter.to_parameter_msg())
        return self.call(SetParameters, f"{node}/set_parameters", request).results

    def inject(self, **faults: Any) -> float:
        """Let the twin misbehave, and return when [s]."""
        assert all(r.successful for r in self.set_parameters("sim", **faults))
        return now()

    def push(self, x: float, y: float, z: float) -> None:
        """Hit the trunk with an impulse in the world frame [N s]."""
        self._push.publish(Vector3(x=x, y=y, z=z))

    def press(self, low: int, high: int) -> None:
        """Hold buttons of the robot's remote: the two bytes of its button word."""
        block = bytearray(40)
        block[2:4] = (low, high)
        self._remote.publish(UInt8MultiArray(data=list(block)))

    def estop(self, pressed: bool, best_effort: bool = False) -> None:
        """Publish on the topic `estop`, reliably or not."""
        self._estops[best_effort].publish(Bool(data=pressed))

    def drive(self, vx: float) -> None:
        """Publish one velocity command."""
        message = Twist()
        message.linear.x = vx
        self._velocity.publish(message)

    def collect_withheld(self) -> list[LowCmd]:
        """Return a list that fills with the commands that shadow mode withholds."""
        collected: list[LowCmd] = []
        self.node.create_subscription(LowCmd, "bridge/withheld_cmd", collected.append, 1)
        return collected

    def meet(self) -> None:
        """Wait until twin and bridge listen to this process.

        What is published before is lost. A node that answers a request has heard of the publishers
        that were here before the client was.
        """
        for node in ("sim", "bridge"):
            self.set_parameters(node)

    # --- waits ------------------------------------------------------------------------------------

    def wait_for_bridge(self, state: str, deadline_s: float = DEADLINE_S) -> BridgeState:
        """Wait until the bridge is in a state."""
        wait_for(
            lambda: self.bridge.state == state,
            f"bridge {state} (is {self.bridge.state}: {self.bridge.fault_detail})",
            deadline_s,
        )
        return self.bridge

    def stand_up(self) -> None:
        """Let the policy node stand the robot up."""
        stand_up(self)

    def stand_up_again(self) -> None:
        """Reset the bridge's fault once the robot lies still, and let it be stood up."""
        self.wait_until_lying()
        wait_for(lambda: self.trigger("bridge/reset_fault").success, "fault reset")
        self.stand_up()

    def describe(self) -> str:
        """Return what everybody thinks, and the logs: setting a test up shows no output of its own."""
        # What came last, without waiting: a wait that runs out here would hide what went wrong.
        lines = []
        if self.states:
            bridge = self.states[-1][1]
            lines.append(f"bridge: {bridge.state}, fault {bridge.fault!r} {bridge.fault_detail!r}")
        if self.policy_state is not None:
            lines.append(f"policy: {self.policy_state.mode}, {self.policy_state.reason!r}")
        if self._truths:
            truth = self._truths[-1]
            lines.append(f"truth: height {truth.height_m:.2f} m, upright {truth.upright:.2f}")
        if (twin := self.diagnostics.get("sim: twin")) is not None:
            lines.append(f"twin: {twin['stalls']} stalls, {twin['lost_s']} s lost")
        return "\n".join(lines + [f"--- {name} ---\n{self.log(name)}" for name in self.processes])

    def wait_for_fault(self, fault: str, deadline_s: float = DEADLINE_S) -> float:
        """Wait until the bridge has latched a fault, and return when that was seen [s]."""
        wait_for(lambda: self.bridge.fault == fault, f"fault {fault}", deadline_s)
        assert self.bridge.reset_required
        return self.states[-1][0]

    def wait_until_lying(self) -> None:
        """Wait until the robot lies still, with passive motors."""
        wait_for(lambda: self.truth.lying and self.truth.passive, "robot lying, passive")

    def passive_since(self, start: float) -> float:
        """Return how long after `start` the motors became passive, by ground truth [s].

        Eight of ten samples in a row must be so: when a foot hits the ground, speed and torque of
        one sample need not belong together.
        """
        seen = [truth for truth in self.truths if truth.time_s >= start]
        for first in range(len(seen) - 10):
            window = seen[first : first + 10]
            if window[0].passive and sum(truth.passive for truth in window) >= 8:
                return window[0].time_s - start
        raise AssertionError("the motors never became passive")

    def twin_lost_s(self) -> float:
        """Return how long the machine has kept the twin from running so far [s], by its own count."""
        self.diagnostics.pop("sim: twin", None)
        status = wait_for(lambda: self.diagnostics.get("sim: twin"), "diagnostics of the twin")
        return float(status["lost_s"])

    def fault_record(self) -> np.ndarray:
        """Return the ticks of the newest fault record."""
        files = wait_for(lambda: sorted(self.records.glob("fault_*.npz")), "fault record")
        with np.load(files[-1]) as record:
            return record["ticks"]
