"""The controller on the robot's physics, in lock step: no processes, no waiting, no chance."""

import mujoco
import numpy as np

from aliengo_description import robot
from aliengo_policy.controller import Controller, JointCommand
from aliengo_policy.modes import Mode
from aliengo_policy.observation import RobotState

STEPS_PER_PERIOD = 20  # of 1 ms
PERIOD_S = 0.02
DAMPING_KD = 5.0


class SimulatedRobot:
    """The robot in MuJoCo under a controller; it starts limp, a little above the ground.

    Args:
        controller: what drives it.
        pose: (12,) joint positions at the start [rad].
    """

    def __init__(self, controller: Controller, pose: np.ndarray) -> None:
        self.controller = controller
        self.model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
        self.model.opt.timestep = PERIOD_S / STEPS_PER_PERIOD
        self.data = mujoco.MjData(self.model)
        self.data.qpos[2] = 0.3
        self.data.qpos[7:] = pose
        self.highest_tilt = 0.0
        self.velocity: tuple[float, float, float] | None = (0.0, 0.0, 0.0)
        self.velocities_b: list[np.ndarray] = []
        self.run(1.5)

    @property
    def height(self) -> float:
        """Height of the trunk's origin [m]."""
        return float(self.data.qpos[2])

    @property
    def now_s(self) -> float:
        """Simulated time [s]."""
        return float(self.data.time)

    def state(self) -> RobotState:
        """A measurement without noise."""
        data = self.data
        return RobotState(
            data.qpos[7:].copy(), data.qvel[6:].copy(), data.qpos[3:7].copy(), data.qvel[3:6].copy()
        )

    def request(self, mode: Mode) -> None:
        """Ask for a mode that must be granted."""
        answer = self.controller.request(mode, self.now_s)
        assert answer.accepted, answer.message

    def run(self, seconds: float, until: Mode | None = None) -> None:
        """Advance; stop early when the mode ``until`` is reached."""
        for _ in range(round(seconds / PERIOD_S)):
            if until is not None and self.controller.mode is until:
                return
            if self.velocity is not None:
                self.controller.command.receive(self.now_s, self.velocity, "test")
            command = self.controller.step(self.state(), self.now_s)
            self.highest_tilt = max(self.highest_tilt, self.state().tilt())
            rotation = np.zeros(9)
            mujoco.mju_quat2Mat(rotation, self.data.qpos[3:7])
            self.velocities_b.append(rotation.reshape(3, 3).T @ self.data.qvel[:3])
            for _ in range(STEPS_PER_PERIOD):
                self._apply(command)
                mujoco.mj_step(self.model, self.data)

    def walk(self, velocity: tuple[float, float, float], seconds: float) -> np.ndarray:
        """Command a velocity; (n, 3) measured velocity of the last two thirds of the time."""
        self.velocity = velocity
        begin = len(self.velocities_b)
        self.run(seconds)
        measured = np.array(self.velocities_b[begin:])
        return measured[len(measured) // 3 :]

    def _apply(self, command: JointCommand) -> None:
        error, speed = command.positions - self.data.qpos[7:], self.data.qvel[6:]
        torque = command.kp * error - command.kd * speed
        if not command.enabled:
            torque = -DAMPING_KD * speed
        self.data.ctrl[:] = np.clip(torque, -robot.TORQUE_LIMITS, robot.TORQUE_LIMITS)
