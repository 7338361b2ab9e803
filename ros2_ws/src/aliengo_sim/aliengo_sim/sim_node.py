"""ROS node `sim`: the digital twin on its UDP port, with its ground truth on topics.

Publishes `ground_truth/odom` (nav_msgs/Odometry, `odom` -> `base_link`),
`ground_truth/joint_states` (sensor_msgs/JointState, effort = torque the motors apply) and
`/diagnostics`. Subscribes `sim/push` (geometry_msgs/Vector3, impulse on the trunk in the world
[N s]) and `sim/wireless_remote` (std_msgs/UInt8MultiArray, the 40 bytes of the remote). Service:
`sim/reset` (std_srvs/Trigger). Parameters `fault.*` may be changed at any time.

The robot itself is reached over UDP only, as the real one.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
import time

import mujoco
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Vector3
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from aliengo_description import robot
from aliengo_description.conventions_node import diagnostic_name
from aliengo_description.middleware import avoid_shared_memory
from aliengo_description.parameters_node import declare_parameters
from aliengo_description.scheduling import raise_priority
from aliengo_sim.dynamics import GroundTruth
from aliengo_sim.parameters import FAULT_PREFIX, PARAMETERS, make_config, make_faults
from aliengo_sim.twin import Twin

_GROUND_TRUTH_PERIOD_S = 0.02
_DIAGNOSTICS_PERIOD_S = 1.0
_VIEWER_PERIOD_S = 1.0 / 60.0


class SimNode(Node):
    """Connects a `Twin` to topics.

    Raises:
        AddressInUseError: If the UDP port is taken.
        ValueError: If a parameter has an impossible value.
    """

    def __init__(self) -> None:
        """Declare the parameters, build the twin and open all topics."""
        super().__init__("sim")
        self._values = declare_parameters(self, PARAMETERS)
        faults = make_faults(self._values)
        self.twin = Twin(make_config(self._values))
        self.twin.faults = faults
        self.add_on_set_parameters_callback(self._on_parameters)

        self._odometry_out = self.create_publisher(Odometry, "ground_truth/odom", 10)
        self._joints_out = self.create_publisher(JointState, "ground_truth/joint_states", 10)
        self._diagnostics_out = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(Vector3, "sim/push", self._on_push, 10)
        self.create_subscription(UInt8MultiArray, "sim/wireless_remote", self._on_remote, 10)
        self.create_service(Trigger, "sim/reset", self._on_reset)
        # The node's own clock is the wall clock: set back, it would stop the timers.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_GROUND_TRUTH_PERIOD_S, self._publish_ground_truth, clock=steady)
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
        # MuJoCo would write its warnings to a file in the current folder.
        mujoco.set_mju_user_warning(lambda text: self.get_logger().warning(f"MuJoCo: {text}"))
        host, port = self.twin.address
        self.get_logger().info(f"the twin listens on {host}:{port}")

    def _on_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        faults = {c.name: c.value for c in changes if c.name.startswith(FAULT_PREFIX)}
        changed = {**self._values, **faults}
        try:
            plan = make_faults(changed)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values, self.twin.faults = changed, plan
        if faults:
            self.get_logger().info(f"faults: {plan}")
        return SetParametersResult(successful=True)

    def _on_push(self, message: Vector3) -> None:
        try:
            self.twin.push((message.x, message.y, message.z))
        except ValueError as error:
            self.get_logger().error(f"sim/push: {error}")

    def _on_remote(self, message: UInt8MultiArray) -> None:
        if len(message.data) != 40:
            self.get_logger().error(f"sim/wireless_remote: {len(message.data)} bytes; expected 40")
            return
        self.twin.wireless_remote = bytes(message.data)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.twin.reset()
        response.success = True
        response.message = f"back to {self._values['start_pose']}"
        return response

    def _publish_ground_truth(self) -> None:
        # Messages cost more than physics here: make only those that someone listens to.
        odometry_wanted = self._odometry_out.get_subscription_count() > 0
        joints_wanted = self._joints_out.get_subscription_count() > 0
        if not (odometry_wanted or joints_wanted):
            return
        truth = self.twin.ground_truth()
        stamp = self.get_clock().now().to_msg()
        if odometry_wanted:
            self._odometry_out.publish(_odometry(truth, stamp, self._values["frame_prefix"]))
        if joints_wanted:
            self._joints_out.publish(_joint_state(truth, stamp))

    def _publish_diagnostics(self) -> None:
        status = self.twin.status()
        values = {
            "peer": status.peer or "none",
            "limp": status.limp,
            **status.link,
            "stalls": status.stalls,
            "lost_s": f"{status.lost_s:.3f}",
            "diverged": status.diverged,
        }
        entry = DiagnosticStatus(name=diagnostic_name(self, "twin"), hardware_id="aliengo_sim")
        entry.level = DiagnosticStatus.WARN if status.diverged else DiagnosticStatus.OK
        entry.message = "limp, nobody commands" if status.limp else "commanded"
        entry.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[entry])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_out.publish(array)


def _odometry(truth: GroundTruth, stamp: Time, frame_prefix: str) -> Odometry:
    message = Odometry(child_frame_id=f"{frame_prefix}base_link")
    message.header.stamp, message.header.frame_id = stamp, f"{frame_prefix}odom"
    pose, twist = message.pose.pose, message.twist.twist
    pose.position.x, pose.position.y, pose.position.z = truth.position_w.tolist()
    w, x, y, z = truth.quaternion.tolist()
    pose.orientation.x, pose.orientation.y = x, y
    pose.orientation.z, pose.orientation.w = z, w
    twist.linear.x, twist.linear.y, twist.linear.z = truth.linear_velocity_b.tolist()
    twist.angular.x, twist.angular.y, twist.angular.z = truth.angular_velocity_b.tolist()
    return message


def _joint_state(truth: GroundTruth, stamp: Time) -> JointState:
    message = JointState(name=list(robot.JOINT_NAMES))
    message.header.stamp = stamp
    message.position = truth.joint_positions.tolist()
    message.velocity = truth.joint_velocities.tolist()
    message.effort = truth.joint_torques.tolist()
    return message


def _spin(node: Node, stop: threading.Event) -> None:
    """Serve callbacks until ROS or the twin stops."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A signal ends the ROS context at once, also under a callback that is about to publish.
        if rclpy.ok():
            raise
    finally:
        stop.set()


