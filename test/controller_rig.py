"""A controller with a robot to go with it, on a clock of the test's own."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aliengo_description import robot
from aliengo_policy.commands import CommandLimits
from aliengo_policy.controller import Controller, ControllerSettings, JointCommand
from aliengo_policy.modes import Mode
from aliengo_policy.observation import RobotState
from aliengo_policy.runtime import PolicyRuntime
from aliengo_policy.testing import write_linear_policy

PERIOD_S = 0.02
VX_ROW = 6
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


@dataclass
class Rig:
    """A controller and a robot whose joints follow every command exactly, or not at all."""

    controller: Controller
    now_s: float = 100.0
    positions: np.ndarray = field(default_factory=lambda: robot.LYING_JOINT_POSITIONS.copy())
    velocities: np.ndarray = field(default_factory=lambda: np.zeros(12))
    quaternion: np.ndarray = field(default_factory=lambda: UPRIGHT.copy())
    commands: list[JointCommand] = field(default_factory=list)
    velocity: tuple[float, float, float] | None = (0.0, 0.0, 0.0)
    modes: list[Mode] = field(default_factory=list)
    follows: bool = True

    def step(self) -> JointCommand:
        self.now_s += PERIOD_S
        if self.velocity is not None:
            self.controller.command.receive(self.now_s, self.velocity, "rig")
        state = RobotState(self.positions.copy(), self.velocities, self.quaternion, np.zeros(3))
        command = self.controller.step(state, self.now_s)
        if command.enabled and self.follows:
            self.positions = command.positions.copy()
        self.commands.append(command)
        if not self.modes or self.modes[-1] is not self.controller.mode:
            self.modes.append(self.controller.mode)
        return command

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            self.step()

    def run_until(self, mode: Mode, seconds: float = 15.0) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            if self.controller.mode is mode:
                return
            self.step()
        raise AssertionError(
            f"{mode} not reached in {seconds} s: {self.modes}, {self.controller.reason}"
        )

    def request(self, mode: Mode) -> str:
        """Message of a refused request; empty when it was accepted."""
        answer = self.controller.request(mode, self.now_s)
        return "" if answer.accepted else answer.message

    def stand(self) -> "Rig":
        self.step()
        assert self.request(Mode.STAND_UP) == ""
        self.run_until(Mode.STAND)
        self.run(1.0)
        return self

    def walk(self) -> "Rig":
        self.stand()
        assert self.request(Mode.WALK) == ""
        self.run(1.0)
        return self


def make_rig(
    folder: Path, settings: ControllerSettings | None = None, residual_gain: float | None = None
) -> Rig:
    """A rig with a base that answers vx on the first joint and, if asked for, a residual."""
    base = np.zeros((45, 12))
    base[VX_ROW, 0] = 0.1
    policies = {"base": PolicyRuntime(write_linear_policy(folder / "base.onnx", base))}
    if residual_gain is not None:
        residual = np.zeros((45, 12))
        residual[VX_ROW, 0] = residual_gain
        path = write_linear_policy(folder / "residual.onnx", base, residual)
        policies["residual"] = PolicyRuntime(path)
    limits = CommandLimits(max_vel=3.0)
    controller = Controller(policies, "base", limits, settings or ControllerSettings())
    return Rig(controller)