def _refuse_viewer_without_display() -> None:
    """Raise where MuJoCo's window could not open: its own library would end the process."""
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise ValueError("--viewer needs a display, DISPLAY is not set: leave --viewer out")


def _show(twin: Twin, stop: threading.Event) -> None:
    """Keep MuJoCo's window up to date until it is closed or the twin stops."""
    import mujoco.viewer  # needs GL and a display: headless runs must not touch it

    with mujoco.viewer.launch_passive(twin.dynamics.model, twin.dynamics.data) as viewer:
        while viewer.is_running() and not stop.is_set():
            with twin.lock:
                viewer.sync()
            time.sleep(_VIEWER_PERIOD_S)
    stop.set()


def _run(node: SimNode, viewer: bool) -> int:
    """Run twin, callbacks and window; return the exit code."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def simulate() -> None:
        try:
            node.twin.run(stop)
        except BaseException as error:  # re-raised in the main thread
            failures.append(error)
        finally:
            stop.set()

    threads = [threading.Thread(target=simulate, name="twin")]
    if viewer:  # the window wants the main thread
        threads.append(threading.Thread(target=_spin, args=(node, stop), name="ros"))
    for thread in threads:
        thread.start()
    try:
        _show(node.twin, stop) if viewer else _spin(node, stop)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
    return 0


def main(args: list[str] | None = None) -> int:
    """Run the node: ``sim_node [--viewer] [--ros-args ...]``; return the exit code."""
    own = remove_ros_args(sys.argv if args is None else ["sim_node", *args])
    parser = argparse.ArgumentParser(prog="sim_node", description="Digital twin of the Aliengo.")
    parser.add_argument("--viewer", action="store_true", help="open MuJoCo's window")
    options = parser.parse_args(own[1:])
    # The physics thread must not wait for the default 5 ms whenever a callback holds the GIL.
    sys.setswitchinterval(5e-4)
    avoid_shared_memory()
    rclpy.init(args=args)
    node: SimNode | None = None
    try:
        if options.viewer:
            _refuse_viewer_without_display()
        node = SimNode()
        gc.freeze()  # what lives from here on is small: collections stay short
        if not options.viewer:
            # These threads hold the interpreter while they run: if they could be preempted then,
            # the twin's thread would wait for them however high its own priority.
            raise_priority(node.twin.realtime_priority - 1)
        return _run(node, options.viewer)
    except (OSError, ValueError, rclpy.exceptions.ParameterException) as error:
        print(f"sim: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.twin.close()
            node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
